//! Stable Diffusion's conditional U-Net, on the latents of its autoencoder, and the text encoder that makes its condition.
//!
//! [`config`] says what a network looks like and which blocks it has, [`network`] runs it, with the residual blocks of
//! [`guided_diffusion`](super::guided_diffusion) and a transformer of its own; [`text`] is CLIP's text encoder, [`names`] how files name the
//! tensors of both.
//!
//! # Reference
//! Rombach et al. 2022 (arXiv 2112.10752); CompVis/stable-diffusion@21f890f9da3cfbeaba8e2ac3c425ee9e998d5229. Blocks are numbered as in arXiv
//! 2307.08702: from 1, first the `input_blocks`, then `middle_block`, then the `output_blocks`, 25 of the published network.
//!
//! # Deviations
//! Listed in the files that make them.

pub mod config;
mod layout;
pub mod names;
#[cfg(feature = "torch")]
pub mod network;
pub mod presets;
pub mod text;
#[cfg(feature = "torch")]
mod transformer;
