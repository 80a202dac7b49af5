//! What a job costs besides its [`Cost`](super::Cost): all that goes through a network, trainings included, and what it reads.

use std::sync::Arc;

use super::step::{ModelUse, Step, Work};
use super::{Extract, Job, Pass, Plan};

/// A forward and a backward pass cost about three forward ones.
const TRAINING: u64 = 3;

impl Plan {
    /// Multiply-adds of what a job has yet to do, up to the largest that there is room for: those of networks, three times where they are
    /// trained, and those of heads, as if each were a linear layer. None of a metric.
    pub fn multiply_adds(&self, job: &Job) -> u64 {
        if job.shards.is_some() {
            return job.cost.multiply_adds;
        }
        let steps = job.steps.iter().map(|&id| of_step(self.step(id)));
        steps.fold(0, u64::saturating_add)
    }

    /// Bytes of the features that a job reads, each set once, as 32-bit numbers; of a job that can be cut those that one shard leaves.
    pub fn feature_bytes(&self, job: &Job) -> u64 {
        if let Some(shards) = job.shards {
            let pass = Pass::of(self, job);
            let whole = pass.map_or(job.cost.bytes, |pass| pass.feature_bytes());
            return whole / (shards as u64).max(1);
        }
        let mut seen: Vec<&Arc<Extract>> = Vec::new();
        for &id in &job.steps {
            if let Some(train) = trained(self.step(id)) {
                let joined = train.joined.iter().map(|joined| &joined.trained);
                for extract in std::iter::once(&train.trained).chain(joined) {
                    if !seen
                        .iter()
                        .any(|one| one.fingerprint == extract.fingerprint)
                    {
                        seen.push(extract);
                    }
                }
            }
        }
        let bytes = seen.into_iter().map(|extract| 4 * values(extract));
        bytes.fold(0, u64::saturating_add)
    }
}

/// The head that a step trains, or one of those that a choice is among.
fn trained(step: &Step) -> Option<&super::Train> {
    match &step.work {
        Work::Train(train) => Some(train),
        Work::Refit(refit) => refit.choice.heads.first().map(|head| &*head.train),
        _ => None,
    }
}

/// Numbers in a set of features.
fn values(extract: &Extract) -> u64 {
    extract.shape.values() as u64 * extract.samples() as u64
}

/// Multiply-adds of an image through all of a network.
fn of_image(model: &ModelUse) -> u64 {
    model
        .model
        .blocks()
        .last()
        .map_or(0, |block| block.multiply_adds)
}

fn of_step(step: &Step) -> u64 {
    match &step.work {
        Work::Pretrain(work) => {
            let training = &work.node.training;
            let images = u64::from(training.steps) * u64::from(training.batch_size);
            let blocks = work.model.blocks();
            let of_image = blocks.last().map_or(0, |block| block.multiply_adds);
            images.saturating_mul(of_image).saturating_mul(TRAINING)
        }
        Work::Train(_) | Work::Refit(_) => {
            let Some(train) = trained(step) else { return 0 };
            let network = train
                .forwards
                .saturating_mul(of_image(&train.trained.model))
                .saturating_mul(TRAINING);
            let read = values(&train.trained).saturating_mul(train.node.training.epochs.into());
            let head = read.saturating_mul(train.classes().max(1) as u64);
            network.saturating_add(head.saturating_mul(TRAINING))
        }
        Work::Sample(_) | Work::Extract(_) | Work::Evaluate(_) => 0,
    }
}
