//! How long heads take: many against one, features in windows against features in memory, and how fast features are read.
//!
//! `cargo bench --bench heads` prints seconds for an epoch and ratios within the run, then gigabytes a second; after `--`, one of
//! `many`, `windows` and `scan` stands for a part of it. The features are random; nothing is learned.
//! `benches/heads_against_pytorch.py` times the same epoch in a loop written by hand.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use half::f16;
use repro::checked_file::CheckedFile;
use repro::feature_type::FeatureType;
use repro::heads::{ALL, FeatureShape, Head};
use repro::random::Stream;
use repro::spec::{Diagnostics, Fields, Source, Span, Table};
use repro::store::{
    ArtifactKind, Begin, FeaturePart, FeaturePartReader, FeatureReader, FeatureValues, Made,
    Recipe, Store, wait_quietly,
};
use repro::trainer::heads::rows::{load_into, room};
use repro::trainer::heads::{CheckpointStore, Data, Job, Limits, Rows, Samples, WriteTo, train};
use repro::trainer::{TrainError, Training};

/// Random features in half precision.
struct Random {
    ids: Vec<String>,
    values: Vec<f16>,
    width: usize,
}

impl Random {
    fn new(count: usize, width: usize) -> Self {
        let mut state = 1u32;
        let values = (0..count * width).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f16::from_f32(f32::from(u16::try_from(state >> 16).unwrap_or(0)) / 65_536.0 - 0.5)
        });
        Self {
            ids: (0..count).map(|row| row.to_string()).collect(),
            values: values.collect(),
            width,
        }
    }
}

impl Samples for Random {
    fn len(&self) -> usize {
        self.ids.len()
    }

    fn id(&self, row: usize) -> &str {
        &self.ids[row]
    }

    fn label(&self, row: usize) -> u32 {
        u32::try_from(row % 10).unwrap_or(0)
    }
}

impl Rows for Random {
    fn views(&self) -> usize {
        1
    }

    fn feature_type(&self) -> FeatureType {
        FeatureType::F16
    }

    fn copy(&self, _view: usize, row: usize, out: &mut [u8]) -> Result<(), TrainError> {
        let values = &self.values[row * self.width..(row + 1) * self.width];
        #[expect(
            unsafe_code,
            reason = "half-precision numbers have no safe view as bytes here"
        )]
        // SAFETY: half-precision numbers are two plain bytes each.
        let bytes = unsafe {
            std::slice::from_raw_parts(values.as_ptr().cast::<u8>(), size_of_val(values))
        };
        out.copy_from_slice(bytes);
        Ok(())
    }
}

struct Nowhere;

impl CheckpointStore for Nowhere {
    fn newest(&self, _at_most: u32) -> Result<Option<(u32, CheckedFile)>, String> {
        Ok(None)
    }

    fn write(&self, _epochs: u32, _write: WriteTo<'_>) -> Result<(), TrainError> {
        Ok(())
    }
}

fn linear() -> Option<Arc<dyn Head>> {
    let diagnostics = std::cell::RefCell::new(Diagnostics::new(Source::new("bench", "")));
    let table = Table::default();
    let fields = Fields::new(&table, "head", Span::default(), &diagnostics);
    let kind = ALL.iter().find(|kind| kind.doc.name == "linear")?;
    kind.read(&fields)
}

/// Seconds for an epoch of a linear head at each of some learning rates: half of what three epochs take more than one, each the
/// best of three, since other programs want the processor too.
fn epoch(head: &dyn Head, rows: &Random, rates: usize, memory: u64) -> Result<f64, TrainError> {
    let test = Random::new(1, rows.width);
    let run = |epochs: u32| -> Result<f64, TrainError> {
        let trainings: Vec<Training> = (0..rates)
            .map(|rate| {
                let mut training = Training {
                    epochs,
                    ..Training::default()
                };
                training.optimizer.lr = 1e-3 / (rate + 1) as f64;
                training
            })
            .collect();
        let jobs: Vec<Job<'_>> = trainings
            .iter()
            .map(|training| Job {
                head,
                training,
                seed: 0,
                name: "bench",
            })
            .collect();
        let data = Data {
            train: rows,
            judged: None,
            test: &test,
            shape: FeatureShape::square(rows.width, 1),
            classes: 10,
            device: tch::Device::Cpu,
        };
        let limits = Limits {
            memory,
            device_memory: None,
            keep_going: &|| true,
            epoch_done: &|_| {},
            checkpoint_seconds: f64::INFINITY,
        };
        let started = Instant::now();
        train(&jobs, &data, &limits, &Nowhere, &mut |_, outcome| {
            outcome.map(|_| ())
        })?;
        Ok(started.elapsed().as_secs_f64())
    };
    let best = |epochs: u32| -> Result<f64, TrainError> {
        (0..3).try_fold(f64::INFINITY, |best, _| Ok(best.min(run(epochs)?)))
    };
    Ok((best(3)? - best(1)?) / 2.0)
}

