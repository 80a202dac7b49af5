//! Resizing as Pillow does it for 8-bit images: antialiased when shrinking, a horizontal pass, then a vertical one.
//!
//! # Reference
//! Pillow 13, `Image.resize`: each pass rounds its result to 8 bits, halves upwards, before the next one reads it.
//!
//! # Deviations
//! Pillow convolves in fixed point with 22 bits, this in 32-bit floats; the rounding to 8 bits hides the difference (test
//! `pixels_agree_with_pillow` beside [`super::preprocess`]).

use fast_image_resize::images::TypedImage;
use fast_image_resize::pixels::{F32, F32x3, InnerPixel};
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
    let across = one_pass(image, width, image.height, filter);
    one_pass(&across, width, height, filter)
}

/// One pass; the two sizes differ in one direction at most.
fn one_pass(image: &Image, width: usize, height: usize, filter: Filter) -> Image {
    if image.size() == (width, height) {
        return image.clone();
    }
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(match filter {
            Filter::Box => FilterType::Box,
            Filter::Bilinear => FilterType::Bilinear,
            Filter::Bicubic => FilterType::CatmullRom,
        }))
        .use_alpha(false);
    // One type of pixel at a time: naming it keeps the compiler from building every other one of the crate too.
    let pixels = if image.channels == 1 {
        let read = image.pixels.iter().map(|&grey| F32::new(f32::from(grey)));
        let source = TypedImage::from_pixels(side(image.width), side(image.height), read.collect());
        convolve(source.ok(), width, height, &options)
            .iter()
            .map(|pixel| to_byte(pixel.0))
            .collect()
    } else {
        let read = image.pixels.chunks_exact(3);
        let read = read.map(|rgb| F32x3::new([rgb[0], rgb[1], rgb[2]].map(f32::from)));
        let source = TypedImage::from_pixels(side(image.width), side(image.height), read.collect());
        convolve(source.ok(), width, height, &options)
            .iter()
            .flat_map(|pixel| pixel.0.map(to_byte))
            .collect()
    };
    Image {
        width,
        height,
        channels: image.channels,
        pixels,
    }
}

/// The pixels at another size. The buffer's size follows from an image that exists, so there is always a source; black where
/// there were none.
fn convolve<P: PixelTrait + InnerPixel>(
    source: Option<TypedImage<'_, P>>,
    width: usize,
    height: usize,
    options: &ResizeOptions,
) -> Vec<P> {
    let mut target = TypedImage::<P>::new(side(width), side(height));
    let done = source.map(|source| Resizer::new().resize_typed(&source, &mut target, options));
    debug_assert!(matches!(done, Some(Ok(()))), "resizing failed: {done:?}");
    target.pixels().to_vec()
}

fn side(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast clamps to 0 to 255, which is what is wanted"
)]
fn to_byte(value: f32) -> u8 {
    (value + 0.5) as u8
}
