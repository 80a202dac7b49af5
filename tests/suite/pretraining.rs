//! Networks that are trained, sampled and probed, end to end: what a run leaves, how it resumes, what becomes of its weights.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::fixture::{CliTest, Output, finish, relative, walk};
use crate::small::run;

/// A network without attention and with one level, trained on 40 images. `STEPS` and `KEYS` are put in by [`training`].
const NETWORK: &str = r#"
[experiment]
name = "tiny"

[dataset.fashion]
kind = "fashion-mnist"
root = "fashion"

[model.unet]
kind                  = "guided-diffusion"
weights               = { pretrain = "ddpm" }
image_size            = 16
in_channels           = 1
model_channels        = 32
num_res_blocks        = 1
channel_mult          = [1]
attention_resolutions = []
num_heads             = 1
learn_sigma           = true

[pretrain.ddpm]
dataset    = "fashion"
steps      = STEPS
batch_size = 2
optimizer  = { kind = "adamw", lr = 1e-3 }
average    = 0.9
timesteps  = "loss-aware"
KEYS
"#;

/// What is made of the trained network.
const REST: &str = r#"
[samples.ddim]
model = "unet"
count = 3
steps = 4

[samples.ancestral]
model  = "unet"
count  = 5
method = "ancestral"
steps  = 3
seed   = 7

[extraction.taps]
model    = "unet"
dataset  = "fashion"
timestep = 10
block    = [1, 2]

[head.probe]
kind       = "linear"
features   = "taps"
epochs     = 2
batch_size = 4

[metric.accuracy]
kind = "accuracy"
of   = "probe"

[report]
output = "reports/tiny.md"

[[report.table]]
kind    = "grid"
metric  = "top1"
rows    = "block"
columns = "timestep"

[[report.figure]]
kind = "loss"
file = "loss.svg"
of   = "ddpm"

[[report.figure]]
kind = "sheet"
file = "ddim.svg"
of   = "ddim"

[[report.figure]]
kind = "sheet"
file = "ancestral.svg"
of   = "ancestral"

[[report.figure]]
kind      = "noise-strip"
file      = "noise.svg"
dataset   = "fashion"
model     = "unet"
timesteps = [0, 100, 900]
count     = 2
"#;

/// The training alone.
fn training(steps: u32, keys: &str) -> String {
    NETWORK
        .replace("STEPS", &steps.to_string())
        .replace("KEYS", keys)
}

/// A folder with this experiment as `tiny.toml`, and its data.
fn with(experiment: &str) -> CliTest {
    let cli = CliTest::with_fashion(40, 20);
    cli.write("tiny.toml", experiment);
    cli
}

fn run_in(cli: &CliTest, cache: &str) -> Output {
    cli.run(&["run", "tiny.toml", "--device", "cpu", "--cache", cache])
}

/// The files of a training's artifact whose bytes must not depend on how it came about.
fn trained(cli: &CliTest, cache: &str) -> Vec<(String, Vec<u8>)> {
    let folder = format!("{cache}/artifacts/pretraining");
    let files = cli.files(&folder).into_iter();
    let files: Vec<_> = files
        .filter(|(path, _)| !path.ends_with("manifest.json"))
        .collect();
    assert!(
        files
            .iter()
            .any(|(path, _)| path.ends_with("weights.safetensors"))
            && files
                .iter()
                .any(|(path, _)| path.ends_with("curve.parquet")),
        "{:?}",
        cli.files(cache).keys()
    );
    files
}

#[track_caller]
fn assert_alike(cli: &CliTest, cache: &str, other: &str) {
    let (found, expected) = (trained(cli, cache), trained(cli, other));
    assert_eq!(found.len(), expected.len());
    for ((path, found), (expected_path, expected)) in found.iter().zip(&expected) {
        assert_eq!(path, expected_path);
        assert!(
            found == expected,
            "{path} of {cache} is not that of {other}"
        );
    }
}

/// The checkpoints of a cache, the oldest first.
fn checkpoints(cli: &CliTest, cache: &str) -> Vec<PathBuf> {
    let files = walk(&cli.path(&format!("{cache}/checkpoints"))).into_iter();
    files
        .filter(|path| {
            path.extension()
                .is_some_and(|ending| ending == "safetensors")
        })
        .collect()
}

