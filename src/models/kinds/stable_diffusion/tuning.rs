//! Learning a condition through the frozen U-Net, for the feature map of one block.
//!
//! What is trained is `[1, L, D]`, the tokens that the U-Net attends to. They begin as those that the text encoder makes of the prompt. Each
//! block is a graph of its own, as in `guided_diffusion/tuning.rs`: the backward pass goes from the tapped block to the second, which is the first
//! to read the condition.
//!
//! # Reference
//! arXiv 2307.08702, appendix, Table 4 ("Learnable condition"); its form and its beginning are not stated there.
//!
//! # Deviations
//! The condition begins with the null text, which is a choice of ours.
//!
//! # Parity
//! Three steps of the reference in `tests/suite/golden_condition.rs`; what is kept decides no bit.

use std::path::Path;

use tch::{Device, Kind, Tensor};

use super::super::guided_diffusion::tuning::{add, leaf, push_back};
use super::network::Network;
use super::{StableDiffusion, running};
use crate::models::checkpoint::parameters::Parameters;
use crate::models::checkpoint::weights::WeightError;
use crate::models::extractor::{ForwardError, Until};
use crate::models::tuning::{ActivationCheckpointing, Tune, Tuned};
use crate::models::{BlockIndex, Precision};
use crate::numbers::to_u32;

/// What the condition is called in files.
pub const CONDITION: &str = "condition";

/// The first block that reads the condition.
const FIRST_READER: usize = 2;

/// See [`TunableModel::begin_tuning`](crate::models::tuning::TunableModel::begin_tuning).
pub(super) fn begin(
    model: &StableDiffusion,
    base: &Path,
    (device, precision): (Device, Precision),
    tap: BlockIndex,
    checkpointing: ActivationCheckpointing,
) -> Result<Tuned, WeightError> {
    let context = running::condition(model, base)?;
    let context = context.to_device(device).set_requires_grad(true);
    let network = running::unet(model, base, (device, precision))?;
    let mut parameters = Parameters::default();
    parameters.push(CONDITION, context.shallow_clone());
    let is_read = |_: &str| tap.0 as usize >= FIRST_READER;
    let (trained, untouched) = parameters.partition(is_read);
    Ok(Tuned {
        network: Box::new(Learning {
            network,
            context,
            device,
            tap,
            checkpointing,
        }),
        trained,
        untouched,
    })
}

struct Learning {
    network: Network,
    /// `[1, L, D]`, f32: what is learned.
    context: Tensor,
    device: Device,
    tap: BlockIndex,
    checkpointing: ActivationCheckpointing,
}

impl Tune for Learning {
    fn activations(&self, x_t: &Tensor, timestep: u32) -> Result<Tensor, ForwardError> {
        let _guard = tch::no_grad_guard();
        let (timesteps, taps) = (self.timesteps(timestep), [self.tap]);
        let mut tapped = None;
        let mut visit = |_, map: &Tensor| tapped = Some(map.shallow_clone());
        let until = Until::DeepestTap;
        self.network
            .forward_taps(x_t, &timesteps, &self.context, &taps, until, &mut visit)?;
        tapped.ok_or(ForwardError::NoOutput)
    }

    fn forward_backward(
        &self,
        x_t: &Tensor,
        timestep: u32,
        gradient: &mut dyn FnMut(&Tensor) -> Tensor,
    ) -> Result<(), ForwardError> {
        let tap = self.tap.0 as usize;
        let silu_emb = tch::no_grad(|| self.network.silu_emb(&self.timesteps(timestep)));
        let mut maps = Maps {
            input: self.network.first_input(x_t),
            outputs: Vec::new(),
        };
        let mut kept: Vec<Option<Piece>> = Vec::new();
        for number in 1..=tap {
            // With a graph even where it is dropped at once, so that both passes do the same operations.
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
        for number in (FIRST_READER..=tap).rev() {
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
            add(&mut gradients[number - 2], piece.before.grad());
            if let (Some(source), Some(skip)) = (self.network.skip_of(number), piece.skip) {
                add(&mut gradients[source - 1], skip.grad());
            }
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

impl Learning {
    fn timesteps(&self, timestep: u32) -> Tensor {
        // One for all images, as in a frozen network.
        Tensor::full([1], i64::from(timestep), (Kind::Int64, self.device))
    }

    /// Computes one block. Neither the latents nor the first block know anything of the condition, so they get no gradient.
    fn piece(&self, number: usize, maps: &Maps, silu_emb: &Tensor) -> Result<Piece, ForwardError> {
        let before = match number
            .checked_sub(2)
            .and_then(|before| maps.outputs.get(before))
        {
            Some(map) if number > FIRST_READER => leaf(map),
            Some(map) => map.shallow_clone(),
            None => maps.input.shallow_clone(),
        };
        let source = self.network.skip_of(number);
        let skip = source.and_then(|source| maps.outputs.get(source - 1));
        let skip = skip.map(leaf);
        let given = skip.as_ref().map(Tensor::shallow_clone);
        let block = before.shallow_clone();
        let output = self
            .network
            .run_block(number, block, given, silu_emb, &self.context)
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
