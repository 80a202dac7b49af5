//! Learning rate and weight decay: one for all parameters, or one for each head of a stack.

use tch::Tensor;

/// A number that goes into every step: one for all parameters, or one for each head of a stack.
#[derive(Debug)]
pub enum Rate {
    /// The same everywhere.
    All(f64),
    /// `[M]`, f32: one for each head, whose parameters lie behind one another in the first dimension.
    Each(Tensor),
}

impl Rate {
    /// The rate of each of M heads, on a device.
    pub fn each(rates: &[f64], device: tch::Device) -> Self {
        let rates = Tensor::from_slice(rates).to_kind(tch::Kind::Float);
        Self::Each(rates.to_device(device))
    }

    pub(super) fn over(&self, divisor: f64) -> Self {
        match self {
            Self::All(rate) => Self::All(rate / divisor),
            Self::Each(rates) => Self::Each(rates / divisor),
        }
    }

    /// The product of two rates of one kind.
    pub(super) fn product(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::All(left), Self::All(right)) => Self::All(left * right),
            (Self::Each(left), Self::Each(right)) => Self::Each(left * right),
            (Self::Each(rates), Self::All(factor)) | (Self::All(factor), Self::Each(rates)) => {
                Self::Each(rates * *factor)
            }
        }
    }

    /// Whether it makes every product zero, which is then left out.
    pub(super) fn is_zero(&self) -> bool {
        matches!(self, Self::All(rate) if *rate == 0.0)
    }

    /// A tensor multiplied by it.
    pub(super) fn on(&self, tensor: &Tensor) -> Tensor {
        match self {
            Self::All(rate) => tensor * *rate,
            Self::Each(rates) => tensor * per_head(rates, tensor.dim()),
        }
    }

    /// A tensor multiplied by 1 less it, in place.
    pub(super) fn shrink(&self, tensor: &mut Tensor) {
        let _ = match self {
            Self::All(rate) => tensor.g_mul_scalar_(1.0 - rate),
            Self::Each(rates) => tensor.g_mul_(&(1.0 - per_head(rates, tensor.dim()))),
        };
    }
}

/// `[M]` as `[M, 1, …]`.
fn per_head(rates: &Tensor, dimensions: usize) -> Tensor {
    let mut shape = vec![1; dimensions];
    if let Some(first) = shape.first_mut() {
        *first = -1;
    }
    rates.view(shape.as_slice())
}

/// The two numbers of a step that may differ within a stack.
#[derive(Debug)]
pub struct Rates {
    /// The learning rate in force.
    pub step: Rate,
    /// Weight decay.
    pub decay: Rate,
}
