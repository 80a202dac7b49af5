//! Learning a condition through the frozen U-Net, for the feature map of one block.
//!
//! What is trained is `[1, L, D]`, the tokens that the U-Net attends to. They begin as those that the text encoder makes of the prompt. The
//! backward pass goes block by block ([`blockwise`](crate::models::blockwise)), from the tapped one to the second, which is the first to read
//! the condition.
//!
//! # Reference
//! arXiv 2307.08702, appendix, Table 4 ("Learnable condition"); its form and its beginning are not stated there.
//!
//! # Deviations
//! The condition begins with the null text, which is a choice of ours.
//!
//! # Parity
//! Three steps of the reference in `tests/suite/golden_condition.rs`; what is kept decides no bit.

use tch::{Device, Tensor};

use super::network::Network;
use super::{StableDiffusion, running};
use crate::models::BlockIndex;
use crate::models::blockwise::Blocks;
use crate::models::checkpoint::parameters::Parameters;
use crate::models::checkpoint::weights::WeightError;
use crate::models::declared::{Declared, Place};
use crate::models::extractor::{ForwardError, Until, timestep_of_all};
use crate::models::tuning::{ActivationCheckpointing, Tune, Tuned};

/// What the condition is called in files.
pub const CONDITION: &str = "condition";

/// The first block that reads the condition.
const FIRST_READER: usize = 2;

/// See [`TunableModel::begin_tuning`](crate::models::tuning::TunableModel::begin_tuning).
pub(super) fn begin(
    model: &Declared<StableDiffusion>,
    place: Place<'_>,
    tap: BlockIndex,
    checkpointing: ActivationCheckpointing,
) -> Result<Tuned, WeightError> {
    let context = running::condition(model, place.base)?;
    let context = context.to_device(place.device).set_requires_grad(true);
    let network = running::unet(model, place)?;
    let mut parameters = Parameters::default();
    parameters.push(CONDITION, context.shallow_clone());
    let is_read = |_: &str| tap.0 as usize >= FIRST_READER;
    let (trained, untouched) = parameters.partition(is_read);
    Ok(Tuned {
        network: Box::new(Learning {
            network,
            context,
            device: place.device,
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
        let (timestep, taps) = (timestep_of_all(timestep, self.device), [self.tap]);
        let mut tapped = None;
        let mut visit = |_, map: &Tensor| tapped = Some(map.shallow_clone());
        let until = Until::DeepestTap;
        self.network
            .forward_taps(x_t, &timestep, &self.context, &taps, until, &mut visit)?;
        tapped.ok_or(ForwardError::NoOutput)
    }

    fn forward_backward(
        &self,
        x_t: &Tensor,
        timestep: u32,
        gradient: &mut dyn FnMut(&Tensor) -> Tensor,
    ) -> Result<(), ForwardError> {
        let (network, context) = (&self.network, &self.context);
        let timestep = timestep_of_all(timestep, self.device);
        let silu_emb = tch::no_grad(|| network.silu_emb(&timestep));
        let blocks = Blocks {
            input: network.first_input(x_t),
            // Neither the latents nor the block before it know anything of the condition.
            first: FIRST_READER,
            skip_of: &|number| network.skip_of(number),
            run: &|number, before, skip| {
                network.run_block(number, before, skip, &silu_emb, context)
            },
        };
        blocks.forward_backward(self.tap, self.checkpointing, gradient)
    }
}