const PLENTY: u64 = 64 << 30;

/// Heads on features that are all in memory.
fn many(head: &dyn Head) -> Result<(), TrainError> {
    let features: Vec<Random> = (0..10).map(|_| Random::new(10_000, 1024)).collect();
    let one = epoch(head, &features[0], 1, PLENTY)?;
    let ten = epoch(head, &features[0], 10, PLENTY)?;
    println!("1,024 features, 10,000 samples, 10 classes, seconds for an epoch");
    println!("  one head                     {one:.3}");
    println!(
        "  ten learning rates           {ten:.3}, {:.1} times one",
        ten / one
    );
    // As a run does: one group of heads for each of the features, side by side on the cores, one thread each.
    let next = AtomicUsize::new(0);
    let started = Instant::now();
    let seconds: f64 = std::thread::scope(|scope| {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..workers)
            .map(|_| {
                scope.spawn(|| {
                    tch::set_num_threads(1);
                    let mut seconds = 0.0;
                    while let Some(rows) = features.get(next.fetch_add(1, Ordering::Relaxed)) {
                        seconds += epoch(head, rows, 10, PLENTY).unwrap_or(f64::NAN);
                    }
                    seconds
                })
            })
            .collect();
        let seconds = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or(f64::NAN));
        seconds.sum::<f64>() / workers as f64
    });
    println!(
        "  ten of ten features          {seconds:.3}, {:.1} times one ({:.1} s in all)",
        seconds / one,
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

/// A head on features that are larger than what is allowed.
fn windows(head: &dyn Head) -> Result<(), TrainError> {
    let rows = Random::new(100_000, 4096);
    let bytes = rows.values.len() as u64 * 2;
    let within = epoch(head, &rows, 1, PLENTY)?;
    let beyond = epoch(head, &rows, 1, bytes / 4)?;
    println!("4,096 features in f16, 100,000 samples, 10 classes, seconds for an epoch");
    println!("  in memory                    {within:.3}");
    println!(
        "  a quarter of it allowed      {beyond:.3}, {:.2} times as long",
        beyond / within
    );
    Ok(())
}

/// Features of the store as a split.
struct Cached {
    reader: FeatureReader,
    places: Vec<(usize, usize)>,
}

impl Samples for Cached {
    fn len(&self) -> usize {
        self.places.len()
    }

    fn id(&self, _row: usize) -> &'static str {
        ""
    }

    fn label(&self, _row: usize) -> u32 {
        0
    }
}

impl Rows for Cached {
    fn views(&self) -> usize {
        1
    }

    fn feature_type(&self) -> FeatureType {
        FeatureType::F16
    }

    fn copy(&self, _view: usize, row: usize, out: &mut [u8]) -> Result<(), TrainError> {
        let (part, row) = self.places[row];
        let copied = self.reader.parts()[part].copy_row(row, out);
        copied
            .then_some(())
            .ok_or_else(|| TrainError::Features("no such row".into()))
    }

    fn forget(&self) {
        self.reader
            .parts()
            .iter()
            .for_each(FeaturePartReader::forget);
    }
}

const SCAN_WIDTH: usize = 4096;
const SCAN_PARTS: usize = 98;
const PART_ROWS: usize = 1024;

