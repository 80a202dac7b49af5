//! NumPy's archives (`.npz`): a zip archive whose members are arrays, each named as it is with `.npy` behind it.
//!
//! # Reference
//! numpy/numpy v2.4.0: numpy/lib/_npyio_impl.py (`_savez`, `NpzFile`).
//!
//! # Deviations
//! Arrays are read where they lie; those of `numpy.savez_compressed` are unpacked into memory first.

use std::collections::BTreeMap;
use std::ops::Range;

use super::{Header, NpyError};
use crate::limits::CHECKPOINT_ENTRIES;
use crate::visible::shown;
use crate::zip_archive::{Archive, ArchiveFault};

/// What is behind the name of every array.
pub(crate) const ENDING: &str = ".npy";

/// Whether all members of an archive are named as arrays, one at least.
pub(crate) fn is_npz(archive: &Archive<'_>) -> bool {
    let mut names = archive.names().peekable();
    names.peek().is_some() && names.all(|name| name.ends_with(ENDING))
}

/// An array of an archive.
#[derive(Debug)]
pub(crate) struct Array {
    pub(crate) header: Header,
    /// The elements, among all bytes.
    pub(crate) bytes: Range<usize>,
}

/// The arrays of an archive by their names.
pub(crate) type Arrays = BTreeMap<String, Array>;

/// Arrays, and the bytes that they are in where these are not the file's.
pub(crate) type Opened = (Arrays, Option<Vec<u8>>);

/// The arrays of the archive whose bytes are `file`, and, where some of them are compressed, the bytes that they are in instead.
///
/// # Errors
/// A member that is damaged, no array, or an array of what is not read; too many of them.
pub(crate) fn arrays(file: &[u8], archive: &Archive<'_>) -> Result<Opened, ArchiveFault> {
    if archive.names().nth(CHECKPOINT_ENTRIES).is_some() {
        let reason = format!("it has more than {CHECKPOINT_ENTRIES} members");
        return Err(ArchiveFault::Damaged(reason));
    }
    if let Some((unpacked, archive)) = archive.unpacked(file)? {
        let arrays = in_place(&unpacked, &archive)?;
        return Ok((arrays, Some(unpacked)));
    }
    Ok((in_place(file, archive)?, None))
}

fn in_place(file: &[u8], archive: &Archive<'_>) -> Result<Arrays, ArchiveFault> {
    let mut arrays = Arrays::new();
    for member in archive.names() {
        let name = member.strip_suffix(ENDING).ok_or_else(|| {
            let reason = format!(
                "its member `{}` has no `.npy` behind its name, as arrays have",
                shown(member)
            );
            ArchiveFault::Damaged(reason)
        })?;
        let bytes = archive.find(member)?.unwrap_or_default();
        let content = file.get(bytes.clone()).unwrap_or_default();
        let header = Header::read(content, content.len()).map_err(|error| fault(member, &error))?;
        let start = bytes.start.saturating_add(header.start);
        let bytes = start..start.saturating_add(header.length);
        arrays.insert(name.to_owned(), Array { header, bytes });
    }
    Ok(arrays)
}

/// What is wrong with a member that is no array, or one that is not read.
pub(crate) fn fault(member: &str, error: &NpyError) -> ArchiveFault {
    let reason = format!("of its member `{}`, {error}", shown(member));
    match error {
        NpyError::Unsupported(_) => ArchiveFault::Unsupported {
            reason,
            remedy: "save arrays of plain little-endian numbers with `numpy.savez`",
        },
        _ => ArchiveFault::Damaged(reason),
    }
}

#[cfg(test)]
pub(crate) mod fixture;
