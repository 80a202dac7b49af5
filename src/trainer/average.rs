//! An exponential moving average of parameters: what is sampled from, in place of the last step's.
//!
//! # Reference
//! openai/guided-diffusion@22e0df8183507e13a7813f8d38d51b072ca1e67c:guided_diffusion/nn.py (`update_ema`).
//!
//! # Parity
//! Three steps: 2e-5, in `tests/suite/golden_sampling.rs`.

use tch::Tensor;

use crate::models::checkpoint::parameters::Parameters;
use crate::models::checkpoint::weights::WeightMap;

/// The average of each parameter over the steps so far.
#[derive(Debug)]
pub struct Average {
    rate: f64,
    tensors: Vec<Tensor>,
}

impl Average {
    /// Begins with the parameters as they are. `rate` in `[0, 1]` is the share that stays at a step, 0.9999 as published.
    pub fn new(rate: f64, parameters: &[Tensor]) -> Self {
        let copies = parameters.iter().map(|parameter| {
            let mut copy = parameter.detach().zeros_like();
            copy.copy_(&parameter.detach());
            copy
        });
        Self {
            rate,
            tensors: copies.collect(),
        }
    }

    /// Takes the parameters in, the same ones in the same order every time; after a step of the optimizer.
    pub fn update(&mut self, parameters: &[Tensor]) {
        tch::no_grad(|| {
            for (average, parameter) in self.tensors.iter_mut().zip(parameters) {
                let _ = average.g_mul_scalar_(self.rate);
                let _ = average.g_add_(&(parameter * (1.0 - self.rate)));
            }
        });
    }

    /// The averages under the names of the parameters, so that a file of them is a file of weights.
    pub fn state<'a>(
        &'a self,
        parameters: &Parameters,
    ) -> impl Iterator<Item = (String, &'a Tensor)> {
        parameters.name("", &self.tensors)
    }

    /// Takes the averages of `parameters` from what [`Average::state`] left in a file. Whoever calls this must call
    /// [`WeightMap::finish`] in the end.
    ///
    /// # Panics
    /// libtorch panics if the device is out of memory.
    pub fn restored(rate: f64, parameters: &Parameters, weights: &mut WeightMap) -> Self {
        Self {
            rate,
            tensors: parameters.take_alike("", weights),
        }
    }
}
