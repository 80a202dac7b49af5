//! `repro cache ls`, `repro cache gc` and `repro explain`: who needs what, what may go, and why something is made again.

use std::fs;

use crate::fixture::CliTest;
use crate::small::{SMALL, small};

/// The artifacts that a cache lists.
fn artifacts(cli: &CliTest) -> usize {
    let listed = cli.run(&["list", "artifacts", "--json"]).expect_code(0);
    listed.json().as_array().unwrap().len()
}

fn would_remove(cli: &CliTest, arguments: &[&str]) -> usize {
    let arguments = [&["cache", "gc", "--json"], arguments].concat();
    let record = cli.run(&arguments).expect_code(0).json();
    record["artifacts"].as_array().unwrap().len()
}

#[test]
fn what_the_last_runs_wanted_stays() {
    let cli = small();
    cli.run(&["run", "small.toml"]).expect_code(0);
    let first = artifacts(&cli);
    assert_eq!(would_remove(&cli, &[]), 0);

    // The same file with other epochs: what the run before wanted and this one does not is no longer needed.
    cli.write("small.toml", SMALL.replace("epochs   = 2", "epochs   = 3"));
    cli.run(&["run", "small.toml"]).expect_code(0);
    let both = artifacts(&cli);
    let heads = first - both + first;
    assert!(both > first && heads < first, "{first} {both}");
    let old = would_remove(&cli, &[]);
    assert_eq!(old, both - first, "heads and metric of the first run");

    // Nothing goes without being told to, and not what was wanted lately.
    assert_eq!(artifacts(&cli), both);
    assert_eq!(would_remove(&cli, &["--older-than", "1h"]), 0);
    assert_eq!(would_remove(&cli, &["--max-size", "1GB"]), 0);
    assert_eq!(would_remove(&cli, &["--max-size", "1kB"]), old);

    let before = cli.query("SELECT * FROM results ORDER BY metric, head, seed");
    let removed = cli.run(&["cache", "gc", "--remove"]).expect_code(0);
    assert!(removed.stdout.contains("removed"), "{}", removed.stdout);
    assert_eq!(artifacts(&cli), first);
    assert!(cli.query("SELECT * FROM results").len() < before.len());
    cli.run(&["cache", "verify"]).expect_code(0);
    let again = cli.run(&["plan", "--check", "small.toml"]);
    again.expect_code(0);
    cli.run(&["run", "small.toml"]).expect_code(0);
}

#[test]
fn files_that_are_named_decide_and_reports_keep_what_they_stand_on() {
    let cli = small();
    cli.run(&["run", "small.toml"]).expect_code(0);
    let all = artifacts(&cli);
    let one_block = SMALL.replace("block    = [1, 3]", "block    = 1");
    cli.write(
        "one.toml",
        one_block.replace("reports/small", "reports/one"),
    );
    // The report of the whole stands on what the other file does not want.
    assert_eq!(would_remove(&cli, &["one.toml"]), 0);
    let goes = would_remove(&cli, &["one.toml", "--also-reported"]);
    assert!(goes > 0 && goes < all, "{goes} of {all}");
    fs::remove_dir_all(cli.path("reports")).unwrap();
    assert_eq!(would_remove(&cli, &["one.toml"]), goes);
    assert_eq!(would_remove(&cli, &["small.toml", "one.toml"]), 0);
    assert_eq!(artifacts(&cli), all);
}

#[test]
fn nothing_is_removed_where_nobody_says_what_is_needed_or_somebody_works() {
    let cli = small();
    cli.run(&["run", "small.toml"]).expect_code(0);
    // A cache of an older release has no such records.
    fs::remove_dir_all(cli.path(".repro/uses")).unwrap();
    cli.run(&["cache", "gc"])
        .expect_code(2)
        .expect_in_stderr(&["nothing says what is still needed"]);
    cli.run(&["cache", "gc", "--set", "head.probe.epochs=1"])
        .expect_code(2);
    let lock = fs::File::open(cli.path(".repro/locks/store.lock")).unwrap();
    lock.lock_shared().unwrap();
    cli.run(&["cache", "gc", "--remove", "small.toml"])
        .expect_code(4)
        .expect_in_stderr(&["another process has the cache"]);
    drop(lock);
    cli.run(&["cache", "gc", "--remove", "small.toml"])
        .expect_code(0);
    cli.run(&["plan", "--check", "small.toml"]).expect_code(0);
}

