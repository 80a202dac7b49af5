//! How long heads take: many against one, and features in windows against features in memory.
//!
//! `cargo bench --bench heads` prints seconds for an epoch, and ratios within the run. The features are random; nothing is
//! learned. `benches/heads_against_pytorch.py` times the same epoch in a loop written by hand.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use half::f16;
use repro::heads::{ALL, FeatureShape, Head};
use repro::spec::{Diagnostics, Fields, Source, Span, Table};
use repro::trainer::heads::{Data, Element, Job, Keep, Limits, Rows, Samples, WriteTo, train};
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

    fn element(&self) -> Element {
        Element::F16
    }

    fn copy(&self, _view: usize, row: usize, out: &mut [u8]) {
        let values = &self.values[row * self.width..(row + 1) * self.width];
        // SAFETY: half-precision numbers are two plain bytes each.
        let bytes = unsafe {
            std::slice::from_raw_parts(values.as_ptr().cast::<u8>(), size_of_val(values))
        };
        out.copy_from_slice(bytes);
    }
}

struct Nowhere;

impl Keep for Nowhere {
    fn newest(&self, _at_most: u32) -> Result<Option<(u32, PathBuf)>, String> {
        Ok(None)
    }

    fn write(&self, _epochs: u32, _write: WriteTo<'_>) -> Result<(), String> {
        Ok(())
    }
}

fn linear() -> Option<Arc<dyn Head>> {
    let diagnostics = std::cell::RefCell::new(Diagnostics::new(Source::new("bench", "")));
    let table = Table::default();
    let fields = Fields::new(&table, "head", Span::default(), &diagnostics);
    let kind = ALL.iter().find(|kind| kind.doc().name == "linear")?;
    kind.parse(&fields)
}

/// Seconds for an epoch of a linear head at each of some learning rates: what two epochs take, less what one does.
fn epoch(head: &dyn Head, rows: &Random, rates: usize, memory: u64) -> Result<f64, TrainError> {
    let test = Random::new(1, rows.width);
    let run = |epochs: u32| -> Result<f64, TrainError> {
        let trainings: Vec<Training> = (0..rates)
            .map(|rate| {
                let mut training = Training {
                    epochs,
                    ..Training::default()
                };
                training.optimiser.lr = 1e-3 / (rate + 1) as f64;
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
            test: &test,
            shape: FeatureShape {
                channels: rows.width,
                side: 1,
            },
            classes: 10,
            device: tch::Device::Cpu,
        };
        let limits = Limits {
            memory,
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
    let (one, three) = (run(1)?, run(3)?);
    Ok((three - one) / 2.0)
}

const PLENTY: u64 = 64 << 30;

fn main() -> Result<(), TrainError> {
    let Some(head) = linear() else {
        return Ok(());
    };
    let head = &*head;

    let features: Vec<Random> = (0..10).map(|_| Random::new(10_000, 1024)).collect();
    let one = epoch(head, &features[0], 1, PLENTY)?;
    let ten = epoch(head, &features[0], 10, PLENTY)?;
    println!("1,024 features, 10,000 samples, 10 classes, seconds for an epoch");
    println!("  one head                     {one:.3}");
    println!(
        "  ten learning rates           {ten:.3}, {:.1} times one",
        ten / one
    );
    // As a run does: one group of heads for each of the features, side by side on the cores.
    let next = AtomicUsize::new(0);
    let started = Instant::now();
    let seconds: f64 = std::thread::scope(|scope| {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..workers)
            .map(|_| {
                scope.spawn(|| {
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
    drop(features);

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
