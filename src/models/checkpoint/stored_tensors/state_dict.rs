//! From what a pickle describes to names and tensors: nested dicts become one list of names.
//!
//! # Deviations
//! Names of nested dicts are joined with `.`, so that `{"state_dict": {"a": …}}` holds `state_dict.a`. Tensors inside
//! lists and tuples have no name and are not among the tensors.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::fault::Fault;
use super::pickle::{Global, Object, Pickle, Storage, Value};
use super::{Entry, OtherEntry, view};
use crate::limits::{CHECKPOINT_ENTRIES, TENSOR_AXES};
use crate::visible::shown;

/// Dicts nested deeper are refused; this also ends dicts that hold themselves.
const DEEPEST: usize = 32;
/// More bytes of names, of all entries together, are refused.
const MOST_NAME_BYTES: usize = 8 << 20;
/// How much more all tensors may take than the file, because tensors may share a storage.
const MOST_SHARING: usize = 64;

/// The entries of a checkpoint.
#[derive(Debug, Default)]
pub(super) struct StateDict {
    pub tensors: BTreeMap<String, Entry>,
    pub others: Vec<OtherEntry>,
}

/// Names and places every tensor. `locate` gives the bytes of a storage in the file, which are as many as its elements
/// take; `file` is the file's length.
///
/// # Errors
/// The whole is not a dict; nesting, names or sharing go beyond the limits; two entries have one name; the errors of `locate`.
pub(super) fn flatten(
    pickle: &Pickle<'_>,
    file: usize,
    locate: impl Fn(&Storage<'_>) -> Result<Range<usize>, Fault>,
) -> Result<StateDict, Fault> {
    let mut found = StateDict::default();
    let Some(root) = pickle.dict(pickle.root) else {
        return Err(Fault::Unsupported {
            reason: format!(
                "it holds {} instead of a dict of tensors",
                describe(pickle, pickle.root)
            ),
            remedy: "save a state dict, as `torch.save(model.state_dict(), …)` does",
        });
    };
    let mut names = BTreeSet::new();
    let (mut entries, mut name_bytes, mut tensor_bytes) = (0_usize, 0_usize, 0_usize);
    let mut open = vec![(root, String::new(), 1_usize)];
    while let Some((dict, prefix, depth)) = open.pop() {
        entries = entries.saturating_add(dict.entries.len());
        if entries > CHECKPOINT_ENTRIES {
            return Err(pickle.corrupt(format!(
                "its dicts have more than {CHECKPOINT_ENTRIES} entries"
            )));
        }
        for &(key, value) in &dict.entries {
            let key = match key {
                Value::Text(text) => text.to_owned(),
                Value::Int(number) => number.to_string(),
                Value::Global(Global::ModelCheckpoint) => "ModelCheckpoint".to_owned(),
                other => {
                    let what = describe(pickle, other);
                    return Err(pickle.corrupt(format!("the key of an entry is {what}")));
                }
            };
            name_bytes = name_bytes.saturating_add(prefix.len() + 1 + key.len());
            if name_bytes > MOST_NAME_BYTES {
                let reason = format!("its names take more than {MOST_NAME_BYTES} bytes");
                return Err(pickle.corrupt(reason));
            }
            let name = if depth == 1 {
                key
            } else {
                format!("{prefix}.{key}")
            };
            if let Some(inner) = pickle.dict(value).filter(|inner| !inner.entries.is_empty()) {
                if depth == DEEPEST {
                    let reason = format!("its dicts are nested deeper than {DEEPEST}");
                    return Err(pickle.corrupt(reason));
                }
                open.push((inner, name, depth + 1));
                continue;
            }
            if !names.insert(name.clone()) {
                let reason = format!("two entries are called `{}`", shown(&name));
                return Err(pickle.corrupt(reason));
            }
            let Some(entry) = place(pickle, value, &locate)? else {
                let what = describe(pickle, value);
                found.others.push(OtherEntry { name, what });
                continue;
            };
            tensor_bytes = tensor_bytes.saturating_add(entry.byte_count());
            if tensor_bytes > file.saturating_mul(MOST_SHARING) {
                let reason = format!(
                    "its tensors share storages, and each by itself they take {MOST_SHARING} times the file"
                );
                return Err(pickle.corrupt(reason));
            }
            found.tensors.insert(name, entry);
        }
    }
    found.others.sort();
    Ok(found)
}

/// The entry of a tensor; `None` where the value is something else.
fn place(
    pickle: &Pickle<'_>,
    value: Value<'_>,
    locate: impl Fn(&Storage<'_>) -> Result<Range<usize>, Fault>,
) -> Result<Option<Entry>, Fault> {
    let Value::Object(number) = value else {
        return Ok(None);
    };
    let Some(Object::Tensor(tensor)) = pickle.object(number) else {
        return Ok(None);
    };
    let misfit = || pickle.corrupt("a tensor does not fit its storage".to_owned());
    let (Some(Object::Storage(storage)), Some(shape), Some(strides)) = (
        pickle.object(tensor.storage),
        pickle.sizes(tensor.shape),
        pickle.sizes(tensor.strides),
    ) else {
        return Err(misfit());
    };
    if shape.len() > TENSOR_AXES {
        let axes = shape.len();
        return Err(pickle.corrupt(format!(
            "a tensor has {axes} axes; at most {TENSOR_AXES} are read"
        )));
    }
    let layout = view::check(tensor.offset, &shape, &strides, storage.count)
        .map_err(|reason| pickle.corrupt(reason))?;
    let bytes = locate(storage)?;
    let width = storage.dtype.bitsize() / 8;
    let within = |element: usize| {
        let at = bytes.start.checked_add(element.checked_mul(width)?)?;
        (at <= bytes.end).then_some(at)
    };
    let (Some(start), Some(end)) = (within(layout.elements.start), within(layout.elements.end))
    else {
        return Err(misfit());
    };
    let strides = (!layout.is_contiguous).then_some(strides);
    Ok(Some(Entry::new(storage.dtype, shape, start..end, strides)))
}

/// A few words on a value.
fn describe(pickle: &Pickle<'_>, value: Value<'_>) -> String {
    match value {
        Value::None => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Int(number) => format!("the integer {number}"),
        Value::Long(bytes) => format!("an integer of {} bytes", bytes.len()),
        Value::Float(number) => format!("the number {number}"),
        Value::Text(text) => format!("the text `{}`", shown(text)),
        Value::Global(Global::Storage(dtype)) => format!("the class of storages of {dtype}"),
        Value::Global(_) => "the name of a function or class".to_owned(),
        Value::Object(number) => match pickle.object(number) {
            Some(Object::Tuple(parts)) => format!("a tuple of {}", parts.len()),
            Some(Object::List(parts)) => format!("a list of {}", parts.len()),
            Some(Object::Dict(dict)) => format!("a dict of {}", dict.entries.len()),
            Some(Object::Storage(storage)) => {
                format!("a storage of {} {}", storage.count, storage.dtype)
            }
            Some(Object::Tensor(_)) => "a tensor".to_owned(),
            Some(Object::Unread) => "a number of NumPy".to_owned(),
            None => "nothing".to_owned(),
        },
    }
}