#[test]
fn the_listing_says_who_needs_how_much() {
    let cli = small();
    cli.run(&["run", "small.toml"]).expect_code(0);
    let record = cli.run(&["cache", "ls", "--json"]).expect_code(0).json();
    assert_eq!(record["artifacts"], artifacts(&cli));
    let referred = record["referred"].as_array().unwrap();
    let names: Vec<&str> = referred
        .iter()
        .map(|line| line["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["small.toml", "reports/small.provenance.json"]);
    assert_eq!(referred[0]["artifacts"], record["artifacts"]);
    assert_eq!(referred[0]["bytes"], record["bytes"]);
    assert_eq!(
        referred[0]["bytes_of_it_alone"], 0,
        "the report needs it too"
    );
    let text = cli.run(&["cache", "ls"]).expect_code(0).stdout;
    assert!(text.contains("small.toml"), "{text}");
}

#[test]
fn an_explanation_names_the_fields_old_and_new() {
    let cli = small();
    let never = cli.run(&["explain", "small.toml", "probe"]).expect_code(0);
    assert!(never.stdout.contains("never made"), "{}", never.stdout);
    cli.run(&["run", "small.toml"]).expect_code(0);
    let cached = cli.run(&["explain", "small.toml"]).expect_code(0);
    assert!(!cached.stdout.contains("missing"), "{}", cached.stdout);
    let changed = cli
        .run(&[
            "explain",
            "small.toml",
            "probe",
            "--set",
            "head.probe.epochs=5",
        ])
        .expect_code(0);
    assert!(
        changed.stdout.contains("epochs: 2 → 5"),
        "{}",
        changed.stdout
    );
    let json = cli
        .run(&[
            "explain",
            "small.toml",
            "--json",
            "--set",
            "head.probe.epochs=5",
        ])
        .expect_code(0)
        .json();
    let of_heads = json.as_array().unwrap().iter();
    let of_heads: Vec<_> = of_heads.filter(|one| one["kind"] == "head").collect();
    assert!(!of_heads.is_empty());
    for head in of_heads {
        let changes = head["nearest"]["changes"].as_array().unwrap();
        assert!(changes.iter().any(|change| {
            let field = change["field"].as_str().unwrap();
            field.ends_with("epochs") && change["before"] == "2" && change["after"] == "5"
        }));
    }
    cli.run(&["explain", "small.toml", "prob"])
        .expect_code(2)
        .expect_in_stderr(&["no node `prob`", "probe"]);
}

#[test]
fn checkpoints_that_no_training_would_find_go() {
    let cli = small();
    cli.run(&["run", "small.toml"]).expect_code(0);
    let folder = format!(".repro/checkpoints/{}", "0".repeat(64));
    cli.write(
        &format!("{folder}/step-00000001-0123456789abcdef.safetensors"),
        "1234",
    );
    let would = |arguments: &[&str]| {
        let arguments = [&["cache", "gc", "--json"], arguments].concat();
        cli.run(&arguments).expect_code(0).json()["checkpoints"]["bytes"].clone()
    };
    assert_eq!(would(&[]), 4);
    assert_eq!(would(&["small.toml"]), 4);
    assert_eq!(would(&["--older-than", "1h"]), 0);
    // A record of an older release does not say what its trainings find theirs by.
    let uses = fs::read_dir(cli.path(".repro/uses"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let text = fs::read_to_string(uses.path()).unwrap();
    let mut record: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        record["checkpoints"].as_array().unwrap().len(),
        4,
        "{record}"
    );
    record.as_object_mut().unwrap().remove("checkpoints");
    fs::write(uses.path(), record.to_string()).unwrap();
    assert_eq!(would(&[]), 0);
    fs::write(uses.path(), text).unwrap();
    let said = cli.run(&["cache", "gc", "--remove"]).expect_code(0).stdout;
    assert!(
        said.contains("removed the checkpoints of 1 training, 4 B"),
        "{said}"
    );
    assert!(!cli.path(&folder).exists());
    cli.run(&["plan", "--check", "small.toml"]).expect_code(0);
}

#[test]
fn nothing_goes_while_a_record_or_a_report_cannot_be_read() {
    let cli = small();
    cli.run(&["run", "small.toml"]).expect_code(0);
    let provenance = cli.read("reports/small.provenance.json");
    cli.write(
        "reports/small.provenance.json",
        &provenance[..provenance.len() / 2],
    );
    for action in ["gc", "ls"] {
        cli.run(&["cache", action])
            .expect_code(3)
            .expect_in_stderr(&["small.provenance.json is not complete JSON"]);
    }
    cli.write("reports/small.provenance.json", provenance);
    cli.write(".repro/uses/x.json", "{");
    cli.run(&["cache", "gc"])
        .expect_code(4)
        .expect_in_stderr(&["a record of a run cannot be read", "x.json"]);
    assert!(artifacts(&cli) > 0);
}
