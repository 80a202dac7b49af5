//! Heads on features that are far larger than the memory they may take: an epoch of ten learning rates, ridge and logistic
//! regression, beside plain reads of the same files.
//!
//! `cargo bench --bench probes_at_scale -- rows=130000 width=1024 memory=1` writes that many features in half precision into a
//! temporary folder (`TMPDIR` says where), allows so many GiB, and prints for each way the seconds, the bytes that came from the
//! disk, and the most memory that the process had. Without arguments it is ImageNet at 4,096 values: 1,300,000 of them, 10.7 GB,
//! in 4 GiB. Features have a signal of their class, so that shares of right answers can be looked at.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use half::f16;
use repro::checked_file::CheckedFile;
use repro::feature_type::FeatureType;
use repro::heads::{ALL, FeatureShape, Head};
use repro::spec::{Diagnostics, Fields, Source, Span, tree};
use repro::store::{
    ArtifactKind, Begin, FeaturePart, FeaturePartReader, FeatureReader, FeatureValues, Made,
    Recipe, Store, wait_quietly,
};
use repro::trainer::heads::{CheckpointStore, Data, Job, Limits, Rows, Samples, WriteTo, train};
use repro::trainer::{TrainError, Training};
use tch::{Device, Kind, Tensor};

const PART_ROWS: usize = 1024;
const CLASSES: usize = 100;

/// What is measured.
struct Size {
    rows: usize,
    width: usize,
    memory: u64,
}

impl Size {
    fn of_arguments() -> Result<Self, Box<dyn Error>> {
        let mut size = Self {
            rows: 1_300_000,
            width: 4096,
            memory: 4 << 30,
        };
        for argument in std::env::args().skip(1) {
            match argument.split_once('=') {
                Some(("rows", value)) => size.rows = value.parse()?,
                Some(("width", value)) => size.width = value.parse()?,
                Some(("memory", value)) => size.memory = value.parse::<u64>()? << 30,
                // What cargo says to every benchmark.
                _ if argument.starts_with("--") => {}
                _ => return Err(format!("`{argument}` is none of rows=, width=, memory=").into()),
            }
        }
        Ok(size)
    }
}

/// Features of the store as a split: the first so many of them.
struct Cached {
    reader: FeatureReader,
    rows: usize,
}

impl Samples for Cached {
    fn len(&self) -> usize {
        self.rows
    }

    fn id(&self, row: usize) -> &str {
        self.reader.parts()[row / PART_ROWS].id(row % PART_ROWS)
    }

    fn label(&self, row: usize) -> u32 {
        class(row)
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
        let copied = self.reader.parts()[row / PART_ROWS].copy_row(row % PART_ROWS, out);
        copied
            .then_some(())
            .ok_or_else(|| TrainError::Features("no such row".into()))
    }

    fn forget(&self) {
        let parts = self.reader.parts().iter();
        parts.for_each(FeaturePartReader::forget);
    }
}

fn class(row: usize) -> u32 {
    u32::try_from(row * 7 % CLASSES).unwrap_or(0)
}

/// Uniform numbers of variance 1, as fast as they can be had.
struct Noise(u32);

impl Noise {
    /// `[rows, width]`, f32.
    fn rows(&mut self, rows: usize, width: usize) -> Result<Tensor, Box<dyn Error>> {
        let values: Vec<f32> = (0..rows * width)
            .map(|_| {
                self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let unit = f32::from(u16::try_from(self.0 >> 16).unwrap_or(0)) / 65_536.0;
                (unit - 0.5) * 12.0_f32.sqrt()
            })
            .collect();
        let sizes = [i64::try_from(rows)?, i64::try_from(width)?];
        Ok(Tensor::from_slice(&values).view(sizes))
    }
}

