//! Archives as guided-diffusion writes them, and what is wrong with others.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::message::Hint;
use crate::npy::archived::fixture::{archive, array};

/// Three images of 2 × 4 pixels in color.
fn pixels() -> Vec<u8> {
    (0..3 * 2 * 4 * 3).collect()
}

fn images() -> Vec<u8> {
    array("|u1", "(3, 2, 4, 3)", false, &pixels())
}

fn integers(labels: &[i64]) -> Vec<u8> {
    let bytes = labels.iter().flat_map(|label| label.to_le_bytes());
    let bytes: Vec<u8> = bytes.collect();
    array("<i8", &format!("({},)", labels.len()), false, &bytes)
}

fn dataset() -> Npz {
    Npz {
        file: "x.npz".into(),
        split: "test".to_owned(),
        images: "arr_0".to_owned(),
        labels: None,
    }
}

fn at(folder: &Path) -> Environment<'_> {
    Environment {
        base: folder,
        ..Environment::plain()
    }
}

/// Opens a file of these bytes.
fn open_as(dataset: &Npz, bytes: &[u8]) -> (TempDir, Result<OpenDataset, DatasetError>) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("x.npz"), bytes).unwrap();
    let opened = dataset.open(&at(folder.path()), None);
    (folder, opened)
}

/// The message and the hint for an archive of these members.
fn refused(dataset: &Npz, members: &[(&str, Vec<u8>)]) -> String {
    let (_folder, opened) = open_as(dataset, &archive(members));
    opened.err().unwrap().explain().to_string()
}

/// The same members, compressed.
fn compressed(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in members {
        let mut encoder =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        let packed = encoder.finish().unwrap();
        let mut checksum = flate2::Crc::new();
        checksum.update(content);
        let word = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
        let about = [
            [20, 0, 0, 0, 8, 0, 0, 0, 0, 0].as_slice(),
            &checksum.sum().to_le_bytes(),
            &word(packed.len()),
            &word(content.len()),
            &word(name.len())[..2],
            &[0, 0],
        ]
        .concat();
        let start = word(file.len());
        file.extend([b"PK\x03\x04".as_slice(), &about, name.as_bytes(), &packed].concat());
        let line = [b"PK\x01\x02\x14\0".as_slice(), &about, &[0; 10], &start];
        directory.extend(line.concat());
        directory.extend(name.as_bytes());
    }
    let count = u16::try_from(members.len()).unwrap().to_le_bytes();
    let (start, length) = (file.len(), directory.len());
    let word = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
    file.extend(directory);
    file.extend([b"PK\x05\x06\0\0\0\0".as_slice(), &count, &count].concat());
    file.extend([word(length).as_slice(), &word(start), &[0, 0]].concat());
    file
}

#[test]
fn images_are_read_where_they_lie_and_other_arrays_are_left_alone() {
    let moments = array("<f8", "(2,)", false, &[0; 16]);
    let members = [
        ("mu.npy", moments),
        ("arr_0.npy", images()),
        ("arr_1.npy", integers(&[4, 0, 4])),
        // Nobody reads it, so nobody minds.
        ("sigma.npy", b"no array".to_vec()),
    ];
    let (_folder, opened) = open_as(&dataset(), &archive(&members));
    let open = opened.unwrap();
    let samples = open.manifest.samples.iter();
    let ids: Vec<_> = samples
        .map(|sample| (sample.id.as_str(), sample.label))
        .collect();
    assert_eq!(
        ids,
        [("test/00000", 4), ("test/00001", 0), ("test/00002", 4)]
    );
    assert_eq!(open.manifest.classes, ["0", "1", "2", "3", "4"]);
    assert_eq!(open.manifest.count("test"), 3);
    for (row, expected) in pixels().chunks_exact(24).enumerate() {
        let image = open.image(row).unwrap();
        assert_eq!(image.size(), (4, 2));
        assert_eq!(image.pixels(), expected);
    }
    assert!(open.image(3).is_err());
    // Compressed, they are the same dataset.
    let packed = compressed(&members);
    assert!(packed != archive(&members));
    let (_folder, opened) = open_as(&dataset(), &packed);
    crate::datasets::tree::fixture::assert_same(&opened.unwrap(), &open);
}

