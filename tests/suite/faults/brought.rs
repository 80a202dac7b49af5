//! One byte flipped in each region of what comes from a remote and of what goes to a cluster: the folders `arriving`, `elsewhere` and
//! `cluster` of a cache. `matrix` has all others.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::matrix::{REGIONS, Region};
use crate::corruption::{artifacts, link};
use crate::fixture::{CliTest, Output};
use crate::small::small;

/// The files that are on their way, by the kinds of their artifacts.
const ARRIVING: [(&str, &str); 5] = [
    ("features", "part-00000.arrow"),
    ("head", "head.safetensors"),
    ("head", "predictions.parquet"),
    ("head", "curves.parquet"),
    ("metric", "results.parquet"),
];

/// How often something happened to a kind of file.
type Counts = BTreeMap<&'static str, usize>;

/// The experiment, its cache `sound`, the remote `shared` with all of it, and a cache `pulled` that has all out of the remote.
fn shared() -> CliTest {
    let cli = small();
    let run = ["run", "small.toml", "--device", "cpu", "--cache", "sound"];
    cli.run(&run).expect_code(0);
    cli.run(&["cache", "push", "shared", "--cache", "sound"])
        .expect_code(0);
    cli.run(&["cache", "pull", "shared", "--cache", "pulled"])
        .expect_code(0);
    cli
}

/// A copy of a cache, `damaged`.
fn fresh(cli: &CliTest, from: &str) {
    let _ = fs::remove_dir_all(cli.path("damaged"));
    link(cli, from, "damaged");
}

