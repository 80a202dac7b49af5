//! One sheet of samples: images out of noise, into the store as one PNG file, one below the other.

use std::io::Cursor;
use std::time::Instant;

use crate::diffusion::reverse::Variance;
use crate::diffusion::sampling::{Method, Sampling};
use crate::diffusion::sheet::Sheet;
use crate::exec::NodeError;
use crate::exec::context::Run;
use crate::exec::event::Event;
use crate::graph::SampleMethod;
use crate::models::Precision;
use crate::plan::{PlannedArtifact, Sample};
use crate::store::names::SAMPLES;
use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};

/// How many images are made at once.
const BATCH: usize = 64;

/// Makes and commits one sheet.
pub(super) fn run_samples(
    run: &Run<'_>,
    artifact: &PlannedArtifact,
    work: &Sample,
) -> Result<(), NodeError> {
    let started = Instant::now();
    let Some(mut writer) = run.begin(artifact)? else {
        return Ok(());
    };
    let node = &work.node;
    let model = work.model.with_weights(run.store);
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
    let sheet = Sheet {
        sampling: &sampling,
        network: &*network,
        input,
        device: run.device,
        seed: node.seed,
    };
    let mut pixels: Vec<u8> = Vec::new();
    let count = node.count as usize;
    (run.emit)(Event::SamplesStarted {
        label: artifact.label.clone(),
        steps: count.div_ceil(BATCH) * sampling.diffusion.steps() as usize,
    });
    for first in (0..count).step_by(BATCH) {
        let last = count.min(first + BATCH);
        let made = sheet.make(first..last, &|| run.stop.is_given(), &mut || {
            (run.emit)(Event::SamplesAdvanced {
                label: artifact.label.clone(),
            });
        });
        match made.map_err(|error| NodeError::Values(error.to_string()))? {
            Some(bytes) => pixels.extend(bytes),
            None => return Err(NodeError::Stopped),
        }
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
    let colors = if channels == 1 {
        ExtendedColorType::L8
    } else {
        ExtendedColorType::Rgb8
    };
    PngEncoder::new(&mut file)
        .write_image(pixels, side, side.saturating_mul(count), colors)
        .map_err(|error| NodeError::Values(format!("the samples cannot be written: {error}")))?;
    Ok(file.into_inner())
}
