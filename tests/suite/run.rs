//! Small experiments from end to end: what a run leaves behind, and what a second one does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use repro::store::{Fingerprint, Store};
use serde_json::Value;

use crate::fixture::{CliTest, with_snapshots};
use crate::small::{SMALL, TEST, TRAIN, parts, run, small};

#[test]
fn a_run_ends_with_a_report_and_a_second_one_touches_nothing() {
    let cli = small();
    let first = run(&cli, "small.toml");
    assert_eq!(first.stdout, "", "stdout is for data");
    assert!(
        first
            .stderr
            .contains("reports/small.md is written, with 1 figure"),
        "{first}"
    );
    let report = cli.read("reports/small.md");
    assert!(report.contains("](small.svg)"), "{report}");
    assert!(report.contains("./repro run small.toml"), "{report}");
    assert!(cli.read("reports/small.svg").starts_with("<svg"));

    // Every metric scored every image of the test split: 2 timesteps × 2 blocks × 2 seeds × top-1 and top-5.
    let results = cli.query("SELECT * FROM results");
    assert_eq!(results.len(), 16);
    for result in &results {
        assert_eq!(result["count"], TEST, "{result}");
        let share = result["correct"].as_f64().unwrap() / TEST as f64;
        assert!(
            (result["value"].as_f64().unwrap() - share).abs() < 1e-12,
            "{result}"
        );
    }
    let predictions = cli.query(
        "SELECT head_fingerprint, count(*) AS rows FROM predictions GROUP BY head_fingerprint",
    );
    assert_eq!(predictions.len(), 8);
    assert!(
        predictions.iter().all(|head| head["rows"] == TEST),
        "{predictions:?}"
    );
    let features = cli.query("SELECT rows FROM artifacts WHERE kind = 'features'");
    assert!(
        features.len() == 4
            && features
                .iter()
                .all(|artifact| artifact["rows"] == TRAIN + TEST),
        "{features:?}"
    );

    let before = cli.times();
    let second = run(&cli, "small.toml");
    assert_eq!(second.stdout, "");
    assert!(second.stderr.contains("nothing to do"), "{second}");
    assert_eq!(cli.times(), before);
    cli.run(&["plan", "--check", "small.toml"]).expect_code(0);
    let verified = cli.run(&["cache", "verify"]).expect_code(0);
    assert_eq!(
        verified.stdout,
        "every file has the digest that its manifest lists\n"
    );

    let plan = cli.run(&["plan", "--steps", "small.toml"]).expect_code(0);
    with_snapshots(&cli, || {
        insta::assert_snapshot!("run-plan-when-all-is-cached", plan.stdout);
    });
}

#[test]
fn an_added_block_runs_alone() {
    let cli = small();
    run(&cli, "small.toml");
    let before = cli.files(".repro/artifacts");
    cli.write(
        "small.toml",
        SMALL.replace("block    = [1, 3]", "block    = [1, 2, 3]"),
    );
    let plan = cli.run(&["plan", "--steps", "small.toml"]).expect_code(0);
    with_snapshots(&cli, || {
        insta::assert_snapshot!("run-plan-with-an-added-block", plan.stdout);
    });
    cli.run(&["plan", "--check", "small.toml"]).expect_code(1);

    let record = cli
        .run(&["plan", "--json", "small.toml"])
        .expect_code(0)
        .json();
    let passes = record["passes"].as_array().unwrap();
    assert_eq!(passes.len(), 2);
    assert!(
        passes
            .iter()
            .all(|pass| pass["taps"] == 1 && pass["deepest_block"] == 2),
        "{passes:?}"
    );

    run(&cli, "small.toml");
    let after = cli.files(".repro/artifacts");
    for (path, bytes) in &before {
        assert!(after.get(path) == Some(bytes), "{path} changed");
    }
    let features = |files: &BTreeMap<String, Vec<u8>>| {
        files
            .keys()
            .filter(|path| path.starts_with("features/") && path.ends_with("manifest.json"))
            .count()
    };
    assert_eq!((features(&before), features(&after)), (4, 6));
    assert_eq!(
        cli.query("SELECT DISTINCT block FROM results WHERE metric = 'top1'")
            .len(),
        3
    );
}

