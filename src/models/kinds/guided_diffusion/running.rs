//! From a declared network to one that runs: frozen, or in a training from its beginning.

use tch::{Device, Tensor};

use super::GuidedDiffusion;
use super::network::Network;
use crate::models::checkpoint::weights::{WeightError, WeightMap};
use crate::models::declared::{Architecture, Declared, Loaded, Place};
use crate::models::denoising::{Denoise, Trainable};
use crate::models::extractor::{
    self, ForwardError, Images, Until, images_to_tensor, timestep_of_all,
};
use crate::models::{BlockIndex, InputSpec, Precision};

/// The network with its weights.
pub(super) fn load(model: &Declared<GuidedDiffusion>, place: Place<'_>) -> Loaded {
    let mut weights = model.weight_map(place)?;
    let architecture = model.architecture();
    Ok(Box::new(Extractor {
        network: Network::new(&architecture.config, &mut weights)?,
        device: place.device,
        input: architecture.input(),
        classes: architecture.config.num_classes,
    }))
}

/// See [`TrainableModel::begin_training`](crate::models::denoising::TrainableModel::begin_training).
pub(super) fn begin_training(
    architecture: &GuidedDiffusion,
    seed: u64,
    (device, precision): (Device, Precision),
) -> Result<Trainable, WeightError> {
    let mut weights = WeightMap::initial(architecture.initial(seed))
        .on(device)
        .trainable();
    weights.convolve_in(precision);
    let network = Network::new(&architecture.config, &mut weights)?;
    Ok(Trainable {
        network: Box::new(network),
        parameters: weights.into_parameters(),
    })
}

impl Denoise for Network {
    fn denoise(&self, x_t: &Tensor, timesteps: &Tensor) -> Result<Tensor, ForwardError> {
        let output = self.forward_taps(x_t, timesteps, None, &[], Until::Output, &mut |_, _| {})?;
        output.ok_or(ForwardError::NoOutput)
    }
}

/// A network on its device, ready to give features.
struct Extractor {
    network: Network,
    device: Device,
    input: InputSpec,
    /// How many classes it has; `None` where it is given none.
    classes: Option<u32>,
}

impl Extractor {
    /// The timestep as the network takes it, and the classes of the images, `[N]`.
    fn conditions(
        &self,
        timestep: u32,
        classes: Option<&[i64]>,
    ) -> Result<(Tensor, Option<Tensor>), ForwardError> {
        let known = i64::from(self.classes.unwrap_or(0));
        if let Some(classes) = classes.filter(|_| self.classes.is_some())
            && classes.iter().any(|class| !(0..known).contains(class))
        {
            return Err(ForwardError::UnknownClass { count: known });
        }
        let classes = classes.map(|classes| Tensor::from_slice(classes).to_device(self.device));
        Ok((timestep_of_all(timestep, self.device), classes))
    }
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
        let (timestep, classes) = self.conditions(timestep, images.classes)?;
        self.network
            .forward_taps(&x_t, &timestep, classes.as_ref(), taps, until, visit)
    }

    fn denoise(
        &self,
        x_t: &Tensor,
        timestep: u32,
        classes: Option<&[i64]>,
    ) -> Result<Tensor, ForwardError> {
        let _guard = tch::no_grad_guard();
        let (timestep, classes) = self.conditions(timestep, classes)?;
        let (classes, visit) = (classes.as_ref(), &mut |_, _: &Tensor| {});
        let output =
            self.network
                .forward_taps(x_t, &timestep, classes, &[], Until::Output, visit)?;
        output.ok_or(ForwardError::NoOutput)
    }
}
