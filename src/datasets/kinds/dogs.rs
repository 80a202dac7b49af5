//! `dogs`: Stanford Dogs, photographs of dogs of 120 breeds, unpacked from the archives of Stanford.
//!
//! # Reference
//! Khosla, Jayadevaprakash, Yao, Fei-Fei, "Novel Dataset for Fine-Grained Image Categorization" (2011). `train_list.mat` and
//! `test_list.mat` have the files in the cells of `file_list` and their classes, from 1, in `labels`. A class is called after its
//! folder.
//!
//! # Deviations
//! None. The images are from ImageNet: a network that was trained on that has seen them.

use std::collections::BTreeMap;

use crate::datasets::listed::{ListedKind, Row, Rows, stays_inside};
use crate::datasets::matlab::Variables;
use crate::datasets::tree::{Folder, Packed};
use crate::datasets::{DatasetError, DatasetKind};
use crate::spec::{Key, Kind, KindDoc, Text};

const ROOT: Key<Text> = Key::text("root", "a folder").doc(
    "Holds `images.tar` or `Images/`, and `lists.tar` or `train_list.mat` and `test_list.mat`; relative to the folder that `repro` runs in.",
);

/// `kind = "dogs"`.
pub const KIND: DatasetKind = Kind::new(
    KindDoc {
        name: LISTED.name,
        summary: "Stanford Dogs, dogs of 120 breeds, from `images.tar` and `lists.tar`, packed or unpacked; the owners' split.",
        keys: &[&ROOT],
        shared: &[],
    },
    |fields| LISTED.parse(fields),
);

const LISTED: ListedKind = ListedKind {
    name: "dogs",
    packed: &[
        Packed::new("images.tar", "Images"),
        Packed::new("lists.tar", "train_list.mat"),
    ],
    rows,
};

const REMEDY: &str = "get `images.tar` and `lists.tar` from http://vision.stanford.edu/aditya86/ImageNetDogs/ (`repro data fetch dogs`) into one folder, or unpack both there again, and set `root` to that";

/// The lists, and the split of each.
const LISTS: [(&str, &str); 2] = [("train", "train_list.mat"), ("test", "test_list.mat")];

/// The images with their classes and splits, as the lists have them.
fn rows(root: &Folder<'_>) -> Result<Rows, DatasetError> {
    let folder = root.find(&["", "lists"], "train_list.mat", REMEDY)?;
    let images_folder = root.join("Images");
    let mut breeds: BTreeMap<u32, String> = BTreeMap::new();
    let (mut images, mut lists) = (Vec::new(), Vec::new());
    for (split, name) in LISTS {
        let list = Variables::read(&folder.file(name)?, REMEDY)?;
        let labels = list.counted("labels")?;
        let files = list.get("file_list")?.texts();
        let files =
            files.ok_or_else(|| list.malformed("`file_list` has no texts in cells".to_owned()))?;
        if files.len() != labels.len() {
            return Err(list.malformed(format!(
                "`file_list` has {} images, `labels` {}",
                files.len(),
                labels.len()
            )));
        }
        for ((file, class), place) in files.into_iter().zip(labels).zip(1..) {
            let breed = file.split_once('/').filter(|_| stays_inside(file));
            let Some((breed, _)) = breed else {
                let problem = format!(
                    "`file_list({place})` is `{file}`, which is not a path inside `Images`"
                );
                return Err(list.malformed(problem));
            };
            let known = breeds.entry(class).or_insert_with(|| breed.to_owned());
            if known != breed {
                return Err(list.malformed(format!(
                    "`labels({place})` is {class} for `{breed}`, and for `{known}` as well"
                )));
            }
            images.push(Row {
                id: file.to_owned(),
                split,
                label: class - 1,
                location: images_folder.file(file)?,
                place: format!("`file_list({place})`"),
                list: lists.len(),
            });
        }
        lists.push(list.path().to_owned());
    }
    let lacking = (1..)
        .zip(breeds.keys())
        .find(|(number, class)| number != *class);
    if let Some((number, _)) = lacking {
        return Err(DatasetError::Malformed {
            path: folder.path(),
            problem: format!("no image in its lists has the class {number}"),
            hint: REMEDY.to_owned(),
        });
    }
    Ok(Rows {
        classes: breeds.into_values().collect(),
        images,
        lists,
        remedy: REMEDY,
    })
}

#[cfg(test)]
mod tests {
    use crate::datasets::listed::fixture;
    use crate::datasets::matlab::fixture::{cells, compress, file, numbers, text};
    use crate::datasets::tree::fixture as archives;
    use crate::datasets::{Dataset, Environment, OpenDataset};
    use std::path::Path;

    use super::*;
    use crate::message::Hint;

    fn open(root: &Path) -> Result<OpenDataset, String> {
        let root = root.to_owned();
        LISTED
            .at(root)
            .open(&Environment::plain(), None)
            .map_err(|error| error.explain().to_string())
    }

