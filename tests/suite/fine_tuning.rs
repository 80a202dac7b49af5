//! Heads that train the network below them, and heads whose features every epoch computes again: from the file to the tables.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::fixture::{CliTest, root};
use crate::small::{FASHION, NANO, experiment};

/// An experiment on a small Fashion-MNIST with the sections that a test adds.
fn with(rest: &str) -> String {
    experiment("tuning", &[FASHION, NANO, rest])
}

fn run(cli: &CliTest, name: &str, rest: &str) {
    cli.write(name, with(rest));
    cli.run(&["run", name]).expect_code(0);
}

/// The files of all heads of a cache that have a name, by the artifact's fingerprint.
fn files(cache: &Path, name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![cache.join("artifacts/head")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|own| own == name) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_tuned_network_beats_a_frozen_one_and_can_be_used_as_weights() {
    let cli = CliTest::with_fashion(240, 100);
    let weights = root().join("data/models/fashion-28.safetensors");
    let model = |name: &str, weights: &Path| {
        format!(
            "\n[model.{name}]\nkind = \"guided-diffusion\"\npreset = \"fashion-28\"\nweights = {:?}\n",
            weights.display().to_string()
        )
    };
    // At high noise and one position, a frozen network leaves much to learn.
    let rest = format!(
        "{}\n[extraction.map]\nmodel = \"garments\"\ndataset = \"fashion\"\ntimestep = 200\nblock = 6\npool = 1\n\n\
         [head.frozen]\nkind = \"batchnorm-linear\"\nfeatures = \"map\"\nepochs = 6\nbatch_size = 40\noptimizer = {{ lr = 1e-2 }}\n\n\
         [head.tuned]\nkind = \"batchnorm-linear\"\nfeatures = \"map\"\nepochs = 6\nbatch_size = 40\noptimizer = {{ lr = 1e-2 }}\nfine_tune = {{ lr = 1e-3 }}\n\n\
         [head.online]\nkind = \"batchnorm-linear\"\nfeatures = \"map\"\nepochs = 6\nbatch_size = 40\noptimizer = {{ lr = 1e-2 }}\nonline = true\n\n\
         [metric.accuracy]\nkind = \"accuracy\"\nof = [\"frozen\", \"online\", \"tuned\"]\n\n\
         [report]\noutput = \"report.md\"\n\n\
         [[report.table]]\nkind = \"grid\"\nmetric = \"top1\"\nrows = \"head\"\ncolumns = \"network_learning_rate\"\n",
        model("garments", &weights)
    );
    run(&cli, "tuned.toml", &rest);
    let last = |head: &str| {
        let rows = cli.query(&format!(
            "SELECT c.train_loss AS loss FROM curves c JOIN results r ON c.head_fingerprint = r.head_fingerprint \
             WHERE r.metric = 'top1' AND r.head = '{head}' AND c.epoch = 6"
        ));
        rows[0]["loss"].as_f64().unwrap()
    };
    // Both see fresh noise in every epoch, which is harder than the same noise again.
    let (frozen, online, tuned) = (last("frozen"), last("online"), last("tuned"));
    assert!(tuned < 0.8 * online, "{tuned} against {online}");
    let rates = cli.query(
        "SELECT head, network_learning_rate AS rate, count FROM results WHERE metric = 'top1' ORDER BY head",
    );
    let rates: Vec<Option<f64>> = rates.iter().map(|row| row["rate"].as_f64()).collect();
    assert_eq!(rates, [None, None, Some(1e-3)]);
    let report = cli.read("report.md");
    assert!(report.contains("Learning rate of the network"), "{report}");
    cli.run(&["run", "tuned.toml"])
        .expect_code(0)
        .expect_in_stderr(&["nothing to do"]);
    cli.run(&["cache", "verify"]).expect_code(0);

    // The network that was trained is a file of weights like any other, and not the one that training began with.
    let [network] = files(&cli.path(".repro"), "network.safetensors")
        .try_into()
        .unwrap();
    let rest = format!(
        "{}\n[extraction.map]\nmodel = \"after\"\ndataset = \"fashion\"\ntimestep = 200\nblock = 6\npool = 1\n\n\
         [head.after]\nkind = \"batchnorm-linear\"\nfeatures = \"map\"\nepochs = 6\nbatch_size = 40\noptimizer = {{ lr = 1e-2 }}\n\n\
         [metric.accuracy]\nkind = \"accuracy\"\nof = \"after\"\n",
        model("after", &network)
    );
    run(&cli, "after.toml", &rest);
    assert!(
        last("after") < 0.8 * frozen,
        "{} against {frozen}",
        last("after")
    );
}

#[test]
fn the_learning_rate_of_the_network_is_chosen_on_what_is_held_out() {
    let cli = CliTest::with_fashion(60, 20);
    let rest = "\n[extraction.map]\nmodel = \"unet\"\ndataset = \"fashion\"\ntimestep = 90\nblock = 1\npool = 4\n\n\
         [head.tuned]\nkind = \"batchnorm-linear\"\nfeatures = \"map\"\nepochs = 3\nbatch_size = 16\nholdout = 0.3\nseed = [0, 1]\n\
         optimizer = { lr = 1e-2 }\nfine_tune = [{ lr = 1e-9 }, { lr = 1e-3 }, { lr = 1e-2 }]\n\n\
         [metric.accuracy]\nkind = \"accuracy\"\nof = \"tuned\"\nchoose = [\"network_learning_rate\"]\n";
    run(&cli, "choose.toml", rest);
    let chosen = cli
        .query("SELECT DISTINCT network_learning_rate AS rate FROM results WHERE metric = 'top1'");
    assert_eq!(chosen.len(), 1, "{chosen:?}");
    let rate = chosen[0]["rate"].as_f64().unwrap();
    let seeds = cli.query("SELECT seed FROM results WHERE metric = 'top1' ORDER BY seed");
    assert_eq!(seeds.len(), 2);
    // The chosen rate's mean over both seeds is the highest of all: recomputed from the validation split.
    let scores = cli.query(
        "SELECT s.top1, s.loss, a.label FROM selection s JOIN artifacts a ON s.head_fingerprint = a.fingerprint",
    );
    assert_eq!(scores.len(), 6);
    let mean = |wanted: f64| {
        let named = format!("network-lr={wanted:e}");
        let of_rate = scores
            .iter()
            .filter(|row| row["label"].as_str().unwrap().contains(&named));
        let values: Vec<f64> = of_rate.map(|row| row["top1"].as_f64().unwrap()).collect();
        assert_eq!(values.len(), 2);
        values.iter().sum::<f64>() / 2.0
    };
    for other in [1e-9, 1e-3, 1e-2] {
        assert!(mean(rate) >= mean(other), "{rate:e} and {other:e}");
    }
}

#[test]
fn fresh_features_are_those_of_as_many_cached_draws() {
    let cli = CliTest::with_fashion(60, 30);
    let head = |name: &str, features: &str, keys: &str| {
        format!(
            "\n[head.{name}]\nkind = \"linear\"\nfeatures = \"{features}\"\nepochs = 3\nbatch_size = 16\n{keys}\n"
        )
    };
    let extraction = |name: &str, draws: &str| {
        format!(
            "\n[extraction.{name}]\nmodel = \"unet\"\ndataset = \"fashion\"\ntimestep = 90\nblock = 2\ndraw = {draws}\n\
             preprocess = [{{ random-resized-crop = 32 }}, {{ random-flip = 0.5 }}]\n"
        )
    };
    let metric =
        "\n[metric.accuracy]\nkind = \"accuracy\"\nof = [\"online\", \"cached\", \"once\"]\n";
    let rest = [
        extraction("one", "0"),
        extraction("three", "[0, 1, 2]"),
        head("online", "one", "online = true\nlogits = true"),
        head("cached", "three", "views = \"in-turn\"\nlogits = true"),
        head("once", "one", "logits = true"),
        metric.to_owned(),
    ];
    run(&cli, "fresh.toml", &rest.concat());
    let losses = |head: &str| -> Vec<f64> {
        let rows = cli.query(&format!(
            "SELECT c.train_loss AS loss FROM curves c JOIN results r ON c.head_fingerprint = r.head_fingerprint \
             WHERE r.metric = 'top1' AND r.head = '{head}' ORDER BY c.epoch"
        ));
        rows.iter()
            .map(|row| row["loss"].as_f64().unwrap())
            .collect()
    };
    let (online, cached, once) = (losses("online"), losses("cached"), losses("once"));
    assert_eq!(online.len(), 3);
    for (online, cached) in online.iter().zip(&cached) {
        // Batches hold other images, which rounds differently.
        assert!((online - cached).abs() < 1e-4, "{online} and {cached}");
    }
    assert!(
        (online[1] - once[1]).abs() > 1e-3,
        "the noise was not fresh"
    );
}

#[test]
fn a_killed_training_of_a_network_goes_on_to_the_same_bytes() {
    let cli = CliTest::with_fashion(60, 10);
    let rest = "\n[extraction.map]\nmodel = \"unet\"\ndataset = \"fashion\"\ntimestep = 90\nblock = 4\npool = 2\n\n\
         [head.tuned]\nkind = \"batchnorm-linear\"\nfeatures = \"map\"\nepochs = 2\nbatch_size = 10\nfine_tune = { lr = 1e-4 }\n";
    cli.write("tuned.toml", with(rest));
    let arguments = |cache| {
        [
            "run",
            "tuned.toml",
            "--checkpoint-every",
            "0",
            "--cache",
            cache,
        ]
    };
    cli.run(&arguments("unbroken")).expect_code(0);

    let mut child = cli
        .command(&arguments("broken"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let started = Instant::now();
    let checkpoints = || {
        let folders = fs::read_dir(cli.path("broken/checkpoints"));
        let files = folders.into_iter().flatten().flatten();
        files
            .flat_map(|folder| fs::read_dir(folder.path()).into_iter().flatten().flatten())
            .filter(|file| {
                file.path()
                    .extension()
                    .is_some_and(|end| end == "safetensors")
            })
            .count()
    };
    while checkpoints() < 2 {
        assert!(child.try_wait().unwrap().is_none(), "it ended too soon");
        assert!(started.elapsed() < Duration::from_mins(2), "no checkpoint");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(files(&cli.path("broken"), "manifest.json").is_empty());
    cli.run(&arguments("broken")).expect_code(0);
    for name in [
        "head.safetensors",
        "network.safetensors",
        "curves.parquet",
        "predictions.parquet",
    ] {
        let bytes = |cache: &str| {
            let found = files(&cli.path(cache), name);
            assert_eq!(found.len(), 1, "{name}");
            fs::read(&found[0]).unwrap()
        };
        assert!(bytes("unbroken") == bytes("broken"), "{name} differs");
    }
    assert_eq!(checkpoints(), 0);
}
