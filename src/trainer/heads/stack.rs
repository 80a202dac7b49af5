//! Heads of one form that take every step together.

mod state;

use tch::{Device, Kind, Reduction, TchError, Tensor};

use super::scan::shaped;
use super::standard::Standard;
use super::{Data, Epoch, Job};
use crate::bug::Bug;
use crate::heads::{FeatureShape, Head, Mode, Parameter, ParameterForm, Role};
use crate::models::Precision;
use crate::numbers::{to_i64, to_u32};
use crate::trainer::TrainError;
use crate::trainer::config::Training;
use crate::trainer::gradients::clip_gradients_of_each;
use crate::trainer::optimizer::OptimizerState;
use crate::trainer::rates::{Rate, Rates};

/// Heads that agree in everything but learning rate and weight decay.
#[derive(Debug)]
pub(in crate::trainer) struct Stack<'a> {
    /// The heads, as indices into the jobs.
    pub(super) jobs: Vec<usize>,
    pub(super) head: &'a dyn Head,
    /// Learning rate and weight decay are those of the first.
    pub(super) training: &'a Training,
    form: Vec<Parameter>,
    learning_rates: Vec<f64>,
    decays: Vec<f64>,
    /// Each with a leading dimension of M, in the order of the form.
    parameters: Vec<Tensor>,
    moments: OptimizerState,
    /// What `balanced` weighs a sample of each class by, `[K]`.
    class_weights: Option<Tensor>,
    /// Summed losses of the epoch, `[M]` f64, and samples that were right, `[M]` i64.
    sums: (Tensor, Tensor),
    /// For each head.
    pub(in crate::trainer) curves: Vec<Vec<Epoch>>,
    /// For each head: the best validation loss and its epoch, from 1.
    best: Vec<(f64, u32)>,
    /// The parameters of each head's best epoch, where `patience` asks for them.
    best_parameters: Vec<Tensor>,
    /// Heads that take no more steps worth keeping.
    pub(super) stopped: Vec<bool>,
}

/// Whether two jobs may be one stack.
pub(super) fn agree(left: &Job<'_>, right: &Job<'_>) -> bool {
    let but_rates = |training: &Training| {
        let mut training = training.clone();
        training.optimizer.lr = 0.0;
        training.optimizer.weight_decay = 0.0;
        training
    };
    left.seed == right.seed
        && left.head.identity() == right.head.identity()
        && but_rates(left.training) == but_rates(right.training)
}

/// Bytes that training one head takes beside its batches: weights, gradients, two moments, the best weights so far, and two
/// more of their size while a step is made.
pub(super) fn bytes_of(head: &dyn Head, shape: FeatureShape, classes: usize) -> u64 {
    let forms = head.parameters(shape, classes);
    let numbers: usize = forms.iter().map(ParameterForm::count).sum();
    numbers as u64 * 4 * 7
}