/// Writes features as a run does: noise, and a direction for each class.
fn written(root: &Path, size: &Size) -> Result<(Cached, Vec<PathBuf>), Box<dyn Error>> {
    let store = Store::open(root)?;
    let recipe = Recipe::new(
        ArtifactKind::Features,
        1,
        &serde_json::json!({"of": "bench"}),
    )?;
    let Begin::Writer(mut writer) = store.begin(&recipe, "bench", &mut wait_quietly)? else {
        return Err("the folder was not empty".into());
    };
    let mut noise = Noise(1);
    let directions = noise.rows(CLASSES, size.width)? * (4.0 / (size.width as f64).sqrt());
    for (part, start) in (0..size.rows).step_by(PART_ROWS).enumerate() {
        let rows = PART_ROWS.min(size.rows - start);
        let labels: Vec<u32> = (start..start + rows).map(class).collect();
        let which: Vec<i64> = labels.iter().map(|&label| i64::from(label)).collect();
        let values =
            noise.rows(rows, size.width)? + directions.index_select(0, &Tensor::from_slice(&which));
        let ids: Vec<String> = (start..start + rows).map(|row| row.to_string()).collect();
        let content = FeaturePart {
            ids: &ids,
            splits: &vec!["train".to_owned(); rows],
            labels: Some(&labels),
            views: &vec!["center".to_owned(); rows],
            draws: &vec![0; rows],
            width: size.width,
            values: FeatureValues::F16(Vec::<f16>::try_from(
                values.to_kind(Kind::Half).flatten(0, 1),
            )?),
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
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|file| file.extension().is_some_and(|kind| kind == "arrow"));
    files.sort();
    let cached = Cached {
        reader: store.features(&fingerprint)?,
        rows: size.rows,
    };
    Ok((cached, files))
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

fn head(kind: &str, keys: &str) -> Result<Arc<dyn Head>, Box<dyn Error>> {
    let source = Source::new("bench.toml", format!("features = \"taps\"\n{keys}"));
    let mut diagnostics = Diagnostics::new(source.clone());
    let table = tree::parse(&source, &mut diagnostics);
    let diagnostics = RefCell::new(diagnostics);
    let fields = Fields::new(&table, "head", Span::default(), &diagnostics);
    let kind = ALL.iter().find(|one| one.doc.name == kind);
    let head = kind.and_then(|kind| kind.read(&fields));
    head.ok_or_else(|| "no such head".into())
}

/// Trains heads, and gives as text how many of the first thousand samples, which it has seen, the last one gets right.
fn fit(
    head: &dyn Head,
    trainings: &[Training],
    rows: &Cached,
    size: &Size,
) -> Result<String, Box<dyn Error>> {
    let jobs: Vec<Job<'_>> = trainings
        .iter()
        .map(|training| Job {
            head,
            training,
            seed: 0,
            name: "bench",
        })
        .collect();
    let test = Cached {
        reader: rows.reader.clone(),
        rows: size.rows.min(1000),
    };
    let data = Data {
        train: rows,
        judged: None,
        test: &test,
        shape: FeatureShape::square(size.width, 1),
        classes: CLASSES,
        device: Device::Cpu,
    };
    let limits = Limits {
        memory: size.memory,
        device_memory: None,
        keep_going: &|| true,
        epoch_done: &|_| {},
        checkpoint_seconds: f64::INFINITY,
    };
    let mut right = String::new();
    train(&jobs, &data, &limits, &Nowhere, &mut |_, outcome| {
        let outcome = outcome?;
        let ranks = outcome.predictions.rows.iter();
        let first = ranks.filter(|row| row.rank == 0).count();
        right = format!("{first} of {} right", test.rows);
        Ok::<(), TrainError>(())
    })?;
    Ok(right)
}

/// A number of the system about this process, such as `VmHWM:` of `status`.
fn of_process(file: &str, name: &str) -> Option<f64> {
    let text = std::fs::read_to_string(Path::new("/proc/self").join(file)).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn measure(
    name: &str,
    files: &[PathBuf],
    work: &mut dyn FnMut() -> Result<String, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    for file in files {
        rustix::fs::fadvise(File::open(file)?, 0, None, rustix::fs::Advice::DontNeed)?;
    }
    // The most memory so far is forgotten.
    std::fs::write("/proc/self/clear_refs", "5")?;
    let before = of_process("io", "read_bytes:").unwrap_or(f64::NAN);
    let started = Instant::now();
    let says = work()?;
    let seconds = started.elapsed().as_secs_f64();
    let read = of_process("io", "read_bytes:").unwrap_or(f64::NAN) - before;
    let most = of_process("status", "VmHWM:").unwrap_or(f64::NAN);
    println!(
        "  {name:32}{seconds:9.1} s  {:8.2} GB read  {:6.2} GiB at most  {says}",
        read / 1e9,
        most / f64::from(1 << 20)
    );
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let size = Size::of_arguments()?;
    let root = tempfile::tempdir()?;
    let (rows, files) = written(root.path(), &size)?;
    println!(
        "{} × {} features in f16, {:.2} GB, {CLASSES} classes, {} GiB allowed",
        size.rows,
        size.width,
        (size.rows * size.width * 2) as f64 / 1e9,
        size.memory >> 30
    );
    measure("plain reads of 1 MiB", &files, &mut || {
        let mut buffer = vec![0; 1 << 20];
        for file in &files {
            let mut file = File::open(file)?;
            while file.read(&mut buffer)? > 0 {}
        }
        Ok(String::new())
    })?;
    let rates: Vec<Training> = (0..10)
        .map(|rate| {
            let mut training = Training {
                epochs: 1,
                ..Training::default()
            };
            training.optimizer.lr = 1e-3 / f64::from(rate + 1);
            training
        })
        .collect();
    let once = &rates[..1];
    let linear = head("linear", "")?;
    measure("an epoch of ten learning rates", &files, &mut || {
        fit(&*linear, &rates, &rows, &size)
    })?;
    let ridge = head("ridge", "penalty = [1e1, 1e3, 1e5]")?;
    measure("ridge, three penalties", &files, &mut || {
        fit(&*ridge, once, &rows, &size)
    })?;
    let logistic = head("logistic", "standardize = true\nmax_iterations = 10")?;
    measure("logistic, ten iterations", &files, &mut || {
        fit(&*logistic, once, &rows, &size)
    })?;
    Ok(())
}
