//! Runs that are killed, stopped or started twice, and outputs that cannot be written: nothing is lost, nothing is
//! made twice.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::fixture::{CliTest, finish};
use crate::small::{FASHION, NANO, experiment, parts, run, small};

const EXTRACTION: &str = r#"
[extraction.taps]
model      = "unet"
dataset    = "fashion"
timestep   = 90
block      = 1
pool       = [1, 2]
batch_size = 32
"#;

/// Extractions only, over six shards: 6,000 images.
pub fn six_shards() -> String {
    experiment("six-shards", &[FASHION, NANO, EXTRACTION])
}

/// Starts a run and waits until so many parts are on disk.
pub fn start_and_wait_for_parts(
    mut command: Command,
    cli: &CliTest,
    cache: &str,
    wanted: usize,
) -> Child {
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
            started.elapsed() < Duration::from_mins(2),
            "no part in two minutes"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
    child
}

/// Sends a running program a signal by its name.
pub fn signal(child: &Child, name: &str) {
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
    cli.write("six-shards.toml", six_shards());
    cli.run(&["run", "six-shards.toml", "--cache", "whole"])
        .expect_code(0);
    let whole = parts(&cli, "whole");
    assert_eq!(whole.len(), TAPS * 6);

    // Killed as soon as one tap has a part; stopped politely when all of them have one.
    for (cache, name, wanted) in [("killed", "KILL", 1), ("interrupted", "INT", TAPS)] {
        let arguments = [
            "run",
            "six-shards.toml",
            "--device",
            "cpu",
            "--cache",
            cache,
        ];
        let child = start_and_wait_for_parts(cli.command(&arguments), &cli, cache, wanted);
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
                "stopped; everything committed is kept (",
                " by this run), run the same command again to resume",
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
