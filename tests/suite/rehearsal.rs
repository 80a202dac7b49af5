//! A feature set of ImageNet's size, rehearsed: every noise step, view and block of Table 1's network over all images, with artifacts that
//! have the right names, numbers and sizes of files, and no content.
//!
//! The default tier rehearses a thousandth of it, so that the rehearsal itself stays right. `nightly_imagenets_size` is the whole: it needs
//! some 3 million files, and prints what docs/reference/performance.md has.

use std::fs::{self, File};
use std::process::Stdio;
use std::time::{Duration, Instant};

use repro::inputs::{self, Otherwise};
use repro::plan::{Plan, Shards, Work, plan};
use repro::spec::Source;
use repro::store::{FileEntry, Fingerprint, MANIFEST_FORMAT, Made, Manifest, Store};

use crate::fixture::CliTest;

/// How many classes and images there are.
#[derive(Clone, Copy)]
struct Scale {
    classes: usize,
    train: usize,
    val: usize,
}

/// All of ImageNet.
const IMAGENET: Scale = Scale {
    classes: 1000,
    train: 1_281_167,
    val: 50_000,
};

/// Two views, three noise steps, 37 blocks and two more sizes of block 24: 234 sets of features, and a head on each.
const EXPERIMENT: &str = r#"
[experiment]
name  = "rehearsal"
seeds = [0]

[dataset.imagenet]
kind = "imagenet"
root = "imagenet"

[model.diffusion]
kind    = "guided-diffusion"
preset  = "adm-256-uncond"
weights = { synthetic = 1 }

[extraction.taps]
model    = "diffusion"
dataset  = "imagenet"
timestep = [30, 90, 150]
view     = ["center", "flip"]
block    = "all"
pool     = 1
storage  = "f16"

[extraction.more]
model    = "diffusion"
dataset  = "imagenet"
timestep = [30, 90, 150]
view     = ["center", "flip"]
block    = 24
pool     = [2, 4]
storage  = "f16"

[head.linear]
kind     = "linear"
features = ["taps", "more"]
test     = "val"

[metric.accuracy]
kind = "accuracy"
of   = "linear"
"#;

/// Sets of features.
const SETS: usize = 3 * 2 * (37 + 2);

/// Images of a shard at 256 pixels.
const SHARD: usize = 256;

/// Writes files of a few bytes in place of the photographs: planning reads and hashes whatever they are.
fn write_images(cli: &CliTest, scale: Scale) {
    for (split, images) in [("train", scale.train), ("val", scale.val)] {
        for class in 0..scale.classes {
            let folder = cli.path(&format!("imagenet/{split}/n{class:08}"));
            fs::create_dir_all(&folder).unwrap();
            for number in (class..images).step_by(scale.classes) {
                let name = format!("n{class:08}_{number}.JPEG");
                fs::write(folder.join(name), format!("{split} {number}")).unwrap();
            }
        }
    }
}

/// What a command took.
struct Took {
    seconds: f64,
    /// The most memory, in MiB.
    memory: u64,
    stdout: String,
}

