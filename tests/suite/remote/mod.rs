//! Caches that are shared through a remote: in a folder here, from a web server in `http`, in the buckets of a real S3 server in `s3`.

mod http;
mod s3;
mod secrets;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::fixture::{CliTest, Output, walk};
use crate::small::{SMALL, run, small};

/// Runs the small experiment on the CPU, with more arguments, and writes the log `log.jsonl`.
fn run_with(cli: &CliTest, arguments: &[&str]) -> Output {
    let _ = fs::remove_file(cli.path("log.jsonl"));
    let usual = [
        "run",
        "small.toml",
        "--device",
        "cpu",
        "--json-log",
        "log.jsonl",
    ];
    cli.run(&[&usual, arguments].concat())
}

/// The events of the last run.
fn events(cli: &CliTest) -> Vec<Value> {
    let log = cli.read("log.jsonl");
    let lines = log.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// How many events of a name there are.
fn number_of(events: &[Value], name: &str) -> usize {
    events.iter().filter(|event| event["event"] == name).count()
}

/// Nothing was computed.
#[track_caller]
fn expect_nothing_computed(events: &[Value]) {
    for name in [
        "pass-started",
        "heads-started",
        "metric-finished",
        "node-failed",
        "not-brought",
    ] {
        assert_eq!(number_of(events, name), 0, "{name}");
    }
}

/// Leaves the folder without a cache and reports, as another machine would have it.
fn become_another_machine(cli: &CliTest) {
    for folder in [".repro", "reports"] {
        let _ = fs::remove_dir_all(cli.path(folder));
    }
}

/// The manifests in the cache, by the kind of their artifacts.
fn manifests(cli: &CliTest) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for path in cli.files(".repro/artifacts").keys() {
        if path.ends_with("/manifest.json") {
            let kind = path.split('/').next().unwrap().to_owned();
            *found.entry(kind).or_default() += 1;
        }
    }
    found
}

/// The files of heads' weights in a remote that is a folder.
fn head_files(cli: &CliTest, remote: &str) -> Vec<PathBuf> {
    let all = walk(&cli.path(remote)).into_iter();
    all.filter(|path| path.ends_with("head.safetensors"))
        .collect()
}

/// Turns one bit of a file over.
fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn an_empty_machine_with_a_full_remote_computes_nothing() {
    let cli = small();
    run(&cli, "small.toml");
    let reports = cli.files("reports");
    let dry = cli
        .run(&["cache", "push", "shared", "--dry-run"])
        .expect_code(0);
    assert!(dry.stdout.contains("would put 13 artifacts"), "{dry}");
    assert!(!cli.path("shared").exists());
    let pushed = cli.run(&["cache", "push", "shared"]).expect_code(0);
    assert!(
        pushed.stderr.contains("13 artifacts put into shared"),
        "{pushed}"
    );
    let again = cli.run(&["cache", "push", "shared"]).expect_code(0);
    assert!(
        again.stderr.contains("0 artifacts put into shared"),
        "{again}"
    );
    assert!(again.stderr.contains("13 there already"), "{again}");

    become_another_machine(&cli);
    let planned = cli
        .run(&["plan", "small.toml", "--remote", "shared"])
        .expect_code(0);
    for says in [
        "from the remote: 9 artifacts",
        "4 others",
        "not downloaded, since nothing here reads them",
        "features: 4 wanted, 0 cached, 4 in the remote",
        "heads: 8 wanted, 0 cached, 8 in the remote",
    ] {
        assert!(planned.stdout.contains(says), "{says}: {planned}");
    }
    run_with(&cli, &["--remote", "shared"]).expect_code(0);
    expect_nothing_computed(&events(&cli));
    assert_eq!(cli.files("reports"), reports);
    // Features are read by nothing that is made here.
    let expected = [("head".to_owned(), 8), ("metric".to_owned(), 1)];
    assert_eq!(manifests(&cli), BTreeMap::from(expected));
    cli.run(&["cache", "verify"]).expect_code(0);
    // What was not brought is known all the same.
    cli.run(&["report", "small.toml"]).expect_code(0);
    assert_eq!(cli.files("reports"), reports);
    let idle = run_with(&cli, &["--remote", "shared"]).expect_code(0);
    assert!(idle.stderr.contains("nothing to do"), "{idle}");
}

