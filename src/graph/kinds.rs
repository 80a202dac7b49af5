//! The keys that a node may have, by its section and kind.

use super::{EXTRACTION_KEYS, METRIC_KEYS, PRETRAIN_KEYS, SAMPLES_KEYS};
use crate::spec::sections::RawNode;
use crate::spec::{Key, KindDoc, Value};
use crate::trainer::pretraining;
use crate::{datasets, heads, metrics, models};

/// All keys of a node; none where its kind is not known, which the reader of nodes reports.
pub(super) fn keys_of(section: &str, node: &RawNode) -> Vec<Key> {
    let name = match node.table.get("kind").map(|entry| &entry.node.value) {
        Some(Value::Text(name)) => name.as_str(),
        _ => "",
    };
    let is_meant = |doc: &KindDoc| doc.name == name;
    let joined = |own: &[Key], shared: &[Key]| own.iter().chain(shared).copied().collect();
    match section {
        "dataset" => {
            let mut kinds = datasets::ALL.iter();
            let kind = kinds.find(|kind| is_meant(kind.doc()));
            kind.map_or_else(Vec::new, |kind| kind.doc().keys.to_vec())
        }
        "pretrain" => joined(PRETRAIN_KEYS, pretraining::config::KEYS),
        "model" => {
            let kind = models::ALL.iter().find(|kind| is_meant(kind.doc()));
            kind.map_or_else(Vec::new, |kind| kind.doc().keys.to_vec())
        }
        "samples" => SAMPLES_KEYS.to_vec(),
        "extraction" => EXTRACTION_KEYS.to_vec(),
        "head" => {
            let kind = heads::ALL.iter().find(|kind| is_meant(kind.doc()));
            kind.map_or_else(Vec::new, |kind| {
                joined(kind.doc().keys, kind.keys_of_training())
            })
        }
        "metric" => {
            let kind = metrics::ALL.iter().find(|kind| is_meant(kind.doc()));
            kind.map_or_else(Vec::new, |kind| joined(kind.doc().keys, METRIC_KEYS))
        }
        _ => Vec::new(),
    }
}
