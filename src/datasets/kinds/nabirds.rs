//! `nabirds`: NABirds, photographs of birds of North America in 555 classes, unpacked from the archive that Cornell gives out.
//!
//! # Reference
//! The README in the archive: Van Horn et al., "Building a bird recognition app and large scale dataset with citizen
//! scientists" (CVPR 2015). `listed/joined.rs` describes how the lists are read. `classes.txt` has a whole tree of classes; those
//! with images are its leaves, and a label is the rank of a class's id among them. Ids of images are not numbers.
//!
//! # Deviations
//! A cut of the archive is a dataset as well, if its lists are cut in the same way; its labels are those of the classes that
//! are left.

use crate::datasets::listed::{Classes, ListedKind, Rows, read_joined};
use crate::datasets::tree::{Folder, Packed};
use crate::datasets::{DatasetError, DatasetKind};
use crate::spec::{Key, Kind, KindDoc, Text};

const ROOT: Key<Text> = Key::text("root", "a path").doc(
    "The folder `nabirds`, which holds `images.txt` and `images/`, the one around it or around the archive, or the archive; relative to the folder that `repro` runs in.",
);

/// `kind = "nabirds"`.
pub const KIND: DatasetKind = Kind::new(
    KindDoc {
        name: LISTED.name,
        summary: "NABirds, birds of North America in 555 classes, from `nabirds.tar.gz`, packed or unpacked; the owners' split.",
        keys: &[&ROOT],
        shared: &[],
    },
    |fields| LISTED.parse(fields),
);

const LISTED: ListedKind = ListedKind {
    name: "nabirds",
    packed: &[Packed::new("nabirds.tar.gz", "nabirds")],
    rows,
};

const REMEDY: &str = "get `nabirds.tar.gz`, which Cornell gives to whoever accepts the terms of use at https://dl.allaboutbirds.org/nabirds, and set `root` to its folder, or unpack it again and set `root` to the folder `nabirds` that it makes";

/// The images with their classes and splits, as the lists have them.
fn rows(root: &Folder<'_>) -> Result<Rows, DatasetError> {
    let folder = root.find(&["", "nabirds"], "images.txt", REMEDY)?;
    read_joined(&folder, Classes::Seen, REMEDY)
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
        "0817/0000139e21dc.png",
        "0295/00e21dc40000.png",
        "0817/e100000000.png",
    ];

    fn open(root: &Path) -> Result<OpenDataset, String> {
        LISTED
            .at(root)
            .open(&Environment::plain(), None)
            .map_err(|error| error.explain().to_string())
    }

    /// A folder with three images of two classes.
    fn small() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fixture::write_images(&folder.path().join("nabirds/images"), &FILES);
        fixture::write_texts(
            &folder.path().join("nabirds"),
            &[
                (
                    "images.txt",
                    "0000139e-21dc 0817/0000139e21dc.png\n00e21dc4-0000 0295/00e21dc40000.png\n1e10-0000 0817/e100000000.png\n",
                ),
                (
                    "image_class_labels.txt",
                    "1e10-0000 817\n0000139e-21dc 817\n00e21dc4-0000 295\n",
                ),
                (
                    "train_test_split.txt",
                    "0000139e-21dc 0\n00e21dc4-0000 1\n1e10-0000 1\n",
                ),
                (
                    "classes.txt",
                    "0 Birds\n295 Common Eider (Adult male)\n296 Seen by nobody\n817 Oak, Titmouse\n",
                ),
            ],
        );
        folder
    }

    #[test]
    fn classes_without_images_have_no_label() {
        let folder = small();
        let open = open(folder.path()).unwrap();
        assert_eq!(
            open.manifest.classes,
            ["Common Eider (Adult male)", "Oak, Titmouse"]
        );
        let samples = open.manifest.samples.iter();
        let seen: Vec<_> = samples
            .map(|sample| (sample.id.as_str(), sample.split.as_str(), sample.label))
            .collect();
        assert_eq!(
            seen,
            [
                (FILES[1], "train", 0),
                (FILES[2], "train", 1),
                (FILES[0], "test", 1)
            ]
        );
    }

    #[test]
    fn packed_and_unpacked_are_one_dataset() {
        let folder = small();
        let unpacked = open(folder.path()).unwrap();
        let root = tempfile::tempdir().unwrap();
        archives::tgz(
            folder.path(),
            &["nabirds"],
            &root.path().join("nabirds.tar.gz"),
        );
        let packed = open(root.path()).unwrap();
        archives::assert_same(&packed, &unpacked);
        // One archive may be the root by itself.
        let alone = open(&root.path().join("nabirds.tar.gz")).unwrap();
        archives::assert_same(&alone, &unpacked);
    }

    #[test]
    fn what_is_missing_is_named_with_where_to_get_it() {
        let root = Path::new("nowhere");
        let error = LISTED.at(root).open(&Environment::plain(), None);
        let error = error.err().unwrap().explain().to_string();
        assert!(
            error.contains("images.txt is missing") && error.contains("terms of use"),
            "{error}"
        );
    }

    #[test]
    #[ignore = "needs the annotation files of the owners"]
    fn the_real_lists_have_the_counts_of_the_paper_needs_data() {
        let root = fixture::annotations("nabirds");
        let rows = LISTED.at(root).rows(&Environment::plain()).unwrap();
        assert_eq!(fixture::counts(&rows), (555, 23_929, 0, 24_633));
    }
}
