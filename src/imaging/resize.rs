//! Resizing with Pillow's filters: antialiased when shrinking, 8-bit fixed point, horizontal pass first.

use fast_image_resize::images::{Image as Buffer, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
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
    let pixel_type = if image.channels == 1 { PixelType::U8 } else { PixelType::U8x3 };
    let side = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    let mut target = Buffer::new(side(width), side(height), pixel_type);
    let options = ResizeOptions::new().resize_alg(algorithm).use_alpha(false);
    // The buffer's size and type follow from an image that exists; a failure would leave the target black, so it must not pass.
    let source = ImageRef::new(side(image.width), side(image.height), &image.pixels, pixel_type);
    let done = source.map(|source| Resizer::new().resize(&source, &mut target, &options));
    debug_assert!(matches!(done, Ok(Ok(()))), "resizing failed: {done:?}");
    Image {
        width,
        height,
        channels: image.channels,
        pixels: target.into_vec(),
    }
}
