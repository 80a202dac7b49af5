//! Damaged and hostile bytes for every reader: sound files, changed at random from a fixed seed, in a process whose memory is bounded.
//!
//! `REPRO_FUZZ_SECONDS` says how long each reader is tried: about a second by default, a minute each in the tier `./test --fuzz`. From
//! another `REPRO_FUZZ_SEED` on, other files are made. Bytes that break a promise are left in `target/fuzz`; put them there again with
//! `REPRO_FUZZ_INPUT`. `fuzz/` has the same readers as targets of libFuzzer.

mod mutate;
mod readers;
mod seeds;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use repro::random::Stream;
use tempfile::TempDir;

use crate::fixture::root;
use readers::Stage;

/// Address space of a process that reads, in KiB: libtorch, polars and the largest image have room, and nothing without bound.
const ADDRESS_SPACE: u64 = 10 << 20;
/// No input of at most 64 KiB takes the processor longer.
const LONGEST: Duration = Duration::from_secs(20);

/// Each reader in a process of its own.
macro_rules! readers {
    ($($test:ident = $name:literal;)*) => {
        $(#[test] fn $test() { tried($name); })*

        #[test]
        fn every_reader_is_tried() {
            let tried: Vec<&str> = vec![$($name),*];
            let all: Vec<&str> = readers::READERS.iter().map(|reader| reader.name).collect();
            assert_eq!(tried, all);
            for name in all {
                let target = root().join(format!("fuzz/fuzz_targets/{}.rs", name.replace('-', "_")));
                let text = fs::read_to_string(&target).unwrap_or_else(|error| panic!("{}: {error}", target.display()));
                assert!(text.contains(&format!("\"{name}\"")), "{}", target.display());
            }
        }
    };
}

readers! {
    experiment = "experiment";
    includes = "includes";
    image = "image";
    idx = "idx";
    idx_gz = "idx-gz";
    cifar_batch = "cifar-batch";
    cifar_archive = "cifar-archive";
    matlab = "matlab";
    tar = "tar";
    tgz = "tgz";
    parquet = "parquet";
    csv = "csv";
    npz = "npz";
    list = "list";
    checkpoint = "checkpoint";
    onnx = "onnx";
    features = "features";
    template = "template";
    results_csv = "results-csv";
    comparisons_csv = "comparisons-csv";
    provenance = "provenance";
    request = "request";
    fetched = "fetched";
    answer = "answer";
    partial = "partial";
    manifest = "manifest";
    record = "record";
    part = "part";
    results = "results";
    predictions = "predictions";
    sql = "sql";
}

/// Runs the worker for a reader, and fails with what it says.
fn tried(name: &str) {
    let program = std::env::current_exe().unwrap();
    let seconds = std::env::var("REPRO_FUZZ_SECONDS").unwrap_or_else(|_| "1".to_owned());
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!(
            "ulimit -v {ADDRESS_SPACE}; exec \"$0\" --exact fuzz::worker --ignored --nocapture"
        ))
        .arg(program)
        .env("REPRO_FUZZ_READER", name)
        .env("REPRO_FUZZ_SECONDS", &seconds)
        .env("RAYON_NUM_THREADS", "1")
        .env("OMP_NUM_THREADS", "1")
        .env("POLARS_MAX_THREADS", "1")
        .stdin(Stdio::null());
    if let Some(store) = store() {
        command.env("REPRO_FUZZ_STORE", store);
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let is_done = said
        .lines()
        .any(|line| line.contains("inputs without a finding"));
    let current = input_of(name);
    let left = current.display();
    assert!(
        output.status.success() && is_done,
        "{name} ({left}): {}\n{said}",
        output.status
    );
    let _ = fs::remove_file(current);
    let line = said
        .lines()
        .find(|line| line.contains("inputs without a finding"));
    println!("{}", line.unwrap_or_default());
}

/// A cache that holds what a small run leaves; none where nothing can run.
fn store() -> Option<&'static Path> {
    static STORE: OnceLock<Option<TempDir>> = OnceLock::new();
    let made = STORE.get_or_init(made_store);
    made.as_ref().map(TempDir::path)
}

#[cfg(not(feature = "torch"))]
fn made_store() -> Option<TempDir> {
    None
}

