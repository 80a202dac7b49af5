//! Log loss, calibration, classes and confusions, from training to the report.

use arrow::array::AsArray;
use arrow::datatypes::{Float32Type, Int64Type};
use repro::store::Store;
use serde_json::{Value, json};

use crate::fixture::CliTest;
use crate::small::{FASHION, NANO, TEST, TRAIN, experiment, run};

const SCORED: &str = r#"
[extraction.taps]
model    = "unet"
dataset  = "fashion"
timestep = 10
block    = 1
pool     = 2

[head.probe]
kind     = "linear"
features = "taps"
epochs   = 2
holdout  = 0.25
logits   = true
seed     = [0, 1]

[metric.accuracy]
kind = "accuracy"
of   = "probe"

[metric.loss]
kind = "nll"
of   = "probe"

[metric.calibration]
kind = "calibration"
of   = "probe"

[metric.classes]
kind = "per-class"
of   = "probe"

[metric.confusion]
kind = "confusion"
of   = "probe"

[report]
output = "reports/scored.md"

[[report.table]]
kind   = "per-class"
title  = "Classes"
metric = "class_accuracy"
show   = 3

[[report.table]]
kind   = "confusion"
title  = "Confusions"
metric = "confusion"
"#;

fn number(row: &Value, name: &str) -> f64 {
    row[name].as_f64().unwrap()
}

#[test]
fn scores_of_logits_and_classes_agree_with_the_predictions() {
    let cli = CliTest::with_fashion(TRAIN, TEST);
    cli.write(
        "scored.toml",
        experiment("scored", &[FASHION, NANO, SCORED]),
    );
    run(&cli, "scored.toml");
    let values = |metric: &str| -> Vec<f64> {
        let rows = cli.query(&format!(
            "SELECT value FROM results WHERE metric = '{metric}' ORDER BY seed"
        ));
        rows.iter().map(|row| number(row, "value")).collect()
    };
    // The logits of one head, as the program shows them, give the loss that it prints.
    let heads = cli.query(
        "SELECT head_fingerprint, value, low, high FROM results WHERE metric = 'nll' ORDER BY seed",
    );
    assert_eq!(heads.len(), 2);
    let head = heads[0]["head_fingerprint"].as_str().unwrap();
    let store = Store::open(cli.path(".repro")).unwrap();
    let table = |name: &str| store.table(&head.parse().unwrap(), name).unwrap();
    let (predictions, logits) = (table("predictions"), table("logits"));
    let labels = predictions["label"].as_primitive::<Int64Type>().values();
    let lists = logits["logits"].as_fixed_size_list();
    let classes = usize::try_from(lists.value_length()).unwrap();
    let logits = lists.values().as_primitive::<Float32Type>().values();
    assert_eq!(labels.len(), TEST);
    let losses = logits.chunks(classes).zip(labels).map(|(logits, label)| {
        let sum: f64 = logits.iter().map(|&logit| f64::from(logit).exp()).sum();
        sum.ln() - f64::from(logits[usize::try_from(*label).unwrap()])
    });
    let mean = losses.sum::<f64>() / TEST as f64;
    // A quarter of each class's training images, rounded up.
    let held_out = table("held-out-logits");
    assert!(held_out.num_rows() >= TRAIN / 4 && held_out.num_rows() < TRAIN / 2);
    assert!(
        (mean - number(&heads[0], "value")).abs() < 1e-9,
        "{mean} {heads:?}"
    );
    assert!(number(&heads[0], "low") < mean && mean < number(&heads[0], "high"));

    for (ece, temperature) in values("ece").iter().zip(values("temperature")) {
        assert!((0.0..=1.0).contains(ece) && (0.01..=100.0).contains(&temperature));
    }
    assert_eq!(
        (values("ece_scaled").len(), values("nll_scaled").len()),
        (2, 2)
    );

    // Counts of classes and of pairs add up to those of all.
    let all = cli.query("SELECT correct, count FROM results WHERE metric = 'top1' AND seed = 0");
    let classes = cli.query(
        "SELECT sum(correct) AS correct, sum(count) AS count FROM results WHERE metric = 'class_accuracy' AND seed = 0",
    );
    assert_eq!(all, classes);
    let right = cli.query(
        "SELECT sum(value) AS right FROM results WHERE metric = 'confusion' AND seed = 0 AND class = predicted",
    );
    assert!((number(&right[0], "right") - number(&all[0], "correct")).abs() < 1e-9);
    let images = cli
        .query("SELECT sum(value) AS images FROM results WHERE metric = 'confusion' AND seed = 0");
    assert!((number(&images[0], "images") - TEST as f64).abs() < 1e-9);
    let null =
        cli.query("SELECT count(*) AS rows FROM results WHERE metric = 'nll' AND class IS NULL");
    assert_eq!(null, [json!({ "rows": 2 })]);

    let report = cli.read("reports/scored.md");
    assert!(
        report.contains("| class | class\\_accuracy | images |")
            || report.contains("| class | class_accuracy | images |"),
        "{report}"
    );
    assert!(
        report.contains("in images, mean over 2 runs: true classes down"),
        "{report}"
    );
}