impl<'a> Stack<'a> {
    pub(in crate::trainer) fn new(
        jobs: &[Job<'a>],
        members: Vec<usize>,
        shape: FeatureShape,
        classes: usize,
        class_weights: Option<Tensor>,
        device: Device,
    ) -> Option<Self> {
        let first = &jobs[*members.first()?];
        let form = first.head.initial(shape, classes, first.seed);
        let count = to_i64(members.len());
        let parameters: Vec<Tensor> = form
            .iter()
            .map(|parameter| {
                let values = Tensor::from_slice(&parameter.values).view(parameter.shape.as_slice());
                let mut repeats = vec![1; parameter.shape.len() + 1];
                repeats[0] = count;
                let stacked = values.unsqueeze(0).repeat(repeats).to_device(device);
                stacked.set_requires_grad(parameter.role == Role::Trained)
            })
            .collect();
        let of = |pick: fn(&Training) -> f64| -> Vec<f64> {
            members
                .iter()
                .map(|&job| pick(jobs[job].training))
                .collect()
        };
        let mut stack = Self {
            head: first.head,
            training: first.training,
            learning_rates: of(|training| training.optimizer.lr),
            decays: of(|training| training.optimizer.weight_decay),
            moments: OptimizerState::new(
                first.training.optimizer.kind,
                &trained(&form, &parameters),
            ),
            class_weights,
            sums: zero_sums(count, device),
            curves: vec![Vec::new(); members.len()],
            best: vec![(f64::INFINITY, 0); members.len()],
            best_parameters: Vec::new(),
            stopped: vec![false; members.len()],
            jobs: members,
            form,
            parameters,
        };
        if stack.training.patience.is_some() {
            stack.best_parameters = stack.copies();
        }
        Some(stack)
    }

    /// Whether it takes steps in an epoch, counted from 0.
    pub(super) fn is_active(&self, epoch: u32) -> bool {
        epoch < self.training.epochs && self.stopped.contains(&false)
    }

    /// Stored features as it reads them, `[N, C, H, W]`; standardized, where it asks for that.
    pub(super) fn features(
        &self,
        stored: &Tensor,
        standard: Option<&Standard>,
        data: &Data<'_>,
    ) -> Tensor {
        let precision = self.training.precision;
        match standard.filter(|_| self.head.standardizes()) {
            Some(standard) => shaped(&standard.apply(stored), data, precision),
            None => shaped(stored, data, precision),
        }
    }

    /// One step of the optimizer on a batch: `features` `[N, C, S, S]` in the precision of the training, `targets` `[N]`. Gives the
    /// gradient of the loss by the features, where they require one.
    pub(in crate::trainer) fn step(
        &mut self,
        features: &Tensor,
        targets: &Tensor,
        factor: f64,
    ) -> Option<Tensor> {
        let logits = self.logits(&self.parameters, features, Mode::Train);
        let samples = logits.size()[0];
        let losses = self.losses(&logits, targets, self.training.label_smoothing, true);
        let weight = match &self.class_weights {
            Some(weights) => weights.index_select(0, targets).sum(Kind::Float),
            None => Tensor::from(samples as f64)
                .to_kind(Kind::Float)
                .to_device(logits.device()),
        };
        let means = losses.sum_dim_intlist(1, false, Kind::Float) / weight;
        let mut parameters = trained(&self.form, &self.parameters);
        // New tensors, rather than sums into those of the step before, which would have to be cleared first.
        let sum = means.sum(Kind::Float);
        let is_wanted = features.requires_grad();
        let wanted = parameters.iter().chain(is_wanted.then_some(features));
        let wanted: Vec<Tensor> = wanted.map(Tensor::shallow_clone).collect();
        let mut gradients = Tensor::run_backward(&[sum], &wanted, false, false);
        let of_features = is_wanted.then(|| gradients.pop()).flatten();
        if let Some(longest) = self.training.clip {
            clip_gradients_of_each(&mut gradients, longest);
        }
        let step: Vec<f64> = self.learning_rates.iter().map(|lr| lr * factor).collect();
        let rates = Rates {
            step: Rate::each(step),
            decay: Rate::each(self.decays.clone()),
        };
        let flat: Vec<bool> = trained_form(&self.form)
            .map(|parameter| parameter.shape.len() <= 1)
            .collect();
        let optimizer = &self.training.optimizer;
        let moments = &mut self.moments;
        moments.step_by(optimizer, &rates, &mut parameters, &gradients, &flat);
        let _ = tch::no_grad(|| {
            let _ = self
                .sums
                .0
                .g_add_(&(means.detach().to_kind(Kind::Double) * samples as f64));
            let right = logits
                .detach()
                .argmax(2, false)
                .eq_tensor(&targets.unsqueeze(1));
            self.sums
                .1
                .g_add_(&right.sum_dim_intlist(0, false, Kind::Int64))
        });
        of_features
    }

    /// Ends an epoch, counted from 0: writes it into the curves, and looks who has stopped getting better. `held` has the
    /// mean loss and the share of right answers of each head on the validation split. Gives the heads, as positions, whose
    /// loss is NaN or infinite.
    pub(in crate::trainer) fn end_epoch(
        &mut self,
        epoch: u32,
        samples: usize,
        factor: f64,
        held: Option<&[(f64, f64)]>,
    ) -> Result<Vec<usize>, TrainError> {
        let fresh = zero_sums(to_i64(self.jobs.len()), self.sums.0.device());
        let (losses, right) = std::mem::replace(&mut self.sums, fresh);
        let unread = |error: TchError| Bug::new(format!("sums over an epoch: {error}"));
        let losses = Vec::<f64>::try_from(losses.to_device(Device::Cpu)).map_err(unread)?;
        let right = Vec::<i64>::try_from(right.to_device(Device::Cpu)).map_err(unread)?;
        let mut diverged = Vec::new();
        let mut better = vec![false; self.jobs.len()];
        for position in 0..self.jobs.len() {
            if self.stopped[position] {
                continue;
            }
            let train_loss = losses[position] / samples as f64;
            let held = held.map(|held| held[position]);
            self.curves[position].push(Epoch {
                epoch: epoch + 1,
                learning_rate: self.learning_rates[position] * factor,
                train_loss,
                train_top1: right[position] as f64 / samples as f64,
                holdout_loss: held.map(|held| held.0),
                holdout_top1: held.map(|held| held.1),
            });
            if !train_loss.is_finite() {
                diverged.push(position);
                self.stopped[position] = true;
                continue;
            }
            if let (Some(patience), Some((loss, _))) = (self.training.patience, held) {
                let best = &mut self.best[position];
                if loss < best.0 {
                    *best = (loss, epoch + 1);
                    better[position] = true;
                } else if epoch + 1 >= best.1 + patience {
                    self.stopped[position] = true;
                }
            }
        }
        if better.contains(&true) {
            self.keep_best(&better);
        }
        Ok(diverged)
    }

    /// Mean losses and shares of right answers come from these sums: adds a batch of the validation split, `[M]` each.
    pub(in crate::trainer) fn score(
        &self,
        features: &Tensor,
        targets: &Tensor,
    ) -> (Tensor, Tensor) {
        let logits = self.logits(&self.parameters, features, Mode::Predict);
        let losses = self.losses(&logits, targets, 0.0, false);
        let right = logits.argmax(2, false).eq_tensor(&targets.unsqueeze(1));
        (
            losses.sum_dim_intlist(1, false, Kind::Double),
            right.sum_dim_intlist(0, false, Kind::Double),
        )
    }

    /// The logits of the finished heads, `[N, M, K]` f32.
    pub(in crate::trainer) fn predict(&self, features: &Tensor) -> Tensor {
        self.logits(self.finished(), features, Mode::Predict)
    }

    /// The parameters of one finished head by name, without the leading dimension; where it standardizes its features, of a head
    /// that reads them as they are.
    pub(in crate::trainer) fn weights(
        &self,
        position: usize,
        standard: Option<&Standard>,
    ) -> Vec<(&str, Tensor)> {
        let names = self.form.iter().map(|parameter| parameter.name.as_str());
        let own = self
            .finished()
            .iter()
            .map(|stacked| stacked.detach().select(0, to_i64(position)));
        let mut own: Vec<Tensor> = own.collect();
        if let Some(standard) = standard.filter(|_| self.head.standardizes())
            && let [weight, bias, ..] = own.as_mut_slice()
        {
            (*weight, *bias) = standard.folded(weight, bias);
        }
        names.zip(own).collect()
    }

    /// The epoch, from 1, whose weights a head ends with.
    pub(in crate::trainer) fn last_epoch(&self, position: usize) -> u32 {
        let trained = to_u32(self.curves[position].len());
        match self.best.get(position) {
            Some((_, epoch)) if self.training.patience.is_some() && *epoch > 0 => *epoch,
            _ => trained,
        }
    }

    fn finished(&self) -> &[Tensor] {
        if self.best_parameters.is_empty() {
            &self.parameters
        } else {
            &self.best_parameters
        }
    }

    fn logits(&self, parameters: &[Tensor], features: &Tensor, mode: Mode) -> Tensor {
        let logits = if self.training.precision == Precision::F32 {
            self.head.forward(parameters, features, mode)
        } else {
            let kind = features.kind();
            let narrow: Vec<Tensor> = self
                .form
                .iter()
                .zip(parameters)
                .map(|(form, parameter)| match form.role {
                    Role::Trained => parameter.to_kind(kind),
                    Role::Statistic => parameter.shallow_clone(),
                })
                .collect();
            self.head.forward(&narrow, features, mode)
        };
        logits.to_kind(Kind::Float)
    }

    /// The cross entropy of each head and sample, `[M, N]`.
    fn losses(&self, logits: &Tensor, targets: &Tensor, smoothing: f64, weighted: bool) -> Tensor {
        let (samples, heads) = (logits.size()[0], logits.size()[1]);
        // Samples contiguous: libtorch's softmax of ten classes that are side by side takes twenty times as long as that of ten
        // rows of samples, and half as long as the products of a linear head.
        let classes_before_samples = logits.permute([1, 2, 0]).contiguous();
        let targets = targets.unsqueeze(0).expand([heads, samples], false);
        let weights = self.class_weights.as_ref().filter(|_| weighted);
        classes_before_samples.cross_entropy_loss(
            &targets,
            weights,
            Reduction::None,
            -100,
            smoothing,
        )
    }

    fn keep_best(&mut self, better: &[bool]) {
        tch::no_grad(|| {
            for (best, parameter) in self.best_parameters.iter_mut().zip(&self.parameters) {
                for (position, _) in better.iter().enumerate().filter(|(_, better)| **better) {
                    let position = to_i64(position);
                    best.select(0, position)
                        .copy_(&parameter.detach().select(0, position));
                }
            }
        });
    }

    fn copies(&self) -> Vec<Tensor> {
        let copy = |parameter: &Tensor| parameter.detach().copy();
        self.parameters.iter().map(copy).collect()
    }
}

fn trained_form(form: &[Parameter]) -> impl Iterator<Item = &Parameter> {
    form.iter()
        .filter(|parameter| parameter.role == Role::Trained)
}

/// The parameters that the optimizer changes; they share their memory with those that they come from.
fn trained(form: &[Parameter], parameters: &[Tensor]) -> Vec<Tensor> {
    form.iter()
        .zip(parameters)
        .filter(|(form, _)| form.role == Role::Trained)
        .map(|(_, parameter)| parameter.shallow_clone())
        .collect()
}

fn zero_sums(heads: i64, device: Device) -> (Tensor, Tensor) {
    (
        Tensor::zeros([heads], (Kind::Double, device)),
        Tensor::zeros([heads], (Kind::Int64, device)),
    )
}
