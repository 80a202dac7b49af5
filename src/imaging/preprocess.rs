//! From a decoded image to the square that a network reads: a list of steps.
//!
//! Three lists have names, `adm-center-crop`, `resize-center-crop` and `stretch-bilinear`; others are written out. What a step draws at
//! random is a function of what the square is for ([`Draw`]), never of the order in which images are prepared.
//!
//! # Reference
//! `adm-center-crop`, `adm-random-crop`: openai/guided-diffusion@22e0df8:guided_diffusion/image_datasets.py, `center_crop_arr` and
//! `random_crop_arr`.
//! `stretch`, `stretch-bilinear`: `stretch.rs`.
//! `resize`, `center-crop`, `random-resized-crop`, `random-flip`: torchvision 0.26, the transforms of these names on Pillow's images;
//! `resize-center-crop` is `Resize` (antialiased bicubic) then `CenterCrop`.
//!
//! # Deviations
//! `center-crop` never pads: a list in which it could be larger than the image is refused before anything runs.
//!
//! # Parity
//! The same values as the references' on the stored photographs (`tests/golden/preprocessing`).

mod shown;

use std::borrow::Cow;
use std::cmp::Ordering;

use serde::Serialize;

use super::adm_crop::{adm_center_crop, adm_random_crop};
use super::random_crop::{random_crop, round_half_even};
use super::{Filter, Image, Normalization, Rectangle, Room, TooMuch, resize, resize_part};
use crate::numbers::to_u32;
use crate::random::Stream;

pub use shown::{Draw, View};

/// How an image becomes a square. Part of an extraction's fingerprint: a word where the list has one, else the steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, PartialOrd, Ord)]
#[serde(untagged)]
pub enum Preprocess {
    /// A list that has a name.
    Named(Named),
    /// The steps, in order.
    Steps(Vec<Step>),
}

/// The lists that have names. Their sides are the network's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, PartialOrd, Ord, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum Named {
    /// [`Step::AdmCenterCrop`].
    AdmCenterCrop,
    /// Bicubic to the shorter side, then crop the center, with torchvision's roundings.
    ResizeCenterCrop,
    /// [`Step::Stretch`].
    StretchBilinear,
}

/// One step. Sides are in pixels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, PartialOrd, Ord)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum Step {
    /// Halve by box filter while the shorter side is at least twice the target, then bicubic, then crop the center.
    AdmCenterCrop {
        /// Side of the square.
        side: u32,
    },
    /// The shorter side becomes of a random length, as [`Step::AdmCenterCrop`] resizes, then a random square is cropped.
    AdmRandomCrop {
        /// Side of the square.
        side: u32,
        /// The least and the most share of the shorter side that the square covers.
        fraction: [Number; 2],
    },
    /// The shorter side becomes `side`, the longer one keeps the shape.
    Resize {
        /// What the shorter side becomes, in pixels.
        side: u32,
        /// How pixels are interpolated.
        filter: Filter,
    },
    /// The whole image, stretched to a square as PyTorch does for FID: between the four nearest pixels, in floating point. The last step
    /// of a list.
    Stretch {
        /// Side of the square.
        side: u32,
    },
    /// Crops the square in the middle; nothing is resized.
    CenterCrop {
        /// Side of the square.
        side: u32,
    },
    /// A random part, resized to a square.
    RandomResizedCrop {
        /// Side of the square.
        side: u32,
        /// The least and the most share of the image's area.
        scale: [Number; 2],
        /// The least and the most ratio of width to height.
        ratio: [Number; 2],
        /// How pixels are interpolated.
        filter: Filter,
    },
    /// The mirror image, left and right exchanged.
    Flip,
    /// The mirror image, or not.
    RandomFlip {
        /// How often, from 0 to 1.
        probability: Number,
    },
}

/// A finite number that can be compared and sorted.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(transparent)]
pub struct Number(pub f64);

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Number {}

impl Named {
    /// Every list by its word.
    pub const CHOICES: &[(&'static str, Self)] = &[
        ("adm-center-crop", Self::AdmCenterCrop),
        ("resize-center-crop", Self::ResizeCenterCrop),
        ("stretch-bilinear", Self::StretchBilinear),
    ];

    /// The word for it in experiment files.
    pub fn name(self) -> &'static str {
        match self {
            Self::AdmCenterCrop => "adm-center-crop",
            Self::ResizeCenterCrop => "resize-center-crop",
            Self::StretchBilinear => "stretch-bilinear",
        }
    }

