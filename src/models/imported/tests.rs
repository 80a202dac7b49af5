//! Files as NumPy, pyarrow and polars write them, and rows that do not fit a dataset.

use std::path::{Path, PathBuf};

use super::*;
use crate::datasets::{Manifest, Sample};
use crate::message::Hint;

const IDS: [&str; 4] = ["train/a.png", "train/ü b.png", "test/c.png", "test/dd.png"];

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/imported")
}

/// A file of tensors that are not in a row, as PyTorch saved it.
const VIEWS: &str = "../checkpoints/read-views.pt";

fn imported(sizes: &[u32]) -> Imported {
    Imported {
        files: Vec::new(),
        array: None,
        ids: None,
        skips_unknown_ids: false,
        shape: match *sizes {
            [width] => TapShape::Vector { width },
            [count, width] => TapShape::Tokens {
                count,
                width,
                class_token: false,
                registers: 0,
            },
            [channels, height, width] => TapShape::map(channels, height, width),
            _ => panic!("{sizes:?}"),
        },
    }
}

fn rows_of(name: &str, imported: &Imported) -> Result<(Described, Vec<f32>), DatasetError> {
    let path = golden().join(name);
    let digest = blake3::hash(&std::fs::read(&path).unwrap());
    let checked = CheckedFile::open(&path, digest.as_bytes()).unwrap();
    let file = ImportedFile {
        split: None,
        path: PathBuf::from(name),
    };
    let described = FeatureFile::describe(&golden(), &file, imported)?;
    let file = FeatureFile::open(&checked, imported)?;
    // What is said beforehand is what is read.
    assert_eq!(file.described(None), described);
    let mut values = Vec::new();
    for row in 0..described.rows {
        file.read(row, &mut values)?;
    }
    assert!(file.read(described.rows, &mut Vec::new()).is_err());
    file.check_finite()?;
    Ok((described, values))
}

fn expected() -> Vec<f32> {
    (0..12_u8).map(|step| f32::from(step) / 4.0 - 1.0).collect()
}

#[test]
fn every_format_gives_the_same_rows() {
    let plain = imported(&[3]);
    let named = Imported {
        array: Some("embedding".to_owned()),
        ids: Some("name".to_owned()),
        ..plain.clone()
    };
    for (file, imported, has_ids) in [
        ("rows.npy", &plain, false),
        ("half.npy", &plain, false),
        ("fortran.npy", &plain, false),
        ("texts.npz", &plain, true),
        ("bytes.npz", &plain, true),
        ("compressed.npz", &plain, false),
        ("ids.safetensors", &plain, true),
        ("bf16.safetensors", &plain, false),
        ("fixed.parquet", &plain, true),
        ("lists.parquet", &named, true),
        ("file.arrow", &plain, true),
        ("stream.arrow", &plain, true),
        ("categories.arrow", &named, true),
    ] {
        let (described, values) =
            rows_of(file, imported).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(values, expected(), "{file}");
        assert_eq!(described.rows, 4, "{file}");
        let ids = has_ids.then(|| IDS.map(str::to_owned).to_vec());
        assert_eq!(described.ids, ids, "{file}");
    }
}

#[test]
fn rows_of_several_axes_are_read_row_major() {
    let counted = |most: u8| -> Vec<f32> { (0..most).map(f32::from).collect() };
    let (_, tokens) = rows_of("tokens.npy", &imported(&[2, 3])).unwrap();
    assert_eq!(tokens, counted(24));
    let (_, maps) = rows_of("maps-fortran.npy", &imported(&[2, 2, 3])).unwrap();
    assert_eq!(maps, counted(48));
}

#[test]
fn tensors_that_pytorch_saved_are_read_whatever_their_strides() {
    let transposed = Imported {
        array: Some("transposed".to_owned()),
        ..imported(&[4])
    };
    let (described, values) = rows_of(VIEWS, &transposed).unwrap();
    assert_eq!(described.rows, 6);
    // The transpose of 4 rows of 6 values, in steps of 1 from -3.5.
    let expected = (0..6_u8).flat_map(|row| (0..4_u8).map(move |column| row + 6 * column));
    let expected: Vec<f32> = expected.map(|step| f32::from(step) - 3.5).collect();
    assert_eq!(values, expected);
}

