//! What docs/querying.md shows beyond single tables, and the intervals of metrics from a run to the report.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::fixture::CliTest;
use crate::small::{FASHION, RAW, experiment};

const SCORED: &str = r#"
[extraction.pixels]
model    = "raw"
dataset  = "fashion"
timestep = 0
block    = 1
pool     = [7, 14]

[head.linear]
kind       = "linear"
features   = "pixels"
epochs     = 4
batch_size = 32
optimizer  = { lr = 1e-2 }

[head.nearest]
kind     = "knn"
features = "pixels"

[metric.accuracy]
kind = "accuracy"
of   = ["linear", "nearest"]

[metric.rare]
kind = "mean-per-class"
of   = ["linear", "nearest"]

[report]
output = "querying.md"

[[report.table]]
kind    = "grid"
title   = "Seeds"
metric  = "top1"
rows    = "head"
columns = "pool"
spread  = "seeds"

[[report.table]]
kind    = "grid"
title   = "Images"
metric  = "mean_per_class"
rows    = "head"
columns = "pool"
spread  = "images"
"#;

/// The whole experiment.
fn querying() -> String {
    experiment("querying", &["seeds = [0, 1]\n", FASHION, RAW, SCORED])
}

fn number(row: &Value, key: &str) -> f64 {
    row[key].as_f64().unwrap()
}

/// The fingerprint of a head at pool 14 and seed 0.
fn head(cli: &CliTest, name: &str) -> String {
    let rows = cli.query(&format!(
        "SELECT head_fingerprint FROM results WHERE metric = 'top1' AND head = '{name}' AND pool = 14 AND seed = 0"
    ));
    assert_eq!(rows.len(), 1);
    rows[0]["head_fingerprint"].as_str().unwrap().to_owned()
}

/// The class and the predicted class of each image, row by row as they are kept.
fn predictions(cli: &CliTest, head: &str) -> BTreeMap<String, (u64, u64)> {
    let rows = cli.query(&format!(
        "SELECT id, label, predicted FROM predictions WHERE head_fingerprint = '{head}'"
    ));
    let read = rows.iter().map(|row| {
        let class = |key: &str| row[key].as_u64().unwrap();
        let id = row["id"].as_str().unwrap().to_owned();
        (id, (class("label"), class("predicted")))
    });
    read.collect()
}

#[test]
fn intervals_reach_the_table_and_the_report_and_predictions_can_be_compared() {
    let cli = CliTest::with_fashion(300, 100);
    cli.write("querying.toml", querying());
    cli.run(&["run", "querying.toml"]).expect_code(0);

    // Every value is in its interval, and that of a value between 0 and 1 has a width.
    let rows = cli.query("SELECT metric, head, value, low, high, correct, count FROM results");
    assert_eq!(rows.len(), 3 * 2 * 2 * 2);
    for row in &rows {
        let (value, low, high) = (
            number(row, "value"),
            number(row, "low"),
            number(row, "high"),
        );
        assert!(
            0.0 <= low && low <= value && value <= high && high <= 1.0,
            "{row}"
        );
        assert!(low < high || value.fract() == 0.0, "{row}");
        // 100 images leave no more than ± 0.1 open.
        assert!(high - low < 0.21, "{row}");
    }

    let (linear, nearest) = (head(&cli, "linear"), head(&cli, "nearest"));
    let (first, second) = (predictions(&cli, &linear), predictions(&cli, &nearest));
    assert_eq!(first.len(), 100);

    let mut expected: BTreeMap<(bool, bool), u64> = BTreeMap::new();
    for (id, (label, predicted)) in &first {
        let (other_label, other) = second[id];
        assert_eq!(*label, other_label);
        *expected
            .entry((label == predicted, *label == other))
            .or_default() += 1;
    }
    let overlap = cli.query(&format!(
        "SELECT a.rank = 0 AS first_right, b.rank = 0 AS second_right, count(*) AS images
         FROM (SELECT id, rank FROM predictions WHERE head_fingerprint LIKE '{}%') a
         JOIN (SELECT id, rank FROM predictions WHERE head_fingerprint LIKE '{}%') b ON a.id = b.id
         GROUP BY first_right, second_right ORDER BY first_right DESC, second_right DESC",
        &linear[..12],
        &nearest[..12]
    ));
    let found: Vec<((bool, bool), u64)> = overlap
        .iter()
        .map(|row| {
            let right = |key: &str| row[key].as_bool().unwrap();
            let images = row["images"].as_u64().unwrap();
            ((right("first_right"), right("second_right")), images)
        })
        .collect();
    let expected: Vec<((bool, bool), u64)> = expected.into_iter().rev().collect();
    assert_eq!(found, expected);
    assert!(found.len() > 2, "the heads do not differ: {found:?}");

    let mut expected: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    for classes in first.values() {
        *expected.entry(*classes).or_default() += 1;
    }
    let confusion = cli.query(&format!(
        "SELECT label, predicted, count(*) AS images FROM predictions
         WHERE head_fingerprint LIKE '{}%' GROUP BY label, predicted ORDER BY label, predicted",
        &linear[..12]
    ));
    let found: Vec<((u64, u64), u64)> = confusion
        .iter()
        .map(|row| {
            let of = |key: &str| row[key].as_u64().unwrap();
            ((of("label"), of("predicted")), of("images"))
        })
        .collect();
    assert_eq!(found, expected.into_iter().collect::<Vec<_>>());

    // The mean per class from the same rows, by hand.
    let mut classes: BTreeMap<u64, (f64, f64)> = BTreeMap::new();
    for (label, predicted) in first.values() {
        let (right, all) = classes.entry(*label).or_default();
        *right += f64::from(u8::from(label == predicted));
        *all += 1.0;
    }
    let mean = classes
        .values()
        .map(|(right, all)| right / all)
        .sum::<f64>()
        / classes.len() as f64;
    let scored = cli.query(&format!(
        "SELECT value FROM results WHERE metric = 'mean_per_class' AND head_fingerprint = '{linear}'"
    ));
    assert!((number(&scored[0], "value") - mean).abs() < 1e-12);

    let report = cli.read("querying.md");
    for expected in [
        "mean over 2 seeds (0, 1), with the 95 % interval of the mean",
        "with the 95 % interval over the scored images and the seeds",
    ] {
        assert!(report.contains(expected), "{expected}: {report}");
    }
    let bracketed = report.lines().filter(|line| {
        (line.starts_with("| linear |") || line.starts_with("| nearest |"))
            && line.matches(" [").count() == 2
    });
    assert_eq!(bracketed.count(), 4, "{report}");
}
