//! `imagenet`: ImageNet as in ILSVRC 2012, from the archives of its owners, packed or unpacked.
//!
//! # Reference
//! Russakovsky et al., "ImageNet Large Scale Visual Recognition Challenge" (2015). Images for training are in a folder for each
//! class, called after its WordNet id. Those for validation come without folders, and the development kit has their classes
//! (`devkit`); where somebody has moved them into folders of that kind, these are read.
//!
//! # Deviations
//! A label is the rank of the class's WordNet id, as for every network that was trained on ImageNet, and not the number of the
//! class in the development kit. Images for validation have the same ids with and without folders, so both are one dataset.

mod devkit;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use crate::datasets::listed::{Row, Rows, TextFile, Trim};
use crate::datasets::tree::{Location, Packed, Tree};
use crate::datasets::{Dataset, DatasetError, DatasetKind, Environment, Listing, OpenDataset};
use crate::numbers::to_u32;
use crate::spec::{Fields, Key, Kind, KindDoc, Text};

const ROOT: Key<Text> = Key::text("root", "a folder").doc(
    "Holds `train/`, `val/` or both, and `ILSVRC2012_devkit_t12/` where the images in `val/` are in no folders; in place of each, its archive; relative to the folder that `repro` runs in.",
);
const CLASSES: Key<Text> = Key::text("classes", "a path").optional("all").doc(
    "A list of the classes to take, such as the one of ImageNet-50: the first word of each line is a WordNet id.",
);

/// `kind = "imagenet"`.
pub const KIND: DatasetKind = Kind::new(
    KindDoc {
        name: "imagenet",
        summary: "ImageNet (ILSVRC 2012): `train/WNID/FILE` and `val/WNID/FILE`, or `val/FILE` with the development kit beside it, or the owners' archives of these; the splits are `train` and `val`.",
        keys: &[&ROOT, &CLASSES],
        shared: &[],
    },
    parse,
);

const REMEDY: &str = "get `ILSVRC2012_img_train.tar`, `ILSVRC2012_img_val.tar` and `ILSVRC2012_devkit_t12.tar.gz` from https://image-net.org/download-images, which asks to sign in and to accept its terms, and let them lie packed or unpacked as data/README.md tells";

/// The archives of image-net.org.
const PACKED: [Packed; 3] = [
    Packed {
        archive: "ILSVRC2012_img_train.tar",
        at: "train",
        makes: "train",
        nested: true,
    },
    Packed {
        archive: "ILSVRC2012_img_val.tar",
        at: "val",
        makes: "val",
        nested: false,
    },
    Packed::new("ILSVRC2012_devkit_t12.tar.gz", "ILSVRC2012_devkit_t12"),
];

fn parse(fields: &Fields<'_>) -> Option<Arc<dyn Dataset>> {
    Some(Arc::new(ImageNet {
        root: fields.get(&ROOT)?.into(),
        classes: fields.get(&CLASSES).map(PathBuf::from),
    }))
}

#[derive(Debug)]
struct ImageNet {
    root: PathBuf,
    /// A list of classes.
    classes: Option<PathBuf>,
}

/// An image before its class has a number.
struct Found {
    split: &'static str,
    wnid: String,
    file: String,
    location: Location,
    place: String,
}

