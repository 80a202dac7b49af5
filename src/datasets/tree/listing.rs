//! Listing a folder of the disk.

use std::fs;
use std::io;
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

/// The names of the folders in a folder, or of its files that are taken for images; hidden ones are left out, links are followed. A link
/// that leads nowhere is an image if it is called like one: a bad one.
///
/// # Errors
/// A folder that cannot be read, a link in place of a folder that leads nowhere, or a name that is not UTF-8.
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
        if name.starts_with('.') {
            continue;
        }
        let path = entry.path();
        let is_wanted = match fs::metadata(&path) {
            Ok(kind) if folders => kind.is_dir(),
            Ok(kind) => kind.is_file() && is_image(name),
            Err(source) => match broken_link(&path) {
                Some(_) if is_image(name) => !folders,
                Some(_) if !folders => false,
                Some(problem) => {
                    return Err(DatasetError::Malformed {
                        path,
                        problem: format!("it is {problem}"),
                        hint: "put back what it leads to, or remove it".to_owned(),
                    });
                }
                None => {
                    let hint = "it was there when the folder was listed";
                    return Err(DatasetError::io(&path, source, hint));
                }
            },
        };
        if is_wanted {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}
