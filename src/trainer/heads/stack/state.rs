//! What a stack is between two steps: what checkpoints hold of it.

use tch::{Kind, Tensor};

use super::{Stack, trained_form};
use crate::heads::Parameter;
use crate::trainer::heads::Epoch;

impl Stack<'_> {
    /// All tensors that change, with names that are unique within a head: what a checkpoint holds.
    pub(in crate::trainer) fn tensors(&self) -> Vec<(String, Tensor)> {
        let name = |prefix: &str, parameter: &Parameter| format!("{prefix}{}", parameter.name);
        let parameters = self.form.iter().zip(&self.parameters);
        let own = parameters.map(|(form, tensor)| (name("", form), tensor.detach()));
        let best = self.form.iter().zip(&self.best_parameters);
        let best = best.map(|(form, tensor)| (name("best.", form), tensor.detach()));
        let moments = self.moments.tensors().flat_map(|(prefix, tensors)| {
            let trained = trained_form(&self.form).zip(tensors);
            trained.map(move |(form, tensor)| (name(prefix, form), tensor.shallow_clone()))
        });
        own.chain(best).chain(moments).collect()
    }

    /// The best validation loss so far, and its epoch.
    pub(in crate::trainer) fn best(&self, position: usize) -> (f64, u32) {
        self.best[position]
    }

    /// Resumes from a checkpoint: `take` gives the tensor of a name for all heads, in the shape of the one that it is shown.
    pub(in crate::trainer) fn restore(
        &mut self,
        steps: u32,
        mut take: impl FnMut(&str, &Tensor) -> Tensor,
        curves: Vec<Vec<Epoch>>,
        best: Vec<(f64, u32)>,
        stopped: Vec<bool>,
    ) {
        tch::no_grad(|| {
            for (form, parameter) in self.form.iter().zip(&mut self.parameters) {
                let stored = take(&form.name, parameter);
                parameter.copy_(&stored);
            }
            for (form, parameter) in self.form.iter().zip(&mut self.best_parameters) {
                let stored = take(&format!("best.{}", form.name), parameter);
                parameter.copy_(&stored);
            }
        });
        let names: Vec<String> = trained_form(&self.form)
            .map(|form| form.name.clone())
            .collect();
        self.moments = self.moments.replaced(steps, |prefix, index, tensor| {
            take(&format!("{prefix}{}", names[index]), tensor)
        });
        self.curves = curves;
        self.best = best;
        self.stopped = stopped;
    }

    /// The sums of an epoch that is not over: losses, `[M]` f64, and samples that were right, `[M]` i64.
    pub(in crate::trainer) fn sums(&self) -> (&Tensor, &Tensor) {
        (&self.sums.0, &self.sums.1)
    }

    /// Continues the sums of an epoch that is not over.
    pub(in crate::trainer) fn set_sums(&mut self, losses: &[f64], right: &[f64]) {
        let device = self.sums.0.device();
        let right = Tensor::from_slice(right).to_kind(Kind::Int64);
        self.sums = (
            Tensor::from_slice(losses).to_device(device),
            right.to_device(device),
        );
    }

    /// Steps that the optimizer has made.
    pub(in crate::trainer) fn steps(&self) -> u32 {
        self.moments.steps()
    }
}
