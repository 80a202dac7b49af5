//! Configuration of a guided-diffusion U-Net, and what follows from it without running anything.
//!
//! # Reference
//! openai/guided-diffusion@22e0df8183507e13a7813f8d38d51b072ca1e67c:guided_diffusion/script_util.py (`create_model`)
//! and guided_diffusion/unet.py (`UNetModel`); Dhariwal and Nichol 2021 (arXiv 2105.05233), section 3.
//!
//! # Deviations
//! - Dropout, gradient checkpointing and float16 are absent: they change training or rounding, not the network.
//! - `num_heads_upsample` is absent; upstream calls it deprecated and no published checkpoint sets it.
//! - A side in `attention_resolutions` that no level has is a misfit; upstream divides, rounds down, and may then ignore
//!   it silently or match another level.
//! - A channel count that is not a whole number is a misfit; upstream rounds it down.

use serde::{Deserialize, Serialize};

use super::layout::UNetLayout;
use crate::models::block::BlockInfo;
use crate::models::declared::parameter_count;
use crate::numbers::to_u32;

/// Group normalization always uses 32 groups, so every channel count is a multiple of 32.
pub const GROUPS: u32 = 32;

/// Beyond these, a configuration is a slip of the keyboard, and its list of parameters would not fit in memory.
const MOST_CHANNELS: u32 = 1 << 16;
const MOST_RES_BLOCKS: u32 = 64;

/// The shape of a U-Net, field for field as upstream's flags, in the order in which fingerprints serialize it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are upstream's flags, one for one"
)]
pub struct Config {
    /// Side of the square input in pixels. The paper's network: 256.
    pub image_size: u32,
    /// Channels of the input; 3 for RGB.
    pub in_channels: u32,
    /// Width that `channel_mult` multiplies (upstream `num_channels`), also the length of the sinusoidal embedding.
    /// The paper's network: 256.
    pub model_channels: u32,
    /// Residual blocks in each level of the encoder; the decoder has one more. The paper's network: 2.
    pub num_res_blocks: u32,
    /// Width of each level as a multiple of `model_channels`, outermost level first; each level halves the side.
    /// Fractions exist: the published 512-pixel network begins with 0.5. The paper's network: 1, 1, 2, 2, 4, 4.
    pub channel_mult: Vec<f64>,
    /// Sides in pixels at which blocks end in self-attention, as in upstream's flag `32,16,8`. A level belongs to the
    /// list if `image_size / 2^level` is in it (upstream turns each side into that factor, `image_size / side`). The
    /// middle block always has attention. The paper's network: 32, 16, 8.
    pub attention_resolutions: Vec<u32>,
    /// Attention heads, used only where `num_head_channels` is absent.
    pub num_heads: u32,
    /// Channels of one attention head; the number of heads then grows with the width. The paper's network: 64.
    #[serde(default)]
    pub num_head_channels: Option<u32>,
    /// Whether residual blocks change the resolution, instead of plain down- and upsampling layers. Published: true.
    pub resblock_updown: bool,
    /// Whether the timestep scales and shifts the normalized features (adaptive group normalization), instead of being
    /// added to them. Published: true.
    pub use_scale_shift_norm: bool,
    /// Whether the output has a second set of channels for the variance. Published: true.
    pub learn_sigma: bool,
    /// Number of classes of a class-conditional network; absent for an unconditional one such as the paper's.
    #[serde(default)]
    pub num_classes: Option<u32>,
    /// Whether the channels of `qkv` are ordered (q k v, head, channel) instead of (head, q k v, channel). Only the
    /// published 64-pixel network has the new order.
    pub use_new_attention_order: bool,
    /// Whether plain down- and upsampling layers contain a convolution; without meaning if `resblock_updown`.
    pub conv_resample: bool,
}

impl Config {
    /// Channels of the output: those of the input, twice if the variance is learned.
    pub fn out_channels(&self) -> u32 {
        // Upstream writes 3 or 6; the same for images.
        if self.learn_sigma {
            2 * self.in_channels
        } else {
            self.in_channels
        }
    }

