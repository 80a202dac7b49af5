//! Resizing as Pillow does it for 8-bit images, value for value: antialiased when shrinking, a horizontal pass, then a vertical one,
//! each in fixed point and rounded to 8 bits.
//!
//! # Reference
//! Pillow 13, `Image.resize` (`src/libImaging/Resample.c`): which pixels a filter covers, its weights in 22 bits, and the rounding.
//!
//! # Deviations
//! None: the values are the same (`tests/golden/preprocessing`). A part of the result can be asked for, and only that is computed.

#[cfg(test)]
mod tests;

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::convolve::{across, bytes_across, bytes_down, down};
use super::room::Room;
use super::{Image, Rectangle};
use crate::limits::IMAGE_MEMORY;
use crate::text;

/// Bits behind the point of a weight: 32, less 8 for a value and 2 for sums of weights beyond 0 to 1.
pub(super) const WEIGHT_BITS: u32 = 32 - 8 - 2;

/// A resampling filter, as Pillow names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    /// The mean of the covered pixels.
    Box,
    /// Linear interpolation.
    Bilinear,
    /// Cubic interpolation with a = -0.5.
    Bicubic,
}

impl Filter {
    /// Every filter by its word.
    pub const CHOICES: &[(&'static str, Self)] = &[
        ("box", Self::Box),
        ("bilinear", Self::Bilinear),
        ("bicubic", Self::Bicubic),
    ];

    /// The word for it in experiment files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Box => "box",
            Self::Bilinear => "bilinear",
            Self::Bicubic => "bicubic",
        }
    }

    /// How far it reaches to each side, in pixels of the source where nothing shrinks.
    fn support(self) -> f64 {
        match self {
            Self::Box => 0.5,
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    /// Its height at a distance from its middle.
    fn at(self, distance: f64) -> f64 {
        const A: f64 = -0.5;
        let x = distance.abs();
        match self {
            Self::Box if distance > -0.5 && distance <= 0.5 => 1.0,
            Self::Bilinear if x < 1.0 => 1.0 - x,
            Self::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            _ => 0.0,
        }
    }
}

/// A resize that takes more memory than is given to images ([`IMAGE_MEMORY`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "resizing its {} × {} pixels to {} × {} takes {} of memory; at most {} are given to an image",
    from[0], from[1], to[0], to[1], text::bytes(*bytes), text::bytes(IMAGE_MEMORY)
)]
pub struct TooMuch {
    /// Width and height of the image, in pixels.
    pub from: [usize; 2],
    /// Width and height that it was to get, in pixels.
    pub to: [usize; 2],
    /// The memory that it takes, in bytes.
    pub bytes: u64,
}

/// The image at another size, `[width, height]` in pixels from 1. A direction that has its size already is not filtered.
///
/// # Errors
/// A resize that takes more memory than is given to images.
pub fn resize(
    image: &Image,
    [width, height]: [usize; 2],
    filter: Filter,
) -> Result<Image, TooMuch> {
    let whole = Rectangle {
        left: 0,
        top: 0,
        width,
        height,
    };
    resize_part(image, [width, height], filter, whole)
}

