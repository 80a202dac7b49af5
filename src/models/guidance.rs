//! What sampling asks of a network: its prediction for images on its device, guided by a class, and the gradient of a class.
//!
//! The methods of [`Network`] lead here unless a kind has its own.
//!
//! # Reference
//! Ho and Salimans 2022 (arXiv 2207.12598) Eq. 6, in the form of facebookresearch/DiT `forward_with_cfg`:
//! `ε = ε_null + s (ε_class - ε_null)`, so that `s = 1` is the network without guidance; Dhariwal and Nichol 2021 (arXiv 2105.05233)
//! Algorithms 1 and 2, openai/guided-diffusion@22e0df8183507e13a7813f8d38d51b072ca1e67c:scripts/classifier_sample.py (`cond_fn`).
//!
//! # Deviations
//! Both passes of the guidance are one batch of twice the images, as in the reference; where the reference draws one chain for both
//! halves, each image has one chain here, too.

use tch::{Device, Kind, Tensor};

use super::extractor::{ForwardError, Images, Network, Until};

/// How strongly a network without a classifier is guided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guidance {
    /// The factor of the difference that the class makes; 1 is no guidance.
    pub scale: f64,
    /// The number that stands for no class.
    pub null: i64,
}

/// A network's output by way of the host, for a kind that has no other.
pub(super) fn denoise<N: Network + ?Sized>(
    network: &N,
    x_t: &Tensor,
    timestep: u32,
    classes: Option<&[i64]>,
) -> Result<Tensor, ForwardError> {
    let count = x_t.size().first().copied().unwrap_or(0);
    let mut pixels = vec![0f32; x_t.numel()];
    let length = pixels.len();
    let host = x_t.to_device(Device::Cpu).contiguous();
    host.copy_data(&mut pixels, length);
    let images = Images {
        pixels: &pixels,
        count: usize::try_from(count).unwrap_or(0),
        timestep: Some(timestep),
        classes,
    };
    let output = network.forward(images, &[], Until::Output, &mut |_, _| {})?;
    output.ok_or(ForwardError::NoOutput)
}

/// A network's output, led away from what it gives without a class; `channels` are those that are led.
pub(super) fn guided<N: Network + ?Sized>(
    network: &N,
    x_t: &Tensor,
    (timestep, channels): (u32, i64),
    classes: &[i64],
    guidance: Guidance,
) -> Result<Tensor, ForwardError> {
    let mut both = classes.to_vec();
    both.resize(2 * classes.len(), guidance.null);
    let output = network.denoise(&Tensor::cat(&[x_t, x_t], 0), timestep, Some(&both))?;
    let halves = output.chunk(2, 0);
    let [with, null] = halves.as_slice() else {
        return Err(ForwardError::NoOutput);
    };
    let all = with.size().get(1).copied().unwrap_or(0);
    let channels = channels.clamp(0, all);
    let led = |of: &Tensor| of.narrow(1, 0, channels);
    let led = led(null) + guidance.scale * (led(with) - led(null));
    // What is left, such as the variance, is that of the class.
    let rest = with.narrow(1, channels, all - channels);
    Ok(Tensor::cat(&[led, rest], 1))
}

