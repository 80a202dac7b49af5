//! The smallest experiment of each stage of a run, and what a run leaves that must not depend on what happened to it.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::disk::{Disk, FOLDER, met};
use crate::changed_inputs::packed;
use crate::fixture::{CliTest, Output, finish, walk};

/// A stage.
pub struct Stage {
    /// Its name, and that of its experiment.
    pub name: &'static str,
    text: &'static str,
}

const NETWORK: &str = r"
image_size            = 8
model_channels        = 32
num_res_blocks        = 1
channel_mult          = [1]
attention_resolutions = []
num_heads             = 1
";

const ACCURACY: &str = r#"
[metric.accuracy]
kind = "accuracy"
of   = "probe"

[report]
output = "faulty-report/page.md"

[[report.table]]
kind    = "grid"
metric  = "top1"
rows    = "extraction"
columns = "block"
over    = ["pool", "seed"]
"#;

/// A pass of two taps and two shards, and what it leaves for heads.
pub const PASS: Stage = Stage {
    name: "pass",
    text: r#"
[dataset.fashion]
kind = "fashion-mnist"
root = "many"

[model.raw]
kind        = "pixels"
image_size  = 28
in_channels = 1

[extraction.pixels]
model    = "raw"
dataset  = "fashion"
timestep = 0
block    = 1
pool     = [1, 2]
"#,
};

/// Four heads that train together, with a checkpoint behind each epoch.
pub const HEADS: Stage = Stage {
    name: "heads",
    text: r#"
seeds = [0, 1]

[dataset.fashion]
kind = "fashion-mnist"
root = "few"

[model.raw]
kind        = "pixels"
image_size  = 28
in_channels = 1

[extraction.pixels]
model    = "raw"
dataset  = "fashion"
timestep = 0
block    = 1
pool     = [1, 2]

[head.probe]
kind       = "linear"
features   = "pixels"
epochs     = 4
batch_size = 16
holdout    = 0.2
ACCURACY"#,
};

/// A network that trains, with a checkpoint behind each step.
pub const PRETRAINING: Stage = Stage {
    name: "pretraining",
    text: r#"
[dataset.fashion]
kind = "fashion-mnist"
root = "few"

[model.unet]
kind        = "guided-diffusion"
weights     = { pretrain = "ddpm" }
in_channels = 1
learn_sigma = true
NETWORK
[pretrain.ddpm]
dataset    = "fashion"
steps      = 5
batch_size = 2
optimizer  = { kind = "adamw", lr = 1e-2 }
average    = 0.5

[report]
output = "faulty-report/page.md"

[[report.figure]]
kind = "loss"
file = "loss.svg"
of   = "ddpm"
"#,
};

/// A head that trains together with its network.
pub const FINE_TUNING: Stage = Stage {
    name: "fine-tuning",
    text: r#"
[dataset.fashion]
kind = "fashion-mnist"
root = "few"

[model.unet]
kind    = "guided-diffusion"
preset  = "adm-nano"
weights = { synthetic = 1 }

[extraction.map]
model    = "unet"
dataset  = "fashion"
timestep = 90
block    = 1
pool     = 4

[head.probe]
kind       = "batchnorm-linear"
features   = "map"
epochs     = 3
batch_size = 20
optimizer  = { lr = 1e-2 }
fine_tune  = { lr = 1e-3 }
ACCURACY"#,
};

/// Images out of noise, in two shards.
pub const SAMPLING: Stage = Stage {
    name: "sampling",
    text: r#"
[model.unet]
kind        = "guided-diffusion"
weights     = { synthetic = 1 }
num_classes = 10
NETWORK
[samples.many]
model  = "unet"
method = "ancestral"
format = "raw"
count  = 1100
steps  = 1

[report]
output = "faulty-report/page.md"

[[report.figure]]
kind  = "sheet"
file  = "many.svg"
of    = "many"
count = 4
"#,
};

/// Photographs in an archive that is unpacked into the cache.
pub const ARCHIVE: Stage = Stage {
    name: "archive",
    text: r#"
[dataset.photos]
kind = "image-folder"
root = "photos.tar.gz"

[model.raw]
kind        = "pixels"
image_size  = 8
in_channels = 3

[extraction.pixels]
model    = "raw"
dataset  = "photos"
timestep = 0
block    = 1
pool     = 8

[head.probe]
kind     = "linear"
features = "pixels"
epochs   = 2
ACCURACY"#,
};

/// Every stage that computes.
pub const ALL: [&Stage; 6] = [
    &PASS,
    &HEADS,
    &PRETRAINING,
    &FINE_TUNING,
    &SAMPLING,
    &ARCHIVE,
];

