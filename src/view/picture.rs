//! Images as pictures of pages: PNG, and not larger than a page shows them.

use std::borrow::Cow;
use std::io::Cursor;

use image::codecs::png::PngEncoder;
use image::imageops::thumbnail;
use image::{DynamicImage, GrayImage, ImageEncoder, RgbImage};

use crate::imaging::Image;

/// The side of the square that a picture fits into, in pixels: larger images are served smaller.
const MOST_SIDE: u32 = 320;

/// An image as PNG, smaller where it is large.
pub(super) fn png(image: &Image) -> Result<Vec<u8>, String> {
    let (width, height) = image.size();
    let side = |length: usize| u32::try_from(length).map_err(|error| error.to_string());
    let (width, height) = (side(width)?, side(height)?);
    let pixels = image.pixels().to_vec();
    let whole = if image.channels() == 1 {
        GrayImage::from_raw(width, height, pixels).map(DynamicImage::ImageLuma8)
    } else {
        RgbImage::from_raw(width, height, pixels).map(DynamicImage::ImageRgb8)
    };
    let whole = whole.ok_or("its pixels do not fill it")?;
    let longest = width.max(height).max(1);
    let shown = if longest > MOST_SIDE {
        let scaled = |length: u32| {
            let scaled = u64::from(length) * u64::from(MOST_SIDE) / u64::from(longest);
            u32::try_from(scaled).unwrap_or(MOST_SIDE).max(1)
        };
        let small = thumbnail(&whole, scaled(width), scaled(height));
        Cow::Owned(DynamicImage::ImageRgba8(small))
    } else {
        Cow::Borrowed(&whole)
    };
    let mut file = Cursor::new(Vec::new());
    PngEncoder::new(&mut file)
        .write_image(
            shown.as_bytes(),
            shown.width(),
            shown.height(),
            shown.color().into(),
        )
        .map_err(|error| error.to_string())?;
    Ok(file.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_png_and_not_large() {
        for (image, expected) in [
            (Image::gray(28, 28, vec![7; 28 * 28]), (28, 28)),
            (Image::color(4, 2, vec![9; 24]), (4, 2)),
            (Image::color(640, 320, vec![9; 640 * 320 * 3]), (320, 160)),
            (Image::gray(2000, 1, vec![9; 2000]), (320, 1)),
        ] {
            let png = png(&image).unwrap();
            let read = Image::decode(&png).unwrap();
            assert_eq!(read.size(), expected);
            assert_eq!(read.pixels()[0], image.pixels()[0]);
        }
    }
}
