//! Metrics of the graph: what each reads, by what its kind declares.

mod absent;
mod distributions;

use std::collections::BTreeSet;

use self::distributions::{of_distributions, of_distributions_or_moments};
use super::super::announced::{self, AbsentNode};
use super::super::axes::Axes;
use super::super::resolve::Names;
use super::super::{Experiment, HeadNode, MetricInputs, MetricNode};
use super::Builder;
use crate::axes::OF_CHOICES;
use crate::limits::MOST_NODES;
use crate::metrics::{
    ALL, CHOOSE, COUNTED_CLASSES, COUNTED_HEADS, EXTRACTIONS, HEADS, LEFT, MODELS, REFERENCE,
    REFERENCE_SPLIT, RIGHT, Reads, SPLIT,
};
use crate::report::axes::KnownAxes;
use crate::report::selection::axes_at;
use crate::spec::sections::Sections;
use crate::spec::{Fields, Key, List, Text};
use crate::text::count;

/// The names that a metric may refer to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) models: &'a Names,
    pub(super) heads: &'a Names,
    pub(super) extractions: &'a Names,
}

impl Builder<'_> {
    pub(super) fn metrics(
        &self,
        sections: &Sections,
        experiment: &mut Experiment,
        known: &Known<'_>,
    ) {
        let Known {
            heads, extractions, ..
        } = *known;
        for node in &sections.metrics {
            if let Some(needs) = announced::named("metric", &node.table) {
                experiment.absent.put(AbsentNode {
                    section: "metric",
                    name: node.name.clone(),
                    needs,
                    reads: absent::read_by(&node.table, sections),
                    axes: Axes::new(),
                });
                let outputs: Vec<_> = needs.promised().collect();
                let anywhere = [(needs, Axes::new())];
                experiment
                    .absent
                    .put_results(&node.name, &outputs, &anywhere);
                continue;
            }
            let Some(kind) = self.kind("metric", node, ALL) else {
                continue;
            };
            let keys = kind.doc.all_keys();
            for table in self.expand(experiment, node, "metric", &kind.doc) {
                let fields = self.node_fields(&table, "metric", node);
                let Some(metric) = kind.read(&fields) else {
                    continue;
                };
                let choose = self.chosen(&fields);
                let inputs = match metric.reads() {
                    reads @ (Reads::Predictions | Reads::Logits | Reads::HeldOutLogits) => {
                        of_heads(&fields, experiment, heads, &choose, reads)
                    }
                    Reads::Features => of_features(&fields, extractions),
                    Reads::FeaturePairs => of_pairs(&fields, experiment, extractions),
                    Reads::Networks => of_networks(&fields, experiment, known),
                    Reads::Distributions => {
                        of_distributions(&fields, &REFERENCE, experiment, extractions)
                    }
                    Reads::DistributionsOrMoments => {
                        of_distributions_or_moments(&fields, experiment, extractions)
                    }
                };
                if let Some(inputs) = inputs {
                    Self::check_splits(experiment, &inputs, &fields);
                    let swept = self.sweeps.said("metric", &table, &keys);
                    let places = absent::places(&fields, experiment, known, &*metric, &choose);
                    let reads = absent::read_by(&node.table, sections);
                    let of = (&*metric, &inputs);
                    if absent::put(experiment, node, reads, of, (places, &swept)) {
                        continue;
                    }
                    experiment.metrics.push(MetricNode {
                        name: node.name.clone(),
                        place: node.span,
                        metric,
                        choose,
                        inputs,
                        swept,
                    });
                }
            }
        }
    }
}

