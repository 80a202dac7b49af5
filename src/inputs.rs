//! Opening what an experiment reads: datasets and weights.
//!
//! [`open`] needs all of it and names everything that is missing, and the store remembers what it was. [`survey`] takes what is missing
//! to be what it was when it was last read; for a plan it may also be as large as it was published.

mod generated;
mod imported;
mod memory;
mod moments;
mod passed_over;
mod published;
mod source;
mod survey;
mod warnings;
mod weights;

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::checked_blocks::CheckedBlocks;
use crate::datasets::{
    Dataset, DatasetError, Digester, Environment, OpenDataset, Scratch, WriteContent,
};
use crate::graph::Experiment;
use crate::message::Hint;
use crate::metrics::GivenMoments;
use crate::plan::{DatasetFacts, Facts};
use crate::store::{self, Memo, Store, StoreError};
use crate::warning::Warning;
use memory::Memory;

pub use generated::made_image;
pub use memory::{class_names, subjects};
pub use source::{ImageSource, Showing};
pub use survey::{Otherwise, Surveyed, survey};

/// Why an input cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// A dataset that cannot be opened.
    #[error("dataset `{name}`: {source}")]
    Dataset {
        /// The dataset's name in the experiment.
        name: String,
        /// What is wrong with the dataset.
        source: DatasetError,
    },
    /// A model's weights.
    #[error("weights of model `{name}`: {source}")]
    Weights {
        /// The model's name.
        name: String,
        /// What is wrong with the file of weights.
        source: DatasetError,
    },
    /// A file of moments that a metric reads.
    #[error("statistics of metric `{name}`: {source}")]
    Moments {
        /// The metric's name.
        name: String,
        /// What is wrong with the file.
        source: DatasetError,
    },
    /// Features that were computed elsewhere.
    #[error("features of model `{name}`: {source}")]
    Features {
        /// The model's name.
        name: String,
        /// What is wrong with their files, or why they do not fit a dataset.
        source: DatasetError,
    },
}

impl InputError {
    /// What is wrong with the files.
    pub fn reason(&self) -> &DatasetError {
        let (Self::Dataset { source, .. }
        | Self::Weights { source, .. }
        | Self::Moments { source, .. }
        | Self::Features { source, .. }) = self;
        source
    }
}

impl Hint for InputError {
    fn hint(&self) -> Option<String> {
        self.reason().hint()
    }
}

/// Every input of an experiment that cannot be opened; at least one.
#[derive(Debug, thiserror::Error)]
#[error("{}", listed(.0))]
pub struct InputErrors(pub Vec<InputError>);

/// One error as it is; several below one another.
fn listed(errors: &[InputError]) -> String {
    if let [one] = errors {
        return one.explain().to_string();
    }
    let mut text = format!("{} inputs cannot be opened", errors.len());
    for error in errors {
        text.extend(["\n  ", &error.explain().to_string().replace('\n', "\n  ")]);
    }
    text
}

/// The inputs of an experiment.
pub struct Inputs {
    /// One for each dataset of the experiment; `None` for images that a run makes, and where a survey found it not to be on disk.
    datasets: Vec<Option<Arc<OpenDataset>>>,
    /// What the planner has to know.
    pub facts: Facts,
    /// The files of moments that metrics read, by their paths as they are typed; without those that a survey did not find.
    moments: BTreeMap<PathBuf, GivenMoments>,
    /// What looks wrong with them.
    warnings: Vec<Warning>,
}

/// Content digests through the store's memo: a file is read again only when its size or its times changed.
struct MemoDigester {
    memo: Memo,
}

impl Digester for MemoDigester {
    fn digest_file(&self, path: &Path) -> Result<String, DatasetError> {
        in_hexadecimal(path, self.memo.digest_file(path))
    }

    fn digest_range(&self, path: &Path, range: Range<u64>) -> Result<String, DatasetError> {
        in_hexadecimal(path, self.memo.digest_range(path, range))
    }

