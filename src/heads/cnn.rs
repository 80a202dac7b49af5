//! `cnn`: two convolutions, each with a max pool behind it, and a linear layer.
//!
//! # Reference
//! arXiv 2307.08702 §4 and Tables 7 to 9 (CNN-1k-512-256 and the like): two times a 2 × 2 convolution with stride 1 and a 2 × 2
//! max pool with stride 2, then an adaptive average pool to 2 × 2 and a linear layer. No public code has this head.
//!
//! # Shapes
//! `[N, C, S, S]` to `[N, C₁, P, P]` with P = ⌊(S − 1) / 2⌋, to `[N, C₂, Q, Q]` with Q = ⌊(P − 1) / 2⌋, to `[N, C₂ × 2 × 2]`, to
//! `[N, K]`.
//!
//! # Deviations
//! The paper does not say whether an activation follows each convolution. Its description has none, so there is none here
//! unless `activation = "relu"`; the max pools are then all that is not linear.
//! The tables write 1k for a width, which is 1024 or 1000. Here it is 1024; see docs/concepts/heads.md.
//! Initial weights: see [`Initializer::Uniform`](super::Initializer::Uniform).
//!
//! # Parity
//! `tests/suite/golden_heads.rs`.

use std::sync::Arc;

#[cfg(feature = "torch")]
use tch::Tensor;

#[cfg(feature = "torch")]
use super::Mode;
use super::parameters::layer;
#[cfg(feature = "torch")]
use super::stacked::linear_each;
use super::{FeatureShape, Head, HeadKind, OpenQuestion, ParameterForm};
use crate::message::Message;
use crate::spec::{Choice, Count, Fields, Key, Kind, KindDoc, List};
use crate::trainer;

/// Side of the feature maps that the linear layer reads.
const LAST_SIDE: u32 = 2;
/// The smallest side from which two convolutions and max pools leave anything: 7, 6, 3, 2, 1.
const LEAST_SIDE: usize = 7;

const WIDTHS: Key<List<Count>> = Key::list("widths", Count::within(1..=1_000_000))
    .items(2..=2)
    .doc("Channels behind the first and the second convolution.");
/// Whether it is a ReLU.
const ACTIVATION: Key<Choice<bool>> = Key::choice("activation", &[("none", false), ("relu", true)])
    .default(false)
    .doc("What follows each convolution, before its max pool; the paper does not say.");

/// `kind = "cnn"`.
pub const KIND: HeadKind = Kind::new(
    KindDoc {
        name: "cnn",
        summary: "Two times a 2 × 2 convolution and a 2 × 2 max pool, an average pool to 2 × 2, and a linear layer.",
        keys: &[&WIDTHS, &ACTIVATION],
        shared: trainer::config::KEYS,
    },
    parse,
);

fn parse(fields: &Fields<'_>) -> Option<Arc<dyn Head>> {
    Some(Arc::new(Cnn {
        widths: fields.get(&WIDTHS)?.try_into().ok()?,
        relu: fields.get(&ACTIVATION)?,
    }))
}

#[derive(Debug)]
struct Cnn {
    /// Channels behind each convolution.
    widths: [u32; 2],
    /// Whether a ReLU follows each convolution.
    relu: bool,
}

impl Head for Cnn {
    fn kind(&self) -> &'static str {
        KIND.doc.name
    }

    fn identity(&self) -> serde_json::Value {
        let activation = if self.relu { "relu" } else { "none" };
        serde_json::json!({ "kind": KIND.doc.name, "widths": self.widths, "activation": activation })
    }

    fn open_questions(&self) -> Vec<OpenQuestion> {
        let here = if self.relu {
            "a ReLU follows each convolution of the head"
        } else {
            "nothing follows the convolutions of the head but their max pools"
        };
        vec![OpenQuestion {
            topic: "Activation of CNN heads",
            here,
            reason: "`activation` of the head; the description in the paper names none",
        }]
    }

    fn check(&self, shape: FeatureShape) -> Result<(), Message> {
        if shape.shorter() < LEAST_SIDE {
            return Err(Message::new(format!(
                "features of {} × {} positions are too small for two convolutions and max pools",
                shape.height, shape.width
            ))
            .hint(format!(
                "give the extraction a `pool` of at least {LEAST_SIDE}, such as 16"
            )));
        }
        Ok(())
    }

    fn parameters(&self, shape: FeatureShape, classes: usize) -> Vec<ParameterForm> {
        let [first, second] = self.widths.map(|width| width as usize);
        let last = second * (LAST_SIDE * LAST_SIDE) as usize;
        [
            layer(KIND.doc.name, "conv1", &[first, shape.channels, 2, 2]),
            layer(KIND.doc.name, "conv2", &[second, first, 2, 2]),
            layer(KIND.doc.name, "fc", &[classes, last]),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The first convolution reads what all heads share, so their output channels are behind one another; the second has one
    /// group for each head.
    #[cfg(feature = "torch")]
    fn forward(&self, parameters: &[Tensor], features: &Tensor, _: Mode) -> Tensor {
        let heads = parameters[0].size()[0];
        let convolve = |x: &Tensor, weight: &Tensor, bias: &Tensor, groups: i64| {
            let (weight, bias) = (weight.flatten(0, 1), bias.flatten(0, 1));
            let map = x.conv2d(&weight, Some(&bias), [1, 1], [0, 0], [1, 1], groups);
            let map = if self.relu { map.relu() } else { map };
            map.max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false)
        };
        let map = convolve(features, &parameters[0], &parameters[1], 1);
        let map = convolve(&map, &parameters[2], &parameters[3], heads);
        let last = i64::from(LAST_SIDE);
        let pooled = map.adaptive_avg_pool2d([last, last]);
        let flat = pooled.unflatten(1, [heads, -1]).flatten(2, -1);
        linear_each(&flat.transpose(0, 1), &parameters[4], &parameters[5]).transpose(0, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_from_seven_positions_on_fit() {
        let head = Cnn {
            widths: [4, 3],
            relu: true,
        };
        for side in 1..=12 {
            let shape = FeatureShape::square(2, side);
            assert_eq!(head.check(shape).is_ok(), side >= 7, "{side}");
            #[cfg(feature = "torch")]
            if side >= 7 {
                let initial = head.initial(shape, 5, 0);
                let parameters: Vec<_> = initial
                    .iter()
                    .map(|one| Tensor::from_slice(&one.values).view(one.shape.as_slice()))
                    .map(|one| one.unsqueeze(0))
                    .collect();
                let side = i64::try_from(side).unwrap();
                let features =
                    Tensor::ones([3, 2, side, side], (tch::Kind::Float, tch::Device::Cpu));
                let logits = head.forward(&parameters, &features, Mode::Predict);
                assert_eq!(logits.size(), [3, 1, 5]);
            }
        }
    }
}
