//! Opening what an experiment reads: datasets and weights.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::datasets::{DatasetError, Digester, Environment, OpenDataset, Scratch, WriteContent};
use crate::graph::Experiment;
use crate::models::WeightsSource;
use crate::plan::{DatasetFacts, Facts};
use crate::store::{self, Memo, Store, StoreError};

/// Why an input cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// A dataset.
    #[error("dataset `{name}`: {source}")]
    Dataset {
        /// Its name.
        name: String,
        /// Why.
        source: DatasetError,
    },
    /// A model's weights.
    #[error("weights of model `{name}`: {source}")]
    Weights {
        /// The model's name.
        name: String,
        /// Why.
        source: DatasetError,
    },
}

/// The opened inputs of an experiment.
pub struct Inputs {
    /// One for each dataset of the experiment.
    pub datasets: Vec<Arc<OpenDataset>>,
    /// What the planner has to know.
    pub facts: Facts,
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
        other => DatasetError::Selection(other.to_string()),
    }
}

/// Keeps what is made of archives in the store, and tells what takes long.
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

    fn tell(&self, message: &str) {
        (self.tell)(message);
    }
}

/// What datasets are opened with: paths, digests and what is made of archives.
pub struct Reading<'a> {
    base: &'a Path,
    digester: MemoDigester,
    scratch: StoreScratch<'a>,
}

impl<'a> Reading<'a> {
    /// `base` is the folder that relative paths start from; `store` remembers digests and what is made of archives, where it can
    /// be written; `tell` hears of what takes long.
    pub fn new(base: &'a Path, store: &Store, tell: &'a (dyn Fn(&str) + Sync)) -> Self {
        Self {
            base,
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

/// Opens everything that the experiment reads. `base` is the folder that relative paths start from; `store` remembers digests and
/// what is made of archives; `tell` hears of what takes long.
///
/// # Errors
/// The first input that is missing or malformed, by name.
pub fn open(
    experiment: &Experiment,
    base: &Path,
    store: &Store,
    tell: &(dyn Fn(&str) + Sync),
) -> Result<Inputs, InputError> {
    let reading = Reading::new(base, store, tell);
    let environment = reading.environment();
    let mut datasets: Vec<Arc<OpenDataset>> = Vec::new();
    let mut facts = Vec::new();
    for node in &experiment.datasets {
        let upstream = node.upstream.and_then(|index| datasets.get(index).cloned());
        let open = node
            .dataset
            .open(&environment, upstream)
            .map_err(|source| InputError::Dataset {
                name: node.name.clone(),
                source,
            })?;
        facts.push(DatasetFacts {
            digest: open.manifest.digest().to_owned(),
            samples: open.manifest.samples.len(),
            splits: open.manifest.splits(),
            classes: open.manifest.classes.clone(),
        });
        datasets.push(Arc::new(open));
    }
    let mut weights = Vec::new();
    for node in &experiment.models {
        weights.push(match node.model.weights() {
            WeightsSource::Pretrained(_) => None,
            WeightsSource::Synthetic(seed) => Some(format!("synthetic:{seed}")),
            WeightsSource::None => Some("none".to_owned()),
            WeightsSource::File(path) => {
                let path = base.join(path);
                let digest = environment.digester.digest_file(&path).map_err(|source| {
                    InputError::Weights {
                        name: node.name.clone(),
                        source,
                    }
                })?;
                Some(format!("blake3:{digest}"))
            }
        });
    }
    Ok(Inputs {
        datasets,
        facts: Facts {
            datasets: facts,
            weights,
        },
    })
}