    fn digest_parts(
        &self,
        path: &Path,
        question: &str,
        parts: usize,
        compute: &mut dyn FnMut() -> Result<Vec<[u8; 32]>, DatasetError>,
    ) -> Result<Vec<[u8; 32]>, DatasetError> {
        let digests = self.memo.digest_parts(path, question, parts, compute);
        digests.map_err(|error| told(path, error))?
    }
}

fn in_hexadecimal(
    path: &Path,
    digest: Result<[u8; 32], StoreError>,
) -> Result<String, DatasetError> {
    digest
        .map(|digest| blake3::Hash::from_bytes(digest).to_hex().to_string())
        .map_err(|error| told(path, error))
}

fn told(path: &Path, error: StoreError) -> DatasetError {
    match error {
        StoreError::Io { source, .. } => DatasetError::io(
            path,
            source,
            "check the path; it is relative to the folder that `repro` runs in",
        ),
        other => DatasetError::Selection(other.to_string().into()),
    }
}

/// Keeps what is made of archives in the store, and reports what takes long.
struct StoreScratch<'a> {
    files: store::Scratch,
    tell: &'a (dyn Fn(&str) + Sync),
}

impl Scratch for StoreScratch<'_> {
    fn find(&self, family: &str, name: &str) -> Option<PathBuf> {
        self.files.find(family, name)
    }

    fn keep(&self, family: &str, name: &str, write: WriteContent<'_>) -> io::Result<PathBuf> {
        self.files.keep(family, name, write)
    }

    fn find_blocks(&self, family: &str, name: &str) -> io::Result<Option<CheckedBlocks>> {
        self.files.find_blocks(family, name)
    }

    fn keep_blocks(
        &self,
        family: &str,
        name: &str,
        write: WriteContent<'_>,
    ) -> io::Result<CheckedBlocks> {
        self.files.keep_blocks(family, name, write)
    }

    fn set_aside(&self, path: &Path, reason: &str) -> io::Result<()> {
        let aside = self
            .files
            .set_aside(path, reason)
            .map_err(io::Error::other)?;
        let (path, aside) = (path.display(), aside.display());
        (self.tell)(&format!(
            "set aside: {path} {reason}; it lies in {aside} now"
        ));
        Ok(())
    }

    fn tell(&self, message: &str) {
        (self.tell)(message);
    }
}

/// What datasets are opened with: paths, digests and what is made of archives.
pub struct Reading<'a> {
    base: &'a Path,
    store: Store,
    digester: MemoDigester,
    scratch: StoreScratch<'a>,
}

impl<'a> Reading<'a> {
    /// `base` is the folder that relative paths start from; `store` remembers digests and what is made of archives, where it can
    /// be written; `tell` is called with what takes long.
    pub fn new(base: &'a Path, store: &Store, tell: &'a (dyn Fn(&str) + Sync)) -> Self {
        Self {
            base,
            store: store.clone(),
            digester: MemoDigester { memo: store.memo() },
            scratch: StoreScratch {
                files: store.archives(),
                tell,
            },
        }
    }

    /// As datasets take it.
    pub fn environment(&self) -> Environment<'_> {
        Environment {
            base: self.base,
            digester: &self.digester,
            scratch: &self.scratch,
        }
    }
}

impl Reading<'_> {
    /// What the store remembers of an experiment's inputs.
    fn memory<'r>(&'r self, experiment: &'r Experiment) -> Memory<'r> {
        Memory {
            experiment,
            memo: &self.digester.memo,
            environment: self.environment(),
        }
    }
}

/// What became of one dataset.
enum Opened {
    /// It is there.
    Here(Arc<OpenDataset>),
    /// It could not be opened.
    Failed(DatasetError),
    /// It is made from a dataset that could not be opened.
    Waiting,
    /// A run makes its images.
    Made,
}

