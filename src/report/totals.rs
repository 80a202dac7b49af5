//! The artifacts of a report, added up by kind.

use std::collections::BTreeSet;

use serde::Serialize;

use super::input::NodeRecord;

/// Nodes of one kind, added up.
#[derive(Debug, Default, Serialize)]
pub(super) struct KindTotal {
    pub(super) kind: String,
    pub(super) nodes: u64,
    pub(super) rows: u64,
    bytes: u64,
    wall_seconds: f64,
    devices: BTreeSet<String>,
}

/// The nodes by kind, in the order in which the kinds first appear.
pub(super) fn totals(nodes: &[NodeRecord]) -> Vec<KindTotal> {
    let mut kinds: Vec<&str> = Vec::new();
    for node in nodes {
        if !kinds.contains(&node.kind.as_str()) {
            kinds.push(&node.kind);
        }
    }
    let of_kind = |kind: &str| -> Vec<NodeRecord> {
        nodes
            .iter()
            .filter(|node| node.kind == kind)
            .cloned()
            .collect()
    };
    kinds
        .into_iter()
        .map(|kind| total(kind, &of_kind(kind)))
        .collect()
}

pub(super) fn total(kind: &str, nodes: &[NodeRecord]) -> KindTotal {
    let mut total = KindTotal {
        kind: kind.to_owned(),
        ..KindTotal::default()
    };
    for node in nodes {
        total.nodes += 1;
        total.rows = total.rows.saturating_add(node.rows);
        total.bytes = total.bytes.saturating_add(node.bytes);
        total.wall_seconds += node.wall_seconds;
        total.devices.insert(node.device.clone());
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_add_up_by_kind_in_their_order() {
        let node = |kind: &str, wall_seconds, device: &str| NodeRecord {
            kind: kind.to_owned(),
            wall_seconds,
            device: device.to_owned(),
            rows: 2,
            ..NodeRecord::default()
        };
        let totals = totals(&[
            node("features", 1.5, "cpu"),
            node("head", 0.5, "cpu"),
            node("features", 2.0, "cuda:0"),
        ]);
        assert_eq!(
            (
                totals[0].kind.as_str(),
                totals[0].nodes,
                totals[0].rows,
                totals[0].devices.len()
            ),
            ("features", 2, 4, 2)
        );
        assert!((totals[0].wall_seconds - 3.5).abs() < 1e-12);
        assert_eq!(totals[1].kind, "head");
    }
}
