//! What is predicted or held out is shown without chance, whatever training sees: features from the store, computed in every epoch, and
//! of a network that is trained.

use std::collections::BTreeMap;

use arrow::array::{Array, FixedSizeListArray, Float32Array, StringArray};
use repro::store::Store;
use repro::store::names::LOGITS;
use serde_json::Value;

use crate::fixture::CliTest;
use crate::small::{FASHION, NANO, experiment};

const EXTRACTIONS: &str = r#"
[extraction.crops]
model      = "unet"
dataset    = "fashion"
timestep   = 50
block      = 2
pool       = 4
preprocess = [{ random-resized-crop = 32 }, { random-flip = 0.5 }]

[extraction.plain]
model    = "unet"
dataset  = "fashion"
timestep = 50
block    = 2
pool     = 4
"#;

/// A head on both extractions that holds images out.
fn head(name: &str, keys: &str) -> String {
    format!(
        "\n[head.{name}]\nkind = \"linear\"\nfeatures = [\"crops\", \"plain\"]\nepochs = 2\nbatch_size = 16\nholdout = 0.3\n{keys}\n"
    )
}

/// The features of an artifact whose label contains some texts, by the id of the image.
fn features(cli: &CliTest, texts: &[&str]) -> BTreeMap<String, Vec<f32>> {
    let all = cli.query("SELECT fingerprint, label FROM artifacts WHERE kind = 'features'");
    let found: Vec<&Value> = all
        .iter()
        .filter(|row| {
            let label = row["label"].as_str().unwrap();
            texts.iter().all(|text| label.contains(text))
        })
        .collect();
    assert_eq!(found.len(), 1, "{texts:?} in {all:?}");
    let fingerprint = found[0]["fingerprint"].as_str().unwrap().parse().unwrap();
    let store = Store::open_read_only(cli.path(".repro")).unwrap();
    let reader = store.features(&fingerprint).unwrap();
    let mut all = BTreeMap::new();
    for part in reader.parts() {
        let values = part.values_f32().unwrap().chunks_exact(reader.width());
        all.extend(
            part.ids()
                .map(str::to_owned)
                .zip(values.map(<[f32]>::to_vec)),
        );
    }
    all
}

#[test]
fn cached_features_of_test_and_held_out_images_are_those_of_the_center() {
    let cli = CliTest::with_fashion(60, 30);
    let probe = head("probe", "");
    let metric = "\n[metric.accuracy]\nkind = \"accuracy\"\nof = \"probe\"\n";
    cli.write(
        "view.toml",
        experiment("view", &[FASHION, NANO, EXTRACTIONS, &probe, metric]),
    );
    cli.run(&["run", "view.toml"]).expect_code(0);
    let plain = features(&cli, &["plain["]);
    let test = features(&cli, &["crops[", "of test, shown for testing"]);
    let held_out = features(&cli, &["crops[", "of train, shown for testing"]);
    let train = features(&cli, &["crops[", "of train, shown for training"]);
    assert_eq!(
        (plain.len(), test.len(), held_out.len(), train.len()),
        (90, 30, 60, 60)
    );
    for (id, feature) in test.iter().chain(&held_out) {
        assert_eq!(*feature, plain[id], "{id}");
    }
    let other = train.iter().filter(|(id, feature)| **feature != plain[*id]);
    assert_eq!(other.count(), 60);
}

#[test]
fn heads_of_every_kind_of_training_predict_and_hold_out_without_chance() {
    let cli = CliTest::with_fashion(60, 30);
    // Rates at which nothing is learned: what differs are the images alone.
    let heads = [
        head("cached", "optimizer = { lr = 1e-30 }"),
        head("online", "optimizer = { lr = 1e-30 }\nonline = true"),
        head(
            "tuned",
            "optimizer = { lr = 1e-30 }\nfine_tune = { lr = 1e-30 }",
        ),
    ];
    let metric =
        "\n[metric.accuracy]\nkind = \"accuracy\"\nof = [\"cached\", \"online\", \"tuned\"]\n";
    cli.write(
        "view.toml",
        experiment(
            "view",
            &[FASHION, NANO, EXTRACTIONS, &heads.concat(), metric],
        ),
    );
    cli.run(&["run", "view.toml"]).expect_code(0);
    let rows = |table: &str, columns: &str, name: &str, extraction: &str| {
        cli.query(&format!(
            "SELECT {columns} FROM {table} t JOIN (SELECT DISTINCT head_fingerprint, head, extraction FROM results) r \
             ON t.head_fingerprint = r.head_fingerprint WHERE r.head = '{name}' AND r.extraction = '{extraction}' ORDER BY 1, 2"
        ))
    };
    for name in ["cached", "online", "tuned"] {
        let predictions =
            |extraction| rows("predictions", "t.id, t.predicted, t.rank", name, extraction);
        assert_eq!(predictions("crops").len(), 30, "{name}");
        assert_eq!(predictions("crops"), predictions("plain"), "{name}");
        let held_out = |extraction| rows("curves", "t.epoch, t.holdout_loss", name, extraction);
        assert_eq!(held_out("crops").len(), 2, "{name}");
        assert_eq!(held_out("crops"), held_out("plain"), "{name}");
        let trained = |extraction| rows("curves", "t.epoch, t.train_loss", name, extraction);
        for (crops, plain) in trained("crops").iter().zip(trained("plain")) {
            assert_ne!(crops["train_loss"], plain["train_loss"], "{name}");
        }
    }
}

