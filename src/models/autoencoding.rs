//! What an autoencoder has to offer to the models that read its latents.
//!
//! A latent diffusion network reads no images: it reads what an autoencoder made of them, and its samples become images by the
//! autoencoder's decoder. It names the autoencoder ([`Model::autoencoder`](super::Model::autoencoder)), a node of the same experiment.

use std::fmt;

use super::{BlockIndex, Precision};

/// The shape of the latent of one image: `[channels, side, side]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LatentShape {
    /// C.
    pub channels: u32,
    /// H and W.
    pub side: u32,
}

impl fmt::Display for LatentShape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { channels, side } = self;
        write!(formatter, "{channels} × {side} × {side}")
    }
}

/// A model that makes latents of images, and images of latents.
pub trait AutoencodingModel {
    /// The block whose output is the latent, scaled as diffusion networks read it.
    fn latent_block(&self) -> BlockIndex;

    /// The shape of that block's output.
    fn latent(&self) -> LatentShape;

    /// What it computes the latents in that other models read.
    fn latent_precision(&self) -> Precision;

    /// Multiply-adds of the decoder for one image.
    fn decoder_multiply_adds(&self) -> u64;

    /// Reads the weights and builds the decoder.
    ///
    /// # Errors
    /// Weights that are missing, damaged, or do not fit, all of them listed.
    #[cfg(feature = "torch")]
    fn load_decoder(
        &self,
        base: &std::path::Path,
        device: tch::Device,
        precision: Precision,
    ) -> Result<Box<dyn Decode>, super::checkpoint::weights::WeightError>;
}

/// A decoder with its weights, on its device.
#[cfg(feature = "torch")]
pub trait Decode: Send {
    /// The images of latents, without gradients.
    ///
    /// # Shapes
    /// - `latents`: `[N, C, h, w]`, f32 on the decoder's device, scaled as diffusion networks read them
    /// - returns: `[N, 3, H, W]`, f32, between -1 and 1 but for what overshoots
    ///
    /// # Panics
    /// libtorch panics where shapes or devices do not fit and where memory is exhausted.
    fn decode(&self, latents: &tch::Tensor) -> tch::Tensor;
}

/// Decoded images as bytes.
///
/// # Reference
/// facebookresearch/DiT@ed81ce2229091fd4ecc9a223645f95cf379d582b: `sample_ddp.py`, `clamp(127.5 * x + 128, 0, 255)`, cut off.
///
/// # Shapes
/// - `images`: `[N, C, H, W]`, between -1 and 1
/// - returns: the same, u8
///
/// # Panics
/// libtorch panics where memory is exhausted.
#[cfg(feature = "torch")]
pub fn decoded_bytes(images: &tch::Tensor) -> tch::Tensor {
    let scaled: tch::Tensor = images * 127.5 + 128.0;
    scaled.clamp(0.0, 255.0).to_kind(tch::Kind::Uint8)
}

/// What makes bytes of latents: `[N, 3, H, W]`, u8, of `[N, C, h, w]`.
#[cfg(feature = "torch")]
pub type Decoding = Box<dyn Fn(&tch::Tensor) -> tch::Tensor>;

/// Decodes to bytes by a decoder.
#[cfg(feature = "torch")]
pub fn bytes_by(decoder: Box<dyn Decode>) -> Decoding {
    Box::new(move |latents| decoded_bytes(&decoder.decode(latents)))
}

#[cfg(all(test, feature = "torch"))]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_cut_off_and_not_rounded() {
        let images = tch::Tensor::from_slice(&[-2.0_f32, -1.0, -0.999, 0.0, 0.5, 1.0, 3.0]);
        let bytes = decoded_bytes(&images).to_kind(tch::Kind::Int64);
        // -1 is 0.5, and 0.5 is 191.75.
        assert_eq!(
            bytes,
            tch::Tensor::from_slice(&[0_i64, 0, 0, 128, 191, 255, 255])
        );
    }
}
