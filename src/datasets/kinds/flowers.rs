//! `flowers`: Oxford Flowers-102, photographs of flowers of 102 kinds.
//!
//! # Reference
//! The README of the set: Nilsback, Zisserman, "Automated Flower Classification over a Large Number of Classes" (2008).
//! `labels` of `imagelabels.mat` has the class of each image, `trnid`, `valid` and `tstid` of `setid.mat` the numbers of the
//! images of each part; all count from 1. The kinds have no names in these files, so a class is called by its number there.
//!
//! # Deviations
//! The parts `trnid` and `valid` are the split `train`, as papers on transfer have it: 2,040 images for training, 6,149 for
//! testing.

use crate::datasets::listed::{ListedKind, Row, Rows};
use crate::datasets::matlab::Variables;
use crate::datasets::tree::{Folder, Packed};
use crate::datasets::{DatasetError, DatasetKind};
use crate::spec::{Key, Kind, KindDoc, Text};

const ROOT: Key<Text> = Key::text("root", "a folder").doc(
    "Holds `102flowers.tgz` or `jpg/`, `imagelabels.mat` and `setid.mat`; relative to the folder that `repro` runs in.",
);

/// `kind = "flowers"`.
pub const KIND: DatasetKind = Kind::new(
    KindDoc {
        name: LISTED.name,
        summary: "Oxford Flowers-102, flowers of 102 kinds, from `102flowers.tgz`, packed or unpacked, with `imagelabels.mat` and `setid.mat`; `trnid` and `valid` are the split `train`.",
        keys: &[&ROOT],
        shared: &[],
    },
    |fields| LISTED.parse(fields),
);

const LISTED: ListedKind = ListedKind {
    name: "flowers",
    packed: &[Packed::new("102flowers.tgz", "jpg")],
    rows,
};

const REMEDY: &str = "get `102flowers.tgz`, `imagelabels.mat` and `setid.mat` from https://www.robots.ox.ac.uk/~vgg/data/flowers/102/ (`repro data fetch flowers`), and set `root` to a folder with all three, or with the folder `jpg` in place of the archive";

/// The lists of `setid.mat`, and the split of each.
const LISTS: [(&str, &str); 3] = [("train", "trnid"), ("train", "valid"), ("test", "tstid")];

/// More classes than any set has; a number that is far off is not taken for one.
const MOST_CLASSES: u32 = 10_000;

/// The images with their classes and splits, as the lists have them.
fn rows(root: &Folder<'_>) -> Result<Rows, DatasetError> {
    let folder = root.find(&["", "flowers-102"], "setid.mat", REMEDY)?;
    let lists = Variables::read(&folder.file("setid.mat")?, REMEDY)?;
    let labels_file = Variables::read(&folder.file("imagelabels.mat")?, REMEDY)?;
    let labels = labels_file.counted("labels")?;
    let images_folder = folder.join("jpg");
    let mut images = Vec::new();
    for (split, name) in LISTS {
        for (number, place) in lists.counted(name)?.into_iter().zip(1..) {
            let label = labels.get(number as usize - 1).ok_or_else(|| {
                lists.malformed(format!(
                    "`{name}({place})` is image {number}, but `imagelabels.mat` has {} labels",
                    labels.len()
                ))
            })?;
            let id = format!("image_{number:05}.jpg");
            images.push(Row {
                location: images_folder.file(&id)?,
                id,
                split,
                label: label - 1,
                place: format!("`{name}({place})`"),
                list: 0,
            });
        }
    }
    let last = labels.iter().max().copied().unwrap_or_default();
    if last > MOST_CLASSES {
        return Err(labels_file.malformed(format!("it has the class {last}")));
    }
    Ok(Rows {
        classes: (1..=last).map(|class| class.to_string()).collect(),
        images,
        lists: vec![lists.path().to_owned()],
        remedy: REMEDY,
    })
}

#[cfg(test)]
mod tests {
    use crate::datasets::listed::fixture;
    use crate::datasets::matlab::fixture::{compress, file, numbers};
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

    /// A folder with four images of three classes.
    fn small(train: &[f64], labels: &[f64]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let images = ["a.png", "b.png", "c.png", "d.png"];
        fixture::write_images(folder.path(), &images);
        std::fs::create_dir(folder.path().join("jpg")).unwrap();
        for (image, number) in images.iter().zip(1..) {
            let name = format!("jpg/image_{number:05}.jpg");
            std::fs::rename(folder.path().join(image), folder.path().join(name)).unwrap();
        }
        let sets = [("trnid", train), ("valid", &[3.0]), ("tstid", &[4.0, 1.0])];
        let sets = sets.map(|(name, set)| compress(&numbers(name, set)));
        std::fs::write(folder.path().join("setid.mat"), file(&sets)).unwrap();
        let labels = file(&[compress(&numbers("labels", labels))]);
        std::fs::write(folder.path().join("imagelabels.mat"), labels).unwrap();
        folder
    }

    #[test]
    fn training_has_the_two_small_lists() {
        let folder = small(&[2.0], &[3.0, 1.0, 2.0, 2.0]);
        let dataset = open(folder.path()).unwrap();
        assert_eq!(
            seen(&dataset),
            [
                ("image_00002.jpg", "train", 0),
                ("image_00003.jpg", "train", 1),
                ("image_00001.jpg", "test", 2),
                ("image_00004.jpg", "test", 1)
            ]
        );
        assert_eq!(dataset.manifest.classes, ["1", "2", "3"]);
        assert_eq!(dataset.image(0).unwrap().pixels()[0], 1);
    }

    #[test]
    fn packed_and_unpacked_are_one_dataset() {
        let folder = small(&[2.0], &[3.0, 1.0, 2.0, 2.0]);
        let unpacked = open(folder.path()).unwrap();
        let root = tempfile::tempdir().unwrap();
        archives::tgz(folder.path(), &["jpg"], &root.path().join("102flowers.tgz"));
        for list in ["setid.mat", "imagelabels.mat"] {
            std::fs::copy(folder.path().join(list), root.path().join(list)).unwrap();
        }
        let packed = open(root.path()).unwrap();
        archives::assert_same(&packed, &unpacked);
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_place_and_remedy() {
        let labels = [3.0, 1.0, 2.0, 2.0];
        let many = [3.0, 1.0, 2.0, 2.0, 1.0];
        for (train, labels, says) in [
            (
                &[5.0][..],
                &labels[..],
                "`trnid(1)` is image 5, but `imagelabels.mat` has 4 labels",
            ),
            (&[0.0], &labels, "`trnid(1)` is 0, which counts nothing"),
            (
                &[2.0, 3.0],
                &labels,
                "`valid(1)` names the image `image_00003.jpg` a second time",
            ),
            (
                &[2.0, 5.0],
                &many,
                "image_00005.jpg is missing: `trnid(2)` of ",
            ),
            (&[2.0], &[3.0, 1.0, 2.0, 1e9], "it has the class 1000000000"),
        ] {
            let folder = small(train, labels);
            let error = open(folder.path()).err().unwrap();
            assert!(
                error.contains(says) && error.contains("hint: get"),
                "{error}"
            );
        }
        let error = open(Path::new("nowhere")).err().unwrap();
        assert!(error.contains("setid.mat is missing"), "{error}");
    }

    #[test]
    #[ignore = "needs the annotation files of the owners"]
    fn the_real_lists_have_the_counts_of_the_paper_needs_data() {
        let root = fixture::annotations("oxford_flowers102");
        let rows = LISTED.at(root).rows(&Environment::plain()).unwrap();
        assert_eq!(fixture::counts(&rows), (102, 2040, 0, 6149));
    }
}
