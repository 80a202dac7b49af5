//! How publishers name the tensors of Stable Diffusion's U-Net and of its text encoder.
//!
//! The network's own names are those of CompVis. Its checkpoints hold the whole system under `state_dict`, with a prefix for each part;
//! diffusers has a folder for each part, and names of its own for those of the U-Net.
//!
//! # Reference
//! CompVis/stable-diffusion@21f890f9da3cfbeaba8e2ac3c425ee9e998d5229: ldm/models/diffusion/ddpm.py (`LatentDiffusion`, `DiffusionWrapper`),
//! ldm/modules/encoders/modules.py (`FrozenCLIPEmbedder`); huggingface/diffusers v0.42.1: models/unets/unet_2d_condition.py;
//! huggingface/transformers v5.23.0: models/clip/modeling_clip.py.
//!
//! # Deviations
//! The running mean of the weights (`model_ema`) that full checkpoints have beside them is not read: the reference does not use it either.

use crate::models::checkpoint::file_names::{FileNames, Renames};

/// Where the U-Net is in a file.
pub const UNET: &[FileNames] = &[
    FileNames::PLAIN,
    behind("state_dict.model.diffusion_model."),
    behind("model.diffusion_model."),
    FileNames {
        renames: DIFFUSERS,
        ..FileNames::PLAIN
    },
];

/// Where the text encoder is in a file.
pub const TEXT: &[FileNames] = &[
    FileNames {
        others: OF_IMAGES,
        ..FileNames::PLAIN
    },
    behind("state_dict.cond_stage_model.transformer."),
    behind("cond_stage_model.transformer."),
    // As current versions of transformers save a text encoder by itself.
    FileNames {
        renames: Renames {
            paths: &[("text_model.", "")],
            parts: &[],
        },
        ..FileNames::PLAIN
    },
];

/// What CLIP has beside its text encoder.
const OF_IMAGES: &[&str] = &[
    "vision_model.",
    "visual_projection.",
    "text_projection.",
    "logit_scale",
];

/// A tensor of the text encoder that counts positions, which nothing is computed from.
pub const POSITION_IDS: &str = "text_model.embeddings.position_ids";

const fn behind(prefix: &'static str) -> FileNames {
    FileNames {
        prefix,
        ..FileNames::PLAIN
    }
}

/// What diffusers calls the layers of the U-Net.
pub const DIFFUSERS: Renames = Renames {
    paths: &[
        ("time_embed.0.", "time_embedding.linear_1."),
        ("time_embed.2.", "time_embedding.linear_2."),
        ("input_blocks.0.0.", "conv_in."),
        ("input_blocks.1.0.", "down_blocks.0.resnets.0."),
        ("input_blocks.1.1.", "down_blocks.0.attentions.0."),
        ("input_blocks.2.0.", "down_blocks.0.resnets.1."),
        ("input_blocks.2.1.", "down_blocks.0.attentions.1."),
        ("input_blocks.3.0.op.", "down_blocks.0.downsamplers.0.conv."),
        ("input_blocks.4.0.", "down_blocks.1.resnets.0."),
        ("input_blocks.4.1.", "down_blocks.1.attentions.0."),
        ("input_blocks.5.0.", "down_blocks.1.resnets.1."),
        ("input_blocks.5.1.", "down_blocks.1.attentions.1."),
        ("input_blocks.6.0.op.", "down_blocks.1.downsamplers.0.conv."),
        ("input_blocks.7.0.", "down_blocks.2.resnets.0."),
        ("input_blocks.7.1.", "down_blocks.2.attentions.0."),
        ("input_blocks.8.0.", "down_blocks.2.resnets.1."),
        ("input_blocks.8.1.", "down_blocks.2.attentions.1."),
        ("input_blocks.9.0.op.", "down_blocks.2.downsamplers.0.conv."),
        ("input_blocks.10.0.", "down_blocks.3.resnets.0."),
        ("input_blocks.11.0.", "down_blocks.3.resnets.1."),
        ("middle_block.0.", "mid_block.resnets.0."),
        ("middle_block.1.", "mid_block.attentions.0."),
        ("middle_block.2.", "mid_block.resnets.1."),
        ("output_blocks.0.0.", "up_blocks.0.resnets.0."),
        ("output_blocks.1.0.", "up_blocks.0.resnets.1."),
        ("output_blocks.2.0.", "up_blocks.0.resnets.2."),
        ("output_blocks.2.1.conv.", "up_blocks.0.upsamplers.0.conv."),
        ("output_blocks.3.0.", "up_blocks.1.resnets.0."),
        ("output_blocks.3.1.", "up_blocks.1.attentions.0."),
        ("output_blocks.4.0.", "up_blocks.1.resnets.1."),
        ("output_blocks.4.1.", "up_blocks.1.attentions.1."),
        ("output_blocks.5.0.", "up_blocks.1.resnets.2."),
        ("output_blocks.5.1.", "up_blocks.1.attentions.2."),
        ("output_blocks.5.2.conv.", "up_blocks.1.upsamplers.0.conv."),
        ("output_blocks.6.0.", "up_blocks.2.resnets.0."),
        ("output_blocks.6.1.", "up_blocks.2.attentions.0."),
        ("output_blocks.7.0.", "up_blocks.2.resnets.1."),
        ("output_blocks.7.1.", "up_blocks.2.attentions.1."),
        ("output_blocks.8.0.", "up_blocks.2.resnets.2."),
        ("output_blocks.8.1.", "up_blocks.2.attentions.2."),
        ("output_blocks.8.2.conv.", "up_blocks.2.upsamplers.0.conv."),
        ("output_blocks.9.0.", "up_blocks.3.resnets.0."),
        ("output_blocks.9.1.", "up_blocks.3.attentions.0."),
        ("output_blocks.10.0.", "up_blocks.3.resnets.1."),
        ("output_blocks.10.1.", "up_blocks.3.attentions.1."),
        ("output_blocks.11.0.", "up_blocks.3.resnets.2."),
        ("output_blocks.11.1.", "up_blocks.3.attentions.2."),
        ("out.0.", "conv_norm_out."),
        ("out.2.", "conv_out."),
    ],
    parts: &[
        ("in_layers.0.", "norm1."),
        ("in_layers.2.", "conv1."),
        ("emb_layers.1.", "time_emb_proj."),
        ("out_layers.0.", "norm2."),
        ("out_layers.3.", "conv2."),
        ("skip_connection.", "conv_shortcut."),
    ],
};
