//! The small experiment that most runs start from, and what they ask of its cache.

use std::collections::BTreeMap;

use crate::fixture::{CliTest, Output};

/// Images of the training split.
pub const TRAIN: usize = 40;
/// Images of the test split.
pub const TEST: usize = 20;

/// The small Fashion-MNIST of [`CliTest::with_fashion`].
pub const FASHION: &str = r#"
[dataset.fashion]
kind = "fashion-mnist"
root = "fashion"
"#;

/// A small network with synthetic weights.
pub const NANO: &str = r#"
[model.unet]
kind    = "guided-diffusion"
preset  = "adm-nano"
weights = { synthetic = 1 }
"#;

/// The images themselves as features.
pub const RAW: &str = r#"
[model.raw]
kind        = "pixels"
image_size  = 28
in_channels = 1
"#;

/// An experiment of some sections: the shared ones above, and those of a test's own.
pub fn experiment(name: &str, sections: &[&str]) -> String {
    format!("[experiment]\nname = \"{name}\"\n{}", sections.concat())
}

/// Two blocks, two seeds, a table and a figure.
pub const SMALL: &str = r#"
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

/// A folder with the experiment [`SMALL`] as `small.toml`, and its data.
pub fn small() -> CliTest {
    let cli = CliTest::with_fashion(TRAIN, TEST);
    cli.write("small.toml", SMALL);
    cli
}

/// Runs an experiment on the CPU; it must succeed.
#[track_caller]
pub fn run(cli: &CliTest, file: &str) -> Output {
    cli.run(&["run", file, "--device", "cpu"]).expect_code(0)
}

/// The part files of all features and samples, by artifact and name.
pub fn parts(cli: &CliTest, cache: &str) -> BTreeMap<String, Vec<u8>> {
    let files = cli.files(&format!("{cache}/artifacts")).into_iter();
    files
        .filter(|(path, _)| path.strip_suffix(".arrow").is_some())
        .collect()
}

/// The parts in a cache must be these, byte for byte, and the cache sound.
#[track_caller]
pub fn expect_same(cli: &CliTest, cache: &str, whole: &BTreeMap<String, Vec<u8>>) {
    let found = parts(cli, cache);
    assert!(found.keys().eq(whole.keys()), "{cache}");
    for (path, bytes) in whole {
        assert!(bytes == &found[path], "{path} differs in {cache}");
    }
    cli.run(&["cache", "verify", "--cache", cache])
        .expect_code(0);
}