/// What a run leaves that nothing happened to.
pub struct Whole {
    /// See [`left`].
    pub files: BTreeMap<String, Vec<u8>>,
    /// The kinds of the operations on files that it made, in order.
    pub operations: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

impl Whole {
    /// How many operations of a kind there were.
    pub fn count(&self, kind: &str) -> usize {
        self.operations.iter().filter(|one| *one == kind).count()
    }
}

impl Stage {
    /// A folder with the experiment and its data.
    pub fn folder(&self) -> CliTest {
        let cli = CliTest::new();
        if self.text.contains("\"many\"") {
            cli.fashion("many", 1030, 20);
        }
        if self.text.contains("\"few\"") {
            cli.fashion("few", 40, 20);
        }
        if self.text.contains("photos") {
            cli.image_folder("photos", 4);
            packed(&cli);
            fs::remove_dir_all(cli.path("photos")).unwrap();
        }
        let text = self.text.replace("ACCURACY", ACCURACY);
        let text = text.replace("NETWORK", NETWORK.trim_start());
        let text = format!("[experiment]\nname = \"{}\"\n{text}", self.name);
        cli.write("it.toml", text);
        cli
    }

    /// Runs it from nothing, with nothing in its way.
    pub fn whole(&self, cli: &CliTest) -> Whole {
        forget(cli);
        let started = Instant::now();
        run_on(&Disk::with("count", ""), cli).expect_code(0);
        let took = started.elapsed();
        let operations: Vec<String> = met(cli).into_iter().map(|(kind, _)| kind).collect();
        assert!(
            operations.len() > 200,
            "{}: {}",
            self.name,
            operations.len()
        );
        let files = left(cli);
        assert!(files.len() > 2, "{:?}", files.keys());
        Whole {
            files,
            operations,
            took,
        }
    }
}

/// What runs the experiment.
pub const RUN: [&str; 8] = [
    "run",
    "it.toml",
    "--device",
    "cpu",
    "--checkpoint-every",
    "0",
    "--cache",
    FOLDER,
];

/// Runs the experiment on a disk.
pub fn run_on(disk: &Disk, cli: &CliTest) -> Output {
    finish(disk.command(cli, &RUN).output().unwrap())
}

/// Removes all that runs have left.
pub fn forget(cli: &CliTest) {
    for entry in fs::read_dir(cli.path("")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(FOLDER) {
            fs::remove_dir_all(path).unwrap();
        }
    }
}

/// Every file of an artifact, and the tables and figures of the report; manifests without the circumstances of their making, and
/// without what was never committed. The page itself tells how long things took.
pub fn left(cli: &CliTest) -> BTreeMap<String, Vec<u8>> {
    let mut files = cli.files(&format!("{FOLDER}/artifacts"));
    for (path, bytes) in cli.files("faulty-report") {
        if path.contains(".csv") || path.contains(".svg") {
            files.insert(format!("report/{path}"), bytes);
        }
    }
    files.retain(|path, _| {
        let name = path.rsplit('/').next().unwrap_or_default();
        !name.starts_with(".tmp-") && !name.starts_with(".nfs")
    });
    for (path, bytes) in &mut files {
        if path.ends_with("manifest.json") {
            let mut about: Value = serde_json::from_slice(bytes).unwrap();
            let fields = about.as_object_mut().unwrap();
            fields.remove("made");
            fields.remove("digest");
            *bytes = about.to_string().into_bytes();
        }
    }
    files
}

/// What is found must be what a run leaves that nothing happened to. A metric of the heads that there were is no part of it.
#[track_caller]
pub fn expect_whole(cli: &CliTest, whole: &Whole, place: &str) {
    let found = left(cli);
    for (path, bytes) in &whole.files {
        let there = found.get(path);
        assert!(there.is_some(), "{place}: {path} is missing");
        assert!(there == Some(bytes), "{place}: {path} differs");
    }
    let mut more = found.keys().filter(|path| !whole.files.contains_key(*path));
    let more = more.find(|path| !path.starts_with("metric/"));
    assert!(more.is_none(), "{place}: {more:?} is too much");
}

/// What must be gone behind a run that has ended: files without names, claims, checkpoints of what is done.
#[track_caller]
pub fn expect_tidy(cli: &CliTest, place: &str) {
    let cache = cli.path(FOLDER);
    for path in walk(&cache) {
        let path = path.to_string_lossy().into_owned();
        let is_left = path.contains("/.tmp-") || path.contains("/locks/job-");
        assert!(!is_left, "{place}: {path} is left");
    }
    for folder in ["quarantine", "damaged"] {
        let found = cli.files(&format!("{FOLDER}/{folder}"));
        assert!(found.is_empty(), "{place}: {folder}: {:?}", found.keys());
    }
    // A longer training of a network may resume from the last two; those of heads lie deeper.
    let checkpoints = cli.files(&format!("{FOLDER}/checkpoints"));
    let is_kept = |path: &String| path.matches('/').count() == 1;
    let is_tidy = checkpoints.len() <= 2 && checkpoints.keys().all(is_kept);
    assert!(is_tidy, "{place}: {:?}", checkpoints.keys());
}
