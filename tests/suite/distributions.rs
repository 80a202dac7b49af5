//! Metrics of generated images, from noise to the table of results.

use serde_json::json;

use crate::fixture::{CliTest, root};
use crate::samples::NETWORK;
use crate::small::{FASHION, experiment, run};

/// Against moments out of a file of 16 values, which is what the pixels are pooled to.
const AGAINST_A_FILE: &str = r#"
[model.raw]
kind        = "pixels"
image_size  = 8
in_channels = 1

[extraction.pixels]
model   = "raw"
dataset = "fashion"
block   = 1
pool    = 4

[metric.fid]
kind       = "fid"
of         = "pixels"
statistics = "moments.npz"
groups     = 5

[metric.sfid]
kind       = "sfid"
of         = "pixels"
statistics = "moments.npz"
groups     = 0
"#;

#[test]
fn moments_out_of_a_file_stand_for_a_reference() {
    let cli = CliTest::with_fashion(40, 20);
    let text = experiment("against", &[FASHION, AGAINST_A_FILE]);
    cli.write("against.toml", text);
    let missing = cli.run(&["run", "against.toml", "--device", "cpu"]);
    missing
        .expect_code(3)
        .expect_in_stderr(&["statistics of metric `fid`", "moments.npz"]);
    let plan = cli.run(&["plan", "against.toml"]).expect_code(0);
    let said = "statistics of metric `fid`: moments.npz";
    assert!(plan.stdout.contains(said), "{plan}");
    let moments = std::fs::read(root().join("tests/golden/generative/moments.npz")).unwrap();
    cli.write("moments.npz", moments);
    run(&cli, "against.toml");
    let rows = cli.query(
        "SELECT metric, value, low, reference, reference_split, reference_images, images FROM results ORDER BY metric",
    );
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0]["value"], rows[1]["value"]);
    assert_eq!(rows[0]["reference"], json!("moments.npz"));
    assert_eq!(rows[0]["images"], json!(20));
    for axis in ["reference_split", "reference_images"] {
        assert_eq!(rows[0][axis], json!(null), "{axis}");
    }
    assert!(rows[0]["low"].as_f64() < rows[0]["value"].as_f64());
    assert_eq!(rows[1]["low"], json!(null));
}

/// The images that a network makes, and those of a dataset, before two judges; a curve, and a set that is compared with itself.
const JUDGED: &str = r#"
[samples.few]
model = "unet"
count = [30, 40]
steps = 2

[dataset.made]
kind    = "samples"
samples = "few"

[model.raw]
kind        = "pixels"
image_size  = 8
in_channels = 1

[model.judge]
kind    = "inception"
preset  = "inception-tiny"
weights = { initialization = 1 }

[extraction.made]
model   = ["raw", "judge"]
dataset = "made"
block   = 1
pool    = 2

[extraction.real]
model   = ["raw", "judge"]
dataset = "fashion"
block   = 1
pool    = 2

[extraction.logits]
model   = "judge"
dataset = "made"
block   = 21

[metric.fid]
kind      = "fid"
of        = "made"
reference = "real"
groups    = 4
curve     = 3

[metric.sfid]
kind      = "sfid"
of        = "made"
reference = "real"
groups    = 0

[metric.kid]
kind      = "kid"
of        = "made"
reference = "real"

[metric.prdc]
kind      = "precision-recall"
of        = "made"
reference = "real"

[metric.score]
kind   = "inception-score"
of     = "logits"
splits = 3

[metric.floor]
kind            = "fid"
of              = "real"
reference       = "real"
split           = "train"
reference_split = "test"

[report]
output = "reports/judged.md"

[[report.table]]
kind    = "grid"
metric  = "fid"
rows    = "samples_count"
columns = "model"
where   = { reference_split = "test", split = "test" }

[[report.figure]]
kind   = "lines"
file   = "judged.svg"
metric = "fid_curve"
x      = "images"
series = "model"
where  = { samples_count = 40 }
"#;

#[test]
fn generated_images_are_compared_with_others_by_features_made_alike() {
    let cli = CliTest::with_fashion(40, 20);
    cli.write("judged.toml", format!("{NETWORK}{FASHION}{JUDGED}"));
    run(&cli, "judged.toml");
    let count = |metric: &str| {
        let sql = format!("SELECT count(*) AS rows FROM results WHERE metric = '{metric}'");
        cli.query(&sql)[0]["rows"].clone()
    };
    for (metric, rows) in [
        // Two numbers of images by two judges; and the training images by two.
        ("fid", 6),
        ("fid_infinity", 4),
        ("fid_curve", 12),
        ("sfid", 4),
        ("kid", 4),
        ("precision", 4),
        ("coverage", 4),
        ("inception_score", 2),
        ("inception_score_deviation", 2),
    ] {
        assert_eq!(count(metric), json!(rows), "{metric}");
    }
    let rows = cli.query(
        "SELECT model, weights, preprocess, images, reference, reference_split, reference_images, split, value, low, high FROM results WHERE metric = 'fid' AND dataset = 'made' AND images = 40 ORDER BY model",
    );
    assert_eq!(rows.len(), 2);
    for (row, (model, weights, preprocess)) in rows.iter().zip([
        ("judge", "initialization", "stretch-bilinear"),
        ("raw", "none", "adm-center-crop"),
    ]) {
        for (axis, expected) in [
            ("model", json!(model)),
            ("weights", json!(weights)),
            ("preprocess", json!(preprocess)),
            ("reference", json!("fashion")),
            ("reference_split", json!("test")),
            ("reference_images", json!(20)),
            ("split", json!("test")),
        ] {
            assert_eq!(row[axis], expected, "{axis}");
        }
        let number = |name: &str| row[name].as_f64().unwrap();
        assert!(number("low") < number("value") && number("value") < number("high"));
    }
    // What one name calls `sfid` is the same computation under another.
    let pairs = cli.query(
        "SELECT a.value AS fid, b.value AS sfid FROM results a JOIN results b ON a.model = b.model AND a.images = b.images AND a.dataset = b.dataset WHERE a.metric = 'fid' AND b.metric = 'sfid'",
    );
    assert_eq!(pairs.len(), 4);
    for pair in &pairs {
        // Sums of groups are added up first, which rounds otherwise.
        let [fid, sfid] = ["fid", "sfid"].map(|name| pair[name].as_f64().unwrap());
        assert!((fid - sfid).abs() <= 1e-9 * fid, "{fid} {sfid}");
    }
    let report = cli.read("reports/judged.md");
    assert!(report.contains("judged.svg"), "{report}");
    // Nothing is computed again, and the values are those of the cache.
    cli.run(&["run", "judged.toml", "--device", "cpu"])
        .expect_code(0)
        .expect_in_stderr(&["everything is in the cache and every output is up to date"]);
}
