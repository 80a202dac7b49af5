//! One head: features from the store, training, predictions into the store.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};

use super::event::Event;
use super::run::Run;
use super::{NodeError, SKIPPED};
use crate::graph::{HeadNode, OnBadImage};
use crate::heads::FeatureShape;
use crate::plan::HeadStep;
use crate::store::{Begin, FeatureReader, Fingerprint};
use crate::trainer::{Epoch, Samples, train};

/// The splits of the features that were read last: heads that differ only in their seed share them.
#[derive(Default)]
pub(super) struct Loaded {
    key: Option<(Fingerprint, String, String)>,
    splits: Option<(Samples, Samples)>,
}

/// Trains and commits one head.
pub(super) fn run_head(
    run: &Run<'_>,
    step: &HeadStep,
    loaded: &mut Loaded,
) -> Result<(), NodeError> {
    let started = Instant::now();
    let node = &run.experiment.heads[step.head];
    let artifact = &step.artifact;
    let begun = run
        .store
        .begin(&artifact.recipe, &artifact.label, &mut |waiting| {
            run.wait(waiting)
        })?;
    let Begin::Writer(mut writer) = begun else {
        return Ok(());
    };
    loaded.read(run, node, step.features)?;
    let Some((train_split, test_split)) = &loaded.splits else {
        return Ok(());
    };
    let dataset = run.experiment.extractions[node.features].dataset;
    let classes = run.inputs.facts.datasets[dataset].classes.len();
    let outcome = train(
        &*node.head,
        &node.training,
        node.seed,
        classes,
        (train_split, test_split),
        &|| !run.stop.is_given(),
    )?;
    writer.write_table("curves", &curves(&outcome.epochs)?)?;
    writer.write_table("predictions", &outcome.predictions.to_batch()?)?;
    writer.write_bytes("head.safetensors", &outcome.weights)?;
    let seconds = started.elapsed().as_secs_f64();
    writer.finish(run.made(seconds))?;
    (run.emit)(Event::HeadFinished {
        label: step.artifact.label.clone(),
        train_loss: outcome
            .epochs
            .last()
            .map_or(f64::NAN, |epoch| epoch.train_loss),
        seconds,
    });
    Ok(())
}

impl Loaded {
    /// Reads the two splits of a head's features, unless the last head read the same.
    fn read(
        &mut self,
        run: &Run<'_>,
        node: &HeadNode,
        features: Fingerprint,
    ) -> Result<(), NodeError> {
        let key = (
            features,
            node.training.train_split.clone(),
            node.training.test_split.clone(),
        );
        if self.key.as_ref() == Some(&key) {
            return Ok(());
        }
        self.key = None;
        let reader = run.store.features(&features)?;
        let extraction = &run.experiment.extractions[node.features];
        let shape = run.experiment.feature_shape(extraction);
        let skip = run.experiment.extractions[node.features].on_bad_image == OnBadImage::Skip;
        let of_split = |split: &str| samples(run, &reader, split, skip, shape);
        self.splits = Some((
            of_split(&node.training.train_split)?,
            of_split(&node.training.test_split)?,
        ));
        self.key = Some(key);
        Ok(())
    }
}

/// The samples of one split, as 32-bit floats in memory.
fn samples(
    run: &Run<'_>,
    reader: &FeatureReader,
    split: &str,
    skip: bool,
    shape: FeatureShape,
) -> Result<Samples, NodeError> {
    let (mut ids, mut labels, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for part in reader.parts() {
        let width = part.width();
        let (wide, narrow) = (part.values_f32(), part.values_f16());
        for (row, ((id, row_split), label)) in
            part.ids().zip(part.splits()).zip(part.labels()).enumerate()
        {
            if row_split == SKIPPED && !skip {
                return Err(NodeError::Values(format!(
                    "image `{id}` did not decode when these features were made\n  hint: mend the image, or set `on_bad_image = \"skip\"`"
                )));
            }
            if row_split != split {
                continue;
            }
            ids.push(id.to_owned());
            labels.push(*label);
            let range = row * width..(row + 1) * width;
            if let Some(wide) = wide {
                values.extend_from_slice(&wide[range]);
            } else if let Some(narrow) = narrow {
                values.extend(narrow[range].iter().map(|value| value.to_f32()));
            }
        }
    }
    Ok(Samples::new(ids, labels, &values, shape, run.device))
}

/// One row for each epoch: `epoch`, `learning_rate`, `train_loss`, `train_top1`.
fn curves(epochs: &[Epoch]) -> Result<RecordBatch, NodeError> {
    let numbers = |pick: fn(&Epoch) -> f64| -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(epochs.iter().map(pick)))
    };
    let number = |name: &str| Field::new(name, DataType::Float64, false);
    let schema = Schema::new(vec![
        Field::new("epoch", DataType::Int64, false),
        number("learning_rate"),
        number("train_loss"),
        number("train_top1"),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(
            epochs.iter().map(|epoch| i64::from(epoch.epoch)),
        )),
        numbers(|epoch| epoch.learning_rate),
        numbers(|epoch| epoch.train_loss),
        numbers(|epoch| epoch.train_top1),
    ];
    Ok(RecordBatch::try_new(Arc::new(schema), columns)?)
}
