//! The keys that a node may have, by its section and kind.

use super::{EXTRACTION, PRETRAIN, SAMPLES};
use crate::spec::sections::RawNode;
use crate::spec::{AnyKey, Kind, Value};
use crate::{datasets, heads, metrics, models};

/// All keys of a node; none where its kind is not known, which the reader of nodes reports.
pub(super) fn keys_of(section: &str, node: &RawNode) -> Vec<&'static dyn AnyKey> {
    let name = match node.table.get("kind").map(|entry| &entry.node.value) {
        Some(Value::Text(name)) => name.as_str(),
        _ => "",
    };
    match section {
        "dataset" => of_kind(datasets::ALL, name),
        "pretrain" => PRETRAIN.all_keys(),
        "model" => of_kind(models::ALL, name),
        "samples" => SAMPLES.all_keys(),
        "extraction" => EXTRACTION.all_keys(),
        "head" => of_kind(heads::ALL, name),
        "metric" => of_kind(metrics::ALL, name),
        _ => Vec::new(),
    }
}

fn of_kind<P, M>(all: &[&Kind<P, M>], name: &str) -> Vec<&'static dyn AnyKey> {
    let kind = all.iter().find(|kind| kind.doc.name == name);
    kind.map_or_else(Vec::new, |kind| kind.doc.all_keys())
}
