//! Which layers stand in which block of Stable Diffusion's U-Net: names of parameters, shapes and costs.
//!
//! The plan is guided-diffusion's, with a transformer wherever that has attention.
//!
//! # Reference
//! CompVis/stable-diffusion@21f890f9da3cfbeaba8e2ac3c425ee9e998d5229: ldm/modules/diffusionmodules/openaimodel.py (`UNetModel.__init__`),
//! ldm/modules/attention.py (`SpatialTransformer`); names as in its state dict.

use super::config::Config;
use crate::models::kinds::guided_diffusion::layer::{Layer, Parameters};
use crate::models::kinds::guided_diffusion::layout::UNetLayout;
use crate::models::{BlockIndex, BlockInfo, TapShape};

/// So many times as wide as a token is what stands between the feed-forward layers of a transformer.
pub(super) const FEED_FORWARD: u32 = 4;

/// Name and shape of every parameter.
pub(super) fn state_dict(config: &Config) -> Vec<(String, Vec<usize>)> {
    let unet = config.unet();
    let layout = UNetLayout::new(&unet);
    let (width, embedding) = (config.model_channels, unet.time_embed_channels());
    let mut list = Parameters::default();
    list.weight_and_bias("time_embed.0", &[embedding, width]);
    list.weight_and_bias("time_embed.2", &[embedding, embedding]);
    for block in &layout.blocks {
        for (place, layer) in block.layers.iter().enumerate() {
            let path = format!("{}.{place}", block.path);
            match *layer {
                Layer::Attention { channels, .. } => {
                    list_transformer(&path, channels, config.context_dim, &mut list);
                }
                layer => layer.list_parameters(&path, &unet, &mut list),
            }
        }
    }
    list.weight_and_bias("out.0", &[layout.final_channels]);
    list.weight_and_bias("out.2", &[unet.out_channels(), layout.final_channels, 3, 3]);
    list.0
}

/// The parameters of a transformer for a feature map of so many channels.
fn list_transformer(path: &str, channels: u32, context: u32, list: &mut Parameters) {
    let hidden = FEED_FORWARD * channels;
    let block = format!("{path}.transformer_blocks.0");
    list.weight_and_bias(&format!("{path}.norm"), &[channels]);
    list.weight_and_bias(&format!("{path}.proj_in"), &[channels, channels, 1, 1]);
    for (attention, attended) in [("attn1", channels), ("attn2", context)] {
        let path = format!("{block}.{attention}");
        list.weight(&format!("{path}.to_q"), &[channels, channels]);
        list.weight(&format!("{path}.to_k"), &[channels, attended]);
        list.weight(&format!("{path}.to_v"), &[channels, attended]);
        list.weight_and_bias(&format!("{path}.to_out.0"), &[channels, channels]);
    }
    list.weight_and_bias(&format!("{block}.ff.net.0.proj"), &[2 * hidden, channels]);
    list.weight_and_bias(&format!("{block}.ff.net.2"), &[channels, hidden]);
    for norm in ["norm1", "norm2", "norm3"] {
        list.weight_and_bias(&format!("{block}.{norm}"), &[channels]);
    }
    list.weight_and_bias(&format!("{path}.proj_out"), &[channels, channels, 1, 1]);
}

/// Multiply-adds of a transformer for a feature map of so many channels and pixels.
fn transformer_cost(channels: u32, pixels: u64, config: &Config) -> u64 {
    let channels = u64::from(channels);
    let tokens = u64::from(config.text.positions);
    let context = u64::from(config.context_dim);
    let hidden = u64::from(FEED_FORWARD) * channels;
    // The convolutions around it, both attentions' queries and outputs, and the keys and values of the first.
    let layers = pixels * channels * channels * (2 + 2 * 2 + 2);
    let products = 2 * pixels * channels * (pixels + tokens);
    let of_context = 2 * tokens * context * channels;
    let feed_forward = pixels * 3 * hidden * channels;
    layers + products + of_context + feed_forward
}

/// Shape and cost of every block.
pub(super) fn block_infos(config: &Config) -> Vec<BlockInfo> {
    let unet = config.unet();
    let (width, embedding) = (
        u64::from(unet.model_channels),
        u64::from(unet.time_embed_channels()),
    );
    let mut multiply_adds = width * embedding + embedding * embedding;
    let layout = UNetLayout::new(&unet);
    (1..)
        .zip(&layout.blocks)
        .map(|(number, block)| {
            let mut shape = [0, block.side, block.side];
            for layer in &block.layers {
                let (after, mut cost) = layer.apply(shape, &unet);
                if let Layer::Attention { channels, .. } = *layer {
                    let pixels = u64::from(shape[1]) * u64::from(shape[2]);
                    cost = transformer_cost(channels, pixels, config);
                }
                shape = after;
                multiply_adds = multiply_adds.saturating_add(cost);
            }
            BlockInfo {
                index: BlockIndex(number),
                path: block.path.clone(),
                shape: TapShape::map(shape[0], shape[1], shape[2]),
                multiply_adds,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::presets;
    use super::*;

    fn published() -> Config {
        presets::find("sd-v1").unwrap().network
    }

    #[test]
    fn the_published_network_has_as_many_parameters_as_the_reference_counts() {
        assert_eq!(published().parameter_count(), 859_520_964);
        assert_eq!(state_dict(&published()).len(), 686);
    }

    #[test]
    fn blocks_are_numbered_through_encoder_middle_and_decoder() {
        let blocks = published().blocks();
        let found = |number: usize| (blocks[number - 1].path.as_str(), blocks[number - 1].shape);
        assert_eq!(blocks.len(), 25);
        assert_eq!(found(1), ("input_blocks.0", TapShape::map(320, 64, 64)));
        assert_eq!(found(4), ("input_blocks.3", TapShape::map(320, 32, 32)));
        assert_eq!(found(13), ("middle_block", TapShape::map(1280, 8, 8)));
        assert_eq!(found(15), ("output_blocks.1", TapShape::map(1280, 8, 8)));
        assert_eq!(found(18), ("output_blocks.4", TapShape::map(1280, 16, 16)));
        assert_eq!(found(25), ("output_blocks.11", TapShape::map(320, 64, 64)));
    }

    /// The middle block of the published network, worked by hand: two residual blocks with a transformer between them.
    #[test]
    fn multiply_adds_count_the_transformer_too() {
        let blocks = published().blocks();
        let (channels, pixels) = (1280_u64, 64_u64);
        let residual = 2 * pixels * 9 * channels * channels + channels * channels;
        let linear = pixels * channels * channels * (1 + 4 + 2 + 12 + 1);
        let products = 2 * pixels * pixels * channels + 2 * pixels * 77 * channels;
        let context = 2 * 77 * 768 * channels;
        let cost = blocks[12].multiply_adds - blocks[11].multiply_adds;
        assert_eq!(cost, 2 * residual + linear + products + context);
    }
}