/// Writes features as a run does, and gives them with the folder that they are in.
fn cached(root: &Path) -> Result<(Cached, PathBuf), Box<dyn std::error::Error>> {
    let store = Store::open(root)?;
    let recipe = Recipe::new(
        ArtifactKind::Features,
        1,
        &serde_json::json!({"of": "bench"}),
    )?;
    let Begin::Writer(mut writer) = store.begin(&recipe, "bench", &mut wait_quietly)? else {
        return Err("the folder was not empty".into());
    };
    let ids: Vec<String> = (0..PART_ROWS).map(|row| row.to_string()).collect();
    let (splits, views) = (
        vec!["train".to_owned(); PART_ROWS],
        vec!["center".to_owned(); PART_ROWS],
    );
    let values = Random::new(PART_ROWS, SCAN_WIDTH).values;
    for part in 0..SCAN_PARTS {
        let content = FeaturePart {
            ids: &ids,
            splits: &splits,
            labels: Some(&[0; PART_ROWS]),
            views: &views,
            draws: &[0; PART_ROWS],
            width: SCAN_WIDTH,
            values: FeatureValues::F16(values.clone()),
        };
        writer.write_features(u32::try_from(part)?, content)?;
    }
    writer.finish(Made {
        at: String::new(),
        wall_seconds: 0.0,
        device: "cpu".to_owned(),
        versions: BTreeMap::new(),
        notes: BTreeMap::new(),
    })?;
    let fingerprint = recipe.fingerprint();
    let name = fingerprint.to_string();
    let folder = root.join("artifacts/features").join(&name[..2]).join(&name);
    let places = (0..SCAN_PARTS).flat_map(|part| (0..PART_ROWS).map(move |row| (part, row)));
    let cached = Cached {
        reader: store.features(&fingerprint)?,
        places: places.collect(),
    };
    Ok((cached, folder))
}

/// How fast features come from the store into memory, beside the same bytes by other means.
fn scan() -> Result<(), Box<dyn std::error::Error>> {
    let root = tempfile::tempdir()?;
    let (rows, folder) = cached(root.path())?;
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|file| file.extension().is_some_and(|kind| kind == "arrow"));
    files.sort();
    let bytes = (rows.len() * SCAN_WIDTH * 2) as f64;

    let cat = || -> std::io::Result<()> {
        let status = Command::new("cat")
            .args(&files)
            .stdout(Stdio::null())
            .status()?;
        if status.success() {
            Ok(())
        } else {
            Err(std::io::Error::other("cat failed"))
        }
    };
    let plain = || -> std::io::Result<()> {
        let mut buffer = vec![0; 1 << 20];
        for file in &files {
            let mut file = File::open(file)?;
            while file.read(&mut buffer)? > 0 {}
        }
        Ok(())
    };
    // Windows of 128 MiB; in the order of the files, and as an epoch reads them, pieces of 16 rows behind one another.
    let window = (128 << 20) / (SCAN_WIDTH * 2);
    let in_order: Vec<(usize, usize)> = (0..rows.len()).map(|row| (0, row)).collect();
    let pieces = Stream::new(0, "pieces").permutation(rows.len() / 16);
    let shuffled: Vec<(usize, usize)> = pieces
        .into_iter()
        .flat_map(|piece| (0..16).map(move |row| (0, piece * 16 + row)))
        .collect();
    let loaded = |order: &[(usize, usize)]| -> std::io::Result<()> {
        // As the trainer does: one window's memory is used for the next but one.
        let mut memory = room(&rows, window, SCAN_WIDTH);
        for which in order.chunks(window) {
            load_into(&rows, which, &mut memory).map_err(std::io::Error::other)?;
        }
        Ok(())
    };
    let ways: [(&str, &dyn Fn() -> std::io::Result<()>); 4] = [
        ("cat FILES > /dev/null", &cat),
        ("a loop of reads of 1 MiB", &plain),
        ("the trainer, in order", &|| loaded(&in_order)),
        ("the trainer, pieces shuffled", &|| loaded(&shuffled)),
    ];
    println!(
        "{:.2} GB of cached features, GB/s: files out of the page cache, then in it (best of 3)",
        bytes / 1e9
    );
    for (name, read) in ways {
        let speed = |cold: bool| -> std::io::Result<f64> {
            if cold {
                for file in &files {
                    rustix::fs::fadvise(File::open(file)?, 0, None, rustix::fs::Advice::DontNeed)?;
                }
            }
            let started = Instant::now();
            read()?;
            Ok(bytes / 1e9 / started.elapsed().as_secs_f64())
        };
        let best = |cold: bool| -> std::io::Result<f64> {
            (0..3).try_fold(0.0, |best: f64, _| Ok(best.max(speed(cold)?)))
        };
        println!("  {name:29}{:.2}  {:.2}", best(true)?, best(false)?);
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Some(head) = linear() else {
        return Ok(());
    };
    let named: Vec<String> = std::env::args()
        .skip(1)
        .filter(|name| !name.starts_with('-'))
        .collect();
    let wanted = |part: &str| named.is_empty() || named.iter().any(|name| name == part);
    if wanted("many") {
        many(&*head)?;
    }
    if wanted("windows") {
        windows(&*head)?;
    }
    if wanted("scan") {
        scan()?;
    }
    Ok(())
}
