//! How long a step of fine-tuning takes: head, and network up to a block, on a batch of noise.
//!
//! `cargo bench --bench fine_tuning` prints seconds an image, activations kept and recomputed. With a word and a number of
//! steps, `FILE kept 12`, it times one of them, without the first two steps, and prints seconds for an image and the bytes that the steps
//! took at most, beyond what the process had before them; `benches/fine_tuning_against_reference.py` asks so.

#![expect(clippy::expect_used, reason = "a benchmark fails this way")]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use repro::checked_file::CheckedFile;
use repro::diffusion::noise::fill_noise;
use repro::heads::{self, FeatureShape, Head};
use repro::machine::memory::RetainFreedMemory;
use repro::message::Message;
use repro::models::tuning::ActivationCheckpointing;
use repro::models::{self, BlockIndex, InputSpec, Precision, WeightsSource};
use repro::spec::{Diagnostics, Fields, Source, Span, Table};
use repro::trainer::fine_tuning::{NoisyImages, Task, Watch, fine_tune};
use repro::trainer::heads::{CheckpointStore, Job, Samples, WriteTo};
use repro::trainer::{FineTuning, Optimizer, TrainError, Training};

const BATCH: usize = 32;
const BLOCK: BlockIndex = BlockIndex(8);
const CLASSES: usize = 10;
/// Steps that are not timed.
const WARM: usize = 2;

/// Images of noise.
struct Noise {
    count: usize,
    input: InputSpec,
}

impl Samples for Noise {
    fn len(&self) -> usize {
        self.count
    }

    fn id(&self, _row: usize) -> &'static str {
        "image"
    }

    fn label(&self, row: usize) -> u32 {
        u32::try_from(row % CLASSES).unwrap_or(0)
    }
}

impl NoisyImages for Noise {
    fn x_t(&self, rows: &[usize], draw: u32) -> Result<Vec<f32>, Message> {
        let InputSpec { channels, side, .. } = self.input;
        let mut values = vec![0.0; rows.len() * (channels * side * side) as usize];
        fill_noise(0, "benchmark", "center", 90, draw, &mut values);
        Ok(values)
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

fn head() -> Option<Arc<dyn Head>> {
    let diagnostics = RefCell::new(Diagnostics::new(Source::new("bench", "")));
    let table = Table::default();
    let fields = Fields::new(&table, "head", Span::default(), &diagnostics);
    let named = |kind: &&&heads::HeadKind| kind.doc.name == "batchnorm-linear";
    heads::ALL.iter().find(named)?.read(&fields)
}

/// The least seconds of a step for one image, and the bytes that the process grew by at most.
fn measure(checkpointing: ActivationCheckpointing, steps: usize) -> Result<(f64, u64), TrainError> {
    let model = models::preset("fashion-28")
        .expect("the preset exists")
        .model;
    let model = model.with_weights(WeightsSource::Synthetic(1));
    let channels = model.blocks()[BLOCK.0 as usize - 1].shape.sizes()[0] as usize;
    let tunable = model.tunable().expect("it can be trained");
    let device = tch::Device::Cpu;
    let tuned = tunable.begin_tuning(Path::new("."), device, Precision::F32, BLOCK, checkpointing);
    let mut tuned = tuned.expect("synthetic weights fit every network");
    // As a run does.
    let _kept_maps = RetainFreedMemory::begin();
    let training = Training {
        epochs: 1,
        batch_size: u32::try_from(BATCH).unwrap_or(u32::MAX),
        ..Training::default()
    };
    let head = head().expect("the kind exists");
    let images = |count| Noise {
        count,
        input: model.input(),
    };
    let task = Task {
        job: Job {
            head: &*head,
            training: &training,
            seed: 0,
            name: "bench",
        },
        fine_tuning: FineTuning {
            optimizer: Optimizer {
                lr: 1e-5,
                ..Optimizer::default()
            },
            checkpointing,
        },
        train: &images((steps + WARM) * BATCH),
        judged: &images((steps + WARM) * BATCH),
        test: &images(1),
        input: model.input(),
        timestep: 90,
        shape: FeatureShape::square(channels, 2),
        classes: CLASSES,
        at_once: BATCH,
        device,
    };
    let ends = RefCell::new(Vec::new());
    let watch = Watch {
        keep_going: &|| true,
        advanced: &|_, _, _| ends.borrow_mut().push(Instant::now()),
        checkpoint_due: &|| false,
    };
    let before = memory("VmRSS:");
    fine_tune(&task, &mut tuned, &watch, &Nowhere)?;
    let grown = memory("VmHWM:").saturating_sub(before);
    let ends = ends.into_inner();
    let pairs = ends[WARM - 1..].windows(2);
    let each = pairs.map(|pair| (pair[1] - pair[0]).as_secs_f64());
    Ok((each.fold(f64::INFINITY, f64::min) / BATCH as f64, grown))
}

/// A line of what the system reports of this process, in bytes; 0 where it reports none.
fn memory(label: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(label));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

fn main() -> Result<(), TrainError> {
    // cargo adds a flag of its own.
    let words = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"));
    let words: Vec<String> = words.collect();
    let ways = [
        ("kept", ActivationCheckpointing::Off),
        ("recomputed", ActivationCheckpointing::On),
    ];
    if let [way, steps] = &words[..] {
        let way = ways.iter().find(|(word, _)| word == way);
        let (_, checkpointing) = way.expect("`kept` or `recomputed`");
        let steps = steps.parse().expect("a number of steps");
        let (seconds, grown) = measure(*checkpointing, steps)?;
        println!("{seconds} {grown}");
        return Ok(());
    }
    println!("fashion-28 to b8, batches of {BATCH}, seconds for an image");
    for (word, checkpointing) in ways {
        println!("  maps {word:12} {:.5}", measure(checkpointing, 12)?.0);
    }
    Ok(())
}
