//! Samples: images that a run makes, in parts. Killed, shared out or cut into jobs, they are the same bytes.

use std::collections::BTreeMap;
use std::process::Child;

use crate::fixture::{CliTest, finish};
use crate::interruption::{signal, start_and_wait_for_parts};
use crate::small::parts;

/// A network as small as they get, with synthetic weights.
pub const NETWORK: &str = r#"
[experiment]
name = "made"

[model.unet]
kind                  = "guided-diffusion"
weights               = { synthetic = 1 }
image_size            = 8
in_channels           = 1
model_channels        = 32
num_res_blocks        = 1
channel_mult          = [1]
attention_resolutions = []
num_heads             = 1
learn_sigma           = true
"#;

/// Four shards.
const FOUR_SHARDS: &str = r#"
[samples.many]
model = "unet"
count = 3500
steps = 3
"#;

/// Four shards, and what one worker makes of them, in the cache `one`.
fn four_shards() -> (CliTest, BTreeMap<String, Vec<u8>>) {
    let cli = CliTest::new();
    cli.write("made.toml", format!("{NETWORK}{FOUR_SHARDS}"));
    cli.run(&["run", "made.toml", "--device", "cpu", "--cache", "one"])
        .expect_code(0)
        .expect_in_stderr(&["samples many[unet ddim steps=3 seed=0]: 3,500 images in"]);
    let whole = parts(&cli, "one");
    assert_eq!(whole.len(), 4);
    (cli, whole)
}

#[track_caller]
fn expect_same(cli: &CliTest, cache: &str, whole: &BTreeMap<String, Vec<u8>>) {
    let found = parts(cli, cache);
    assert!(found.keys().eq(whole.keys()), "{cache}");
    for (path, bytes) in whole {
        assert!(bytes == &found[path], "{path} differs in {cache}");
    }
    cli.run(&["cache", "verify", "--cache", cache])
        .expect_code(0);
}

#[test]
fn killed_and_stopped_samples_go_on_by_shard_to_the_same_bytes() {
    let (cli, whole) = four_shards();
    for (cache, name) in [("killed", "KILL"), ("interrupted", "INT")] {
        let arguments = ["run", "made.toml", "--device", "cpu", "--cache", cache];
        let child = start_and_wait_for_parts(cli.command(&arguments), &cli, cache, 1);
        signal(&child, name);
        let output = finish(child.wait_with_output().unwrap());
        let committed = parts(&cli, cache).len();
        assert!(committed < 4, "{name} came too late: {output}");
        if name == "INT" {
            output.expect_code(130).expect_in_stderr(&["stopped;"]);
        }
        let arguments = ["plan", "made.toml", "--cache", cache];
        let plan = cli.run(&arguments).expect_code(0);
        let said = format!("resumes: {committed} of 4 shards are committed");
        assert!(plan.stdout.contains(&said), "{plan}");
        let arguments = ["run", "made.toml", "--device", "cpu", "--cache", cache];
        let said = format!(
            "{},{:03} already committed",
            committed * 1024 / 1000,
            committed * 1024 % 1000
        );
        cli.run(&arguments)
            .expect_code(0)
            .expect_in_stderr(&[&said]);
        expect_same(&cli, cache, &whole);
    }
}

#[test]
fn two_workers_share_samples_and_leave_the_same_bytes() {
    let (cli, whole) = four_shards();
    let arguments = [
        "run",
        "made.toml",
        "--device",
        "cpu",
        "--workers",
        "2",
        "--cache",
        "two",
    ];
    let mut command = cli.command(&arguments);
    // One thread for each of the two.
    let output = finish(command.env("OMP_NUM_THREADS", "2").output().unwrap());
    output.expect_code(0).expect_in_stderr(&["3,500 images in"]);
    expect_same(&cli, "two", &whole);
    for (path, text) in cli.files("two/artifacts/samples") {
        if path.ends_with("manifest.json") {
            let manifest: serde_json::Value = serde_json::from_slice(&text).unwrap();
            let parts = manifest["files"].as_array().unwrap();
            assert!(parts.iter().all(|part| part["device"] == "cpu"), "{path}");
        }
    }
}

#[test]
fn jobs_by_shards_make_the_same_samples() {
    let (cli, whole) = four_shards();
    let plan = cli.run(&["plan", "made.toml", "--json", "--cache", "jobs"]);
    let plan = plan.expect_code(0).json();
    let job = &plan["jobs"][0];
    assert_eq!(
        (&job["kind"], &job["shards"]),
        (&"sample".into(), &4.into())
    );
    assert_eq!(job["cost"]["images"], 3 * 3500);
    assert_eq!(plan["sampling_images"], 3 * 3500);
    let name = job["name"].as_str().unwrap();
    let job = |shards: &str| -> Child {
        let arguments = [
            "job",
            "made.toml",
            name,
            "--device",
            "cpu",
            "--cache",
            "jobs",
            "--shards",
            shards,
        ];
        cli.command(&arguments)
            .stderr(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap()
    };
    let (first, second) = (job("0..3"), job("1..4"));
    for child in [first, second] {
        finish(child.wait_with_output().unwrap()).expect_code(0);
    }
    expect_same(&cli, "jobs", &whole);
    finish(job("0..1").wait_with_output().unwrap())
        .expect_code(0)
        .expect_in_stderr(&["nothing to do"]);
    finish(job("0..5").wait_with_output().unwrap()).expect_code(0);
    cli.run(&[
        "job",
        "made.toml",
        name,
        "--shards",
        "0..5",
        "--cache",
        "other",
    ])
    .expect_code(2)
    .expect_in_stderr(&["has the shards 0..4"]);
}

#[test]
fn samples_are_images_that_can_be_exported_and_read_again() {
    let cli = CliTest::new();
    let few = FOUR_SHARDS.replace("3500", "5");
    cli.write("made.toml", format!("{NETWORK}{few}"));
    cli.run(&["run", "made.toml", "--device", "cpu"])
        .expect_code(0);
    let made = cli.query("SELECT fingerprint, rows FROM artifacts WHERE kind = 'samples'");
    assert_eq!(made[0]["rows"], 5);
    let fingerprint = made[0]["fingerprint"].as_str().unwrap();
    cli.run(&["cache", "export", fingerprint, "made.parquet"])
        .expect_code(0)
        .expect_in_stderr(&["5 rows of many[unet ddim steps=3 seed=0]"]);
    let bytes = std::fs::read(cli.path("made.parquet")).unwrap();
    assert!(
        bytes.windows(4).any(|bytes| bytes == b"\x89PNG"),
        "images are PNG"
    );
}
