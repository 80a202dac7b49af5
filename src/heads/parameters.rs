//! The parameters of heads: their names and shapes, which cost nothing to list, and the values that training begins from.

use crate::numbers::to_i64;
use crate::random::Stream;

/// What becomes of a parameter during training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The optimizer updates it.
    Trained,
    /// The forward pass changes it, in training; such as the running mean of a batch norm.
    Statistic,
}

/// How the values of a parameter begin.
#[derive(Debug, Clone, PartialEq)]
pub enum Initializer {
    /// Uniform in ±`bound`, drawn from the stream of a seed and this purpose.
    ///
    /// PyTorch draws the initial weights and biases of its `Linear` and `Conv2d` from this distribution, with a bound of
    /// one over the root of the number of inputs. Ours come from a counter-based generator, so that a seed gives the same
    /// weights on every machine and version.
    Uniform {
        /// The largest absolute value.
        bound: f64,
        /// The purpose of the stream, which no other parameter of the head has.
        purpose: String,
    },
    /// This value everywhere.
    Constant(f32),
}

/// A parameter without its values.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterForm {
    /// The name in the stored weights, as the reference code has it.
    pub name: String,
    /// Length of every axis.
    pub shape: Vec<usize>,
    /// Whether the optimizer or the forward pass changes it.
    pub role: Role,
    /// How its values begin.
    pub beginning: Initializer,
}

/// A named parameter before training: its name, shape and row-major values.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// The name in the stored weights, as the reference code has it.
    pub name: String,
    /// Length of every axis.
    pub shape: Vec<i64>,
    /// Its values, row-major.
    pub values: Vec<f32>,
    /// Whether the optimizer or the forward pass changes it.
    pub role: Role,
}

impl ParameterForm {
    /// A trained parameter that begins uniform in one over the root of `inputs`.
    pub fn uniform(name: &str, shape: &[usize], inputs: usize, purpose: &str) -> Self {
        Self {
            name: name.to_owned(),
            shape: shape.to_vec(),
            role: Role::Trained,
            beginning: Initializer::Uniform {
                bound: 1.0 / (inputs as f64).sqrt(),
                purpose: purpose.to_owned(),
            },
        }
    }

    /// A parameter whose values all begin the same.
    pub fn constant(name: &str, shape: &[usize], value: f32, role: Role) -> Self {
        Self {
            name: name.to_owned(),
            shape: shape.to_vec(),
            role,
            beginning: Initializer::Constant(value),
        }
    }

    /// How many numbers it has: the product of its shape.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// The parameter with its values.
    pub fn begin(&self, seed: u64) -> Parameter {
        let values = match &self.beginning {
            Initializer::Constant(value) => vec![*value; self.count()],
            Initializer::Uniform { bound, purpose } => {
                let mut stream = Stream::new(seed, purpose);
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "rounding to f32 is what is wanted"
                )]
                let value = |unit: f32| ((f64::from(unit) * 2.0 - 1.0) * bound) as f32;
                (0..self.count())
                    .map(|_| value(stream.next_unit()))
                    .collect()
            }
        };
        Parameter {
            name: self.name.clone(),
            shape: self.shape.iter().map(|&side| to_i64(side)).collect(),
            values,
            role: self.role,
        }
    }
}

/// A layer's weight and bias as PyTorch begins them: `NAME.weight` of `[outputs, …]` and `NAME.bias` of `[outputs]`. `kind` is
/// that of the head. The number of inputs is the product of all sides of the weight but the first.
pub(super) fn layer(kind: &str, name: &str, weight: &[usize]) -> [ParameterForm; 2] {
    let inputs = weight.iter().skip(1).product();
    let outputs = weight[0];
    let form = |part: &str, shape: &[usize]| {
        let name = format!("{name}.{part}");
        ParameterForm::uniform(&name, shape, inputs, &format!("{kind}/{name}"))
    };
    [form("weight", weight), form("bias", &[outputs])]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initial_weights_are_bounded_and_follow_the_seed_and_the_name() {
        let [weight, bias] = layer("cnn", "conv1", &[3, 4, 2, 2]);
        assert_eq!((weight.name.as_str(), weight.count()), ("conv1.weight", 48));
        assert_eq!((bias.name.as_str(), bias.count()), ("conv1.bias", 3));
        let first = weight.begin(0);
        assert_eq!(first.shape, [3, 4, 2, 2]);
        assert!(first.values.iter().all(|value| value.abs() <= 0.25));
        assert!(first.values.iter().any(|value| value.abs() > 0.15));
        assert!(bias.begin(0).values.iter().all(|value| value.abs() <= 0.25));
        assert_eq!(first.values, weight.begin(0).values);
        assert_ne!(first.values, weight.begin(1).values);
        assert_ne!(first.values[..3], bias.begin(0).values[..]);
    }
}
