//! What a training of heads resumes from: a safetensors file with everything that changes, head by head.
//!
//! Each head's tensors stand under its name, so that a scan may resume with a part of the heads: those that a stopped run had
//! still to finish. Curves are tensors too, of six 64-bit numbers for each epoch.

use memmap2::Mmap;
use safetensors::SafeTensors;
use tch::{Device, Tensor};

use super::stack::Stack;
use super::{CheckpointStore, Epoch, TrainError};
use crate::checked_file::CheckedFile;
use crate::models::checkpoint::parameters::write_safetensors;
use crate::numbers::to_i64;

const CURVE: &str = "curve";
const COURSE: &str = "course";
/// Numbers of a row of the curve.
const COLUMNS: usize = 6;

/// A checkpoint that was opened. It is read as it is asked for, since that of a network may be as large as the memory.
pub(in crate::trainer) struct Stored {
    /// What had been done when it was written, as its writer counts.
    pub(in crate::trainer) count: u32,
    file: Mmap,
}

/// The newest checkpoint, if there is one.
pub(in crate::trainer) fn open(
    keep: &dyn CheckpointStore,
    at_most: u32,
) -> Result<Option<Stored>, TrainError> {
    let newest = keep.newest(at_most).map_err(TrainError::Checkpoint)?;
    newest.map(|(count, file)| read(count, &file)).transpose()
}

fn read(count: u32, file: &CheckedFile) -> Result<Stored, TrainError> {
    let path = file.path().display();
    let broken = |reason: String| TrainError::Checkpoint(format!("{path}: {reason}"));
    let file = file.map().map_err(|error| broken(error.to_string()))?;
    SafeTensors::deserialize(&file).map_err(|error| broken(error.to_string()))?;
    Ok(Stored { count, file })
}

/// Keeps tensors as a checkpoint.
pub(in crate::trainer) fn write(
    keep: &dyn CheckpointStore,
    count: u32,
    tensors: &[(String, Tensor)],
) -> Result<(), TrainError> {
    let named = || {
        tensors
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor.shallow_clone()))
    };
    keep.write(count, &mut |path| write_safetensors(path, named()))
}

/// Everything of some stacks that changes. `name` is that of a job's head.
pub(in crate::trainer) fn tensors<'n, 's, 'h: 's>(
    stacks: impl IntoIterator<Item = &'s Stack<'h>>,
    name: impl Fn(usize) -> &'n str,
) -> Vec<(String, Tensor)> {
    let mut tensors = Vec::new();
    for stack in stacks {
        for (tensor_name, stacked) in stack.tensors() {
            for (position, &job) in stack.jobs.iter().enumerate() {
                let own = stacked.select(0, to_i64(position));
                tensors.push((format!("{}/{tensor_name}", name(job)), own));
            }
        }
        for (position, &job) in stack.jobs.iter().enumerate() {
            let curve: Vec<f64> = stack.curves[position].iter().flat_map(row).collect();
            let (loss, epoch) = stack.best(position);
            let stopped = f64::from(u8::from(stack.stopped[position]));
            let course = [f64::from(stack.steps()), loss, f64::from(epoch), stopped];
            for (key, values) in [(CURVE, curve.as_slice()), (COURSE, &course)] {
                tensors.push((format!("{}/{key}", name(job)), Tensor::from_slice(values)));
            }
        }
    }
    tensors
}

impl Stored {
    /// Whether it holds a head.
    pub(in crate::trainer) fn has(&self, name: &str) -> bool {
        self.numbers(name, COURSE).is_some()
    }

    /// Puts a stack to where it was. `names` are those of its heads.
    pub(in crate::trainer) fn restore(
        &self,
        stack: &mut Stack<'_>,
        names: &[&str],
        device: Device,
    ) -> Result<(), TrainError> {
        let lacking = || TrainError::Checkpoint("a checkpoint lacks a part of a head".to_owned());
        let (mut curves, mut best, mut stopped, mut steps) = (vec![], vec![], vec![], 0);
        for name in names {
            let curve = self.numbers(name, CURVE).ok_or_else(lacking)?;
            let course = self.numbers(name, COURSE).ok_or_else(lacking)?;
            let &[made, loss, epoch, has_stopped] = course.as_slice() else {
                return Err(lacking());
            };
            curves.push(curve.chunks_exact(COLUMNS).map(epoch_of).collect());
            best.push((loss, whole(epoch)));
            stopped.push(has_stopped > 0.0);
            steps = whole(made);
        }
        let mut missing = false;
        let take = |tensor_name: &str, like: &Tensor| -> Tensor {
            let parts: Option<Vec<Tensor>> = names
                .iter()
                .map(|name| self.values(&format!("{name}/{tensor_name}")))
                .collect();
            let stacked = parts.map(|parts| Tensor::stack(&parts, 0));
            if let Some(stacked) = stacked.filter(|stacked| stacked.numel() == like.numel()) {
                stacked.view(like.size().as_slice()).to_device(device)
            } else {
                missing = true;
                like.detach().copy()
            }
        };
        stack.restore(steps, take, curves, best, stopped);
        if missing { Err(lacking()) } else { Ok(()) }
    }

    /// A tensor of one head, flat.
    pub(in crate::trainer) fn values(&self, key: &str) -> Option<Tensor> {
        let file = SafeTensors::deserialize(&self.file).ok()?;
        let view = file.tensor(key).ok()?;
        let values: Vec<f32> = view
            .data()
            .chunks_exact(4)
            .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
            .collect();
        Some(Tensor::from_slice(&values))
    }

    pub(in crate::trainer) fn numbers(&self, name: &str, key: &str) -> Option<Vec<f64>> {
        let file = SafeTensors::deserialize(&self.file).ok()?;
        let view = file.tensor(&format!("{name}/{key}")).ok()?;
        let chunks = view.data().chunks_exact(8);
        let number = |bytes: &[u8]| bytes.try_into().ok().map(f64::from_le_bytes);
        chunks.map(number).collect()
    }
}

fn row(epoch: &Epoch) -> [f64; COLUMNS] {
    [
        f64::from(epoch.epoch),
        epoch.learning_rate,
        epoch.train_loss,
        epoch.train_top1,
        epoch.holdout_loss.unwrap_or(f64::NAN),
        epoch.holdout_top1.unwrap_or(f64::NAN),
    ]
}

fn epoch_of(row: &[f64]) -> Epoch {
    let held = |value: f64| (!value.is_nan()).then_some(value);
    Epoch {
        epoch: whole(row[0]),
        learning_rate: row[1],
        train_loss: row[2],
        train_top1: row[3],
        holdout_loss: held(row[4]),
        holdout_top1: held(row[5]),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what was a u32 before it was written"
)]
fn whole(value: f64) -> u32 {
    value as u32
}
