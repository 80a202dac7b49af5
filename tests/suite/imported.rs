//! Features that were computed elsewhere, from files to results.

use std::collections::BTreeMap;

use safetensors::tensor::{Dtype, TensorView};

use crate::fixture::CliTest;
use crate::small::{FASHION, RAW, experiment, run};

const TRAIN: usize = 60;
const TEST: usize = 40;

const HEADS: &str = r#"
[extraction.imported]
model   = "elsewhere"
dataset = "fashion"

[head.nearest]
kind     = "knn"
k        = 1
features = "imported"

[metric.accuracy]
kind = "accuracy"
of   = "nearest"

[report]
output = "report.md"

[[report.table]]
kind   = "grid"
metric = "top1"
rows    = "model"
columns = "head"
"#;

/// One sample of the dataset.
struct Sample {
    id: String,
    split: String,
    class: String,
}

/// What `repro data ids` prints.
fn samples(cli: &CliTest) -> Vec<Sample> {
    cli.write("data.toml", FASHION);
    let printed = cli.run(&["data", "ids", "data.toml"]).expect_code(0);
    let mut lines = printed.stdout.lines();
    assert_eq!(lines.next(), Some("id,split,class"));
    let samples = lines.map(|line| {
        let fields: Vec<&str> = line.split(',').collect();
        let [id, split, class] = fields.as_slice() else {
            panic!("{line}");
        };
        Sample {
            id: (*id).to_owned(),
            split: (*split).to_owned(),
            class: (*class).to_owned(),
        }
    });
    samples.collect()
}

/// A feature of a direction that only samples of the same class have.
fn feature(sample: &Sample) -> [f32; 2] {
    let sum: u16 = sample.class.bytes().map(u16::from).sum();
    let small: u16 = sample.id.bytes().map(u16::from).sum();
    let (sine, cosine) = (f32::from(sum % 97) / 97.0 * std::f32::consts::TAU).sin_cos();
    let length = 1.0 + f32::from(small) / 1e4;
    [cosine * length, sine * length]
}

