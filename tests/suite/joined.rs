//! Heads that read the features of several extractions as one.

use crate::fixture::CliTest;
use crate::small::{FASHION, NANO, experiment, run};

/// The same numbers as `first`; but since it draws something, each split is an artifact of its own.
const EXTRACTIONS: &str = r#"
[extraction.first]
model    = "unet"
dataset  = "fashion"
timestep = 10
block    = 2
pool     = 2

[extraction.same]
model      = "unet"
dataset    = "fashion"
timestep   = 10
block      = 2
pool       = 2
preprocess = [{ adm-center-crop = 32 }, { random-flip = 0 }]

[extraction.others]
model    = "unet"
dataset  = "fashion"
timestep = [50, 90]
block    = 3
pool     = [1, 2]
"#;

#[test]
fn features_of_the_same_images_stand_behind_each_other() {
    let cli = CliTest::with_fashion(60, 40);
    let heads = r#"
[head.alone]
kind     = "knn"
k        = 3
features = "first"

[head.twice]
kind     = "knn"
k        = 3
features = "first"
concat   = ["same"]

[head.held-out]
kind       = "linear"
features   = "first"
concat     = ["others", "same"]
epochs     = 2
batch_size = 16
holdout    = 0.2

[metric.accuracy]
kind = "accuracy"
of   = ["alone", "twice", "held-out"]
"#;
    cli.write(
        "joined.toml",
        experiment("joined", &[FASHION, NANO, EXTRACTIONS, heads]),
    );
    run(&cli, "joined.toml");
    // A feature beside itself has the same neighbors; beside those of another image it would not.
    let predictions = |head: &str| {
        cli.query(&format!(
            "SELECT p.id, p.predicted, p.rank FROM predictions p JOIN (SELECT DISTINCT head_fingerprint, head FROM results) r \
             ON p.head_fingerprint = r.head_fingerprint WHERE r.head = '{head}' ORDER BY p.id"
        ))
    };
    assert_eq!(predictions("alone").len(), 40);
    assert_eq!(predictions("twice"), predictions("alone"));
    // What is joined is part of what a head is: without one of the others it is another head.
    let fewer = heads.replace("[\"others\", \"same\"]", "[\"others\"]");
    cli.write(
        "fewer.toml",
        experiment("joined", &[FASHION, NANO, EXTRACTIONS, &fewer]),
    );
    let plan = cli.run(&["plan", "fewer.toml"]).expect_code(0);
    assert!(plan.stdout.contains("heads: 3 wanted, 2 cached"), "{plan}");
    cli.run(&["plan", "--check", "joined.toml"]).expect_code(0);
    cli.run(&["cache", "verify"]).expect_code(0);
}
