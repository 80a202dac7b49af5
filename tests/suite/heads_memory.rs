//! Heads on features that are larger than the memory they may take.

use std::process::Stdio;
use std::time::Duration;

use crate::fixture::{CliTest, finish};

/// Features of 250 × 250 numbers in half precision.
const SIDE: u64 = 250;
const FEATURE_BYTES: u64 = SIDE * SIDE * 2;
const TRAIN: usize = 10_000;
const TEST: usize = 1_000;

fn experiment(dataset: &str, heads: bool) -> String {
    let features = format!(
        "[experiment]\nname = \"memory\"\n\n\
         [dataset.fashion]\nkind = \"fashion-mnist\"\nroot = \"{dataset}\"\n\n\
         [model.raw]\nkind = \"pixels\"\nimage_size = {SIDE}\nin_channels = 1\n\n\
         [extraction.pixels]\nmodel = \"raw\"\ndataset = \"fashion\"\ntimestep = 0\nblock = 1\npool = {SIDE}\nstorage = \"f16\"\n\n"
    );
    let head =
        "[head.probe]\nkind = \"linear\"\nfeatures = \"pixels\"\nepochs = 2\nbatch_size = 64\n";
    features + if heads { head } else { "" }
}

/// Trains the head of a dataset, whose features are there already, and gives the most memory that the program had at a time.
fn peak(cli: &CliTest, dataset: &str, cache: &str, memory: u64) -> u64 {
    let arguments = [
        "run",
        "heads.toml",
        "--device",
        "cpu",
        "--cache",
        cache,
        "--memory",
        &format!("{memory}B"),
    ];
    cli.write("heads.toml", experiment(dataset, true));
    let mut command = cli.command(&arguments);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        // The system remembers the highest value, so nothing between two looks is missed but what comes after the last one.
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let size = line.and_then(|line| line.trim().strip_suffix(" kB"));
        if let Some(kibibytes) = size.and_then(|size| size.parse::<u64>().ok()) {
            peak = kibibytes << 10;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    finish(child.wait_with_output().unwrap()).expect_code(0);
    assert!(peak > 0);
    peak
}

#[test]
#[ignore = "1.4 GB of features on the disk; a minute"]
fn memory_is_what_was_allowed_and_the_bytes_are_the_same() {
    let cli = CliTest::new();
    cli.fashion("few", 40, 20);
    cli.fashion("many", TRAIN, TEST);
    for dataset in ["few", "many"] {
        cli.write("features.toml", experiment(dataset, false));
        cli.run(&["run", "features.toml", "--device", "cpu"])
            .expect_code(0);
    }
    let head = |dataset: &str| {
        let mut files = cli.files(".repro/artifacts/head");
        files.retain(|path, _| !path.ends_with("manifest.json"));
        std::fs::remove_dir_all(cli.path(".repro/artifacts/head")).unwrap();
        assert!(
            files.keys().any(|path| path.ends_with("head.safetensors")),
            "{dataset}"
        );
        files
    };
    let features = TRAIN as u64 * FEATURE_BYTES;
    let program = peak(&cli, "few", ".repro", features);
    head("few");
    // A quarter holds two windows of 128 MiB, an eighth holds batches.
    let mut made = Vec::new();
    for share in [4, 8] {
        let allowed = features / share;
        let peak = peak(&cli, "many", ".repro", allowed);
        println!(
            "{} MB of features, {} MB allowed: {} MB at most, {} MB of it without features",
            features / 1_000_000,
            allowed / 1_000_000,
            peak / 1_000_000,
            program / 1_000_000
        );
        assert!(
            peak <= program + allowed + allowed / 4,
            "{peak} bytes where {allowed} are allowed and the program takes {program}"
        );
        made.push(head("many"));
    }
    assert!(made[0] == made[1]);
}
