//! CKA between the blocks of a network, from the images to the heatmap.

use std::fs;

use repro::store::names::artifact_path;
use repro::store::{ArtifactKind, Begin, FeaturePart, FeatureValues, Made, Store, wait_quietly};
use serde_json::json;

use crate::fixture::CliTest;
use crate::small::{FASHION, NANO, TEST, TRAIN, experiment, run};

const COMPARED: &str = r#"
[extraction.taps]
model    = "unet"
dataset  = "fashion"
timestep = 90
block    = [1, 2, 3]
pool     = 2

[metric.similarity]
kind = "cka"
left = "taps"

[metric.unbiased]
kind       = "cka"
left       = "taps"
estimator  = "minibatch"
batch_size = 10

[report]
output = "reports/similar.md"

[[report.figure]]
kind    = "heatmap"
file    = "similar.svg"
metric  = "cka"
rows    = "left_block"
columns = "right_block"
"#;

/// The whole experiment.
fn similar() -> String {
    experiment("similar", &[FASHION, NANO, COMPARED])
}

fn with(text: &str) -> CliTest {
    let cli = CliTest::with_fashion(TRAIN, TEST);
    cli.write("similar.toml", text);
    cli
}

#[test]
fn a_grid_of_blocks_is_symmetric_and_drawn() {
    let cli = with(&similar());
    run(&cli, "similar.toml");
    for metric in ["cka", "cka_minibatch"] {
        let rows = cli.query(&format!(
            "SELECT left_block, right_block, value FROM results WHERE metric = '{metric}' ORDER BY left_block, right_block"
        ));
        assert_eq!(rows.len(), 9, "{rows:?}");
        let at = |left: u32, right: u32| {
            let is_it = |row: &&serde_json::Value| {
                row["left_block"] == json!(left) && row["right_block"] == json!(right)
            };
            rows.iter().find(is_it).unwrap()["value"].as_f64().unwrap()
        };
        for left in 1..=3 {
            assert!((at(left, left) - 1.0).abs() < 1e-12);
            for right in 1..=3 {
                assert_eq!(at(left, right).to_bits(), at(right, left).to_bits());
            }
        }
        assert!((0.0..0.999).contains(&at(1, 3)), "{}", at(1, 3));
    }
    // Nothing was counted, and no bootstrap was drawn.
    let rows = cli.query(
        "SELECT count(*) AS rows FROM results WHERE low IS NULL AND count IS NULL AND split = 'test'",
    );
    assert_eq!(rows, [json!({ "rows": 18 })]);

    let report = cli.read("reports/similar.md");
    assert!(report.contains("similar.svg"), "{report}");
    let figure = cli.read("reports/similar.svg");
    assert_eq!(figure.matches("\n1.00\n").count(), 3 + 1, "{figure}");

    // One more block makes features and a table of results, and nothing else.
    cli.write(
        "similar.toml",
        similar().replace("[1, 2, 3]", "[1, 2, 3, 5]"),
    );
    run(&cli, "similar.toml");
    let rows = cli.query("SELECT count(*) AS rows FROM results WHERE metric = 'cka' AND (left_block = 5 OR right_block = 5)");
    assert_eq!(rows, [json!({ "rows": 7 })]);
}

#[test]
fn too_few_images_name_the_features() {
    let cli = CliTest::with_fashion(20, 3);
    cli.write("similar.toml", similar());
    cli.run(&["run", "similar.toml", "--device", "cpu"])
        .expect_code(1)
        .expect_in_stderr(&[
            "the features of extraction `taps` (timestep 90, block 1, ",
            "have 3 samples, and this estimator needs at least 4",
        ]);
    // The other metric does not need that one.
    let rows = cli.query("SELECT count(*) AS rows FROM results WHERE metric = 'cka'");
    assert_eq!(rows, [json!({ "rows": 9 })]);
}

/// Recomputes the features of one block, as many and of the same splits, but of two images of the test split in the other order.
fn exchange_two_images(cli: &CliTest, label: &str) {
    let store = Store::open(cli.path(".repro")).unwrap();
    let listing = store.listing().unwrap();
    let mut features = listing.artifacts.iter();
    let (fingerprint, entry) = features
        .find(|(_, entry)| entry.kind == ArtifactKind::Features && entry.label.contains(label))
        .unwrap();
    let reader = store.features(fingerprint).unwrap();
    let texts =
        |texts: Vec<&str>| -> Vec<String> { texts.into_iter().map(str::to_owned).collect() };
    let [part] = reader.parts() else {
        panic!("several parts");
    };
    let (mut ids, splits) = (texts(part.ids().collect()), texts(part.splits().collect()));
    let (rows, width) = (ids.len(), reader.width());
    ids.swap(rows - 1, rows - 2);
    fs::remove_dir_all(store.root().join(artifact_path(
        ArtifactKind::Features.name(),
        &fingerprint.to_string(),
    )))
    .unwrap();
    let begun = store.begin(&entry.recipe, &entry.label, &mut wait_quietly);
    let Begin::Writer(mut writer) = begun.unwrap() else {
        panic!("it is still there");
    };
    let values = (0..rows * width).map(|place| (place * place % 97) as f32);
    let part = FeaturePart {
        ids: &ids,
        splits: &splits,
        labels: Some(&vec![0; rows]),
        views: &vec!["center".to_owned(); rows],
        draws: &vec![0; rows],
        width,
        values: FeatureValues::F32(values.collect()),
    };
    writer.write_features(0, part).unwrap();
    writer.finish(Made::default()).unwrap();
}

#[test]
fn as_many_images_are_not_the_same_images() {
    let cli = with(&similar());
    run(&cli, "similar.toml");
    fs::remove_dir_all(cli.path(".repro/artifacts/metric")).unwrap();
    exchange_two_images(&cli, " b2 ");
    cli.run(&["run", "similar.toml", "--device", "cpu"])
        .expect_code(1)
        .expect_in_stderr(&[
            "(timestep 90, block 2, ",
            "are not of the same images: sample 19 of split `test` is `test/000",
            "` in the former and `test/000",
            "hint: ",
        ]);
}
