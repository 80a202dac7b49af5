//! File systems and clocks that are not those of a desk: a clock that jumps, a file system without locks, and one that a server keeps.

use std::fs;

use super::disk::{Disk, FOLDER};
use super::stages::{self, RUN, expect_tidy, expect_whole, forget, run_on};
use crate::fixture::{CliTest, finish};

/// What reads a cache.
const READERS: [&[&str]; 6] = [
    &["plan", "it.toml"],
    &["cache", "verify"],
    &["cache", "ls"],
    &["cache", "gc"],
    &["list", "artifacts"],
    &["query", "SELECT * FROM artifacts"],
];

/// An experiment that needs nothing of the others.
const OTHER: &str = "[experiment]\nname = \"other\"\n\n[dataset.fashion]\nkind = \"fashion-mnist\"\nroot = \"many\"\n";

/// Everything that reads the cache succeeds, and nothing is left to do.
fn expect_readable(cli: &CliTest, disk: &Disk) {
    for reader in READERS {
        let arguments = [reader, &["--cache", FOLDER]].concat();
        let output = finish(disk.command(cli, &arguments).output().unwrap());
        assert_eq!(output.code, Some(0), "{arguments:?}: {output}");
    }
    run_on(disk, cli)
        .expect_code(0)
        .expect_in_stderr(&["nothing to do"]);
}

#[test]
fn a_clock_that_jumps_changes_nothing_but_dates() {
    let cli = stages::HEADS.folder();
    let whole = stages::HEADS.whole(&cli);
    let jumping = Disk::that("REPRO_DISK_CLOCK", "jumps");
    forget(&cli);
    // A run that was killed in the middle, too: what it has left is judged by ages.
    let mut killed = Disk::with(&format!("kill@{}", whole.operations.len() / 2), "");
    killed.others.clone_from(&jumping.others);
    assert_eq!(run_on(&killed, &cli).code, None);
    run_on(&jumping, &cli).expect_code(0);
    expect_whole(&cli, &whole, "a clock that jumps");
    expect_tidy(&cli, "a clock that jumps");
    let sql = "SELECT DISTINCT substr(made_at, 1, 4) AS year FROM artifacts";
    let years = cli.run(&["query", "--json", sql, "--cache", FOLDER]);
    let years = years.expect_code(0).json();
    assert!(
        years.as_array().unwrap().len() > 1,
        "the clock did not jump: {years}"
    );
    expect_readable(&cli, &jumping);
}

#[test]
fn a_file_system_without_locks_is_worked_on() {
    let cli = stages::PASS.folder();
    let whole = stages::PASS.whole(&cli);
    let lockless = Disk::that("REPRO_DISK_LOCKS", "none");
    forget(&cli);
    let mut killed = Disk::with(&format!("kill@{}", whole.operations.len() / 2), "");
    killed.others.clone_from(&lockless.others);
    assert_eq!(run_on(&killed, &cli).code, None);
    run_on(&lockless, &cli).expect_code(0);
    expect_whole(&cli, &whole, "without locks");
    expect_readable(&cli, &lockless);
    let doctor = lockless.command(&cli, &["doctor", "--cache", FOLDER]);
    let doctor = finish({ doctor }.output().unwrap());
    assert!(
        doctor.stdout.contains("its file system has no locks"),
        "{doctor}"
    );
    // Who cannot know to be alone removes nothing.
    fs::write(cli.path("other.toml"), OTHER).unwrap();
    let arguments = ["cache", "gc", "other.toml", "--remove", "--cache", FOLDER];
    let refused = finish(lockless.command(&cli, &arguments).output().unwrap());
    assert_eq!(refused.code, Some(4), "{refused}");
    expect_whole(&cli, &whole, "without locks, after a removal");
}

/// A file server's client keeps what is removed while it is open, as `.nfs…` in the same folder, and does not let it be removed; one that
/// crashed leaves such files.
#[test]
fn files_that_a_server_keeps_are_passed_over() {
    for stage in [&stages::HEADS, &stages::PRETRAINING] {
        let cli = stage.folder();
        let whole = stage.whole(&cli);
        let silly = Disk::that("REPRO_DISK_NFS", "silly");
        forget(&cli);
        // Killed, so that the next one opens the checkpoints that it then removes.
        let mut killed = Disk::with(&format!("kill@{}", whole.count("sync") * 3 / 5), "sync");
        killed.others.clone_from(&silly.others);
        assert_eq!(run_on(&killed, &cli).code, None);
        // And in every folder there is one of a client that crashed.
        leave_in_all(&cli.path(FOLDER));
        run_on(&silly, &cli).expect_code(0);
        expect_whole(&cli, &whole, stage.name);
        leave_in_all(&cli.path(FOLDER));
        expect_readable(&cli, &silly);
        expect_whole(&cli, &whole, stage.name);
        let more = [&RUN[..], &["--set", "experiment.name='renamed'"]].concat();
        finish(silly.command(&cli, &more).output().unwrap()).expect_code(0);
    }
}

/// Puts such a file into a folder and all below.
fn leave_in_all(folder: &std::path::Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            leave_in_all(&path);
        }
    }
    fs::write(folder.join(".nfs00000000000000010001"), "open elsewhere").unwrap();
}
