//! One head that is trained with the network below it.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::fresh::{FreshImages, images_at_once};
use super::{OneHead, StoredCheckpoints, commit};
use crate::checked_file::CheckedFile;
use crate::exec::NodeError;
use crate::exec::context::Run;
use crate::exec::event::Event;
use crate::exec::weights::loadable;
use crate::machine::device::Device;
use crate::machine::memory::RetainFreedMemory;
use crate::models::checkpoint::parameters::write_safetensors;
use crate::plan::PassKey;
use crate::trainer::TrainError;
use crate::trainer::fine_tuning::{Task, Watch, fine_tune};
use crate::trainer::heads::{CheckpointStore, Job, WriteTo};

/// The file of the trained network, beside that of the head. It can be given to a model as its weights.
const NETWORK: &str = "network.safetensors";

/// Checkpoints may take this share of the time.
const SHARE_OF_TIME: u32 = 20;

/// The backward pass needs the feature maps within a block several times over.
const SHARE_OF_BATCH_ON_GPU: usize = 4;

/// Trains and commits one head and its network.
pub(in crate::exec::jobs) fn run_tuned(run: &Run<'_>, head: OneHead<'_>) -> Result<(), NodeError> {
    let OneHead {
        artifact,
        train: work,
        ..
    } = head;
    let started = Instant::now();
    let Some(mut writer) = run.begin(artifact)? else {
        return Ok(());
    };
    let (node, extract) = (&work.node, &*work.features);
    let extraction = &extract.node;
    let model = loadable(run, &extract.model)?;
    let (Some(fine_tuning), Some(tunable)) = (node.training.fine_tune, model.tunable()) else {
        return Err(NodeError::bug("a model that has nothing to train is tuned"));
    };
    let [train_key, test_key, held_out_key] =
        [&work.trained, &work.features, &work.held_out].map(|extract| PassKey::of(extract));
    let training = &node.training;
    let train = FreshImages::new(run, extract, &train_key, &training.train_split)?;
    let judged = FreshImages::new(run, extract, &held_out_key, &training.train_split)?;
    let test = FreshImages::new(run, extract, &test_key, &training.test_split)?;
    let mut tuned = tunable.begin_tuning(
        run.base,
        run.device,
        extraction.precision,
        extraction.block,
        fine_tuning.checkpointing,
    )?;
    let _kept_maps = RetainFreedMemory::begin();
    let at_once = match images_at_once(run, extract) {
        images if run.device == Device::Cpu || extraction.batch_size.is_some() => images,
        images => (images / SHARE_OF_BATCH_ON_GPU).max(1),
    };
    let name = artifact.fingerprint.to_string();
    let classes = work.classes();
    let task = Task {
        job: Job {
            head: &*node.head,
            training: &node.training,
            seed: node.seed,
            name: &name,
        },
        fine_tuning,
        train: &train,
        judged: &judged,
        test: &test,
        input: model.input(),
        timestep: extraction
            .timestep
            .ok_or_else(|| NodeError::bug("a network without noise is tuned"))?,
        shape: extract.shape,
        classes,
        at_once,
        device: run.device,
    };
    let kept = Paced {
        kept: StoredCheckpoints(run.store.checkpoints(&artifact.recipe)),
        last: Cell::new(Instant::now()),
        took: Cell::new(Duration::ZERO),
    };
    let watch = Watch {
        keep_going: &|| !run.stop.is_given(),
        advanced: &|epoch, images, of| {
            (run.emit)(Event::ImagesSeen {
                label: artifact.label.clone(),
                epoch,
                epochs: node.training.epochs,
                images,
                of,
            });
        },
        checkpoint_due: &|| kept.is_due(run.checkpoint_seconds),
    };
    let outcome = match fine_tune(&task, &mut tuned, &watch, &kept) {
        Err(TrainError::Stopped) => return Err(NodeError::Stopped),
        outcome => outcome?,
    };
    let parameters = [&tuned.trained, &tuned.untouched];
    writer.write_by_path(NETWORK, &mut |path| {
        let named = parameters
            .iter()
            .flat_map(|part| part.names().iter().zip(part.tensors()));
        write_safetensors(path, named.map(|(name, tensor)| (name, tensor.detach())))
    })?;
    let seconds = started.elapsed().as_secs_f64();
    commit(run, &head, writer, &outcome, classes, seconds)?;
    kept.kept.0.clear()?;
    Ok(())
}

/// Checkpoints that are written as often as their size allows: that of a large network takes long.
struct Paced {
    kept: StoredCheckpoints,
    last: Cell<Instant>,
    took: Cell<Duration>,
}

impl Paced {
    fn is_due(&self, at_least: f64) -> bool {
        let pause = (self.took.get() * SHARE_OF_TIME).as_secs_f64();
        self.last.get().elapsed().as_secs_f64() >= pause.max(at_least)
    }
}

impl CheckpointStore for Paced {
    fn newest(&self, at_most: u32) -> Result<Option<(u32, CheckedFile)>, String> {
        self.kept.newest(at_most)
    }

    fn write(&self, count: u32, write: WriteTo<'_>) -> Result<(), TrainError> {
        let since = Instant::now();
        self.kept.write(count, write)?;
        self.took.set(since.elapsed());
        self.last.set(Instant::now());
        Ok(())
    }
}
