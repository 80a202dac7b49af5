//! Training a U-Net further through the feature map of one block.
//!
//! It goes block by block ([`blockwise`](crate::models::blockwise)), and through the embedding of the timestep at the end.
//!
//! # Reference
//! openai/guided-diffusion@22e0df8:guided_diffusion/nn.py (`checkpoint`), which cuts at residual and attention layers instead of blocks.
//!
//! # Parity
//! Gradients of both ways are the same bits, tested below; six steps of the reference in `tests/suite/golden_tuning.rs`.

use tch::{Device, Tensor};

use super::GuidedDiffusion;
use super::layer::Layer;
use super::layout::UNetLayout;
use super::network::Network;
use crate::models::BlockIndex;
use crate::models::blockwise::{Blocks, leaf, push_back};
use crate::models::checkpoint::weights::WeightError;
use crate::models::declared::{Declared, Place};
use crate::models::extractor::{ForwardError, Until, timestep_of_all};
use crate::models::tuning::{ActivationCheckpointing, Tune, Tuned};

/// See [`TunableModel::begin_tuning`](crate::models::tuning::TunableModel::begin_tuning).
pub(super) fn begin(
    model: &Declared<GuidedDiffusion>,
    place: Place<'_>,
    tap: BlockIndex,
    checkpointing: ActivationCheckpointing,
) -> Result<Tuned, WeightError> {
    let config = &model.architecture().config;
    let mut weights = model.weight_map(place)?.trainable();
    let network = Network::new(config, &mut weights)?;
    let layout = UNetLayout::new(config);
    let (before, after) = layout
        .blocks
        .split_at(layout.blocks.len().min(tap.0 as usize));
    let mut beyond: Vec<String> = after
        .iter()
        .map(|block| format!("{}.", block.path))
        .chain([String::from("out.")])
        .collect();
    let reads_timestep = |layer: &Layer| matches!(layer, Layer::Residual { .. });
    if !before
        .iter()
        .any(|block| block.layers.iter().any(reads_timestep))
    {
        beyond.push("time_embed.".to_owned());
    }
    let is_before = |name: &str| !beyond.iter().any(|path| name.starts_with(path.as_str()));
    let (trained, untouched) = weights.into_parameters().partition(is_before);
    let network = Box::new(TunedNetwork {
        network,
        device: place.device,
        tap,
        checkpointing,
    });
    Ok(Tuned {
        network,
        trained,
        untouched,
    })
}

struct TunedNetwork {
    network: Network,
    device: Device,
    tap: BlockIndex,
    checkpointing: ActivationCheckpointing,
}

impl Tune for TunedNetwork {
    fn activations(&self, x_t: &Tensor, timestep: u32) -> Result<Tensor, ForwardError> {
        let _guard = tch::no_grad_guard();
        let (timestep, taps) = (timestep_of_all(timestep, self.device), [self.tap]);
        let mut tapped = None;
        let mut visit = |_, map: &Tensor| tapped = Some(map.shallow_clone());
        let until = Until::DeepestTap;
        self.network
            .forward_taps(x_t, &timestep, None, &taps, until, &mut visit)?;
        tapped.ok_or(ForwardError::NoOutput)
    }

