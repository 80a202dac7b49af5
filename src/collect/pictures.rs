//! What a report shows besides results: curves of trainings, sheets of samples, images at growing noise.
//!
//! What is not there yet is left out; the report says so.

use std::io::Cursor;

use arrow::array::{Array, Float32Array, Int64Array, RecordBatch};

use crate::diffusion::noise::fill_noise;
use crate::exec::NodeError;
use crate::graph::{Experiment, SampleMethod};
use crate::imaging::preprocess::Draw;
use crate::imaging::{Normalization, Preprocess};
use crate::inputs::Inputs;
use crate::numbers::to_u32;
use crate::plan::{Plan, Work};
use crate::report::figures::{NoiseStrip, Wanted};
use crate::report::{ImageSheet, ReportConfig, TrainingCurve, TrainingPoint};
use crate::store::Store;
use crate::store::names::{CURVE, SAMPLES};
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

/// Every sheet of samples that is done, and the strips of noisy images that the report asks for.
pub(crate) fn sheets(
    experiment: &Experiment,
    inputs: &Inputs,
    plan: &Plan,
    store: &Store,
) -> Result<Vec<ImageSheet>, NodeError> {
    let mut sheets = Vec::new();
    for step in &plan.steps {
        let Work::Sample(work) = &step.work else {
            continue;
        };
        let fingerprint = &step.artifact.fingerprint;
        if store.manifest(fingerprint)?.is_none() {
            continue;
        }
        let (node, model) = (&work.node, &work.model);
        let method = match node.method {
            SampleMethod::Ancestral => "ancestral sampling".to_owned(),
            SampleMethod::Ddim { eta } => format!("DDIM with eta {eta}"),
        };
        let (channels, side, pixels) =
            images(&store.bytes(fingerprint, SAMPLES)?, node.count as usize)?;
        sheets.push(ImageSheet {
            name: node.name.clone(),
            fingerprint: fingerprint.to_string(),
            caption: format!(
                "{} that model `{}` made out of noise, not chosen, by {method} in {} steps, seed {}",
                plural(node.count as usize, "image"),
                model.name,
                node.respacing,
                node.seed
            ),
            channels,
            side,
            pixels,
            columns: COLUMNS.min(node.count),
            column_labels: Vec::new(),
            row_labels: Vec::new(),
        });
    }
    let config = experiment.report.as_ref();
    for (file, wanted) in config.map(ReportConfig::wanted).unwrap_or_default() {
        if let Wanted::NoiseStrip(strip) = wanted {
            sheets.extend(noise_strip(experiment, inputs, file, &strip)?);
        }
    }
    Ok(sheets)
}

/// The images of a file with all of them in one column: channels, side, and the bytes of each.
fn images(file: &[u8], count: usize) -> Result<(u32, u32, Vec<Vec<u8>>), NodeError> {
    let reader = image::ImageReader::with_format(Cursor::new(file), image::ImageFormat::Png);
    let decoded = reader
        .decode()
        .map_err(|error| NodeError::Values(format!("samples do not decode: {error}")))?;
    let (side, channels) = (decoded.width(), u32::from(decoded.color().channel_count()));
    let size = side as usize * side as usize * channels as usize;
    let pixels: Vec<Vec<u8>> = decoded
        .into_bytes()
        .chunks_exact(size.max(1))
        .map(<[u8]>::to_vec)
        .collect();
    if pixels.len() == count {
        Ok((channels, side, pixels))
    } else {
        let found = plural(pixels.len(), "image");
        let message = format!("a sheet holds {found}, but {count} were made");
        Err(NodeError::Values(message))
    }
}

/// Images as the network sees them at growing noise, one row an image; `None` where the experiment has no such dataset or model, or the
/// dataset is not on disk.
fn noise_strip(
    experiment: &Experiment,
    inputs: &Inputs,
    file: String,
    strip: &NoiseStrip,
) -> Result<Option<ImageSheet>, NodeError> {
    let datasets = experiment.datasets.iter();
    let dataset = datasets
        .zip(&inputs.datasets)
        .find(|(node, _)| node.name == strip.dataset);
    let mut models = experiment.models.iter();
    let model = models.find(|node| node.name == strip.model);
    let dataset = dataset.and_then(|(_, open)| open.as_ref());
    let (Some(dataset), Some(node)) = (dataset, model) else {
        return Ok(None);
    };
    let input = node.model.input();
    let samples = dataset.manifest.samples.iter().enumerate();
    let rows = samples.filter(|(_, sample)| sample.split == strip.split);
    let mut pixels = Vec::new();
    for (row, sample) in rows.take(strip.count as usize) {
        let image = dataset.images.read(row)?;
        let draw = Draw {
            seed: strip.noise_seed,
            sample: &sample.id,
            view: "center",
            draw: 0,
        };
        let square = Preprocess::default().apply(&image, input.side as usize, draw);
        let planes = square.to_planes(input.channels as usize, Normalization::default());
        for &timestep in &strip.timesteps {
            let Some(coefficients) = node.model.coefficients(timestep) else {
                let noise = input.noise;
                return Err(NodeError::Values(format!(
                    "figure `{file}` shows timestep {timestep}, but model `{}` has {}\n  hint: take timesteps below that",
                    node.name,
                    plural(noise.map_or(0, |noise| noise.steps) as usize, "timestep")
                )));
            };
            let mut noisy = planes.clone();
            let mut noise = vec![0f32; noisy.len()];
            let (seed, id) = (strip.noise_seed, &sample.id);
            fill_noise(seed, id, "center", timestep, 0, &mut noise);
            coefficients.add_noise(&mut noisy, &noise);
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

/// `[C, H, W]` in `[-1, 1]`, what lies beyond clipped, to bytes with their channels interleaved.
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