#[test]
fn a_machine_without_the_data_takes_all_from_the_remote() {
    let cli = small();
    run(&cli, "small.toml");
    let reports = cli.files("reports");
    cli.run(&["cache", "push", "shared", "small.toml"])
        .expect_code(0);
    become_another_machine(&cli);
    fs::rename(cli.path("fashion"), cli.path("elsewhere")).unwrap();
    let output = run_with(&cli, &["--remote", "shared"]).expect_code(0);
    assert!(output.stderr.contains("1 input not on disk"), "{output}");
    expect_nothing_computed(&events(&cli));
    assert_eq!(cli.files("reports"), reports);
    // Not where something has to be computed.
    fs::remove_dir_all(cli.path("shared/artifacts/metric")).unwrap();
    become_another_machine(&cli);
    let output = run_with(&cli, &["--remote", "shared"]).expect_code(3);
    assert!(output.stderr.contains("dataset `fashion`"), "{output}");
    cli.run(&["cache", "pull", "shared", "small.toml"])
        .expect_code(0);
    assert_eq!(manifests(&cli)["features"], 4);
}

#[test]
fn only_what_is_read_is_brought() {
    let cli = small();
    run(&cli, "small.toml");
    cli.run(&["cache", "push", "shared", "small.toml"])
        .expect_code(0);
    become_another_machine(&cli);
    // Other heads, of which one reads the features of one timestep alone.
    let other = SMALL
        .replace("timestep = [10, 90]", "timestep = 10")
        .replace("epochs   = 2", "epochs   = 1");
    assert_ne!(other, SMALL);
    cli.write("other.toml", other);
    cli.write("repro.toml", "[remote]\nurl = \"shared\"\n");
    let planned = cli
        .run(&["plan", "other.toml", "--json"])
        .expect_code(0)
        .json();
    let jobs = planned["jobs"].as_array().unwrap();
    let transfers: Vec<&Value> = jobs
        .iter()
        .filter(|job| job["kind"] == "transfer")
        .collect();
    // Two blocks of one pass are brought as one.
    assert_eq!(transfers.len(), 1, "{planned:#}");
    assert_eq!(transfers[0]["artifacts"].as_array().unwrap().len(), 2);
    assert!(transfers[0]["cost"]["bytes"].as_u64().unwrap() > 0);
    cli.run(&["run", "other.toml", "--device", "cpu"])
        .expect_code(0);
    assert_eq!(manifests(&cli)["features"], 2);
    cli.run(&["plan", "other.toml", "--check", "--no-remote"])
        .expect_code(0);
}

#[test]
fn a_flipped_byte_in_the_remote_is_refused_and_made_here() {
    let cli = small();
    run(&cli, "small.toml");
    let reports = cli.files("reports");
    cli.run(&["cache", "push", "shared"]).expect_code(0);
    let heads = head_files(&cli, "shared");
    assert_eq!(heads.len(), 8);
    flip(&heads[3]);
    let kept = cli.path("kept");
    fs::rename(cli.path(".repro"), &kept).unwrap();
    fs::remove_dir_all(cli.path("reports")).unwrap();

    let refused = cli.run(&["cache", "pull", "shared"]).expect_code(4);
    let says = "head.safetensors does not have the digest that its manifest states";
    assert!(refused.stderr.contains(says), "{refused}");
    assert_eq!(manifests(&cli)["head"], 7);
    cli.run(&["cache", "verify"]).expect_code(0);

    become_another_machine(&cli);
    cli.write(
        "repro.toml",
        "[remote]\nurl = \"shared\"\nrequired = true\n",
    );
    let required = run_with(&cli, &[]).expect_code(1);
    assert!(required.stderr.contains(says), "{required}");
    assert_eq!(manifests(&cli)["head"], 7);

    cli.write("repro.toml", "[remote]\nurl = \"shared\"\n");
    run_with(&cli, &[]).expect_code(0);
    assert_eq!(number_of(&events(&cli), "not-brought"), 1);
    assert_eq!(manifests(&cli)["head"], 8);
    let figures = |files: &BTreeMap<String, Vec<u8>>| files["small.results.csv"].clone();
    assert_eq!(figures(&cli.files("reports")), figures(&reports));

    // Who has the right one repairs it.
    cli.run(&["cache", "push", "shared", "--force", "--cache", "kept"])
        .expect_code(0);
    become_another_machine(&cli);
    run_with(&cli, &[]).expect_code(0);
    expect_nothing_computed(&events(&cli));
    assert_eq!(cli.files("reports"), reports);
}