    fn forward_backward(
        &self,
        x_t: &Tensor,
        timestep: u32,
        gradient: &mut dyn FnMut(&Tensor) -> Tensor,
    ) -> Result<(), ForwardError> {
        let timestep = timestep_of_all(timestep, self.device);
        let embedding = self.network.silu_emb(&timestep, None)?;
        let silu_emb = leaf(&embedding);
        let blocks = Blocks {
            input: self.network.first_input(x_t),
            // What the images are made of is not learned.
            first: 1,
            skip_of: &|number| self.network.skip_of(number),
            run: &|number, before, skip| self.network.run_block(number, before, skip, &silu_emb),
        };
        blocks.forward_backward(self.tap, self.checkpointing, gradient)?;
        let of_embedding = silu_emb.grad();
        if of_embedding.defined() {
            push_back(&embedding, &of_embedding);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tch::Kind;

    use super::*;
    use crate::models::checkpoint::parameters::Parameters;
    use crate::models::extractor::to_vec;
    use crate::models::{Precision, WeightsSource};

    fn tuned(tap: u32, precision: Precision, checkpointing: ActivationCheckpointing) -> Tuned {
        let model = crate::models::preset("adm-nano").unwrap().model;
        let model = model.with_weights(WeightsSource::Synthetic(1));
        let tunable = model.tunable().unwrap();
        let (base, tap) = (Path::new("."), BlockIndex(tap));
        let tuned = tunable.begin_tuning(base, Device::Cpu, precision, tap, checkpointing);
        tuned.unwrap()
    }

    fn images() -> Tensor {
        let input = crate::models::preset("adm-nano").unwrap().model.input();
        let mut values = vec![0.0; (3 * input.channels * input.side * input.side) as usize];
        crate::diffusion::noise::fill_noise(5, "images", "center", 0, 0, &mut values);
        let (channels, side) = (i64::from(input.channels), i64::from(input.side));
        Tensor::from_slice(&values).view([3, channels, side, side])
    }

    /// The gradients of a made-up loss, by name.
    fn gradients(tuned: &Tuned) -> Vec<(String, Vec<f32>)> {
        let mut of_map = |map: &Tensor| map.cos() * 0.01;
        tuned
            .network
            .forward_backward(&images(), 90, &mut of_map)
            .unwrap();
        all(&tuned.trained)
    }

    fn all(parameters: &Parameters) -> Vec<(String, Vec<f32>)> {
        let named = parameters.names().iter().zip(parameters.tensors());
        named
            .map(|(name, tensor)| (name.clone(), to_vec(&tensor.grad())))
            .collect()
    }

    #[test]
    fn gradients_do_not_depend_on_what_is_kept() {
        let last = u32::try_from(
            crate::models::preset("adm-nano")
                .unwrap()
                .model
                .blocks()
                .len(),
        )
        .unwrap();
        for precision in [Precision::F32, Precision::Bf16] {
            for tap in [1, 3, last - 1, last] {
                let kept = gradients(&tuned(tap, precision, ActivationCheckpointing::Off));
                let recomputed = gradients(&tuned(tap, precision, ActivationCheckpointing::On));
                assert!(
                    kept.iter()
                        .any(|(_, values)| values.iter().any(|&v| v != 0.0))
                );
                assert!(kept == recomputed, "tap {tap} in {precision:?}");
            }
        }
    }

    #[test]
    fn every_trained_parameter_gets_a_gradient_and_no_other_does() {
        // The first block knows nothing of the timestep.
        for (tap, knows_time) in [(1, false), (2, true), (4, true)] {
            let tuned = tuned(tap, Precision::F32, ActivationCheckpointing::On);
            gradients(&tuned);
            let is_reached = |tensor: &Tensor| tensor.grad().defined();
            assert!(tuned.trained.tensors().iter().all(is_reached));
            assert!(!tuned.untouched.tensors().iter().any(is_reached));
            assert!(!tuned.untouched.names().is_empty());
            let mut names = tuned.trained.names().iter();
            assert_eq!(names.any(|name| name.starts_with("time_embed")), knows_time);
        }
    }

    #[test]
    fn gradients_are_those_of_small_differences() {
        let tuned = tuned(3, Precision::F32, ActivationCheckpointing::On);
        let loss = || {
            let map = tuned.network.activations(&images(), 90).unwrap();
            (map.sin() * 0.01).sum(Kind::Double).double_value(&[])
        };
        gradients(&tuned);
        for (name, parameter) in tuned.trained.names().iter().zip(tuned.trained.tensors()) {
            let slope = parameter.grad().shallow_clone();
            let length = slope.norm().double_value(&[]);
            if length == 0.0 {
                continue;
            }
            // A step along the gradient changes the loss by its length times the gradient norm.
            // A shorter one drowns in the rounding of f32: the loss is known to some 2e-6.
            let step = 4e-3;
            let direction = &slope * (step / length);
            let _ = tch::no_grad(|| parameter.shallow_clone().g_add_(&direction));
            let up = loss();
            let _ = tch::no_grad(|| parameter.shallow_clone().g_sub_(&(&direction * 2.0)));
            let down = loss();
            let _ = tch::no_grad(|| parameter.shallow_clone().g_add_(&direction));
            let found = (up - down) / (2.0 * step);
            assert!(
                (found - length).abs() <= 0.03 * length + 1e-3,
                "{name}: {found} against {length}"
            );
        }
    }

    #[test]
    fn it_sees_what_a_frozen_network_sees() {
        use crate::models::extractor::Images;
        let model = crate::models::preset("adm-nano").unwrap().model;
        let model = model.with_weights(WeightsSource::Synthetic(1));
        let frozen = model
            .load(Path::new("."), Device::Cpu, Precision::F32)
            .unwrap();
        let x_t = to_vec(&images());
        let seen = Images {
            pixels: &x_t,
            count: 3,
            timestep: Some(90),
            classes: None,
        };
        let mut map = None;
        let mut visit = |_, of_block: &Tensor| map = Some(of_block.copy());
        let taps = [BlockIndex(5)];
        frozen
            .forward(seen, &taps, Until::DeepestTap, &mut visit)
            .unwrap();
        let tuned = tuned(5, Precision::F32, ActivationCheckpointing::Off);
        let own = tuned.network.activations(&images(), 90).unwrap();
        assert!((own - map.unwrap()).abs().max().double_value(&[]) < 1e-5);
    }
}
