//! Small archives, whole and spoilt.

use std::fs;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::message::Hint;

const CLASS_NAMES: &str =
    "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";

/// A record whose planes are red, green and blue with the first pixel apart.
fn record(label: u8, shade: u8) -> Vec<u8> {
    let mut record = vec![label];
    for plane in [shade, 100, 200] {
        record.push(plane + 1);
        record.extend(std::iter::repeat_n(plane, PLANE - 1));
    }
    record
}

/// The files of a dataset of two records a batch.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let mut files = vec![(NAMES, CLASS_NAMES.into())];
    for (number, (_, name)) in (0u8..).zip(BATCHES) {
        files.push((name, [record(number, 10 + number), record(9, 0)].concat()));
    }
    files
}

fn pack(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        let path = format!("cifar-10-batches-bin/{name}");
        archive
            .append_data(&mut header, path, bytes.as_slice())
            .unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

fn open(root: &Path) -> Result<OpenDataset, String> {
    let dataset = Cifar10 {
        root: root.to_owned(),
    };
    let open = dataset.open(&Environment::plain(), None);
    open.map_err(|error| error.explain().to_string())
}

fn open_packed(bytes: &[u8]) -> Result<OpenDataset, String> {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("cifar-10-binary.tar.gz"), bytes).unwrap();
    open(root.path())
}

fn open_unpacked(files: &[(&str, Vec<u8>)]) -> Result<OpenDataset, String> {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("cifar-10-batches-bin");
    fs::create_dir(&folder).unwrap();
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes).unwrap();
    }
    open(root.path())
}

#[test]
fn archive_and_folder_are_one_dataset() {
    let (packed, unpacked) = (
        open_packed(&pack(&files())).unwrap(),
        open_unpacked(&files()).unwrap(),
    );
    assert_eq!(packed.manifest.digest(), unpacked.manifest.digest());
    // The order of the files in the archive does not matter.
    let mut backwards = files();
    backwards.reverse();
    let backwards = open_packed(&pack(&backwards)).unwrap();
    assert_eq!(packed.manifest.digest(), backwards.manifest.digest());

    let manifest = &packed.manifest;
    assert_eq!(manifest.classes[2], "bird");
    assert_eq!((manifest.count("train"), manifest.count("test")), (10, 2));
    let ids: Vec<_> = manifest
        .samples
        .iter()
        .map(|sample| (sample.id.as_str(), sample.label))
        .collect();
    assert_eq!(
        ids[..3],
        [("train/00000", 0), ("train/00001", 9), ("train/00002", 1)]
    );
    assert_eq!(
        ids[9..],
        [("train/00009", 9), ("test/00000", 5), ("test/00001", 9)]
    );

    for dataset in [&packed, &unpacked] {
        let image = dataset.image(10).unwrap();
        assert_eq!((image.size(), image.channels()), ((32, 32), 3));
        assert_eq!(image.pixels()[..6], [16, 101, 201, 15, 100, 200]);
        assert_eq!(image.pixels()[3 * PLANE - 3..], [15, 100, 200]);
        assert!(dataset.image(12).is_err());
    }
}

#[test]
fn what_is_missing_too_short_or_too_long_is_named_with_its_remedy() {
    // Changes the file of that name, or takes it away.
    let spoil = |name: &str, bytes: Option<Vec<u8>>| {
        let mut files = files();
        let place = files.iter().position(|(other, _)| *other == name).unwrap();
        match bytes {
            Some(bytes) => files[place].1 = bytes,
            None => drop(files.remove(place)),
        }
        files
    };
    let both = |files: &[(&str, Vec<u8>)]| {
        [open_packed(&pack(files)), open_unpacked(files)].map(|open| open.err().unwrap())
    };
    for (name, bytes, says) in [
        (
            "data_batch_2.bin",
            vec![0; 3000],
            "has 3000 bytes, which is not a number of records of 3073 bytes",
        ),
        ("data_batch_1.bin", Vec::new(), "has 0 bytes"),
        (
            "data_batch_4.bin",
            record(1, 1),
            "has 1 records, but `data_batch_1.bin` has 2",
        ),
        (
            "test_batch.bin",
            [record(0, 0), record(10, 0)].concat(),
            "has the label 10 at record 1, which is not one of 0 to 9",
        ),
        (
            "test_batch.bin",
            vec![0; 30_730_001],
            "has more than the 30730000 bytes",
        ),
        (
            NAMES,
            b"cat\ndog\n".to_vec(),
            "names of 2 classes, not of 10",
        ),
        (NAMES, vec![255; 9], "is not a text"),
    ] {
        for error in both(&spoil(name, Some(bytes))) {
            let named = error.contains(name) && error.contains("hint: ");
            assert!(named && error.contains(says), "{error}");
        }
    }
    let [packed, unpacked] = both(&spoil("data_batch_3.bin", None));
    assert!(
        packed.contains("no `cifar-10-batches-bin/data_batch_3.bin` in it"),
        "{packed}"
    );
    assert!(
        unpacked.contains("data_batch_3.bin is missing") && unpacked.contains("hint: unpack"),
        "{unpacked}"
    );
}

#[test]
fn a_damaged_archive_or_none_is_named_with_its_remedy() {
    let whole = pack(&files());
    let mut wrong_sum = whole.clone();
    let place = whole.len() - 8;
    wrong_sum[place] ^= 1;
    for bytes in [&whole[..whole.len() / 2], b"<html>404</html>", &wrong_sum] {
        let error = open_packed(bytes).err().unwrap();
        assert!(
            error.contains("damaged or cut off") && error.contains("hint: download"),
            "{error}"
        );
    }
    // Another archive, and one that holds a link in place of a batch.
    let mut link = tar::Header::new_gnu();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_size(0);
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let name = "cifar-10-batches-bin/batches.meta.txt";
    archive
        .append_link(&mut link, name, "/etc/hostname")
        .unwrap();
    for bytes in [pack(&[]), archive.into_inner().unwrap().finish().unwrap()] {
        let error = open_packed(&bytes).err().unwrap();
        assert!(
            error.contains("no `cifar-10-batches-bin/batches.meta.txt`"),
            "{error}"
        );
    }

    let root = tempfile::tempdir().unwrap();
    let error = open(root.path()).err().unwrap();
    assert!(
        error.contains("cifar-10-binary.tar.gz is missing") && error.contains("repro data fetch"),
        "{error}"
    );
    fs::create_dir(root.path().join("cifar-10-binary.tar.gz")).unwrap();
    let error = open(root.path()).err().unwrap();
    assert!(error.contains("not a regular file"), "{error}");
}