    /// The steps for a network's side.
    fn steps(self, side: u32) -> Vec<Step> {
        match self {
            Self::AdmCenterCrop => vec![Step::AdmCenterCrop { side }],
            Self::ResizeCenterCrop => {
                let filter = Filter::Bicubic;
                vec![Step::Resize { side, filter }, Step::CenterCrop { side }]
            }
            Self::StretchBilinear => vec![Step::Stretch { side }],
        }
    }
}

impl Default for Preprocess {
    fn default() -> Self {
        Self::Named(Named::AdmCenterCrop)
    }
}

impl Preprocess {
    /// Whether any step draws something at random.
    pub fn is_random(&self) -> bool {
        match self {
            Self::Named(_) => false,
            Self::Steps(steps) => steps.iter().any(|step| {
                matches!(
                    step,
                    Step::RandomResizedCrop { .. }
                        | Step::AdmRandomCrop { .. }
                        | Step::RandomFlip { .. }
                )
            }),
        }
    }

    /// The same without chance, for a network's side: a random crop becomes [`Step::AdmCenterCrop`] of the same side, and a random
    /// mirror image is left out. Itself where nothing is random.
    #[must_use]
    pub fn without_chance(&self, side: u32) -> Self {
        let Self::Steps(steps) = self else {
            return self.clone();
        };
        let fixed = steps.iter().filter_map(|step| match step {
            Step::RandomFlip { .. } => None,
            &(Step::RandomResizedCrop { side, .. } | Step::AdmRandomCrop { side, .. }) => {
                Some(Step::AdmCenterCrop { side })
            }
            other => Some(other.clone()),
        });
        Self::new(fixed.collect(), side)
    }

    /// A list of steps for a network's side; by its name where it has one, so that one list has one fingerprint.
    pub fn new(steps: Vec<Step>, side: u32) -> Self {
        let mut names = Named::CHOICES.iter().map(|(_, named)| *named);
        match names.find(|named| named.steps(side) == steps) {
            Some(named) => Self::Named(named),
            None => Self::Steps(steps),
        }
    }

    /// The shorter side becomes `shorter`, then the middle square of `side` is cropped, both in pixels: how most networks for ImageNet
    /// are evaluated. `shorter` is at least `side`.
    pub fn resize_then_crop(shorter: u32, side: u32, filter: Filter) -> Self {
        let resize = Step::Resize {
            side: shorter,
            filter,
        };
        Self::new(vec![resize, Step::CenterCrop { side }], side)
    }

    /// In words: its name, or its steps.
    pub fn name(&self) -> String {
        match self {
            Self::Named(named) => named.name().to_owned(),
            Self::Steps(steps) => {
                let names: Vec<String> = steps.iter().map(Step::name).collect();
                names.join(", ")
            }
        }
    }

    /// The values that a network reads of the square that this preprocessing makes of an image, `[channels, side, side]`; `mirrored`
    /// exchanges left and right.
    ///
    /// # Errors
    /// An image that would grow too large on the way.
    pub fn planes(
        &self,
        image: &Image,
        side: usize,
        draw: Draw<'_>,
        mirrored: bool,
        (channels, normalization): (usize, Normalization),
    ) -> Result<Vec<f32>, TooMuch> {
        // What one step took is kept for the next.
        let _room = Room::enter();
        let steps = self.steps(side);
        let (steps, stretched) = match steps.split_last() {
            Some((&Step::Stretch { side }, before)) => (before, Some(side as usize)),
            _ => (&*steps, None),
        };
        let image = take(image, steps, draw)?;
        let image = if mirrored {
            Cow::Owned(image.flip())
        } else {
            image
        };
        Ok(match stretched {
            Some(side) => image.stretched(side, channels, normalization),
            None => image.to_planes(channels, normalization),
        })
    }

    /// The steps for a network's side.
    fn steps(&self, side: usize) -> Cow<'_, [Step]> {
        match self {
            Self::Named(name) => Cow::Owned(name.steps(to_u32(side))),
            Self::Steps(steps) => Cow::Borrowed(steps),
        }
    }

    /// The square of `side` pixels that this preprocessing makes of an image.
    ///
    /// # Errors
    /// An image that would grow too large on the way.
    pub fn apply(&self, image: &Image, side: usize, draw: Draw<'_>) -> Result<Image, TooMuch> {
        // What one step took is kept for the next.
        let _room = Room::enter();
        Ok(take(image, &self.steps(side), draw)?.into_owned())
    }
}

