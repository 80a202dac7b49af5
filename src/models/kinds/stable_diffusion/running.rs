//! From a declared network to one that runs: the condition of its text first, and then the U-Net.

use std::path::Path;

use tch::{Device, Tensor};

use super::network::Network;
use super::text::network::TextEncoder;
use super::{StableDiffusion, names};
use crate::models::checkpoint::weights::{WeightError, WeightMap};
use crate::models::declared::{Declared, Loaded, Place};
use crate::models::extractor::{
    self, ForwardError, Images, Until, images_to_tensor, timestep_of_all,
};
use crate::models::nn::initial::Initial;
use crate::models::{BlockIndex, InputSpec, Model};

/// The tensor that shows whose names a file of the text encoder has.
const TEXT_PROBE: &str = "text_model.final_layer_norm.weight";

/// The network with its weights, and its condition. The text encoder is in memory only until it has made that.
pub(super) fn load(model: &Declared<StableDiffusion>, place: Place<'_>) -> Loaded {
    let context = condition(model, place.base)?.to_device(place.device);
    Ok(Box::new(Extractor {
        network: unet(model, place)?,
        context,
        device: place.device,
        input: model.input(),
    }))
}

/// The U-Net, frozen.
pub(super) fn unet(
    model: &Declared<StableDiffusion>,
    place: Place<'_>,
) -> Result<Network, WeightError> {
    let mut weights = model.weight_map(place)?;
    Network::new(&model.architecture().config, &mut weights)
}

/// What the text encoder makes of the prompt, `[1, L, D]`, f32 on the CPU.
pub(super) fn condition(
    model: &Declared<StableDiffusion>,
    base: &Path,
) -> Result<Tensor, WeightError> {
    let own = model.architecture();
    let text = &own.config.text;
    let ids = own.prompt.ids(base, text).map_err(WeightError::Unusable)?;
    let source = own.text_encoder.as_ref().unwrap_or(model.weights());
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
        let timestep = images.timestep.ok_or(ForwardError::TimestepMissing)?;
        let timestep = timestep_of_all(timestep, self.device);
        self.network
            .forward_taps(&x_t, &timestep, &self.context, taps, until, visit)
    }
}