#[test]
fn fused_passes_leave_the_bytes_of_single_ones() {
    let extraction = |name: &str, keys: &str| {
        format!(
            "[extraction.{name}]\nmodel = \"unet\"\ndataset = \"fashion\"\ntimestep = 90\n{keys}\n"
        )
    };
    let head = &SMALL[..SMALL.find("[extraction").unwrap()];
    let early = extraction("early", "block = [1, 2]");
    let late = extraction("late", "block = [2, 5]\npool = [1, 4]\nstorage = \"f16\"");
    let cli = CliTest::with_fashion(TRAIN, TEST);
    for (file, nodes) in [
        ("both", format!("{early}{late}")),
        ("early", early),
        ("late", late),
    ] {
        cli.write(&format!("{file}.toml"), format!("{head}{nodes}"));
        cli.run(&["run", &format!("{file}.toml"), "--cache", file])
            .expect_code(0);
    }
    let record = cli
        .run(&["plan", "both.toml", "--json", "--cache", "empty"])
        .expect_code(0)
        .json();
    assert_eq!(
        record["passes"].as_array().unwrap().len(),
        1,
        "they are fused"
    );
    let mut single = parts(&cli, "early");
    single.extend(parts(&cli, "late"));
    let fused = parts(&cli, "both");
    assert_eq!(fused.len(), 6);
    assert!(
        fused.keys().eq(single.keys()),
        "{:?}\n{:?}",
        fused.keys(),
        single.keys()
    );
    for (path, bytes) in &fused {
        assert!(bytes == &single[path], "{path} differs");
    }
}

#[test]
fn the_batch_size_changes_rounding_at_most() {
    let cli = CliTest::with_fashion(TRAIN, TEST);
    let head = SMALL[..SMALL.find("[head").unwrap()].replace("[10, 90]", "90");
    let caches = [
        ("one", "batch_size = 1"),
        ("seven", "batch_size = 7"),
        ("chosen", ""),
    ];
    for (cache, key) in caches {
        cli.write("batch.toml", format!("{head}{key}\n"));
        cli.run(&["run", "batch.toml", "--cache", cache])
            .expect_code(0);
    }
    let stores = caches.map(|(cache, _)| Store::open_read_only(cli.path(cache)).unwrap());
    let fingerprints: Vec<Fingerprint> =
        stores[2].listing().unwrap().artifacts.into_keys().collect();
    assert_eq!(fingerprints.len(), 2);
    for fingerprint in &fingerprints {
        let read = |store: &Store| {
            let reader = store.features(fingerprint).unwrap();
            let ids: Vec<String> = reader
                .parts()
                .iter()
                .flat_map(|part| part.ids().map(ToOwned::to_owned).collect::<Vec<_>>())
                .collect();
            let values: Vec<f32> = reader
                .parts()
                .iter()
                .flat_map(|part| part.values_f32().unwrap().to_vec())
                .collect();
            (ids, values)
        };
        let (ids, chosen) = read(&stores[2]);
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), TRAIN + TEST);
        assert!(
            chosen.iter().any(|value| value.abs() > 0.01),
            "features are not all zero"
        );
        for store in &stores[..2] {
            let (other_ids, other) = read(store);
            assert_eq!((&other_ids, other.len()), (&ids, chosen.len()));
            let difference = chosen
                .iter()
                .zip(&other)
                .map(|(left, right)| (left - right).abs())
                .fold(0.0, f32::max);
            assert!(difference <= 1e-4, "{difference}");
        }
    }
}

#[test]
fn a_report_is_rendered_again_from_the_cache_alone() {
    let cli = small();
    let empty = cli.run(&["report", "small.toml"]);
    assert!(matches!(empty.code, Some(1 | 4)), "{empty}");
    assert!(empty.stderr.contains("hint: "), "{empty}");
    assert!(
        !cli.path(".repro/artifacts/features").exists(),
        "it computes nothing"
    );
    assert!(!cli.path("reports").exists());

    run(&cli, "small.toml");
    let (cache, reports) = (cli.files(".repro/artifacts"), cli.files("reports"));
    assert_eq!(
        reports.len(),
        4,
        "a page, a figure, the results and where they come from"
    );
    fs::remove_dir_all(cli.path("reports")).unwrap();
    let output = cli.run(&["report", "small.toml"]).expect_code(0);
    assert_eq!(output.stdout, "");
    assert!(cli.files("reports") == reports, "the same bytes");
    assert!(cli.files(".repro/artifacts") == cache);
    let again = cli.run(&["report", "small.toml"]).expect_code(0);
    assert!(
        again.stderr.contains("reports/small.md is up to date"),
        "{again}"
    );
}

