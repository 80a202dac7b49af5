//! Samples with classes and guidance: whoever makes them, and however they are kept, they are the same images.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::fixture::{CliTest, finish};
use crate::interruption::{signal, start_and_wait_for_parts};
use crate::small::{expect_same, parts};

/// A small class-conditional network, and a classifier of images of its size.
const NETWORKS: &str = r#"
[experiment]
name = "made"

[model.unet]
kind                  = "guided-diffusion"
weights               = { synthetic = 1 }
image_size            = 8
model_channels        = 32
num_res_blocks        = 1
channel_mult          = [1]
attention_resolutions = []
num_heads             = 1
num_classes           = 10

[model.judge]
kind                  = "unet-encoder"
weights               = { synthetic = 2 }
image_size            = 8
model_channels        = 32
out_channels          = 10
num_res_blocks        = 1
channel_mult          = [1]
attention_resolutions = []
num_heads             = 1
"#;

/// Three shards of images of drawn classes, led by a classifier, as bare bytes.
const LED: &str = r#"
[samples.many]
model      = "unet"
classifier = "judge"
method     = "ancestral"
format     = "raw"
count      = 2500
steps      = 2
"#;

/// The same networks, and what one worker makes of them, in the cache `one`.
fn led() -> (CliTest, BTreeMap<String, Vec<u8>>) {
    let cli = CliTest::new();
    cli.write("made.toml", format!("{NETWORKS}{LED}"));
    cli.run(&["run", "made.toml", "--device", "cpu", "--cache", "one"])
        .expect_code(0)
        .expect_in_stderr(&["2,500 images out of noise", "classes=uniform", "images/s"]);
    let whole = parts(&cli, "one");
    assert_eq!(whole.len(), 3);
    (cli, whole)
}

fn start(cli: &CliTest, arguments: &[&str]) -> Child {
    cli.command(arguments)
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn led_samples_are_the_same_bytes_by_workers_processes_and_jobs() {
    let (cli, whole) = led();
    let run = |cache: &'static str| ["run", "made.toml", "--device", "cpu", "--cache", cache];
    let arguments = [&run("workers")[..], &["--workers", "2"]].concat();
    let mut command = cli.command(&arguments);
    // One thread for each of the two.
    let output = finish(command.env("OMP_NUM_THREADS", "2").output().unwrap());
    output.expect_code(0);
    expect_same(&cli, "workers", &whole);

    let both = [
        start(&cli, &run("processes")),
        start(&cli, &run("processes")),
    ];
    for child in both {
        finish(child.wait_with_output().unwrap()).expect_code(0);
    }
    expect_same(&cli, "processes", &whole);

    let plan = cli.run(&["plan", "made.toml", "--json", "--cache", "jobs"]);
    let plan = plan.expect_code(0).json();
    let name = plan["jobs"][0]["name"].as_str().unwrap();
    for shards in ["2..3", "0..2"] {
        let job = [
            "job",
            "made.toml",
            name,
            "--device",
            "cpu",
            "--cache",
            "jobs",
        ];
        let job = [&job[..], &["--shards", shards]].concat();
        cli.run(&job).expect_code(0);
    }
    expect_same(&cli, "jobs", &whole);
}

/// Killed before the first shard is whole, at the first and at the second, after pauses that a generator with a seed draws.
#[test]
fn killed_in_the_middle_of_sampling_raw_images_end_as_the_same_bytes() {
    let (cli, whole) = led();
    let run = ["run", "made.toml", "--device", "cpu", "--cache", "killed"];
    let mut stream = repro::random::Stream::new(19, "kills of samples");
    let mut interrupted = 0;
    for wanted in [0, 0, 1, 2] {
        let child = start_and_wait_for_parts(cli.command(&run), &cli, "killed", wanted);
        let pause = stream.next_below(if wanted == 0 { 400 } else { 20 });
        std::thread::sleep(Duration::from_millis(pause));
        signal(&child, "KILL");
        let _ = finish(child.wait_with_output().unwrap());
        let there = parts(&cli, "killed");
        for (path, bytes) in &there {
            assert!(bytes == &whole[path], "{path} is not whole");
        }
        interrupted += usize::from(there.len() < whole.len());
        if there.len() == whole.len() {
            break;
        }
    }
    assert!(interrupted >= 2, "the kills came too late to test anything");
    cli.run(&run).expect_code(0);
    expect_same(&cli, "killed", &whole);
}

/// The pixels of all images that samples have, by the one table of them.
fn images(cli: &CliTest, cache: &str) -> Vec<u8> {
    parts(cli, cache).into_values().flatten().collect()
}

#[test]
fn classes_guidance_and_steps_each_make_other_images() {
    let cli = CliTest::new();
    let made = |name: &'static str, keys: &str| {
        let samples =
            format!("\n[samples.few]\nmodel = \"unet\"\ncount = 3\nformat = \"raw\"\n{keys}\n");
        cli.write(&format!("{name}.toml"), format!("{NETWORKS}{samples}"));
        let file = format!("{name}.toml");
        cli.run(&["run", &file, "--device", "cpu", "--cache", name])
            .expect_code(0);
        let bytes = images(&cli, name);
        assert!(!bytes.is_empty());
        bytes
    };
    let keys = [
        ("one", "steps = 2\nclasses = [1]"),
        ("two", "steps = 2\nclasses = [2]"),
        ("three", "steps = 3\nclasses = [1]"),
        (
            "led",
            "steps = 2\nclasses = [1]\nclassifier = \"judge\"\nclassifier_scale = 20",
        ),
        ("narrow", "steps = 2\nclasses = [1]\nprecision = \"bf16\""),
    ];
    let made: Vec<Vec<u8>> = keys.iter().map(|(name, keys)| made(name, keys)).collect();
    for (place, one) in made.iter().enumerate() {
        for other in &made[place + 1..] {
            assert_ne!(one, other, "{}", keys[place].0);
        }
    }
}