/// The number of steps in a checkpoint's name.
fn step_of(path: &std::path::Path) -> u32 {
    let name = path.file_name().unwrap().to_str().unwrap();
    let step = name.strip_prefix("step-").unwrap().split('-').next();
    step.unwrap().parse().unwrap()
}

#[test]
fn a_network_is_trained_sampled_probed_and_reported() {
    let cli = with(&(training(12, "") + REST));
    let first = run(&cli, "tiny.toml");
    assert_eq!(first.stdout, "", "stdout is for data");
    let first = first.expect_in_stderr(&[
        "pretrain ddpm[fashion unet steps=12 seed=0]: 12 steps of 2 images",
        "samples ddim[unet ddim steps=4 seed=0]: 3 images",
        "samples ancestral[unet ancestral steps=3 seed=7]: 5 images",
        "reports/tiny.md is written, with 4 figures",
    ]);
    assert!(!first.stderr.contains("warning"), "{first}");
    let report = cli.read("reports/tiny.md");
    for file in ["loss.svg", "ddim.svg", "ancestral.svg", "noise.svg"] {
        assert!(report.contains(&format!("]({file})")), "{file}: {report}");
        assert!(cli.read(&format!("reports/{file}")).starts_with("<svg"));
    }
    for (kind, count) in [("pretraining", 1), ("samples", 2), ("features", 2)] {
        let found = cli.query(&format!("SELECT * FROM artifacts WHERE kind = '{kind}'"));
        assert_eq!(found.len(), count, "{kind}");
    }
    assert_eq!(
        cli.query("SELECT * FROM results WHERE metric = 'top1'")
            .len(),
        2
    );
    // A row for each image.
    let rows = cli.query("SELECT rows FROM artifacts WHERE kind = 'samples' ORDER BY rows");
    let rows: Vec<u64> = rows
        .iter()
        .map(|row| row["rows"].as_u64().unwrap())
        .collect();
    assert_eq!(rows, [3, 5]);

    let before = cli.times();
    let second = run(&cli, "tiny.toml").expect_in_stderr(&["nothing to do"]);
    assert_eq!(second.stdout, "");
    assert_eq!(cli.times(), before);
    cli.run(&["plan", "--check", "tiny.toml"]).expect_code(0);
    cli.run(&["cache", "verify"]).expect_code(0);

    // Another training is another network: everything that hangs on it is made again.
    cli.write(
        "tiny.toml",
        (training(12, "") + REST).replace("average    = 0.9", "average    = 0.5"),
    );
    let plan = cli.run(&["plan", "--json", "tiny.toml"]).expect_code(0);
    assert_eq!(plan.json()["passes"].as_array().unwrap().len(), 1, "{plan}");
}