/// Puts other bytes into the place of a file that is a hard link.
fn replace(path: &Path, bytes: &[u8]) {
    let _ = fs::remove_file(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Files that have come, whole or to a half, with a flipped byte: an artifact of the right bytes is made of them, whatever was flipped.
fn try_arriving(regions: &[Region], kinds: &[(&'static str, &'static str)]) {
    let cli = shared();
    let right = cli.files("pulled/artifacts");
    println!("| file on its way | damaged | right after `cache pull` |");
    println!("| :--- | ---: | ---: |");
    for (kind, name) in kinds {
        let file = right.keys().find(|path| {
            path.starts_with(&format!("{kind}/")) && path.ends_with(&format!("/{name}"))
        });
        let file = file.unwrap_or_else(|| panic!("no {name} of {kind}"));
        let (folder, _) = file.rsplit_once('/').unwrap();
        let (_, fingerprint) = folder.rsplit_once('/').unwrap();
        let whole = &right[file];
        let mut tried = 0;
        for region in regions {
            for come in [whole.len(), whole.len() / 2] {
                let Some(damaged) = region.damaged(&whole[..come], name) else {
                    continue;
                };
                fresh(&cli, "pulled");
                fs::remove_dir_all(cli.path("damaged/artifacts").join(folder)).unwrap();
                let arriving = cli.path("damaged/arriving").join(fingerprint);
                replace(&arriving.join(name), &damaged);
                let pull = ["cache", "pull", "shared", "--cache", "damaged"];
                let output = cli.run(&pull).expect_code(0);
                let what = format!("{kind}/{name}, {region:?}, {come} bytes: {output}");
                assert!(cli.files("damaged/artifacts") == right, "{what}");
                assert!(!arriving.exists(), "{what}");
                tried += 1;
            }
        }
        println!("| {name} of {kind} | {tried} | {tried} |");
    }
}

#[test]
fn flipped_bytes_of_what_has_come_get_into_no_artifact() {
    try_arriving(&[Region::Data], &ARRIVING[..2]);
}

/// What a command leaves of pages, tables and figures.
fn reports(cli: &CliTest, command: &[&str]) -> (BTreeMap<String, Vec<u8>>, Output) {
    let _ = fs::remove_dir_all(cli.path("reports"));
    let output = cli.run(&[command, &["--cache", "damaged"]].concat());
    let output = output.expect_code(0);
    (cli.files("reports"), output)
}

/// Manifests of artifacts that stay in the remote: with the remote they are written again, and until then a
/// report names one artifact fewer in its provenance.
fn try_elsewhere(regions: &[Region]) -> Counts {
    let cli = shared();
    fs::create_dir(cli.path("damaged")).unwrap();
    let run = ["run", "small.toml", "--device", "cpu", "--remote", "shared"];
    let (right, _) = reports(&cli, &run);
    fs::rename(cli.path("damaged"), cli.path("away")).unwrap();
    let here = cli.files("away/artifacts");
    let is_here = |name: &str| {
        let fingerprint = name.strip_suffix(".json").unwrap();
        here.keys().any(|path| path.contains(fingerprint))
    };
    let mut files = cli.files("away/elsewhere").into_iter();
    let (file, whole) = files.find(|(name, _)| !is_here(name)).unwrap();
    let mut counts = Counts::new();
    for region in regions {
        let Some(damaged) = region.damaged(&whole, "elsewhere") else {
            continue;
        };
        fresh(&cli, "away");
        let path = cli.path("damaged/elsewhere").join(&file);
        replace(&path, &damaged);
        let (found, output) = reports(&cli, &["report", "small.toml"]);
        assert!(found.keys().eq(right.keys()), "{region:?}: {output}");
        // These two say what the report stands on; all else is as it was.
        let provenance = [".md", ".provenance.json"];
        let is_provenance = |name: &str| provenance.iter().any(|ending| name.ends_with(ending));
        for (name, bytes) in right.iter().filter(|(name, _)| !is_provenance(name)) {
            assert!(found[name] == *bytes, "{region:?}, {name}: {output}");
        }
        let outcome = if found == right {
            "the same report"
        } else {
            "one artifact fewer in its provenance"
        };
        *counts.entry(outcome).or_default() += 1;
        let (mended, output) = reports(&cli, &run);
        assert!(mended == right, "{region:?}: {output}");
        assert_eq!(fs::read(&path).unwrap(), whole, "{region:?}");
        assert!(
            artifacts(&cli, "damaged") == artifacts(&cli, "away"),
            "{region:?}"
        );
    }
    counts
}

#[test]
fn a_flipped_byte_of_a_manifest_that_stays_elsewhere_changes_no_table() {
    let counts = try_elsewhere(&[Region::Data]);
    assert_eq!(counts.values().sum::<usize>(), 1);
}

/// The commands that read the record of a submission.
const ASKED: [&[&str]; 3] = [&["status"], &["submit", "--continue", "1"], &["cancel"]];

/// The record of a submission: whatever is flipped in it, nothing is submitted, shown or canceled by it.
fn try_cluster(regions: &[Region]) {
    let cli = small();
    let submit = [
        "submit",
        "small.toml",
        "--slurm",
        "--dry-run",
        "--cpus",
        "1",
    ];
    cli.run(&submit).expect_code(0);
    fs::rename(cli.path(".repro"), cli.path("sound")).unwrap();
    let file = "cluster/1/submission.json";
    let whole = fs::read(cli.path("sound").join(file)).unwrap();
    for region in regions {
        let Some(damaged) = region.damaged(&whole, file) else {
            continue;
        };
        fresh(&cli, "sound");
        replace(&cli.path("damaged").join(file), &damaged);
        let before = cli.files("damaged/cluster");
        for asked in ASKED {
            let output = cli.run(&[asked, &["--cache", "damaged"]].concat());
            output
                .expect_code(4)
                .expect_in_stderr(&["cluster/1/submission.json"]);
        }
        assert!(cli.files("damaged/cluster") == before, "{region:?}");
    }
}

#[test]
fn a_flipped_byte_of_a_submission_is_noticed_by_whoever_reads_it() {
    try_cluster(&REGIONS);
}

#[test]
#[ignore = "two minutes: 120 damages; with `--nocapture` it prints what became of them"]
fn nightly_a_flipped_byte_of_what_comes_from_elsewhere_reaches_no_number() {
    try_arriving(&REGIONS, &ARRIVING);
    println!(
        "a manifest that stays elsewhere: {:?}",
        try_elsewhere(&REGIONS)
    );
}