#[test]
fn arrays_have_other_names_and_labels_need_not_be_there() {
    let members = [("x.npy", images()), ("y.npy", integers(&[1, 1, 0]))];
    let named = Npz {
        images: "x".to_owned(),
        labels: Some("y".to_owned()),
        split: "train".to_owned(),
        ..dataset()
    };
    let (_folder, opened) = open_as(&named, &archive(&members));
    let manifest = opened.unwrap().manifest;
    assert_eq!(manifest.samples[0].id, "train/00000");
    assert_eq!(manifest.classes, ["0", "1"]);
    let (_folder, opened) = open_as(&dataset(), &archive(&[("arr_0.npy", images())]));
    let manifest = opened.unwrap().manifest;
    assert!(manifest.classes.is_empty());
    assert_eq!(manifest.reading_order(None), [0, 1, 2]);
}

#[test]
fn gray_images_have_one_channel_or_no_axis_of_channels() {
    let gray = |shape: &str| {
        let array = array("|u1", shape, false, &pixels());
        let (_folder, opened) = open_as(&dataset(), &archive(&[("arr_0.npy", array)]));
        let open = opened.unwrap();
        let image = open.image(1).unwrap();
        (open.manifest.digest().to_owned(), image.pixels().to_vec())
    };
    assert_eq!(gray("(3, 4, 6)"), gray("(3, 4, 6, 1)"));
    // The same bytes of other shapes are other images.
    let (color, _) = gray("(3, 2, 4, 3)");
    assert!(![gray("(3, 4, 6)").0, gray("(3, 6, 4)").0].contains(&color));
    assert_ne!(gray("(3, 4, 6)").0, gray("(3, 6, 4)").0);
}

#[test]
fn what_is_wrong_with_the_images_is_said_with_what_to_do() {
    let wrong = |descr: &str, shape: &str, is_fortran: bool, bytes: usize| {
        let array = array(descr, shape, is_fortran, &vec![0; bytes]);
        refused(&dataset(), &[("arr_0.npy", array)])
    };
    for (said, expected) in [
        (
            wrong("<f4", "(1, 2, 2, 3)", false, 48),
            ["floats of 32 bits", "`uint8`"],
        ),
        (
            wrong("|u1", "(2, 3, 8, 8)", false, 384),
            ["[2, 3, 8, 8]", "transpose(0, 2, 3, 1)"],
        ),
        (
            wrong("|u1", "(2, 4, 4, 4)", false, 128),
            ["[2, 4, 4, 4]", "images[..., :3]"],
        ),
        (
            wrong("|u1", "(8, 8, 3)", false, 192),
            ["[8, 8, 3]", "image[None]"],
        ),
        (
            wrong("|u1", "(12,)", false, 12),
            ["[12]", "number, height, width"],
        ),
        (
            wrong("|u1", "(2, 2, 2, 3)", true, 24),
            ["Fortran", "ascontiguousarray"],
        ),
        (
            wrong("|u1", "(0, 2, 2, 3)", false, 0),
            ["no images", "one image"],
        ),
        (
            wrong("|u1", "(2, 2, 2, 3)", false, 23),
            ["damaged", "`arr_0.npy`"],
        ),
        (wrong("|O", "(2,)", false, 2), ["`|O`", "numpy.savez"]),
    ] {
        for part in ["x.npz is malformed", "arr_0"].iter().chain(&expected) {
            assert!(said.contains(part), "{said}");
        }
    }
    let said = refused(&dataset(), &[("mu.npy", images()), ("sigma.npy", images())]);
    assert!(
        said.contains("no array `arr_0`: it holds `mu`, `sigma`"),
        "{said}"
    );
    assert!(said.contains("`images` of the dataset"), "{said}");
}

