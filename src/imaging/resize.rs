//! Resizing with Pillow's filters: antialiased when shrinking, 8-bit fixed point, horizontal pass first.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{InnerPixel, U8, U8x3};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};
use serde::Serialize;

use super::Image;

/// A resampling filter, as Pillow names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    /// The mean of the covered pixels.
    Box,
    /// Linear interpolation.
    Bilinear,
    /// Cubic interpolation with a = -0.5.
    Bicubic,
}

/// The image at another size. An image that already has the size is returned unchanged, as Pillow does.
#[must_use]
pub fn resize(image: &Image, width: usize, height: usize, filter: Filter) -> Image {
    if image.size() == (width, height) {
        return image.clone();
    }
    let algorithm = ResizeAlg::Convolution(match filter {
        Filter::Box => FilterType::Box,
        Filter::Bilinear => FilterType::Bilinear,
        Filter::Bicubic => FilterType::CatmullRom,
    });
    let options = ResizeOptions::new().resize_alg(algorithm).use_alpha(false);
    // The buffer's size follows from an image that exists, so there is always a result.
    let pixels = match image.channels {
        1 => resample::<U8>(image, width, height, &options, |pixel, bytes| {
            bytes.push(pixel.0);
        }),
        _ => resample::<U8x3>(image, width, height, &options, |pixel, bytes| {
            bytes.extend(pixel.0);
        }),
    };
    Image {
        width,
        height,
        channels: image.channels,
        pixels: pixels.unwrap_or_else(|| vec![0; width * height * image.channels]),
    }
}

/// One type of pixel at a time: naming the type keeps the compiler from building every other one of the crate too.
fn resample<P: PixelTrait + InnerPixel>(
    image: &Image,
    width: usize,
    height: usize,
    options: &ResizeOptions,
    push: impl Fn(P, &mut Vec<u8>),
) -> Option<Vec<u8>> {
    let side = |length: usize| u32::try_from(length).ok();
    let source =
        TypedImageRef::<P>::from_buffer(side(image.width)?, side(image.height)?, &image.pixels)
            .ok()?;
    let mut target = TypedImage::<P>::new(side(width)?, side(height)?);
    Resizer::new()
        .resize_typed(&source, &mut target, options)
        .ok()?;
    let mut bytes = Vec::with_capacity(width * height * image.channels);
    for pixel in target.pixels() {
        push(*pixel, &mut bytes);
    }
    Some(bytes)
}
