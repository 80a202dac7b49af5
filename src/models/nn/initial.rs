//! The parameters that a training begins with, and that a network has without one.
//!
//! A value is a function of the parameter's name, its place in it and the seed, so that it does not matter in which order a
//! network takes its parameters.
//!
//! # Reference
//! PyTorch's own initialization of the layers (2.11): weights and biases of linear layers and convolutions uniform within
//! `1 / sqrt(fan_in)`, normalizations 1 and 0; and zeros where a network asks for them, as
//! openai/guided-diffusion@22e0df8183507e13a7813f8d38d51b072ca1e67c:guided_diffusion/nn.py (`zero_module`).
//!
//! torchvision 0.26, `ResNet.__init__`: kernels normal with variance `2 / fan_out` (`kaiming_normal_`, `fan_out`, ReLU); running
//! variances 1.
//!
//! # Deviations
//! The numbers come from the counter-based generator of `random.rs`.

use std::collections::BTreeMap;

use crate::random::Stream;

/// Initial parameters for the network of one state dict.
#[derive(Debug, Clone)]
pub struct Initial {
    seed: u64,
    /// For each layer, by its path: the numbers that one output sums up; 0 for a normalization.
    fan_in: BTreeMap<String, usize>,
    /// The endings of the paths of the layers that begin with zeros.
    zeroed: &'static [&'static str],
    /// Whether the kernels of convolutions are normal by what they put out.
    kaiming: bool,
    /// The standard deviation of parameters that are normal, by their names.
    normal: BTreeMap<String, f64>,
}

impl Initial {
    /// The rule for these parameters.
    ///
    /// - `state_dict`: name and shape of every parameter
    /// - `zeroed`: the endings of the paths of the layers that begin with zeros
    pub fn new(
        seed: u64,
        state_dict: &[(String, Vec<usize>)],
        zeroed: &'static [&'static str],
    ) -> Self {
        let weights = state_dict.iter().filter_map(|(name, shape)| {
            let path = name.strip_suffix(".weight")?;
            let inner = shape.get(1..).unwrap_or_default();
            let fan_in = if inner.is_empty() {
                0
            } else {
                inner.iter().product()
            };
            Some((path.to_owned(), fan_in))
        });
        Self {
            seed,
            fan_in: weights.collect(),
            zeroed,
            kaiming: false,
            normal: BTreeMap::new(),
        }
    }

    /// The rule of torchvision's residual networks for these parameters, name and shape of each.
    pub fn kaiming(seed: u64, state_dict: &[(String, Vec<usize>)]) -> Self {
        Self {
            kaiming: true,
            ..Self::new(seed, state_dict, &[])
        }
    }

    /// The same rule with a parameter that is normal, of mean 0 and this standard deviation.
    #[must_use]
    pub fn with_normal(mut self, name: &str, deviation: f64) -> Self {
        self.normal.insert(name.to_owned(), deviation);
        self
    }

    /// Seed of all parameters; each draws from a stream of its own.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The values of a parameter in row-major order.
    pub fn fill(&self, name: &str, shape: &[usize]) -> Vec<f32> {
        let length = shape.iter().product();
        let (path, part) = name.rsplit_once('.').unwrap_or((name, ""));
        let is_zeroed = |ending: &&str| path == *ending || path.ends_with(&format!(".{ending}"));
        if self.zeroed.iter().any(is_zeroed) {
            return vec![0.0; length];
        }
        if let Some(&deviation) = self.normal.get(name) {
            let mut stream = Stream::new(self.seed, &format!("initial/{name}"));
            return (0..length)
                .map(|_| normal(&mut stream, deviation))
                .collect();
        }
        let fan_in = self.fan_in.get(path).copied().unwrap_or(0);
        if fan_in == 0 {
            let is_one = ["weight", "running_var"].contains(&part);
            let value = if is_one { 1.0 } else { 0.0 };
            return vec![value; length];
        }
        let mut stream = Stream::new(self.seed, &format!("initial/{name}"));
        if let ([outputs, _, kernel @ ..], true) = (shape, self.kaiming)
            && kernel.len() == 2
        {
            let fan_out: usize = outputs * kernel.iter().product::<usize>();
            let deviation = (2.0 / fan_out as f64).sqrt();
            return (0..length)
                .map(|_| normal(&mut stream, deviation))
                .collect();
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a bound for 32-bit weights"
        )]
        let bound = (1.0 / (fan_in as f64).sqrt()) as f32;
        (0..length)
            .map(|_| (2.0 * stream.next_unit() - 1.0) * bound)
            .collect()
    }
}

