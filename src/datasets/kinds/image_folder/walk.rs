//! Walks down the folder of a class, as torchvision's `ImageFolder` does, and counts what it leaves out.

use std::path::PathBuf;

use crate::datasets::DatasetError;
use crate::datasets::tree::{Contents, Folder, Location};
use crate::text::{count, plural};
use crate::warning::Warning;

/// Endings of files that are no images to anybody, in small letters.
const TEXTS: [&str; 19] = [
    "csv", "db", "htm", "html", "ini", "json", "jsonl", "log", "md", "py", "rst", "sh", "tex",
    "toml", "tsv", "txt", "xml", "yaml", "yml",
];

/// Endings of images that are not read, in small letters.
const IMAGES: [&str; 24] = [
    "arw", "avif", "cr2", "dcm", "dds", "dng", "exr", "hdr", "heic", "heif", "ico", "j2k", "jp2",
    "jxl", "nef", "pbm", "pcx", "pgm", "ppm", "psd", "qoi", "raw", "svg", "tga",
];

/// So many names are shown of a group.
const SHOWN: usize = 3;

/// Files or folders of one sort: how many, and the first of them.
#[derive(Debug, Default)]
struct Group {
    count: usize,
    first: Vec<String>,
}

impl Group {
    fn add(&mut self, name: String) {
        self.count += 1;
        if self.first.len() < SHOWN {
            self.first.push(name);
        }
    }

    fn extend(&mut self, folder: &str, names: impl IntoIterator<Item = impl AsRef<str>>) {
        for name in names {
            self.add(below(folder, name.as_ref()));
        }
    }

    /// Such as "`a`, `b`, `c` and 4 more".
    fn listed(&self) -> String {
        let names: Vec<String> = self.first.iter().map(|name| format!("`{name}`")).collect();
        match self.count.checked_sub(names.len()) {
            Some(more @ 1..) => format!("{} and {} more", names.join(", "), count(more)),
            _ => names.join(", "),
        }
    }
}

/// What is left out of a dataset; names count from its root.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    /// Images beside the folders of classes.
    loose: Group,
    /// Files that are not read.
    unread: Group,
    /// Links that lead nowhere, each with what it is.
    broken: Group,
    /// Folders beside those of splits.
    beside: Group,
    /// Folders of classes without images.
    empty: Group,
}

/// A path below a folder whose path may be empty.
fn below(folder: &str, name: &str) -> String {
    match folder {
        "" => name.to_owned(),
        folder => format!("{folder}/{name}"),
    }
}

fn ending(name: &str) -> Option<String> {
    let (_, ending) = name.rsplit_once('.')?;
    Some(ending.to_lowercase())
}

/// Whether a file of a class folder may be meant as an image: neither a text nor a name in capitals, such as README.
fn may_be_meant(name: &str) -> bool {
    match ending(name) {
        Some(ending) => !TEXTS.contains(&ending.as_str()),
        None => name.chars().any(|letter| !letter.is_ascii_uppercase()),
    }
}

impl LeftOut {
    /// Counts what lies in a folder, the root or that of a split, that holds those of classes.
    pub(super) fn add_above_classes(&mut self, id: &str, contents: &Contents) {
        self.loose.extend(id, &contents.images);
        let is_image = |name: &&String| ending(name).is_some_and(|one| IMAGES.contains(&&*one));
        self.unread
            .extend(id, contents.others.iter().filter(is_image));
    }

    /// Counts folders beside those of splits.
    pub(super) fn add_beside_splits(&mut self, names: impl IntoIterator<Item = impl AsRef<str>>) {
        self.beside.extend("", names);
    }

    /// The first of the files that are not read.
    pub(super) fn unread(&self) -> &[String] {
        &self.unread.first
    }

    /// Every image in the folder of a class and in those below it, with its path from the root of the dataset.
    ///
    /// - `id`: the folder's own path from there
    /// - `above`: the folders that it lies in, without links
    ///
    /// # Errors
    /// A folder that cannot be read, a link that leads back to a folder that it lies in, and names that are not UTF-8.
    pub(super) fn walk(
        &mut self,
        folder: &Folder<'_>,
        id: &str,
        above: &[PathBuf],
    ) -> Result<Vec<(String, Location)>, DatasetError> {
        let mut files = Vec::new();
        let mut above = above.to_vec();
        self.walk_into(folder, id, &mut above, &mut files)?;
        if files.is_empty() {
            self.empty.add(id.to_owned());
        }
        Ok(files)
    }

