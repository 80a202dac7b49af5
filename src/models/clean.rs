//! Networks that read images without noise and without classes, ready to give features.

use tch::{Device, Tensor};

use super::checkpoint::weights::{WeightError, WeightMap};
use super::declared::{Architecture, Declared, Loaded, Place};
use super::extractor::{ForwardError, Images, Network, Until, images_to_tensor};
use super::{BlockIndex, InputSpec, Model};

/// The forward pass of such a network: [`Network::forward`] of images that are on the device, `[N, C, H, W]`, f32.
pub type Forward<N> = fn(
    &N,
    &Tensor,
    &[BlockIndex],
    Until,
    &mut dyn FnMut(BlockIndex, &Tensor),
) -> Result<Option<Tensor>, ForwardError>;

/// Reads the weights of a model and builds its network by `new`. Its forward pass is called without gradients.
///
/// # Errors
/// Weights that are missing, damaged, or do not fit, all of them listed.
pub fn load<A: Architecture, N: Send + 'static>(
    model: &Declared<A>,
    place: Place<'_>,
    new: impl FnOnce(&A, &mut WeightMap) -> Result<N, WeightError>,
    forward: Forward<N>,
) -> Loaded {
    let mut weights = model.weight_map(place)?;
    Ok(Box::new(Clean {
        network: new(model.architecture(), &mut weights)?,
        forward,
        device: place.device,
        input: model.input(),
    }))
}

/// A network on its device.
struct Clean<N> {
    network: N,
    forward: Forward<N>,
    device: Device,
    input: InputSpec,
}

impl<N: Send> Network for Clean<N> {
    fn forward(
        &self,
        images: Images<'_>,
        taps: &[BlockIndex],
        until: Until,
        visit: &mut dyn FnMut(BlockIndex, &Tensor),
    ) -> Result<Option<Tensor>, ForwardError> {
        let _guard = tch::no_grad_guard();
        if images.classes.is_some() {
            return Err(ForwardError::ClassLabelsUnexpected);
        }
        let x = images_to_tensor(images, self.input, self.device);
        (self.forward)(&self.network, &x, taps, until, visit)
    }
}
