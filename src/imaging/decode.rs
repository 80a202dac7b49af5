//! From the bytes of a file to 8-bit pixels in red, green and blue.
//!
//! What a file is called and what it says about color profiles and orientation is not looked at: content decides what it is, and
//! pixels are taken as they are in the file.
//!
//! # Reference
//! Pillow 13, `Image.open(file).convert("RGB")`, which is what guided-diffusion and torchvision's readers do.
//!
//! # Deviations
//! - Grays of 16 bits: their upper 8 bits are taken, as Pillow does for colors of 16 bits. Pillow's own rule for grays, everything
//!   above 255 becomes white, leaves nothing of a photograph.
//! - JPEG by `zune-jpeg` and not libjpeg-turbo: values differ by less than 1 on average (`tests/golden/preprocessing`), in CMYK too.
//! - JPEG with arithmetic coding and JPEG of 12 bits are refused. So is everything that is none of the six formats below.
//! - Those of `formats.rs`.
//!
//! # Parity
//! `tests/golden/decoding`.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};

use super::room::Room;
use super::{Image, formats, png};
use crate::limits::{IMAGE_BYTES_PER_PIXEL, MOST_PIXELS};

/// Why bytes cannot be decoded to an image.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// None of the formats that are read.
    #[error(
        "it is {found}; JPEG, PNG, WebP, BMP, TIFF and GIF are read, recognized by their content"
    )]
    Format {
        /// What it is, in words.
        found: String,
    },
    /// A form that is not read.
    #[error("it is {0}, which is not read; save it as a baseline JPEG or as PNG")]
    Unsupported(String),
    /// Sides whose product is above [`MOST_PIXELS`].
    #[error(
        "it says that it is {width} × {height} pixels; at most {MOST_PIXELS} pixels are decoded"
    )]
    TooLarge {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// The file ends before the image does.
    #[error("the file is cut off: the image does not end before the file does")]
    CutOff,
    /// What the decoder reported.
    #[error("{0}")]
    Damaged(String),
}

/// Decodes an image of one of the formats that are read; the result has three channels.
pub(super) fn decode(bytes: &[u8]) -> Result<Image, DecodeError> {
    let damaged = |error: image::ImageError| DecodeError::Damaged(error.to_string());
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
    let mut reader = reader.map_err(|error| DecodeError::Damaged(error.to_string()))?;
    let room = Room::enter();
    match reader.format() {
        Some(ImageFormat::Jpeg) => {}
        Some(ImageFormat::Png) => return png::decode(bytes, &room),
        Some(
            format @ (ImageFormat::WebP | ImageFormat::Bmp | ImageFormat::Tiff | ImageFormat::Gif),
        ) => return formats::decode(bytes, format, &room),
        other => {
            return Err(DecodeError::Format {
                found: name(other, bytes),
            });
        }
    }
    check_jpeg(bytes)?;
    // The bound on pixels is stricter than the reader's own on bytes.
    reader.no_limits();
    let decoder = reader.into_decoder().map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    check_size(width, height, &room)?;
    let decoded = DynamicImage::from_decoder(decoder).map_err(damaged)?;
    if width == 0 || height == 0 {
        return Err(DecodeError::Damaged("it has no pixels".to_owned()));
    }
    let pixels = decoded.into_rgb8().into_raw();
    Ok(Image::color(width as usize, height as usize, pixels))
}

/// Refuses more pixels than are decoded, and waits for room for the others.
pub(super) fn check_size(width: u32, height: u32, room: &Room) -> Result<(), DecodeError> {
    let pixels = u64::from(width) * u64::from(height);
    if pixels > MOST_PIXELS {
        return Err(DecodeError::TooLarge { width, height });
    }
    room.take(pixels * IMAGE_BYTES_PER_PIXEL);
    Ok(())
}

fn name(format: Option<ImageFormat>, bytes: &[u8]) -> String {
    match format {
        Some(format) => format!("{format:?}").to_uppercase(),
        None if bytes.is_empty() => "empty".to_owned(),
        None => "not an image".to_owned(),
    }
}

/// Walks over a JPEG's segments: what no decoder here can read is named, and the marker of the end has to stand behind the begin of
/// the pixels. Decoders fill in what is missing with gray.
fn check_jpeg(bytes: &[u8]) -> Result<(), DecodeError> {
    let mut place = 2;
    while let Some(&[first, kind, high, low, bits]) = rest(bytes, place).first_chunk() {
        if first != 0xff {
            break;
        }
        let is_frame = (0xc0..=0xcf).contains(&kind) && !matches!(kind, 0xc4 | 0xc8 | 0xcc);
        match kind {
            // Any number of these may stand before a marker.
            0xff => {
                place += 1;
                continue;
            }
            0xc0..=0xc2 if bits == 8 => {}
            0xc9..=0xcb | 0xcd..=0xcf if is_frame => {
                return Err(DecodeError::Unsupported(
                    "JPEG with arithmetic coding".to_owned(),
                ));
            }
            0xc0..=0xc2 => {
                let what = "JPEG of other than 8 bits".to_owned();
                return Err(DecodeError::Unsupported(what));
            }
            _ if is_frame => {
                return Err(DecodeError::Unsupported(
                    "lossless or hierarchical JPEG".to_owned(),
                ));
            }
            _ => {}
        }
        let stands_alone = kind == 0x01 || (0xd0..=0xd8).contains(&kind);
        place += 2;
        if !stands_alone {
            place += usize::from(u16::from_be_bytes([high, low]));
        }
        if kind == 0xda {
            break;
        }
    }
    // It is near the end of most files.
    let mut pairs = rest(bytes, place).windows(2).rev();
    if pairs.any(|pair| pair == [0xff, 0xd9]) {
        Ok(())
    } else {
        Err(DecodeError::CutOff)
    }
}

fn rest(bytes: &[u8], place: usize) -> &[u8] {
    bytes.get(place..).unwrap_or_default()
}
