//! Metrics of the graph: what each reads, by what its kind declares.

use std::collections::BTreeSet;

use super::super::resolve::Names;
use super::super::{Experiment, MetricInputs, MetricNode};
use super::Builder;
use crate::metrics::{ALL, CHOOSE, EXTRACTIONS, HEADS, LEFT, RIGHT, Reads, SPLIT};
use crate::spec::sections::Sections;
use crate::spec::{Fields, Key, List, Text};

impl Builder<'_> {
    pub(super) fn metrics(
        &self,
        sections: &Sections,
        experiment: &mut Experiment,
        heads: &Names,
        extractions: &Names,
    ) {
        for node in &sections.metrics {
            let Some(kind) = self.kind("metric", node, ALL) else {
                continue;
            };
            let keys = kind.doc.all_keys();
            for table in self.expand(node, "metric", &kind.doc) {
                let fields = self.node_fields(&table, "metric", node);
                let Some(metric) = kind.read(&fields) else {
                    continue;
                };
                let choose = fields.get(&CHOOSE).unwrap_or_default();
                let inputs = match metric.reads() {
                    reads @ (Reads::Predictions | Reads::Logits | Reads::HeldOutLogits) => {
                        of_heads(&fields, experiment, heads, choose, reads)
                    }
                    Reads::Features => of_features(&fields, extractions),
                    Reads::FeaturePairs => of_pairs(&fields, experiment, extractions),
                };
                if let Some(inputs) = inputs {
                    Self::check_splits(experiment, &inputs, &fields);
                    experiment.metrics.push(MetricNode {
                        name: node.name.clone(),
                        metric,
                        choose,
                        inputs,
                        swept: self.sweeps.said("metric", &table, &keys),
                    });
                }
            }
        }
    }
}

impl Builder<'_> {
    /// The split that features are read of, of each dataset once.
    fn check_splits(experiment: &Experiment, inputs: &MetricInputs, fields: &Fields<'_>) {
        let split = match inputs {
            MetricInputs::Heads(_) => return,
            MetricInputs::Features { split, .. } | MetricInputs::Pairs { split, .. } => split,
        };
        let sets = inputs.features().into_iter();
        let datasets: BTreeSet<usize> = sets
            .map(|index| experiment.extractions[index].dataset)
            .collect();
        for dataset in datasets {
            Self::check_split(experiment, dataset, (SPLIT.name, split), fields);
        }
    }
}

/// The nodes that a key names; reports a key that names nothing.
fn named(
    fields: &Fields<'_>,
    key: &Key<List<Text>>,
    names: &Names,
    what: &str,
) -> Option<Vec<usize>> {
    let listed = fields.items(key)?;
    if listed.is_empty() {
        let message = format!("`{}` of {} names no {what}", key.name, fields.context());
        let hint = Some(format!("name at least one {what}"));
        fields.invalid(key.name, "sweep::empty", message, hint);
    }
    let found = listed
        .iter()
        .flat_map(|name| names.find(fields, key.name, name));
    Some(found.collect())
}

fn of_heads(
    fields: &Fields<'_>,
    experiment: &Experiment,
    heads: &Names,
    choose: bool,
    reads: Reads,
) -> Option<MetricInputs> {
    let heads = named(fields, &HEADS, heads, "head")?;
    let unjudged = |&&index: &&usize| experiment.heads[index].training.holdout == 0.0;
    if choose && let Some(&head) = heads.iter().find(unjudged) {
        let name = &experiment.heads[head].name;
        let message = format!("`choose` needs a validation split, but head `{name}` has none");
        let hint = "hold samples out of its training, such as `holdout = 0.1`".to_owned();
        fields.invalid(CHOOSE.name, "graph::no-holdout", message, Some(hint));
    }
    let unkept = |&&index: &&usize| !experiment.heads[index].training.logits;
    if reads != Reads::Predictions
        && let Some(&head) = heads.iter().find(unkept)
    {
        let message = format!(
            "{} reads logits, and head `{}` does not keep them",
            fields.context(),
            experiment.heads[head].name
        );
        let hint = Some("write `logits = true` in the head's table".to_owned());
        fields.invalid(HEADS.name, "graph::no-logits", message, hint);
    }
    if reads == Reads::HeldOutLogits
        && let Some(&head) = heads.iter().find(unjudged)
    {
        let message = format!(
            "{} fits a temperature to held-out samples, and head `{}` has none",
            fields.context(),
            experiment.heads[head].name
        );
        let hint = "hold samples out of its training, such as `holdout = 0.1`".to_owned();
        fields.invalid(HEADS.name, "graph::no-holdout", message, Some(hint));
    }
    Some(MetricInputs::Heads(heads))
}

fn of_features(fields: &Fields<'_>, extractions: &Names) -> Option<MetricInputs> {
    Some(MetricInputs::Features {
        sets: named(fields, &EXTRACTIONS, extractions, "extraction")?,
        split: fields.get(&SPLIT)?,
    })
}

fn of_pairs(
    fields: &Fields<'_>,
    experiment: &Experiment,
    extractions: &Names,
) -> Option<MetricInputs> {
    let left = named(fields, &LEFT, extractions, "extraction")?;
    let right = if fields.has(RIGHT.name) {
        named(fields, &RIGHT, extractions, "extraction")?
    } else {
        left.clone()
    };
    let dataset = |index: usize| experiment.extractions[index].dataset;
    let mut pairs = Vec::new();
    for &left in &left {
        let alike = right
            .iter()
            .filter(|&&right| dataset(left) == dataset(right));
        pairs.extend(alike.map(|&right| (left, right)));
    }
    if pairs.is_empty() && !left.is_empty() && !right.is_empty() {
        let message = format!("{} has no pair to compare", fields.context());
        let hint = "two sets of features can be compared where both are of the same dataset";
        fields.invalid(LEFT.name, "graph::no-pairs", message, Some(hint.to_owned()));
    }
    Some(MetricInputs::Pairs {
        pairs,
        split: fields.get(&SPLIT)?,
    })
}
