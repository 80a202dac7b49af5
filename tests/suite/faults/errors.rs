//! The disk fails at an operation of a run that a generator with a seed draws, in every way that disks and file servers fail: the run ends
//! right, or says what failed and where; and the next one leaves the bytes of a run that met no error.

use std::collections::BTreeMap;
use std::fs;

use repro::random::Stream;

use super::disk::{Disk, FOLDER, met};
use super::stages::{self, Stage, Whole, expect_whole, forget, left, run_on};
use crate::fixture::{CliTest, Output};

/// A way to fail.
struct Fault {
    /// What the table calls it.
    name: &'static str,
    /// As the library has it.
    plan: &'static str,
    /// The operations that can fail so.
    kinds: &'static [&'static str],
    /// Whether the bytes are as good as they were, so that nothing may be set aside.
    spares: bool,
}

const ANY: &[&str] = &[
    "create", "open", "list", "entry", "read", "map", "write", "sync", "rename", "remove",
    "folder", "stat", "lock",
];

const fn fault(name: &'static str, plan: &'static str, kinds: &'static [&'static str]) -> Fault {
    Fault {
        name,
        plan,
        kinds,
        spares: true,
    }
}

const FAULTS: [Fault; 14] = [
    Fault {
        spares: false,
        ..fault("an error of the disk (EIO)", "errno=5", ANY)
    },
    Fault {
        spares: false,
        ..fault("a disk that is gone from there on (EIO)", "gone=5", ANY)
    },
    fault(
        "the bytes are not to last (EIO of fsync)",
        "errno=5",
        &["sync"],
    ),
    fault("no name for a file (EIO of rename)", "errno=5", &["rename"]),
    fault(
        "a full disk (ENOSPC)",
        "errno=28",
        &["create", "write", "sync", "rename", "folder"],
    ),
    fault("a disk that stays full (ENOSPC)", "gone=28", &["write"]),
    fault("half of a write, then ENOSPC", "half=28", &["write"]),
    fault("one byte of a read or a write", "short", &["read", "write"]),
    fault(
        "an interruption (EINTR)",
        "errno=4",
        &["open", "read", "write"],
    ),
    fault(
        "a disk that turned read-only (EROFS)",
        "gone=30",
        &["create", "rename", "folder", "remove"],
    ),
    fault(
        "a right that is missing (EACCES)",
        "errno=13",
        &[
            "create", "open", "list", "rename", "folder", "remove", "stat",
        ],
    ),
    fault(
        "too many open files (EMFILE)",
        "errno=24",
        &["create", "open", "list"],
    ),
    fault("a stale handle of a file server (ESTALE)", "errno=116", ANY),
    fault(
        "a name that a file server shows late",
        "late",
        &["open", "list", "entry", "stat"],
    ),
];

/// The cache is moved away while the run works, as `rm -r` would take it.
const VANISHED: Fault = fault("the cache removed during the run", "vanish", ANY);

/// At how many moments of a run its cache goes.
const MOMENTS: usize = 24;

/// How the runs ended that met a fault.
#[derive(Debug, Default, Clone, Copy)]
struct Ended {
    right: usize,
    told: usize,
}

/// Exit codes that an error of the disk may have: a step failed, the output could not be written, the cache.
const TOLD: [i32; 3] = [1, 3, 4];

/// Lets a fault happen to a run of a stage, and runs again.
fn fail(
    cli: &CliTest,
    stage: &Stage,
    whole: &Whole,
    fault: &Fault,
    stream: &mut Stream,
    ended: &mut Ended,
) {
    let kinds: Vec<&str> = fault
        .kinds
        .iter()
        .copied()
        .filter(|kind| whole.count(kind) > 0)
        .collect();
    let kind = kinds[stream.next_index(kinds.len())];
    let plan = format!("{}@{}", fault.plan, stream.next_index(whole.count(kind)));
    forget(cli);
    let output = run_on(&Disk::with(&plan, kind), cli);
    let place = format!("{}: {plan} of {kind} ({:?})", stage.name, met(cli).first());
    assert!(!output.stderr.contains("panicked"), "{place}: {output}");
    match output.code {
        // What is gone with the cache is made again.
        Some(0) if fault.plan == VANISHED.plan => ended.right += 1,
        Some(0) => {
            expect_whole(cli, whole, &place);
            ended.right += 1;
        }
        Some(code) if TOLD.contains(&code) => {
            assert!(names_a_place(&output), "{place}: {output}");
            ended.told += 1;
        }
        _ => panic!("{place}: {output}"),
    }
    // What has its name is right all the same.
    for (path, bytes) in left(cli) {
        let is_right = whole.files.get(&path).is_none_or(|right| *right == bytes);
        assert!(is_right, "{place}: {path} is not right");
    }
    let again = run_on(&Disk::default(), cli);
    assert_eq!(again.code, Some(0), "{place}: {output}\nthen {again}");
    expect_whole(cli, whole, &place);
    let aside = cli.files(&format!("{FOLDER}/quarantine"));
    assert!(
        !fault.spares || aside.is_empty(),
        "{place}: set aside {:?}: {output}",
        aside.keys()
    );
}

