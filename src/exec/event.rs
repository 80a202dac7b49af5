//! What happens during a run, as one typed stream. Progress bars, plain lines, the JSON log and the run record read it.

use serde::Serialize;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A run begins, after it was planned.
    RunStarted {
        /// The experiment's name.
        experiment: String,
        /// The devices of the run's workers.
        device: String,
        /// Passes that will run.
        passes: usize,
        /// Images through networks.
        images: u64,
        /// Heads to train.
        heads: usize,
        /// Images to make out of noise; those that are committed do not count.
        sampled_images: u64,
        /// Floating-point operations of these, two for each multiply-add.
        sampling_operations: f64,
        /// Seconds that these are expected to take on one device; `None` where nothing comparable was measured here.
        expected_sampling_seconds: Option<f64>,
    },
    /// Where a run, or one job of a plan, comes from.
    RunOrigin {
        /// The experiment's name.
        experiment: String,
        /// The command, as it is typed in the folder of the project.
        command: String,
        /// The commit that the project's git repository is at; `None` where there is no repository or no git.
        revision: Option<String>,
        /// Whether files that git tracks differ from that commit.
        is_changed: bool,
        /// The user's name on that machine.
        user: Option<String>,
        /// The machine's name.
        host: Option<String>,
        /// The version of this program.
        version: String,
    },
    /// Artifacts that a run wants, whether they are there or not; a plan with many is told in several events.
    Wanted {
        /// The first digits of their fingerprints.
        artifacts: Vec<String>,
    },
    /// Something in the experiment or its inputs looks like a slip.
    Warned {
        /// Stable code, such as `graph::unused`.
        code: String,
        /// The experiment file, line and column, each from 1; `None` for what is not in the file.
        place: Option<String>,
        /// What looks wrong.
        message: String,
        /// A lower-case fragment that may follow `hint: `.
        hint: Option<String>,
    },
    /// A dataset was opened.
    DatasetOpened {
        /// The dataset's name in the experiment.
        dataset: String,
        /// How many samples it has, over all splits.
        samples: usize,
        /// Its manifest digest, BLAKE3 in hexadecimal.
        digest: String,
    },
    /// Another process makes an artifact that is needed; this one waits.
    Waiting {
        /// The label of the artifact that is waited for.
        label: String,
        /// Who makes it.
        holder: String,
    },
    /// Something damaged was moved aside.
    SetAside {
        /// What and why.
        what: String,
    },
    /// Artifacts came from a remote.
    Transferred {
        /// The job's name.
        job: String,
        /// The address of the remote.
        remote: String,
        /// How many artifacts are here now that were not.
        artifacts: usize,
        /// Size of their files.
        bytes: u64,
        /// Seconds by the clock, at least 0.
        seconds: f64,
    },
    /// An artifact could not be brought from a remote; it is made here.
    NotBrought {
        /// The artifact's label.
        label: String,
        /// Why, with its hint.
        error: String,
    },
    /// Artifacts were put into a remote at the end of a run.
    Pushed {
        /// The address of the remote.
        remote: String,
        /// How many are there now that were not.
        artifacts: usize,
        /// Bytes that were sent.
        bytes: u64,
    },
    /// The training of a network begins.
    PretrainStarted {
        /// The label of the artifact that is made.
        label: String,
        /// Steps in all.
        steps: u32,
        /// Steps that were made before.
        done: u32,
        /// Images a step.
        batch_size: u32,
    },
    /// A training made a step.
    PretrainAdvanced {
        /// The label of the artifact that is made.
        label: String,
        /// Steps that were made.
        step: u32,
        /// The loss by the last point of the curve.
        loss: Option<f32>,
    },
    /// A network is trained.
    PretrainFinished {
        /// The label of the artifact that is made.
        label: String,
        /// Images that this run saw.
        images: u64,
        /// The loss by the last point of the curve.
        loss: Option<f32>,
        /// Seconds by the clock, at least 0.
        seconds: f64,
    },
    /// Samples begin.
    SamplesStarted {
        /// The label of the artifact that is made.
        label: String,
        /// Images that will be made.
        images: usize,
        /// Images that are committed already.
        committed: usize,
        /// Images through the network, over all steps.
        forwards: usize,
    },
    /// Images of samples went through the network, one step back.
    SamplesAdvanced {
        /// The label of the artifact that is made.
        label: String,
        /// Images of this batch, each one step further.
        images: usize,
    },
    /// Samples are made.
    SamplesFinished {
        /// The label of the artifact that is made.
        label: String,
        /// Images that this run made; those of earlier runs do not count.
        images: usize,
        /// Seconds by the clock, at least 0.
        seconds: f64,
    },
    /// A pass begins.
    PassStarted {
        /// Its number, from 1.
        pass: usize,
        /// What it runs.
        label: String,
        /// Images that it will run.
        images: usize,
        /// Images whose features are committed already.
        committed: usize,
        /// How many blocks are read from the pass.
        taps: usize,
    },
    /// Images of a pass went through the network.
    PassAdvanced {
        /// Its number, from 1.
        pass: usize,
        /// Images of this batch, those that were left out included.
        images: usize,
    },
    /// A shard is on the disk.
    ShardCommitted {
        /// The job's name.
        job: String,
        /// The shard, from 0.
        shard: usize,
    },
    /// An image did not decode and was left out.
    ImageSkipped {
        /// The image's id in its dataset.
        id: String,
        /// What the decoder reported.
        reason: String,
    },
    /// A pass is done.
    PassFinished {
        /// Its number, from 1.
        pass: usize,
        /// Images that ran.
        images: usize,
        /// Seconds by the clock, at least 0.
        seconds: f64,
        /// Time spent decoding, cropping and adding noise, beside the network.
        prepare_seconds: f64,
        /// Time spent in the network.
        forward_seconds: f64,
        /// Time spent writing features, beside the network.
        write_seconds: f64,
    },
    /// Features that were computed elsewhere are in the cache.
    ImportFinished {
        /// What was imported.
        label: String,
        /// Rows that were read.
        rows: usize,
        /// Seconds by the clock, at least 0.
        seconds: f64,
    },
    /// Memory ran out; the job continues with smaller batches.
    BatchHalved {
        /// The job's name.
        job: String,
        /// Images that run at once from now on.
        images: usize,
    },
    /// Work that had begun ends without being done. Its nodes say why, unless the user stopped it.
    Abandoned {
        /// What was given up.
        work: Working,
    },
    /// Training begins.
    HeadsStarted {
        /// Heads to train.
        heads: usize,
    },
    /// Heads that train together have done another epoch.
    HeadsAdvanced {
        /// The label of the first of these heads.
        label: String,
        /// How many heads train together.
        heads: usize,
        /// Epochs that are done.
        epoch: u32,
        /// Epochs in all.
        epochs: u32,
    },
    /// Images went through the network of heads that are trained on what it makes of them now.
    ImagesSeen {
        /// The label of the first of these heads.
        label: String,
        /// The epoch, from 1.
        epoch: u32,
        /// Epochs in all.
        epochs: u32,
        /// Images of the epoch that were seen.
        images: usize,
        /// Images of an epoch.
        of: usize,
    },
    /// The fit of a head ended before its gradient was as short as asked for.
    FitNotConverged {
        /// The head's label.
        label: String,
        /// Iterations that were made.
        iterations: usize,
        /// The largest absolute value in the last gradient.
        gradient: f64,
        /// What would have ended the fit.
        tolerance: f64,
    },
    /// A head is trained.
    HeadFinished {
        /// The label of the head's artifact.
        label: String,
        /// The loss of its last epoch, in nats; `None` for a head that is fitted full-batch.
        train_loss: Option<f64>,
        /// Seconds by the clock, at least 0.
        seconds: f64,
    },
    /// All heads are trained.
    HeadsFinished {
        /// Heads that were trained.
        heads: usize,
        /// Seconds by the clock, at least 0.
        seconds: f64,
    },
    /// A metric is kept of some of what it reads, because the rest could not be made.
    MetricOverSome {
        /// The metric's name.
        label: String,
        /// How many heads, choices or sets of features are scored.
        scored: usize,
        /// Of how many.
        of: usize,
    },
    /// A metric is computed.
    MetricFinished {
        /// The label of the metric's artifact.
        label: String,
        /// Rows of results.
        results: usize,
    },
    /// The report was written because it differs from what was there.
    ReportWritten {
        /// The Markdown file, as `output` of the experiment has it.
        path: String,
        /// How many other files were rendered with it.
        files: usize,
    },
    /// A node failed; what does not need it continues.
    NodeFailed {
        /// The label of the artifact that was not made; `report` for the report.
        label: String,
        /// The first digits of its fingerprint; empty for the report.
        fingerprint: String,
        /// The error and its hint, as text.
        error: String,
    },
    /// A run ends, whether it succeeded or not.
    RunFinished {
        /// Whether everything was there already.
        nothing_to_do: bool,
        /// Whether the user stopped it.
        stopped: bool,
        /// Whether it ended because the disk of the cache is full.
        disk_full: bool,
        /// Damaged artifacts were moved aside, and another run follows to make them again.
        again: bool,
        /// How many nodes failed, the report included.
        failed: usize,
        /// How many artifacts were not made because of that.
        unmade: usize,
        /// Seconds by the clock, at least 0.
        seconds: f64,
    },
}

/// Work that takes a while, beside other work where there are several workers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Working {
    /// The training of a network, by its label.
    Pretrain(String),
    /// Samples, by their label.
    Samples(String),
    /// A pass, by its number from 1.
    Pass(usize),
    /// All heads.
    Heads,
}

/// Takes events. Called from several threads.
pub type Emit<'a> = &'a (dyn Fn(Event) + Sync);
