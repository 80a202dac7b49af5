//! The cache as others read it: stock Polars and PyArrow, with nothing of `repro` in between.

use std::process::Command;

use crate::fixture::{CliTest, finish, root};
use crate::small::{FASHION, NANO, experiment};

/// Where Polars and PyArrow are; `./test` sets it.
const PYTHONPATH: &str = "REPRO_TEST_PYTHONPATH";

const KEPT: &str = r#"
[extraction.taps]
model    = "unet"
dataset  = "fashion"
timestep = 90
block    = [1, 3]
storage  = ["f32", "f16"]

[head.probe]
kind     = "linear"
features = "taps"
epochs   = 1

[metric.accuracy]
kind = "accuracy"
of   = "probe"
"#;

/// The whole experiment.
fn python() -> String {
    experiment("python", &[FASHION, NANO, KEPT])
}

const SCAN: &str = "
import sys
import polars as pl
features = pl.scan_parquet(sys.argv[1])
row = features.filter(pl.col('id') == 'train/00003').collect()
print(features.select(pl.len()).collect().item(), row.height, len(row['feature'][0]))
";

#[test]
fn python_reads_the_cache_and_an_export() {
    let Some(packages) = std::env::var_os(PYTHONPATH) else {
        let why = format!("{PYTHONPATH} is not set; `./test` sets it");
        assert!(std::env::var_os("CI").is_none(), "{why}");
        println!("skipped: {why}");
        return;
    };
    let cli = CliTest::with_fashion(12, 6);
    cli.write("python.toml", python());
    cli.run(&["run", "python.toml"]).expect_code(0);
    let python = |arguments: &[&str]| {
        let mut command = Command::new("python3");
        command
            .args(arguments)
            .current_dir(cli.path(""))
            .env("PYTHONPATH", &packages);
        finish(command.output().unwrap()).expect_code(0)
    };
    let script = root().join("tests/python/read_cache.py");
    let read = python(&[script.to_str().unwrap(), ".repro"]).json();
    let artifacts = read["artifacts"].as_array().unwrap();
    let of_kind = |kind: &str| {
        artifacts
            .iter()
            .filter(|artifact| artifact["kind"] == kind)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (
            of_kind("features").len(),
            of_kind("head").len(),
            of_kind("metric").len()
        ),
        (4, 4, 1)
    );
    assert!(
        of_kind("features")
            .iter()
            .all(|artifact| artifact["features"]["rows"] == 18),
        "{artifacts:?}"
    );

    let fingerprint = of_kind("features")[0]["fingerprint"].as_str().unwrap();
    cli.run(&["cache", "export", &fingerprint[..12], "features.parquet"])
        .expect_code(0);
    // 12 + 6 images, one of that id, 32 channels under a pool of 1.
    assert_eq!(
        python(&["-c", SCAN, "features.parquet"]).stdout,
        "18 1 32\n"
    );
}