/// A part of [`resize`]'s result: the same pixels as `resize(…).crop(part)`, without those around it, and from the rows that it needs. The
/// part is within the result and has at least one pixel.
///
/// # Errors
/// A resize that takes more memory than is given to images.
pub fn resize_part(
    image: &Image,
    to: [usize; 2],
    filter: Filter,
    part: Rectangle,
) -> Result<Image, TooMuch> {
    let [width, height] = to;
    let room = Room::enter();
    let too_much = |bytes| TooMuch {
        from: image.size().into(),
        to,
        bytes,
    };
    // Weights of a direction are as many as its longer side, each several times over.
    let weights = bytes_of_taps(image.width, width, filter, part.width)
        .saturating_add(bytes_of_taps(image.height, height, filter, part.height));
    if weights > IMAGE_MEMORY {
        return Err(too_much(weights));
    }
    room.take(weights);
    let columns = part.left..part.left + part.width;
    let columns = (width != image.width).then(|| taps(image.width, width, filter, columns));
    let rows = part.top..part.top + part.height;
    let down_taps = (height != image.height).then(|| taps(image.height, height, filter, rows));
    let needed = match &down_taps {
        None => {
            let end = (part.top + part.height).min(image.height);
            part.top.min(end)..end
        }
        Some(taps) => rows_of(taps),
    };
    let (wide, channels) = (part.width, image.channels);
    let across_bytes = columns.as_deref().map_or_else(
        || wide as u64 * (needed.len() * channels) as u64,
        |taps| bytes_across(image.width, needed.len(), channels, taps),
    );
    let down_bytes = down_taps.as_deref();
    let down_bytes = down_bytes.map_or(0, |taps| bytes_down(wide, needed.len(), channels, taps));
    // The image itself, and the one that it was cropped from.
    let bytes = (2 * image.pixels.len() as u64)
        .saturating_add(weights)
        .saturating_add(across_bytes)
        .saturating_add(down_bytes);
    if bytes > IMAGE_MEMORY {
        return Err(too_much(bytes));
    }
    room.take(bytes);
    let narrowed = match columns {
        Some(taps) => across(image, needed.clone(), &taps),
        None => image.crop(Rectangle {
            top: needed.start,
            height: needed.len(),
            ..part
        }),
    };
    Ok(match down_taps {
        None => narrowed,
        Some(mut taps) => {
            for tap in &mut taps {
                tap.first -= needed.start;
            }
            down(&narrowed, &taps)
        }
    })
}

/// The rows that taps read. They begin at an even one, so that pairs of rows stay the same ones.
fn rows_of(taps: &[Tap]) -> Range<usize> {
    let first = taps.iter().map(|tap| tap.first).min().unwrap_or(0);
    let end = taps.iter().map(|tap| tap.first + tap.weights.len()).max();
    let first = first - first % 2;
    first..end.unwrap_or(first).max(first)
}

/// About the memory that the taps of `part` pixels take, in bytes; before they are made.
fn bytes_of_taps(from: usize, to: usize, filter: Filter, part: usize) -> u64 {
    if from == to {
        return 0;
    }
    let stretch = from as u64 / (to as u64).max(1) + 1;
    // Bicubic reaches to two pixels on each side.
    let weights = match filter {
        Filter::Box => stretch + 2,
        Filter::Bilinear => 2 * stretch + 2,
        Filter::Bicubic => 4 * stretch + 2,
    };
    // A tap, its list, and the same in pairs with both halves four times over (`convolve.rs`).
    let each =
        weights * size_of::<i32>() as u64 + (size_of::<Tap>() + 16) as u64 + (weights / 2 + 2) * 32;
    (part as u64).saturating_mul(each)
}

/// What one pixel of a result is made of: consecutive pixels of the source, each with a weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tap {
    /// Index of the source pixel that the first weight is for, from 0.
    pub(super) first: usize,
    /// The weights, with [`WEIGHT_BITS`] bits behind the point.
    pub(super) weights: Vec<i32>,
}

/// The taps of some pixels of one direction; none where not all of them are there.
fn taps(from: usize, to: usize, filter: Filter, part: Range<usize>) -> Vec<Tap> {
    let part = if part.end <= to { part } else { 0..0 };
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    let support = filter.support() * stretch;
    let of_pixel = |pixel: usize| {
        let center = (pixel as f64 + 0.5) * scale;
        let first = whole(center - support + 0.5);
        let end = whole(center + support + 0.5).min(from);
        let heights: Vec<f64> = (first..end)
            .map(|source| filter.at((source as f64 - center + 0.5) * (1.0 / stretch)))
            .collect();
        let sum: f64 = heights.iter().sum();
        let share = if sum == 0.0 { 1.0 } else { 1.0 / sum };
        Tap {
            first,
            weights: heights.iter().map(|height| fixed(height * share)).collect(),
        }
    };
    part.map(of_pixel).collect()
}

/// The whole pixels below a place; places before the image are its begin.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast clamps at 0, which is what is wanted; sides of images are far below 2^53"
)]
fn whole(place: f64) -> usize {
    place as usize
}

/// A weight in fixed point, halves away from 0.
#[expect(
    clippy::cast_possible_truncation,
    reason = "weights lie between -1 and 2"
)]
fn fixed(weight: f64) -> i32 {
    (weight * f64::from(1 << WEIGHT_BITS) + 0.5f64.copysign(weight)) as i32
}
