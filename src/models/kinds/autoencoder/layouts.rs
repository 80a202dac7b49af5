//! How the files of an autoencoder name its tensors, as data. The network's own names are those that diffusers gives them now.
//!
//! # Reference
//! - diffusers 0.42.1: src/diffusers/models/autoencoders/vae.py; earlier releases called the layers of attention `query`, `key`, `value` and
//!   `proj_attn`, and published files of Stable Diffusion v1 have these names
//! - CompVis/stable-diffusion@21f890f9da3cfbeaba8e2ac3c425ee9e998d5229: ldm/modules/diffusionmodules/model.py; the layers of attention are
//!   stored as convolutions with a kernel of 1 × 1, and the decoder's levels are numbered from its end

use crate::models::checkpoint::file_names::{FileNames, Renames};

/// A tensor that every publisher calls by another name.
pub const PROBE: &str = "encoder.mid_block.attentions.0.to_q.weight";

/// What stands beside the network in a training's checkpoint.
const OTHERS: &[&str] = &["loss.", "model_ema."];

/// The names of earlier releases of diffusers.
const EARLIER: Renames = Renames {
    paths: &[
        (
            "encoder.mid_block.attentions.0.",
            "encoder.mid_block.attentions.0.",
        ),
        (
            "decoder.mid_block.attentions.0.",
            "decoder.mid_block.attentions.0.",
        ),
    ],
    parts: &[
        ("to_q.", "query."),
        ("to_k.", "key."),
        ("to_v.", "value."),
        ("to_out.0.", "proj_attn."),
    ],
};

/// The names of CompVis.
const COMPVIS: Renames = Renames {
    paths: &[
        (
            "encoder.down_blocks.0.resnets.0.",
            "encoder.down.0.block.0.",
        ),
        (
            "encoder.down_blocks.0.resnets.1.",
            "encoder.down.0.block.1.",
        ),
        (
            "encoder.down_blocks.1.resnets.0.",
            "encoder.down.1.block.0.",
        ),
        (
            "encoder.down_blocks.1.resnets.1.",
            "encoder.down.1.block.1.",
        ),
        (
            "encoder.down_blocks.2.resnets.0.",
            "encoder.down.2.block.0.",
        ),
        (
            "encoder.down_blocks.2.resnets.1.",
            "encoder.down.2.block.1.",
        ),
        (
            "encoder.down_blocks.3.resnets.0.",
            "encoder.down.3.block.0.",
        ),
        (
            "encoder.down_blocks.3.resnets.1.",
            "encoder.down.3.block.1.",
        ),
        (
            "encoder.down_blocks.0.downsamplers.0.",
            "encoder.down.0.downsample.",
        ),
        (
            "encoder.down_blocks.1.downsamplers.0.",
            "encoder.down.1.downsample.",
        ),
        (
            "encoder.down_blocks.2.downsamplers.0.",
            "encoder.down.2.downsample.",
        ),
        ("encoder.mid_block.resnets.0.", "encoder.mid.block_1."),
        ("encoder.mid_block.attentions.0.", "encoder.mid.attn_1."),
        ("encoder.mid_block.resnets.1.", "encoder.mid.block_2."),
        ("encoder.conv_norm_out.", "encoder.norm_out."),
        ("decoder.mid_block.resnets.0.", "decoder.mid.block_1."),
        ("decoder.mid_block.attentions.0.", "decoder.mid.attn_1."),
        ("decoder.mid_block.resnets.1.", "decoder.mid.block_2."),
        ("decoder.up_blocks.0.resnets.0.", "decoder.up.3.block.0."),
        ("decoder.up_blocks.0.resnets.1.", "decoder.up.3.block.1."),
        ("decoder.up_blocks.0.resnets.2.", "decoder.up.3.block.2."),
        ("decoder.up_blocks.1.resnets.0.", "decoder.up.2.block.0."),
        ("decoder.up_blocks.1.resnets.1.", "decoder.up.2.block.1."),
        ("decoder.up_blocks.1.resnets.2.", "decoder.up.2.block.2."),
        ("decoder.up_blocks.2.resnets.0.", "decoder.up.1.block.0."),
        ("decoder.up_blocks.2.resnets.1.", "decoder.up.1.block.1."),
        ("decoder.up_blocks.2.resnets.2.", "decoder.up.1.block.2."),
        ("decoder.up_blocks.3.resnets.0.", "decoder.up.0.block.0."),
        ("decoder.up_blocks.3.resnets.1.", "decoder.up.0.block.1."),
        ("decoder.up_blocks.3.resnets.2.", "decoder.up.0.block.2."),
        (
            "decoder.up_blocks.0.upsamplers.0.",
            "decoder.up.3.upsample.",
        ),
        (
            "decoder.up_blocks.1.upsamplers.0.",
            "decoder.up.2.upsample.",
        ),
        (
            "decoder.up_blocks.2.upsamplers.0.",
            "decoder.up.1.upsample.",
        ),
        ("decoder.conv_norm_out.", "decoder.norm_out."),
    ],
    parts: &[
        ("conv_shortcut.", "nin_shortcut."),
        ("group_norm.", "norm."),
        ("to_q.", "q."),
        ("to_k.", "k."),
        ("to_v.", "v."),
        ("to_out.0.", "proj_out."),
    ],
};

/// One way of naming.
const fn names(prefix: &'static str, renames: Renames) -> FileNames {
    FileNames {
        prefix,
        others: OTHERS,
        chunk: None,
        renames,
    }
}

/// Every way that is read: diffusers now and before, a checkpoint of Stable Diffusion and its tensors alone, a checkpoint of the
/// autoencoder's own training and its tensors alone.
pub const FILE_NAMES: &[FileNames] = &[
    names("", Renames::NONE),
    names("", EARLIER),
    names("state_dict.first_stage_model.", COMPVIS),
    names("first_stage_model.", COMPVIS),
    names("state_dict.", COMPVIS),
    names("", COMPVIS),
];
