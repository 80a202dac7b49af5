//! What a report shows besides results: curves of trainings, sheets of samples, images at growing noise.
//!
//! What is not there yet is left out; the report says so.

use arrow::array::{Array, Float32Array, Int64Array, RecordBatch};

use crate::diffusion::NoiseOf;
use crate::exec::NodeError;
use crate::graph::{Experiment, SampleMethod};
use crate::imaging::Normalization;
use crate::imaging::preprocess::View;
use crate::inputs::{ImageSource, Inputs, Showing, made_image};
use crate::message::Message;
use crate::numbers::to_u32;
use crate::plan::{Plan, Work};
use crate::report::figures::{NoiseStrip, Wanted};
use crate::report::{ImageSheet, ReportConfig, TrainingCurve, TrainingPoint};
use crate::store::names::CURVE;
use crate::store::{Fingerprint, Store};
use crate::text::plural;

/// Images in a row of a sheet.
const COLUMNS: u32 = 8;

/// The loss of every training that is done.
pub(crate) fn trainings(plan: &Plan, store: &Store) -> Result<Vec<TrainingCurve>, NodeError> {
    let mut curves = Vec::new();
    for step in &plan.steps {
        let Work::Pretrain(work) = &step.work else {
            continue;
        };
        let fingerprint = &step.artifact.fingerprint;
        if store.manifest(fingerprint)?.is_none() {
            continue;
        }
        let node = &work.node;
        let steps = u64::from(node.training.steps);
        curves.push(TrainingCurve {
            name: node.name.clone(),
            fingerprint: fingerprint.to_string(),
            steps,
            images: steps * u64::from(node.training.batch_size),
            points: points(&store.table(fingerprint, CURVE)?)?,
        });
    }
    Ok(curves)
}

fn points(table: &RecordBatch) -> Result<Vec<TrainingPoint>, NodeError> {
    let strange = || NodeError::Values("the table of a training's loss has other columns".into());
    let column = |name: &str| table.column_by_name(name).ok_or_else(strange);
    let steps = column("step")?.as_any().downcast_ref::<Int64Array>();
    let steps = steps.ok_or_else(strange)?;
    let numbers = |name: &str| -> Result<Vec<f64>, NodeError> {
        let column = column(name)?.as_any().downcast_ref::<Float32Array>();
        let values = column.ok_or_else(strange)?.values().iter();
        Ok(values.map(|value| f64::from(*value)).collect())
    };
    let (losses, rates, norms) = (
        numbers("loss")?,
        numbers("learning_rate")?,
        numbers("gradient_norm")?,
    );
    let rows = steps.values().iter().zip(losses).zip(rates).zip(norms);
    rows.map(|(((step, loss), learning_rate), gradient_norm)| {
        Ok(TrainingPoint {
            step: u64::try_from(*step).map_err(|_| strange())?,
            loss,
            learning_rate,
            gradient_norm,
        })
    })
    .collect()
}

/// The sheets of samples and the strips of noisy images that the report asks for, as far as their images are there.
pub(crate) fn sheets(
    experiment: &Experiment,
    inputs: &Inputs,
    plan: &Plan,
    store: &Store,
) -> Result<Vec<ImageSheet>, NodeError> {
    let mut sheets = Vec::new();
    let config = experiment.report.as_ref();
    for (file, wanted) in config.map(ReportConfig::wanted).unwrap_or_default() {
        match wanted {
            Wanted::Sheet { of, count } => sheets.extend(sheet(plan, store, file, (&of, count))?),
            Wanted::NoiseStrip(strip) => {
                let read = (inputs, plan, store);
                sheets.extend(noise_strip(experiment, read, file, &strip)?);
            }
            Wanted::Curve { .. } => {}
        }
    }
    Ok(sheets)
}

/// The first images of some samples; `None` where none of that name are done.
fn sheet(
    plan: &Plan,
    store: &Store,
    file: String,
    (of, most): (&str, u32),
) -> Result<Option<ImageSheet>, NodeError> {
    for step in &plan.steps {
        let Work::Sample(work) = &step.work else {
            continue;
        };
        let fingerprint = &step.artifact.fingerprint;
        let (node, model) = (&work.node, &work.model);
        if node.name != of || store.manifest(fingerprint)?.is_none() {
            continue;
        }
        let method = match node.method {
            SampleMethod::Ancestral => "ancestral sampling".to_owned(),
            SampleMethod::Ddim { eta } => format!("DDIM with eta {eta}"),
        };
        let all = plural(node.count as usize, "image");
        let (shown, what) = match node.count {
            count if count > most => (most, format!("the first {most} of {all}")),
            count => (count, all),
        };
        let input = model.reader().model.input();
        return Ok(Some(ImageSheet {
            name: file,
            fingerprint: fingerprint.to_string(),
            caption: format!(
                "{what} that model `{}` made out of noise, not chosen, by {method} in {} steps, seed {}",
                model.name, node.respacing, node.seed
            ),
            channels: input.channels,
            side: input.side,
            pixels: samples(store, fingerprint, shown as usize, input.channels as usize)?,
            columns: COLUMNS.min(shown),
            column_labels: Vec::new(),
            row_labels: Vec::new(),
        }));
    }
    Ok(None)
}

