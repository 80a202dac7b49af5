//! Heads of the graph: one for each combination of features, swept keys and seed.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::resolve::Names;
use super::super::{Experiment, ExtractionNode, HeadNode};
use super::Builder;
use crate::heads::{ALL, Head, HeadKind};
use crate::spec::sections::Sections;
use crate::spec::{Fields, Key};
use crate::trainer::{Training, Views};

impl Builder<'_> {
    pub(super) fn heads(
        &self,
        sections: &Sections,
        experiment: &mut Experiment,
        extractions: &Names,
    ) -> Names {
        let mut names = Names::new("head");
        for node in &sections.heads {
            names.declare(&node.name);
            let Some(kind) = self.kind("head", node, ALL, HeadKind::doc) else {
                continue;
            };
            let keys: Vec<Key> = kind
                .doc()
                .keys
                .iter()
                .chain(kind.keys_of_training())
                .copied()
                .collect();
            for table in self.expand(node, "head", &keys) {
                let fields = self.node_fields(&table, "head", node);
                fields.check_keys(&keys, &["kind"]);
                let training = Training::parse(&fields);
                let seeds = match fields.seed("seed") {
                    Some(seed) => vec![seed],
                    None => experiment.seeds.clone(),
                };
                let (Some(head), Some(features)) = (kind.parse(&fields), fields.text("features"))
                else {
                    continue;
                };
                let found = extractions.find(&fields, "features", &features);
                Self::check_shapes(&*head, experiment, &found, &fields);
                for (features, more_views) in
                    by_views(&experiment.extractions, &found, training.views)
                {
                    for &seed in &seeds {
                        names.add(&node.name, experiment.heads.len());
                        experiment.heads.push(HeadNode {
                            name: node.name.clone(),
                            head: Arc::clone(&head),
                            training: training.clone(),
                            features,
                            more_views: more_views.clone(),
                            seed,
                        });
                    }
                }
            }
        }
        names
    }

    /// A head must be able to read every shape of features that it is given; each kind of misfit is reported once.
    fn check_shapes(
        head: &dyn Head,
        experiment: &Experiment,
        features: &[usize],
        fields: &Fields<'_>,
    ) {
        let shapes: BTreeSet<_> = features
            .iter()
            .map(|&index| experiment.feature_shape(&experiment.extractions[index]))
            .collect();
        let misfits = shapes
            .into_iter()
            .filter_map(|shape| head.check(shape).err());
        for misfit in misfits {
            let (why, remedy) = misfit.split_once("; ").unwrap_or((&misfit, ""));
            let message = format!("{} cannot read its features: {why}", fields.context());
            let hint = (!remedy.is_empty()).then(|| remedy.to_owned());
            fields.misfit("features", "graph::head-misfit", message, hint);
        }
    }
}

/// What heads read: each extraction by itself, or the first of those that differ only in view and draw, and the others.
fn by_views(
    extractions: &[ExtractionNode],
    found: &[usize],
    views: Views,
) -> Vec<(usize, Vec<usize>)> {
    let mut heads: Vec<(usize, Vec<usize>)> = Vec::new();
    for &index in found {
        let known = heads.iter_mut().find(|(first, _)| {
            views != Views::Apart && extractions[*first].differs_in_view_alone(&extractions[index])
        });
        match known {
            Some((_, others)) => others.push(index),
            None => heads.push((index, Vec::new())),
        }
    }
    heads
}
