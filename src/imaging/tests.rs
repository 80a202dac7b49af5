//! Tests of images as a whole, and of pixels against the references'.

use std::path::{Path, PathBuf};

use super::preprocess::{Draw, Named, Number, Step};
use super::*;

const DRAW: Draw<'_> = Draw {
    seed: 7,
    sample: "a",
    view: "center",
    draw: 0,
};

const WORDS: [Preprocess; 2] = [
    Preprocess::Named(Named::AdmCenterCrop),
    Preprocess::Named(Named::ResizeCenterCrop),
];

fn adm_random_crop(side: u32, fraction: [f64; 2]) -> Step {
    let fraction = fraction.map(Number);
    Step::AdmRandomCrop { side, fraction }
}

fn random_crop(side: u32) -> Step {
    Step::RandomResizedCrop {
        side,
        scale: [0.08, 1.0].map(Number),
        ratio: [3.0 / 4.0, 4.0 / 3.0].map(Number),
        filter: Filter::Bilinear,
    }
}

fn bilinear(side: u32, part: u32) -> Preprocess {
    let filter = Filter::Bilinear;
    let steps = vec![
        Step::Resize { side, filter },
        Step::CenterCrop { side: part },
    ];
    Preprocess::new(steps, part)
}

#[test]
fn crops_flips_and_planes() {
    let image = Image::color(2, 2, (0..12).collect());
    let right = Rectangle {
        left: 1,
        top: 0,
        width: 1,
        height: 2,
    };
    assert_eq!(image.crop(right).pixels(), [3, 4, 5, 9, 10, 11]);
    assert_eq!(
        image.flip().pixels(),
        [3, 4, 5, 0, 1, 2, 9, 10, 11, 6, 7, 8]
    );
    let planes = image.to_planes(3, Normalization::default());
    assert_eq!(planes.len(), 12);
    assert!((planes[1] - (3.0 / 127.5 - 1.0)).abs() < 1e-7);
    assert!((planes[4] - (1.0 / 127.5 - 1.0)).abs() < 1e-7);
    let gray = Image::gray(1, 2, vec![0, 255]);
    assert_eq!(
        gray.to_planes(3, Normalization::default()),
        [-1.0, 1.0, -1.0, 1.0, -1.0, 1.0]
    );
    assert_eq!(luma(255, 255, 255), 255);
}

#[test]
fn every_shape_becomes_the_square() {
    let random = Preprocess::Steps(vec![random_crop(32), Step::Flip]);
    let adm = Preprocess::Steps(vec![adm_random_crop(32, [0.3, 1.0])]);
    for (width, height) in [
        (28, 28),
        (500, 375),
        (375, 500),
        (64, 65),
        (33, 1000),
        (31, 31),
        (1, 1),
    ] {
        let image = Image::color(width, height, vec![90; 3 * width * height]);
        for preprocess in WORDS.iter().chain([&random, &adm]) {
            let square = preprocess.apply(&image, 32, DRAW).unwrap();
            let shown = format!("{} of {width}x{height}", preprocess.name());
            assert_eq!(square.size(), (32, 32), "{shown}");
            assert!(square.pixels().iter().all(|&pixel| pixel == 90), "{shown}");
        }
    }
}

/// The center crop has the reference's pixels (`tests/golden/preprocessing`); the random one shows a part of what it would resize to.
#[test]
fn the_random_crop_of_guided_diffusion_is_a_window_of_its_resized_image() {
    let mut stream = crate::random::Stream::new(5, "pixels");
    let noise = (0..150 * 150).map(|_| stream.next_bits().to_le_bytes()[0]);
    let image = Image::gray(150, 150, noise.collect());
    let whole = |side| Preprocess::Steps(vec![Step::AdmCenterCrop { side }]);
    let crop = |fraction| Preprocess::Steps(vec![adm_random_crop(32, fraction)]);
    assert_eq!(
        crop([1.0, 1.0]).apply(&image, 32, DRAW).unwrap(),
        whole(32).apply(&image, 32, DRAW).unwrap()
    );
    // 32 / 0.5 is 64: once halved, then bicubic.
    let resized = whole(64).apply(&image, 64, DRAW).unwrap();
    let mut corners = std::collections::BTreeSet::new();
    for draw in 0..20 {
        let square = crop([0.5, 0.5])
            .apply(&image, 32, Draw { draw, ..DRAW })
            .unwrap();
        let places = (0..=32).flat_map(|left| (0..=32).map(move |top| (left, top)));
        let found = places.into_iter().find(|&(left, top)| {
            let part = Rectangle {
                left,
                top,
                width: 32,
                height: 32,
            };
            resized.crop(part) == square
        });
        corners.insert(found.unwrap());
    }
    assert!(corners.len() > 15, "{corners:?}");
}

