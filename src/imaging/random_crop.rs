//! Which part of an image a random crop shows.
//!
//! # Reference
//! torchvision 0.26, `RandomResizedCrop.get_params`: a share of the area, uniform within `scale`; a ratio of width to height, whose
//! logarithm is uniform within that of `ratio`; ten tries, then the largest central part with a ratio within the bounds.
//! openai/guided-diffusion@22e0df8:guided_diffusion/image_datasets.py, `random_crop_arr`: a length of the shorter side, then row and
//! column of the square's corner, each whole number equally likely.
//!
//! # Deviations
//! The numbers come from this project's own stream, a function of what the crop is for: torchvision's are those of a process.

use super::Rectangle;
use crate::random::Stream;

/// After as many tries that do not fit into the image the central part is taken.
const TRIES: usize = 10;

/// A part of an image of `[width, height]` pixels. `scale` and `ratio` are the least and the most, all above 0.
pub(super) fn random_crop(
    [width, height]: [usize; 2],
    scale: [f64; 2],
    ratio: [f64; 2],
    stream: &mut Stream,
) -> Rectangle {
    let area = width as f64 * height as f64;
    // Of the C library's logarithms each is its own; these are the same on every machine.
    let logarithms = ratio.map(libm::log);
    for _ in 0..TRIES {
        let wanted = area * between(scale, stream);
        let shape = libm::exp(between(logarithms, stream));
        let sides = [(wanted * shape).sqrt(), (wanted / shape).sqrt()].map(round_half_even);
        let [part_width, part_height] = sides;
        if (1..=width).contains(&part_width) && (1..=height).contains(&part_height) {
            let top = below(height - part_height + 1, stream);
            let left = below(width - part_width + 1, stream);
            return Rectangle {
                left,
                top,
                width: part_width,
                height: part_height,
            };
        }
    }
    central([width, height], ratio)
}

/// The length in pixels that the shorter side gets before a square of `side` pixels is cropped, so that the square covers a share of it
/// within `fraction`, the least and the most, both in `(0, 1]`.
pub(super) fn random_shorter_side(
    side: usize,
    [least, most]: [f64; 2],
    stream: &mut Stream,
) -> usize {
    let [shortest, longest] = [most, least].map(|share| ceiling(side as f64 / share));
    shortest + below(longest - shortest + 1, stream)
}

/// Left and top of a square of `side` pixels within an image of `[width, height]` pixels that is no smaller.
pub(super) fn random_corner(
    [width, height]: [usize; 2],
    side: usize,
    stream: &mut Stream,
) -> [usize; 2] {
    let top = below(height - side + 1, stream);
    let left = below(width - side + 1, stream);
    [left, top]
}

/// The largest central part with a ratio within the bounds.
fn central([width, height]: [usize; 2], [least, most]: [f64; 2]) -> Rectangle {
    let shape = width as f64 / height as f64;
    let (part_width, part_height) = if shape < least {
        (width, round_half_even(width as f64 / least))
    } else if shape > most {
        (round_half_even(height as f64 * most), height)
    } else {
        (width, height)
    };
    let (part_width, part_height) = (part_width.clamp(1, width), part_height.clamp(1, height));
    Rectangle {
        left: (width - part_width) / 2,
        top: (height - part_height) / 2,
        width: part_width,
        height: part_height,
    }
}

fn between([least, most]: [f64; 2], stream: &mut Stream) -> f64 {
    least + (most - least) * f64::from(stream.next_unit())
}

fn below(bound: usize, stream: &mut Stream) -> usize {
    stream.next_index(bound)
}

/// Python's `round`. The argument is a side in pixels: not negative, far below 2^53.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sides in pixels are not negative and far below 2^53"
)]
pub(super) fn round_half_even(value: f64) -> usize {
    value.round_ties_even() as usize
}