/// Opens the datasets that can be opened, in the order of the experiment.
fn open_datasets(experiment: &Experiment, environment: &Environment<'_>) -> Vec<Opened> {
    let mut all: Vec<Opened> = Vec::new();
    for node in &experiment.datasets {
        if node.samples.is_some() {
            all.push(Opened::Made);
            continue;
        }
        let upstream = match node.upstream.and_then(|index| all.get(index)) {
            None => None,
            Some(Opened::Here(open)) => Some(Arc::clone(open)),
            Some(Opened::Failed(_) | Opened::Waiting | Opened::Made) => {
                all.push(Opened::Waiting);
                continue;
            }
        };
        all.push(match opened(&*node.dataset, environment, upstream) {
            Ok(open) => Opened::Here(Arc::new(open)),
            Err(error) => Opened::Failed(error),
        });
    }
    all
}

/// Opens a dataset. Where what was unpacked of an archive is found damaged, it is set aside and unpacked again.
fn opened(
    dataset: &dyn Dataset,
    environment: &Environment<'_>,
    upstream: Option<Arc<OpenDataset>>,
) -> Result<OpenDataset, DatasetError> {
    match dataset.open(environment, upstream.clone()) {
        Err(DatasetError::Unpacked { path, reason }) => {
            let set_aside = environment.scratch.set_aside(&path, &reason);
            set_aside.map_err(|source| DatasetError::io(&path, source, &reason))?;
            dataset.open(environment, upstream)
        }
        other => other,
    }
}

/// What the planner has to know of a dataset that is there.
fn facts_of(open: &OpenDataset) -> DatasetFacts {
    DatasetFacts {
        digest: open.manifest.digest().to_owned(),
        samples: open.manifest.samples.len(),
        splits: open.manifest.splits(),
        classes: open.manifest.classes.clone(),
    }
}

fn dataset_error(name: &str, source: DatasetError) -> InputError {
    InputError::Dataset {
        name: name.to_owned(),
        source,
    }
}

/// Opens everything that the experiment reads, and notes what it was. `base` is the folder that relative paths start from; `store` remembers digests and
/// what is made of archives; `tell` is called with what takes long.
///
/// # Errors
/// Every input that is missing or malformed, by name.
pub fn open(
    experiment: &Experiment,
    base: &Path,
    store: &Store,
    tell: &(dyn Fn(&str) + Sync),
) -> Result<Inputs, InputErrors> {
    let reading = Reading::new(base, store, tell);
    let environment = reading.environment();
    let (mut datasets, mut facts, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    let memory = reading.memory(experiment);
    let opened = open_datasets(experiment, &environment);
    memory.keep_datasets(&opened);
    for (node, opened) in experiment.datasets.iter().zip(opened) {
        match opened {
            Opened::Here(open) => {
                facts.push(Some(facts_of(&open)));
                datasets.push(Some(open));
            }
            Opened::Failed(source) => errors.push(dataset_error(&node.name, source)),
            Opened::Waiting => {}
            Opened::Made => {
                facts.push(None);
                datasets.push(None);
            }
        }
    }
    let mut weights = Vec::new();
    for node in &experiment.models {
        match weights::identify(node, &reading) {
            Ok(identity) => {
                memory.keep_weights(node, identity.as_deref());
                weights.push(identity);
            }
            Err(source) => weights::add_error(&mut errors, node, source),
        }
    }
    if errors.is_empty() {
        imported::check(experiment, &datasets, &reading, &mut errors);
    }
    let (moments, missing) = moments::read(experiment, base);
    errors.extend(missing);
    if !errors.is_empty() {
        return Err(InputErrors(errors));
    }
    let warnings = warnings::of(experiment, &datasets, base);
    Ok(Inputs {
        datasets,
        facts: Facts {
            datasets: facts,
            weights,
            moments: moments::digests(&moments),
        },
        moments,
        warnings,
    })
}