#[test]
fn what_does_not_fit_is_refused_in_words() {
    let plain = imported(&[3]);
    let with = |change: &dyn Fn(&mut Imported)| {
        let mut changed = plain.clone();
        change(&mut changed);
        changed
    };
    let wider = imported(&[4]);
    let misnamed = with(&|imported| imported.array = Some("feature".to_owned()));
    let without_ids = with(&|imported| imported.ids = Some("names".to_owned()));
    for (file, imported, words) in [
        (
            "rows.npy",
            &wider,
            "rows of [3], and the model declares `shape = [4]`",
        ),
        (
            "tokens.npy",
            &plain,
            "rows of [2, 3], and the model declares `shape = [3]`",
        ),
        (
            "fixed.parquet",
            &wider,
            "rows of 3 values, and by `shape` a row has 4",
        ),
        (
            "short.parquet",
            &plain,
            "rows of 2 values, and by `shape` a row has 3",
        ),
        (
            "integers.npy",
            &plain,
            "its array `features` holds integers",
        ),
        ("several.npz", &plain, "is not clear: it has `one`, `other`"),
        ("objects.npz", &plain, "which is not read"),
        ("compressed.arrow", &plain, "it cannot be read as a table"),
        ("texts.npz", &misnamed, "it has no array `feature`"),
        ("texts.npz", &without_ids, "it has no array `names`"),
        ("file.arrow", &misnamed, "it has no column `feature`"),
        (
            "nan.npy",
            &plain,
            "value 1 of row 2, both counted from 0, is NaN",
        ),
        (
            "too-large.npy",
            &plain,
            "value 0 of row 0, both counted from 0, is infinite in 32 bits",
        ),
        (
            "make.py",
            &plain,
            "it is neither `.npy`, `.npz`, safetensors, a file of PyTorch, Parquet nor Arrow",
        ),
    ] {
        let error = rows_of(file, imported).expect_err(file);
        assert!(error.to_string().contains(words), "{file}: {error}");
        assert!(error.hint().is_some(), "{file}: {error}");
    }
}

fn manifest() -> Manifest {
    let sample = |id: &&str| Sample {
        id: (*id).to_owned(),
        split: id.split('/').next().unwrap().to_owned(),
        label: 0,
        content: "00".to_owned(),
    };
    Manifest::new(vec!["a".to_owned()], IDS.iter().map(sample).collect())
}

fn described(split: Option<&str>, rows: usize, ids: Option<&[&str]>) -> Described {
    Described {
        path: PathBuf::from("features.npz"),
        split: split.map(str::to_owned),
        rows,
        ids: ids.map(|ids| ids.iter().map(|&id| id.to_owned()).collect()),
    }
}

#[test]
fn rows_are_matched_by_ids_or_in_the_order_of_the_dataset() {
    let plain = imported(&[3]);
    let places = |files: &[Described]| -> Vec<(usize, usize)> {
        let places = assign("set", &manifest(), &plain, files).unwrap();
        places.iter().map(|place| (place.file, place.row)).collect()
    };
    let in_order = [(0, 0), (0, 1), (0, 2), (0, 3)];
    assert_eq!(places(&[described(None, 4, None)]), in_order);
    let reversed: Vec<&str> = IDS.into_iter().rev().collect();
    let reversed = described(None, 4, Some(&reversed));
    assert_eq!(places(&[reversed]), [(0, 3), (0, 2), (0, 1), (0, 0)]);
    // The splits of an experiment stand in alphabetical order.
    let files = [
        described(Some("test"), 2, Some(&[IDS[3], IDS[2]])),
        described(Some("train"), 2, None),
    ];
    assert_eq!(places(&files), [(1, 0), (1, 1), (0, 1), (0, 0)]);
}

