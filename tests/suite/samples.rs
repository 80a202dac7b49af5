//! Samples: images that a run makes, in parts. Killed, shared out or cut into jobs, they are the same bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Child;

use crate::fixture::{CliTest, finish};
use crate::interruption::{signal, start_and_wait_for_parts};
use crate::small::{expect_same, parts};

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

/// Two sets of samples by two networks, a dataset of files beside them, and what two models see of all of them.
const SEEN: &str = r#"
[dataset.fashion]
kind = "fashion-mnist"
root = "fashion"

[samples.few]
model = "unet"
count = 40
steps = [2, 3]

[dataset.generated]
kind    = "samples"
samples = "few"

[model.raw]
kind        = "pixels"
image_size  = 8
in_channels = 1

[model.nano]
kind    = "guided-diffusion"
preset  = "adm-nano"
weights = { synthetic = 2 }

[extraction.raw]
model   = "raw"
dataset = ["generated", "fashion"]
block   = 1
pool    = 8

[extraction.seen]
model    = "nano"
dataset  = ["generated", "fashion"]
timestep = 10
block    = 2
pool     = 2

[metric.alike]
kind  = "cka"
left  = "raw"
right = "seen"

[report]
output = "reports/made.md"

[[report.table]]
kind    = "grid"
metric  = "cka"
rows    = "left_samples_steps"
columns = "left_samples_model_weights_synthetic"
over    = ["right_samples_steps", "right_samples_model_weights_synthetic"]

[[report.figure]]
kind  = "sheet"
file  = "few.svg"
of    = "few"
count = 4

[[report.figure]]
kind      = "noise-strip"
file      = "noise.svg"
dataset   = "generated"
model     = "nano"
timesteps = [0, 100]
count     = 2
"#;

fn seen() -> CliTest {
    let cli = CliTest::with_fashion(10, 20);
    let network = NETWORK.replace(
        "{ synthetic = 1 }",
        "[{ synthetic = 1 }, { synthetic = 3 }]",
    );
    cli.write("made.toml", format!("{network}{SEEN}"));
    cli
}

#[test]
fn other_models_look_at_samples_and_a_metric_compares_what_they_see() {
    let cli = seen();
    let run = ["run", "made.toml", "--device", "cpu"];
    let first = cli.run(&run).expect_code(0);
    first.expect_in_stderr(&["reports/made.md is written, with 2 figures"]);
    let rows = cli.query(
        "SELECT left_dataset, left_samples_steps, left_samples_model_weights_synthetic, value FROM results WHERE metric = 'cka' ORDER BY ALL",
    );
    // Two numbers of steps by two networks, and the dataset of files, which has neither.
    assert_eq!(rows.len(), 5, "{rows:?}");
    let of = |name: &'static str| rows.iter().filter(move |row| row["left_dataset"] == name);
    assert_eq!(of("generated").count(), 4);
    for row in of("fashion") {
        assert!(row["left_samples_steps"].is_null(), "{row}");
        assert!(
            row["left_samples_model_weights_synthetic"].is_null(),
            "{row}"
        );
    }
    let told: BTreeSet<String> = of("generated")
        .map(|row| {
            format!(
                "{} {}",
                row["left_samples_steps"], row["left_samples_model_weights_synthetic"]
            )
        })
        .collect();
    assert_eq!(told.len(), 4, "{told:?}");
    for row in &rows {
        assert!(
            (1e-6..=1.0).contains(&row["value"].as_f64().unwrap()),
            "{row}"
        );
    }
    // Images that a network makes are of no class.
    let made = cli.query("SELECT fingerprint, label FROM artifacts WHERE kind = 'features'");
    for artifact in &made {
        let table = &artifact["fingerprint"].as_str().unwrap()[..12];
        let sql = format!("SELECT count(*) AS all, count(label) AS labeled FROM features_{table}");
        let counted = &cli.query(&sql)[0];
        let is_made = artifact["label"].as_str().unwrap().contains("generated");
        let expected = if is_made { (40, 0) } else { (30, 30) };
        assert_eq!(
            (&counted["all"], &counted["labeled"]),
            (&expected.0.into(), &expected.1.into()),
            "{artifact}"
        );
    }
    let report = cli.read("reports/made.md");
    assert!(
        report.contains("the first 4 of 40 images that model `unet` made"),
        "{report}"
    );
    assert!(report.contains("noise.svg"), "{report}");

    let before = cli.times();
    cli.run(&run)
        .expect_code(0)
        .expect_in_stderr(&["nothing to do"]);
    cli.run(&["report", "made.toml"]).expect_code(0);
    assert_eq!(cli.times(), before);
    cli.run(&["report", "made.toml", "--from", "reports/made.results.csv"])
        .expect_code(0);

    // Other samples are other images: everything that looked at them looks again, and nothing else does.
    cli.write(
        "made.toml",
        cli.read("made.toml").replace("count = 40", "count = 41"),
    );
    let plan = cli
        .run(&["plan", "made.toml", "--json"])
        .expect_code(0)
        .json();
    let passes = plan["passes"].as_array().unwrap();
    assert_eq!(passes.len(), 2 * 4);
    assert!(
        passes
            .iter()
            .all(|pass| pass["dataset"] == "generated" && pass["images"] == 41)
    );
}

