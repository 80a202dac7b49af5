//! Resizing to a square without keeping the shape, in floating point: what PyTorch does inside of a network for FID.
//!
//! Each value lies between the four nearest pixels, also where the image shrinks, so that pixels in between count for nothing; nothing
//! is rounded to 8 bits. Published FIDs rest on this resize.
//!
//! # Reference
//! PyTorch 2.11, `torch.nn.functional.interpolate(x, size=(side, side), mode="bilinear", align_corners=False)` on `pixel / 255`, as
//! mseitzer/pytorch-fid@b9c1811 has it (src/pytorch_fid/inception.py, `InceptionV3.forward`).
//!
//! # Deviations
//! None beyond the last digit.
//!
//! # Parity
//! `tests/golden/generative`: 2e-6.

use super::{Image, Normalization};

/// Between which two pixels of a direction a value lies.
struct Between {
    first: usize,
    second: usize,
    /// The share of the second.
    share: f32,
}

/// For each of `to` places, the pixels of `from` around it. In f32 with one rounding for a product and a sum, as PyTorch's kernels for
/// processors have it: in f64 the shares of large images differ in the fifth digit.
fn between(from: usize, to: usize) -> Vec<Between> {
    let scale = from as f32 / to as f32;
    let last = from.saturating_sub(1);
    let place = |index: usize| {
        let place = scale.mul_add(index as f32 + 0.5, -0.5).max(0.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the place is not below 0, and sides of images are far below 2^24"
        )]
        let first = (place as usize).min(last);
        Between {
            first,
            second: (first + 1).min(last),
            share: (place - first as f32).clamp(0.0, 1.0),
        }
    };
    (0..to).map(place).collect()
}

impl Image {
    /// The values that a network reads, of the image stretched to a square: `[channels, side, side]`, channel-major, in the range of the
    /// normalization. Gray and color become each other as in [`Image::to_planes`].
    pub fn stretched(
        &self,
        side: usize,
        channels: usize,
        normalization: Normalization,
    ) -> Vec<f32> {
        let planes = self.to_planes(channels, Normalization::ZeroToOne);
        let (rows, columns) = (between(self.height, side), between(self.width, side));
        let mut stretched = Vec::with_capacity(channels * side * side);
        for (channel, plane) in planes
            .chunks_exact((self.width * self.height).max(1))
            .enumerate()
        {
            let row = |row: usize| &plane[row * self.width..][..self.width];
            for rows in &rows {
                let (top, bottom) = (row(rows.first), row(rows.second));
                stretched.extend(columns.iter().map(|columns| {
                    let across = |row: &[f32]| {
                        row[columns.first] * (1.0 - columns.share)
                            + row[columns.second] * columns.share
                    };
                    let value = across(top) * (1.0 - rows.share) + across(bottom) * rows.share;
                    normalization.of_share(value, channel)
                }));
            }
        }
        stretched
    }

    /// The same as an image, rounded to 8 bits, for eyes.
    #[must_use]
    pub(super) fn stretched_to_pixels(&self, side: usize) -> Self {
        let planes = self.stretched(side, self.channels, Normalization::ZeroToOne);
        let size = side * side;
        let mut pixels = vec![0; planes.len()];
        for (channel, plane) in planes.chunks_exact(size.max(1)).enumerate() {
            let of_channel = pixels.iter_mut().skip(channel).step_by(self.channels);
            for (pixel, value) in of_channel.zip(plane) {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "values lie between 0 and 255, and the cast clamps"
                )]
                let value = (value * 255.0).round() as u8;
                *pixel = value;
            }
        }
        Self {
            width: side,
            height: side,
            channels: self.channels,
            pixels,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden(name: &str) -> Vec<u8> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        std::fs::read(folder.join("tests/golden/generative").join(name)).unwrap()
    }

    #[test]
    fn golden_corners_and_means() {
        let bytes = golden("inception.safetensors");
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        for name in ["image1", "image2"] {
            let values = |part: &str| -> Vec<f32> {
                let view = tensors.tensor(&format!("{name}.input.{part}")).unwrap();
                let words = view.data().chunks_exact(4);
                words
                    .map(|word| f32::from_le_bytes(word.try_into().unwrap()))
                    .collect()
            };
            let image = Image::decode(&golden(&format!("{name}.png"))).unwrap();
            let planes = image.stretched(299, 3, Normalization::MinusOneToOne);
            let mut corner = values("corner").into_iter();
            for (plane, mean) in planes.chunks_exact(299 * 299).zip(values("mean")) {
                for row in [0, 1, 149, 298] {
                    for column in [0, 1, 149, 298] {
                        let expected = corner.next().unwrap();
                        assert!((plane[row * 299 + column] - expected).abs() <= 2e-6);
                    }
                }
                let sum: f64 = plane.iter().map(|&value| f64::from(value)).sum();
                // The recorded mean is a sum of 89,401 numbers in f32.
                assert!((sum / (299.0 * 299.0) - f64::from(mean)).abs() < 2e-5);
            }
        }
    }

    #[test]
    fn an_image_of_the_right_size_stays_as_it_is() {
        let image = Image::color(2, 2, (0..12).map(|value| value * 20).collect());
        let planes = image.to_planes(3, Normalization::MinusOneToOne);
        let stretched = image.stretched(2, 3, Normalization::MinusOneToOne);
        for (one, other) in planes.iter().zip(&stretched) {
            assert!((one - other).abs() < 1e-6);
        }
        assert_eq!(image.stretched_to_pixels(2), image);
        let wide = Image::gray(4, 1, vec![0, 0, 255, 255]);
        assert_eq!(wide.stretched_to_pixels(2).pixels(), [0, 255, 0, 255]);
    }
}
