//! A part of an experiment: `--only`, `--until`, `--dry-run`, and what follows a failure.

use crate::fixture::CliTest;
use crate::small::{FASHION, RAW, experiment, small};

/// The kinds of the artifacts in a cache, each with how many there are.
fn kinds(cli: &CliTest) -> Vec<(String, usize)> {
    let listed = cli
        .run(&["list", "artifacts", "--json"])
        .expect_code(0)
        .json();
    let mut counted: Vec<(String, usize)> = Vec::new();
    for artifact in listed.as_array().unwrap() {
        let kind = artifact["kind"].as_str().unwrap().to_owned();
        match counted.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += 1,
            None => counted.push((kind, 1)),
        }
    }
    counted.sort();
    counted
}

#[test]
fn a_part_of_an_experiment_is_made() {
    let cli = small();
    let dry = cli
        .run(&["run", "small.toml", "--dry-run", "--until", "taps"])
        .expect_code(0);
    let plan = cli
        .run(&["plan", "small.toml", "--until", "taps"])
        .expect_code(0);
    assert_eq!(dry.stdout, plan.stdout);
    assert!(!cli.path(".repro/artifacts/features").exists());

    cli.run(&["run", "small.toml", "--only", "probe"])
        .expect_code(2)
        .expect_in_stderr(&[
            "which is not in the cache",
            "`--until` in place of `--only`",
        ]);
    cli.run(&["run", "small.toml", "--until", "tap"])
        .expect_code(2)
        .expect_in_stderr(&["the plan has no node `tap`", "did you mean `taps`"]);
    cli.run(&["run", "small.toml", "--until", "taps"])
        .expect_code(0);
    assert_eq!(kinds(&cli), [("features".to_owned(), 4)]);
    assert!(!cli.path("reports").exists(), "a part has no report");
    cli.run(&["plan", "small.toml", "--until", "taps", "--check"])
        .expect_code(0);
    cli.run(&["plan", "small.toml", "--check"]).expect_code(1);
    cli.run(&["run", "small.toml", "--only", "probe"])
        .expect_code(0);
    assert_eq!(
        kinds(&cli),
        [("features".to_owned(), 4), ("head".to_owned(), 8)]
    );
    cli.run(&["run", "small.toml"]).expect_code(0);
    assert!(cli.path("reports/small.md").exists());
    cli.run(&["run", "small.toml", "--only", "probe", "--until", "taps"])
        .expect_code(2);
}

/// Two heads, of which one diverges, and a metric of both.
const DIVERGING: &str = r#"
[extraction.pixels]
model    = "raw"
dataset  = "fashion"
block    = 1
pool     = 4

[head.probe]
kind      = "mlp"
hidden    = [64]
features  = "pixels"
epochs    = 20
schedule  = { kind = "constant" }
optimizer = [{ kind = "sgd", lr = 1e6, momentum = 0.99, weight_decay = 1e4 }, { lr = 1e-2 }]

[metric.accuracy]
kind = "accuracy"
of   = "probe"
"#;

#[test]
fn what_does_not_need_a_failure_is_made_unless_it_is_told_not_to() {
    let cli = CliTest::with_fashion(100, 50);
    cli.write("x.toml", experiment("heads", &[FASHION, RAW, DIVERGING]));
    cli.write("repro.toml", "[run]\nfail_fast = true\n");
    let fast = cli.run(&["run", "x.toml"]).expect_code(1);
    assert!(
        fast.stderr.contains("the loss became NaN"),
        "{}",
        fast.stderr
    );
    let made = kinds(&cli);
    assert!(made.iter().all(|(kind, _)| kind != "metric"), "{made:?}");
    cli.run(&["run", "x.toml", "--keep-going"]).expect_code(1);
    let metrics = kinds(&cli).into_iter().find(|(kind, _)| kind == "metric");
    assert_eq!(metrics, Some(("metric".to_owned(), 1)), "of what is there");
}
