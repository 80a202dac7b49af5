//! Datasets whose owners list their images in files of their own: what the kinds that read such lists share.
//!
//! A kind turns the lists into [`Rows`], without looking at a single image. [`Rows::open`] then does the same for all of them:
//! it looks whether the images are there, puts them into an order that does not depend on the lists, and takes their digests.

mod files;
mod joined;
mod kind;
mod text;

#[cfg(test)]
pub(super) mod fixture;

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use rayon::prelude::*;

use super::manifest::{Fields, digest_of};
use super::tree::Location;
use super::{DatasetError, Digester, Listing, Manifest, OpenDataset, Sample, SplitCount};

pub(super) use files::{Files, Trim};
pub(super) use joined::{Classes, read_joined};
pub(super) use kind::ListedKind;
pub(super) use text::TextFile;

/// The splits in the order that their samples have.
const SPLITS: [&str; 3] = ["train", "val", "test"];

/// An image that a list names.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// The sample's id.
    pub(super) id: String,
    /// The sample's split.
    pub(super) split: &'static str,
    /// The sample's class, from 0.
    pub(super) label: u32,
    /// Where the image should be.
    pub(super) location: Location,
    /// Where it is named, such as "line 3".
    pub(super) place: String,
    /// The list that names it, as an index into [`Rows::lists`].
    pub(super) list: usize,
}

impl Row {
    /// Its place among the samples of the dataset.
    fn order(&self) -> (Option<usize>, &str) {
        let split = SPLITS.iter().position(|name| *name == self.split);
        (split, &self.id)
    }
}

/// All images that the lists of a dataset name.
#[derive(Debug)]
pub(super) struct Rows {
    /// Class names, by label.
    pub(super) classes: Vec<String>,
    /// The images, in the order of the lists.
    pub(super) images: Vec<Row>,
    /// The lists, for messages.
    pub(super) lists: Vec<PathBuf>,
    /// Where the dataset comes from, and how its files have to be arranged.
    pub(super) remedy: &'static str,
}

impl Rows {
    /// Looks at the images, and makes a dataset of them.
    ///
    /// # Errors
    /// Lists that name no image, one image twice, or images that are not there; an image that cannot be read.
    pub(super) fn open(
        mut self,
        trim: Trim,
        digester: &dyn Digester,
    ) -> Result<OpenDataset, DatasetError> {
        self.check_names()?;
        self.check_files()?;
        self.images
            .par_sort_by(|left, right| left.order().cmp(&right.order()));
        let samples: Vec<Sample> = self
            .images
            .par_iter()
            .map(|row| {
                Ok(Sample {
                    id: row.id.clone(),
                    split: row.split.to_owned(),
                    label: row.label,
                    content: trim.content(row.location.digest(digester)?),
                })
            })
            .collect::<Result<_, DatasetError>>()?;
        let files = self.images.into_iter().map(|row| (row.id, row.location));
        Ok(OpenDataset::new(
            Manifest::new(self.classes, samples),
            Box::new(Files::new(files.collect(), trim)),
        ))
    }

    /// What the lists name, and how much of it is there.
    pub(super) fn listing(&self) -> Listing {
        let splits = SPLITS.iter().map(|split| SplitCount {
            split: (*split).to_owned(),
            samples: self.images.iter().filter(|row| row.split == *split).count(),
        });
        let mut images: Vec<&Row> = self.images.iter().collect();
        images.par_sort_by(|left, right| left.order().cmp(&right.order()));
        let fields = images.into_iter().map(|row| Fields {
            id: &row.id,
            split: row.split,
            label: row.label,
            content: "",
        });
        Listing {
            names: digest_of(&self.classes, fields),
            classes: self.classes.len(),
            splits: splits.filter(|count| count.samples > 0).collect(),
            missing: self.missing().len(),
        }
    }

    /// The list that names a row, for messages.
    fn list_of(&self, row: &Row) -> PathBuf {
        self.lists.get(row.list).cloned().unwrap_or_default()
    }

    fn check_names(&self) -> Result<(), DatasetError> {
        let Some(first) = self.images.first() else {
            return Err(DatasetError::Malformed {
                path: self.lists.first().cloned().unwrap_or_default(),
                problem: "it lists no image".to_owned(),
                hint: self.remedy.to_owned(),
            });
        };
        let mut seen = HashSet::with_capacity(self.images.len());
        let twice = self.images.iter().find(|row| !seen.insert(&row.id));
        match twice {
            None => Ok(()),
            Some(row) => Err(DatasetError::Malformed {
                path: self.list_of(row),
                problem: format!("{} names the image `{}` a second time", row.place, row.id),
                hint: if row.list == first.list {
                    self.remedy.to_owned()
                } else {
                    format!("an image belongs to one split alone; {}", self.remedy)
                },
            }),
        }
    }