#[test]
fn the_order_is_samples_then_what_looks_at_them_job_by_job() {
    let cli = seen();
    let run = ["run", "made.toml", "--device", "cpu", "--cache", "whole"];
    cli.run(&run).expect_code(0);
    let plan = ["plan", "made.toml", "--json", "--cache", "jobs"];
    let planned = cli.run(&plan).expect_code(0).json();
    let jobs = planned["jobs"].as_array().unwrap();
    let job = |name: &str| {
        cli.run(&[
            "job",
            "made.toml",
            name,
            "--device",
            "cpu",
            "--cache",
            "jobs",
        ])
    };
    let of_generated = jobs
        .iter()
        .find(|job| job["kind"] == "pass" && job["needs"][0].is_string())
        .unwrap();
    job(of_generated["name"].as_str().unwrap())
        .expect_code(75)
        .expect_in_stderr(&["needs samples-", "which is not done yet"]);
    for one in jobs {
        job(one["name"].as_str().unwrap()).expect_code(0);
    }
    assert_eq!(parts(&cli, "jobs"), parts(&cli, "whole"));
}

#[test]
fn damaged_samples_are_made_again_before_they_are_looked_at() {
    let cli = seen();
    let run = ["run", "made.toml", "--device", "cpu"];
    cli.run(&run).expect_code(0);
    let files = cli.files(".repro/artifacts/samples");
    let (part, good) = files
        .iter()
        .find(|(path, _)| path.strip_suffix(".arrow").is_some())
        .unwrap();
    let path = cli.path(&format!(".repro/artifacts/samples/{part}"));
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    std::fs::write(&path, &bad).unwrap();
    // Something that reads them: features that are not there yet.
    cli.write(
        "made.toml",
        cli.read("made.toml")
            .replace("timestep = 10", "timestep = 20"),
    );
    cli.run(&run)
        .expect_code(0)
        .expect_in_stderr(&["set aside", "does not have the digest"]);
    assert!(
        std::fs::read(&path).unwrap() == *good,
        "made again with the same bytes"
    );
    // What was made from them before may be of damaged bytes; nobody knows since when they were damaged.
    let verified = cli.run(&["cache", "verify", "--set-aside"]).expect_code(0);
    assert!(verified.stdout.contains("was made from"), "{verified}");
    cli.run(&run).expect_code(0);
    cli.run(&["cache", "verify"]).expect_code(0);
}

#[test]
fn tools_for_files_say_that_samples_have_none() {
    let cli = seen();
    for action in ["check", "stats"] {
        let output = cli.run(&["data", action, "made.toml", "generated"]);
        let said = format!("{output}");
        assert!(
            said.contains("its images are made by `[samples.few]` in a run"),
            "{said}"
        );
        assert_eq!(output.code, Some(3), "{said}");
    }
    let output = cli.run(&["data", "counts", "made.toml"]);
    assert!(!format!("{output}").contains("panicked"), "{output}");
}