    fn seen(dataset: &OpenDataset) -> Vec<(&str, &str, u32)> {
        let samples = dataset.manifest.samples.iter();
        samples
            .map(|sample| (sample.id.as_str(), sample.split.as_str(), sample.label))
            .collect()
    }

    const FILES: [&str; 3] = [
        "n02085620-Chihuahua/n02085620_5927.png",
        "n02085782-Japanese_spaniel/n02085782_1.png",
        "n02085620-Chihuahua/n02085620_2650.png",
    ];

    fn list(files: &[&str], labels: &[f64]) -> Vec<u8> {
        let files: Vec<_> = files.iter().map(|file| text("", file)).collect();
        let parts = [cells("file_list", &files), numbers("labels", labels)];
        file(&parts.map(|part| compress(&part)))
    }

    /// A folder with three images of two breeds.
    fn small() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fixture::write_images(&folder.path().join("Images"), &FILES);
        for (name, list) in [
            ("train_list.mat", list(&FILES[..2], &[1.0, 2.0])),
            ("test_list.mat", list(&FILES[2..], &[1.0])),
        ] {
            std::fs::write(folder.path().join(name), list).unwrap();
        }
        folder
    }

    #[test]
    fn lists_give_files_and_labels() {
        let folder = small();
        let dataset = open(folder.path()).unwrap();
        assert_eq!(
            seen(&dataset),
            [
                (FILES[0], "train", 0),
                (FILES[1], "train", 1),
                (FILES[2], "test", 0)
            ]
        );
        let classes = ["n02085620-Chihuahua", "n02085782-Japanese_spaniel"];
        assert_eq!(dataset.manifest.classes, classes);
        assert_eq!(dataset.image(2).unwrap().pixels()[0], 2);
    }

    #[test]
    fn packed_and_unpacked_are_one_dataset() {
        let folder = small();
        let unpacked = open(folder.path()).unwrap();
        let root = tempfile::tempdir().unwrap();
        archives::tar(folder.path(), &["Images"], &root.path().join("images.tar"));
        archives::tar(
            folder.path(),
            &["train_list.mat", "test_list.mat"],
            &root.path().join("lists.tar"),
        );
        let packed = open(root.path()).unwrap();
        archives::assert_same(&packed, &unpacked);
        let error = open(&root.path().join("other.tar")).err().unwrap();
        assert!(error.contains("train_list.mat is missing"), "{error}");
        std::fs::rename(
            root.path().join("images.tar"),
            root.path().join("other.tar"),
        )
        .unwrap();
        let error = open(&root.path().join("other.tar")).err().unwrap();
        assert!(
            error.contains("does not have the name of an archive of this dataset"),
            "{error}"
        );
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_place_and_remedy() {
        for (list, says) in [
            (
                list(&FILES[2..], &[1.0, 2.0]),
                "`file_list` has 1 images, `labels` 2",
            ),
            (list(&["../a.jpg"], &[1.0]), "`file_list(1)` is `../a.jpg`"),
            (list(&["a.jpg"], &[1.0]), "`file_list(1)` is `a.jpg`"),
            (
                list(&FILES[2..], &[2.0]),
                "`labels(1)` is 2 for `n02085620-Chihuahua`",
            ),
            (list(&FILES[2..], &[4.0]), "has the class 3"),
            (
                list(&["n02085620-Chihuahua/a.png"], &[1.0]),
                "a.png is missing: `file_list(1)` of ",
            ),
            (
                file(&[numbers("labels", &[1.0])]),
                "no variable `file_list`",
            ),
        ] {
            let folder = small();
            std::fs::write(folder.path().join("test_list.mat"), list).unwrap();
            let error = open(folder.path()).err().unwrap();
            assert!(
                error.contains(says) && error.contains("hint: get"),
                "{error}"
            );
        }
        let error = open(Path::new("nowhere")).err().unwrap();
        assert!(error.contains("train_list.mat is missing"), "{error}");
    }

    #[test]
    #[ignore = "needs the annotation files of the owners"]
    fn the_real_lists_have_the_counts_of_the_paper_needs_data() {
        // The folder has the lists under names of its own.
        let given = fixture::annotations("stanford_dogs");
        let folder = tempfile::tempdir().unwrap();
        for (_, name) in LISTS {
            let from = given.join(format!("reconstructed_{name}"));
            std::fs::copy(from, folder.path().join(name)).unwrap();
        }
        let root = folder.path().to_owned();
        let rows = LISTED.at(root).rows(&Environment::plain()).unwrap();
        assert_eq!(fixture::counts(&rows), (120, 12_000, 0, 8580));
        let mut sorted = rows.classes.clone();
        sorted.sort();
        assert_eq!(rows.classes, sorted);
    }
}