    /// The images that are not there. Folders are listed rather than images looked at, which is many times as quick; what no
    /// listing has, such as a link, is looked at.
    fn missing(&self) -> Vec<&Row> {
        let paths: Vec<Option<&Path>> = self
            .images
            .iter()
            .map(|row| row.location.on_disk())
            .collect();
        let folders: HashSet<&Path> = paths
            .iter()
            .filter_map(|path| path.and_then(Path::parent))
            .collect();
        let listings: HashMap<&Path, HashSet<OsString>> = folders
            .into_par_iter()
            .map(|folder| (folder, files_in(folder)))
            .collect();
        let is_there = |path: &Path| {
            let listing = path.parent().and_then(|folder| listings.get(folder));
            let names = listing.zip(path.file_name());
            names.is_some_and(|(listing, name)| listing.contains(name)) || path.is_file()
        };
        // What is in an archive is there.
        let images = self.images.par_iter().zip(&paths);
        images
            .filter(|(_, path)| path.is_some_and(|path| !is_there(path)))
            .map(|(row, _)| row)
            .collect()
    }

    /// One error for all images that are missing: a folder that was cut off lacks thousands.
    fn check_files(&self) -> Result<(), DatasetError> {
        let missing = self.missing();
        let Some(first) = missing.first() else {
            return Ok(());
        };
        Err(DatasetError::MissingImages {
            path: first.location.path(),
            place: format!("{} of {}", first.place, self.list_of(first).display()),
            missing: missing.len(),
            named: self.images.len(),
            hint: self.remedy.to_owned(),
        })
    }
}

/// The names of the files in a folder, as far as it can be listed; links are left out.
fn files_in(folder: &Path) -> HashSet<OsString> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .map(|entry| entry.file_name())
        .collect()
}

/// Whether a name leads to a file inside the folder that it counts from, and nowhere else.
pub(super) fn stays_inside(name: &str) -> bool {
    !name.is_empty()
        && Path::new(name)
            .components()
            .all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::super::PlainDigester;
    use super::*;
    use crate::message::Hint;

    fn row(id: &str, split: &'static str, folder: &Path, list: usize) -> Row {
        Row {
            id: id.to_owned(),
            split,
            label: 0,
            location: Location::file(folder.join(id)),
            place: "line 7".to_owned(),
            list,
        }
    }

    fn open(folder: &Path, images: Vec<Row>) -> Result<OpenDataset, String> {
        let rows = Rows {
            classes: vec!["bird".to_owned()],
            images,
            lists: vec![folder.join("one.txt"), folder.join("two.txt")],
            remedy: "get it from its owner",
        };
        rows.open(Trim::NONE, &PlainDigester)
            .map_err(|error| error.explain().to_string())
    }

    #[test]
    fn the_order_of_the_lists_does_not_matter() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        fixture::write_images(folder, &["a.png", "b.png", "c.png"]);
        let rows = [
            row("c.png", "test", folder, 0),
            row("b.png", "train", folder, 0),
            row("a.png", "train", folder, 0),
        ];
        let dataset = open(folder, rows.to_vec()).unwrap();
        let ids: Vec<_> = dataset
            .manifest
            .samples
            .iter()
            .map(|sample| &sample.id)
            .collect();
        assert_eq!(ids, ["a.png", "b.png", "c.png"]);
        let mut backwards = rows.to_vec();
        backwards.reverse();
        let other = open(folder, backwards).unwrap();
        assert_eq!(dataset.manifest.digest(), other.manifest.digest());
        assert_eq!(dataset.image(2).unwrap().size(), (4, 30));
    }

    #[test]
    fn what_is_missing_or_named_twice_is_one_error() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        fixture::write_images(folder, &["a.png"]);
        let rows = ["a.png", "b.png", "c.png"].map(|id| row(id, "train", folder, 1));
        let error = open(folder, rows.to_vec()).err().unwrap();
        for part in [
            "b.png is missing",
            "line 7 of ",
            "two.txt",
            "2 of the 3 images",
            "get it from its owner",
        ] {
            assert!(error.contains(part), "{error}");
        }
        let twice = vec![
            row("a.png", "train", folder, 0),
            row("a.png", "test", folder, 1),
        ];
        let error = open(folder, twice).err().unwrap();
        assert!(error.contains("`a.png` a second time"), "{error}");
        assert!(error.contains("one split alone"), "{error}");
        let error = open(folder, Vec::new()).err().unwrap();
        assert!(
            error.contains("one.txt") && error.contains("lists no image"),
            "{error}"
        );
    }

    #[test]
    fn names_that_lead_elsewhere_are_told_apart() {
        assert!(stays_inside("001.Albatross/a.jpg"));
        for name in ["", "/etc/passwd", "../a.jpg", "a/../../b.jpg"] {
            assert!(!stays_inside(name), "{name}");
        }
    }
}
