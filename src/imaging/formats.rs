//! WebP, BMP, TIFF and GIF to 8-bit pixels in red, green and blue, by the readers of the crate `image`.
//!
//! Of what moves, the first frame is read. Transparency is dropped, as of PNG; colors of 16 bits are their upper 8.
//!
//! # Deviations
//! - Refused, where Pillow reads them: TIFF with a palette, as YCbCr outside of JPEG, of 4 or 32 bits, or with numbers with a fraction.
//! - CMYK in TIFF becomes RGB by another rounding, at most 1 from Pillow's.
//! - What the first frame of a GIF leaves free is black; Pillow fills it with the first color of the palette.
//!
//! # Parity
//! `tests/golden/decoding`: BMP, TIFF, GIF and lossless WebP value for value, lossy WebP at most 1 from libwebp's values.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use super::Image;
use super::decode::{DecodeError, check_size};
use super::room::Room;
use crate::limits::{IMAGE_BYTES_PER_PIXEL, IMAGE_MEMORY};

/// What a reader may set aside for the smallest image, in bytes.
const LEAST_MEMORY: u64 = 1 << 24;

/// Decodes an image of a format that was recognized; the result has three channels.
pub(super) fn decode(bytes: &[u8], format: ImageFormat, room: &Room) -> Result<Image, DecodeError> {
    let failed = |error: ImageError| match error {
        ImageError::Unsupported(what) => {
            DecodeError::Unsupported(format!("{} of a rare form ({what})", name(format)))
        }
        other => DecodeError::Damaged(other.to_string()),
    };
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(IMAGE_MEMORY);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(failed)?;
    let (width, height) = decoder.dimensions();
    check_size(width, height, room)?;
    // What the reader sets aside besides is within what the thread has taken.
    let pixels = u64::from(width) * u64::from(height);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some((pixels * IMAGE_BYTES_PER_PIXEL).max(LEAST_MEMORY));
    decoder.set_limits(limits).map_err(failed)?;
    if width == 0 || height == 0 {
        return Err(DecodeError::Damaged("it has no pixels".to_owned()));
    }
    let decoded = DynamicImage::from_decoder(decoder).map_err(failed)?;
    let pixels = match decoded {
        DynamicImage::ImageLuma8(_)
        | DynamicImage::ImageLumaA8(_)
        | DynamicImage::ImageRgb8(_)
        | DynamicImage::ImageRgba8(_) => decoded.into_rgb8().into_raw(),
        DynamicImage::ImageLuma16(gray) => upper(gray.as_raw(), 1),
        DynamicImage::ImageLumaA16(gray) => upper(gray.as_raw(), 2),
        DynamicImage::ImageRgb16(color) => upper(color.as_raw(), 3),
        DynamicImage::ImageRgba16(color) => upper(color.as_raw(), 4),
        _ => {
            let what = format!("{} of numbers with a fraction", name(format));
            return Err(DecodeError::Unsupported(what));
        }
    };
    Ok(Image::color(width as usize, height as usize, pixels))
}

/// The upper 8 bits of red, green and blue, of pixels of so many values of 16 bits; a gray is all three.
fn upper(values: &[u16], channels: usize) -> Vec<u8> {
    let upper = |value: u16| value.to_be_bytes()[0];
    let pixels = values.chunks_exact(channels);
    match channels {
        1 | 2 => pixels.flat_map(|pixel| [upper(pixel[0]); 3]).collect(),
        _ => pixels
            .flat_map(|pixel| [upper(pixel[0]), upper(pixel[1]), upper(pixel[2])])
            .collect(),
    }
}

/// What people call the format.
fn name(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::WebP => "WebP",
        ImageFormat::Bmp => "BMP",
        ImageFormat::Tiff => "TIFF",
        ImageFormat::Gif => "GIF",
        _ => "an image",
    }
}
