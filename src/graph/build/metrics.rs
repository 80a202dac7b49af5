//! Metrics of the graph: what each reads, by what its kind declares.

use super::super::kinds::keys_of;
use super::super::resolve::Names;
use super::super::{Experiment, MetricInputs, MetricNode};
use super::Builder;
use crate::metrics::{ALL, MetricKind, Reads};
use crate::spec::sections::Sections;
use crate::spec::{Fields, Key};

/// What is scored: heads for a metric that reads predictions, extractions for one that reads features.
const OF: Key = Key::optional(
    "of",
    "the name of a head or an extraction, or a list of them",
    "none, for a metric of pairs",
    "What is scored: the heads of a metric that reads predictions, the extractions of one that reads features.",
)
.list();

/// The left sets of a metric of pairs.
const LEFT: Key = Key::optional(
    "left",
    "the name of an extraction, or a list of them",
    "none, for other metrics",
    "The first sets of features of a metric that compares two.",
)
.list();

/// The right sets of a metric of pairs.
const RIGHT: Key = Key::optional(
    "right",
    "the name of an extraction, or a list of them",
    "as `left`",
    "The second sets of features; every one is compared with every one of `left` that has the same images.",
)
.list();

/// The split whose features are read.
const SPLIT: Key = Key::optional(
    "split",
    "a split",
    "\"test\"",
    "The split whose features are read by a metric that reads features.",
);

/// Choosing among heads.
const CHOOSE: Key = Key::optional(
    "choose",
    "a boolean",
    "false",
    "Score only the best of heads that differ in learning rate and weight decay alone, their own and their network's: the one that is right most often on the samples that `holdout` keeps out of training, as a mean over seeds.",
);

/// The keys that metrics take besides their own; which of them a kind takes depends on what it reads.
pub const METRIC_KEYS: &[Key] = &[OF, CHOOSE, LEFT, RIGHT, SPLIT];

/// Those that a metric takes by what it reads.
fn keys(reads: Reads) -> &'static [Key] {
    match reads {
        Reads::Predictions => &[OF, CHOOSE],
        Reads::Features => &[OF, SPLIT],
        Reads::FeaturePairs => &[LEFT, RIGHT, SPLIT],
    }
}

impl Builder<'_> {
    pub(super) fn metrics(
        &self,
        sections: &Sections,
        experiment: &mut Experiment,
        heads: &Names,
        extractions: &Names,
    ) {
        for node in &sections.metrics {
            let Some(kind) = self.kind("metric", node, ALL, MetricKind::doc) else {
                continue;
            };
            let own = kind.doc().keys.iter();
            let all = keys_of("metric", node);
            for table in self.expand(node, "metric", &all) {
                let fields = self.node_fields(&table, "metric", node);
                let Some(metric) = kind.parse(&fields) else {
                    fields.check_keys(&all, &["kind"]);
                    continue;
                };
                let reads = metric.reads();
                let taken: Vec<Key> = own.clone().chain(keys(reads)).copied().collect();
                fields.check_keys(&taken, &["kind"]);
                let choose = fields.boolean("choose").unwrap_or(false);
                let inputs = match reads {
                    Reads::Predictions => of_heads(&fields, experiment, heads, choose),
                    Reads::Features => of_features(&fields, extractions),
                    Reads::FeaturePairs => of_pairs(&fields, experiment, extractions),
                };
                if let Some(inputs) = inputs {
                    experiment.metrics.push(MetricNode {
                        name: node.name.clone(),
                        metric,
                        choose,
                        inputs,
                        swept: self.sweeps.said("metric", &table, &all),
                    });
                }
            }
        }
    }
}

/// The nodes that a key names; reports a key that is missing or names nothing.
fn named(fields: &Fields<'_>, key: Key, names: &Names, what: &str) -> Option<Vec<usize>> {
    if !fields.has(key.name) {
        fields.misfit(
            key.name,
            "spec::missing-key",
            format!("{} needs the key `{}`", fields.context(), key.name),
            Some(format!("`{}` = {}: {}", key.name, key.value, key.doc)),
        );
        return None;
    }
    let listed = fields.texts(key.name)?;
    if listed.is_empty() {
        let message = format!("`{}` of {} names no {what}", key.name, fields.context());
        let hint = Some(format!("name at least one {what}"));
        fields.misfit(key.name, "sweep::empty", message, hint);
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
) -> Option<MetricInputs> {
    let heads = named(fields, OF, heads, "head")?;
    let unjudged = |&&index: &&usize| experiment.heads[index].training.holdout == 0.0;
    if choose && let Some(&head) = heads.iter().find(unjudged) {
        let name = &experiment.heads[head].name;
        let message = format!("`choose` needs a validation split, but head `{name}` has none");
        let hint = "hold samples out of its training, such as `holdout = 0.1`".to_owned();
        fields.misfit("choose", "graph::no-holdout", message, Some(hint));
    }
    Some(MetricInputs::Heads(heads))
}

fn split(fields: &Fields<'_>) -> String {
    let split = fields.text(SPLIT.name);
    split.map_or_else(|| "test".to_owned(), |split| split.value)
}

fn of_features(fields: &Fields<'_>, extractions: &Names) -> Option<MetricInputs> {
    Some(MetricInputs::Features {
        sets: named(fields, OF, extractions, "extraction")?,
        split: split(fields),
    })
}

fn of_pairs(
    fields: &Fields<'_>,
    experiment: &Experiment,
    extractions: &Names,
) -> Option<MetricInputs> {
    let left = named(fields, LEFT, extractions, "extraction")?;
    let right = if fields.has(RIGHT.name) {
        named(fields, RIGHT, extractions, "extraction")?
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
        fields.misfit("left", "graph::no-pairs", message, Some(hint.to_owned()));
    }
    Some(MetricInputs::Pairs {
        pairs,
        split: split(fields),
    })
}
