//! `knn`: a vote of the nearest training samples.
//!
//! # Reference
//! Wu et al. 2018 (arXiv 1805.01978) §3.4, and Caron et al. 2021 (arXiv 2104.14294), whose k = 20 and temperature of 0.07 are the
//! defaults: features are normalized to length 1, and each of the k training samples with the largest cosine similarity s votes for
//! its class with the weight exp(s / temperature).
//!
//! # Shapes
//! `[T, D]` beside `[N, D]` to `[T, K]`, with D = C × S × S.
//!
//! # Deviations
//! A logit is the logarithm of a class's share of the vote, so that the softmax of logits gives the shares. A class without a vote
//! gets the logarithm of the smallest normal f32, −87.3. Among equally similar samples the one that stands first is nearer.

use std::sync::Arc;

#[cfg(feature = "torch")]
use tch::{Kind as Type, Tensor};

#[cfg(feature = "torch")]
use super::Mode;
#[cfg(feature = "torch")]
use super::fitting::{Fitting, FullBatch, FullBatchFit, blocks};
use super::{FeatureShape, Head, HeadKind, ParameterForm};
#[cfg(feature = "torch")]
use crate::numbers::to_i64;
use crate::spec::{Choice, Count, Fields, Key, Kind, KindDoc, Number};
use crate::trainer;

const K: Key<Count> = Key::count("k", 1..=1_000_000)
    .default(20)
    .doc("How many training samples vote; all of them if there are fewer.");
/// Whether all votes weigh the same.
const WEIGHTS: Key<Choice<bool>> =
    Key::choice("weights", &[("similarity", false), ("uniform", true)])
        .default(false)
        .doc("The weight of a vote: exp(similarity / temperature), or the same for all.");
const TEMPERATURE: Key<Number> = Key::number("temperature", Number::above(0.0).to(1e6))
    .default(0.07)
    .doc("How quickly the weight of a vote falls with similarity; only with `weights = \"similarity\"`.");

/// `kind = "knn"`.
pub const KIND: HeadKind = Kind::new(
    KindDoc {
        name: "knn",
        summary: "A vote of the nearest training samples by cosine similarity; nothing is trained.",
        keys: &[&K, &WEIGHTS, &TEMPERATURE],
        shared: trainer::config::KEYS_WITHOUT_STEPS,
    },
    parse,
);

fn parse(fields: &Fields<'_>) -> Option<Arc<dyn Head>> {
    let k = fields.get(&K)?;
    let uniform = fields.get(&WEIGHTS)?;
    let temperature = fields.get(&TEMPERATURE)?;
    if uniform && fields.has(TEMPERATURE.name) {
        let message = format!(
            "{} has a temperature, but votes of one weight",
            fields.context()
        );
        let hint = "remove `temperature`, or set `weights = \"similarity\"`".to_owned();
        fields.invalid(TEMPERATURE.name, "graph::head-misfit", message, Some(hint));
    }
    let temperature = (!uniform).then_some(temperature);
    Some(Arc::new(Knn { k, temperature }))
}

#[derive(Debug)]
struct Knn {
    k: u32,
    /// Absent where all votes have the same weight.
    temperature: Option<f64>,
}

impl Head for Knn {
    fn kind(&self) -> &'static str {
        KIND.doc.name
    }

    fn identity(&self) -> serde_json::Value {
        serde_json::json!({ "kind": KIND.doc.name, "k": self.k, "temperature": self.temperature })
    }

    fn parameters(&self, _: FeatureShape, _: usize) -> Vec<ParameterForm> {
        Vec::new()
    }

    fn trains_in_steps(&self) -> bool {
        false
    }

    #[cfg(feature = "torch")]
    fn fitting(&self) -> Fitting<'_> {
        Fitting::FullBatch(self)
    }

    /// Without a training split there is no class to vote for: `[N, 1, 0]`.
    #[cfg(feature = "torch")]
    fn forward(&self, _: &[Tensor], features: &Tensor, _: Mode) -> Tensor {
        features.new_zeros(
            [features.size()[0], 1, 0],
            (features.kind(), features.device()),
        )
    }
}

/// Most similarities that are in memory at once: 256 MiB.
#[cfg(feature = "torch")]
const MOST_SIMILARITIES: i64 = 1 << 26;

#[cfg(feature = "torch")]
impl FullBatchFit for Knn {
    fn predict(&self, train: FullBatch<'_>, test: &Tensor) -> Tensor {
        let _guard = tch::no_grad_guard();
        let memory = normalized(train.features).transpose(0, 1);
        let samples = memory.size()[1];
        let k = i64::from(self.k).min(samples);
        let classes = to_i64(train.classes);
        let logits: Vec<Tensor> = blocks(test.size()[0], samples, MOST_SIMILARITIES)
            .map(|(start, count)| {
                let similarity = normalized(&test.narrow(0, start, count)).matmul(&memory);
                let (nearest, rows) = nearest(&similarity, k);
                let weights = match self.temperature {
                    None => nearest.ones_like(),
                    // Less the largest, so that no temperature overflows; shares stay the same.
                    Some(temperature) => ((&nearest - nearest.amax(1, true)) / temperature).exp(),
                };
                let labels = train
                    .labels
                    .index_select(0, &rows.flatten(0, 1))
                    .view_as(&rows);
                share(&labels, &weights, classes)
            })
            .collect();
        Tensor::cat(&logits, 0)
    }
}

