//! `cub`: CUB-200-2011, photographs of birds of 200 species, from the archive that Caltech publishes, packed or unpacked.
//!
//! # Reference
//! The README in the archive: Wah, Branson, Welinder, Perona, Belongie, "The Caltech-UCSD Birds-200-2011 Dataset" (2011).
//! `listed/joined.rs` describes how the lists are read. Classes are numbered from 1 in the files, and from 0 here.
//!
//! # Deviations
//! A cut of the archive is a dataset as well, if its lists are cut in the same way.

use crate::datasets::listed::{Classes, ListedKind, Rows, read_joined};
use crate::datasets::tree::{Folder, Packed};
use crate::datasets::{DatasetError, DatasetKind};
use crate::spec::{Key, Kind, KindDoc, Text};

const ROOT: Key<Text> = Key::text("root", "a path").doc(
    "The folder `CUB_200_2011`, which holds `images.txt` and `images/`, the one around it or around the archive, or the archive; relative to the folder that `repro` runs in.",
);

/// `kind = "cub"`.
pub const KIND: DatasetKind = Kind::new(
    KindDoc {
        name: LISTED.name,
        summary: "CUB-200-2011, birds of 200 species, from `CUB_200_2011.tgz`, packed or unpacked; the owners' split.",
        keys: &[&ROOT],
        shared: &[],
    },
    |fields| LISTED.parse(fields),
);

const LISTED: ListedKind = ListedKind {
    name: "cub",
    packed: &[Packed::new("CUB_200_2011.tgz", "CUB_200_2011")],
    rows,
};

const REMEDY: &str = "get `CUB_200_2011.tgz` from https://data.caltech.edu/records/65de6-vp158 (`repro data fetch cub`), and set `root` to its folder, or unpack it again and set `root` to the folder `CUB_200_2011` that it makes; of a cut, `images.txt`, `image_class_labels.txt` and `train_test_split.txt` have to be cut in the same way";

/// The images with their classes and splits, as the lists have them.
fn rows(root: &Folder<'_>) -> Result<Rows, DatasetError> {
    let folder = root.find(&["", "CUB_200_2011"], "images.txt", REMEDY)?;
    read_joined(&folder, Classes::Listed, REMEDY)
}

#[cfg(test)]
mod tests {
    use crate::datasets::listed::fixture;
    use crate::datasets::tree::fixture as archives;
    use crate::datasets::{Dataset, Environment, OpenDataset};
    use std::path::Path;

    use super::*;
    use crate::message::Hint;

    const FILES: [&str; 3] = [
        "001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.png",
        "001.Black_footed_Albatross/Black_Footed_Albatross_0009_34.png",
        "002.Laysan_Albatross/Laysan_Albatross_0002_1027.png",
    ];

    /// A folder with three images, and lists whose lines are not in one order.
    fn small() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("CUB_200_2011");
        fixture::write_images(&inside.join("images"), &FILES);
        let images: Vec<_> = (1..)
            .zip(FILES)
            .map(|(id, file)| format!("{id} {file}\n"))
            .collect();
        fixture::write_texts(
            &inside,
            &[
                ("images.txt", images.concat().as_str()),
                ("image_class_labels.txt", "3 2\n1 1\n2 1\n"),
                ("train_test_split.txt", "2 1\n1 0\n3 1\n"),
                (
                    "classes.txt",
                    "1 001.Black_footed_Albatross\n2 002.Laysan_Albatross\n",
                ),
            ],
        );
        folder
    }

    fn open(root: &Path) -> Result<OpenDataset, String> {
        let dataset = LISTED.at(root);
        dataset
            .open(&Environment::plain(), None)
            .map_err(|error| error.explain().to_string())
    }

    #[test]
    fn lists_are_joined_by_id() {
        let folder = small();
        let around = open(folder.path()).unwrap();
        let itself = open(&folder.path().join("CUB_200_2011")).unwrap();
        assert_eq!(around.manifest.digest(), itself.manifest.digest());
        let samples = &around.manifest.samples;
        let seen: Vec<_> = samples
            .iter()
            .map(|sample| (sample.id.as_str(), sample.split.as_str(), sample.label))
            .collect();
        assert_eq!(
            seen,
            [
                (FILES[1], "train", 0),
                (FILES[2], "train", 1),
                (FILES[0], "test", 0)
            ]
        );
        assert_eq!(around.manifest.classes[1], "002.Laysan_Albatross");
        assert_eq!(around.image(1).unwrap().pixels()[..3], [2, 20, 30]);
    }

    #[test]
    fn packed_and_unpacked_are_one_dataset() {
        let folder = small();
        let unpacked = open(folder.path()).unwrap();
        let root = tempfile::tempdir().unwrap();
        archives::tgz(
            folder.path(),
            &["CUB_200_2011"],
            &root.path().join("CUB_200_2011.tgz"),
        );
        let packed = open(root.path()).unwrap();
        archives::assert_same(&packed, &unpacked);
        // One archive may be the root by itself.
        let alone = open(&root.path().join("CUB_200_2011.tgz")).unwrap();
        archives::assert_same(&alone, &unpacked);
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_place_and_remedy() {
        for (file, text, says) in [
            (
                "image_class_labels.txt",
                "1 1\n2 1\n",
                "images.txt is malformed: line 3 has the image `3`, which is missing from `image_class_labels.txt`",
            ),
            (
                "train_test_split.txt",
                "1 1\n2 0\n3 1\n4 1\n",
                "train_test_split.txt is malformed: line 4 has the image `4`, which is missing from `images.txt`",
            ),
            (
                "train_test_split.txt",
                "1 1\n2 2\n3 1\n",
                "line 2 has neither 1 nor 0",
            ),
            (
                "image_class_labels.txt",
                "1 1\n2 1\n3 201\n",
                "line 3 has the class 201, which is missing from `classes.txt`",
            ),
            (
                "image_class_labels.txt",
                "1 1\n2 1\n3 two\n",
                "line 3 has `two`, which is not a class number",
            ),
            (
                "images.txt",
                "1 ../a.png\n2 b.png\n3 c.png\n",
                "line 1 has `../a.png`, which is not a path inside",
            ),
            (
                "images.txt",
                "1 a.png\n2 b.png\n3 c.png\n",
                "a.png is missing: line 1 of ",
            ),
        ] {
            let folder = small();
            fixture::write_texts(&folder.path().join("CUB_200_2011"), &[(file, text)]);
            let error = open(folder.path()).err().unwrap();
            assert!(
                error.contains(says) && error.contains("hint: get"),
                "{error}"
            );
        }
        let error = open(Path::new("nowhere")).err().unwrap();
        assert!(
            error.contains("images.txt is missing") && error.contains("data.caltech.edu"),
            "{error}"
        );
    }

    #[test]
    #[ignore = "needs the annotation files of the owners"]
    fn the_real_lists_have_the_counts_of_the_paper_needs_data() {
        let root = fixture::annotations("cub_200_2011");
        let rows = LISTED.at(root).rows(&Environment::plain()).unwrap();
        assert_eq!(fixture::counts(&rows), (200, 5994, 0, 5794));
    }
}
