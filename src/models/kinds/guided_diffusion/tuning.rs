//! Training a U-Net further through the feature map of one block.
//!
//! Each block is a graph of its own. The backward pass goes through the blocks from the last to the first and hands gradients from one to
//! the next. Where activations are recomputed, the forward pass keeps what each block gave and drops its graph; it is built again
//! when the backward pass comes to the block, so that the inner activations of one block are in memory at a time.
//!
//! # Reference
//! Chen et al. 2016, arXiv 1604.06174; the same idea as openai/guided-diffusion@22e0df8:guided_diffusion/nn.py (`checkpoint`), which
//! cuts at residual and attention layers instead of blocks.
//!
//! # Parity
//! Gradients of both ways are the same bits, tested below; six steps of the reference in `tests/suite/golden_tuning.rs`.

use std::path::Path;

use tch::{Device, Kind, Tensor};

use super::GuidedDiffusion;
use super::layer::Layer;
use super::layout::UNetLayout;
use super::network::Network;
use crate::models::checkpoint::weights::{WeightError, WeightMap};
use crate::models::extractor::{ForwardError, Until};
use crate::models::tuning::{ActivationCheckpointing, Tune, Tuned};
use crate::models::{BlockIndex, Precision};
use crate::numbers::to_u32;

/// See [`TunableModel::begin_tuning`](crate::models::tuning::TunableModel::begin_tuning).
pub(super) fn begin(
    model: &GuidedDiffusion,
    base: &Path,
    (device, precision): (Device, Precision),
    tap: BlockIndex,
    checkpointing: ActivationCheckpointing,
) -> Result<Tuned, WeightError> {
    let mut weights = WeightMap::from_source(&model.weights, base, &|seed| model.initial(seed))?
        .prefixed(&model.prefix)
        .on(device)
        .trainable();
    weights.convolve_in(precision);
    let network = Network::new(&model.config, &mut weights)?;
    let layout = UNetLayout::new(&model.config);
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
        device,
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
        let (timesteps, taps) = (self.timesteps(timestep), [self.tap]);
        let mut tapped = None;
        let mut visit = |_, map: &Tensor| tapped = Some(map.shallow_clone());
        let until = Until::DeepestTap;
        self.network
            .forward_taps(x_t, &timesteps, None, &taps, until, &mut visit)?;
        tapped.ok_or(ForwardError::NoOutput)
    }

    fn forward_backward(
        &self,
        x_t: &Tensor,
        timestep: u32,
        gradient: &mut dyn FnMut(&Tensor) -> Tensor,
    ) -> Result<(), ForwardError> {
        let tap = self.tap.0 as usize;
        let embedding = self.network.silu_emb(&self.timesteps(timestep), None)?;
        let silu_emb = leaf(&embedding);
        let mut maps = Maps {
            input: self.network.first_input(x_t),
            outputs: Vec::new(),
        };
        let mut kept: Vec<Option<Piece>> = Vec::new();
        for number in 1..=tap {
            // With a graph even where it is dropped at once: without one libtorch multiplies matrices in another order, so that
            // the feature map would differ by rounding from that of the backward pass. That holds as much at a time.
            let piece = self.piece(number, &maps, &silu_emb)?;
            let output = piece.output.detach();
            kept.push(match self.checkpointing {
                ActivationCheckpointing::Off => Some(piece),
                ActivationCheckpointing::On => None,
            });
            maps.outputs.push(output);
        }
        // The gradient by the output of each block, as far as it is known.
        let mut gradients: Vec<Option<Tensor>> = maps.outputs.iter().map(|_| None).collect();
        if let (Some(map), Some(last)) = (maps.outputs.last(), gradients.last_mut()) {
            *last = Some(gradient(map));
        }
        for number in (1..=tap).rev() {
            // No block after this one needs its feature map any more.
            maps.outputs.truncate(number - 1);
            let (Some(of_output), Some(piece)) = (gradients[number - 1].take(), kept.pop()) else {
                continue;
            };
            let piece = match piece {
                Some(piece) => piece,
                None => self.piece(number, &maps, &silu_emb)?,
            };
            push_back(&piece.output, &of_output);
            if number > 1 {
                add(&mut gradients[number - 2], piece.before.grad());
            }
            if let (Some(source), Some(skip)) = (self.network.skip_of(number), piece.skip) {
                add(&mut gradients[source - 1], skip.grad());
            }
        }
        let of_embedding = silu_emb.grad();
        if of_embedding.defined() {
            push_back(&embedding, &of_embedding);
        }
        Ok(())
    }
}

/// What blocks read, without gradients.
struct Maps {
    /// What the first block reads.
    input: Tensor,
    /// What each block gave.
    outputs: Vec<Tensor>,
}

/// One block with a graph of its own, from what it reads to what it gives.
struct Piece {
    before: Tensor,
    skip: Option<Tensor>,
    output: Tensor,
}

impl TunedNetwork {
    fn timesteps(&self, timestep: u32) -> Tensor {
        // One for all images, as in a frozen network.
        Tensor::full([1], i64::from(timestep), (Kind::Int64, self.device))
    }

    /// Computes one block. What the images are made of is not learned, so the first block's input gets no gradient.
    fn piece(&self, number: usize, maps: &Maps, silu_emb: &Tensor) -> Result<Piece, ForwardError> {
        let before = match number
            .checked_sub(2)
            .and_then(|before| maps.outputs.get(before))
        {
            Some(map) => leaf(map),
            None => maps.input.shallow_clone(),
        };
        let source = self.network.skip_of(number);
        let skip = source.and_then(|source| maps.outputs.get(source - 1));
        let skip = skip.map(leaf);
        let given = skip.as_ref().map(Tensor::shallow_clone);
        let output = self
            .network
            .run_block(number, before.shallow_clone(), given, silu_emb)
            .ok_or(ForwardError::UnknownTap {
                tap: self.tap,
                last: BlockIndex(to_u32(number - 1)),
            })?;
        Ok(Piece {
            before,
            skip,
            output,
        })
    }
}

/// The same values as the beginning of a graph of their own.
pub(in crate::models::kinds) fn leaf(tensor: &Tensor) -> Tensor {
    tensor.detach().set_requires_grad(true)
}

/// The backward pass from a tensor by which the gradient of the loss is known.
pub(in crate::models::kinds) fn push_back(tensor: &Tensor, gradient: &Tensor) {
    // The gradient of this sum by the tensor is `gradient` itself, not rounded.
    (tensor * gradient).sum(tensor.kind()).backward();
}

/// Adds a gradient to what is there.
pub(in crate::models::kinds) fn add(sum: &mut Option<Tensor>, gradient: Tensor) {
    if gradient.defined() {
        *sum = Some(match sum.take() {
            Some(sum) => sum + gradient,
            None => gradient,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::WeightsSource;
    use crate::models::checkpoint::parameters::Parameters;
    use crate::models::extractor::to_vec;

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
