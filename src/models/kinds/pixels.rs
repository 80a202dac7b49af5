//! `pixels`: no network at all. Its one block is the image itself, the baseline that features of a network have to beat.
//!
//! It has no weights, and there is no noise. With `pool` equal to
//! `image_size` the feature is the flattened image; with a smaller one it is an image of that side, each of its pixels a mean.
//!
//! # Shapes
//! Block 1: `[in_channels, image_size, image_size]`, in `[-1, 1]`, as the images are prepared for any network.

use std::sync::Arc;

use serde_json::json;

use crate::imaging::Normalization;
use crate::models::TapShape;
use crate::models::{BlockIndex, BlockInfo, InputSpec, Model, ModelKind, Presets, WeightsSource};
use crate::spec::{Count, Fields, Key, Kind, KindDoc, OneOf};

const IMAGE_SIZE: Key<Count> = Key::count("image_size", 1..=4096).doc(
    "Side of the image in pixels; an extraction with a `pool` of the same size gives every pixel.",
);
const IN_CHANNELS: Key<OneOf> = Key::one_of("in_channels", &[1, 3])
    .default(3)
    .doc("Channels of the image.");

/// `kind = "pixels"`.
pub const KIND: ModelKind = Kind::with(
    KindDoc {
        name: "pixels",
        summary: "No network: block 1 is the image itself, without noise. It has no weights.",
        keys: &[&IMAGE_SIZE, &IN_CHANNELS],
        shared: &[],
    },
    parse,
    Presets::NONE,
);

fn parse(fields: &Fields<'_>) -> Option<Arc<dyn Model>> {
    Some(Arc::new(Pixels::new(InputSpec {
        channels: fields.get(&IN_CHANNELS)?,
        side: fields.get(&IMAGE_SIZE)?,
        normalization: Normalization::MinusOneToOne,
        noise: None,
    })))
}

/// The one block, which is the image.
const ONLY: BlockIndex = BlockIndex(1);

/// A model without weights, whose one block gives the image as it is.
#[derive(Debug, Clone)]
struct Pixels {
    input: InputSpec,
    blocks: [BlockInfo; 1],
}

impl Pixels {
    fn new(input: InputSpec) -> Self {
        let block = BlockInfo {
            index: ONLY,
            path: "image".to_owned(),
            shape: TapShape::map(input.channels, input.side, input.side),
            multiply_adds: 0,
        };
        Self {
            input,
            blocks: [block],
        }
    }
}

impl Model for Pixels {
    fn kind(&self) -> &'static str {
        KIND.doc.name
    }

    fn variant(&self) -> &str {
        KIND.doc.name
    }

    fn input(&self) -> InputSpec {
        self.input
    }

    fn blocks(&self) -> &[BlockInfo] {
        &self.blocks
    }

    fn parameter_count(&self) -> u64 {
        0
    }

    fn weights(&self) -> &WeightsSource {
        &WeightsSource::None
    }

    fn with_weights(&self, _weights: WeightsSource) -> Arc<dyn Model> {
        Arc::new(self.clone())
    }

    fn identity(&self) -> serde_json::Value {
        json!({
            "kind": KIND.doc.name,
            "image_size": self.input.side,
            "in_channels": self.input.channels,
        })
    }

    #[cfg(feature = "torch")]
    fn load(
        &self,
        _base: &std::path::Path,
        device: tch::Device,
        precision: crate::models::Precision,
    ) -> Result<
        Box<dyn crate::models::extractor::Network>,
        crate::models::checkpoint::weights::WeightError,
    > {
        Ok(Box::new(Extractor {
            input: self.input,
            device,
            precision,
        }))
    }
}

/// What hands the images on.
#[cfg(feature = "torch")]
struct Extractor {
    input: InputSpec,
    device: tch::Device,
    precision: crate::models::Precision,
}

