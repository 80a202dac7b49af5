//! Whether a file of tensors is what a network needs, by names, shapes and types alone. Reads no number and needs no libtorch, so that it
//! can be asked before anything is computed.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use safetensors::Dtype;

use super::file_names::{FileNames, is_shape};
use super::stored_tensors::StoredTensors;
use super::weight_mismatch::{Advice, WeightMismatch, WrongShape};
use crate::message::{Hint, Message};
use crate::models;

/// Name, type and shape of a tensor by its name in the file.
type Described<'file> = HashMap<&'file str, (Dtype, &'file [usize])>;

/// What a network needs of a file.
pub struct Required<'a> {
    /// Name and shape of each of its tensors.
    pub tensors: Vec<(String, Vec<usize>)>,
    /// The ways in which publishers name them.
    pub known: &'static [FileNames],
    /// Whether the network has no use for a tensor of that name, by its own names.
    pub skipped: fn(&str) -> bool,
    /// What stands before the names of its tensors in the file, by the experiment; empty where it says nothing.
    pub prefix: &'a str,
}

/// A network with a name that a file fits but for one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nearly {
    /// The name of the network.
    pub preset: String,
    /// What stands before the names of its tensors; empty where nothing does.
    pub prefix: String,
    /// Whether some of its numbers have 64 bits.
    pub is_double: bool,
}

fn described(file: &StoredTensors) -> Described<'_> {
    let all = file.descriptions();
    all.map(|(name, dtype, shape)| (name, (dtype, shape)))
        .collect()
}

fn is_read(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16)
}

/// Whether a network can be built of the file of this name.
///
/// # Errors
/// A file that is not one of tensors, or every difference between it and what the network needs.
pub fn check(path: &Path, required: &Required<'_>) -> Result<(), Message> {
    let tensors = StoredTensors::open(path).map_err(|error| Message::new(error.to_string()))?;
    let mismatch = compare(&tensors, required);
    if mismatch.is_empty() {
        return Ok(());
    }
    Err(Message::new(mismatch.to_string()).maybe_hint(mismatch.hint()))
}

/// Every difference between a file and what a network needs of it, with advice where the differences have one cause; nothing where it
/// fits.
pub fn compare(file: &StoredTensors, required: &Required<'_>) -> WeightMismatch {
    let mut mismatch = differences(file, required);
    if !mismatch.is_empty() {
        let prefix = format!("{}{}", required.prefix, names_in(file, required).prefix);
        mismatch.advice = advice(file, &required.tensors, &prefix, &mismatch);
    }
    mismatch
}

/// How a file names the tensors behind the prefix that the experiment states.
fn names_in(file: &StoredTensors, required: &Required<'_>) -> FileNames {
    match required.tensors.first() {
        Some((probe, _)) if required.prefix.is_empty() => {
            FileNames::of(file, required.known, probe)
        }
        _ => FileNames::behind_prefix(required.known),
    }
}

/// [`compare`] without advice.
fn differences(file: &StoredTensors, required: &Required<'_>) -> WeightMismatch {
    let mut mismatch = WeightMismatch {
        source_name: file.path().display().to_string(),
        ..WeightMismatch::default()
    };
    let names = names_in(file, required);
    let found = described(file);
    let mut wanted = BTreeSet::new();
    for (name, shape) in &required.tensors {
        let stored = format!("{}{}", required.prefix, names.stored(name));
        match found.get(stored.as_str()) {
            None => mismatch.missing.push((stored, shape.clone())),
            Some((_, other)) if !is_shape(shape, other) => mismatch.wrong_shape.push(WrongShape {
                name: stored,
                expected: shape.clone(),
                found: other.to_vec(),
            }),
            Some((dtype, _)) if !is_read(*dtype) => {
                mismatch.wrong_type.push((stored, format!("{dtype:?}")));
            }
            Some(_) => {}
        }
        wanted.insert(name.as_str());
    }
    let unused = file.names().filter(|stored| {
        let own = stored.strip_prefix(required.prefix);
        let own = own.and_then(|name| names.of_network(name));
        own.is_some_and(|name| !wanted.contains(&*name) && !(required.skipped)(&name))
    });
    mismatch.unused = unused.map(str::to_owned).collect();
    mismatch
}

