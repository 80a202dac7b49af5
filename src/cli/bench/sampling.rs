//! `repro bench sampling`: how many images a second a network makes out of noise.

use std::io::Write as _;
use std::time::Instant;

use clap::Args;
use serde::Serialize;

use crate::cli::exit::Failure;
use crate::cli::printed;
use crate::diffusion::from_noise::{Conditions, FromNoise};
use crate::diffusion::respacing::Respacing;
use crate::diffusion::reverse::Variance;
use crate::diffusion::sampling::{Method, Sampling};
use crate::exec::{NodeError, batches};
use crate::machine::device;
use crate::message::Message;
use crate::models::{self, Preset, WeightsSource};
use crate::text::{duration, operations, rate};

/// Arguments of `repro bench sampling`.
#[derive(Debug, Args)]
#[command(
    after_help = "Weights are random: their values take no time. One step runs before the clock starts. All steps take the same time, so that a few of them tell what `--of` take.\n\n\
Examples:\n  repro bench sampling --model adm-nano\n  repro bench sampling --device cuda:0 --precision bf16 --batch-size 64\n  repro bench sampling --device cuda:0 --steps 10 --of 250 --json"
)]
pub(super) struct Arguments {
    /// A preset's name; `repro list models` shows them.
    #[arg(long, value_name = "PRESET", default_value = "adm-256-uncond")]
    model: String,
    /// Steps that are timed.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    steps: u32,
    /// Steps of an image, which the time is extrapolated to.
    #[arg(long, value_name = "N", default_value_t = 250, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    of: u32,
    /// Images at once; chosen by size and memory if not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch_size: Option<u32>,
    /// What the network computes in: `f32`, `bf16` or `f16`.
    #[arg(long, value_name = "TYPE", default_value = "f32")]
    precision: String,
    /// Where tensors live: `auto`, `cpu`, `cuda` or `cuda:N`.
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Measured {
    model: String,
    precision: String,
    device: String,
    batch_size: usize,
    /// Steps that were timed.
    steps: u32,
    /// Of one batch.
    seconds_per_step: f64,
    /// Steps of an image.
    of_steps: u32,
    /// Images a second in so many steps, extrapolated from those that were timed.
    images_per_second: f64,
    /// Two operations for each multiply-add of the network.
    teraflops_per_second: f64,
    /// Floating-point operations of an image in so many steps.
    operations_per_image: f64,
    /// Of the whole process, weights included; absent where the system does not tell.
    peak_memory_bytes: Option<u64>,
}

/// Measures and prints.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let usage = |text: String| Failure::Usage(text.into());
    let Some(Preset { model, .. }) = models::preset(&arguments.model) else {
        let hint = models::preset_hint(&arguments.model)
            .unwrap_or_else(|| "`repro list models` shows the presets".to_owned());
        return Err(Failure::Usage(
            Message::new(format!("unknown preset `{}`", arguments.model)).hint(hint),
        ));
    };
    let Some(denoising) = model.denoising() else {
        return Err(usage(format!(
            "`{}` predicts no noise, so that no samples can be taken from it",
            arguments.model
        )));
    };
    let mut known = models::Precision::CHOICES.iter();
    let precision = known.find(|(word, _)| *word == arguments.precision);
    let Some((_, precision)) = precision else {
        return Err(usage(format!(
            "unknown precision `{}`: write f32, bf16 or f16",
            arguments.precision
        )));
    };
    let sampling = |steps: u32| -> Result<Sampling, Failure> {
        let respacing = Respacing::Sections(vec![steps]);
        let diffusion = denoising.process(&respacing);
        Ok(Sampling {
            diffusion: diffusion.map_err(|error| usage(error.to_string()))?,
            method: Method::Ancestral,
            variance: if denoising.learns_variance() {
                Variance::Learned
            } else {
                Variance::FixedLarge
            },
            clip: denoising.clips(),
        })
    };
    let (warm, timed) = (sampling(1)?, sampling(arguments.steps)?);
    device::load_cuda_backend();
    let device = device::parse_device(&arguments.device)
        .and_then(device::DeviceChoice::resolve)
        .map_err(|error| usage(error.to_string()))?;
    let random = model.with_weights(WeightsSource::Synthetic(0));
    let network = random.load(std::path::Path::new("."), device, *precision);
    let network = network.map_err(NodeError::from)?;
    let batch_size = arguments.batch_size.map_or_else(
        || batches::choose(device, &*model, None, *precision),
        |size| size as usize,
    );
    let classes = model.classes();
    let class_of = |number: usize| {
        let count = classes.map_or(1, |classes| classes.count.max(1) as usize);
        i64::try_from(number % count).unwrap_or(0)
    };
    let conditions = classes.map(|_| Conditions {
        class_of: &class_of,
        is_given: true,
        guidance: None,
        classifier: None,
    });
    let make = |sampling: &Sampling| -> Result<f64, Failure> {
        let source = FromNoise {
            sampling,
            network: &*network,
            input: model.input(),
            device,
            seed: 0,
            conditions,
            decode: None,
        };
        let since = Instant::now();
        source
            .make(0..batch_size, &|| false, &mut || {})
            .map_err(|error| Failure::Nodes(error.to_string().into()))?;
        Ok(since.elapsed().as_secs_f64())
    };
    make(&warm)?;
    let seconds_per_step = make(&timed)? / f64::from(arguments.steps);
    let of_step = 2.0 * denoising.multiply_adds() as f64;
    let of = f64::from(arguments.of);
    print(
        arguments.json,
        &Measured {
            model: arguments.model.clone(),
            precision: arguments.precision.clone(),
            device: device::name(device),
            batch_size,
            steps: arguments.steps,
            seconds_per_step,
            of_steps: arguments.of,
            images_per_second: batch_size as f64 / (seconds_per_step * of),
            teraflops_per_second: of_step * batch_size as f64 / seconds_per_step / 1e12,
            operations_per_image: of_step * of,
            peak_memory_bytes: crate::doctor::facts::peak_memory(),
        },
    )
}

fn print(as_json: bool, measured: &Measured) -> Result<(), Failure> {
    let mut out = printed::stdout(as_json);
    if as_json {
        serde_json::to_writer_pretty(&mut out, measured).map_err(std::io::Error::from)?;
        writeln!(out)?;
        return Ok(());
    }
    let of_50_000 = 50_000.0 / measured.images_per_second;
    write!(
        out,
        "{}, {} on {}, batches of {}: {} of {} steps were timed\n\n  {:.4} s a step\n  {} images/s in {} steps, extrapolated\n  {:.4} TFLOP/s\n  {} and about {} for 50,000 images\n",
        measured.model,
        measured.precision,
        measured.device,
        measured.batch_size,
        measured.steps,
        measured.of_steps,
        measured.seconds_per_step,
        rate(measured.images_per_second),
        measured.of_steps,
        measured.teraflops_per_second,
        operations(50_000.0 * measured.operations_per_image),
        duration(of_50_000),
    )?;
    if let Some(bytes) = measured.peak_memory_bytes {
        writeln!(out, "\n  {} at most in memory", crate::text::bytes(bytes))?;
    }
    Ok(())
}
