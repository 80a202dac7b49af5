//! From 8-bit pixels to the numbers that a network reads.
//!
//! # Reference
//! `minus-one-to-one`: openai/guided-diffusion@22e0df8:guided_diffusion/image_datasets.py, `arr / 127.5 - 1`.
//! `imagenet`: torchvision 0.26, `ToTensor` and `Normalize(IMAGENET_MEAN, IMAGENET_STD)`.

use serde::Serialize;

/// How pixels become numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Normalization {
    /// `pixel / 127.5 - 1`, between -1 and 1: what diffusion networks read.
    #[default]
    MinusOneToOne,
    /// `pixel / 255`, between 0 and 1.
    ZeroToOne,
    /// `(pixel / 255 - mean) / deviation` with the mean and the standard deviation of each of ImageNet's channels: what most
    /// classifiers read.
    Imagenet,
}

/// Mean of each of ImageNet's channels.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// Standard deviation of each of ImageNet's channels.
const DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];

impl Normalization {
    /// Every normalization by its word.
    pub const CHOICES: &[(&'static str, Self)] = &[
        ("minus-one-to-one", Self::MinusOneToOne),
        ("zero-to-one", Self::ZeroToOne),
        ("imagenet", Self::Imagenet),
    ];

    /// The word for it in experiment files.
    pub fn name(self) -> &'static str {
        match self {
            Self::MinusOneToOne => "minus-one-to-one",
            Self::ZeroToOne => "zero-to-one",
            Self::Imagenet => "imagenet",
        }
    }

    /// Whether it is what is done where nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The number of a value of a channel that is given as a share of the largest, from 0 to 1.
    pub(super) fn of_share(self, share: f32, channel: usize) -> f32 {
        match self {
            Self::MinusOneToOne => 2.0 * share - 1.0,
            Self::ZeroToOne => share,
            Self::Imagenet => (share - MEAN[channel % 3]) / DEVIATION[channel % 3],
        }
    }

    /// The number of each of the 256 values of a channel, from 0.
    pub(super) fn table(self, channel: usize) -> [f32; 256] {
        let mut table = [0.0; 256];
        for (number, value) in table.iter_mut().zip(0u8..=255) {
            let pixel = f32::from(value);
            *number = match self {
                Self::MinusOneToOne => pixel / 127.5 - 1.0,
                Self::ZeroToOne => pixel / 255.0,
                Self::Imagenet => (pixel / 255.0 - MEAN[channel % 3]) / DEVIATION[channel % 3],
            };
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_hold_the_numbers_of_the_references() {
        let near = |found: f32, wanted: f32| assert!((found - wanted).abs() < 1e-6, "{found}");
        let ends = |how: Normalization, channel| {
            let table = how.table(channel);
            (table[0], table[255])
        };
        assert_eq!(ends(Normalization::MinusOneToOne, 0), (-1.0, 1.0));
        assert_eq!(ends(Normalization::ZeroToOne, 0), (0.0, 1.0));
        // torchvision's numbers for black and white.
        for (channel, (black, white)) in [
            (-2.117_904, 2.248_908),
            (-2.035_714_3, 2.428_571_5),
            (-1.804_444_4, 2.64),
        ]
        .into_iter()
        .enumerate()
        {
            let found = ends(Normalization::Imagenet, channel);
            near(found.0, black);
            near(found.1, white);
        }
    }
}
