//! Squares as guided-diffusion cuts them: halved by box filter, resized by bicubic filter, then cropped.
//!
//! # Reference
//! openai/guided-diffusion@22e0df8:guided_diffusion/image_datasets.py, `center_crop_arr` and `random_crop_arr`.
//!
//! # Deviations
//! What is drawn comes from this project's own stream.

use std::borrow::Cow;

use super::random_crop::{random_corner, random_shorter_side, round_half_even};
use super::{Filter, Image, Rectangle, TooMuch, resize, resize_part};
use crate::random::Stream;

/// The center as guided-diffusion cuts it.
pub(super) fn adm_center_crop(image: &Image, side: usize) -> Result<Image, TooMuch> {
    let scaled = adm_resized(image, side)?;
    scaled.crop(side, |sides| [(sides[0] - side) / 2, (sides[1] - side) / 2])
}

/// A random square: the shorter side gets a random length, of which the square covers a share within `fraction`.
pub(super) fn adm_random_crop(
    image: &Image,
    side: usize,
    fraction: [f64; 2],
    mut stream: Stream,
) -> Result<Image, TooMuch> {
    let shorter = random_shorter_side(side, fraction, &mut stream);
    adm_resized(image, shorter)?.crop(side, |sides| random_corner(sides, side, &mut stream))
}

/// An image on its way to another size, in guided-diffusion's manner.
struct AdmResized<'a> {
    /// Halved by box filter while the shorter side was at least twice as long as wanted.
    halved: Cow<'a, Image>,
    /// Width and height that the bicubic filter makes of it.
    sides: [usize; 2],
}

/// The shorter side becomes `shorter` pixels.
fn adm_resized(image: &Image, shorter: usize) -> Result<AdmResized<'_>, TooMuch> {
    let shorter_of = |image: &Image| image.width.min(image.height);
    let mut halved = Cow::Borrowed(image);
    while shorter_of(&halved) >= 2 * shorter {
        let (width, height) = halved.size();
        halved = Cow::Owned(resize(&halved, [width / 2, height / 2], Filter::Box)?);
    }
    let scale = shorter as f64 / shorter_of(&halved) as f64;
    let (width, height) = halved.size();
    let sides = [width, height].map(|length| round_half_even(length as f64 * scale));
    Ok(AdmResized { halved, sides })
}

impl AdmResized<'_> {
    /// The square of `side` pixels at the corner, left and top, that `corner` chooses by width and height.
    fn crop(
        &self,
        side: usize,
        corner: impl FnOnce([usize; 2]) -> [usize; 2],
    ) -> Result<Image, TooMuch> {
        let [left, top] = corner(self.sides);
        let part = Rectangle {
            left,
            top,
            width: side,
            height: side,
        };
        resize_part(&self.halved, self.sides, Filter::Bicubic, part)
    }
}