/// The tensors of a file that stand beside those of a network that it fits, and that are not read: heads, optimizers, other networks. What a
/// layer keeps beside its parameters, such as counts of batches, is not among them.
pub fn ignored(file: &StoredTensors, required: &Required<'_>) -> Vec<String> {
    let names = names_in(file, required);
    let is_foreign = |stored: &&str| {
        let own = stored.strip_prefix(required.prefix);
        own.and_then(|name| names.of_network(name)).is_none()
    };
    file.names().filter(is_foreign).map(str::to_owned).collect()
}

/// The one cause of all differences between a file and the tensors that a network needs, where there is one; they were looked up behind
/// `prefix`.
pub fn advice(
    file: &StoredTensors,
    required: &[(String, Vec<usize>)],
    prefix: &str,
    mismatch: &WeightMismatch,
) -> Option<Advice> {
    let WeightMismatch {
        missing,
        unused,
        wrong_shape,
        wrong_type,
        ..
    } = mismatch;
    let is_double = |(_, dtype): &(String, String)| dtype == "F64";
    if missing.is_empty() && unused.is_empty() && wrong_shape.is_empty() {
        return wrong_type.iter().all(is_double).then_some(Advice::Double);
    }
    let mut prefixes = prefixes(&described(file), required);
    prefixes.retain(|other| other != prefix);
    if !prefixes.is_empty() {
        return Some(Advice::Prefix(prefixes));
    }
    if is_of_optimizer(file) {
        return Some(Advice::Optimizer);
    }
    let fitting: Vec<String> = presets_of(file).collect();
    (!fitting.is_empty()).then_some(Advice::Preset(fitting))
}

/// The networks with a name that a file fits as it is.
fn presets_of(file: &StoredTensors) -> impl Iterator<Item = String> {
    let kinds = models::ALL.iter();
    kinds.flat_map(move |kind| (kind.more.fitting)(file))
}

/// Everything that stands before the names of all of these tensors in a file, each of its shape, in alphabetical order; an empty text where
/// they have their own names.
fn prefixes(found: &Described<'_>, required: &[(String, Vec<usize>)]) -> Vec<String> {
    let Some((probe, _)) = required.first() else {
        return Vec::new();
    };
    let candidates: BTreeSet<&str> = found
        .keys()
        .filter_map(|name| name.strip_suffix(probe.as_str()))
        .filter(|prefix| prefix.is_empty() || prefix.ends_with('.'))
        .collect();
    let has_all = |prefix: &&str| {
        required.iter().all(|(name, shape)| {
            let stored = found.get(format!("{prefix}{name}").as_str());
            stored.is_some_and(|(dtype, found)| {
                found == shape && (is_read(*dtype) || *dtype == Dtype::F64)
            })
        })
    };
    let fitting = candidates.into_iter().filter(has_all);
    fitting.map(str::to_owned).collect()
}

/// Whether most of a file is what an optimizer keeps of each parameter.
pub fn is_of_optimizer(file: &StoredTensors) -> bool {
    const KEPT: [&str; 6] = [
        "exp_avg",
        "exp_avg_sq",
        "max_exp_avg_sq",
        "momentum_buffer",
        "square_avg",
        "step",
    ];
    let all = file.names().count();
    let is_kept = |name: &&str| {
        name.rsplit('.')
            .next()
            .is_some_and(|last| KEPT.contains(&last))
    };
    all > 0 && 2 * file.names().filter(is_kept).count() >= all
}

