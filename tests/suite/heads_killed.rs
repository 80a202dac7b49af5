//! Heads that are killed while they train resume to the bytes of a run that was never stopped.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::fixture::{CliTest, finish};
use crate::interruption::signal;
use crate::small::{FASHION, RAW, experiment};

/// Stacks with moments, with momentum and with running means, all judged on a validation split: nine heads in one group.
const NINE: &str = r#"
[extraction.pixels]
model    = "raw"
dataset  = "fashion"
timestep = 0
block    = 1
pool     = 7

[head.linear]
kind       = "linear"
features   = "pixels"
epochs     = 60
batch_size = 32
holdout    = 0.2
patience   = 60
optimizer  = [{ lr = 1e-2 }, { lr = 1e-3 }, { lr = 1e-4 }]

[head.mlp]
kind       = "mlp"
hidden     = [16]
features   = "pixels"
epochs     = 60
batch_size = 32
holdout    = 0.2
optimizer  = [{ kind = "sgd", lr = 1e-1 }, { kind = "sgd", lr = 1e-2 }, { kind = "sgd", lr = 1e-3 }]

[head.normed]
kind       = "batchnorm-linear"
features   = "pixels"
epochs     = 50
batch_size = 32
holdout    = 0.2
optimizer  = [{ kind = "lars", lr = 1.0 }, { kind = "lars", lr = 0.1 }, { kind = "lars", lr = 0.01 }]
"#;

/// The whole experiment.
fn nine() -> String {
    experiment("nine", &[FASHION, RAW, NINE])
}

/// Epochs of the longest training.
const EPOCHS: u32 = 60;

/// The files of all heads but their manifests, which record when and for how long they were made.
fn made(cli: &CliTest, cache: &str) -> BTreeMap<String, Vec<u8>> {
    let mut files = cli.files(&format!("{cache}/artifacts/head"));
    files.retain(|path, _| !path.ends_with("manifest.json"));
    files
}

/// Epochs that the newest checkpoint in a cache has behind it.
fn kept(cli: &CliTest, cache: &str) -> Option<u32> {
    let files = cli.files(&format!("{cache}/checkpoints"));
    let steps = files.keys().filter_map(|path| {
        let (_, name) = path.rsplit_once("step-")?;
        name.ends_with(".safetensors").then_some(())?;
        name.get(..8)?.parse().ok()
    });
    steps.max()
}

/// The first epoch that a run reported.
fn first_epoch(cli: &CliTest, log: &str) -> Option<u64> {
    cli.read(log).lines().find_map(|line| {
        let event: Value = serde_json::from_str(line).ok()?;
        (event["event"] == "heads-advanced").then(|| event["epoch"].as_u64())?
    })
}

#[test]
fn heads_that_are_killed_go_on_to_the_same_bytes() {
    let cli = CliTest::with_fashion(300, 100);
    cli.write("nine.toml", nine());
    cli.run(&["run", "nine.toml", "--device", "cpu", "--cache", "whole"])
        .expect_code(0);
    let whole = made(&cli, "whole");
    for (name, heads) in [
        ("head.safetensors", 9),
        ("curves.parquet", 9),
        ("predictions.parquet", 9),
        ("selection.parquet", 9),
    ] {
        let found = whole.keys().filter(|path| path.ends_with(name)).count();
        assert_eq!(found, heads, "{name}");
    }

    let run = [
        "run",
        "nine.toml",
        "--device",
        "cpu",
        "--cache",
        "killed",
        "--checkpoint-every",
        "0",
        "--json-log",
    ];
    let arguments = |log: &'static str| [&run[..], &[log]].concat();
    // Killed in its first epochs, and what resumes from there, once more.
    let mut before = 0;
    for log in ["first.jsonl", "second.jsonl"] {
        let mut command = cli.command(&arguments(log));
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let started = Instant::now();
        while kept(&cli, "killed").is_none_or(|epochs| epochs < before + 3) {
            assert!(
                child.try_wait().unwrap().is_none(),
                "the run ended before it was killed"
            );
            assert!(
                started.elapsed() < Duration::from_mins(2),
                "no checkpoint in two minutes"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        signal(&child, "KILL");
        let output = finish(child.wait_with_output().unwrap());
        assert_eq!(output.code, None, "{output}");
        let done = made(&cli, "killed");
        assert!(done.is_empty(), "killed too late: {:?}", done.keys());
        if before > 0 {
            assert_eq!(first_epoch(&cli, log), Some(u64::from(before) + 1));
        }
        before = kept(&cli, "killed").unwrap();
        assert!(before < EPOCHS, "killed too late");
    }

    cli.run(&arguments("last.jsonl")).expect_code(0);
    assert_eq!(first_epoch(&cli, "last.jsonl"), Some(u64::from(before) + 1));
    let gone_on = made(&cli, "killed");
    assert!(gone_on.keys().eq(whole.keys()));
    for (path, bytes) in &whole {
        assert!(bytes == &gone_on[path], "{path} differs");
    }
    // What they went on from has served its turn.
    assert_eq!(kept(&cli, "killed"), None);
    cli.run(&["cache", "verify", "--cache", "killed"])
        .expect_code(0);
}

#[test]
fn how_often_to_keep_a_checkpoint_is_a_number_of_seconds() {
    let cli = CliTest::new();
    for wrong in ["often", "-1", "inf", "NaN"] {
        cli.run(&["run", "nine.toml", &format!("--checkpoint-every={wrong}")])
            .expect_code(2)
            .expect_in_stderr(&["invalid duration", "`60`"]);
    }
}
