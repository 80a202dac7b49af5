//! Numbers that an independent check of this program found right, with tools of its own, on 2,000 training and 1,000 test images of
//! Fashion-MNIST. That check drew other images, so a share is held to three standard errors of a difference of two such shares.

use crate::fixture::{CliTest, root};

const EXPERIMENT: &str = r#"
[experiment]
name  = "right-values"
seeds = [0]

[dataset.fashion]
kind = "fashion-mnist"
root = "data/fashion-mnist"

[dataset.small]
kind  = "subset"
of    = "fashion"
limit = { train = 2000, test = 1000 }

[model.diffusion]
kind    = "guided-diffusion"
preset  = "fashion-28"
weights = "data/models/fashion-28.safetensors"

[model.initial]
kind    = "guided-diffusion"
preset  = "fashion-28"
weights = { initialization = 0 }

# Trained on crops and flips, tested on the centers: 68.0 % where test images are cropped as well.
[extraction.crops]
model      = "diffusion"
dataset    = "small"
timestep   = 10
block      = 7
pool       = 4
draw       = [0, 1, 2, 3]
preprocess = [{ random-resized-crop = 28, scale = [0.08, 1] }, { random-flip = 0.5 }]

[extraction.ends]
model    = "diffusion"
dataset  = "small"
timestep = 10
block    = [1, 13]
pool     = 1

[model.raw]
kind        = "pixels"
image_size  = 28
in_channels = 1

[extraction.pixels]
model    = "raw"
dataset  = "small"
timestep = 0
block    = 1
pool     = 28

[extraction.initial]
model    = "initial"
dataset  = "small"
timestep = 10
block    = [4, 7]
pool     = 4

[head.crops]
kind      = "linear"
features  = "crops"
views     = "in-turn"
optimizer = { lr = 1e-2 }

[head.fitted]
kind     = "ridge"
features = "ends"

[head.initial]
kind      = "linear"
features  = "initial"
optimizer = { lr = 1e-2 }

# A tenth held out leaves 1,800 images, more or less: a rest of three that took a whole step cost 1.3 points, 80.4 %.
[head.pixels]
kind      = "linear"
features  = "pixels"
holdout   = 0.1
optimizer = { lr = 1e-2 }

[metric.accuracy]
kind = "accuracy"
of   = ["crops", "fitted", "initial", "pixels"]
top  = 1
"#;

/// What was found by others: head, block, share of right answers.
const FOUND: &[(&str, u64, f64)] = &[
    ("crops", 7, 0.827),
    ("fitted", 1, 0.403),
    ("fitted", 13, 0.778),
    ("pixels", 1, 0.817),
    ("initial", 4, 0.753),
    ("initial", 7, 0.728),
];

#[test]
#[ignore = "minutes: 15,000 images through a network"]
fn nightly_shares_agree_with_those_of_an_independent_check() {
    let cli = CliTest::new();
    std::os::unix::fs::symlink(root().join("data"), cli.path("data")).unwrap();
    cli.write("right.toml", EXPERIMENT);
    let mut command = cli.command(&["run", "right.toml"]);
    command.env_remove("OMP_NUM_THREADS");
    assert!(command.status().unwrap().success());
    let sql = "SELECT head, block, value, count FROM results WHERE metric = 'top1'";
    let rows = cli.run(&["query", "--json", sql]).expect_code(0).json();
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), FOUND.len());
    for &(head, block, expected) in FOUND {
        let row = rows
            .iter()
            .find(|row| row["head"] == head && row["block"] == block)
            .unwrap();
        assert_eq!(row["count"], 1000);
        let value = row["value"].as_f64().unwrap();
        let error = (2.0 * expected * (1.0 - expected) / 1000.0_f64).sqrt();
        println!("{head} {block}: {value:.4}, {expected:.4} ± {error:.4}");
        assert!(
            (value - expected).abs() < 3.0 * error,
            "{head}, block {block}: {value}, not {expected} ± {error}"
        );
    }
}