/// The bytes of the first images of some samples, channels interleaved.
fn samples(
    store: &Store,
    fingerprint: &Fingerprint,
    count: usize,
    channels: usize,
) -> Result<Vec<Vec<u8>>, NodeError> {
    let reader = store.images(fingerprint, 0..count)?;
    let image = |row: usize| {
        let missing = || NodeError::Values(format!("samples have no image {row}").into());
        let bytes = reader.image(row).ok_or_else(missing)?;
        let image = made_image(&reader, row, bytes).map_err(NodeError::Values)?;
        // A gray image decodes into three equal channels.
        let pixels = image.pixels().chunks_exact(image.channels());
        Ok(pixels
            .flat_map(|pixel| &pixel[..channels.min(pixel.len())])
            .copied()
            .collect())
    };
    (0..count).map(image).collect()
}

/// Images as the network sees them at growing noise, one row an image; `None` where the experiment has no such dataset or model, the
/// dataset is not on disk, or a run has not made the images yet.
fn noise_strip(
    experiment: &Experiment,
    (inputs, plan, store): (&Inputs, &Plan, &Store),
    file: String,
    strip: &NoiseStrip,
) -> Result<Option<ImageSheet>, NodeError> {
    let mut datasets = plan.datasets.iter();
    let dataset = datasets.find(|dataset| dataset.name == strip.dataset);
    let mut models = experiment.models.iter();
    let model = models.find(|node| node.name == strip.model);
    let (Some(dataset), Some(node)) = (dataset, model) else {
        return Ok(None);
    };
    if inputs.is_absent(dataset) {
        return Ok(None);
    }
    if let Some((_, fingerprint)) = &dataset.made
        && store.manifest(fingerprint)?.is_none()
    {
        return Ok(None);
    }
    if node.autoencoder.is_some() {
        return Err(NodeError::Values(
            Message::new(format!(
                "figure `{file}` shows noisy images, but model `{}` reads latents, which are none",
                node.name
            ))
            .hint("name a model that reads images"),
        ));
    }
    let input = node.model.input();
    let preprocess = node.model.preprocess();
    let images = ImageSource {
        dataset: inputs.images(dataset, store, 0..strip.count as usize)?,
        preprocess: &preprocess,
        normalization: Normalization::default(),
        input,
    };
    let (seed, view) = (strip.noise_seed, View::Center.name());
    let samples = images.dataset.manifest.samples.iter().enumerate();
    let rows = samples.filter(|(_, sample)| sample.split == strip.split);
    let mut pixels = Vec::new();
    for (row, sample) in rows.take(strip.count as usize) {
        let shown = Showing {
            seed,
            view,
            draw: 0,
            mirrored: false,
        };
        let planes = images.planes(row, shown)?;
        for &timestep in &strip.timesteps {
            let Some(coefficients) = node.model.coefficients(timestep) else {
                let noise = input.noise;
                return Err(NodeError::Values(
                    Message::new(format!(
                        "figure `{file}` shows timestep {timestep}, but model `{}` has {}",
                        node.name,
                        plural(noise.map_or(0, |noise| noise.steps) as usize, "timestep")
                    ))
                    .hint("take timesteps below that"),
                ));
            };
            let mut noisy = planes.clone();
            let mut noise = vec![0f32; noisy.len()];
            let of = NoiseOf {
                seed,
                sample: &sample.id,
                view,
                timestep,
                draw: 0,
            };
            coefficients.add_noise_of(of, &mut noisy, &mut noise);
            pixels.push(to_bytes(&noisy, input.channels as usize));
        }
    }
    Ok(Some(ImageSheet {
        name: file,
        fingerprint: String::new(),
        caption: format!(
            "images of `{}`, split `{}`, as model `{}` sees them at noise step t",
            strip.dataset, strip.split, strip.model
        ),
        channels: input.channels,
        side: input.side,
        pixels,
        columns: to_u32(strip.timesteps.len()),
        column_labels: Vec::new(),
        row_labels: Vec::new(),
    }))
}

/// `[C, H, W]` in `[-1, 1]`, what is beyond clipped, to bytes with their channels interleaved.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clipped to a byte before"
)]
fn to_bytes(planes: &[f32], channels: usize) -> Vec<u8> {
    let size = planes.len() / channels.max(1);
    let byte = |value: f32| ((value + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8;
    (0..size)
        .flat_map(|pixel| (0..channels).map(move |channel| byte(planes[channel * size + pixel])))
        .collect()
}
