//! One sheet of samples: images out of noise, into the store as one PNG file, one below the other.

use std::io::Cursor;
use std::time::Instant;

use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
use tch::{Kind, Tensor};

use super::event::Event;
use super::pictures::SAMPLES;
use super::run::Run;
use super::{NodeError, pretrain};
use crate::graph::SampleMethod;
use crate::models::Precision;
use crate::models::diffusion::reverse::Variance;
use crate::models::diffusion::sampling::{Method, Sampling, Step, to_bytes};
use crate::models::extractor::{ForwardError, Images, Until};
use crate::models::noise::fill_noise;
use crate::plan::{Plan, SamplesStep};
use crate::store::Begin;

/// How many images are made at once.
const BATCH: usize = 64;

/// Makes and commits one sheet.
pub(super) fn run_samples(run: &Run<'_>, plan: &Plan, step: &SamplesStep) -> Result<(), NodeError> {
    let started = Instant::now();
    let artifact = &step.artifact;
    let begun = run
        .store
        .begin(&artifact.recipe, &artifact.label, &mut |waiting| {
            run.wait(waiting)
        })?;
    let Begin::Writer(mut writer) = begun else {
        return Ok(());
    };
    let node = &run.experiment.samples[step.samples];
    let model = pretrain::with_weights(run, plan, node.model);
    let Some(denoising) = model.denoising() else {
        return Err(NodeError::Values("the model predicts no noise".to_owned()));
    };
    let sampling = Sampling {
        diffusion: denoising
            .process(&node.respacing)
            .map_err(|error| NodeError::Values(error.to_string()))?,
        method: match node.method {
            SampleMethod::Ancestral => Method::Ancestral,
            SampleMethod::Ddim { eta } => Method::Ddim { eta },
        },
        variance: if denoising.learns_variance() {
            Variance::Learned
        } else {
            Variance::FixedLarge
        },
        clip: true,
    };
    let network = model.load(run.base, run.device, Precision::F32)?;
    let input = model.input();
    let side = input.side as usize;
    let size = input.channels as usize * side * side;
    let mut pixels: Vec<u8> = Vec::new();
    let count = node.count as usize;
    (run.emit)(Event::SamplesStarted {
        label: artifact.label.clone(),
        steps: count.div_ceil(BATCH) * sampling.diffusion.steps() as usize,
    });
    for first in (0..count).step_by(BATCH) {
        let images = (count - first).min(BATCH);
        let noise = |timestep: u32, draw: u32| {
            let mut values = vec![0f32; images * size];
            for (place, target) in values.chunks_mut(size).enumerate() {
                let id = format!("image-{}", first + place);
                fill_noise(node.seed, &id, "samples", timestep, draw, target);
            }
            let sides = [images, input.channels as usize, side, side];
            let sides = sides.map(|side| i64::try_from(side).unwrap_or(i64::MAX));
            Tensor::from_slice(&values)
                .view(sides)
                .to_device(run.device)
        };
        let mut denoise = |x_t: &Tensor, timestep: u32| {
            if run.stop.is_given() {
                // The chain has no other way to end early; the caller looks at the signal first.
                return Err(ForwardError::NoOutput);
            }
            let mut values = vec![0f32; images * size];
            let host = x_t.to_device(tch::Device::Cpu).contiguous();
            host.copy_data(&mut values, images * size);
            let shown = Images {
                x_t: &values,
                count: images,
                timestep,
                classes: None,
            };
            let output = network.forward(shown, &[], Until::Output, &mut |_, _| {})?;
            output.ok_or(ForwardError::NoOutput)
        };
        // Draw 0 is the start, and the draws of the steps follow.
        let mut draws = |step: Step| noise(step.timestep, 1);
        let made = sampling.run(&noise(0, 0), &mut denoise, &mut draws, &mut |_, _| {
            (run.emit)(Event::SamplesAdvanced {});
        });
        if run.stop.is_given() {
            return Err(NodeError::Stopped);
        }
        let made = made.map_err(|error| NodeError::Values(error.to_string()))?;
        // [N, C, H, W] to rows of pixels.
        let bytes = to_bytes(&made)
            .to_device(tch::Device::Cpu)
            .permute([0, 2, 3, 1])
            .contiguous()
            .to_kind(Kind::Uint8);
        let mut rows = vec![0u8; bytes.numel()];
        let length = rows.len();
        bytes.copy_data(&mut rows, length);
        pixels.extend(rows);
    }
    writer.write_bytes(
        SAMPLES,
        &png(&pixels, input.channels, input.side, node.count)?,
    )?;
    let seconds = started.elapsed().as_secs_f64();
    writer.finish(run.made(seconds))?;
    (run.emit)(Event::SamplesFinished {
        label: artifact.label.clone(),
        images: count,
        seconds,
    });
    Ok(())
}

fn png(pixels: &[u8], channels: u32, side: u32, count: u32) -> Result<Vec<u8>, NodeError> {
    let mut file = Cursor::new(Vec::new());
    let colours = if channels == 1 {
        ExtendedColorType::L8
    } else {
        ExtendedColorType::Rgb8
    };
    PngEncoder::new(&mut file)
        .write_image(pixels, side, side.saturating_mul(count), colours)
        .map_err(|error| NodeError::Values(format!("the samples cannot be written: {error}")))?;
    Ok(file.into_inner())
}