/// The gradient of the sum of `log p(class | x_t)` by the images.
///
/// - `logits`: what a classifier makes of images that need a gradient, `[N, K]`
/// - returns: `[N, C, H, W]`, f32
///
/// # Errors
/// As `logits`; a class that it does not have.
pub(super) fn class_gradient(
    x_t: &Tensor,
    classes: &[i64],
    logits: &mut dyn FnMut(&Tensor) -> Result<Tensor, ForwardError>,
) -> Result<Tensor, ForwardError> {
    tch::with_grad(|| {
        let images = x_t.detach().set_requires_grad(true);
        let logits = logits(&images)?.to_kind(Kind::Float);
        let count = logits.size().get(1).copied().unwrap_or(0);
        if classes.iter().any(|class| !(0..count).contains(class)) {
            return Err(ForwardError::UnknownClass { count });
        }
        let wanted = Tensor::from_slice(classes)
            .to_device(logits.device())
            .unsqueeze(1);
        let chosen = logits.log_softmax(1, Kind::Float).gather(1, &wanted, false);
        let (keep, create) = (false, false);
        let gradients = Tensor::run_backward(&[chosen.sum(Kind::Float)], &[&images], keep, create);
        gradients.into_iter().next().ok_or(ForwardError::NoGradient)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::BlockIndex;

    /// Gives two channels for each of an image: the class of the image, and the image itself.
    struct Told;

    impl Network for Told {
        fn forward(
            &self,
            images: Images<'_>,
            _: &[BlockIndex],
            _: Until,
            _: &mut dyn FnMut(BlockIndex, &Tensor),
        ) -> Result<Option<Tensor>, ForwardError> {
            let count = i64::try_from(images.count).unwrap();
            let x = Tensor::from_slice(images.pixels).view([count, 2, 1, 1]);
            let classes = images.classes.ok_or(ForwardError::ClassLabelsMissing)?;
            let classes = Tensor::from_slice(classes).view([count, 1, 1, 1]);
            let classes = classes.to_kind(Kind::Float).expand([count, 2, 1, 1], false);
            Ok(Some(Tensor::cat(&[classes + &x, x], 1)))
        }
    }

    #[test]
    fn guidance_leads_away_from_no_class_and_leaves_the_rest() {
        let x = Tensor::from_slice(&[0.5_f32, 1.0, 1.5, 2.0]).view([2, 2, 1, 1]);
        let guidance = Guidance {
            scale: 4.0,
            null: 10,
        };
        let led = Told.guided(&x, 3, &[1, 2], guidance).unwrap();
        // null + 4 (class - null): 10 + 4 (1 - 10) = -26, and 10 + 4 (2 - 10) = -22, each with what the image adds.
        let expected = [-25.5_f32, -25.0, 0.5, 1.0, -20.5, -20.0, 1.5, 2.0];
        let expected = Tensor::from_slice(&expected).view([2, 4, 1, 1]);
        assert_eq!(led, expected);
        // One of two channels: the other is that of the class.
        let first = guided(&Told, &x, (3, 1), &[1, 2], guidance).unwrap();
        let expected = [-25.5_f32, 2.0, 0.5, 1.0, -20.5, 4.0, 1.5, 2.0];
        assert_eq!(first, Tensor::from_slice(&expected).view([2, 4, 1, 1]));
        // A factor of 1 is the network with its class.
        let one = Guidance {
            scale: 1.0,
            null: 10,
        };
        let plain = Told.denoise(&x, 3, Some(&[1, 2])).unwrap();
        assert_eq!(Told.guided(&x, 3, &[1, 2], one).unwrap(), plain);
    }

    /// Of a linear classifier the gradient is known: the weights of the class, less their mean by probability.
    #[test]
    fn the_gradient_of_a_class_is_that_of_its_log_probability() {
        let weights = Tensor::from_slice(&[0.5_f64, -1.0, 2.0, 0.25, 1.5, -0.75]).view([3, 2]);
        let x = Tensor::from_slice(&[0.3_f64, -0.6, 1.2, 0.1]).view([2, 2]);
        let classes = [2, 0];
        let found = class_gradient(&x, &classes, &mut |x| Ok(x.matmul(&weights.tr())));
        let found = found.unwrap();
        let probabilities = x.matmul(&weights.tr()).softmax(1, Kind::Double);
        let chosen = weights.index_select(0, &Tensor::from_slice(&classes));
        let expected = chosen - probabilities.matmul(&weights);
        let off = (found - expected).abs().max().double_value(&[]);
        assert!(off < 1e-6, "{off:e}");
    }
}