/// A normal number of mean 0, by Box and Muller's transform. The functions are those of one library, so that every machine gets the
/// same bits.
#[expect(
    clippy::cast_possible_truncation,
    reason = "rounding to f32 is the last step"
)]
fn normal(stream: &mut Stream, deviation: f64) -> f32 {
    // In (0, 1], of which there is a logarithm.
    let radius = (-2.0 * libm::log(1.0 - stream.next_double())).sqrt();
    let angle = std::f64::consts::TAU * stream.next_double();
    (deviation * radius * libm::cos(angle)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_begin_as_in_pytorch_and_as_the_network_says() {
        let list = [
            ("a.0.weight", vec![8]),
            ("a.0.bias", vec![8]),
            ("a.2.weight", vec![50, 8, 3, 3]),
            ("a.2.bias", vec![50]),
            ("a.out.3.weight", vec![4, 50, 3, 3]),
            ("a.out.3.bias", vec![4]),
        ];
        let list = list.map(|(name, shape)| (name.to_owned(), shape));
        let rule = Initial::new(7, &list, &["out.3"]);
        let fill = |position: usize| rule.fill(&list[position].0, &list[position].1);
        let same = |values: &[f32], value: f32| values.iter().all(|one| (one - value).abs() < 1e-9);
        assert!(same(&fill(0), 1.0) && same(&fill(1), 0.0));
        assert!(same(&fill(4), 0.0) && same(&fill(5), 0.0));
        // Uniform within 1 / sqrt(72), so its variance is a third of the bound's square.
        let bound = 1.0 / 72.0_f32.sqrt();
        for position in [2, 3] {
            let values = fill(position);
            assert!(values.iter().all(|value| value.abs() <= bound));
            let squares: f32 = values.iter().map(|value| value * value).sum();
            let ratio = squares / values.len() as f32 / (bound * bound / 3.0);
            assert!((0.6..1.4).contains(&ratio), "{ratio}");
        }
        assert_eq!(fill(2), fill(2));
        let first = fill(2);
        // Drawn with its own deviation, whatever stands beside it.
        let values = rule
            .with_normal("a.positions", 0.125)
            .fill("a.positions", &[40, 50]);
        let squares: f32 = values.iter().map(|value| value * value).sum();
        let ratio = squares / values.len() as f32 / (0.125 * 0.125);
        assert!((0.85..1.15).contains(&ratio), "{ratio}");
        let other = Initial::new(8, &list, &["out.3"]);
        assert_ne!(first, other.fill(&list[2].0, &list[2].1));
    }

    #[test]
    fn residual_networks_begin_as_in_torchvision() {
        let list = [
            ("conv1.weight", vec![64, 3, 7, 7]),
            ("bn1.weight", vec![64]),
            ("bn1.bias", vec![64]),
            ("bn1.running_mean", vec![64]),
            ("bn1.running_var", vec![64]),
            ("fc.weight", vec![10, 400]),
        ];
        let list = list.map(|(name, shape)| (name.to_owned(), shape));
        let rule = Initial::kaiming(3, &list);
        let fill = |position: usize| rule.fill(&list[position].0, &list[position].1);
        let kernel = fill(0);
        // Of 9,408 numbers a mean square has a relative standard error of 1.5 %, and a mean one of 1 % of the deviation; five of them.
        let variance = 2.0 / (64.0 * 49.0);
        let count = kernel.len() as f32;
        let mean = kernel.iter().sum::<f32>() / count;
        let squares = kernel.iter().map(|value| value * value).sum::<f32>() / count;
        assert!((squares / variance - 1.0).abs() < 0.075, "{squares}");
        assert!(mean.abs() < 0.05 * variance.sqrt(), "{mean}");
        // A normal number is beyond two deviations once in 22.
        let far = kernel
            .iter()
            .filter(|value| value.abs() > 2.0 * variance.sqrt());
        assert!((far.count() as f32 / count - 0.0455).abs() < 0.011);
        for (position, value) in [(1, 1.0), (2, 0.0), (3, 0.0), (4, 1.0)] {
            assert!(fill(position).iter().all(|one| (one - value).abs() < 1e-9));
        }
        assert!(fill(5).iter().all(|value| value.abs() <= 0.05));
    }
}