/// Starts a run and waits until there is a checkpoint.
fn start_and_wait_for_a_checkpoint(cli: &CliTest, cache: &str) -> Child {
    let mut command = cli.command(&["run", "tiny.toml", "--device", "cpu", "--cache", cache]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while checkpoints(cli, cache).is_empty() {
        assert!(
            child.try_wait().unwrap().is_none(),
            "the run ended before its first checkpoint"
        );
        assert!(
            started.elapsed() < Duration::from_mins(2),
            "no checkpoint in two minutes"
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
fn a_killed_and_an_interrupted_training_go_on_to_the_same_bytes() {
    const STEPS: u32 = 40;
    let cli = with(&training(STEPS, "checkpoint_every = 7"));
    run_in(&cli, "whole").expect_code(0);
    for (cache, name) in [("killed", "KILL"), ("interrupted", "INT")] {
        let child = start_and_wait_for_a_checkpoint(&cli, cache);
        signal(&child, name);
        let output = finish(child.wait_with_output().unwrap());
        let kept = checkpoints(&cli, cache);
        let reached = step_of(kept.last().unwrap());
        assert!(
            reached < STEPS,
            "{name} came too late to test anything: {output}"
        );
        if name == "INT" {
            output.expect_code(130).expect_in_stderr(&["stopped;"]);
        } else {
            assert_eq!(output.code, None, "{output}");
            assert_eq!(reached % 7, 0);
        }
        assert!(
            cli.files(&format!("{cache}/artifacts/pretraining"))
                .keys()
                .all(|path| !path.ends_with("manifest.json"))
        );
        let resumed = run_in(&cli, cache).expect_code(0);
        let said = format!("resumes after {reached}");
        let resumed = resumed.expect_in_stderr(&[&said]);
        assert!(!resumed.stderr.contains("warning"), "{resumed}");
        assert_alike(&cli, cache, "whole");
        cli.run(&["cache", "verify", "--cache", cache])
            .expect_code(0);
    }
}

#[test]
fn more_steps_go_on_from_where_fewer_ended() {
    // Twelve is not a step at which a point of the curve is due.
    let cli = with(&training(12, ""));
    run_in(&cli, "grown").expect_code(0);
    let short = trained(&cli, "grown");
    cli.write("tiny.toml", training(25, ""));
    run_in(&cli, "grown")
        .expect_code(0)
        .expect_in_stderr(&["25 steps of 2 images, resumes after 12"]);
    let whole = run_in(&cli, "whole").expect_code(0);
    assert!(!whole.stderr.contains("resumes"), "{whole}");
    let long = trained(&cli, "whole");
    let grown = trained(&cli, "grown");
    assert_eq!(grown.len(), short.len() + long.len());
    for file in short.iter().chain(&long) {
        assert!(grown.contains(file), "{} differs", file.0);
    }
    // Fewer again: still there.
    cli.write("tiny.toml", training(12, ""));
    run_in(&cli, "grown")
        .expect_code(0)
        .expect_in_stderr(&["nothing to do"]);
}

#[test]
fn a_damaged_checkpoint_is_passed_over() {
    let cli = with(&training(14, "checkpoint_every = 5"));
    run_in(&cli, "damaged").expect_code(0);
    let kept = checkpoints(&cli, "damaged");
    let steps: Vec<u32> = kept.iter().map(|path| step_of(path)).collect();
    assert_eq!(steps, [10, 14], "the newest, and one to fall back on");
    let mut bytes = fs::read(&kept[1]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&kept[1], bytes).unwrap();
    cli.write("tiny.toml", training(18, "checkpoint_every = 5"));
    let name = relative(&kept[1], kept[1].parent().unwrap());
    run_in(&cli, "damaged").expect_code(0).expect_in_stderr(&[
        "warning: ",
        &name,
        "is damaged and passed over",
        "resumes after 10",
    ]);
    let whole = run_in(&cli, "whole").expect_code(0);
    assert!(!whole.stderr.contains("resumes"), "{whole}");
    let grown = trained(&cli, "damaged");
    for file in trained(&cli, "whole") {
        assert!(grown.contains(&file), "{} differs", file.0);
    }
}

#[test]
fn a_training_that_diverges_names_the_remedies_and_other_nodes_go_on() {
    let other = NETWORK
        .split_once("[model.unet]")
        .map(|(_, rest)| format!("[model.other]{rest}"))
        .unwrap()
        .replace("\"ddpm\"", "\"other\"")
        .replace("[pretrain.ddpm]", "[pretrain.other]")
        .replace("STEPS", "3")
        .replace("KEYS", "");
    let wild = training(30, "").replace("lr = 1e-3", "lr = 1e6");
    let rest = "[samples.wild]\nmodel = \"unet\"\nsteps = 2\ncount = 1\n\
                [samples.tame]\nmodel = \"other\"\nsteps = 2\ncount = 1\n\
                [extraction.wild]\nmodel = \"unet\"\ndataset = \"fashion\"\ntimestep = 10\nblock = 1\n\
                [dataset.made]\nkind = \"samples\"\nsamples = \"wild\"\n\
                [extraction.made]\nmodel = \"other\"\ndataset = \"made\"\ntimestep = 10\nblock = 1\n\
                [extraction.tame]\nmodel = \"other\"\ndataset = \"fashion\"\ntimestep = 10\nblock = 1\n";
    let cli = with(&(wild + &other + rest));
    let output = cli
        .run(&["run", "tiny.toml"])
        .expect_code(1)
        .expect_in_stderr(&[
            "the loss became NaN or infinite at step",
            "hint: lower the learning rate, lengthen `warmup`, or clip gradients with `clip`",
        ]);
    assert!(!output.stderr.contains("panicked"), "{output}");
    let made = cli.query("SELECT label FROM artifacts ORDER BY label");
    let made: Vec<&str> = made
        .iter()
        .map(|row| row["label"].as_str().unwrap())
        .collect();
    assert_eq!(made.len(), 3, "{made:?}");
    for (label, begin) in made.iter().zip(["other[", "tame[", "tame["]) {
        assert!(label.starts_with(begin), "{made:?}");
    }
}

#[test]
fn trained_weights_can_be_handed_on() {
    let text = training(3, "");
    let cli = with(&text);
    let export = |arguments: &[&str]| {
        let mut all = vec!["models", "export", "tiny.toml"];
        all.extend(arguments);
        cli.run(&all)
    };
    // Neither without a cache nor without the training.
    assert_ne!(export(&["out.safetensors"]).code, Some(0));
    cli.write("tiny.toml", training(2, ""));
    run(&cli, "tiny.toml");
    cli.write("tiny.toml", &text);
    export(&["out.safetensors"])
        .expect_code(2)
        .expect_in_stderr(&[
            "model `unet` is not trained yet",
            "hint: `repro run tiny.toml`",
        ]);
    assert!(!cli.path("out.safetensors").exists());
    run(&cli, "tiny.toml");
    export(&["whole.safetensors"]).expect_code(0);
    export(&["half.safetensors", "--dtype", "f16", "--model", "unet"]).expect_code(0);
    export(&["half.safetensors"]).expect_in_stderr(&["half.safetensors", "--force"]);
    export(&["other.safetensors", "--model", "resnet"])
        .expect_code(2)
        .expect_in_stderr(&["`--model`", "unet"]);
    let size = |name: &str| fs::metadata(cli.path(name)).unwrap().len();
    assert!(size("half.safetensors") < size("whole.safetensors") * 6 / 10);

    // The same features from the file as from the training; nearly the same from the rounded one.
    let taps = "\n[extraction.taps]\nmodel = \"unet\"\ndataset = \"fashion\"\ntimestep = 10\nblock = [1, 4]\n";
    cli.write("trained.toml", format!("{text}{taps}"));
    run(&cli, "trained.toml");
    let (network, _) = text.split_once("[pretrain.ddpm]").unwrap();
    for file in ["whole", "half"] {
        let weights = format!("\"{file}.safetensors\"");
        let network = network.replace("{ pretrain = \"ddpm\" }", &weights);
        cli.write(&format!("{file}.toml"), format!("{network}{taps}"));
        let cache = ["run", &format!("{file}.toml"), "--cache", file];
        cli.run(&cache).expect_code(0);
    }
    assert_eq!(features(&cli, ".repro"), features(&cli, "whole"));
    let (exact, rounded) = (features(&cli, "whole"), features(&cli, "half"));
    assert_ne!(exact, rounded);
    let pairs = exact.iter().flatten().zip(rounded.iter().flatten());
    let error = pairs.map(|(exact, rounded)| (exact - rounded).abs());
    let error = error.fold(0.0, f32::max);
    assert!(error < 0.05, "{error}");
}

/// The features of every artifact of a cache, in the order of their labels.
fn features(cli: &CliTest, cache: &str) -> Vec<Vec<f32>> {
    let sql = "SELECT fingerprint FROM artifacts WHERE kind = 'features' ORDER BY label";
    let listed = cli
        .run(&["query", "--json", sql, "--cache", cache])
        .expect_code(0)
        .json();
    let store = repro::store::Store::open_read_only(cli.path(cache)).unwrap();
    let listed = listed.as_array().unwrap().iter();
    listed
        .map(|row| {
            let fingerprint = row["fingerprint"].as_str().unwrap().parse().unwrap();
            let reader = store.features(&fingerprint).unwrap();
            let parts = reader.parts().iter();
            parts
                .flat_map(|part| part.values_f32().unwrap().to_vec())
                .collect()
        })
        .collect()
}
