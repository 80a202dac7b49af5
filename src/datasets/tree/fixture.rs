//! Packs small datasets for tests.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::datasets::OpenDataset;

/// Packs files and folders that are in a folder.
fn pack(folder: &Path, names: &[&str]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for name in names {
        let path = folder.join(name);
        if path.is_dir() {
            archive.append_dir_all(name, &path).unwrap();
        } else {
            let mut file = File::open(&path).unwrap();
            archive.append_file(name, &mut file).unwrap();
        }
    }
    archive.into_inner().unwrap()
}

/// Writes a tar archive.
pub(in crate::datasets) fn tar(folder: &Path, names: &[&str], to: &Path) {
    fs::write(to, pack(folder, names)).unwrap();
}

/// Writes a compressed tar archive.
pub(in crate::datasets) fn tgz(folder: &Path, names: &[&str], to: &Path) {
    fs::write(to, gzip(&pack(folder, names))).unwrap();
}

/// Compresses bytes.
pub(in crate::datasets) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Fails unless two datasets are one, image by image.
pub(in crate::datasets) fn assert_same(left: &OpenDataset, right: &OpenDataset) {
    assert_eq!(left.manifest.samples, right.manifest.samples);
    assert_eq!(left.manifest.digest(), right.manifest.digest());
    for row in 0..right.manifest.samples.len() {
        let (left, right) = (left.image(row), right.image(row));
        assert_eq!(left.unwrap().pixels(), right.unwrap().pixels());
    }
}
