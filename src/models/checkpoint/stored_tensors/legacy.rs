//! PyTorch checkpoints as one stream, as written before PyTorch 1.6.
//!
//! Five pickles follow each other: a number that marks the format, its version, facts about the machine, the description
//! of the tensors, and the keys of the storages. Behind them are the storages in the order of their keys, each as a count
//! of elements in eight bytes and the elements.
//!
//! # Reference
//! pytorch/pytorch v2.11.0: torch/serialization.py (`_legacy_save`, `_legacy_load`).
//!
//! # Deviations
//! The tar archives of PyTorch 0.1 are refused, and so is anything behind the last storage.

use std::collections::BTreeMap;
use std::ops::Range;

use super::fault::Fault;
use super::pickle::{self, Pickle, Storage, Value};
use super::state_dict::{self, StateDict};
use crate::byte_reader::Reader;
use crate::text::plural;
use crate::visible::shown;

/// The number that marks the format, little-endian.
const MAGIC: &[u8] = &[0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// The only version that there ever was.
const VERSION: i64 = 1001;

/// Whether a file begins as a pickle of a protocol that PyTorch writes.
pub(super) fn is_pickle(file: &[u8]) -> bool {
    matches!(file, [0x80, 2..=5, ..])
}

/// Reads what the checkpoint whose bytes are `file` holds.
///
/// # Errors
/// A pickle that is refused, or is of another program; storages that are missing or do not fit.
pub(super) fn read(file: &[u8]) -> Result<StateDict, Fault> {
    let mut at = 0;
    let mut next = |stream| {
        let pickle = pickle::read(file.get(at..).unwrap_or_default(), stream)?;
        at += pickle.length;
        Ok::<_, Fault>(pickle)
    };
    let mark = next("the pickle of the format")?;
    if mark.root != Value::Long(MAGIC) {
        let reason = "it is a pickle, but none that PyTorch wrote".to_owned();
        return Err(Fault::NotACheckpoint(reason));
    }
    let version = next("the pickle of the version")?;
    if version.root != Value::Int(VERSION) {
        return Err(version.corrupt(format!("the version is not {VERSION}")));
    }
    check_machine(&next("the pickle of the machine")?)?;
    let pickle = next("the pickle of the tensors")?;
    let keys = next("the pickle of the keys")?;
    let storages = locate(file, at, &pickle, &keys)?;
    state_dict::flatten(&pickle, file.len(), |storage| {
        let range = storages.get(storage.key).cloned();
        range.ok_or_else(|| pickle.corrupt(format!("there is no storage `{}`", shown(storage.key))))
    })
}

/// Refuses files whose numbers have their bytes the other way round.
fn check_machine(facts: &Pickle<'_>) -> Result<(), Fault> {
    let entries = facts.dict(facts.root).map(|dict| dict.entries.as_slice());
    let order = entries
        .unwrap_or_default()
        .iter()
        .find(|(key, _)| *key == Value::Text("little_endian"));
    match order {
        Some((_, Value::Bool(true))) => Ok(()),
        Some((_, Value::Bool(false))) => Err(Fault::BigEndian),
        _ => Err(facts.corrupt("it does not say `little_endian`".to_owned())),
    }
}

/// Where each storage's elements are in the file; the first begins at `at`.
fn locate<'f>(
    file: &'f [u8],
    at: usize,
    pickle: &Pickle<'f>,
    keys: &Pickle<'f>,
) -> Result<BTreeMap<&'f str, Range<usize>>, Fault> {
    let mut described: BTreeMap<&str, &Storage<'_>> = BTreeMap::new();
    for storage in pickle.storages() {
        let before = described.insert(storage.key, storage);
        if before.is_some_and(|before| before != storage) {
            let reason = format!("storage `{}` is described in two ways", shown(storage.key));
            return Err(pickle.corrupt(reason));
        }
    }
    let Some(listed) = keys.list(keys.root) else {
        return Err(keys.corrupt("the keys are not a list".to_owned()));
    };
    let mut located = BTreeMap::new();
    let mut reader = Reader::new(file, at);
    for &key in listed {
        let Value::Text(key) = key else {
            return Err(keys.corrupt("a key is not a string".to_owned()));
        };
        let Some(storage) = described.get(key) else {
            let reason = format!("storage `{}` is listed, but no tensor uses it", shown(key));
            return Err(keys.corrupt(reason));
        };
        // Does not overflow: the pickle's reader has checked it.
        let length = storage.count * (storage.dtype.bitsize() / 8);
        let cut_off = |left: usize| {
            Fault::Truncated(format!(
                "storage `{}` of {length} bytes begins where {left} are left",
                shown(key)
            ))
        };
        let left = reader.left();
        let count = reader.u64().ok_or_else(|| cut_off(left))?;
        if count != storage.count as u64 {
            let reason = format!(
                "storage `{}` has {count} elements where {} are expected",
                shown(key),
                storage.count
            );
            return Err(pickle.corrupt(reason));
        }
        let (start, left) = (reader.at(), reader.left());
        reader.take(length).ok_or_else(|| cut_off(left))?;
        if located.insert(key, start..reader.at()).is_some() {
            return Err(keys.corrupt(format!("storage `{}` is listed twice", shown(key))));
        }
    }
    if reader.left() > 0 {
        let reason = format!("{} behind its last storage", plural(reader.left(), "byte"));
        return Err(Fault::CorruptContainer(reason));
    }
    Ok(located)
}
