//! `repro runs` and `runs diff`: who ran what, from which revision, and what is different between two runs.

use std::process::Command;

use crate::fixture::CliTest;
use crate::small::{SMALL, small};

/// Runs git in the folder of a test, as somebody without settings.
fn git(cli: &CliTest, arguments: &[&str]) {
    let done = Command::new("git")
        .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org"])
        .args(arguments)
        .current_dir(cli.path(""))
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
}

#[test]
fn runs_say_what_was_run_and_from_which_revision() {
    let cli = small();
    cli.run(&["runs"])
        .expect_code(4)
        .expect_in_stderr(&["there is no cache"]);
    git(&cli, &["init", "--quiet"]);
    git(&cli, &["add", "small.toml"]);
    git(&cli, &["commit", "--quiet", "-m", "x"]);
    cli.run(&["run", "small.toml"]).expect_code(0);
    // A run that finds everything there leaves no record.
    cli.run(&["run", "small.toml"]).expect_code(0);
    cli.write("small.toml", SMALL.replace("epochs   = 2", "epochs   = 3"));
    cli.run(&["run", "small.toml", "--set", "experiment.seeds=[0]"])
        .expect_code(0);
    let runs = cli.run(&["runs", "--json"]).expect_code(0).json();
    let runs = runs.as_array().unwrap();
    assert_eq!(runs.len(), 2, "{runs:?}");
    let (last, first) = (&runs[0], &runs[1]);
    assert_eq!(first["command"], "repro run small.toml");
    assert_eq!(
        last["command"],
        "repro run small.toml --set 'experiment.seeds=[0]'"
    );
    assert_eq!(first["revision"].as_str().unwrap().len(), 40);
    assert_eq!(first["revision"], last["revision"]);
    assert_eq!(
        (&first["is_changed"], &last["is_changed"]),
        (&false.into(), &true.into())
    );
    assert_eq!(first["experiment"], "small");
    assert!(first["seconds"].as_f64().unwrap() > 0.0);
    assert!(first["state"].as_str().unwrap().starts_with("done in"));
    let text = cli.run(&["runs"]).expect_code(0).stdout;
    assert!(text.contains("repro run small.toml"), "{text}");
}

#[test]
fn two_runs_differ_in_fields_artifacts_and_results() {
    let cli = small();
    cli.run(&["run", "small.toml"]).expect_code(0);
    cli.write("small.toml", SMALL.replace("epochs   = 2", "epochs   = 3"));
    cli.run(&["run", "small.toml", "--set", "extraction.taps.block=1"])
        .expect_code(0);
    let text = cli.run(&["runs", "diff", "2", "1"]).expect_code(0).stdout;
    // Heads by their epochs, the metric by its heads; features of block 1 are in both.
    assert!(text.contains("epochs: 2 → 3"), "{text}");
    assert!(text.contains("2 artifacts in both"), "{text}");
    assert!(text.contains("only in A: "), "{text}");
    assert!(text.contains("changed"), "{text}");
    let json = cli
        .run(&["runs", "diff", "2", "1", "--json"])
        .expect_code(0)
        .json();
    assert_eq!(json["equal"], 2);
    // Features of block 3 at two timesteps, and their heads by two seeds.
    assert_eq!(json["first_alone"].as_array().unwrap().len(), 2 + 4);
    assert_eq!(json["second_alone"].as_array().unwrap().len(), 0);
    let same = cli.run(&["runs", "diff", "1", "1"]).expect_code(0).stdout;
    assert!(same.contains("no change in"), "{same}");
    cli.run(&["runs", "diff", "1", "9"])
        .expect_code(2)
        .expect_in_stderr(&["no run is called `9`", "`repro runs` lists them"]);
}
