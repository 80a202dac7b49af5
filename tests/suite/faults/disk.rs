//! The program, with a library loaded before it that makes its disk fail (`tests/failing_disk/lib.rs`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::fixture::{CliTest, root};

/// What the paths of all hold that is to fail: caches and folders of reports are called so.
pub const FOLDER: &str = "faulty";

/// The library, compiled once.
fn library() -> &'static Path {
    static LIBRARY: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let scratch = tempfile::tempdir_in(folder).unwrap();
        let compiled = scratch.path().join("libfailing_disk.so");
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let output = Command::new(rustc)
            .current_dir(root())
            .args(["--edition", "2024", "--crate-type", "cdylib", "-O", "-o"])
            .arg(&compiled)
            .arg("tests/failing_disk/lib.rs")
            .output()
            .expect("rustc, which has compiled this test");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{said}");
        let library = folder.join("libfailing_disk.so");
        fs::rename(compiled, &library).unwrap();
        library
    });
    &LIBRARY
}

/// What is to happen to the disk of a program.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    /// `FAULT@NUMBER`, or nothing.
    pub plan: String,
    /// The kinds of operations that are counted, with commas between; all, where it is empty.
    pub kinds: String,
    /// Other variables of the library, with their values.
    pub others: Vec<(&'static str, &'static str)>,
}

/// Where the library writes what it met, in the folder of a test.
const LOG: &str = "disk.log";

impl Disk {
    /// A disk on which this happens.
    pub fn with(plan: &str, kinds: &str) -> Self {
        Self {
            plan: plan.to_owned(),
            kinds: kinds.to_owned(),
            others: Vec::new(),
        }
    }

    /// A disk on which nothing fails, and that has this property.
    pub fn that(name: &'static str, value: &'static str) -> Self {
        Self {
            others: vec![(name, value)],
            ..Self::default()
        }
    }

    /// The program on this disk.
    pub fn command(&self, cli: &CliTest, arguments: &[&str]) -> Command {
        let _ = fs::remove_file(cli.path(LOG));
        let mut command = cli.command(arguments);
        command
            .env("LD_PRELOAD", library())
            .env("REPRO_DISK_FOLDER", FOLDER)
            .env("REPRO_DISK_ROOT", cli.path(FOLDER))
            .env("REPRO_DISK_LOG", cli.path(LOG))
            .env("REPRO_DISK_PLAN", &self.plan)
            .env("REPRO_DISK_KINDS", &self.kinds)
            // The order of operations is that of one thread, as far as it can be.
            .env("RAYON_NUM_THREADS", "1")
            .env("POLARS_MAX_THREADS", "1")
            .envs(self.others.iter().copied());
        command
    }
}

/// The operations that the last program of a test met: a kind and a name each.
pub fn met(cli: &CliTest) -> Vec<(String, String)> {
    let text = fs::read_to_string(cli.path(LOG)).unwrap_or_default();
    let lines = text.lines().filter_map(|line| {
        let mut words = line.splitn(3, ' ').skip(1);
        Some((
            words.next()?.to_owned(),
            words.next().unwrap_or_default().to_owned(),
        ))
    });
    lines.collect()
}
