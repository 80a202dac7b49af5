//! Images before they become tensors: decoding, resizing, cropping.
//!
//! Everything here works on 8-bit pixels, as the reference code does. [`preprocess::Preprocess::apply`] is the one way from an
//! [`Image`] to a network's square, [`Image::to_planes`] the one from there to the numbers that it reads.

mod adm_crop;
mod convolve;
mod decode;
mod formats;
mod normalize;
mod png;
pub mod preprocess;
mod random_crop;
mod resize;
mod room;
mod stretch;
#[cfg(test)]
mod tests;

pub use decode::DecodeError;
pub use normalize::Normalization;
pub use preprocess::Preprocess;
pub use resize::{Filter, TooMuch, resize, resize_part};
pub use room::Room;

/// An image of 8-bit pixels, row-major, channels interleaved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    width: usize,
    height: usize,
    channels: usize,
    pixels: Vec<u8>,
}

/// A part of an image, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rectangle {
    /// Columns to the left of it.
    pub left: usize,
    /// Rows above it.
    pub top: usize,
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
}

impl Image {
    /// A gray image of one channel. The pixels must number `width * height`.
    pub fn gray(width: usize, height: usize, pixels: Vec<u8>) -> Self {
        debug_assert_eq!(pixels.len(), width * height);
        Self {
            width,
            height,
            channels: 1,
            pixels,
        }
    }

    /// A color image of three channels. The pixels must number `3 * width * height`.
    pub fn color(width: usize, height: usize, pixels: Vec<u8>) -> Self {
        debug_assert_eq!(pixels.len(), 3 * width * height);
        Self {
            width,
            height,
            channels: 3,
            pixels,
        }
    }

    /// Decodes JPEG, PNG, WebP, BMP, TIFF or GIF by content, never by name; the result has three channels.
    ///
    /// # Errors
    /// Bytes that are none of these, that are damaged or cut off, or more than [`MOST_PIXELS`](crate::limits::MOST_PIXELS).
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode::decode(bytes)
    }

    /// A square image of its bare bytes, row after row with channels interleaved; `None` where no square has so many. It has one channel
    /// or three: no number of bytes is that of both, because 3 is no square.
    pub fn square(bytes: &[u8]) -> Option<Self> {
        let side_of = |pixels: usize| {
            let side = pixels.isqrt();
            (side > 0 && side * side == pixels).then_some(side)
        };
        let pixels = bytes.to_vec();
        if let Some(side) = side_of(bytes.len()) {
            return Some(Self::gray(side, side, pixels));
        }
        let side = side_of(bytes.len() / 3).filter(|_| bytes.len().is_multiple_of(3))?;
        Some(Self::color(side, side, pixels))
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// 1 (gray) or 3 (red, green, blue).
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The pixels, row-major, channels interleaved.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// A part of the image; what is outside of it is left out.
    #[must_use]
    pub fn crop(&self, part: Rectangle) -> Self {
        let left = part.left.min(self.width);
        let width = part.width.min(self.width - left);
        let height = part.height.min(self.height.saturating_sub(part.top));
        let stride = self.width * self.channels;
        let mut pixels = Vec::with_capacity(width * height * self.channels);
        for row in part.top..part.top + height {
            let start = row * stride + left * self.channels;
            pixels.extend_from_slice(&self.pixels[start..start + width * self.channels]);
        }
        Self {
            width,
            height,
            channels: self.channels,
            pixels,
        }
    }

    /// The mirror image, left and right exchanged.
    #[must_use]
    pub fn flip(&self) -> Self {
        let pixels = self
            .pixels
            .chunks_exact(self.width * self.channels)
            .flat_map(|row| row.chunks_exact(self.channels).rev().flatten().copied())
            .collect();
        Self { pixels, ..*self }
    }

    /// The values that a network reads: `[channels, height, width]`, channel-major, in the range of the normalization.
    ///
    /// A gray image is repeated over three channels; a color image for a one-channel network becomes gray by ITU-R 601
    /// weights (299, 587, 114 thousandths), as Pillow's mode `L` does.
    pub fn to_planes(&self, channels: usize, normalization: Normalization) -> Vec<f32> {
        let size = self.width * self.height;
        let mut planes = vec![0.0; channels * size];
        for (channel, plane) in planes.chunks_exact_mut(size.max(1)).enumerate() {
            let table = normalization.table(channel);
            let colors = self.pixels.as_chunks::<3>().0;
            if self.channels == 1 {
                fill(plane, &self.pixels, |&gray| table[usize::from(gray)]);
            } else if channels == 1 {
                fill(plane, colors, |&[red, green, blue]| {
                    table[usize::from(luma(red, green, blue))]
                });
            } else {
                let channel = channel % 3;
                fill(plane, colors, |color| table[usize::from(color[channel])]);
            }
        }
        planes
    }
}

/// Writes the number of each pixel. Counted by hand, for the same reason as in `convolve.rs`.
#[inline]
fn fill<P>(plane: &mut [f32], pixels: &[P], number: impl Fn(&P) -> f32) {
    let mut index = 0;
    while index < plane.len() && index < pixels.len() {
        plane[index] = number(&pixels[index]);
        index += 1;
    }
}

/// Pillow's `L`: `(299 R + 587 G + 114 B) / 1000` in 16-bit fixed point, rounded.
fn luma(red: u8, green: u8, blue: u8) -> u8 {
    let sum =
        u32::from(red) * 19_595 + u32::from(green) * 38_470 + u32::from(blue) * 7_471 + 0x8000;
    u8::try_from(sum >> 16).unwrap_or(u8::MAX)
}