/// Runs a command, and looks at its memory meanwhile.
fn timed(cli: &CliTest, arguments: &[&str]) -> Took {
    let began = Instant::now();
    let out = File::create(cli.path("out")).unwrap();
    let mut child = cli
        .command(arguments)
        .stdout(out)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut memory = 0;
    let status = loop {
        let told = fs::read_to_string(format!("/proc/{}/status", child.id()));
        let peak = told.ok().and_then(|told| {
            let line = told.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
            line.trim().trim_end_matches(" kB").parse::<u64>().ok()
        });
        memory = memory.max(peak.unwrap_or(0) / 1024);
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let took = Took {
        seconds: began.elapsed().as_secs_f64(),
        memory,
        stdout: cli.read("out"),
    };
    assert!(status.success(), "{arguments:?}: {}", took.stdout);
    took
}

/// Plans in this process, for the recipes.
fn planned(cli: &CliTest) -> Plan {
    let store = Store::open(cli.path(".repro")).unwrap();
    let experiment = repro::graph::build(&Source::new("rehearsal.toml", EXPERIMENT)).unwrap();
    let base = cli.path("");
    let surveyed = inputs::survey(&experiment, &base, &store, &|_| {}, Otherwise::Fail);
    let facts = surveyed.unwrap().inputs.facts;
    let listing = store.listing().unwrap();
    plan(&experiment, &facts, &listing, &mut |_, _| {}).unwrap()
}

/// Puts features without content in place: files of the right names and sizes that take no room, and their manifests. Returns the number of
/// files and their bytes.
fn fake_features(cli: &CliTest, plan: &Plan) -> (usize, u64) {
    let (mut files, mut bytes) = (0, 0);
    for step in &plan.steps {
        let Work::Extract(extract) = &step.work else {
            continue;
        };
        let shards = Shards::new(extract.samples(), extract.model.side());
        let name = step.artifact.fingerprint.to_string();
        let folder = cli.path(&format!(".repro/artifacts/features/{}/{name}", &name[..2]));
        fs::create_dir_all(&folder).unwrap();
        let entries = shards
            .lengths()
            .into_iter()
            .enumerate()
            .map(|(part, rows)| {
                let size = rows * (extract.shape.values() as u64 * 2 + 60) + 4096;
                let name = format!("part-{part:05}.arrow");
                File::create(folder.join(&name))
                    .unwrap()
                    .set_len(size)
                    .unwrap();
                FileEntry {
                    blake3: Fingerprint::of(name.as_bytes()),
                    name,
                    bytes: size,
                    rows,
                    device: Some("cpu".to_owned()),
                    instructions: Some("AVX2".to_owned()),
                }
            });
        let manifest = Manifest {
            format: MANIFEST_FORMAT,
            kind: step.artifact.recipe.kind(),
            fingerprint: step.artifact.fingerprint,
            label: step.artifact.label.clone(),
            recipe: step.artifact.recipe.clone(),
            files: entries.collect(),
            rows: extract.samples() as u64,
            made: Made {
                at: "2026-01-01T00:00:00Z".to_owned(),
                ..Made::default()
            },
        };
        files += manifest.files.len();
        bytes += manifest.bytes();
        fs::write(folder.join("manifest.json"), manifest.content().unwrap()).unwrap();
    }
    (files, bytes)
}

/// Takes the manifests and the last part of some sets of features away, as a run that was killed leaves them.
fn break_off(cli: &CliTest, plan: &Plan, sets: usize) {
    let steps = plan.steps.iter();
    let features = steps.filter(|step| matches!(step.work, Work::Extract(_)));
    for step in features.take(sets) {
        let name = step.artifact.fingerprint.to_string();
        let folder = cli.path(&format!(".repro/artifacts/features/{}/{name}", &name[..2]));
        fs::remove_file(folder.join("manifest.json")).unwrap();
        fs::remove_file(folder.join("part-00000.arrow")).unwrap();
    }
}

fn rehearse(scale: Scale) {
    let cli = CliTest::new();
    cli.write("rehearsal.toml", EXPERIMENT);
    write_images(&cli, scale);
    let images = scale.train + scale.val;
    let show = |what: &str, took: &Took| {
        println!("| {what} | {:.1} s | {} MiB |", took.seconds, took.memory);
    };
    println!("| command | time | memory |\n| :--- | ---: | ---: |");
    show("check", &timed(&cli, &["check", "rehearsal.toml"]));
    let json = ["plan", "rehearsal.toml", "--json"];
    show("plan, every image is hashed", &timed(&cli, &json));
    let empty = timed(&cli, &json);
    show("plan, an empty cache", &empty);
    let record: serde_json::Value = serde_json::from_str(&empty.stdout).unwrap();
    // Six passes, a head for each set of features, which heads of one pass share, and a metric.
    let jobs = record["jobs"].as_array().unwrap();
    let passes: Vec<_> = jobs.iter().filter(|job| job["kind"] == "pass").collect();
    assert_eq!(passes.len(), 6);
    assert_eq!(passes[0]["shards"], images.div_ceil(SHARD));

    let plan = planned(&cli);
    let (files, bytes) = fake_features(&cli, &plan);
    assert_eq!(files, SETS * images.div_ceil(SHARD));
    let full = timed(&cli, &json);
    show("plan, all features there", &full);
    let record: serde_json::Value = serde_json::from_str(&full.stdout).unwrap();
    let kinds = record["jobs"].as_array().unwrap().iter();
    assert!(kinds.clone().count() > 0 && kinds.clone().all(|job| job["kind"] != "pass"));
    show(
        "list artifacts",
        &timed(&cli, &["list", "artifacts", "--json"]),
    );
    show("cache ls", &timed(&cli, &["cache", "ls"]));

    break_off(&cli, &plan, 3);
    let broken = timed(&cli, &json);
    show("plan, three sets without their first shard", &broken);
    let record: serde_json::Value = serde_json::from_str(&broken.stdout).unwrap();
    let passes = record["jobs"].as_array().unwrap().iter();
    let costs = passes.filter(|job| job["kind"] == "pass");
    let costs: Vec<u64> = costs
        .map(|job| job["cost"]["images"].as_u64().unwrap())
        .collect();
    // What is left of all of them is one shard.
    assert!(
        costs.iter().all(|images| *images <= SHARD as u64),
        "{costs:?}"
    );
    println!(
        "{images} images, {SETS} sets of features, {files} files of {bytes} bytes, {} files a set, {} jobs",
        files / SETS,
        jobs.len()
    );
}

#[test]
fn a_thousandth_of_imagenet() {
    rehearse(Scale {
        classes: 4,
        train: 1_281,
        val: 50,
    });
}

#[test]
#[ignore = "half an hour, and 3 million files"]
fn nightly_imagenets_size() {
    rehearse(IMAGENET);
}
