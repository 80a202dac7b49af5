//! Learning rate and weight decay: one for all parameters, or one for each head of a stack.

use tch::{Kind, Tensor};

/// A number that goes into every step: one for all parameters, or one for each head of a stack.
///
/// All that is done to it is done in 64 bits, and rounded to 32 once, where it meets a tensor: a head steps by the same bits
/// alone and in a stack.
#[derive(Debug, Clone, PartialEq)]
pub enum Rate {
    /// One rate for all heads.
    All(f64),
    /// One for each head, whose parameters are behind one another in the first dimension.
    Each(Vec<f64>),
}

impl Rate {
    /// The rate of each of some heads.
    pub fn each(rates: Vec<f64>) -> Self {
        match rates.as_slice() {
            [one] => Self::All(*one),
            _ => Self::Each(rates),
        }
    }

    /// Divided by a number.
    pub(super) fn over(&self, divisor: f64) -> Self {
        self.map(|rate| rate / divisor)
    }

    /// The product of two rates, which are of one kind unless one is the same everywhere.
    pub(super) fn product(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::All(left), Self::All(right)) => Self::All(left * right),
            (Self::Each(left), Self::Each(right)) => Self::Each(
                left.iter()
                    .zip(right)
                    .map(|(left, right)| left * right)
                    .collect(),
            ),
            (rates @ Self::Each(_), Self::All(factor))
            | (Self::All(factor), rates @ Self::Each(_)) => rates.map(|rate| rate * factor),
        }
    }

    /// Whether it makes every product zero, which is then left out.
    pub(super) fn is_zero(&self) -> bool {
        match self {
            Self::All(rate) => *rate == 0.0,
            Self::Each(rates) => rates.iter().all(|rate| *rate == 0.0),
        }
    }

    /// A tensor multiplied by it.
    pub(super) fn on(&self, tensor: &Tensor) -> Tensor {
        match self {
            Self::All(rate) => tensor * *rate,
            Self::Each(rates) => tensor * per_head(rates, tensor),
        }
    }

    /// Multiplies a tensor in place.
    pub(super) fn scale(&self, tensor: &mut Tensor) {
        let _ = match self {
            Self::All(rate) => tensor.g_mul_scalar_(*rate),
            Self::Each(rates) => tensor.g_mul_(&per_head(rates, tensor)),
        };
    }

    /// A tensor multiplied by 1 less it, in place.
    pub(super) fn shrink(&self, tensor: &mut Tensor) {
        self.map(|rate| 1.0 - rate).scale(tensor);
    }

    fn map(&self, change: impl Fn(f64) -> f64) -> Self {
        match self {
            Self::All(rate) => Self::All(change(*rate)),
            Self::Each(rates) => Self::Each(rates.iter().map(|&rate| change(rate)).collect()),
        }
    }
}

/// Rates as `[M, 1, …]` in f32, to be multiplied with `like`.
fn per_head(rates: &[f64], like: &Tensor) -> Tensor {
    let mut shape = vec![1; like.dim()];
    if let Some(first) = shape.first_mut() {
        *first = -1;
    }
    Tensor::from_slice(rates)
        .to_kind(Kind::Float)
        .to_device(like.device())
        .view(shape.as_slice())
}

/// The two numbers of a step that may differ within a stack.
#[derive(Debug)]
pub struct Rates {
    /// The learning rate in force.
    pub step: Rate,
    /// Weight decay.
    pub decay: Rate,
}