/// An array file of rows.
fn npy(rows: &[[f32; 2]]) -> Vec<u8> {
    let mut header = format!(
        "{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, 2), }}",
        rows.len()
    );
    while !(10 + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let length = u16::try_from(header.len()).unwrap().to_le_bytes();
    let values = rows
        .as_flattened()
        .iter()
        .flat_map(|value| value.to_le_bytes());
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(length);
    bytes.extend(header.into_bytes());
    bytes.extend(values);
    bytes
}

/// Rows with ids beside them.
fn safetensors(samples: &[&Sample]) -> Vec<u8> {
    let rows: Vec<u8> = samples
        .iter()
        .flat_map(|sample| feature(sample))
        .flat_map(f32::to_le_bytes)
        .collect();
    let width = samples.iter().map(|sample| sample.id.len()).max().unwrap();
    let mut ids = Vec::new();
    for sample in samples {
        let mut id = sample.id.clone().into_bytes();
        id.resize(width, 0);
        ids.extend(id);
    }
    let tensors = [
        (
            "features",
            TensorView::new(Dtype::F32, vec![samples.len(), 2], &rows).unwrap(),
        ),
        (
            "ids",
            TensorView::new(Dtype::U8, vec![samples.len(), width], &ids).unwrap(),
        ),
    ];
    safetensors::serialize(tensors, None).unwrap()
}

fn model(features: &str) -> String {
    format!("[model.elsewhere]\nkind = \"import\"\nfeatures = {features}\nshape = [2]\n")
}

fn of_split(samples: &[Sample], split: &str) -> Vec<[f32; 2]> {
    let own = samples.iter().filter(|sample| sample.split == split);
    own.map(feature).collect()
}

const BY_SPLIT: &str = "{ train = \"train.npy\", test = \"test.npy\" }";

#[test]
fn rows_in_the_order_of_the_dataset_and_rows_with_ids_give_the_same_results() {
    let cli = CliTest::with_fashion(TRAIN, TEST);
    let samples = samples(&cli);
    assert_eq!(samples.len(), TRAIN + TEST);
    cli.write("train.npy", npy(&of_split(&samples, "train")));
    cli.write("test.npy", npy(&of_split(&samples, "test")));
    cli.write(
        "a.toml",
        experiment("a", &[FASHION, &model(BY_SPLIT), HEADS]),
    );
    let plan = cli.run(&["plan", "a.toml"]).expect_code(0);
    assert!(
        plan.stdout
            .contains("1 import of features that were computed elsewhere")
            && plan
                .stdout
                .contains("elsewhere ← fashion  test.npy, train.npy  1 set of 100 rows"),
        "{plan}"
    );
    let ran = run(&cli, "a.toml");
    assert!(
        ran.stderr
            .contains("imported elsewhere ← fashion: 100 rows in"),
        "{ran}"
    );
    cli.run(&["plan", "--check", "a.toml"]).expect_code(0);
    let results =
        "SELECT value, block, timestep, \"view\", weights FROM results WHERE metric = 'top1'";
    let [result] = cli.query(results).try_into().unwrap();
    assert_eq!(result["value"], 1.0);
    for axis in ["block", "timestep", "view"] {
        assert!(result[axis].is_null(), "{result}");
    }
    let weights = result["weights"].as_str().unwrap().to_owned();
    let digest = blake3::hash(&std::fs::read(cli.path("test.npy")).unwrap()).to_hex();
    assert!(
        weights.starts_with(&format!("imported:{digest}+")),
        "{weights}"
    );
    let report = cli.read("report.md");
    assert!(
        report.contains(
            "Imported: the features of `elsewhere` were computed elsewhere, and read from files with the BLAKE3 digests"
        ) && report.contains(&digest[..12]),
        "{report}"
    );

    // Backwards, in one file, with the ids beside them.
    let backwards: Vec<&Sample> = samples.iter().rev().collect();
    cli.write("all.safetensors", safetensors(&backwards));
    let model = model("\"all.safetensors\"");
    cli.write("b.toml", experiment("a", &[FASHION, &model, HEADS]));
    run(&cli, "b.toml");
    let kept = cli.query("SELECT fingerprint FROM artifacts WHERE kind = 'features'");
    let kept = kept.iter().map(|row| {
        let digits = &row["fingerprint"].as_str().unwrap()[..8];
        cli.query(&format!("SELECT * FROM features_{digits} ORDER BY id"))
    });
    let kept: Vec<_> = kept.collect();
    let [first, second] = kept.as_slice() else {
        panic!("{} sets of features", kept.len());
    };
    assert_eq!(first.len(), TRAIN + TEST);
    assert_eq!(first, second);
}

#[test]
fn imported_features_stand_beside_those_of_networks() {
    let cli = CliTest::with_fashion(TRAIN, TEST);
    let samples = samples(&cli);
    let all: Vec<&Sample> = samples.iter().collect();
    cli.write("all.safetensors", safetensors(&all));
    let sections = r#"
[extraction.both]
model   = ["elsewhere", "raw"]
dataset = "fashion"
block   = 1
pool    = [7, 14]

[head.probe]
kind     = "ridge"
features = "both"

[metric.accuracy]
kind = "accuracy"
of   = "probe"

[metric.alike]
kind  = "cka"
left  = "both"
right = "both"
split = "test"
"#;
    let model = model("\"all.safetensors\"");
    cli.write("a.toml", experiment("a", &[FASHION, &model, RAW, sections]));
    run(&cli, "a.toml");
    let rows = cli.query(
        "SELECT model, block, COUNT(*) AS n FROM results WHERE metric = 'top1' GROUP BY model, block ORDER BY model",
    );
    let found: Vec<(String, bool, i64)> = rows
        .iter()
        .map(|row| {
            let model = row["model"].as_str().unwrap().to_owned();
            (model, row["block"].is_null(), row["n"].as_i64().unwrap())
        })
        .collect();
    // The pools are for the pixels alone.
    assert_eq!(
        found,
        [
            ("elsewhere".to_owned(), true, 1),
            ("raw".to_owned(), false, 2)
        ]
    );
}

#[test]
fn files_that_do_not_fit_are_refused_before_anything_runs() {
    let cli = CliTest::with_fashion(TRAIN, TEST);
    let samples = samples(&cli);
    let train = of_split(&samples, "train");
    let test = of_split(&samples, "test");
    cli.write("train.npy", npy(&train));
    cli.write("test.npy", npy(&test));
    cli.write(
        "a.toml",
        experiment("a", &[FASHION, &model(BY_SPLIT), HEADS]),
    );
    let refused = |words: &[&str]| {
        for command in ["plan", "run"] {
            cli.run(&[command, "a.toml"])
                .expect_code(3)
                .expect_in_stderr(words);
        }
        assert!(!cli.path(".repro/artifacts/features").exists());
    };
    cli.write("test.npy", npy(&test[1..]));
    refused(&[
        "a.toml:9:12: features of model `elsewhere`:",
        "test.npy is malformed: it has 39 rows and no ids, and split `test` of dataset `fashion` has 40 samples",
    ]);
    cli.write("test.npy", b"\x93NUMPY");
    refused(&["it ends after 6 bytes"]);
    let all: Vec<&Sample> = samples.iter().skip(1).collect();
    cli.write("all.safetensors", safetensors(&all));
    let model = model("\"all.safetensors\"");
    cli.write("a.toml", experiment("a", &[FASHION, &model, HEADS]));
    refused(&["it has no row for 1 of the 100 samples of dataset `fashion`"]);
}

#[test]
fn a_value_that_is_not_finite_ends_the_run_with_its_row() {
    let cli = CliTest::with_fashion(TRAIN, TEST);
    let samples = samples(&cli);
    let mut train = of_split(&samples, "train");
    train[17][1] = f32::NAN;
    train[18][0] = f32::INFINITY;
    cli.write("train.npy", npy(&train));
    cli.write("test.npy", npy(&of_split(&samples, "test")));
    cli.write(
        "a.toml",
        experiment("a", &[FASHION, &model(BY_SPLIT), HEADS]),
    );
    cli.run(&["run", "a.toml"])
        .expect_code(1)
        .expect_in_stderr(&["value 1 of row 17, both counted from 0, is NaN"]);
}

#[test]
fn other_files_are_other_features_and_missing_ones_are_remembered() {
    let cli = CliTest::with_fashion(TRAIN, TEST);
    let samples = samples(&cli);
    let train = of_split(&samples, "train");
    cli.write("train.npy", npy(&train));
    cli.write("test.npy", npy(&of_split(&samples, "test")));
    cli.write(
        "a.toml",
        experiment("a", &[FASHION, &model(BY_SPLIT), HEADS]),
    );
    run(&cli, "a.toml");
    // The name and the place of a file do not matter, its bytes do.
    cli.write("moved/train.npy", npy(&train));
    let moved = model("{ train = \"moved/train.npy\", test = \"test.npy\" }");
    cli.write("b.toml", experiment("a", &[FASHION, &moved, HEADS]));
    cli.run(&["plan", "--check", "b.toml"]).expect_code(0);
    std::fs::remove_file(cli.path("train.npy")).unwrap();
    let plan = cli.run(&["plan", "a.toml"]).expect_code(0);
    assert!(
        plan.stdout.contains(
            "features of model `elsewhere`: test.npy, train.npy, by what the cache remembers"
        ) && plan.stdout.contains("nothing to compute"),
        "{plan}"
    );
    cli.run(&["report", "a.toml"]).expect_code(0);
    cli.run(&["run", "a.toml"])
        .expect_code(3)
        .expect_in_stderr(&["train.npy is missing"]);
    let mut changed = train;
    changed[0][0] += 1.0;
    cli.write("train.npy", npy(&changed));
    let plan = cli.run(&["plan", "a.toml"]).expect_code(0);
    assert!(
        plan.stdout.contains("features: 1 wanted, 0 cached"),
        "{plan}"
    );
}

/// The shards of an import are those of a pass: made one by one, they are the same.
#[test]
fn shards_of_an_import_are_made_one_by_one() {
    let cli = CliTest::with_fashion(1100, TEST);
    let samples = samples(&cli);
    let all: Vec<&Sample> = samples.iter().collect();
    cli.write("all.safetensors", safetensors(&all));
    let model = model("\"all.safetensors\"");
    cli.write("a.toml", experiment("a", &[FASHION, &model, HEADS]));
    let plan = cli.run(&["plan", "a.toml", "--json"]).expect_code(0).json();
    let jobs: BTreeMap<&str, &serde_json::Value> = plan["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| (job["kind"].as_str().unwrap(), job))
        .collect();
    let import = jobs["import"];
    assert_eq!(import["shards"], 2);
    let name = import["name"].as_str().unwrap();
    for shard in ["1..2", "0..1"] {
        cli.run(&["job", "a.toml", name, "--shards", shard])
            .expect_code(0);
    }
    run(&cli, "a.toml");
    let [result] = cli
        .query("SELECT value FROM results WHERE metric = 'top1'")
        .try_into()
        .unwrap();
    assert_eq!(result["value"], 1.0);
}
