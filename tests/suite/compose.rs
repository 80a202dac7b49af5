//! `include`, `--profile` and `--set`: what `repro show` prints has the same plan, and no report takes the place of another.

use std::fs;

use crate::fixture::{CliTest, root};

/// A folder with a small Fashion-MNIST and the cases that include each other's parts.
fn with_parts() -> CliTest {
    let cli = CliTest::with_fashion(60, 30);
    let cases = root().join("tests/suite/cases");
    for name in ["fashion", "nano", "both"] {
        let file = format!("parts/{name}.toml");
        cli.write(&file, fs::read(cases.join(&file)).unwrap());
    }
    let file = "good-profiles.toml";
    cli.write(file, fs::read(cases.join("check").join(file)).unwrap());
    cli
}

#[test]
fn what_show_prints_has_the_same_plan() {
    let cli = with_parts();
    let variants: [&[&str]; 6] = [
        &["good-profiles.toml"],
        &["good-profiles.toml", "--profile", "half"],
        &["good-profiles.toml", "--profile", "smoke"],
        &["good-profiles.toml", "--profile", "ridge"],
        &[
            "good-profiles.toml",
            "--set",
            "model.unet.weights={ synthetic = 7 }",
        ],
        &[
            "good-profiles.toml",
            "--profile",
            "smoke",
            "--set",
            "head.probe.optimizer.lr=3e-4",
            "--set",
            "experiment.title=A \"title\" \u{202e}of \\ its own",
        ],
    ];
    for variant in variants {
        let run = |command: &str, arguments: &[&str]| {
            let mut all = vec![command];
            all.extend(arguments);
            cli.run(&all).expect_code(0).stdout
        };
        let shown = run("show", variant);
        assert!(!shown.contains(['#', '\u{202e}']), "{shown}");
        for gone in ["include", "[profile"] {
            assert!(!shown.contains(gone), "{shown}");
        }
        cli.write("shown.toml", &shown);
        assert_eq!(run("show", &["shown.toml"]), shown);
        let plan = |arguments: &[&str]| {
            let printed = run("plan", &[arguments, &["--json"]].concat());
            let mut plan: serde_json::Value = serde_json::from_str(&printed).unwrap();
            // A warning is at another place in another file.
            for warning in plan["warnings"].as_array_mut().unwrap() {
                warning["place"] = serde_json::Value::Null;
            }
            plan
        };
        assert_eq!(plan(&["shown.toml"]), plan(variant), "{variant:?}");
    }
}

#[test]
fn what_is_shown_is_what_overrides_in_its_order() {
    let cli = with_parts();
    let shown = cli
        .run(&[
            "show",
            "good-profiles.toml",
            "--profile",
            "smoke",
            "--set",
            "head.probe.epochs=3",
            "--set",
            "head.probe.epochs=4",
            "--set",
            "extraction.taps.pool=2",
        ])
        .expect_code(0)
        .stdout;
    let shown: toml::Table = toml::from_str(&shown).unwrap();
    let name = shown["experiment"]["name"].as_str().unwrap();
    let digits = name.strip_prefix("case-smoke-set-").unwrap();
    assert_eq!(digits.len(), 8);
    let title = shown["experiment"]["title"].as_str().unwrap();
    assert_eq!(
        title,
        "case (profile smoke, head.probe.epochs = 3, head.probe.epochs = 4, extraction.taps.pool = 2)"
    );
    // The profile's, the last `--set`'s, and the part's.
    assert_eq!(
        shown["extraction"]["taps"]["timestep"].as_integer(),
        Some(10)
    );
    assert_eq!(shown["head"]["probe"]["epochs"].as_integer(), Some(4));
    assert_eq!(shown["extraction"]["taps"]["pool"].as_integer(), Some(2));
    assert_eq!(shown["model"]["unet"]["preset"].as_str(), Some("adm-nano"));
    assert_eq!(
        shown["report"]["output"].as_str(),
        Some(format!("reports/smoke/set-{digits}/case.md").as_str())
    );
    let ridge = cli.run(&["show", "good-profiles.toml", "--profile", "ridge"]);
    let ridge: toml::Table = toml::from_str(&ridge.expect_code(0).stdout).unwrap();
    assert!(ridge["head"]["probe"].get("epochs").is_none());
    assert_eq!(
        ridge["report"]["output"].as_str(),
        Some("reports/ridge-case.md")
    );
    // Tables of the report are those of the part, then those of the file.
    let both = cli.run(&["show", "good-profiles.toml"]).expect_code(0);
    let both: toml::Table = toml::from_str(&both.stdout).unwrap();
    let tables = both["report"]["table"].as_array().unwrap().iter();
    let titles: Vec<_> = tables
        .map(|table| table["title"].as_str().unwrap())
        .collect();
    assert_eq!(titles, ["The table of the part", "The table of the file"]);
}