/// Whether an error names a file or a folder of the cache or of the report.
fn names_a_place(output: &Output) -> bool {
    output.stderr.lines().any(|line| line.contains(FOLDER))
}

/// Tries faults on stages, so many times each, and prints the table of the page.
fn fail_all(stages: &[&Stage], faults: &[&Fault], times: usize, seed: u64) {
    let mut all: BTreeMap<usize, Ended> = BTreeMap::new();
    for stage in stages {
        let cli = stage.folder();
        let whole = stage.whole(&cli);
        let mut stream = Stream::new(seed, &format!("faults of {}", stage.name));
        for (place, fault) in faults.iter().enumerate() {
            for _ in 0..times {
                let ended = all.entry(place).or_default();
                fail(&cli, stage, &whole, fault, &mut stream, ended);
            }
        }
    }
    println!("| what happened once | runs | ended right | told, right by the next run |");
    println!("| :--- | ---: | ---: | ---: |");
    for (place, ended) in all {
        let Ended { right, told } = ended;
        println!(
            "| {} | {} | {right} | {told} |",
            faults[place].name,
            right + told
        );
    }
}

#[test]
fn a_run_bears_a_failing_disk() {
    let faults = [&FAULTS[0], &FAULTS[2], &FAULTS[6], &FAULTS[12]];
    fail_all(&[&stages::HEADS], &faults, 1, 1);
}

#[test]
fn a_cache_that_is_removed_during_a_run_is_told_and_made_again() {
    fail_all(&[&stages::PASS], &[&VANISHED], 2, 1);
}

/// A run that finds everything there reads it for its report. Wherever in that the cache goes, no figure is drawn without what is gone.
#[test]
fn a_report_is_not_written_of_a_cache_that_goes() {
    let stage = &stages::PRETRAINING;
    let cli = stage.folder();
    let whole = stage.whole(&cli);
    let (cache, gone) = (cli.path(FOLDER), cli.path(&format!("{FOLDER}-gone")));
    let report = cli.path(&format!("{FOLDER}-report"));
    run_on(&Disk::with("count", ""), &cli).expect_code(0);
    let operations = met(&cli).len();
    let mut told = 0;
    for at in (0..operations).step_by(operations.div_ceil(MOMENTS)) {
        let _ = fs::remove_dir_all(&report);
        let output = run_on(&Disk::with(&format!("vanish@{at}"), ""), &cli);
        let place = format!("at {at} of {operations}: {output}");
        // What is gone at the beginning is made again, and what goes at the end is read already.
        if output.code == Some(0) {
            assert!(report.join("loss.svg").is_file(), "{place}");
        } else {
            assert!(TOLD.contains(&output.code.unwrap_or_default()), "{place}");
            assert!(names_a_place(&output), "{place}");
            told += 1;
        }
        for (path, bytes) in left(&cli) {
            let is_right = whole.files.get(&path).is_none_or(|right| *right == bytes);
            assert!(is_right, "{path} is not right, {place}");
        }
        if gone.exists() {
            let _ = fs::remove_dir_all(&cache);
            fs::rename(&gone, &cache).unwrap();
        }
    }
    assert!(told > 0, "it never went in time");
}

#[test]
#[ignore = "half a minute: 21 faults of the disk over all stages, each of them in one or two"]
fn every_stage_bears_a_failing_disk() {
    for (number, stage) in stages::ALL.into_iter().enumerate() {
        let faults: Vec<&Fault> = FAULTS.iter().skip(number % 4).step_by(4).collect();
        fail_all(&[stage], &faults, 1, 2);
    }
}

#[test]
#[ignore = "five minutes: 360 faults; with `--nocapture` it prints the table of docs/reliability.md"]
fn nightly_every_stage_bears_hundreds_of_failures_of_the_disk() {
    let faults: Vec<&Fault> = FAULTS.iter().chain([&VANISHED]).collect();
    fail_all(&stages::ALL, &faults, 4, 3);
}

/// A name that is not there and a folder that cannot be looked at are told by their own names.
#[test]
fn a_folder_that_cannot_be_looked_at_is_named() {
    let cli = stages::HEADS.folder();
    let whole = stages::HEADS.whole(&cli);
    let stats = whole.count("stat");
    for at in [0, stats / 3, stats / 2] {
        forget(&cli);
        let output = run_on(&Disk::with(&format!("gone=5@{at}"), "stat"), &cli);
        assert!(
            names_a_place(&output) && output.code != Some(0),
            "{at}: {output}"
        );
        assert!(!output.stderr.contains("folder :"), "{output}");
    }
    assert!(fs::metadata(cli.path("it.toml")).is_ok());
}
