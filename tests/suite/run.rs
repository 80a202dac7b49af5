//! Small experiments from end to end: what a run leaves behind, what a second one does, and what survives a kill.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use repro::store::{ArtifactKind, Fingerprint, Store};
use serde_json::Value;

use crate::fixture::{CliTest, Output, finish, with_snapshots};

const TRAIN: usize = 40;
const TEST: usize = 20;

/// Two blocks, two seeds, a table and a figure.
const SMALL: &str = r#"
[experiment]
name  = "small"
seeds = [0, 1]

[dataset.fashion]
kind = "fashion-mnist"
root = "fashion"

[model.unet]
kind    = "guided-diffusion"
preset  = "adm-nano"
weights = { synthetic = 1 }

[extraction.taps]
model    = "unet"
dataset  = "fashion"
timestep = [10, 90]
block    = [1, 3]
pool     = 2

[head.probe]
kind     = "linear"
features = "taps"
epochs   = 2

[metric.accuracy]
kind = "accuracy"
of   = "probe"
top  = [1, 5]

[report]
output = "reports/small.md"

[[report.table]]
kind    = "grid"
metric  = "top1"
rows    = "block"
columns = "timestep"

[[report.figure]]
kind   = "lines"
file   = "small.svg"
metric = "top5"
x      = "block"
series = "timestep"
"#;

/// Extractions only, over six shards: 6,000 images.
const SIX_SHARDS: &str = r#"
[experiment]
name = "six-shards"

[dataset.fashion]
kind = "fashion-mnist"
root = "fashion"

[model.unet]
kind    = "guided-diffusion"
preset  = "adm-nano"
weights = { synthetic = 1 }

[extraction.taps]
model      = "unet"
dataset    = "fashion"
timestep   = 90
block      = 1
pool       = [1, 2]
batch_size = 32
"#;

fn small() -> CliTest {
    let cli = CliTest::with_fashion(TRAIN, TEST);
    cli.write("small.toml", SMALL);
    cli
}

#[track_caller]
fn run(cli: &CliTest, file: &str) -> Output {
    cli.run(&["run", file, "--device", "cpu"]).expect_code(0)
}

/// The part files of all features, by artifact and name.
fn parts(cli: &CliTest, cache: &str) -> BTreeMap<String, Vec<u8>> {
    let files = cli
        .files(&format!("{cache}/artifacts/features"))
        .into_iter();
    files
        .filter(|(path, _)| path.strip_suffix(".arrow").is_some())
        .collect()
}

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
        insta::assert_snapshot!("run-plan-when-all-is-cached", plan.stdout)
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
        insta::assert_snapshot!("run-plan-with-an-added-block", plan.stdout)
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