/// Python's `math.ceil`, for lengths as [`round_half_even`] takes them.
fn ceiling(value: f64) -> usize {
    round_half_even(value.ceil())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCALE: [f64; 2] = [0.08, 1.0];
    const RATIO: [f64; 2] = [3.0 / 4.0, 4.0 / 3.0];

    fn crops(sides: [usize; 2], count: u64) -> Vec<Rectangle> {
        let one = |seed| random_crop(sides, SCALE, RATIO, &mut Stream::new(seed, "crop"));
        (0..count).map(one).collect()
    }

    /// Of a large square nearly every first try fits, so that the numbers show how they were drawn.
    #[test]
    fn shares_and_ratios_are_distributed_as_torchvisions() {
        let side = 100_000;
        let crops = crops([side, side], 20_000);
        let share = |crop: &Rectangle| (crop.width * crop.height) as f64 / (side * side) as f64;
        let shape = |crop: &Rectangle| (crop.width as f64 / crop.height as f64).ln();
        let mean =
            |of: &dyn Fn(&Rectangle) -> f64| crops.iter().map(of).sum::<f64>() / crops.len() as f64;
        let log_most = RATIO[1].ln();
        for crop in &crops {
            assert!((0.079_99..=1.0).contains(&share(crop)), "{crop:?}");
            assert!(shape(crop).abs() <= log_most + 1e-4, "{crop:?}");
            assert!(crop.left + crop.width <= side && crop.top + crop.height <= side);
        }
        // Widths above the side are drawn again, which happens only for shares above 3/4: below, shares are uniform.
        let low: Vec<f64> = crops
            .iter()
            .map(share)
            .filter(|&share| share < 0.75)
            .collect();
        let middle = low.iter().sum::<f64>() / low.len() as f64;
        let deviation = (0.75 - 0.08) / 12f64.sqrt() / (low.len() as f64).sqrt();
        assert!(
            (middle - f64::midpoint(0.75, 0.08)).abs() < 5.0 * deviation,
            "{middle}"
        );
        // There the logarithm of the ratio is uniform: its mean is 0, and a quarter is in each quarter.
        let small: Vec<f64> = crops
            .iter()
            .filter(|crop| share(crop) < 0.75)
            .map(shape)
            .collect();
        for quarter in 0..4 {
            let from = -log_most + f64::from(quarter) * log_most / 2.0;
            let inside = small
                .iter()
                .filter(|&&log| log >= from && log < from + log_most / 2.0);
            let found = inside.count() as f64 / small.len() as f64;
            let deviation = (0.25 * 0.75 / small.len() as f64).sqrt();
            assert!((found - 0.25).abs() < 5.0 * deviation, "{quarter}: {found}");
        }
        // Places are uniform: as much is left out on the one side as on the other.
        let left = mean(&|crop| crop.left as f64 / (side - crop.width + 1) as f64);
        let top = mean(&|crop| crop.top as f64 / (side - crop.height + 1) as f64);
        let deviation = 1.0 / (12.0 * crops.len() as f64).sqrt();
        assert!((left - 0.5).abs() < 5.0 * deviation, "{left}");
        assert!((top - 0.5).abs() < 5.0 * deviation, "{top}");
    }

    /// Expected numbers: torchvision's formulas, worked out by hand.
    #[test]
    fn where_nothing_fits_the_central_part_is_taken() {
        let whole = [1.0, 1.0];
        let mut stream = Stream::new(0, "crop");
        let mut crop = |sides| {
            let part = random_crop(sides, whole, RATIO, &mut stream);
            [part.left, part.top, part.width, part.height]
        };
        // 10 / (3/4) = 13.33 rows; 10 · 4/3 = 13.33 columns.
        assert_eq!(crop([10, 100]), [0, 43, 10, 13]);
        assert_eq!(crop([100, 10]), [43, 0, 13, 10]);
        assert_eq!(central([10, 11], RATIO), central([10, 11], [0.1, 10.0]));
        assert_eq!(crop([1, 1]), [0, 0, 1, 1]);
    }

    #[test]
    fn a_crop_is_a_function_of_its_stream() {
        assert_eq!(crops([500, 375], 50), crops([500, 375], 50));
        let different = crops([500, 375], 50);
        assert!(different.iter().any(|crop| *crop != different[0]));
    }

    #[test]
    fn the_shorter_side_is_any_length_that_the_fractions_allow() {
        let mut stream = Stream::new(3, "crop");
        let mut counts = [0u32; 65];
        for _ in 0..65_000 {
            let shorter = random_shorter_side(256, [0.8, 1.0], &mut stream);
            counts[shorter - 256] += 1;
        }
        // 1,000 are expected of each, with a standard deviation of 31; five of them.
        assert!(
            counts.iter().all(|count| count.abs_diff(1000) < 157),
            "{counts:?}"
        );
        assert_eq!(random_shorter_side(28, [1.0, 1.0], &mut stream), 28);
        // 100 / 0.7 is 142.86.
        let longest = (0..1000).map(|_| random_shorter_side(100, [0.7, 1.0], &mut stream));
        assert_eq!(longest.max(), Some(143));
    }

    #[test]
    fn a_corner_is_any_place_at_which_the_square_fits() {
        let mut stream = Stream::new(4, "crop");
        let corners: std::collections::BTreeSet<[usize; 2]> = (0..500)
            .map(|_| random_corner([12, 10], 10, &mut stream))
            .collect();
        assert_eq!(
            corners.into_iter().collect::<Vec<_>>(),
            [[0, 0], [1, 0], [2, 0]]
        );
    }
}
