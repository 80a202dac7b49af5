//! PNG to 8-bit pixels in red, green and blue. Color profiles and texts in the file are not looked at, so they are not unpacked either: a
//! profile of a few megabytes can unpack into as many gigabytes.

use std::io::Cursor;

use image::{DynamicImage, GrayAlphaImage, GrayImage, RgbaImage};
use png::{BitDepth, ColorType, Decoder, Limits, Transformations};

use super::Image;
use super::decode::{DecodeError, check_size};
use super::room::Room;
use crate::limits::IMAGE_MEMORY;

/// Decodes a PNG; the result has three channels.
pub(super) fn decode(bytes: &[u8], room: &Room) -> Result<Image, DecodeError> {
    let damaged = |error: png::DecodingError| DecodeError::Damaged(error.to_string());
    let limits = Limits {
        bytes: usize::try_from(IMAGE_MEMORY).unwrap_or(usize::MAX),
    };
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_ignore_text_chunk(true);
    let header = decoder.read_header_info().map_err(damaged)?;
    let (width, height) = (header.width, header.height);
    check_size(width, height, room)?;
    // Palettes and grays of less than 8 bits become whole bytes, and of 16 bits the upper byte is taken.
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    let mut reader = decoder.read_info().map_err(damaged)?;
    let size = reader.output_buffer_size();
    let size = size.ok_or_else(|| DecodeError::Damaged("its pixels cannot be counted".into()))?;
    let mut pixels = vec![0; size];
    let frame = reader.next_frame(&mut pixels).map_err(damaged)?;
    pixels.truncate(frame.buffer_size());
    let size = width as usize * height as usize;
    let pixels = match (frame.bit_depth, frame.color_type) {
        (BitDepth::Eight, ColorType::Rgb) => Some(pixels),
        (BitDepth::Eight, ColorType::Grayscale) => {
            GrayImage::from_raw(width, height, pixels).map(|gray| rgb(gray.into()))
        }
        (BitDepth::Eight, ColorType::GrayscaleAlpha) => {
            GrayAlphaImage::from_raw(width, height, pixels).map(|gray| rgb(gray.into()))
        }
        (BitDepth::Eight, ColorType::Rgba) => {
            RgbaImage::from_raw(width, height, pixels).map(|color| rgb(color.into()))
        }
        (bits, color) => {
            let problem = format!("its pixels are {color:?} of {bits:?} bits");
            return Err(DecodeError::Damaged(problem));
        }
    };
    let pixels = pixels.filter(|pixels| pixels.len() == 3 * size);
    let pixels = pixels.ok_or_else(|| DecodeError::Damaged("it has too few pixels".into()))?;
    Ok(Image::color(width as usize, height as usize, pixels))
}

/// Red, green and blue of every pixel; transparency is dropped.
fn rgb(image: DynamicImage) -> Vec<u8> {
    image.into_rgb8().into_raw()
}