    fn walk_into(
        &mut self,
        folder: &Folder<'_>,
        id: &str,
        above: &mut Vec<PathBuf>,
        files: &mut Vec<(String, Location)>,
    ) -> Result<(), DatasetError> {
        let here = folder.without_links();
        if let Some(here) = here.as_ref().filter(|here| above.contains(*here)) {
            return Err(DatasetError::Malformed {
                path: folder.path(),
                problem: format!(
                    "it is a link to {}, a folder that it lies in",
                    here.display()
                ),
                hint: "remove the link".to_owned(),
            });
        }
        let depth = above.len();
        above.extend(here);
        let contents = folder.contents()?;
        for name in &contents.images {
            files.push((below(id, name), folder.file(name)?));
        }
        let unread = contents.others.iter().filter(|name| may_be_meant(name));
        self.unread.extend(id, unread);
        for (name, what) in &contents.broken {
            self.broken.add(format!("{}: {what}", below(id, name)));
        }
        for name in &contents.folders {
            self.walk_into(&folder.join(name), &below(id, name), above, files)?;
        }
        above.truncate(depth);
        Ok(())
    }

    /// What is to be said of it; `root` is where the dataset is.
    pub(super) fn warnings(&self, root: &str) -> Vec<Warning> {
        let of = |group: &Group, code, noun: &str, what: &str, hint: &str| {
            (group.count > 0).then(|| Warning {
                code,
                message: format!(
                    "{} of {root} {what}: {}",
                    plural(group.count, noun),
                    group.listed()
                ),
                hint: Some(hint.to_owned()),
            })
        };
        let verb = |group: &Group, one: &'static str, several: &'static str| match group.count {
            1 => one,
            _ => several,
        };
        let groups = [
            of(
                &self.loose,
                "data::left-out",
                "image",
                verb(
                    &self.loose,
                    "lies beside the class folders and is left out",
                    "lie beside the class folders and are left out",
                ),
                "move each into the folder of its class",
            ),
            of(
                &self.unread,
                "data::left-out",
                "file",
                verb(
                    &self.unread,
                    "is of a kind that is not read and is left out",
                    "are of kinds that are not read and are left out",
                ),
                "JPEG, PNG, WebP, BMP, TIFF and GIF are read where the name ends as theirs do; convert other images to PNG",
            ),
            of(
                &self.broken,
                "data::left-out",
                "link",
                verb(&self.broken, "is left out", "are left out"),
                "put back what it leads to, or remove it",
            ),
            of(
                &self.beside,
                "data::left-out",
                "folder",
                verb(
                    &self.beside,
                    "lies beside the splits and is left out",
                    "lie beside the splits and are left out",
                ),
                "splits are called `train`, `val` or `valid`, and `test`",
            ),
            of(
                &self.empty,
                "data::empty-class",
                "class folder",
                verb(&self.empty, "has no images", "have no images"),
                "put images into it, or remove it; a class without any image in all splits does not exist",
            ),
        ];
        groups.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_readmes_are_not_meant_as_images() {
        for name in ["labels.txt", "A.JSON", "README", "LICENSE"] {
            assert!(!may_be_meant(name), "{name}");
        }
        for name in ["0", "IMG_0001", "a.heic", "clip.mp4", "x.npy"] {
            assert!(may_be_meant(name), "{name}");
        }
    }

    #[test]
    fn a_group_names_its_first_files_and_counts_the_others() {
        let mut left_out = LeftOut::default();
        left_out.loose.extend("train", ["a.png"]);
        left_out.unread.extend(
            "train/cat",
            ["1.heic", "2.heic", "3.heic", "4.heic", "5.heic"],
        );
        let warnings = left_out.warnings("./photos");
        let messages: Vec<&str> = warnings.iter().map(|one| one.message.as_str()).collect();
        assert_eq!(
            messages,
            [
                "1 image of ./photos lies beside the class folders and is left out: `train/a.png`",
                "5 files of ./photos are of kinds that are not read and are left out: `train/cat/1.heic`, `train/cat/2.heic`, `train/cat/3.heic` and 2 more",
            ]
        );
        assert!(warnings.iter().all(|one| one.code == "data::left-out"));
    }
}
