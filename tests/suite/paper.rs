//! The experiments of the paper's tables and figures: each is planned without its data, and each runs to its report under `smoke`.

use std::fs;

use crate::fixture::{CliTest, relative, root, walk};

/// Those that compute something; `fgvc` has tests of its own besides.
const EXPERIMENTS: [&str; 13] = [
    "fgvc", "fig2", "fig3", "fig5", "fig6", "fig7", "table1", "table2", "table3", "table6",
    "table7", "table8", "table9",
];

/// A folder with the experiments and the photographs, as in a fresh clone.
fn clone() -> CliTest {
    let cli = CliTest::new();
    let names = ["experiments", "data/sign-language-digits", "data/paper"];
    for file in names.iter().flat_map(|name| walk(&root().join(name))) {
        cli.write(&relative(&file, root()), fs::read(&file).unwrap());
    }
    cli
}

fn file(name: &str) -> String {
    format!("experiments/{name}.toml")
}

#[test]
fn each_is_planned_without_its_data() {
    let cli = clone();
    for name in EXPERIMENTS {
        let plan = cli.run(&["plan", &file(name)]).expect_code(0);
        assert!(plan.stdout.contains("not on disk"), "{name}: {plan}");
        // What `smoke` needs is there.
        let smoke = cli.run(&["plan", &file(name), "--profile", "smoke"]);
        let smoke = smoke.expect_code(0);
        assert!(!smoke.stdout.contains("not on disk"), "{name}: {smoke}");
    }
}

#[test]
fn each_has_a_claim_or_printed_numbers_and_a_cost() {
    for name in EXPERIMENTS {
        let text = fs::read_to_string(root().join(file(name))).unwrap();
        let header: Vec<&str> = text
            .lines()
            .take_while(|line| line.starts_with('#'))
            .collect();
        let header = header.join("\n");
        assert!(header.contains("the paper"), "{name}");
        let holds_against = ["Claim", "Printed", "claims nothing"];
        assert!(
            holds_against.iter().any(|word| header.contains(word)),
            "{name}"
        );
        assert!(
            header.contains("Cost") || header.contains("costs"),
            "{name}"
        );
    }
}

#[cfg(feature = "torch")]
#[test]
fn each_runs_to_its_report_under_smoke() {
    let cli = clone();
    for name in EXPERIMENTS {
        cli.run(&["run", &file(name), "--profile", "smoke"])
            .expect_code(0);
        let report = cli.read(&format!("reports/smoke/{name}.md"));
        assert!(
            report.contains("(profile smoke)") && report.contains("--profile smoke"),
            "{report}"
        );
    }
    // No report is where those of the whole experiments belong.
    let reports = walk(&cli.path("reports")).into_iter();
    let whole = reports.filter(|path| {
        path.parent()
            .is_some_and(|folder| folder.ends_with("reports"))
    });
    assert_eq!(whole.collect::<Vec<_>>(), [] as [std::path::PathBuf; 0]);
}
