//! Listing a folder of the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use crate::datasets::DatasetError;

/// File name endings that are taken for images; the decoder looks at the content.
const ENDINGS: [&str; 10] = [
    "jpg", "jpeg", "png", "jpe", "jfif", "webp", "bmp", "tif", "tiff", "gif",
];

/// Whether a file of that name is taken for an image.
pub(super) fn is_image(name: &str) -> bool {
    let ending = Path::new(name)
        .extension()
        .and_then(|ending| ending.to_str())
        .unwrap_or_default();
    ENDINGS.contains(&ending.to_lowercase().as_str())
}

/// Why a link leads nowhere, such as "a link to `x`, which is not there"; `None` for a sound link, and for anything else than a link.
pub(in crate::datasets) fn broken_link(path: &Path) -> Option<String> {
    let target = fs::read_link(path).ok()?;
    let error = fs::metadata(path).err()?;
    let why = match error.raw_os_error() {
        Some(libc::ELOOP) => "which leads in a circle".to_owned(),
        _ if error.kind() == io::ErrorKind::NotFound => "which is not there".to_owned(),
        _ => format!("which cannot be followed ({error})"),
    };
    Some(format!("a link to `{}`, {why}", target.display()))
}

/// What lies in one folder, by names; hidden ones are left out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::datasets) struct Contents {
    /// Folders, links to folders among them.
    pub(in crate::datasets) folders: BTreeSet<String>,
    /// Files whose names are those of images. A link that leads nowhere is one if it is called like one: a bad one.
    pub(in crate::datasets) images: BTreeSet<String>,
    /// All other files.
    pub(in crate::datasets) others: BTreeSet<String>,
    /// Links that are not called like images and lead nowhere, each with what it is, such as "a link to `x`, which is not there".
    pub(in crate::datasets) broken: BTreeMap<String, String>,
}

impl Contents {
    /// Adds what lies in a folder of the disk; links are followed.
    ///
    /// # Errors
    /// A folder that cannot be read; the name of a folder or of an image that is not UTF-8.
    pub(super) fn add_of_disk(&mut self, path: &Path) -> Result<(), DatasetError> {
        let failed =
            |source| DatasetError::io(path, source, "`root` must be a folder of class folders");
        for entry in fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            let name = entry.file_name();
            let is_hidden = name.as_encoded_bytes().starts_with(b".");
            if is_hidden {
                continue;
            }
            let image = is_image(&name.to_string_lossy());
            // What a link leads to takes one more look at the disk.
            let kind = match entry.file_type() {
                Ok(kind) if !kind.is_symlink() => Ok(kind),
                _ => fs::metadata(&path).map(|metadata| metadata.file_type()),
            };
            let kind = match kind {
                Ok(kind) => Some(kind),
                Err(source) => match broken_link(&path) {
                    Some(_) if image => None,
                    Some(problem) => {
                        self.broken
                            .insert(name.to_string_lossy().into_owned(), problem);
                        continue;
                    }
                    None => {
                        let hint = "it was there when the folder was listed";
                        return Err(DatasetError::io(&path, source, hint));
                    }
                },
            };
            let is_folder = kind.is_some_and(|kind| kind.is_dir());
            let Some(name) = name.to_str() else {
                if !is_folder && !image {
                    self.others.insert(name.to_string_lossy().into_owned());
                    continue;
                }
                return Err(DatasetError::Malformed {
                    path,
                    problem: "its name is not UTF-8".to_owned(),
                    hint: "rename it".to_owned(),
                });
            };
            let of_its_kind = match kind {
                Some(kind) if kind.is_dir() => &mut self.folders,
                Some(kind) if !kind.is_file() => &mut self.others,
                _ if image => &mut self.images,
                _ => &mut self.others,
            };
            of_its_kind.insert(name.to_owned());
        }
        Ok(())
    }
}