impl ImageNet {
    /// What is there, or is named by the development kit.
    fn rows(&self, environment: &Environment<'_>) -> Result<Rows, DatasetError> {
        let tree = Tree::open(&self.root, &PACKED, environment)?;
        let root = tree.root();
        if !root.exists() {
            return Err(DatasetError::Missing {
                path: root.path(),
                hint: REMEDY.to_owned(),
            });
        }
        let wanted = match &self.classes {
            Some(list) => Some(listed_classes(&Location::file(
                environment.base.join(list),
            ))?),
            None => None,
        };
        let take = |wnid: &str| wanted.as_ref().is_none_or(|wanted| wanted.contains(wnid));
        let mut found = Vec::new();
        let mut lists = vec![root.path()];
        for split in ["train", "val"] {
            let folder = root.join(split);
            if !folder.exists() {
                continue;
            }
            let classes = folder.folders()?;
            let loose = folder.images()?.len();
            if !classes.is_empty() && loose > 0 {
                let problem =
                    format!("it holds folders of classes, and {loose} images in none of them");
                return Err(DatasetError::Malformed {
                    path: folder.path(),
                    problem,
                    hint: "move all images into the folders of their classes, or none".to_owned(),
                });
            }
            if classes.is_empty() && split == "train" {
                return Err(DatasetError::Malformed {
                    path: folder.path(),
                    problem: "it holds no folders of classes".to_owned(),
                    hint: "unpack the archive of each class, such as `n01440764.tar`, into a folder of its name".to_owned(),
                });
            }
            if classes.is_empty() && split == "val" {
                let validation = devkit::read(&root, REMEDY)?;
                lists.push(validation.path);
                let named = (1..).zip(validation.wnids);
                for (number, wnid) in named.filter(|(_, wnid)| take(wnid)) {
                    let file = format!("ILSVRC2012_val_{number:08}.JPEG");
                    found.push(Found {
                        split,
                        location: folder.file(&file)?,
                        place: format!("line {number}"),
                        wnid,
                        file,
                    });
                }
                continue;
            }
            // Of a folder on a file server every listing is a question that others need not wait for.
            let classes: Vec<_> = classes.into_iter().filter(|wnid| take(wnid)).collect();
            let parts = classes.par_iter().map(|wnid| {
                let class = folder.join(wnid);
                let images = class.images()?.into_iter().map(|file| {
                    Ok(Found {
                        split,
                        location: class.file(&file)?,
                        place: "a folder".to_owned(),
                        wnid: wnid.clone(),
                        file,
                    })
                });
                images.collect::<Result<Vec<_>, DatasetError>>()
            });
            // Of several errors that of the first class, whichever was met first.
            for part in parts.collect::<Vec<_>>() {
                found.extend(part?);
            }
        }
        if found.is_empty() {
            return Err(DatasetError::Malformed {
                path: root.path(),
                problem: "it holds no images in `train` or `val`".to_owned(),
                hint: REMEDY.to_owned(),
            });
        }
        let there: BTreeSet<String> = found.iter().map(|found| found.wnid.clone()).collect();
        if let Some(wanted) = &wanted {
            check_classes(wanted, &there, &root.path())?;
        }
        let classes: Vec<String> = there.into_iter().collect();
        let last = lists.len() - 1;
        let rows = found.into_iter().map(|found| Row {
            label: rank(&classes, &found.wnid),
            id: format!("{}/{}/{}", found.split, found.wnid, found.file),
            split: found.split,
            location: found.location,
            place: found.place,
            list: last,
        });
        Ok(Rows {
            images: rows.collect(),
            classes,
            lists,
            remedy: REMEDY,
        })
    }
}

/// The label of a class: the rank of its WordNet id among the sorted `classes`.
fn rank(classes: &[String], wnid: &str) -> u32 {
    let rank = classes.partition_point(|class| class.as_str() < wnid);
    to_u32(rank)
}

/// The WordNet ids at the beginning of each line of a list.
fn listed_classes(list: &Location) -> Result<BTreeSet<String>, DatasetError> {
    const LIST_REMEDY: &str =
        "`classes` is a list of WordNet ids, one a line, such as `n01601694 Dipper`";
    let list = TextFile::read(list, LIST_REMEDY)?;
    let mut classes = BTreeSet::new();
    for (line, text) in list.lines() {
        let wnid = text.split_whitespace().next().unwrap_or_default();
        if !devkit::is_wnid(wnid) {
            return Err(list.malformed(line, &format!("has `{wnid}`, which is not a WordNet id")));
        }
        if !classes.insert(wnid.to_owned()) {
            return Err(list.malformed(line, &format!("has `{wnid}` a second time")));
        }
    }
    Ok(classes)
}

/// Every class that is wanted has to have images.
fn check_classes(
    wanted: &BTreeSet<String>,
    there: &BTreeSet<String>,
    root: &Path,
) -> Result<(), DatasetError> {
    let mut lacking = wanted.difference(there);
    let Some(first) = lacking.next() else {
        return Ok(());
    };
    Err(DatasetError::Malformed {
        path: root.to_owned(),
        problem: format!(
            "it has no images of {} of the {} classes that `classes` lists, the first is `{first}`",
            lacking.count() + 1,
            wanted.len()
        ),
        hint: REMEDY.to_owned(),
    })
}

impl Dataset for ImageNet {
    fn kind(&self) -> &'static str {
        KIND.doc.name
    }

    fn splits(&self) -> Option<Vec<String>> {
        Some(["train", "val"].map(str::to_owned).to_vec())
    }

    fn open(
        &self,
        environment: &Environment<'_>,
        _upstream: Option<Arc<OpenDataset>>,
    ) -> Result<OpenDataset, DatasetError> {
        self.rows(environment)?
            .open(Trim::NONE, environment.digester)
    }

    fn listed(&self, environment: &Environment<'_>) -> Option<Result<Listing, DatasetError>> {
        Some(self.rows(environment).map(|rows| rows.listing()))
    }
}

#[cfg(test)]
mod tests;
