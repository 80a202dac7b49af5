//! PyTorch checkpoints in a zip archive, as written since PyTorch 1.6.
//!
//! The archive has one folder, called `archive` or as the file was. In it `data.pkl` describes the tensors, `data/KEY` is
//! the storage that the description calls KEY, and `byteorder` says which way round numbers are.
//!
//! # Reference
//! pytorch/pytorch v2.11.0: torch/serialization.py (`_save`, `_load`), caffe2/serialize/inline_container.cc.
//!
//! # Deviations
//! TorchScript archives, which hold code, are refused. A file without `byteorder` is little-endian: versions that did not
//! write it ran on hardly anything else.

use super::fault::Fault;
use super::pickle;
use super::state_dict::{self, StateDict};
use crate::text::plural;
use crate::visible::shown;
use crate::zip_archive::Archive;

/// What messages call the pickle.
const STREAM: &str = "data.pkl";

/// Reads what the checkpoint whose bytes are `file` holds, an `archive`.
///
/// # Errors
/// An archive that is damaged or holds something else; a pickle that is refused; storages that do not fit.
pub(super) fn read(file: &[u8], archive: &Archive<'_>) -> Result<StateDict, Fault> {
    let root = find_root(archive)?;
    if archive.find(&format!("{root}/constants.pkl"))?.is_some() {
        return Err(Fault::Unsupported {
            reason: "it is a TorchScript archive, which holds code".to_owned(),
            remedy: "save the tensors alone with `torch.save(model.state_dict(), …)`",
        });
    }
    let content = |name: &str| {
        let range = archive.find(&format!("{root}/{name}"))?;
        Ok::<_, Fault>(range.and_then(|range| file.get(range)))
    };
    match content("byteorder")? {
        None | Some(b"little") => {}
        Some(b"big") => return Err(Fault::BigEndian),
        Some(_) => {
            let reason = "its member `byteorder` is neither `little` nor `big`";
            return Err(Fault::CorruptContainer(reason.to_owned()));
        }
    }
    let bytes = content(STREAM)?.unwrap_or_default();
    let pickle = pickle::read(bytes, STREAM)?;
    if pickle.length != bytes.len() {
        let reason = format!(
            "{} behind its end",
            plural(bytes.len() - pickle.length, "byte")
        );
        return Err(pickle.corrupt(reason));
    }
    state_dict::flatten(&pickle, file.len(), |storage| {
        let Some(range) = archive.find(&format!("{root}/data/{}", storage.key))? else {
            let reason = format!("the archive has no storage `{}`", shown(storage.key));
            return Err(pickle.corrupt(reason));
        };
        // Does not overflow: the pickle's reader has checked it.
        let expected = storage.count * (storage.dtype.bitsize() / 8);
        if range.len() != expected {
            let reason = format!(
                "storage `{}` has {} bytes where {expected} are expected",
                shown(storage.key),
                range.len()
            );
            return Err(pickle.corrupt(reason));
        }
        Ok(range)
    })
}

/// The folder of the archive, which is where its `data.pkl` is.
fn find_root<'f>(archive: &Archive<'f>) -> Result<&'f str, Fault> {
    let mut roots = archive
        .names()
        .filter_map(|name| match name.split_once('/') {
            Some((root, STREAM)) => Some(root),
            _ => None,
        });
    match (roots.next(), roots.next()) {
        (Some(root), None) => Ok(root),
        (Some(one), Some(other)) => Err(Fault::CorruptContainer(format!(
            "it has two pickles, in `{}` and in `{}`",
            shown(one),
            shown(other)
        ))),
        (None, _) => Err(Fault::NotACheckpoint(
            "it is a zip archive without a `data.pkl` in its one folder".to_owned(),
        )),
    }
}
