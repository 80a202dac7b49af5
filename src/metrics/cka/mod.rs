//! `cka`: linear centered kernel alignment, how alike two sets of features of the same images are.
//!
//! With X `[N, D]` and Y `[N, E]`, each column minus its mean, and the Gram matrices K = XXᵀ and L = YYᵀ `[N, N]`, HSIC(K, L) is the sum of
//! the products of their entries, which is ‖YᵀX‖²_F, and
//!
//! ```text
//! CKA = HSIC(K, L) / sqrt(HSIC(K, K) · HSIC(L, L))
//! ```
//!
//! It is 1 where one set is the other one rotated, scaled and shifted, and 0 where no direction of one varies with one of the other.
//! For few images and wide features this estimate is far above 0 also for unrelated sets: it is biased. `estimator = "minibatch"` cuts
//! the images into random batches, takes the unbiased estimate HSIC₁ in each, and divides their means; it may be slightly below 0.
//!
//! With K̃ and L̃, which are K and L with zeros on the diagonal, and n images in a batch,
//!
//! ```text
//! HSIC₁ = (tr K̃L̃ + 1ᵀK̃1 · 1ᵀL̃1 / ((n − 1)(n − 2)) − 2 / (n − 2) · 1ᵀK̃L̃1) / (n (n − 3))
//! ```
//!
//! # Cost
//! All pairs come from one walk over the tiles of the Gram matrices ([`hsic`]). N²/2 · (ΣD + S²) multiply-adds for S sets of widths D, in
//! f64: every set's Gram matrix once, by symmetry half of it, and then the products of all of them, entry by entry. The other
//! form, ‖YᵀX‖²_F of every pair, takes N · ΣDE over the pairs, S² / 2 of them for a grid: less only where N exceeds about S · D. The
//! minibatch estimator takes N · n / 2 in place of N² / 2.
//!
//! # Reference
//! Kornblith et al., Similarity of Neural Network Representations Revisited (arXiv 1905.00414), equations 3 to 5 and section 3;
//! HSIC₁ by Song et al., Feature Selection via Dependence Maximization (2012), as used for minibatches by Nguyen et al., Do Wide and Deep
//! Networks Learn the Same Things? (arXiv 2010.15327), equations 2 and 3.
//!
//! # Deviations
//! Nguyen et al. go through the data ten times in batches of 256. Here every image is in one batch. Batches have equal sizes up to
//! one, at most `batch_size`, so that none is left over.
//!
//! # Parity
//! `tests/golden/metrics`: 1e-10 from features in f64, 1e-5 from features in f32.

mod gram;
mod hsic;
mod sets;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Better, Metric, MetricError, MetricInput, MetricKind, Output, Reads, Score};
use crate::numbers::to_usize;
use crate::spec::{Choice, Count, Fields, Key, Kind, KindDoc};

/// Images of a batch, as in Nguyen et al.
const BATCH_IMAGES: u32 = 256;

/// No batch is smaller than half of this, and HSIC₁ needs four images.
const SMALLEST_BATCH: u32 = 8;

const ESTIMATOR: Key<Choice<Means>> = Key::choice(
    "estimator",
    &[("biased", Means::Biased), ("minibatch", Means::Minibatch)],
)
.default(Means::Biased)
.doc("`biased` is the usual definition over all images, too high where images are few and features wide; `minibatch` divides means of unbiased estimates over batches, and is called `cka_minibatch`.");

const BATCH_SIZE: Key<Count> = Key::count("batch_size", SMALLEST_BATCH..=100_000_000)
    .default(BATCH_IMAGES)
    .doc("Most images of a batch; only with `estimator = \"minibatch\"`. As many as there are images, or more, make one batch of all.");

/// `kind = "cka"`.
pub const KIND: MetricKind = Kind::new(
    KindDoc {
        name: "cka",
        summary: "Linear centered kernel alignment of two sets of features of the same images, called `cka`: 1 where they are equal up to rotation, scale and shift.",
        keys: &[&ESTIMATOR, &BATCH_SIZE],
        shared: Reads::FeaturePairs.keys(),
    },
    parse,
);

