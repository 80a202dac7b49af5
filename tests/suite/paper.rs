//! The experiments of the paper's tables and figures: each is planned without its data, and each runs to its report under `smoke`.

use std::fs;

use crate::fixture::{CliTest, relative, root, walk};

/// Those that compute something; `fgvc` has tests of its own besides.
const EXPERIMENTS: [&str; 17] = [
    "fgvc", "fig1", "fig2", "fig3", "fig4", "fig5", "fig6", "fig7", "table1", "table2", "table3",
    "table4", "table6", "table7", "table8", "table9", "table10",
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
        // What `laptop` reads is a part of the same, where the experiment reads images.
        if name != "table10" {
            let laptop = cli.run(&["plan", &file(name), "--profile", "laptop"]);
            let laptop = laptop.expect_code(0);
            assert!(laptop.stdout.contains("not on disk"), "{name}: {laptop}");
            if name != "fig3" {
                let images = |plan: &str| {
                    let has_images =
                        |line: &&str| line.contains(" forwards (") || line.contains(" through it");
                    let line = plan.lines().find(has_images);
                    line.unwrap_or_else(|| panic!("{plan}")).to_owned()
                };
                assert_ne!(images(&laptop.stdout), images(&plan.stdout), "{name}");
            }
        }
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

/// What is announced is in the graphs, and its rows say so beside the paper's numbers, by what the graph knows.
#[test]
fn what_is_announced_is_planned_as_not_run() {
    let cli = clone();
    for (name, kinds) in [
        (
            "table1",
            &[
                "model kind `bigbigan`",
                "model kind `bigbigan-generator`",
                "model kind `mage-generator`",
            ][..],
        ),
        ("table10", &["model kind `bigbigan`: 1 model"]),
        ("fig7", &["model kind `bigbigan`"]),
    ] {
        let plan = cli.run(&["plan", &file(name)]).expect_code(0);
        for kind in kinds {
            let line = format!("not run: needs the {kind}");
            assert!(plan.stdout.contains(&line), "{name}: {plan}");
        }
    }
}

/// What reports say of rows that nothing computes yet: the paper's number, and the reason.
#[cfg(feature = "torch")]
const ANNOUNCED: [(&str, &str); 6] = [
    ("table1", "| BigBiGAN | 60.80 | not run<sup>1</sup> |"),
    ("table1", "not run: needs the model kind \\`bigbigan\\`"),
    ("table1", "| MAGE | 9.10 | not run<sup>2</sup> |"),
    (
        "table1",
        "not run: needs the model kind \\`mage-generator\\`",
    ),
    ("table10", "| BigBiGAN | 502.00 | not run<sup>1</sup> |"),
    ("table10", "needs the model kind \\`bigbigan\\`"),
];

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
        for (_, cell) in ANNOUNCED.iter().filter(|(of, _)| *of == name) {
            assert!(report.contains(cell), "{name}: no {cell} in {report}");
        }
    }
    // No report is where those of the whole experiments belong.
    let reports = walk(&cli.path("reports")).into_iter();
    let whole = reports.filter(|path| {
        path.parent()
            .is_some_and(|folder| folder.ends_with("reports"))
    });
    assert_eq!(whole.collect::<Vec<_>>(), [] as [std::path::PathBuf; 0]);
}