impl Builder<'_> {
    /// The axes that `choose` names; reports those that cannot be chosen.
    fn chosen(&self, fields: &Fields<'_>) -> Vec<String> {
        let known = KnownAxes::with(self.sweeps.names());
        let chosen = axes_at(fields, &CHOOSE, &known).unwrap_or_default();
        for name in &chosen {
            let is_of_data = ["dataset", "split"].contains(&name.as_str())
                || OF_CHOICES.contains(&name.as_str())
                || name.starts_with("dataset_");
            let (why, hint) = if name == "seed" {
                let why = "the best of several seeds is the luckiest";
                (why, "heads are compared by their means over seeds")
            } else if is_of_data {
                let why = "heads compete on the same samples";
                let hint = "choose what is done with them, such as `[\"timestep\", \"block\"]`";
                (why, hint)
            } else {
                continue;
            };
            let message = format!(
                "`choose` of {} cannot choose `{name}`: {why}",
                fields.context()
            );
            let hint = Some(hint.to_owned());
            fields.invalid(CHOOSE.name, "graph::cannot-choose", message, hint);
        }
        chosen
    }

    /// The split that features are read of, of each dataset once.
    fn check_splits(experiment: &Experiment, inputs: &MetricInputs, fields: &Fields<'_>) {
        let check = |sets: Vec<usize>, key: &Key<Text>, split: &str| {
            let datasets = sets
                .into_iter()
                .map(|set| experiment.extractions[set].dataset);
            for dataset in datasets.collect::<BTreeSet<usize>>() {
                Self::check_split(experiment, dataset, (key.name, split), fields);
            }
        };
        match inputs {
            MetricInputs::Heads(_) | MetricInputs::Networks { .. } => {}
            MetricInputs::Features { split, .. }
            | MetricInputs::Pairs { split, .. }
            | MetricInputs::AgainstFile { split, .. } => {
                check(inputs.features(), &SPLIT, split);
            }
            MetricInputs::Distributions {
                pairs,
                split,
                reference_split,
            } => {
                let (generated, reference) = pairs.iter().copied().unzip();
                check(generated, &SPLIT, split);
                check(reference, &REFERENCE_SPLIT, reference_split);
            }
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

/// What to do where nothing is held out.
const HOLD_OUT: &str = "hold samples out of its training, such as `holdout = 0.1`";

fn of_heads(
    fields: &Fields<'_>,
    experiment: &Experiment,
    heads: &Names,
    choose: &[String],
    reads: Reads,
) -> Option<MetricInputs> {
    let heads = named(fields, &HEADS, heads, "head")?;
    let found = |is_misfit: fn(&HeadNode) -> bool| {
        let mut nodes = heads.iter().map(|&index| &experiment.heads[index]);
        nodes.find(|head| is_misfit(head)).map(|head| &head.name)
    };
    let report = |key: &str, code: &'static str, message: String, hint: &str| {
        fields.invalid(key, code, message, Some(hint.to_owned()));
    };
    let context = fields.context();
    if !choose.is_empty() {
        if let Some(head) = found(|head| head.training.holdout == 0.0 && !head.head.judges_itself())
        {
            let message = format!("`choose` needs a validation split, but head `{head}` has none");
            report(CHOOSE.name, "graph::no-holdout", message, HOLD_OUT);
        }
        if let Some(head) = found(|head| head.training.patience.is_some()) {
            let message = format!(
                "`choose` trains the best head again on all samples, where the `patience` of head `{head}` has nothing to judge by"
            );
            let hint = "leave `patience` out, sweep over `epochs`, and choose `\"epochs\"` as well";
            report(CHOOSE.name, "graph::cannot-choose", message, hint);
        }
        if reads == Reads::HeldOutLogits {
            let message = format!(
                "{context} fits a temperature to the validation split, and `choose` trains the best head again on all of them"
            );
            let hint = "leave `choose` out, and name the values that another metric chose";
            report(CHOOSE.name, "graph::cannot-choose", message, hint);
        }
    }
    if reads != Reads::Predictions
        && let Some(head) = found(|head| !head.training.logits)
    {
        let message = format!("{context} reads logits, and head `{head}` does not keep them");
        let hint = "write `logits = true` in the head's table";
        report(HEADS.name, "graph::no-logits", message, hint);
    }
    if reads == Reads::HeldOutLogits
        && let Some(head) = found(|head| head.training.holdout == 0.0)
    {
        let message = format!(
            "{context} fits a temperature to a validation split, and head `{head}` has none"
        );
        report(HEADS.name, "graph::no-holdout", message, HOLD_OUT);
    }
    Some(MetricInputs::Heads(heads))
}

fn of_features(fields: &Fields<'_>, extractions: &Names) -> Option<MetricInputs> {
    Some(MetricInputs::Features {
        sets: named(fields, &EXTRACTIONS, extractions, "extraction")?,
        split: fields.get(&SPLIT)?,
    })
}

fn of_networks(
    fields: &Fields<'_>,
    experiment: &Experiment,
    known: &Known<'_>,
) -> Option<MetricInputs> {
    let listed = |key: &Key<List<Text>>, names: &Names, what: &str| {
        if fields.has(key.name) {
            named(fields, key, names, what)
        } else {
            Some(Vec::new())
        }
    };
    let models = listed(&MODELS, known.models, "model");
    let heads = listed(&COUNTED_HEADS, known.heads, "head");
    let (models, heads) = (models?, heads?);
    let context = fields.context();
    if !fields.has(MODELS.name) && !fields.has(COUNTED_HEADS.name) {
        let message = format!("{context} names neither a model nor a head");
        let hint = "name models in `of`, heads in `heads`, or both".to_owned();
        fields.invalid(MODELS.name, "graph::metric-misfit", message, Some(hint));
        return None;
    }
    let mut uncounted = models.iter().map(|&index| &experiment.models[index]);
    if let Some(model) = uncounted.find(|node| !node.model.counts_parameters()) {
        let message = format!(
            "{context} counts the parameters of model `{}`, which does not say how many it has",
            model.name
        );
        let hint = format!("a model of kind `{}` cannot be counted", model.model.kind());
        fields.invalid(MODELS.name, "graph::metric-misfit", message, Some(hint));
    }
    if heads.is_empty() && fields.has(COUNTED_CLASSES.name) && !fields.has(COUNTED_HEADS.name) {
        let message = format!("{context} has `classes`, but counts no head");
        let hint = "take `classes` out, or name heads in `heads`".to_owned();
        fields.invalid(
            COUNTED_CLASSES.name,
            "graph::metric-misfit",
            message,
            Some(hint),
        );
    }
    Some(MetricInputs::Networks {
        models,
        heads,
        classes: fields.given(&COUNTED_CLASSES),
    })
}

/// The key that names the right sets of pairs: those of `left` where `right` is absent.
fn right_key(fields: &Fields<'_>) -> &'static Key<List<Text>> {
    if fields.has(RIGHT.name) {
        &RIGHT
    } else {
        &LEFT
    }
}

/// How many sets of features a key names, with those that are absent.
fn sets(fields: &Fields<'_>, key: &Key<List<Text>>, extractions: &Names) -> usize {
    let listed = fields.items(key).unwrap_or_default();
    let counts = listed.iter().map(|name| extractions.count(&name.value));
    counts.fold(0, usize::saturating_add)
}

fn of_pairs(
    fields: &Fields<'_>,
    experiment: &Experiment,
    extractions: &Names,
) -> Option<MetricInputs> {
    let left = named(fields, &LEFT, extractions, "extraction")?;
    let right = named(fields, right_key(fields), extractions, "extraction")?;
    let possible = sets(fields, &LEFT, extractions).saturating_mul(sets(
        fields,
        right_key(fields),
        extractions,
    ));
    if possible > MOST_NODES {
        let message = format!(
            "{} compares {} × {} sets of features",
            fields.context(),
            count(sets(fields, &LEFT, extractions)),
            count(sets(fields, right_key(fields), extractions))
        );
        let hint = format!("at most {} pairs are compared", count(MOST_NODES));
        fields.invalid(LEFT.name, "sweep::too-large", message, Some(hint));
        return None;
    }
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