/// The networks with a name that a file fits but for what stands before its names, or but for numbers of 64 bits.
pub fn nearly_fitting(file: &StoredTensors) -> Vec<Nearly> {
    let found = described(file);
    let mut nearly = Vec::new();
    for preset in models::presets() {
        let Some(required) = preset.model.required() else {
            continue;
        };
        for prefix in prefixes(&found, &required.tensors) {
            let all = Required {
                prefix: &prefix,
                tensors: required.tensors.clone(),
                ..required
            };
            let mismatch = differences(file, &all);
            let is_double = !mismatch.wrong_type.is_empty();
            if mismatch.unused.is_empty() && (is_double || !prefix.is_empty()) {
                nearly.push(Nearly {
                    preset: preset.name.clone(),
                    prefix: prefix.clone(),
                    is_double,
                });
            }
        }
    }
    nearly
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use safetensors::tensor::TensorView;

    use super::*;

    fn file(tensors: &[(&str, Dtype, usize)]) -> StoredTensors {
        let bytes = [0; 256];
        let views = tensors.iter().map(|(name, dtype, length)| {
            let bytes = &bytes[..length * dtype.bitsize() / 8];
            (
                *name,
                TensorView::new(*dtype, vec![*length], bytes).unwrap(),
            )
        });
        let bytes = safetensors::serialize(views, None).unwrap();
        StoredTensors::from_bytes(Path::new("net"), bytes).unwrap()
    }

    fn required(prefix: &str) -> Required<'_> {
        Required {
            tensors: vec![("a.weight".to_owned(), vec![3]), ("b".to_owned(), vec![2])],
            known: &[FileNames::PLAIN],
            skipped: |name| name == "count",
            prefix,
        }
    }

    #[test]
    fn a_file_that_fits_has_no_differences_and_a_declared_prefix_leaves_the_rest_alone() {
        let f32 = Dtype::F32;
        let plain = file(&[("a.weight", f32, 3), ("b", f32, 2), ("count", f32, 1)]);
        assert!(compare(&plain, &required("")).is_empty());
        let two = file(&[
            ("ema.a.weight", f32, 3),
            ("ema.b", f32, 2),
            ("model.a.weight", f32, 3),
            ("model.b", f32, 2),
            ("optimizer.x", f32, 9),
        ]);
        assert!(compare(&two, &required("ema.")).is_empty());
        assert_eq!(
            compare(&two, &required("")).advice,
            Some(Advice::Prefix(vec!["ema.".to_owned(), "model.".to_owned()]))
        );
        assert_eq!(
            compare(&plain, &required("ema.")).advice,
            Some(Advice::Prefix(vec![String::new()]))
        );
    }

    #[test]
    fn a_prefix_is_advised_only_where_every_tensor_and_its_shape_are_there() {
        let f32 = Dtype::F32;
        let other = file(&[("module.a.weight", f32, 3), ("module.b", f32, 7)]);
        let mismatch = compare(&other, &required(""));
        assert_eq!((mismatch.missing.len(), mismatch.advice), (2, None));
        // A name that ends alike without a dot before it is another name.
        let alike = file(&[("xa.weight", f32, 3), ("xb", f32, 2)]);
        assert_eq!(compare(&alike, &required("")).advice, None);
    }

    #[test]
    fn numbers_of_64_bits_and_states_of_optimizers_are_told() {
        let double = file(&[("a.weight", Dtype::F64, 3), ("b", Dtype::F64, 2)]);
        assert_eq!(compare(&double, &required("")).advice, Some(Advice::Double));
        let integers = file(&[("a.weight", Dtype::I64, 3), ("b", Dtype::F32, 2)]);
        assert_eq!(compare(&integers, &required("")).advice, None);
        let state = file(&[
            ("state.0.exp_avg", Dtype::F32, 3),
            ("state.0.exp_avg_sq", Dtype::F32, 3),
            ("state.0.step", Dtype::F32, 1),
        ]);
        assert_eq!(
            compare(&state, &required("")).advice,
            Some(Advice::Optimizer)
        );
    }
}