#[test]
fn what_is_wrong_with_the_labels_is_said_with_what_to_do() {
    let wrong = |labels: Vec<u8>| {
        refused(
            &dataset(),
            &[("arr_0.npy", images()), ("arr_1.npy", labels)],
        )
    };
    for (said, expected) in [
        (
            wrong(integers(&[0, 1])),
            ["has 2 labels, but there are 3 images", "one for each"],
        ),
        (
            wrong(integers(&[0, -1, 2])),
            ["the label -1 for image 1", "from 0"],
        ),
        (
            wrong(integers(&[0, 1, 1 << 40])),
            ["the label 1099511627776 for image 2", "0 to 999999"],
        ),
        (
            wrong(array("<f4", "(3, 2)", false, &[0; 24])),
            ["[3, 2]", "labels.argmax(axis=1)"],
        ),
        (
            wrong(array("<f4", "(3,)", false, &[0; 12])),
            ["floats of 32 bits", "integers"],
        ),
        (
            wrong(array("|b1", "(3,)", false, &[0; 3])),
            ["truth values", "integers"],
        ),
        (
            wrong(array("|u1", "(1, 3, 1)", false, &[0; 3])),
            ["[1, 3, 1]", "`[N]`"],
        ),
    ] {
        for part in ["x.npz is malformed", "`arr_1`"].iter().chain(&expected) {
            assert!(said.contains(part), "{said}");
        }
    }
    let named = Npz {
        labels: Some("classes".to_owned()),
        ..dataset()
    };
    let said = refused(&named, &[("arr_0.npy", images())]);
    assert!(
        said.contains("no array `classes`: it holds `arr_0`"),
        "{said}"
    );
    // All integers are read as they are meant.
    for (descr, bytes, expected) in [
        ("|i1", vec![0, 127, 1], 127),
        ("|u1", vec![0, 255, 1], 255),
        ("<u2", vec![0, 0, 0xff, 0xff, 1, 0], 65_535),
        ("<i4", vec![0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0], 65_537),
    ] {
        let labels = array(descr, "(3,)", false, &bytes);
        let members = [("arr_0.npy", images()), ("arr_1.npy", labels)];
        let (_folder, opened) = open_as(&dataset(), &archive(&members));
        assert_eq!(
            opened.unwrap().manifest.samples[1].label,
            expected,
            "{descr}"
        );
    }
}

#[test]
fn other_files_are_named_for_what_they_are() {
    let said = |bytes: &[u8]| open_as(&dataset(), bytes).1.err().unwrap().to_string();
    assert!(said(b"").contains("it is empty"));
    assert!(said(&images()).contains("a NumPy array, and an archive of arrays was expected"));
    assert!(said(b"\x89PNG\r\n\x1a\n").contains("a PNG image"));
    let whole = archive(&[("arr_0.npy", images())]);
    assert!(said(&whole[..whole.len() - 1]).contains("cut off"));
    let folder = tempfile::tempdir().unwrap();
    let missing = dataset().open(&at(folder.path()), None).err().unwrap();
    assert!(missing.to_string().ends_with("x.npz is missing"));
    fs::create_dir(folder.path().join("x.npz")).unwrap();
    let said = dataset().open(&at(folder.path()), None).err().unwrap();
    assert!(said.to_string().contains("it is a folder"));
}

#[test]
fn an_image_that_changed_since_it_was_listed_is_not_read() {
    let whole = archive(&[("arr_0.npy", images())]);
    let (folder, opened) = open_as(&dataset(), &whole);
    let open = opened.unwrap();
    let path = folder.path().join("x.npz");
    let mut bytes = whole.clone();
    let last = whole
        .windows(3)
        .position(|bytes| bytes == [69, 70, 71])
        .unwrap();
    bytes[last] ^= 1;
    // Into the same file, as a program does that opens it for writing.
    fs::write(&path, &bytes).unwrap();
    assert!(open.image(0).is_ok());
    let changed = open.image(2).err().unwrap();
    assert!(matches!(changed, DatasetError::Changed { .. }), "{changed}");
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let changed = open.image(2).err().unwrap();
    assert!(matches!(changed, DatasetError::Changed { .. }), "{changed}");
    // What stands under the name of the file afterwards is another file.
    fs::remove_file(&path).unwrap();
    fs::write(&path, &whole).unwrap();
    assert!(open.image(2).is_err());
}