#[test]
fn a_remote_that_is_gone_is_done_without_unless_it_is_required() {
    let cli = small();
    cli.write("repro.toml", "[remote]\nurl = \"nowhere\"\n");
    let output = run_with(&cli, &[]).expect_code(0);
    assert!(
        output
            .stderr
            .contains("warning: the remote nowhere cannot be used"),
        "{output}"
    );
    become_another_machine(&cli);
    cli.write(
        "repro.toml",
        "[remote]\nurl = \"nowhere\"\nrequired = true\n",
    );
    run_with(&cli, &[]).expect_code(4);
    cli.run(&["cache", "pull"]).expect_code(4);
    cli.write("repro.toml", "");
    let none = cli.run(&["cache", "pull"]).expect_code(2);
    assert!(none.stderr.contains("no remote is named"), "{none}");
}

#[test]
fn a_run_puts_there_what_it_made_below_the_prefix_of_its_project() {
    let cli = small();
    cli.write(
        "repro.toml",
        "[remote]\nurl = \"shared\"\nprefix = \"team/first\"\npush = true\n",
    );
    run_with(&cli, &[]).expect_code(0);
    let pushed: Vec<Value> = events(&cli)
        .into_iter()
        .filter(|event| event["event"] == "pushed")
        .collect();
    assert_eq!(pushed.len(), 1);
    assert_eq!(pushed[0]["artifacts"], 13);
    assert!(cli.path("shared/team/first/artifacts/head").is_dir());
    become_another_machine(&cli);
    run_with(&cli, &[]).expect_code(0);
    expect_nothing_computed(&events(&cli));
    // Another project has its own.
    cli.write(
        "repro.toml",
        "[remote]\nurl = \"shared\"\nprefix = \"team/second\"\n",
    );
    let other = cli.run(&["cache", "pull", "--dry-run"]).expect_code(0);
    assert!(other.stdout.contains("would take 0 artifacts"), "{other}");
}

#[test]
fn two_push_at_once_and_a_third_syncs() {
    let cli = small();
    // Two machines that computed the same, each for itself.
    for cache in ["one", "two"] {
        cli.run(&["run", "small.toml", "--device", "cpu", "--cache", cache])
            .expect_code(0);
    }
    let mut pushers: Vec<_> = ["one", "two"]
        .iter()
        .map(|cache| {
            let mut command = cli.command(&["cache", "push", "shared", "--cache", cache]);
            command.spawn().unwrap()
        })
        .collect();
    for pusher in &mut pushers {
        assert!(pusher.wait().unwrap().success());
    }
    // No file is there that no manifest names, but for those of a writer that came second.
    let pulled = cli
        .run(&["cache", "sync", "shared", "--cache", "three"])
        .expect_code(0);
    assert!(
        pulled.stderr.contains("13 artifacts from shared"),
        "{pulled}"
    );
    cli.run(&["cache", "verify", "--cache", "three"])
        .expect_code(0);
    cli.run(&["plan", "small.toml", "--check", "--cache", "three"])
        .expect_code(0);
}

#[test]
fn a_job_brings_what_it_needs() {
    let cli = small();
    run(&cli, "small.toml");
    cli.run(&["cache", "push", "shared", "small.toml"])
        .expect_code(0);
    // Heads and scores are lost there.
    for kind in ["head", "metric"] {
        fs::remove_dir_all(cli.path(&format!("shared/artifacts/{kind}"))).unwrap();
    }
    become_another_machine(&cli);
    cli.write("repro.toml", "[remote]\nurl = \"shared\"\npush = true\n");
    let planned = cli
        .run(&["plan", "small.toml", "--json"])
        .expect_code(0)
        .json();
    let jobs = planned["jobs"].as_array().unwrap().iter();
    let heads: Vec<String> = jobs
        .filter(|job| job["kind"] == "heads")
        .map(|job| job["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(heads.len(), 4);
    cli.run(&["job", "small.toml", &heads[0], "--device", "cpu"])
        .expect_code(0);
    // The features of one pass are brought together.
    let expected = [("features".to_owned(), 2), ("head".to_owned(), 2)];
    assert_eq!(manifests(&cli), BTreeMap::from(expected));
    assert_eq!(head_files(&cli, "shared").len(), 2);
    let pass = planned["artifacts"].as_array().unwrap();
    assert!(
        pass.iter().any(|one| one["state"] == "remote"),
        "{planned:#}"
    );
}