/// Rows of length 1; a row of zeros stays as it is.
#[cfg(feature = "torch")]
fn normalized(rows: &Tensor) -> Tensor {
    rows / rows.norm_scalaropt_dim(2, 1, true).clamp_min(1e-12)
}

/// The `k` largest of each row with their columns, the first of equals before the others; in the order of columns, so that sums
/// over them do not depend on how they were found.
///
/// # Shapes
/// `[B, N]` to `[B, k]` twice.
#[cfg(feature = "torch")]
fn nearest(similarity: &Tensor, k: i64) -> (Tensor, Tensor) {
    let (values, columns) = similarity.topk(k, 1, true, true);
    // The search is free to take any of those that are as near as the last; where there are more of them, a stable sort decides.
    let last = values.narrow(1, k - 1, 1);
    let as_near = similarity
        .ge_tensor(&last)
        .sum_dim_intlist(1, false, Type::Int64);
    let ambiguous = as_near.gt(k).nonzero().flatten(0, 1);
    let mut columns = columns;
    for (start, count) in blocks(ambiguous.size()[0], similarity.size()[1], 1 << 22) {
        let rows = ambiguous.narrow(0, start, count);
        let (_, order) = similarity.index_select(0, &rows).sort_stable(true, 1, true);
        columns = columns.index_copy(0, &rows, &order.narrow(1, 0, k));
    }
    let (columns, _) = columns.sort(1, false);
    (similarity.gather(1, &columns, false), columns)
}

/// The logarithm of each class's share of the votes: `[B, k]` twice to `[B, K]`.
#[cfg(feature = "torch")]
fn share(labels: &Tensor, weights: &Tensor, classes: i64) -> Tensor {
    let mut votes = weights.new_zeros(
        [weights.size()[0], classes],
        (weights.kind(), weights.device()),
    );
    // One vote of each row at a time: several at once would be added in any order on a GPU.
    for vote in 0..weights.size()[1] {
        let _ = votes.scatter_add_(1, &labels.narrow(1, vote, 1), &weights.narrow(1, vote, 1));
    }
    let total = votes.sum_dim_intlist(1, true, None);
    (votes / total)
        .clamp_min(f64::from(f32::MIN_POSITIVE))
        .log()
}

#[cfg(feature = "torch")]
#[cfg(test)]
mod tests {
    use super::super::stacked::spread;
    use super::*;

    fn fit(head: &Knn, train: &[f32], labels: &[i64], test: &[f32]) -> Vec<Vec<f32>> {
        let features = Tensor::from_slice(train).view([-1, 2]);
        let labels = Tensor::from_slice(labels);
        let whole = FullBatch {
            features: &features,
            labels: &labels,
            classes: 3,
        };
        let logits = head.predict(whole, &Tensor::from_slice(test).view([-1, 2]));
        Vec::try_from(logits.exp()).unwrap()
    }

    fn assert_shares(found: &[f32], expected: [f32; 3]) {
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
    }

    #[test]
    fn votes_are_weighted_by_similarity_and_lengths_do_not_matter() {
        let train = [3.0, 0.0, 0.0, 0.5, -1.0, 0.0, 8.0, 6.0];
        let labels = [0, 1, 2, 1];
        // Similarities to (1, 0): 1, 0, -1, 0.8.
        let head = Knn {
            k: 3,
            temperature: Some(0.5),
        };
        let weights = [2.0_f32.exp(), 1.0, 1.6_f32.exp()];
        let total: f32 = weights.iter().sum();
        let found = fit(&head, &train, &labels, &[10.0, 0.0]);
        assert_shares(
            &found[0],
            [weights[0] / total, (weights[1] + weights[2]) / total, 0.0],
        );
        let head = Knn {
            k: 3,
            temperature: None,
        };
        assert_shares(
            &fit(&head, &train, &labels, &[10.0, 0.0])[0],
            [1.0 / 3.0, 2.0 / 3.0, 0.0],
        );
        // More neighbors than samples: all vote.
        let head = Knn {
            k: 20,
            temperature: None,
        };
        assert_shares(
            &fit(&head, &train, &labels, &[10.0, 0.0])[0],
            [0.25, 0.5, 0.25],
        );
    }

    #[test]
    fn the_first_of_equally_near_samples_votes() {
        // Forty samples in one place: one of class 2 first, then of classes 1 and 0 by turns; a nearer one at the end.
        let mut train = [1.0, 1.0].repeat(40);
        train.extend([1.0, 0.0]);
        let mut labels: Vec<i64> = (0..41).map(|index| index % 2).collect();
        labels[0] = 2;
        let test = [1.0, 0.0, 0.0, 1.0];
        let head = Knn {
            k: 2,
            temperature: None,
        };
        let found = fit(&head, &train, &labels, &test);
        assert_shares(&found[0], [0.5, 0.0, 0.5]);
        assert_shares(&found[1], [0.0, 0.5, 0.5]);
    }

    #[test]
    fn blocks_of_rows_give_what_one_block_gives() {
        let similarity = (spread(3, &[40, 300]) * 2.5).floor();
        let (_, columns) = nearest(&similarity, 7);
        let (_, order) = similarity.sort_stable(true, 1, true);
        let (expected, _) = order.narrow(1, 0, 7).sort(1, false);
        assert_eq!(columns, expected);
    }
}