/// Takes steps, one after the other.
fn take<'i>(image: &'i Image, steps: &[Step], draw: Draw<'_>) -> Result<Cow<'i, Image>, TooMuch> {
    let mut image = Cow::Borrowed(image);
    let mut position = 0;
    while let Some(step) = steps.get(position) {
        let next = match (step, steps.get(position + 1)) {
            // What is cropped away is not computed.
            (&Step::Resize { side, filter }, Some(&Step::CenterCrop { side: part })) => {
                position += 1;
                resize_center_crop(&image, side as usize, filter, part as usize)?
            }
            _ => step.apply(&image, || draw.stream(position))?,
        };
        image = Cow::Owned(next);
        position += 1;
    }
    Ok(image)
}

impl Step {
    /// In words, such as `resize 256 bicubic`.
    fn name(&self) -> String {
        match self {
            Self::AdmCenterCrop { side } => format!("adm-center-crop {side}"),
            Self::AdmRandomCrop {
                side,
                fraction: [least, most],
            } => format!("adm-random-crop {side} fraction {}–{}", least.0, most.0),
            Self::Resize { side, filter } => format!("resize {side} {}", filter.name()),
            Self::CenterCrop { side } => format!("center-crop {side}"),
            Self::Stretch { side } => format!("stretch {side}"),
            Self::RandomResizedCrop {
                side,
                scale: [small, large],
                ratio: [narrow, wide],
                filter,
            } => format!(
                "random-resized-crop {side} scale {}–{} ratio {:.3}–{:.3} {}",
                small.0,
                large.0,
                narrow.0,
                wide.0,
                filter.name()
            ),
            Self::Flip => "flip".to_owned(),
            Self::RandomFlip { probability } => format!("random-flip {}", probability.0),
        }
    }

    fn apply(&self, image: &Image, stream: impl Fn() -> Stream) -> Result<Image, TooMuch> {
        match self {
            Self::AdmCenterCrop { side } => adm_center_crop(image, *side as usize),
            Self::AdmRandomCrop { side, fraction } => {
                let fraction = fraction.map(|number| number.0);
                adm_random_crop(image, *side as usize, fraction, stream())
            }
            Self::Resize { side, filter } => {
                resize(image, resized(image.size(), *side as usize), *filter)
            }
            Self::Stretch { side } => Ok(image.stretched_to_pixels(*side as usize)),
            Self::CenterCrop { side } => {
                Ok(image.crop(center(image.size().into(), *side as usize)))
            }
            Self::RandomResizedCrop {
                side,
                scale,
                ratio,
                filter,
            } => {
                let numbers = |pair: &[Number; 2]| pair.map(|number| number.0);
                let sides = image.size().into();
                let part = random_crop(sides, numbers(scale), numbers(ratio), &mut stream());
                resize(&image.crop(part), [*side as usize; 2], *filter)
            }
            Self::Flip => Ok(image.flip()),
            Self::RandomFlip { probability } => {
                if f64::from(stream().next_unit()) < probability.0 {
                    Ok(image.flip())
                } else {
                    Ok(image.clone())
                }
            }
        }
    }
}

fn resize_center_crop(
    image: &Image,
    side: usize,
    filter: Filter,
    part: usize,
) -> Result<Image, TooMuch> {
    let sides = resized(image.size(), side);
    resize_part(image, sides, filter, center(sides, part))
}

/// Width and height after the shorter side became `side`; what is behind the longer one's point is cut off.
fn resized((width, height): (usize, usize), side: usize) -> [usize; 2] {
    let long = side * width.max(height) / width.min(height);
    if width <= height {
        [side, long]
    } else {
        [long, side]
    }
}

/// The square in the middle, halves of a pixel to the even one.
fn center(sides: [usize; 2], side: usize) -> Rectangle {
    let offset = |length: usize| round_half_even(length.saturating_sub(side) as f64 / 2.0);
    Rectangle {
        left: offset(sides[0]),
        top: offset(sides[1]),
        width: side,
        height: side,
    }
}
