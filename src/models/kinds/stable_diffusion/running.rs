//! From a declared network to one that runs: the condition of its text first, and then the U-Net.

use std::path::Path;

use tch::{Device, Kind, Tensor};

use super::network::Network;
use super::text::network::TextEncoder;
use super::{StableDiffusion, names};
use crate::models::checkpoint::weights::{WeightError, WeightMap};
use crate::models::extractor::{self, ForwardError, Images, Until, images_to_tensor};
use crate::models::nn::initial::Initial;
use crate::models::{BlockIndex, InputSpec, Precision};

/// The tensors that show whose names a file has.
const PROBE: &str = "time_embed.0.weight";
const TEXT_PROBE: &str = "text_model.final_layer_norm.weight";

/// The network with its weights, and its condition. The text encoder is in memory only until it has made that.
pub(super) fn load(
    model: &StableDiffusion,
    base: &Path,
    place: (Device, Precision),
) -> Result<Box<dyn extractor::Network>, WeightError> {
    let context = condition(model, base)?.to_device(place.0);
    Ok(Box::new(Extractor {
        network: unet(model, base, place)?,
        context,
        device: place.0,
        input: crate::models::Model::input(model),
    }))
}

/// The U-Net, frozen.
pub(super) fn unet(
    model: &StableDiffusion,
    base: &Path,
    (device, precision): (Device, Precision),
) -> Result<Network, WeightError> {
    let initial = |seed| Initial::new(seed, &model.config.state_dict(), &[]);
    let weights = WeightMap::from_source(&model.weights, base, &initial)?;
    let mut weights = weights.named_as_in(names::UNET, PROBE).on(device);
    weights.convolve_in(precision);
    Network::new(&model.config, &mut weights)
}

/// What the text encoder makes of the prompt, `[1, L, D]`, f32 on the CPU.
pub(super) fn condition(model: &StableDiffusion, base: &Path) -> Result<Tensor, WeightError> {
    let text = &model.config.text;
    let ids = model
        .prompt
        .ids(base, text)
        .map_err(WeightError::Unusable)?;
    let source = model.text_encoder.as_ref().unwrap_or(&model.weights);
    let initial = |seed| Initial::new(seed, &text.state_dict(), &[]);
    let weights = WeightMap::from_source(source, base, &initial)?;
    let mut weights = weights.named_as_in(names::TEXT, TEXT_PROBE);
    Ok(TextEncoder::new(text, &mut weights)?.condition(&ids))
}

/// A network on its device with its condition, ready to give features.
struct Extractor {
    network: Network,
    /// `[1, L, D]`.
    context: Tensor,
    device: Device,
    input: InputSpec,
}

impl extractor::Network for Extractor {
    fn forward(
        &self,
        images: Images<'_>,
        taps: &[BlockIndex],
        until: Until,
        visit: &mut dyn FnMut(BlockIndex, &Tensor),
    ) -> Result<Option<Tensor>, ForwardError> {
        let _guard = tch::no_grad_guard();
        let x_t = images_to_tensor(images, self.input, self.device);
        // One for all images, so that its rounding cannot depend on how many there are.
        let timestep = images.timestep.ok_or(ForwardError::TimestepMissing)?;
        let timesteps = Tensor::full([1], i64::from(timestep), (Kind::Int64, self.device));
        self.network
            .forward_taps(&x_t, &timesteps, &self.context, taps, until, visit)
    }
}
