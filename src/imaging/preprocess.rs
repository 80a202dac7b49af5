//! From a decoded image to the square that a network reads.
//!
//! # Reference
//! `adm-center-crop`: openai/guided-diffusion@22e0df8:guided_diffusion/image_datasets.py, `center_crop_arr`.
//! `resize-center-crop`: torchvision 0.26, `Resize` (antialiased bicubic) then `CenterCrop`.
//!
//! # Deviations
//! None known; pixels agree with Pillow's on the stored photographs (`tests/golden/preprocessing`).

use serde::Serialize;

use super::{Filter, Image, resize};

/// A way to make an image square. Part of an extraction's fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, PartialOrd, Ord, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum Preprocess {
    /// Halve by box filter while the shorter side is at least twice the target, then bicubic, then crop the centre.
    AdmCenterCrop,
    /// Bicubic to the shorter side, then crop the centre, with torchvision's roundings.
    ResizeCenterCrop,
}

/// What an extraction shows to the network of each image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, PartialOrd, Ord, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum View {
    /// The image as preprocessed.
    Center,
    /// Its mirror image.
    Flip,
}

impl View {
    /// The word that users type and that the store keeps.
    pub fn name(self) -> &'static str {
        match self {
            Self::Center => "center",
            Self::Flip => "flip",
        }
    }

    /// Every view by its word.
    pub const CHOICES: &[(&'static str, Self)] = &[("center", Self::Center), ("flip", Self::Flip)];
}

impl Preprocess {
    /// Every preprocessing by its word.
    pub const CHOICES: &[(&'static str, Self)] = &[
        ("adm-center-crop", Self::AdmCenterCrop),
        ("resize-center-crop", Self::ResizeCenterCrop),
    ];

    /// The word that users type.
    pub fn name(self) -> &'static str {
        match self {
            Self::AdmCenterCrop => "adm-center-crop",
            Self::ResizeCenterCrop => "resize-center-crop",
        }
    }

    /// The square of `side` pixels that this preprocessing makes of an image.
    #[must_use]
    pub fn apply(self, image: &Image, side: usize) -> Image {
        match self {
            Self::AdmCenterCrop => adm_center_crop(image, side),
            Self::ResizeCenterCrop => resize_center_crop(image, side),
        }
    }
}

fn adm_center_crop(image: &Image, side: usize) -> Image {
    let mut image = image.clone();
    while shorter(&image) >= 2 * side {
        let (width, height) = image.size();
        image = resize(&image, width / 2, height / 2, Filter::Box);
    }
    let scale = side as f64 / shorter(&image) as f64;
    let (width, height) = image.size();
    let image = resize(
        &image,
        round_half_even(width as f64 * scale),
        round_half_even(height as f64 * scale),
        Filter::Bicubic,
    );
    let (width, height) = image.size();
    image.crop((width - side) / 2, (height - side) / 2, side, side)
}

fn resize_center_crop(image: &Image, side: usize) -> Image {
    let (width, height) = image.size();
    let long = side * width.max(height) / width.min(height);
    let (width, height) = if width <= height {
        (side, long)
    } else {
        (long, side)
    };
    let image = resize(image, width, height, Filter::Bicubic);
    let offset = |length: usize| round_half_even((length - side) as f64 / 2.0);
    image.crop(offset(width), offset(height), side, side)
}

fn shorter(image: &Image) -> usize {
    let (width, height) = image.size();
    width.min(height)
}

/// Python's `round`. The argument is a side in pixels: not negative, far below 2^53.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sides in pixels are not negative and far below 2^53"
)]
fn round_half_even(value: f64) -> usize {
    value.round_ties_even() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_becomes_the_square() {
        for (width, height) in [
            (28, 28),
            (500, 375),
            (375, 500),
            (64, 65),
            (33, 1000),
            (31, 31),
        ] {
            let image = Image::colour(width, height, vec![90; 3 * width * height]);
            for preprocess in [Preprocess::AdmCenterCrop, Preprocess::ResizeCenterCrop] {
                let square = preprocess.apply(&image, 32);
                assert_eq!(
                    square.size(),
                    (32, 32),
                    "{preprocess:?} of {width}x{height}"
                );
                assert!(square.pixels().iter().all(|&pixel| pixel == 90));
            }
        }
    }

    #[test]
    fn rounding_is_half_to_even() {
        assert_eq!(
            [
                round_half_even(0.5),
                round_half_even(1.5),
                round_half_even(2.5)
            ],
            [0, 2, 2]
        );
    }

    /// Values against Pillow's and torchvision's on photographs: at most 1 apart, by less than 0.05 on average, as
    /// `tests/golden/preprocessing/README.md` says.
    #[test]
    fn pixels_agree_with_pillow() {
        let folder =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/preprocessing");
        let read = |name: &str| Image::decode(&std::fs::read(folder.join(name)).unwrap()).unwrap();
        for photograph in ["chelsea", "chelsea-portrait", "camera"] {
            let image = read(&format!("{photograph}.png"));
            for (preprocess, name) in [
                (Preprocess::AdmCenterCrop, "adm"),
                (Preprocess::ResizeCenterCrop, "tv_bicubic"),
            ] {
                for side in [64, 256] {
                    let expected = read(&format!("{photograph}.{name}{side}.png"));
                    let found = preprocess.apply(&image, side);
                    assert_eq!(found.size(), expected.size());
                    let pairs = found.pixels().iter().zip(expected.pixels());
                    let differences: Vec<u8> = pairs
                        .map(|(found, expected)| found.abs_diff(*expected))
                        .collect();
                    let most = differences.iter().max().copied().unwrap_or(0);
                    let mean = differences
                        .iter()
                        .map(|&value| f64::from(value))
                        .sum::<f64>()
                        / differences.len() as f64;
                    assert!(
                        most <= 1 && mean < 0.05,
                        "{photograph}.{name}{side}: at most {most}, mean {mean}"
                    );
                }
            }
        }
    }
}
