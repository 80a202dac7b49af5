//! Small datasets for the tests of kinds that read lists.

use std::fs;
use std::path::{Path, PathBuf};

use super::Rows;

/// Writes images of 4 × 30 pixels, each with a shade of its own, in the format that its name ends in.
pub(in crate::datasets) fn write_images(root: &Path, names: &[&str]) {
    for (shade, name) in (0u8..).zip(names) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        image::RgbImage::from_pixel(4, 30, image::Rgb([shade, 20, 30]))
            .save(&path)
            .unwrap();
    }
}

/// Writes texts.
pub(in crate::datasets) fn write_texts(root: &Path, texts: &[(&str, &str)]) {
    for (name, text) in texts {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// A folder of the annotation files that owners publish, for tests that need data.
pub(in crate::datasets) fn annotations(folder: &str) -> PathBuf {
    let root = std::env::var_os("REPRO_TEST_ANNOTATIONS")
        .expect("REPRO_TEST_ANNOTATIONS names the folder with the annotation files");
    PathBuf::from(root).join(folder)
}

/// The number of classes, and of the images of each split; checks that no label is without a class or an image.
pub(in crate::datasets) fn counts(rows: &Rows) -> (usize, usize, usize, usize) {
    let mut labels: Vec<_> = rows.images.iter().map(|row| row.label as usize).collect();
    labels.sort_unstable();
    labels.dedup();
    assert_eq!(labels, (0..rows.classes.len()).collect::<Vec<_>>());
    let of = |split: &str| rows.images.iter().filter(|row| row.split == split).count();
    (rows.classes.len(), of("train"), of("val"), of("test"))
}