#[cfg(feature = "torch")]
impl crate::models::extractor::Network for Extractor {
    fn forward(
        &self,
        images: crate::models::extractor::Images<'_>,
        taps: &[BlockIndex],
        until: crate::models::extractor::Until,
        visit: &mut dyn FnMut(BlockIndex, &tch::Tensor),
    ) -> Result<Option<tch::Tensor>, crate::models::extractor::ForwardError> {
        use crate::models::extractor::{ForwardError, Until, images_to_tensor};
        if let Some(&tap) = taps.iter().find(|&&tap| tap != ONLY) {
            return Err(ForwardError::UnknownTap { tap, last: ONLY });
        }
        if images.classes.is_some() {
            return Err(ForwardError::ClassLabelsUnexpected);
        }
        let image = images_to_tensor(images, self.input, self.device);
        if !taps.is_empty() {
            visit(ONLY, &image.to_kind(self.precision.kind()));
        }
        Ok(match until {
            Until::DeepestTap => None,
            Until::Output => Some(image),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pixels(channels: u32, side: u32) -> Pixels {
        Pixels::new(InputSpec {
            channels,
            side,
            normalization: Normalization::MinusOneToOne,
            noise: None,
        })
    }

    #[test]
    fn there_is_no_noise() {
        let model = pixels(1, 2);
        assert_eq!(model.input().noise, None);
        assert_eq!(model.coefficients(0), None);
    }

    #[test]
    fn nothing_is_learned_and_nothing_is_named() {
        let model = pixels(3, 28);
        assert_eq!(model.weights(), &WeightsSource::None);
        let given = model.with_weights(WeightsSource::Synthetic(1));
        assert_eq!(given.weights(), &WeightsSource::None);
        assert_eq!((model.parameter_count(), model.blocks().len()), (0, 1));
        assert_eq!(model.blocks()[0].shape, TapShape::map(3, 28, 28));
        assert!(KIND.presets().is_empty());
        assert_ne!(model.identity(), pixels(1, 28).identity());
        assert_ne!(model.identity(), pixels(3, 32).identity());
    }

    #[cfg(feature = "torch")]
    mod with_torch {
        use super::*;
        use crate::models::extractor::{ForwardError, Images, Network, TapRequest, Until};
        use crate::models::{Precision, Reduce};

        fn network(model: &Pixels, precision: Precision) -> Box<dyn Network> {
            model
                .load(std::path::Path::new("."), tch::Device::Cpu, precision)
                .unwrap()
        }

        fn images(x_t: &[f32], count: usize) -> Images<'_> {
            Images {
                pixels: x_t,
                count,
                timestep: None,
                classes: None,
            }
        }

        #[test]
        fn features_are_the_pixels_or_their_means() {
            let model = pixels(3, 4);
            // Two images; every value is exact in f32, and so are means of four of them.
            let x_t: Vec<f32> = (0..96u8).map(|value| f32::from(value) / 128.0).collect();
            let tap = |pool| TapRequest::of(&model.blocks()[0], Reduce::Pool(pool));
            let features = network(&model, Precision::F32)
                .features(images(&x_t, 2), &[tap(4), tap(2), tap(1)])
                .unwrap()
                .read();
            assert_eq!(features[0], x_t);
            assert_eq!(features[1].len(), 2 * 3 * 2 * 2);
            let means: Vec<f32> = [0, 2, 8, 10]
                .iter()
                .map(|&corner| {
                    let square = [corner, corner + 1, corner + 4, corner + 5];
                    square.iter().map(|&pixel| x_t[pixel]).sum::<f32>() / 4.0
                })
                .collect();
            assert_eq!(features[1][..4], means);
            assert_eq!(features[2].len(), 2 * 3);
        }

        #[test]
        fn what_it_does_not_have_is_refused() {
            let model = pixels(1, 2);
            let network = network(&model, Precision::Bf16);
            let mut kinds = Vec::new();
            let x_t = [0.0, 0.5, 1.0, -1.0];
            let output = network
                .forward(images(&x_t, 1), &[ONLY], Until::Output, &mut |_, map| {
                    kinds.push(map.kind());
                })
                .unwrap()
                .unwrap();
            assert_eq!(kinds, [tch::Kind::BFloat16]);
            assert_eq!(output.kind(), tch::Kind::Float);
            let error = network
                .forward(
                    images(&x_t, 1),
                    &[BlockIndex(2)],
                    Until::Output,
                    &mut |_, _| {},
                )
                .unwrap_err();
            assert!(matches!(error, ForwardError::UnknownTap { .. }), "{error}");
            let told = Images {
                classes: Some(&[0]),
                ..images(&x_t, 1)
            };
            let error = network
                .forward(told, &[ONLY], Until::DeepestTap, &mut |_, _| {})
                .unwrap_err();
            assert_eq!(error, ForwardError::ClassLabelsUnexpected);
        }
    }
}