#[test]
fn without_chance_crops_are_central_and_nothing_is_flipped() {
    let flip = Step::RandomFlip {
        probability: Number(0.5),
    };
    for crop in [random_crop(28), adm_random_crop(28, [0.8, 1.0])] {
        let random = Preprocess::Steps(vec![crop, flip.clone()]);
        assert_eq!(random.without_chance(28), Preprocess::default());
    }
    let kept = Preprocess::Steps(vec![Step::Flip, Step::AdmCenterCrop { side: 28 }]);
    assert_eq!(kept.without_chance(28), kept);
    assert_eq!(WORDS[1].without_chance(28), WORDS[1]);
}

/// The words are what features of earlier versions are stored under.
#[test]
fn a_word_is_serialized_as_itself_and_a_list_with_a_name_is_the_word() {
    let json = |preprocess: &Preprocess| serde_json::to_string(preprocess).unwrap();
    assert_eq!(json(&WORDS[0]), r#""adm-center-crop""#);
    assert_eq!(json(&WORDS[1]), r#""resize-center-crop""#);
    let filter = Filter::Bicubic;
    let long = vec![
        Step::Resize { side: 64, filter },
        Step::CenterCrop { side: 64 },
    ];
    assert_eq!(Preprocess::new(long.clone(), 64), WORDS[1]);
    let adm = |side| Preprocess::new(vec![Step::AdmCenterCrop { side }], side);
    assert_eq!(adm(28), WORDS[0]);
    assert_eq!(
        json(&bilinear(64, 56)),
        r#"[{"step":"resize","side":64,"filter":"bilinear"},{"step":"center-crop","side":56}]"#
    );
}

#[test]
fn random_steps_are_a_function_of_seed_sample_view_draw_and_place() {
    let pixels = (0..=255).cycle().take(3 * 80 * 60).collect();
    let image = Image::color(80, 60, pixels);
    for step in [random_crop(16), adm_random_crop(16, [0.3, 1.0])] {
        let crop = Preprocess::Steps(vec![step.clone()]);
        let first = crop.apply(&image, 16, DRAW).unwrap();
        assert_eq!(crop.apply(&image, 16, DRAW).unwrap(), first);
        for other in [
            Draw { seed: 8, ..DRAW },
            Draw {
                sample: "b",
                ..DRAW
            },
            Draw {
                view: "flip",
                ..DRAW
            },
            Draw { draw: 1, ..DRAW },
        ] {
            assert_ne!(crop.apply(&image, 16, other).unwrap(), first, "{other:?}");
        }
        let second = Preprocess::Steps(vec![Step::Flip, Step::Flip, step]);
        assert_ne!(second.apply(&image, 16, DRAW).unwrap(), first);
    }
}

#[test]
fn random_flips_are_as_often_as_said() {
    let image = Image::gray(2, 1, vec![0, 1]);
    let flipped = |probability: f64, count: u32| {
        let flip = Preprocess::Steps(vec![Step::RandomFlip {
            probability: Number(probability),
        }]);
        let one = |draw: &u32| {
            flip.apply(
                &image,
                2,
                Draw {
                    draw: *draw,
                    ..DRAW
                },
            )
            .unwrap()
                != image
        };
        (0..count).filter(one).count()
    };
    assert_eq!(flipped(0.0, 100), 0);
    assert_eq!(flipped(1.0, 100), 100);
    // Five standard deviations of 2,000 draws.
    assert!(flipped(0.25, 2000).abs_diff(500) < 97);
}

/// How far found pixels are from expected ones: the most, and on average.
fn distance(found: &Image, expected: &Image) -> (u8, f64) {
    assert_eq!(found.size(), expected.size());
    let pairs = found.pixels().iter().zip(expected.pixels());
    let differences: Vec<u8> = pairs
        .map(|(found, expected)| found.abs_diff(*expected))
        .collect();
    let sum: f64 = differences.iter().map(|&value| f64::from(value)).sum();
    (
        differences.iter().max().copied().unwrap_or(0),
        sum / differences.len() as f64,
    )
}

fn read(path: &Path) -> Image {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Image::decode(&bytes).unwrap()
}

fn here(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(folder)
}

/// Every result of the references that the folder has: how many there were. From the pixels that Pillow decoded all values are the same;
/// from a JPEG, which decoders round differently, they differ by less than 1 on average.
fn compare_with_references(
    folder: &Path,
    photograph: &str,
    source: &Image,
    is_jpeg: bool,
) -> usize {
    let [adm, torchvision] = &WORDS;
    let mut compared = 0;
    for (preprocess, side, name) in [
        (adm, 256, "adm256"),
        (adm, 64, "adm64"),
        (torchvision, 256, "tv_bicubic256"),
        (torchvision, 64, "tv_bicubic64"),
        (&bilinear(256, 224), 224, "tv_bilinear256_crop224"),
        (&bilinear(64, 56), 56, "tv_bilinear64_crop56"),
    ] {
        let path = folder.join(format!("{photograph}.{name}.png"));
        if path.is_file() {
            let found = preprocess.apply(source, side, DRAW).unwrap();
            let (most, mean) = distance(&found, &read(&path));
            println!("{photograph}.{name}: at most {most}, mean {mean:.4}");
            assert!(
                most == 0 || is_jpeg && mean < 1.0,
                "{photograph}.{name}: at most {most}, mean {mean}"
            );
            compared += 1;
        }
    }
    compared
}

#[test]
fn pixels_are_the_references() {
    let folder = here("preprocessing");
    for photograph in ["chelsea", "chelsea-portrait", "camera"] {
        let source = read(&folder.join(format!("{photograph}.png")));
        let compared = compare_with_references(&folder, photograph, &source, false);
        assert_eq!(compared, 5, "{photograph}");
    }
    let rocket = read(&folder.join("rocket.jpg"));
    assert_eq!(compare_with_references(&folder, "rocket", &rocket, true), 3);
}

/// All photographs of the folder that `REPRO_TEST_GOLDEN` names, and of the JPEGs how far the decoder is from Pillow's.
#[test]
#[ignore = "needs the folder of golden files"]
fn all_photographs_are_the_references_needs_data() {
    let root = std::env::var_os("REPRO_TEST_GOLDEN").expect("REPRO_TEST_GOLDEN names the folder");
    let folder = Path::new(&root).join("E_preprocessing");
    let compare = |photograph: &str, source: &Image, is_jpeg| {
        let compared = compare_with_references(&folder, photograph, source, is_jpeg);
        assert_eq!(compared, 6, "{photograph}");
    };
    for photograph in ["chelsea", "chelsea-portrait", "camera"] {
        let source = read(&folder.join(format!("{photograph}.png")));
        compare(photograph, &source, false);
    }
    for photograph in ["china", "rocket", "retina"] {
        let decoded = read(&folder.join(format!("{photograph}.decoded.png")));
        compare(photograph, &decoded, false);
        let found = read(&folder.join(format!("{photograph}.jpg")));
        let (most, mean) = distance(&found, &decoded);
        println!("{photograph}.jpg: at most {most}, mean {mean:.4}");
        assert!(mean < 1.0, "{photograph}: mean {mean}");
        compare(photograph, &found, true);
    }
}

/// Every stored file against what Pillow makes of it: value for value, but for the roundings of what is not stored as RGB.
#[test]
fn files_of_all_forms_decode_as_pillow_decodes_them() {
    let mut shown = Vec::new();
    let mut compared = 0;
    for entry in std::fs::read_dir(here("decoding")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let Ok(pixels) = std::fs::read(path.with_file_name(format!("{name}.rgb"))) else {
            continue;
        };
        let found = read(&path);
        assert_eq!(found.size(), (23, 17), "{name}");
        let (most, mean) = distance(&found, &Image::color(23, 17, pixels));
        let is_jpeg = std::fs::read(&path).unwrap().starts_with(&[0xff, 0xd8]);
        // Pillow's rule for grays of 16 bits is not followed: see the head of `decode.rs`.
        let is_as_expected = if name == "greys-16.png" {
            mean > 20.0
        } else if is_jpeg {
            most <= 3 && mean < 1.0
        } else if ["cmyk.tif", "lossy.webp"].contains(&name.as_str()) {
            most <= 1
        } else {
            most == 0
        };
        shown.push(format!("{name}: at most {most}, mean {mean:.3}"));
        assert!(is_as_expected, "{}", shown.join("\n"));
        compared += 1;
    }
    println!("{}", shown.join("\n"));
    assert_eq!(compared, 43);
}

#[test]
fn grays_of_16_bits_are_their_upper_8() {
    let wide = read(&here("decoding").join("greys-16.png"));
    let pixels = read(&here("decoding").join("grey.png"));
    let pairs = wide.pixels().iter().zip(pixels.pixels());
    for (&found, &gray) in pairs {
        let value = u16::from(gray) * 257 - u16::from(gray.min(100));
        assert_eq!(u16::from(found), value >> 8);
    }
}

#[test]
fn what_is_no_image_is_refused() {
    let refusal = |bytes: &[u8]| Image::decode(bytes).unwrap_err().to_string();
    assert_eq!(
        refusal(b""),
        "it is empty; JPEG, PNG, WebP, BMP, TIFF and GIF are read, recognized by their content"
    );
    assert!(refusal(b"\0\0\x01\0\x01\0").starts_with("it is ICO;"));
    assert!(Image::decode(b"GIF89a\x01\0\x01\0").is_err());
    assert!(refusal(b"<html>not found</html>").starts_with("it is not an image;"));
    assert!(Image::decode(b"\x89PNG\r\n\x1a\n truncated").is_err());
}

#[test]
fn files_that_are_cut_off_are_refused_wherever_they_end() {
    for name in [
        "baseline.jpg",
        "progressive.jpg",
        "restarts.jpg",
        "orientation.jpg",
        "cmyk.jpg",
        "alpha.png",
        "palette.png",
        "colours.bmp",
        "colours.tif",
        "palette.gif",
        "lossless.webp",
    ] {
        let bytes = std::fs::read(here("decoding").join(name)).unwrap();
        // What ends these files holds nothing: a chunk of a PNG, the last code and two marks of a GIF, a padding byte of a WebP.
        let filling = match name.rsplit_once('.').unwrap().1 {
            "png" => 12,
            "gif" => 3,
            "webp" => 1,
            _ => 0,
        };
        let needed = bytes.len() - filling;
        for length in 0..needed {
            assert!(
                Image::decode(&bytes[..length]).is_err(),
                "{name} to {length}"
            );
        }
    }
    let whole = std::fs::read(here("decoding").join("baseline.jpg")).unwrap();
    let error = Image::decode(&whole[..whole.len() - 2]).unwrap_err();
    assert!(matches!(error, DecodeError::CutOff), "{error}");
}

#[test]
fn arithmetic_coding_and_12_bits_are_refused_and_damage_is_no_panic() {
    let path = here("decoding").join("baseline.jpg");
    let bytes = std::fs::read(path).unwrap();
    let frame = bytes
        .windows(2)
        .position(|pair| pair == [0xff, 0xc0])
        .unwrap();
    let with = |place: usize, value: u8| {
        let mut changed = bytes.clone();
        changed[place] = value;
        Image::decode(&changed)
    };
    let arithmetic = with(frame + 1, 0xc9).unwrap_err().to_string();
    assert!(arithmetic.contains("arithmetic coding"), "{arithmetic}");
    let bits = with(frame + 4, 12).unwrap_err().to_string();
    assert!(bits.contains("other than 8 bits"), "{bits}");
    let lossless = with(frame + 1, 0xc3).unwrap_err().to_string();
    assert!(lossless.contains("lossless"), "{lossless}");
    for place in 0..bytes.len() {
        for value in [0, 0x7f, 0xff] {
            let _ = with(place, value);
        }
    }
}

/// A PNG of one gray value, with chunks of one's own behind its header.
fn png_of(width: u32, height: u32, more: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |name: &[u8; 4], content: &[u8]| {
        bytes.extend(u32::try_from(content.len()).unwrap().to_be_bytes());
        let mut checksum = flate2::Crc::new();
        checksum.update(name);
        checksum.update(content);
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(content);
        bytes.extend(checksum.sum().to_be_bytes());
    };
    let sides = [width.to_be_bytes(), height.to_be_bytes()].concat();
    chunk(b"IHDR", &[&sides[..], &[8, 0, 0, 0, 0]].concat());
    for (name, content) in more {
        chunk(name, content);
    }
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    for _ in 0..height {
        std::io::Write::write_all(&mut packed, &vec![0; width as usize + 1]).unwrap();
    }
    chunk(b"IDAT", &packed.finish().unwrap());
    chunk(b"IEND", &[]);
    bytes
}

/// The work on a strip is that on its middle; the whole of it, 28 times as wide, would be 2.4 GB.
#[test]
fn a_strip_of_a_million_pixels_becomes_a_square_without_its_length_in_memory() {
    for (width, height) in [(1, 1_000_000), (1_000_000, 1)] {
        let image = Image::decode(&png_of(width, height, &[])).unwrap();
        for preprocess in &WORDS {
            let square = preprocess.apply(&image, 28, DRAW).unwrap();
            assert_eq!(square.size(), (28, 28));
        }
        // Without a crop behind it, it is refused.
        let whole = Preprocess::Steps(vec![
            Step::Resize {
                side: 28,
                filter: Filter::Bilinear,
            },
            Step::Flip,
            Step::CenterCrop { side: 28 },
        ]);
        let error = whole.apply(&image, 28, DRAW).unwrap_err().to_string();
        assert!(error.contains("28000000"), "{error}");
        assert!(error.contains("at most"), "{error}");
    }
}

/// The profile does not even unpack: nothing has looked at it.
#[test]
fn a_color_profile_is_not_unpacked() {
    let profile = [b"name\0\0".as_slice(), b"no compressed data"].concat();
    let plain = Image::decode(&png_of(3, 2, &[])).unwrap();
    for name in [b"iCCP", b"zTXt"] {
        let with = Image::decode(&png_of(3, 2, &[(name, profile.clone())])).unwrap();
        assert_eq!(with, plain);
    }
}

#[test]
fn images_of_too_many_pixels_are_refused_before_memory_is_taken() {
    let read = |name: &str| std::fs::read(here("decoding").join(name)).unwrap();
    let mut jpeg = read("baseline.jpg");
    let frame = jpeg
        .windows(2)
        .position(|pair| pair == [0xff, 0xc0])
        .unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xdc, 0xff, 0xdc]);
    let mut png = read("grey.png");
    png[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
    let mut checksum = flate2::Crc::new();
    checksum.update(&png[12..29]);
    png[29..33].copy_from_slice(&checksum.sum().to_be_bytes());
    let mut bmp = read("colours.bmp");
    bmp[18..26].copy_from_slice(&[0xff, 0xff, 0, 0, 0xff, 0xff, 0, 0]);
    let mut gif = read("palette.gif");
    gif[6..10].fill(0xff);
    for bytes in [jpeg, png, bmp, gif] {
        let error = Image::decode(&bytes).unwrap_err();
        assert!(matches!(error, DecodeError::TooLarge { .. }), "{error}");
        let text = error.to_string();
        assert!(
            text.ends_with("at most 178956970 pixels are decoded"),
            "{text}"
        );
    }
}

#[test]
fn bare_bytes_of_a_square_say_its_side_and_channels() {
    for side in 1..70 {
        let gray = Image::square(&vec![7; side * side]).unwrap();
        assert_eq!((gray.size(), gray.channels()), ((side, side), 1));
        let color = Image::square(&vec![7; 3 * side * side]).unwrap();
        assert_eq!((color.size(), color.channels()), ((side, side), 3));
    }
    for length in [0, 2, 5, 6, 13, 24] {
        assert_eq!(Image::square(&vec![7; length]), None, "{length}");
    }
}