#[cfg(feature = "torch")]
#[expect(clippy::unnecessary_wraps, reason = "without libtorch there is none")]
fn made_store() -> Option<TempDir> {
    const EXPERIMENT: &str = "\
[experiment]
name = \"x\"

[dataset.d]
kind = \"fashion-mnist\"
root = \"fashion\"

[model.m]
kind = \"pixels\"
image_size = 28

[extraction.e]
model = \"m\"
dataset = \"d\"
timestep = 0
block = 1
pool = 4

[head.h]
kind = \"linear\"
features = \"e\"
epochs = 1

[metric.a]
kind = \"accuracy\"
of = [\"h\"]
";
    let cli = crate::fixture::CliTest::with_fashion(20, 10);
    cli.write("x.toml", EXPERIMENT);
    let kept = tempfile::tempdir().unwrap();
    let cache = kept.path().to_string_lossy().into_owned();
    cli.run(&["run", "x.toml", "--cache", &cache])
        .expect_code(0);
    Some(kept)
}

/// Where the bytes are that a reader reads now.
fn input_of(name: &str) -> PathBuf {
    root()
        .join("target/fuzz")
        .join(format!("{name}-{}", std::process::id()))
}

/// The process that reads. By itself, among the tests that take long, it does nothing.
#[test]
#[ignore = "run by the other tests of this file, each for one reader"]
fn worker() {
    let Ok(name) = std::env::var("REPRO_FUZZ_READER") else {
        return;
    };
    let reader = readers::reader(&name);
    let stage = Stage::new();
    let current = root()
        .join("target/fuzz")
        .join(format!("{name}-{}", std::os::unix::process::parent_id()));
    fs::create_dir_all(root().join("target/fuzz")).unwrap();
    if let Some(path) = std::env::var_os("REPRO_FUZZ_INPUT") {
        readers::once(&name, &fs::read(path).unwrap());
        return;
    }
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    let seconds = Duration::from_secs(number("REPRO_FUZZ_SECONDS").unwrap_or(1));
    let seed = number("REPRO_FUZZ_SEED").unwrap_or(1);
    let sound = seeds::of(&name, stage.store.as_deref());
    if sound.is_empty() && cfg!(not(feature = "torch")) {
        println!("{name}: 0 inputs without a finding");
        return;
    }
    let begun = Instant::now();
    let mut inputs = 0u64;
    // The first ones are the sound files as they are.
    while begun.elapsed() < seconds || inputs < sound.len().min(20) as u64 {
        let mut stream = Stream::new(seed, &format!("{name}/{inputs}"));
        let sound_one = sound.get(usize::try_from(inputs).unwrap());
        let bytes = if let Some(file) = sound_one {
            file.clone()
        } else {
            let [file, other] = [(); 2].map(|()| &sound[stream.next_index(sound.len())]);
            let mut bytes = mutate::mutated(&mut stream, file, other);
            if stream.next_index(4) > 0 {
                mutate::repair(&mut bytes);
            }
            bytes
        };
        fs::write(&current, &bytes).unwrap();
        forget_peak();
        let before = memory("VmRSS:");
        let since = processor_time();
        let read = catch_unwind(AssertUnwindSafe(|| (reader.read)(&stage, &bytes)));
        let took = processor_time().saturating_sub(since);
        let more = memory("VmHWM:").saturating_sub(before) >> 10;
        let shown = current.display();
        assert!(
            read.is_ok(),
            "{name}: a panic at {shown}, input {inputs} of seed {seed}"
        );
        assert!(
            took < LONGEST,
            "{name}: {took:?} for {shown}, input {inputs} of seed {seed}"
        );
        assert!(
            more <= reader.memory,
            "{name}: {more} MiB for {shown}, input {inputs} of seed {seed}; at most {} MiB are allowed",
            reader.memory
        );
        inputs += 1;
    }
    println!(
        "{name}: {inputs} inputs without a finding in {:.0?}",
        begun.elapsed()
    );
}

/// The time that this process has had of the processors, in steps of a hundredth of a second. Other programs do not add to it.
fn processor_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    // The name of the program stands in brackets, and may have any characters.
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks = fields.split(' ').skip(11).take(2);
    let ticks: u64 = ticks.map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(10 * ticks)
}

/// Makes the peak of this process's memory what it has now.
fn forget_peak() {
    fs::write("/proc/self/clear_refs", "5").unwrap();
}

/// A line of what the kernel says of this process's memory, in KiB.
fn memory(line: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let found = status.lines().find_map(|text| text.strip_prefix(line));
    found
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap()
}
