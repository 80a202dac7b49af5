//! Opening what an experiment reads: datasets and weights.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::datasets::{DatasetError, Digester, OpenDataset};
use crate::graph::Experiment;
use crate::models::WeightsSource;
use crate::plan::{DatasetFacts, Facts};
use crate::store::{Memo, StoreError};

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
pub struct MemoDigester {
    memo: Memo,
}

impl MemoDigester {
    /// A digester over a memo.
    pub fn new(memo: Memo) -> Self {
        Self { memo }
    }
}

impl Digester for MemoDigester {
    fn digest_file(&self, path: &Path) -> Result<String, DatasetError> {
        let digest = self.memo.digest_file(path);
        digest.map(hexadecimal).map_err(|error| told(path, error))
    }

    fn digest_range(&self, path: &Path, range: Range<u64>) -> Result<String, DatasetError> {
        let digest = self.memo.digest_range(path, range);
        digest.map(hexadecimal).map_err(|error| told(path, error))
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

fn hexadecimal(digest: [u8; 32]) -> String {
    blake3::Hash::from_bytes(digest).to_hex().to_string()
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

/// Opens everything that the experiment reads; `base` is the folder that relative paths start from.
///
/// # Errors
/// The first input that is missing or malformed, by name.
pub fn open(
    experiment: &Experiment,
    base: &Path,
    digester: &dyn Digester,
) -> Result<Inputs, InputError> {
    let mut datasets: Vec<Arc<OpenDataset>> = Vec::new();
    let mut facts = Vec::new();
    for node in &experiment.datasets {
        let upstream = node.upstream.and_then(|index| datasets.get(index).cloned());
        let open = node
            .dataset
            .open(base, upstream, digester)
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
                let digest = digester
                    .digest_file(&path)
                    .map_err(|source| InputError::Weights {
                        name: node.name.clone(),
                        source,
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
