//! Images out of noise by a loaded network, as bytes: what samples are.
//!
//! The noise of an image, and its class, are functions of the seed and of the image's number, so that an image does not depend on how
//! many are made beside it, but for rounding.
//!
//! Images stay on the device from the first step to the last: on a GPU the next noise is drawn while the network still computes.

use rayon::prelude::*;
use tch::{Device, Kind, Tensor};

use super::reverse::ReverseError;
use super::sampling::{Denoiser, Sampling, Step, to_bytes};
use crate::diffusion::noise::{fill_noise, image_id};
use crate::models::InputSpec;
use crate::models::extractor::{ForwardError, Images, Network, images_to_tensor};
use crate::models::guidance::Guidance;

/// A loaded network and how it is sampled from.
pub struct FromNoise<'a> {
    /// All that decides a sample besides network and noise.
    pub sampling: &'a Sampling,
    /// The network, with its weights on `device`.
    pub network: &'a dyn Network,
    /// Channels and side of the images that it reads and that are sampled.
    pub input: InputSpec,
    /// The device of all tensors.
    pub device: Device,
    /// Seed of the noise.
    pub seed: u64,
    /// The classes of the images, and what leads the images to them; `None` for images without classes.
    pub conditions: Option<Conditions<'a>>,
    /// What makes bytes, `[N, C, H, W]` u8, of what was sampled where that is no image, such as the decoder of latents.
    pub decode: Option<&'a dyn Fn(&Tensor) -> Tensor>,
}

/// The classes of the images that are sampled.
#[derive(Clone, Copy)]
pub struct Conditions<'a> {
    /// The class of an image by its number.
    pub class_of: &'a (dyn Fn(usize) -> i64 + Sync),
    /// Whether the network is given the classes; they are a classifier's alone otherwise.
    pub is_given: bool,
    /// Guidance without a classifier, of a network that is given the classes.
    pub guidance: Option<Guidance>,
    /// A classifier of noisy images on `device`, and the factor of its gradient.
    pub classifier: Option<(&'a dyn Network, f64)>,
}

/// The network with the classes of one batch.
struct Conditioned<'a> {
    source: &'a FromNoise<'a>,
    /// `[N]`.
    classes: Option<Vec<i64>>,
    stop: &'a dyn Fn() -> bool,
}

impl Denoiser for Conditioned<'_> {
    fn denoise(&mut self, x_t: &Tensor, timestep: u32) -> Result<Tensor, ForwardError> {
        if (self.stop)() {
            // The chain has no other way to end early; the signal is looked at again behind it.
            return Err(ForwardError::NoOutput);
        }
        let (network, conditions) = (self.source.network, self.source.conditions);
        let given = conditions.filter(|conditions| conditions.is_given);
        let given = given.zip(self.classes.as_deref());
        match given {
            None => network.denoise(x_t, timestep, None),
            Some((conditions, classes)) => match conditions.guidance {
                None => network.denoise(x_t, timestep, Some(classes)),
                Some(guidance) => network.guided(x_t, timestep, classes, guidance),
            },
        }
    }

    fn gradient(&mut self, x_t: &Tensor, timestep: u32) -> Result<Option<Tensor>, ForwardError> {
        let classifier = self.source.conditions.and_then(|one| one.classifier);
        let Some(((classifier, scale), classes)) = classifier.zip(self.classes.as_deref()) else {
            return Ok(None);
        };
        let gradient = classifier.class_gradient(x_t, timestep, classes)?;
        Ok(Some(gradient * scale))
    }
}

impl FromNoise<'_> {
    /// Makes the images with these numbers, all at once.
    ///
    /// - `stop`: whether somebody wants to stop; asked before every step
    /// - `advance`: called after every step
    /// - returns: their bytes, `[N, H, W, C]`; `None` where it was stopped
    ///
    /// # Errors
    /// The network refuses the batch, or its output has other channels.
    ///
    /// # Panics
    /// libtorch panics where memory is exhausted.
    pub fn make(
        &self,
        numbers: std::ops::Range<usize>,
        stop: &dyn Fn() -> bool,
        advance: &mut dyn FnMut(),
    ) -> Result<Option<Vec<u8>>, ReverseError> {
        let of_batch = |conditions: Conditions<'_>| -> Vec<i64> {
            numbers.clone().map(conditions.class_of).collect()
        };
        let mut conditioned = Conditioned {
            source: self,
            classes: self.conditions.map(of_batch),
            stop,
        };
        // Draw 0 is the start, and the draws of the steps follow.
        let start = self.noise(&numbers, 0, 0);
        let mut draws = |step: Step| self.noise(&numbers, step.timestep, 1);
        let made = self
            .sampling
            .run(&start, &mut conditioned, &mut draws, &mut |_, _| advance());
        if stop() {
            return Ok(None);
        }
        let made = made?;
        let bytes = self
            .decode
            .map_or_else(|| to_bytes(&made), |decode| decode(&made));
        let bytes = bytes
            .to_device(Device::Cpu)
            .permute([0, 2, 3, 1])
            .contiguous()
            .to_kind(Kind::Uint8);
        let mut pixels = vec![0u8; bytes.numel()];
        let length = pixels.len();
        bytes.copy_data(&mut pixels, length);
        Ok(Some(pixels))
    }

    /// The noise of these images, `[N, C, H, W]`, on the device.
    fn noise(&self, numbers: &std::ops::Range<usize>, timestep: u32, draw: u32) -> Tensor {
        let (channels, side) = (self.input.channels as usize, self.input.side as usize);
        let size = channels * side * side;
        let mut values = vec![0f32; numbers.len() * size];
        let (seed, first) = (self.seed, numbers.start);
        let images = values.par_chunks_mut(size.max(1)).enumerate();
        images.for_each(|(place, target)| {
            let id = image_id(first + place);
            fill_noise(seed, &id, "samples", timestep, draw, target);
        });
        let images = Images {
            pixels: &values,
            count: numbers.len(),
            timestep: None,
            classes: None,
        };
        images_to_tensor(images, self.input, self.device)
    }
}