#[test]
fn arguments_that_name_no_key_are_refused() {
    let cli = with_parts();
    for wrong in ["head.probe.epochs", "=2", "head.probe.epochs="] {
        cli.run(&["plan", "good-profiles.toml", "--set", wrong])
            .expect_code(2)
            .expect_in_stderr(&["expected a key and a value, such as `head.linear.epochs=2`"]);
    }
    for command in ["plan", "show", "report", "check"] {
        cli.run(&[command, "good-profiles.toml", "--profile", "smok"])
            .expect_code(2)
            .expect_in_stderr(&["profile::unknown", "did you mean `smoke`?"]);
    }
}

#[cfg(feature = "torch")]
#[test]
fn a_profile_never_writes_over_the_report_of_the_file() {
    let cli = with_parts();
    cli.run(&["run", "good-profiles.toml"]).expect_code(0);
    let report = cli.read("reports/case.md");
    cli.run(&["run", "good-profiles.toml", "--profile", "smoke"])
        .expect_code(0);
    let set = ["--set", "head.probe.optimizer={ lr = 0.5 }"];
    cli.run(&["run", "good-profiles.toml", set[0], set[1]])
        .expect_code(0);
    assert_eq!(cli.read("reports/case.md"), report);
    let smoke = cli.read("reports/smoke/case.md");
    assert!(
        smoke.contains("./repro run good-profiles.toml --profile smoke"),
        "{smoke}"
    );
    assert!(smoke.contains("case (profile smoke)"), "{smoke}");
    // With other values it is another report, and stands beside it.
    let other = ["--set", "head.probe.optimizer={ lr = 0.25 }"];
    cli.run(&["run", "good-profiles.toml", other[0], other[1]])
        .expect_code(0);
    let reports = crate::fixture::walk(&cli.path("reports")).into_iter();
    let sets: Vec<String> = reports
        .filter(|path| path.ends_with("case.md") && path.display().to_string().contains("/set-"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    assert_eq!(sets.len(), 2);
    let set = sets
        .iter()
        .find(|text| text.contains("lr = 0.5 }"))
        .unwrap();
    assert!(sets.iter().any(|text| text.contains("lr = 0.25 }")));
    assert!(
        set.contains("./repro run good-profiles.toml --set 'head.probe.optimizer={ lr = 0.5 }'"),
        "{set}"
    );
    // Not even where it is told to.
    cli.run(&[
        "run",
        "good-profiles.toml",
        "--profile",
        "smoke",
        "--set",
        "report.output=\"reports/case.md\"",
    ])
    .expect_code(2)
    .expect_in_stderr(&[
        "reports/case.md is there, and is the report of another experiment, `case`",
    ]);
    assert_eq!(cli.read("reports/case.md"), report);
    // With what the smaller one computed in the cache, nothing is computed again.
    cli.run(&[
        "plan",
        "--check",
        "good-profiles.toml",
        "--profile",
        "smoke",
    ])
    .expect_code(0);
}

#[test]
fn a_profile_that_names_the_report_of_the_file_is_refused() {
    let cli = with_parts();
    let text = cli.read("good-profiles.toml");
    let same = "[profile.same.report]\noutput = \"reports/case.md\"\n";
    cli.write("same.toml", format!("{text}\n{same}"));
    cli.run(&["check", "same.toml"])
        .expect_code(2)
        .expect_in_stderr(&[
            "graph::duplicate-output",
            "the report writes `reports/case.md`, which another",
            "with profile `same`",
            "same.toml: 1 error",
        ]);
}