    /// Length of the timestep embedding that every residual block receives.
    pub fn time_embed_channels(&self) -> u32 {
        4 * self.model_channels
    }

    /// Channels of every level, outermost first. Meaningful once [`Config::validate`] found nothing.
    pub fn level_channels(&self) -> Vec<u32> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "validate asks for whole numbers"
        )]
        let whole = |channels: f64| channels as u32;
        self.channel_mult
            .iter()
            .map(|multiplier| whole(multiplier * f64::from(self.model_channels)))
            .collect()
    }

    /// Attention heads for a layer of `channels` channels. Meaningful once [`Config::validate`] found nothing.
    pub fn heads(&self, channels: u32) -> u32 {
        self.num_head_channels.map_or(self.num_heads, |width| {
            channels.checked_div(width).unwrap_or(0)
        })
    }

    /// Everything that keeps this configuration from being a network: lower-case fragments that name the field and the
    /// remedy, all at once. Empty means that every other function here is meaningful.
    pub fn validate(&self) -> Vec<String> {
        let mut misfits = Vec::new();
        let mut require = |holds: bool, misfit: String| {
            if !holds {
                misfits.push(misfit);
            }
        };
        let Self {
            image_size,
            in_channels,
            model_channels,
            num_res_blocks,
            num_heads,
            ..
        } = *self;
        require(
            (1..=MOST_CHANNELS).contains(&in_channels),
            format!("in_channels is {in_channels}; RGB images have 3"),
        );
        require(
            (2..=MOST_CHANNELS).contains(&model_channels) && model_channels.is_multiple_of(2),
            format!(
                "model_channels is {model_channels}; set an even number from 2 to {MOST_CHANNELS}"
            ),
        );
        require(
            (1..=MOST_RES_BLOCKS).contains(&num_res_blocks),
            format!("num_res_blocks is {num_res_blocks}; set a number from 1 to {MOST_RES_BLOCKS}"),
        );
        require(
            !self.channel_mult.is_empty(),
            "channel_mult is empty; list one multiplier for each level, such as [1, 2, 2]".into(),
        );
        require(
            self.num_classes != Some(0),
            "num_classes is 0; leave it out for an unconditional network".into(),
        );
        require(
            self.num_head_channels != Some(0),
            "num_head_channels is 0; leave it out to set the number of heads by num_heads".into(),
        );
        require(
            num_heads > 0 || self.num_head_channels.is_some(),
            "num_heads is 0; set num_heads to at least 1 or set num_head_channels".into(),
        );

        let halvings = to_u32(self.channel_mult.len()).saturating_sub(1);
        let factor = 1_u32.checked_shl(halvings);
        let divisible =
            factor.is_some_and(|factor| image_size > 0 && image_size.is_multiple_of(factor));
        require(
            divisible,
            format!(
                "image_size {image_size} cannot be halved {halvings} times; {} levels need a side divisible by 2^{halvings}",
                self.channel_mult.len()
            ),
        );

        let mut sides = Vec::new();
        for (level, multiplier) in self.channel_mult.iter().enumerate() {
            let side = u32::try_from(level)
                .ok()
                .and_then(|level| image_size.checked_shr(level))
                .unwrap_or(0);
            sides.push(side);
            let channels = multiplier * f64::from(model_channels);
            let whole =
                channels.fract() == 0.0 && (1.0..=f64::from(MOST_CHANNELS)).contains(&channels);
            require(
                whole && channels % f64::from(GROUPS) == 0.0,
                format!(
                    "channel_mult[{level}] = {multiplier} gives {channels} channels; the {GROUPS} groups of group \
                     normalization need a multiple of {GROUPS} from {GROUPS} to {MOST_CHANNELS}"
                ),
            );
            let has_attention =
                self.attention_resolutions.contains(&side) || level + 1 == self.channel_mult.len();
            if let Some(width) = self.num_head_channels
                && has_attention
                && width > 0
            {
                require(
                    channels % f64::from(width) == 0.0,
                    format!(
                        "num_head_channels {width} does not divide the {channels} channels of level {level}"
                    ),
                );
            } else if has_attention && num_heads > 0 {
                require(
                    channels % f64::from(num_heads) == 0.0,
                    format!(
                        "num_heads {num_heads} does not divide the {channels} channels of level {level}"
                    ),
                );
            }
        }
        for resolution in &self.attention_resolutions {
            require(
                sides.contains(resolution),
                format!(
                    "attention_resolutions lists {resolution}, but the levels have sides {sides:?}"
                ),
            );
        }
        misfits
    }

    /// Every block in the order of the forward pass. Meaningful once [`Config::validate`] found nothing.
    pub fn blocks(&self) -> Vec<BlockInfo> {
        UNetLayout::new(self).block_infos()
    }

    /// Name and shape of every parameter, in the order of upstream's state dict. Meaningful once [`Config::validate`]
    /// found nothing.
    pub fn state_dict(&self) -> Vec<(String, Vec<usize>)> {
        UNetLayout::new(self).state_dict()
    }

    /// Number of parameters. Meaningful once [`Config::validate`] found nothing.
    pub fn parameter_count(&self) -> u64 {
        parameter_count(&self.state_dict())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny() -> Config {
        crate::models::kinds::guided_diffusion::presets::find("adm-tiny")
            .unwrap()
            .network
            .clone()
    }

    #[test]
    fn a_preset_has_no_misfits() {
        assert_eq!(tiny().validate(), Vec::<String>::new());
    }

    #[test]
    fn all_misfits_are_reported_at_once() {
        let config = Config {
            image_size: 34,
            num_res_blocks: 0,
            channel_mult: vec![1.0, 1.5, 2.0],
            attention_resolutions: vec![16, 7],
            num_head_channels: Some(48),
            num_classes: Some(0),
            ..tiny()
        };
        let misfits = config.validate().join("\n");
        for fragment in [
            "image_size 34 cannot be halved 2 times",
            "num_res_blocks is 0",
            "channel_mult[1] = 1.5 gives 48 channels",
            "num_head_channels 48 does not divide the 64 channels of level 2",
            "attention_resolutions lists 16",
            "attention_resolutions lists 7, but the levels have sides [34, 17, 8]",
            "num_classes is 0",
        ] {
            assert!(
                misfits.contains(fragment),
                "{fragment:?} is not in:\n{misfits}"
            );
        }
    }

    #[test]
    fn hostile_numbers_are_misfits_and_not_panics() {
        for channel_mult in [
            vec![],
            vec![f64::NAN],
            vec![-1.0],
            vec![f64::INFINITY],
            vec![1e300],
            vec![1.0; 40],
        ] {
            let config = Config {
                channel_mult,
                ..tiny()
            };
            assert!(!config.validate().is_empty());
        }
        for config in [
            Config {
                image_size: 0,
                ..tiny()
            },
            Config {
                model_channels: 0,
                ..tiny()
            },
            Config {
                model_channels: u32::MAX,
                ..tiny()
            },
            Config {
                num_res_blocks: u32::MAX,
                ..tiny()
            },
            Config {
                in_channels: 0,
                ..tiny()
            },
            Config {
                num_head_channels: Some(0),
                ..tiny()
            },
            Config {
                num_head_channels: None,
                num_heads: 0,
                ..tiny()
            },
        ] {
            assert!(!config.validate().is_empty(), "{config:?}");
        }
    }

    #[test]
    fn unknown_fields_are_refused_and_absent_options_are_none() {
        let text = toml::to_string(&Config {
            num_head_channels: None,
            ..tiny()
        })
        .unwrap();
        let config: Config = toml::from_str(&text).unwrap();
        assert_eq!(config.num_head_channels, None);
        let error = toml::from_str::<Config>(&format!("{text}\ndropout = 0.1")).unwrap_err();
        assert!(error.to_string().contains("dropout"), "{error}");
    }

    #[test]
    fn conditional_networks_have_a_table_of_classes_after_the_time_embedding() {
        let config = Config {
            num_classes: Some(10),
            ..tiny()
        };
        let names = config.state_dict();
        assert_eq!(names[4], ("label_emb.weight".into(), vec![10, 128]));
        assert_eq!(
            config.parameter_count(),
            tiny().parameter_count() + 10 * 128
        );
    }
}