#[test]
fn several_draws_of_test_images_are_averaged_in_their_logits() {
    let cli = CliTest::with_fashion(40, 20);
    // Rates at which nothing is learned: all heads have the same weights.
    let rest = r#"
[extraction.draws]
model    = "unet"
dataset  = "fashion"
timestep = 50
block    = 2
pool     = 2
draw     = [3, 4, 5]

[extraction.first]
model    = "unet"
dataset  = "fashion"
timestep = 50
block    = 2
pool     = 2
draw     = 3

[head.apart]
kind      = "linear"
features  = "draws"
epochs    = 1
logits    = true
optimizer = { lr = 1e-30 }

[head.mean]
kind       = "linear"
features   = "first"
epochs     = 1
logits     = true
optimizer  = { lr = 1e-30 }
test_draws = 3

[head.of-features]
kind         = "linear"
features     = "first"
epochs       = 1
logits       = true
optimizer    = { lr = 1e-30 }
test_draws   = 3
test_average = "features"

[head.ridge-one]
kind     = "ridge"
features = "first"
logits   = true

[head.ridge]
kind       = "ridge"
features   = "first"
logits     = true
test_draws = 3

[head.ridge-of-features]
kind         = "ridge"
features     = "first"
logits       = true
test_draws   = 3
test_average = "features"

[head.neighbors]
kind       = "knn"
features   = "first"
k          = 3
test_draws = 3

[metric.accuracy]
kind = "accuracy"
of   = ["apart", "mean", "of-features", "ridge-one", "ridge", "ridge-of-features", "neighbors"]
"#;
    cli.write("draws.toml", experiment("draws", &[FASHION, NANO, rest]));
    cli.run(&["run", "draws.toml"]).expect_code(0);
    let store = Store::open_read_only(cli.path(".repro")).unwrap();
    let logits = |head: &str, draw: u32| -> BTreeMap<String, Vec<f64>> {
        let found = cli.query(&format!(
            "SELECT DISTINCT head_fingerprint FROM results WHERE head = '{head}' AND draw = {draw}"
        ));
        assert_eq!(found.len(), 1, "{head} {draw}");
        let fingerprint = found[0]["head_fingerprint"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        let table = store.table(&fingerprint, LOGITS).unwrap();
        let ids = table
            .column(0)
            .as_any()
            .downcast_ref::<StringArray>()
            .unwrap();
        let lists = table
            .column(1)
            .as_any()
            .downcast_ref::<FixedSizeListArray>()
            .unwrap();
        let numbers = |row: usize| -> Vec<f64> {
            let list = lists.value(row);
            let list = list.as_any().downcast_ref::<Float32Array>().unwrap();
            list.values().iter().copied().map(f64::from).collect()
        };
        (0..ids.len())
            .map(|row| (ids.value(row).to_owned(), numbers(row)))
            .collect()
    };
    let draws = [3, 4, 5].map(|draw| logits("apart", draw));
    assert_ne!(draws[0], draws[1]);
    let mean = logits("mean", 3);
    assert_eq!(mean.len(), 20);
    for (id, found) in mean {
        for (class, found) in found.into_iter().enumerate() {
            let expected = draws.iter().map(|draw| draw[&id][class]).sum::<f64>() / 3.0;
            // A sum of three and a quotient, each rounded to 24 bits.
            assert!(
                (found - expected).abs() < 1e-6 * expected.abs().max(1.0),
                "{id} {class}"
            );
        }
    }
    // What is linear has the same logits whether they or the features are averaged.
    for (of_logits, of_features) in [("mean", "of-features"), ("ridge", "ridge-of-features")] {
        let of_logits = logits(of_logits, 3);
        for (id, found) in logits(of_features, 3) {
            for (found, expected) in found.into_iter().zip(&of_logits[&id]) {
                assert!(
                    (found - expected).abs() < 1e-4 * expected.abs().max(1.0),
                    "{of_features} {id}: {found} {expected}"
                );
            }
        }
    }
    assert_ne!(logits("ridge", 3), logits("ridge-one", 3));
}