fn parse(fields: &Fields<'_>) -> Option<Arc<dyn Metric>> {
    let (means, batch_size) = (fields.get(&ESTIMATOR)?, fields.get(&BATCH_SIZE)?);
    let estimator = match means {
        Means::Minibatch => Estimator::Minibatch { batch_size },
        Means::Biased => Estimator::Biased,
    };
    if estimator == Estimator::Biased && fields.has(BATCH_SIZE.name) {
        let message = format!(
            "{} has a `batch_size`, but the biased estimator takes all images at once",
            fields.context()
        );
        let hint = "remove `batch_size`, or set `estimator = \"minibatch\"`".to_owned();
        fields.invalid(BATCH_SIZE.name, "graph::metric-misfit", message, Some(hint));
        return None;
    }
    Some(Arc::new(Cka { estimator }))
}

/// The words for an estimator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Means {
    Biased,
    Minibatch,
}

/// What a table of results has for equal features.
///
/// - 2: that neither higher nor lower values are better.
/// - 1, which was not written down: that higher values are.
const VERSION: u32 = 2;

/// How HSIC is estimated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Estimator {
    /// From all images at once.
    Biased,
    /// As the mean of HSIC₁ over batches.
    Minibatch {
        /// Most images of a batch.
        batch_size: u32,
    },
}

#[derive(Debug)]
struct Cka {
    estimator: Estimator,
}

impl Metric for Cka {
    fn kind(&self) -> &'static str {
        KIND.doc.name
    }

    fn reads(&self) -> Reads {
        Reads::FeaturePairs
    }

    fn identity(&self) -> serde_json::Value {
        let mut identity = serde_json::json!({ "kind": KIND.doc.name, "version": VERSION });
        match self.estimator {
            Estimator::Biased => identity["estimator"] = "biased".into(),
            Estimator::Minibatch { batch_size } => {
                identity["estimator"] = "minibatch".into();
                identity["batch_size"] = batch_size.into();
            }
        }
        identity
    }

    fn outputs(&self) -> Vec<Output> {
        let name = match self.estimator {
            Estimator::Biased => "cka",
            Estimator::Minibatch { .. } => "cka_minibatch",
        };
        vec![Output {
            name: name.to_owned(),
            unit: "",
            better: Better::Neither,
            axes: &[],
        }]
    }

    /// A score has no interval: what resampling images would give is biased itself, because an image that is drawn twice is its own likeness.
    fn evaluate(&self, input: MetricInput<'_>) -> Result<Vec<Vec<Score>>, MetricError> {
        let MetricInput::Pairs {
            sets,
            pairs,
            keep_going,
        } = input
        else {
            return Err(MetricError::Bug);
        };
        let values = similarities(sets, pairs, self.estimator, hsic::TILE, keep_going)?;
        let scores = |value| {
            let score = |output| Score {
                output,
                value,
                interval: None,
                counted: None,
                axes: BTreeMap::new(),
            };
            self.outputs().into_iter().map(score).collect()
        };
        Ok(values.into_iter().map(scores).collect())
    }
}

/// The CKA of every pair. `tile` is the most rows of a tile, and changes nothing but the last digits.
fn similarities<R: sets::Rows>(
    sources: &[R],
    pairs: &[(usize, usize)],
    estimator: Estimator,
    tile: usize,
    keep_going: &(dyn Fn() -> bool + Sync),
) -> Result<Vec<f64>, MetricError> {
    if pairs.is_empty() {
        return Ok(Vec::new());
    }
    let mut used: Vec<usize> = pairs
        .iter()
        .flat_map(|&(left, right)| [left, right])
        .collect();
    used.sort_unstable();
    used.dedup();
    let sources: Option<Vec<&R>> = used.iter().map(|&index| sources.get(index)).collect();
    let sources = sources.ok_or(MetricError::Bug)?;
    let least = match estimator {
        Estimator::Biased => 2,
        Estimator::Minibatch { .. } => 4,
    };
    let sets = sets::open(&sources, least, keep_going)?;
    let hsic = match estimator {
        Estimator::Biased => hsic::biased(&sets, tile, keep_going)?,
        Estimator::Minibatch { batch_size } => {
            let batch_size = to_usize(u64::from(batch_size));
            hsic::unbiased(&sets, batch_size, tile, keep_going)?
        }
    };
    let place = |index: usize| used.binary_search(&index).map_err(|_| MetricError::Bug);
    let values = pairs.iter().map(|&(left, right)| {
        // One entry of two that are equal up to rounding, so that both orders of a pair have the same bits.
        let (left, right) = (place(left.min(right))?, place(left.max(right))?);
        hsic.alignment(left, right)
            .ok_or_else(|| sets::varies_too_little(&sets, &hsic, [left, right]))
    });
    values.collect()
}