/// PNG and bare bytes hold the same pixels: a model that looks at them sees the same.
#[test]
fn raw_images_are_read_as_those_of_png_files_are() {
    let cli = CliTest::new();
    let samples = r#"
[samples.few]
model  = "unet"
count  = 12
steps  = 2
format = ["png", "raw"]

[dataset.generated]
kind    = "samples"
samples = "few"

[model.raw]
kind       = "pixels"
image_size = 8

[extraction.raw]
model   = "raw"
dataset = "generated"
block   = 1
pool    = 8

[report]
output = "made.md"

[[report.figure]]
kind  = "sheet"
file  = "few.svg"
of    = "few"
count = 4
"#;
    cli.write("made.toml", format!("{NETWORKS}{samples}"));
    cli.run(&["run", "made.toml", "--device", "cpu"])
        .expect_code(0);
    assert!(cli.read("made.md").contains("the first 4 of 12 images"));
    let made = cli.query("SELECT fingerprint FROM artifacts WHERE kind = 'features'");
    let features: Vec<Vec<serde_json::Value>> = made
        .iter()
        .map(|row| {
            let table = &row["fingerprint"].as_str().unwrap()[..12];
            cli.query(&format!(
                "SELECT id, feature FROM features_{table} ORDER BY id"
            ))
        })
        .collect();
    assert_eq!(features.len(), 2);
    assert_eq!(features[0], features[1]);
}

