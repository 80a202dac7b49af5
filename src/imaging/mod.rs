//! Images before they become tensors: decoding, resizing, cropping.
//!
//! Everything here works on 8-bit pixels, as the reference code does; [`preprocess::Preprocess::apply`] is the one way from an
//! [`Image`] to a network's input.

pub mod preprocess;
mod resize;

pub use preprocess::Preprocess;
pub use resize::{Filter, resize};

/// An image of 8-bit pixels, row-major, channels interleaved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    width: usize,
    height: usize,
    channels: usize,
    pixels: Vec<u8>,
}

/// Why bytes are no image.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(String);

impl Image {
    /// A grey image of one channel. The pixels must number `width * height`.
    pub fn grey(width: usize, height: usize, pixels: Vec<u8>) -> Self {
        debug_assert_eq!(pixels.len(), width * height);
        Self {
            width,
            height,
            channels: 1,
            pixels,
        }
    }

    /// A colour image of three channels. The pixels must number `3 * width * height`.
    pub fn colour(width: usize, height: usize, pixels: Vec<u8>) -> Self {
        debug_assert_eq!(pixels.len(), 3 * width * height);
        Self {
            width,
            height,
            channels: 3,
            pixels,
        }
    }

    /// Decodes JPEG or PNG by content, never by name; the result has three channels.
    ///
    /// # Errors
    /// Bytes that are neither, or that are damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let decoded =
            image::load_from_memory(bytes).map_err(|error| DecodeError(error.to_string()))?;
        let rgb = decoded.into_rgb8();
        let (width, height) = (rgb.width() as usize, rgb.height() as usize);
        if width == 0 || height == 0 {
            return Err(DecodeError("it has no pixels".to_owned()));
        }
        Ok(Self::colour(width, height, rgb.into_raw()))
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// 1 (grey) or 3 (red, green, blue).
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The pixels, row-major, channels interleaved.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// A rectangle of the image; parts outside of it are left out.
    #[must_use]
    pub fn crop(&self, left: usize, top: usize, width: usize, height: usize) -> Self {
        let left = left.min(self.width);
        let width = width.min(self.width - left);
        let height = height.min(self.height.saturating_sub(top));
        let stride = self.width * self.channels;
        let pixels = (top..top + height)
            .flat_map(|row| {
                let start = row * stride + left * self.channels;
                self.pixels[start..start + width * self.channels]
                    .iter()
                    .copied()
            })
            .collect();
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

    /// The values that a diffusion network reads: `[channels, height, width]`, channel-major, `pixel / 127.5 - 1` in [-1, 1].
    ///
    /// A grey image is repeated over three channels; a colour image for a one-channel network becomes grey by ITU-R 601
    /// weights (299, 587, 114 thousandths), as Pillow's mode `L` does.
    pub fn to_planes(&self, channels: usize) -> Vec<f32> {
        let scale = |pixel: u8| f32::from(pixel) / 127.5 - 1.0;
        match (self.channels, channels) {
            (1, wanted) => {
                let plane: Vec<f32> = self.pixels.iter().map(|&pixel| scale(pixel)).collect();
                plane.repeat(wanted)
            }
            (_, 1) => self
                .pixels
                .chunks_exact(3)
                .map(|pixel| scale(luma(pixel[0], pixel[1], pixel[2])))
                .collect(),
            (_, wanted) => (0..wanted)
                .flat_map(|channel| {
                    self.pixels
                        .iter()
                        .skip(channel)
                        .step_by(3)
                        .map(|&pixel| scale(pixel))
                })
                .collect(),
        }
    }
}

/// Pillow's `L`: `(299 R + 587 G + 114 B) / 1000` in 16-bit fixed point, rounded.
fn luma(red: u8, green: u8, blue: u8) -> u8 {
    let sum =
        u32::from(red) * 19_595 + u32::from(green) * 38_470 + u32::from(blue) * 7_471 + 0x8000;
    u8::try_from(sum >> 16).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crops_flips_and_planes() {
        let image = Image::colour(2, 2, (0..12).collect());
        assert_eq!(image.crop(1, 0, 1, 2).pixels(), [3, 4, 5, 9, 10, 11]);
        assert_eq!(
            image.flip().pixels(),
            [3, 4, 5, 0, 1, 2, 9, 10, 11, 6, 7, 8]
        );
        let planes = image.to_planes(3);
        assert_eq!(planes.len(), 12);
        assert!((planes[1] - (3.0 / 127.5 - 1.0)).abs() < 1e-7);
        assert!((planes[4] - (1.0 / 127.5 - 1.0)).abs() < 1e-7);
        let grey = Image::grey(1, 2, vec![0, 255]);
        assert_eq!(grey.to_planes(3), [-1.0, 1.0, -1.0, 1.0, -1.0, 1.0]);
        assert_eq!(luma(255, 255, 255), 255);
    }

    #[test]
    fn what_is_no_image_is_refused() {
        assert!(Image::decode(b"").is_err());
        assert!(Image::decode(b"\x89PNG\r\n\x1a\n truncated").is_err());
    }
}
