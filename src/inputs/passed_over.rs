//! Tensors of files of weights that a run leaves alone: heads, decoders, optimizers, other networks. A file that holds more than its
//! network is as it should be where somebody published it so, and a slip where the network is another one than was meant.

use std::collections::BTreeMap;
use std::path::Path;

use crate::graph::ModelNode;
use crate::models::WeightsSource;
use crate::models::checkpoint::comparison::ignored;
use crate::models::checkpoint::stored_tensors::StoredTensors;
use crate::text::{count, plural};
use crate::visible::shown;
use crate::warning::Warning;

/// Groups of names that are listed.
const MOST_GROUPS: usize = 4;

/// What a run leaves alone of the weights of a model; `None` where that is nothing. A file that cannot be read has errors of its own.
pub(super) fn of(node: &ModelNode, base: &Path) -> Option<Warning> {
    let WeightsSource::File(path) = node.model.weights() else {
        return None;
    };
    let required = node.model.required()?;
    let tensors = StoredTensors::open(&base.join(path)).ok()?;
    let names = ignored(&tensors, &required);
    let phrase = match names.len() {
        0 => return None,
        1 => "is",
        _ => "are",
    };
    Some(Warning {
        code: "data::tensors-ignored",
        message: format!(
            "{} of the weights {} {phrase} not of this network: {}",
            plural(names.len(), "tensor"),
            path.display(),
            summarized(&names)
        ),
        hint: Some(format!(
            "`repro models inspect {}` lists them; nothing has to be done where the file is meant to hold more",
            path.display()
        )),
    })
}

/// Names by what they begin with: "decoder.* (310), head.weight".
fn summarized(names: &[String]) -> String {
    let shared = shared_parts(names);
    let mut groups: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for name in names {
        let parts: Vec<&str> = name.split('.').take(shared + 1).collect();
        groups.entry(parts.join(".")).or_default().push(name);
    }
    let mut groups: Vec<(String, Vec<&str>)> = groups.into_iter().collect();
    // The largest first; of equal ones in the order of their names.
    groups.sort_by_key(|(_, names)| std::cmp::Reverse(names.len()));
    let more = groups.len().saturating_sub(MOST_GROUPS);
    groups.truncate(MOST_GROUPS);
    let listed: Vec<String> = groups
        .iter()
        .map(|(beginning, names)| match names.as_slice() {
            [only] => shown(only),
            several => format!("{}.* ({})", shown(beginning), count(several.len() as u64)),
        })
        .collect();
    let more = match more {
        0 => String::new(),
        more => format!(" and {}", plural(more, "other group")),
    };
    format!("{}{more}", listed.join(", "))
}

/// How many parts all names share at their beginnings, but for their last ones.
fn shared_parts(names: &[String]) -> usize {
    let Some(first) = names.first() else {
        return 0;
    };
    let first: Vec<&str> = first.split('.').collect();
    let shared = names.iter().map(|name| {
        let parts: Vec<&str> = name.split('.').collect();
        let inner = parts.len().min(first.len()).saturating_sub(1);
        let equal = parts.iter().zip(&first).take(inner);
        equal.take_while(|(part, first)| part == first).count()
    });
    shared.min().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(names: &[&str]) -> String {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        summarized(&names)
    }

    #[test]
    fn names_are_grouped_by_where_they_part() {
        assert_eq!(
            summary(&[
                "decoder.0.weight",
                "decoder.0.bias",
                "decoder.1.bias",
                "head.weight"
            ]),
            "decoder.* (3), head.weight"
        );
        assert_eq!(
            summary(&[
                "module.head.0.weight",
                "module.head.0.bias",
                "module.fc.bias"
            ]),
            "module.head.* (2), module.fc.bias"
        );
        assert_eq!(summary(&["mask_token"]), "mask_token");
        assert_eq!(
            summary(&["a", "b", "c", "d", "e", "f\u{1b}[2J"]),
            "a, b, c, d and 2 other groups"
        );
    }
}
