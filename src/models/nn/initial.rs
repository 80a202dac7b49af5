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
//! facebookresearch/dino@7c446df5b9f45747937fb0d72314eb9f7b66930a: vision_transformer.py (`_init_weights`, `trunc_normal_`): linear
//! layers, tokens and positions normal with deviation 0.02, biases 0; the embedding of patches as PyTorch has convolutions.
//! facebookresearch/dinov2@b8931f7bf91576930313be2c6d6af376033b35f0: dinov2/hub/backbones.py: layer scale 1.
//!
//! # Deviations
//! DINO's normal numbers are cut at 100 deviations, which none reaches.
//!
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
    /// The standard deviation of parameters that are normal, by their names.
    normal: BTreeMap<String, f64>,
    family: Family,
}

/// The networks that a rule is for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Family {
    /// Those with PyTorch's own initialization.
    Plain,
    /// Residual networks, whose kernels are normal by what they put out.
    Residual,
    /// Vision transformers.
    Transformer,
}

/// Standard deviation of the matrices, tokens and positions of a transformer.
const TRANSFORMER_DEVIATION: f64 = 0.02;

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
            normal: BTreeMap::new(),
            family: Family::Plain,
        }
    }

    /// The rule of torchvision's residual networks for these parameters, name and shape of each.
    pub fn kaiming(seed: u64, state_dict: &[(String, Vec<usize>)]) -> Self {
        Self {
            family: Family::Residual,
            ..Self::new(seed, state_dict, &[])
        }
    }

    /// The rule of DINO's vision transformers for these parameters, name and shape of each.
    pub fn transformer(seed: u64, state_dict: &[(String, Vec<usize>)]) -> Self {
        Self {
            family: Family::Transformer,
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
        if self.family == Family::Transformer
            && let Some(values) = self.of_transformer(name, part, shape)
        {
            return values;
        }
        let fan_in = self.fan_in.get(path).copied().unwrap_or(0);
        if fan_in == 0 {
            let is_one = ["weight", "running_var"].contains(&part);
            let value = if is_one { 1.0 } else { 0.0 };
            return vec![value; length];
        }
        let mut stream = Stream::new(self.seed, &format!("initial/{name}"));
        if let ([outputs, _, kernel @ ..], Family::Residual) = (shape, self.family)
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

    /// What differs from PyTorch's own in a transformer.
    fn of_transformer(&self, name: &str, part: &str, shape: &[usize]) -> Option<Vec<f32>> {
        let length = shape.iter().product();
        let is_matrix = part == "weight" && shape.len() == 2;
        // Tokens and positions are `[1, L, D]` and no part of a layer.
        let is_token = !name.contains('.') && shape.len() == 3;
        if is_matrix || is_token {
            let mut stream = Stream::new(self.seed, &format!("initial/{name}"));
            let values = (0..length).map(|_| normal(&mut stream, TRANSFORMER_DEVIATION));
            return Some(values.collect());
        }
        let is_convolution = name.starts_with("patch_embed.");
        match part {
            "gamma" => Some(vec![1.0; length]),
            "bias" if !is_convolution => Some(vec![0.0; length]),
            _ => None,
        }
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
    fn vision_transformers_begin_as_in_dino() {
        let list = [
            ("cls_token", vec![1, 1, 4096]),
            ("patch_embed.proj.weight", vec![64, 3, 4, 4]),
            ("patch_embed.proj.bias", vec![64]),
            ("blocks.0.norm1.weight", vec![64]),
            ("blocks.0.attn.qkv.weight", vec![192, 64]),
            ("blocks.0.attn.qkv.bias", vec![192]),
            ("blocks.0.ls1.gamma", vec![64]),
        ];
        let list = list.map(|(name, shape)| (name.to_owned(), shape));
        let rule = Initial::transformer(3, &list);
        let fill = |position: usize| rule.fill(&list[position].0, &list[position].1);
        for position in [0, 4] {
            let values = fill(position);
            let squares = values.iter().map(|value| value * value).sum::<f32>();
            // Of 4,096 numbers and more a mean square has a relative standard error of 2.2 % at most; five of them.
            let ratio = squares / values.len() as f32 / 0.0004;
            assert!((0.89..1.11).contains(&ratio), "{ratio}");
        }
        let bound = 1.0 / 48.0_f32.sqrt();
        for position in [1, 2] {
            let values = fill(position);
            assert!(values.iter().all(|value| value.abs() <= bound));
            assert!(values.iter().any(|value| value.abs() > bound / 2.0));
        }
        for (position, value) in [(3, 1.0), (5, 0.0), (6, 1.0)] {
            assert!(fill(position).iter().all(|one| (one - value).abs() < 1e-9));
        }
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
