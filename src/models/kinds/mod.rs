//! The kinds of models: one folder or file each.
//!
//! Adding a kind is one new file and two lines below: `pub mod name;` and `&name::KIND,`.

pub mod autoencoder;
pub mod dit;
pub mod guided_diffusion;
pub mod import;
pub mod inception;
pub mod mage;
pub mod onnx;
pub mod pixels;
pub mod resnet;
pub mod stable_diffusion;
pub mod unet_encoder;
pub mod vit;

use super::ModelKind;

/// Every model kind.
pub const ALL: &[&ModelKind] = &[
    &autoencoder::KIND,
    &dit::KIND,
    &guided_diffusion::KIND,
    &import::KIND,
    &inception::KIND,
    &mage::KIND,
    &onnx::KIND,
    &pixels::KIND,
    &resnet::KIND,
    &stable_diffusion::KIND,
    &unet_encoder::KIND,
    &vit::KIND,
];