/// Starts a run and waits until so many parts are on the disk.
fn start_and_wait_for_parts(cli: &CliTest, cache: &str, wanted: usize) -> Child {
    let mut command = cli.command(&[
        "run",
        "six-shards.toml",
        "--device",
        "cpu",
        "--cache",
        cache,
    ]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while parts(cli, cache).len() < wanted {
        assert!(
            child.try_wait().unwrap().is_none(),
            "the run ended before its first part"
        );
        assert!(
            started.elapsed() < Duration::from_secs(120),
            "no part in two minutes"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
    child
}

fn signal(child: &Child, name: &str) {
    let status = std::process::Command::new("sh")
        .args(["-c", &format!("kill -{name} {}", child.id())])
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn a_killed_and_an_interrupted_run_go_on_to_the_same_bytes() {
    const TAPS: usize = 2;
    const SHARD: usize = 1024;
    let cli = CliTest::with_fashion(5000, 1000);
    cli.write("six-shards.toml", SIX_SHARDS);
    cli.run(&["run", "six-shards.toml", "--cache", "whole"])
        .expect_code(0);
    let whole = parts(&cli, "whole");
    assert_eq!(whole.len(), TAPS * 6);

    // Killed as soon as one tap has a part; stopped politely when all of them have one.
    for (cache, name, wanted) in [("killed", "KILL", 1), ("interrupted", "INT", TAPS)] {
        let child = start_and_wait_for_parts(&cli, cache, wanted);
        signal(&child, name);
        let output = finish(child.wait_with_output().unwrap());
        let committed = parts(&cli, cache);
        assert!(
            committed.len() < whole.len(),
            "{name} came too late to test anything: {output}"
        );
        if name == "INT" {
            let texts = [
                "stopping after the current batch",
                "stopped; everything committed is kept, run the same command again to go on",
            ];
            output.expect_code(130).expect_in_stderr(&texts);
        } else {
            assert_eq!(output.code, None, "{output}");
        }
        cli.run(&["plan", "--check", "six-shards.toml", "--cache", cache])
            .expect_code(1);

        let resumed = cli
            .run(&["run", "six-shards.toml", "--cache", cache])
            .expect_code(0);
        // A shard counts as done when every tap has its part.
        let shard = |number: usize| {
            committed
                .keys()
                .filter(|path| path.ends_with(&format!("part-{number:05}.arrow")))
                .count()
        };
        let done = SHARD * (0..6).filter(|&number| shard(number) == TAPS).count();
        if done > 0 {
            let said = format!("{},{:03} already committed", done / 1000, done % 1000);
            assert!(resumed.stderr.contains(&said), "{name}, {said}: {resumed}");
        }
        assert!(name == "KILL" || done > 0, "{committed:?}");
        let parts = parts(&cli, cache);
        assert!(parts.keys().eq(whole.keys()), "{name}");
        for (path, bytes) in &whole {
            assert!(bytes == &parts[path], "{path} differs after {name}");
        }
        cli.run(&["cache", "verify", "--cache", cache])
            .expect_code(0);
    }
}

#[test]
fn two_runs_at_once_make_everything_once() {
    let cli = small();
    let mut children = Vec::new();
    for log in ["first.jsonl", "second.jsonl"] {
        let mut command = cli.command(&["run", "small.toml", "--json-log", log]);
        children.push(
            command
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap(),
        );
    }
    for child in children {
        finish(child.wait_with_output().unwrap()).expect_code(0);
    }
    let logs = cli.read("first.jsonl") + &cli.read("second.jsonl");
    assert_eq!(logs.matches("\"head-finished\"").count(), 8, "{logs}");
    assert_eq!(cli.query("SELECT * FROM artifacts").len(), 4 + 8 + 1);
    cli.run(&["cache", "verify"]).expect_code(0);
    assert!(run(&cli, "small.toml").stderr.contains("nothing to do"));
}

#[test]
fn a_report_that_cannot_be_written_is_a_failure_and_not_a_loss() {
    let cli = small();
    cli.write("reports", "a file where the folder should be");
    let output = cli
        .run(&["run", "small.toml"])
        .expect_code(1)
        .expect_in_stderr(&["reports"]);
    assert!(!output.stderr.contains("panicked"), "{output}");
    fs::remove_file(cli.path("reports")).unwrap();
    run(&cli, "small.toml");
    assert_eq!(cli.query("SELECT * FROM artifacts").len(), 4 + 8 + 1);
    assert!(cli.path("reports/small.md").exists());
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
    assert_eq!(reports.len(), 2);
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
    assert!(
        cli.read("reports/small.md")
            .contains("its head is not trained yet")
    );
    run(&cli, "small.toml");
    assert!(
        !cli.read("reports/small.md")
            .contains("its head is not trained yet")
    );
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

/// An experiment on a folder of photographs, one of which does not decode.
fn with_bad_image(on_bad_image: &str) -> CliTest {
    let cli = CliTest::new();
    cli.image_folder("photos", 6);
    cli.write("photos/test/light/03.png", "this is no PNG");
    let text = SMALL
        .replace("fashion-mnist", "image-folder")
        .replace("root = \"fashion\"", "root = \"photos\"");
    cli.write(
        "photos.toml",
        text.replace(
            "pool     = 2",
            &format!("pool     = 2\non_bad_image = \"{on_bad_image}\""),
        ),
    );
    cli
}

#[test]
fn a_bad_image_fails_its_nodes_and_is_named() {
    let cli = with_bad_image("fail");
    let output = cli.run(&["run", "photos.toml"]).expect_code(1);
    let output = output.expect_in_stderr(&["test/light/03.png", "does not decode"]);
    assert!(!output.stderr.contains("panicked"), "{output}");
    assert!(
        !cli.path("reports/small.md").exists(),
        "no report on what is not there"
    );
    assert_eq!(cli.query("SELECT * FROM results").len(), 0);
}

#[test]
fn a_skipped_image_is_counted_and_listed() {
    let cli = with_bad_image("skip");
    let output = cli.run(&["run", "photos.toml"]).expect_code(0);
    let output = output.expect_in_stderr(&["skipped", "test/light/03.png"]);
    assert!(!output.stderr.contains("panicked"), "{output}");
    // 2 classes × 6 images, one of which is not there.
    let results = cli.query("SELECT count FROM results");
    assert!(
        results.len() == 16 && results.iter().all(|result| result["count"] == 11),
        "{results:?}"
    );
    let report = cli.read("reports/small.md");
    assert!(report.contains("test/light/03.png"), "{report}");
    // Whoever reads the features meets it as what it is.
    let fingerprint = cli.query("SELECT fingerprint FROM artifacts WHERE kind = 'features' LIMIT 1")[0]["fingerprint"].clone();
    let table = format!("features_{}", &fingerprint.as_str().unwrap()[..12]);
    let rows = cli.query(&format!("SELECT id FROM {table} WHERE split = 'skipped'"));
    assert_eq!(rows, [serde_json::json!({ "id": "test/light/03.png" })]);
    // Nothing is left to do, and what was skipped stays known.
    assert!(run(&cli, "photos.toml").stderr.contains("nothing to do"));
}

#[test]
fn features_made_with_skipped_images_do_not_pass_as_whole() {
    let cli = with_bad_image("skip");
    run(&cli, "photos.toml");
    let strict = cli
        .read("photos.toml")
        .replace("\"skip\"", "\"fail\"")
        .replace("epochs   = 2", "epochs   = 3");
    cli.write("photos.toml", strict);
    let output = cli.run(&["run", "photos.toml"]).expect_code(1);
    output.expect_in_stderr(&["test/light/03.png", "on_bad_image = \"skip\""]);
}

/// The path of the first file with this ending under a kind of artifact.
fn file_of(cli: &CliTest, kind: ArtifactKind, ending: &str) -> String {
    let folder = format!(".repro/artifacts/{}", kind.name());
    let file = cli
        .files(&folder)
        .into_keys()
        .find(|path| path.ends_with(ending))
        .unwrap();
    format!("{folder}/{file}")
}

#[test]
fn a_flipped_bit_is_found_and_mended() {
    let cli = small();
    run(&cli, "small.toml");
    let part = file_of(&cli, ArtifactKind::Features, "part-00000.arrow");
    let good = fs::read(cli.path(&part)).unwrap();
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    fs::write(cli.path(&part), &bad).unwrap();
    let output = cli.run(&["cache", "verify"]).expect_code(4);
    assert!(
        output.stdout.contains(&part) && output.stdout.lines().count() == 1,
        "{output}"
    );
    assert!(output.stderr.contains("1 problem in the cache"), "{output}");

    // Something that reads the part: a head that is not there yet.
    cli.write("small.toml", SMALL.replace("epochs   = 2", "epochs   = 3"));
    let mut output = cli.run(&["run", "small.toml"]);
    if output.code != Some(0) {
        // The first run may find the damage; the next one must be whole.
        assert!(output.code == Some(1) || output.code == Some(4), "{output}");
        assert!(
            output.stderr.contains("does not have the digest"),
            "{output}"
        );
        output = cli.run(&["run", "small.toml"]);
    }
    output.expect_code(0);
    assert!(
        fs::read(cli.path(&part)).unwrap() == good,
        "made again with the same bytes"
    );
    assert!(
        cli.files(".repro/quarantine")
            .values()
            .any(|bytes| *bytes == bad),
        "the damaged part is kept as evidence"
    );
    cli.run(&["cache", "verify"]).expect_code(0);
}

#[test]
fn damaged_and_deleted_artifacts_are_made_again() {
    let cli = small();
    run(&cli, "small.toml");
    let before = cli.files(".repro/artifacts");
    let part = file_of(&cli, ArtifactKind::Features, "part-00000.arrow");
    let predictions = file_of(&cli, ArtifactKind::Head, "predictions.parquet");
    let results = file_of(&cli, ArtifactKind::Metric, "manifest.json");
    let cut = fs::read(cli.path(&part)).unwrap();
    fs::write(cli.path(&part), &cut[..cut.len() / 2]).unwrap();
    fs::remove_file(cli.path(&predictions)).unwrap();
    fs::remove_dir_all(cli.path(&results).parent().unwrap()).unwrap();
    cli.run(&["cache", "verify"]).expect_code(4);
    cli.run(&["plan", "--check", "small.toml"]).expect_code(1);

    let output = run(&cli, "small.toml");
    assert!(output.stderr.contains("set aside"), "{output}");
    assert!(
        output.stderr.contains(part.split('/').nth(4).unwrap()),
        "it is named: {output}"
    );
    let after = cli.files(".repro/artifacts");
    assert!(
        after.keys().eq(before.keys()),
        "{:?}\n{:?}",
        before.keys(),
        after.keys()
    );
    // Manifests say when they were made; everything else has the bytes that it had.
    for (path, bytes) in before
        .iter()
        .filter(|(path, _)| !path.ends_with("manifest.json"))
    {
        assert!(bytes == &after[path], "{path} differs");
    }
    cli.run(&["cache", "verify"]).expect_code(0);
    assert!(run(&cli, "small.toml").stderr.contains("nothing to do"));
}
