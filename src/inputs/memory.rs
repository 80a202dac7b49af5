//! What the store remembers of inputs from the last time that they were read, for when they are not on disk any more.
//!
//! A dataset is remembered by its declaration as it was typed, with that of the dataset that it is made from: where the folder of the
//! experiment is does not matter, so that a cache can be taken elsewhere. What is remembered is not used where anything that is
//! still there differs from it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::weights::with_prefix;
use super::{Opened, facts_of};
use crate::datasets::{DatasetError, Environment, SplitCount};
use crate::graph::{DatasetNode, Experiment, ModelNode};
use crate::models::WeightsSource;
use crate::plan::DatasetFacts;
use crate::store::{ClassNames, Memo, Store};

/// The names of classes of all datasets that a store remembers.
pub fn class_names(store: &Store) -> Vec<ClassNames> {
    let notes = store.memo().notes::<Remembered>(DATASET);
    let classes = notes.into_iter().map(|note| ClassNames {
        digest: note.digest,
        names: note.classes,
    });
    classes.collect()
}

/// How the subjects of notes about datasets begin.
const DATASET: &str = "dataset ";

/// The store's memory of an experiment's inputs.
pub(super) struct Memory<'a> {
    pub(super) experiment: &'a Experiment,
    pub(super) memo: &'a Memo,
    pub(super) environment: Environment<'a>,
}

/// What is remembered of a dataset.
#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    digest: String,
    samples: usize,
    splits: Vec<SplitCount>,
    classes: Vec<String>,
    /// The digest of all but the images.
    names: String,
    /// The digest of the dataset that it was made from.
    upstream: Option<String>,
    /// The digests of the files that chose among the samples of that, by their paths as they were typed.
    lists: BTreeMap<PathBuf, String>,
}

impl Memory<'_> {
    /// Notes what the datasets are that are there.
    pub(super) fn keep_datasets(&self, opened: &[Opened]) {
        for (node, one) in self.experiment.datasets.iter().zip(opened) {
            let Opened::Here(open) = one else {
                continue;
            };
            let upstream = node.upstream.and_then(|index| opened.get(index));
            let upstream = upstream.and_then(|upstream| match upstream {
                Opened::Here(open) => Some(open.manifest.digest().to_owned()),
                Opened::Failed(_) | Opened::Waiting | Opened::Made => None,
            });
            let facts = facts_of(open);
            let remembered = Remembered {
                digest: facts.digest,
                samples: facts.samples,
                splits: facts.splits,
                classes: facts.classes,
                names: open.manifest.digest_of_names(),
                upstream,
                lists: self.lists(node),
            };
            // A cache that cannot be written remembers nothing, and nothing else is lost.
            let _ = self.memo.keep_note(&self.about(node), &remembered);
        }
    }

    /// Notes what a file of weights is that is there.
    pub(super) fn keep_weights(&self, node: &ModelNode, identity: Option<&str>) {
        if let (Some(about), Some(identity)) = (about_weights(node), identity) {
            let _ = self.memo.keep_note(&about, &identity);
        }
    }

    /// What a dataset was that failed to open, if it failed because it is not on disk, or that is made from one that did: `upstream` is
    /// what that is or was.
    pub(super) fn dataset(
        &self,
        node: &DatasetNode,
        failure: Option<&DatasetError>,
        upstream: Option<&DatasetFacts>,
    ) -> Option<DatasetFacts> {
        let listed = match failure {
            None | Some(DatasetError::Missing { .. }) => None,
            Some(DatasetError::MissingImages { missing, named, .. }) if missing == named => {
                Some(node.dataset.listed(&self.environment)?.ok()?.names)
            }
            Some(_) => return None,
        };
        let remembered: Remembered = self.memo.note(&self.about(node))?;
        let lists = self.lists(node);
        let mut lists = lists.iter();
        let is_current = listed.is_none_or(|names| names == remembered.names)
            && remembered.upstream.as_ref() == upstream.map(|facts| &facts.digest)
            && lists.all(|(path, digest)| remembered.lists.get(path) == Some(digest));
        is_current.then_some(DatasetFacts {
            digest: remembered.digest,
            samples: remembered.samples,
            splits: remembered.splits,
            classes: remembered.classes,
        })
    }

    /// The identity that a file of weights had which could not be read, if that is because it is not on disk.
    pub(super) fn weights(&self, node: &ModelNode, failure: &DatasetError) -> Option<String> {
        match failure {
            DatasetError::Missing { .. } => self.memo.note(&about_weights(node)?),
            _ => None,
        }
    }

    fn about(&self, node: &DatasetNode) -> String {
        about_dataset(self.experiment, node)
    }

    /// The digests of a dataset's lists, as far as they are there.
    fn lists(&self, node: &DatasetNode) -> BTreeMap<PathBuf, String> {
        let lists = node.dataset.lists().into_iter().filter_map(|path| {
            let file = self.environment.base.join(path);
            let digest = self.environment.digester.digest_file(&file).ok()?;
            Some((path.to_owned(), digest))
        });
        lists.collect()
    }
}

/// What the notes about an experiment's inputs are about.
pub fn subjects(experiment: &Experiment) -> Vec<String> {
    let datasets = experiment.datasets.iter();
    let datasets = datasets.map(|node| about_dataset(experiment, node));
    let weights = experiment.models.iter().filter_map(about_weights);
    datasets.chain(weights).collect()
}

/// The declaration of a dataset and of all that it is made from.
fn about_dataset(experiment: &Experiment, node: &DatasetNode) -> String {
    let own = format!("{DATASET}{} {}", node.dataset.kind(), node.declaration);
    let upstream = node.upstream.map(|index| &experiment.datasets[index]);
    match upstream {
        None => own,
        Some(upstream) => format!("{own} of {}", about_dataset(experiment, upstream)),
    }
}

/// The subject of the note about the files of a model; `None` where it has none.
fn about_weights(node: &ModelNode) -> Option<String> {
    match node.model.weights() {
        WeightsSource::File(path) => {
            let companions = node.model.companions().into_iter();
            let companions = companions.map(|one| format!(" {} {}", one.key, one.path.display()));
            let companions: String = companions.collect();
            let about = with_prefix(format!("weights {}", path.display()), node);
            Some(about + &companions)
        }
        WeightsSource::Imported(imported) => {
            let files = imported.files.iter();
            let files = files.map(|file| format!("{:?} {}", file.split, file.path.display()));
            let files: Vec<String> = files.collect();
            Some(format!("features {}", files.join(" ")))
        }
        _ => None,
    }
}
