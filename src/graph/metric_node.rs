//! A metric of the graph, and what it scores.

use std::path::PathBuf;
use std::sync::Arc;

use super::Swept;
use crate::metrics::Metric;
use crate::spec::Span;

/// One metric.
#[derive(Debug, Clone)]
pub struct MetricNode {
    /// The node's name.
    pub name: String,
    /// Where its name stands in the file.
    pub place: Span,
    /// As its kind reads its table.
    pub metric: Arc<dyn Metric>,
    /// The axes that are chosen by the validation split; none where all heads are scored.
    pub choose: Vec<String>,
    /// What is scored.
    pub inputs: MetricInputs,
    /// Its values for the keys that the file sweeps over.
    pub swept: Swept,
}

/// What a metric scores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetricInputs {
    /// The predictions of heads, as indices into [`Experiment::heads`](super::Experiment::heads).
    Heads(Vec<usize>),
    /// Sets of features on one split, as indices into [`Experiment::extractions`](super::Experiment::extractions).
    Features {
        /// The sets, as indices into [`Experiment::extractions`](super::Experiment::extractions).
        sets: Vec<usize>,
        /// Name of the split that is read.
        split: String,
    },
    /// Pairs of sets of features of the same images, on one split.
    Pairs {
        /// Left and right.
        pairs: Vec<(usize, usize)>,
        /// Name of the split that is read, of both sets.
        split: String,
    },
    /// Networks and heads themselves.
    Networks {
        /// The models, as indices into [`Experiment::models`](super::Experiment::models).
        models: Vec<usize>,
        /// The heads, as indices into [`Experiment::heads`](super::Experiment::heads).
        heads: Vec<usize>,
        /// The classes that the heads tell apart; `None` for those of their datasets.
        classes: Option<u32>,
    },
    /// Pairs of sets of features of other images, which are made in the same way.
    Distributions {
        /// Generated and reference.
        pairs: Vec<(usize, usize)>,
        /// Name of the split of the generated images that is read.
        split: String,
        /// Name of the split of the reference that is read.
        reference_split: String,
    },
    /// Sets of features of generated images, each against moments out of a file.
    AgainstFile {
        /// The sets, as indices into [`Experiment::extractions`](super::Experiment::extractions).
        sets: Vec<usize>,
        /// Name of the split that is read.
        split: String,
        /// The file; relative to the folder that `repro` runs in.
        file: PathBuf,
    },
}

impl MetricInputs {
    /// The heads that it scores or counts; none for a metric over features.
    pub fn heads(&self) -> &[usize] {
        match self {
            Self::Heads(heads) | Self::Networks { heads, .. } => heads,
            Self::Features { .. }
            | Self::Pairs { .. }
            | Self::Distributions { .. }
            | Self::AgainstFile { .. } => &[],
        }
    }

    /// The file of moments that it reads.
    pub fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::AgainstFile { file, .. } => Some(file),
            _ => None,
        }
    }

    /// The models whose networks it counts itself.
    pub fn models(&self) -> &[usize] {
        match self {
            Self::Networks { models, .. } => models,
            _ => &[],
        }
    }

    /// Whether nothing is scored.
    pub fn is_empty(&self) -> bool {
        self.heads().is_empty() && self.models().is_empty() && self.features().is_empty()
    }

    /// The extractions whose features it reads itself, repeated where they are.
    pub fn features(&self) -> Vec<usize> {
        match self {
            Self::Heads(_) | Self::Networks { .. } => Vec::new(),
            Self::Features { sets, .. } | Self::AgainstFile { sets, .. } => sets.clone(),
            Self::Pairs { pairs, .. } | Self::Distributions { pairs, .. } => pairs
                .iter()
                .flat_map(|&(left, right)| [left, right])
                .collect(),
        }
    }
}
