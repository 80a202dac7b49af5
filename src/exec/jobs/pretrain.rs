//! One training of a diffusion network: images in, averaged weights and the loss curve into the store.
//!
//! What is needed to resume is kept every so many steps, and when the user stops. A training that resumes leaves the bytes of one
//! that was never stopped, on the same machine with the same number of threads.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Float32Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};

use crate::datasets::DatasetError;
use crate::diffusion::respacing::Respacing;
use crate::exec::NodeError;
use crate::exec::context::Run;
use crate::exec::event::Event;
use crate::imaging::Normalization;
use crate::inputs::{ImageSource, Showing};
use crate::machine::memory::RetainFreedMemory;
use crate::models::checkpoint::weights::WeightMap;
use crate::models::denoising::Trainable;
use crate::plan::{PlannedArtifact, Pretrain};
use crate::store::Checkpoints;
use crate::store::names::{CURVE, PRETRAINED_WEIGHTS};
use crate::trainer::pretraining::{CurvePoint, Images, Trainer, TrainerState};

/// The images of the split to train on, without their classes.
struct SplitImages<'a> {
    images: ImageSource<'a>,
    rows: Vec<usize>,
    seed: u64,
}

impl Images for SplitImages<'_> {
    type Error = DatasetError;

    fn count(&self) -> usize {
        self.rows.len()
    }

    fn fill(
        &self,
        image: usize,
        (occasion, mirrored): (&str, bool),
        target: &mut [f32],
    ) -> Result<(), DatasetError> {
        let shown = Showing {
            seed: self.seed,
            view: occasion,
            draw: 0,
            mirrored,
        };
        target.copy_from_slice(&self.images.planes(self.rows[image], shown)?);
        Ok(())
    }
}

/// Trains and commits one network.
pub(super) fn run_pretrain(
    run: &Run<'_>,
    artifact: &PlannedArtifact,
    work: &Pretrain,
) -> Result<(), NodeError> {
    let started = Instant::now();
    let Some(mut writer) = run.begin(artifact)? else {
        return Ok(());
    };
    let Pretrain { node, model, .. } = work;
    let Some(denoising) = model.denoising() else {
        return Err(NodeError::Values("the model predicts no noise".into()));
    };
    let Some(trainable) = denoising.trainable() else {
        return Err(NodeError::Values("the model cannot be trained".into()));
    };
    let config = &node.training;
    let diffusion = denoising
        .process(&Respacing::All)
        .map_err(|error| NodeError::Values(error.to_string().into()))?;
    let Trainable {
        network,
        parameters,
    } = trainable.begin_training(config.seed, run.device, config.precision)?;
    let mut state = TrainerState::new(config, parameters, diffusion.steps());
    let checkpoints = run.store.checkpoints(&work.checkpoints);
    let (newest, damaged) = checkpoints.newest(config.steps);
    for path in damaged {
        let what = format!("{} is damaged and passed over", path.display());
        (run.emit)(Event::SetAside { what });
    }
    if let Some(newest) = newest {
        let stored = WeightMap::from_checked(newest.file.into())?;
        state.restore(config, stored, newest.step)?;
    }
    let _kept = RetainFreedMemory::begin();
    let resumed = state.step;
    (run.emit)(Event::PretrainStarted {
        label: artifact.label.clone(),
        steps: config.steps,
        done: resumed,
        batch_size: config.batch_size,
    });
    let images = split_images(run, work)?;
    let (input, device) = (model.input(), run.device);
    let mut trainer = Trainer::new(config, &*network, &diffusion, &images, input, device);
    while state.step < config.steps {
        if run.stop.is_given() {
            keep(&checkpoints, &state)?;
            return Err(NodeError::Stopped);
        }
        trainer.step(&mut state)?;
        let loss = state.curve.last().map(|point| point.loss);
        (run.emit)(Event::PretrainAdvanced {
            label: artifact.label.clone(),
            step: state.step,
            loss,
        });
        if state.step.is_multiple_of(node.checkpoint_every) || state.step == config.steps {
            keep(&checkpoints, &state)?;
        }
    }
    writer.write_table(CURVE, &curve(&state.curve)?)?;
    writer.write_bytes(
        PRETRAINED_WEIGHTS,
        &state.averages_to_bytes().map_err(unwritable)?,
    )?;
    let seconds = started.elapsed().as_secs_f64();
    let mut made = run.made(seconds);
    made.notes.insert(
        "steps of this run".to_owned(),
        (config.steps - resumed).to_string(),
    );
    writer.finish(made)?;
    (run.emit)(Event::PretrainFinished {
        label: artifact.label.clone(),
        images: u64::from(config.steps - resumed) * u64::from(config.batch_size),
        loss: state.curve.last().map(|point| point.loss),
        seconds,
    });
    Ok(())
}

fn split_images<'a>(run: &Run<'_>, work: &'a Pretrain) -> Result<SplitImages<'a>, NodeError> {
    let node = &work.node;
    let images = &work.images;
    let dataset = run
        .inputs
        .images(images, run.store, 0..images.facts.samples)?;
    let samples = dataset.manifest.samples.iter().enumerate();
    let rows = samples
        .filter(|(_, sample)| sample.split == node.split)
        .map(|(row, _)| row);
    Ok(SplitImages {
        rows: rows.collect(),
        seed: node.training.seed,
        images: ImageSource {
            dataset,
            preprocess: &node.preprocess,
            normalization: Normalization::default(),
            input: work.model.input(),
        },
    })
}

fn keep(checkpoints: &Checkpoints, state: &TrainerState) -> Result<(), NodeError> {
    let bytes = state.to_bytes().map_err(unwritable)?;
    Ok(checkpoints.write(state.step, &bytes)?)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the form that `map_err` wants"
)]
fn unwritable(error: safetensors::SafeTensorError) -> NodeError {
    NodeError::Values(format!("the weights cannot be written: {error}").into())
}

/// One row for each point: `step`, `loss`, `gradient_norm`, `learning_rate`.
fn curve(points: &[CurvePoint]) -> Result<RecordBatch, NodeError> {
    let numbers = |pick: fn(&CurvePoint) -> f32| -> ArrayRef {
        Arc::new(Float32Array::from_iter_values(points.iter().map(pick)))
    };
    let number = |name: &str| Field::new(name, DataType::Float32, false);
    let schema = Schema::new(vec![
        Field::new("step", DataType::Int64, false),
        number("loss"),
        number("gradient_norm"),
        number("learning_rate"),
    ]);
    let steps = points.iter().map(|point| i64::from(point.step));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(steps)),
        numbers(|point| point.loss),
        numbers(|point| point.gradient_norm),
        numbers(|point| point.learning_rate),
    ];
    Ok(RecordBatch::try_new(Arc::new(schema), columns)?)
}
