//! Images out of noise by a loaded network, as bytes: what samples are.
//!
//! The noise of an image is a function of the seed and of the image's number, so that an image does not depend on how many are
//! made beside it, but for rounding.

use tch::{Device, Kind, Tensor};

use super::reverse::ReverseError;
use super::sampling::{Sampling, Step, to_bytes};
use crate::diffusion::noise::{fill_noise, image_id};
use crate::models::InputSpec;
use crate::models::extractor::{ForwardError, Images, Network, Until};
use crate::numbers::to_i64;

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
        let count = numbers.len();
        let side = self.input.side as usize;
        let size = self.input.channels as usize * side * side;
        let mut denoise = |x_t: &Tensor, timestep: u32| {
            if stop() {
                // The chain has no other way to end early; the signal is looked at again below.
                return Err(ForwardError::NoOutput);
            }
            let mut values = vec![0f32; count * size];
            let host = x_t.to_device(Device::Cpu).contiguous();
            host.copy_data(&mut values, count * size);
            let shown = Images {
                pixels: &values,
                count,
                timestep: Some(timestep),
                classes: None,
            };
            let output = self
                .network
                .forward(shown, &[], Until::Output, &mut |_, _| {})?;
            output.ok_or(ForwardError::NoOutput)
        };
        // Draw 0 is the start, and the draws of the steps follow.
        let start = self.noise(&numbers, 0, 0);
        let mut draws = |step: Step| self.noise(&numbers, step.timestep, 1);
        let made = self
            .sampling
            .run(&start, &mut denoise, &mut draws, &mut |_, _| advance());
        if stop() {
            return Ok(None);
        }
        let bytes = to_bytes(&made?)
            .to_device(Device::Cpu)
            .permute([0, 2, 3, 1])
            .contiguous()
            .to_kind(Kind::Uint8);
        let mut pixels = vec![0u8; count * size];
        bytes.copy_data(&mut pixels, count * size);
        Ok(Some(pixels))
    }

    /// The noise of these images, `[N, C, H, W]`, on the device.
    fn noise(&self, numbers: &std::ops::Range<usize>, timestep: u32, draw: u32) -> Tensor {
        let (channels, side) = (self.input.channels as usize, self.input.side as usize);
        let size = channels * side * side;
        let mut values = vec![0f32; numbers.len() * size];
        for (number, target) in numbers.clone().zip(values.chunks_mut(size.max(1))) {
            fill_noise(
                self.seed,
                &image_id(number),
                "samples",
                timestep,
                draw,
                target,
            );
        }
        let sides = [numbers.len(), channels, side, side];
        let sides = sides.map(to_i64);
        Tensor::from_slice(&values)
            .view(sides)
            .to_device(self.device)
    }
}