#[test]
fn rows_that_do_not_belong_to_samples_are_refused_with_their_counts() {
    let plain = imported(&[3]);
    let refused = |files: &[Described]| {
        let error = assign("set", &manifest(), &plain, files).unwrap_err();
        assert!(error.hint().is_some(), "{error}");
        error.to_string()
    };
    let all = [IDS[0], IDS[1], IDS[2], IDS[3]];
    assert!(
        refused(&[described(None, 5, None)])
            .contains("it has 5 rows and no ids, and dataset `set` has 4 samples")
    );
    let files = [
        described(Some("test"), 2, None),
        described(Some("train"), 3, None),
    ];
    assert!(
        refused(&files)
            .contains("it has 3 rows and no ids, and split `train` of dataset `set` has 2 samples")
    );
    let missing = refused(&[described(None, 3, Some(&[IDS[0], IDS[1], "x"]))]);
    assert!(
        missing.contains("no row for 2 of the 4 samples of dataset `set`: `test/c.png`, `test/dd.png`; 1 of its ids are not in the dataset: `x`"),
        "{missing}"
    );
    let twice = [all.as_slice(), &[IDS[0]]].concat();
    assert!(
        refused(&[described(None, 5, Some(&twice))])
            .contains("1 of its 5 rows have an id that another row has: `train/a.png`")
    );
    let more = [all.as_slice(), &["w", "x", "y", "z"]].concat();
    let more = described(None, 8, Some(&more));
    assert!(
        refused(std::slice::from_ref(&more))
            .contains("4 of its 8 ids are not in dataset `set`: `w`, `x`, `y`, …")
    );
    let skipping = Imported {
        skips_unknown_ids: true,
        ..plain.clone()
    };
    assert_eq!(
        assign("set", &manifest(), &skipping, &[more])
            .unwrap()
            .len(),
        4
    );
    assert!(
        refused(&[described(Some("train"), 2, None)])
            .contains("no file for split `test` of dataset `set`, which has 2 samples")
    );
    let files = [described(Some("val"), 2, None)];
    assert!(refused(&files).contains("a file for split `val`, which dataset `set` does not have"));
}

#[test]
fn an_identity_names_the_digests_of_all_files() {
    let digests = ["ab".repeat(32), "cd".repeat(32)];
    let identity = Imported::identity(&digests);
    assert_eq!(Imported::digests(&identity).unwrap(), digests);
    assert_eq!(Imported::digests("blake3:00"), None);
}

/// Sound files changed at random: each is read or refused, and nothing is read beyond what it holds.
#[test]
fn files_that_were_changed_at_random_are_read_or_refused() {
    let plain = imported(&[3]);
    let folder = tempfile::tempdir().unwrap();
    let mut stream = crate::random::Stream::new(1, "imported");
    let mut refused = 0;
    for file in [
        "rows.npy",
        "texts.npz",
        "ids.safetensors",
        "fixed.parquet",
        "file.arrow",
        "categories.arrow",
    ] {
        let sound = std::fs::read(golden().join(file)).unwrap();
        for _ in 0..300 {
            let mut bytes = sound.clone();
            for _ in 0..=stream.next_below(3) {
                let place = stream.next_index(bytes.len());
                bytes[place] ^= 1 << stream.next_below(8);
            }
            if stream.next_below(4) == 0 {
                bytes.truncate(stream.next_index(bytes.len()));
            }
            let path = folder.path().join("changed");
            std::fs::write(&path, &bytes).unwrap();
            let checked = CheckedFile::open(&path, blake3::hash(&bytes).as_bytes()).unwrap();
            match FeatureFile::open(&checked, &plain) {
                Ok(file) => {
                    assert!(file.rows.saturating_mul(3) <= 4 * bytes.len());
                    let mut values = Vec::new();
                    for row in 0..file.rows {
                        file.read(row, &mut values).unwrap();
                    }
                }
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 300, "only {refused} of 1,800 were refused");
}