#[test]
fn a_report_says_what_is_not_computed_yet() {
    let cli = small();
    run(&cli, "small.toml");
    let wider = SMALL.replace("block    = [1, 3]", "block    = [1, 2, 3]");
    cli.write("small.toml", wider);
    let before = cli.files(".repro/artifacts");
    cli.run(&["report", "small.toml"]).expect_code(0);
    assert!(
        cli.files(".repro/artifacts") == before,
        "it computes nothing"
    );
    assert!(cli.read("reports/small.md").contains("not trained yet"));
    run(&cli, "small.toml");
    assert!(!cli.read("reports/small.md").contains("not trained yet"));
}

#[test]
fn a_run_elsewhere_writes_the_same_report() {
    let here = small();
    run(&here, "small.toml");
    let elsewhere = small();
    let mut command = elsewhere.command(&["run", "small.toml"]);
    command
        .env("OMP_NUM_THREADS", "2")
        .env("RAYON_NUM_THREADS", "2");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    for file in ["small.md", "small.svg", "small.results.csv"] {
        let file = format!("reports/{file}");
        assert_eq!(here.read(&file), elsewhere.read(&file), "{file}");
    }
    let run_of = |cli: &CliTest| -> Value {
        let text = cli.read("reports/small.provenance.json");
        serde_json::from_str::<Value>(&text).unwrap()["run"].clone()
    };
    let (one, other) = (run_of(&here), run_of(&elsewhere));
    assert!(!one["versions"].as_object().unwrap().is_empty());
    assert_ne!(one["kinds"], other["kinds"], "two runs take the same time");
}

#[test]
fn every_line_of_the_log_is_json_with_a_time_and_an_event() {
    let cli = small();
    cli.run(&["run", "small.toml", "--json-log", "run.jsonl"])
        .expect_code(0);
    let log = cli.read("run.jsonl");
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let events: Vec<&str> = lines
        .iter()
        .map(|line| line["event"].as_str().unwrap())
        .collect();
    assert_eq!(
        (events[0], events[events.len() - 1]),
        ("run-started", "run-finished")
    );
    let count = |name: &str| events.iter().filter(|event| **event == name).count();
    assert_eq!(
        (
            count("pass-started"),
            count("pass-finished"),
            count("head-finished"),
            count("metric-finished")
        ),
        (2, 2, 8, 1)
    );
    assert!(
        lines
            .iter()
            .all(|line| line["at"].as_str().is_some_and(|at| at.ends_with('Z')))
    );
    // The same events are kept with the cache.
    let records = cli.files(".repro/runs");
    assert_eq!(records.len(), 1);
    let record = String::from_utf8(records.into_values().next().unwrap()).unwrap();
    assert_eq!(record.lines().count(), lines.len());
}

#[test]
fn heads_of_several_layers_run() {
    let cli = small();
    let features = &SMALL[..SMALL.find("[head").unwrap()];
    let features = features
        .replace("[10, 90]", "10")
        .replace("[1, 3]", "1")
        .replace("pool     = 2", "pool     = 8")
        .replace("seeds = [0, 1]", "seeds = [0]");
    let nodes = r#"
[head.mlp]
kind     = "mlp"
hidden   = [16, 12]
features = "taps"
epochs   = 1

[head.cnn]
kind       = "cnn"
widths     = [8, 6]
activation = "relu"
features   = "taps"
epochs     = 1

[head.attention]
kind     = "attention"
heads    = 4
blocks   = 2
tokens   = ["cls", "mean"]
features = "taps"
epochs   = 1

[metric.accuracy]
kind = "accuracy"
of   = ["mlp", "cnn", "attention"]
"#;
    cli.write("heads.toml", format!("{features}{nodes}"));
    run(&cli, "heads.toml");
    let results = cli.query("SELECT head_kind, count FROM results WHERE metric = 'top1'");
    assert_eq!(results.len(), 4);
    assert!(results.iter().all(|result| result["count"] == TEST));
}
