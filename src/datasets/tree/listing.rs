//! Listing a folder of the disk.

use std::fs;
use std::path::Path;

use crate::datasets::DatasetError;

/// File name endings that are taken for images; the decoder looks at the content.
const ENDINGS: [&str; 4] = ["jpg", "jpeg", "png", "jpe"];

/// Whether a file of that name is taken for an image.
pub(super) fn is_image(name: &str) -> bool {
    let ending = Path::new(name)
        .extension()
        .and_then(|ending| ending.to_str())
        .unwrap_or_default();
    ENDINGS.contains(&ending.to_lowercase().as_str())
}

/// The names of the folders in a folder, or of its files that are taken for images; hidden ones are left out, links are followed.
///
/// # Errors
/// A folder that cannot be read, or a name that is not UTF-8.
pub(super) fn entries(path: &Path, folders: bool) -> Result<Vec<String>, DatasetError> {
    let failed =
        |source| DatasetError::io(path, source, "`root` must be a folder of class folders");
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            return Err(DatasetError::Malformed {
                path: entry.path(),
                problem: "its name is not UTF-8".to_owned(),
                hint: "rename the file".to_owned(),
            });
        };
        let kind = fs::metadata(entry.path()).map_err(failed)?;
        let wanted = if folders {
            kind.is_dir()
        } else {
            kind.is_file() && is_image(name)
        };
        if wanted && !name.starts_with('.') {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}
