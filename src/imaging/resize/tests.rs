//! Tests of resizing, against what is defined and against itself.

use super::*;

/// The two passes as they are defined, one value at a time.
fn plainly(image: &Image, [width, height]: [usize; 2], filter: Filter) -> Image {
    let channels = image.channels;
    let pass = |from: &Image, taps: &[Tap], is_across: bool, to: [usize; 2]| {
        let (along, across) = if is_across {
            (1, from.width)
        } else {
            (from.width, 1)
        };
        let mut pixels = Vec::new();
        for y in 0..to[1] {
            for x in 0..to[0] {
                let (tap, fixed) = if is_across {
                    (&taps[x], y)
                } else {
                    (&taps[y], x)
                };
                for channel in 0..channels {
                    let mut sum = 1i64 << (WEIGHT_BITS - 1);
                    for (step, weight) in tap.weights.iter().enumerate() {
                        let place = (tap.first + step) * along + fixed * across;
                        let value = from.pixels[place * channels + channel];
                        sum += i64::from(*weight) * i64::from(value);
                    }
                    pixels.push(u8::try_from((sum >> WEIGHT_BITS).clamp(0, 255)).unwrap());
                }
            }
        }
        Image {
            width: to[0],
            height: to[1],
            channels,
            pixels,
        }
    };
    let mut image = image.clone();
    if width != image.width {
        let (taps, to) = (
            taps(image.width, width, filter, 0..width),
            [width, image.height],
        );
        image = pass(&image, &taps, true, to);
    }
    if height != image.height {
        let taps = taps(image.height, height, filter, 0..height);
        image = pass(&image, &taps, false, [width, height]);
    }
    image
}

fn noise(width: usize, height: usize, channels: usize) -> Image {
    let mut stream = crate::random::Stream::new(1, "pixels");
    let count = width * height * channels;
    Image {
        width,
        height,
        channels,
        pixels: (0..count)
            .map(|_| u8::try_from(stream.next_below(256)).unwrap())
            .collect(),
    }
}

#[test]
fn every_size_and_filter_is_as_defined() {
    let sizes = [1, 2, 3, 5, 8, 17, 31, 40];
    for channels in [1, 3] {
        for (width, height) in [(1, 1), (2, 3), (7, 5), (33, 18), (19, 64)] {
            let image = noise(width, height, channels);
            for &(name, filter) in Filter::CHOICES {
                for to in sizes.iter().flat_map(|&x| sizes.map(|y| [x, y])) {
                    let found = resize(&image, to, filter).unwrap();
                    assert!(
                        found == plainly(&image, to, filter),
                        "{name} {width}x{height}x{channels} to {to:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn extremes_stay_within_8_bits() {
    let pixels = (0..30 * 30 * 3).map(|index| if index / 3 % 4 < 2 { 0 } else { 255 });
    let image = Image::color(30, 30, pixels.collect());
    for to in [[50, 50], [13, 13], [300, 7]] {
        let found = resize(&image, to, Filter::Bicubic).unwrap();
        assert_eq!(found, plainly(&image, to, Filter::Bicubic));
    }
}

#[test]
fn a_part_is_the_same_pixels() {
    let image = noise(37, 29, 3);
    let part = Rectangle {
        left: 3,
        top: 5,
        width: 11,
        height: 9,
    };
    for to in [[20, 17], [37, 17], [20, 29], [37, 29], [64, 50]] {
        assert_eq!(
            resize_part(&image, to, Filter::Bicubic, part).unwrap(),
            resize(&image, to, Filter::Bicubic).unwrap().crop(part),
            "{to:?}"
        );
    }
}

#[test]
fn a_part_in_the_middle_of_a_long_image_needs_no_more_than_its_rows() {
    let image = noise(3, 40_000, 3);
    let part = Rectangle {
        left: 5,
        top: 250_001,
        width: 20,
        height: 30,
    };
    let found = resize_part(&image, [30, 400_000], Filter::Bicubic, part).unwrap();
    let near = image.crop(Rectangle {
        left: 0,
        top: 24_900,
        width: 3,
        height: 300,
    });
    let near = resize(&near, [30, 3000], Filter::Bicubic).unwrap();
    let part = Rectangle {
        top: 250_001 - 249_000,
        ..part
    };
    assert_eq!(found, near.crop(part));
    // The whole of it would be 36 MB; of an image of a million rows, far too much.
    let image = Image::gray(1, 1_000_000, vec![9; 1_000_000]);
    let error = resize(&image, [28, 28_000_000], Filter::Bicubic).unwrap_err();
    assert!(error.bytes > IMAGE_MEMORY, "{error}");
    let text = error.to_string();
    assert!(
        text.starts_with("resizing its 1 × 1000000 pixels to 28 × 28000000 takes"),
        "{text}"
    );
}

#[test]
fn weights_of_a_half_are_pillows() {
    // Two pixels to one: a mean, halves upwards.
    let image = Image::gray(4, 1, vec![0, 1, 254, 255]);
    assert_eq!(
        resize(&image, [2, 1], Filter::Box).unwrap().pixels(),
        [1, 255]
    );
}