#[test]
fn features_of_a_network_with_classes_depend_on_the_class_and_the_report_says_so() {
    let cli = CliTest::with_fashion(20, 20);
    let probe = r#"
[dataset.fashion]
kind = "fashion-mnist"
root = "fashion"

[extraction.seen]
model    = "unet"
dataset  = "fashion"
timestep = 10
class    = ["label", 3]
block    = 2

[head.probe]
kind     = "linear"
features = "seen"
epochs   = 1

[metric.accuracy]
kind = "accuracy"
of   = "probe"

[report]
output = "made.md"

[[report.table]]
kind    = "grid"
metric  = "top1"
rows    = "extraction_class"
columns = "block"
"#;
    cli.write("made.toml", format!("{NETWORKS}{probe}"));
    cli.run(&["run", "made.toml", "--device", "cpu"])
        .expect_code(0)
        .expect_in_stderr(&["graph::label-leak"]);
    let report = cli.read("made.md");
    assert!(report.contains("its features hold the answer"), "{report}");
    assert!(
        report.contains("unet is given class 3 with every image"),
        "{report}"
    );
    let made = cli.query("SELECT fingerprint FROM artifacts WHERE kind = 'features'");
    let features: Vec<Vec<serde_json::Value>> = made
        .iter()
        .map(|row| {
            let table = &row["fingerprint"].as_str().unwrap()[..12];
            cli.query(&format!(
                "SELECT id, label, feature FROM features_{table} ORDER BY id"
            ))
        })
        .collect();
    let [left, right] = features.as_slice() else {
        panic!("{made:?}");
    };
    // The images of class 3 have the same features either way, and no others do.
    assert_eq!(left.len(), 40);
    for (left, right) in left.iter().zip(right) {
        assert_eq!(left["id"], right["id"]);
        assert_eq!(
            left["feature"] == right["feature"],
            left["label"] == 3,
            "{left}"
        );
    }
}

#[test]
fn a_plan_tells_the_work_and_by_what_was_measured_the_time() {
    let (cli, _) = led();
    let plan = |cache: &str| {
        cli.run(&["plan", "made.toml", "--cache", cache])
            .expect_code(0)
    };
    // There are no samples to make, and so nothing is said of their time.
    assert!(!plan("one").stdout.contains("time:"));
    let fresh = plan("none").stdout;
    assert!(fresh.contains("`repro bench sampling` measures"), "{fresh}");
    cli.write(
        "made.toml",
        format!("{NETWORKS}{LED}").replace("2500", "2501"),
    );
    let again = plan("one").stdout;
    assert!(again.contains("2,501 images: 5,002 forwards"), "{again}");
    assert!(again.contains("gigaFLOP)"), "{again}");
    assert!(
        again.contains("for the samples on cpu, by 1 measurement of these networks here"),
        "{again}"
    );
    let json = cli.run(&["plan", "made.toml", "--json", "--cache", "one"]);
    let json = json.expect_code(0).json();
    assert!(json["expected_sampling_seconds"].as_f64().unwrap() > 0.0);
    // The classifier there and back is counted beside the network.
    let without = LED
        .replace("classifier = \"judge\"\n", "")
        .replace("2500", "2501");
    cli.write("made.toml", format!("{NETWORKS}{without}"));
    let plain = cli.run(&["plan", "made.toml", "--json", "--cache", "one"]);
    let plain = plain.expect_code(0).json();
    let work = |plan: &serde_json::Value| plan["sampling_multiply_adds"].as_u64().unwrap();
    assert!(work(&json) > work(&plain));
}

#[test]
fn a_bench_extrapolates_from_a_few_steps() {
    let cli = CliTest::new();
    let bench = [
        "bench",
        "sampling",
        "--model",
        "adm-nano",
        "--device",
        "cpu",
        "--batch-size",
        "1",
    ];
    let short = [&bench[..], &["--steps", "1", "--of", "10", "--json"]].concat();
    let found = cli.run(&short).expect_code(0).json();
    let rate = found["images_per_second"].as_f64().unwrap();
    let step = found["seconds_per_step"].as_f64().unwrap();
    assert!((rate * step * 10.0 - 1.0).abs() < 1e-9, "{found}");
    let none = ["bench", "sampling", "--model", "resnet-50"];
    let output = cli.run(&none);
    assert_eq!(output.code, Some(2), "{output}");
}
