//! What looks like a slip in a file that has no errors: what is computed and in no result, and keys that hardly mean what they say.

use std::collections::BTreeSet;

use super::announced::{self as kinds, Announced};
use super::{Experiment, MetricInputs};
use crate::models::ClassCondition;
use crate::models::class_condition::CLASS;
use crate::report::ReportConfig;
use crate::spec::sections::{RawNode, SEEDS, Sections};
use crate::spec::{Diagnostic, Span, Value};
use crate::trainer::config;

/// `seeds = 3` is taken for three seeds up to this number; `seeds = 42` is a seed that people like.
const MOST_SEEDS_MEANT: i64 = 10;

/// Looks for warnings in an experiment without errors, and keeps them in it.
pub(super) fn find(sections: &Sections, experiment: &mut Experiment) {
    let mut found = Vec::new();
    found.extend(one_seed(sections));
    found.extend(announced(sections));
    found.extend(unused_heads(sections, experiment));
    found.extend(unused_extractions(sections, experiment));
    found.extend(unused_sources(sections, experiment));
    found.extend(tested_on_training(sections, experiment));
    found.extend(label_leaks(sections, experiment));
    for warning in found {
        experiment.warnings.push(warning);
    }
}

/// A number where a list of seeds may be meant.
fn one_seed(sections: &Sections) -> Option<Diagnostic> {
    let entry = sections.experiment.as_ref()?.table.get(SEEDS.name)?;
    let Value::Integer(number @ 2..=MOST_SEEDS_MEANT) = entry.node.value else {
        return None;
    };
    let seeds: Vec<String> = (0..number).map(|seed| seed.to_string()).collect();
    let message = format!("`seeds = {number}` is one seed, {number}, and not {number} seeds");
    Some(
        Diagnostic::warning("graph::one-seed", entry.node.span, message, "one seed").hint(format!(
            "for {number} seeds write `seeds = [{}]`; for the one seed `seeds = [{number}]`",
            seeds.join(", ")
        )),
    )
}

/// Kinds that are not there yet, each once, at the first node that is of it.
fn announced(sections: &Sections) -> Vec<Diagnostic> {
    let tables = [("model", &sections.models), ("metric", &sections.metrics)];
    let of_kind = |kind: &Announced| {
        let nodes = tables
            .iter()
            .filter(|(section, _)| *section == kind.section);
        let nodes = nodes.flat_map(|(_, nodes)| nodes.iter());
        let nodes: Vec<&RawNode> = nodes
            .filter(|node| kinds::named(kind.section, &node.table) == Some(kind))
            .collect();
        let first = nodes.first()?;
        let kind_at = first.table.get("kind").map(|entry| entry.node.span);
        let names: Vec<String> = nodes
            .iter()
            .map(|node| format!("`{}`", node.name))
            .collect();
        let message = format!(
            "the {} kind `{}` is announced and not there yet: what needs {} is not run",
            kind.section,
            kind.name,
            names.join(", ")
        );
        let span = kind_at.unwrap_or(first.span);
        let warning = Diagnostic::warning("graph::announced", span, message, "not there yet");
        let listed = "`repro list kinds` shows which kinds are there, and which are announced";
        Some(warning.hint(kind.instead.unwrap_or(listed)))
    };
    kinds::ALL.iter().filter_map(of_kind).collect()
}

/// What absent nodes read, and themselves: nobody can say that these are not used.
fn of_absent(experiment: &Experiment, section: &str) -> BTreeSet<String> {
    let nodes = experiment.absent.nodes.iter();
    let names = nodes.flat_map(|node| {
        let read = node.reads.iter();
        let read = read.map(|(section, name)| (*section, name.as_str()));
        read.chain([(node.section, node.name.as_str())])
    });
    names
        .filter(|(of, _)| *of == section)
        .map(|(_, name)| name.to_owned())
        .collect()
}

/// The nodes of a section of which none has an index among those that are used.
fn unused<'s>(
    nodes: &'s [RawNode],
    names: impl Iterator<Item = String>,
    used: &BTreeSet<usize>,
    of_absent: BTreeSet<String>,
) -> Vec<&'s RawNode> {
    let used = names
        .enumerate()
        .filter(|(index, _)| used.contains(index))
        .map(|(_, name)| name);
    let used: BTreeSet<String> = used.chain(of_absent).collect();
    nodes
        .iter()
        .filter(|node| !used.contains(&node.name))
        .collect()
}

fn unused_warning(node: &RawNode, message: String, hint: &str) -> Diagnostic {
    Diagnostic::warning("graph::unused", node.span, message, "not used").hint(hint)
}

/// Heads that no metric scores, in a file that has metrics or a report.
fn unused_heads(sections: &Sections, experiment: &Experiment) -> Vec<Diagnostic> {
    if experiment.metrics.is_empty() && experiment.report.is_none() {
        return Vec::new();
    }
    let used = experiment
        .metrics
        .iter()
        .flat_map(|metric| metric.inputs.heads());
    let used: BTreeSet<usize> = used.copied().collect();
    let names = experiment.heads.iter().map(|head| head.name.clone());
    let nodes = unused(&sections.heads, names, &used, of_absent(experiment, "head")).into_iter();
    nodes
        .map(|node| {
            let message = format!(
                "no metric scores head `{}`, so no result shows it",
                node.name
            );
            unused_warning(node, message, "add it to `of` of a metric, or take it out")
        })
        .collect()
}

/// Extractions that neither a head nor a metric reads, in a file that has some.
fn unused_extractions(sections: &Sections, experiment: &Experiment) -> Vec<Diagnostic> {
    if experiment.heads.is_empty() && experiment.metrics.is_empty() {
        return Vec::new();
    }
    let of_heads = experiment.heads.iter().flat_map(|head| {
        let others = head.more_views.iter().chain(&head.joined);
        std::iter::once(head.features).chain(others.copied())
    });
    let of_metrics = experiment
        .metrics
        .iter()
        .flat_map(|metric| metric.inputs.features());
    let used: BTreeSet<usize> = of_heads.chain(of_metrics).collect();
    let names = experiment.extractions.iter().map(|one| one.name.clone());
    let nodes = unused(
        &sections.extractions,
        names,
        &used,
        of_absent(experiment, "extraction"),
    )
    .into_iter();
    nodes
        .map(|node| {
            let message = format!("no head and no metric reads extraction `{}`", node.name);
            unused_warning(
                node,
                message,
                "name it in `features` of a head, or take it out",
            )
        })
        .collect()
}

/// Datasets and models that nothing reads: their files are opened all the same.
fn unused_sources(sections: &Sections, experiment: &Experiment) -> Vec<Diagnostic> {
    if experiment.extractions.is_empty() {
        // Such a file describes its parts for other commands.
        return Vec::new();
    }
    let references = experiment.report.iter().flat_map(ReportConfig::references);
    let named: BTreeSet<(&str, String)> = references
        .map(|reference| (reference.section, reference.name.value))
        .collect();
    let datasets = experiment.extractions.iter().map(|one| one.dataset);
    let datasets = datasets.chain(experiment.pretrains.iter().map(|one| one.dataset));
    let upstream = experiment.datasets.iter().filter_map(|one| one.upstream);
    let datasets: BTreeSet<usize> = datasets.chain(upstream).collect();
    let metrics = experiment.metrics.iter();
    let counted = metrics.flat_map(|metric| metric.inputs.models());
    let models = experiment.extractions.iter().map(|one| one.model);
    let models: BTreeSet<usize> = models
        .chain(experiment.samples.iter().map(|one| one.model))
        .chain(
            experiment
                .samples
                .iter()
                .filter_map(|one| Some(one.classifier?.model)),
        )
        .chain(experiment.pretrains.iter().map(|one| one.model))
        .chain(counted.copied())
        .collect();
    let read = models
        .iter()
        .filter_map(|&index| experiment.models.get(index)?.autoencoder);
    let models: BTreeSet<usize> = models.iter().copied().chain(read).collect();
    let of_datasets = unused(
        &sections.datasets,
        experiment.datasets.iter().map(|one| one.name.clone()),
        &datasets,
        of_absent(experiment, "dataset"),
    );
    let of_models = unused(
        &sections.models,
        experiment.models.iter().map(|one| one.name.clone()),
        &models,
        of_absent(experiment, "model"),
    );
    let of_datasets = of_datasets.into_iter().map(|node| ("dataset", node));
    let all = of_datasets.chain(of_models.into_iter().map(|node| ("model", node)));
    all.filter(|(section, node)| !named.contains(&(*section, node.name.clone())))
        .map(|(section, node)| {
            let message = format!("nothing reads {section} `{}`", node.name);
            unused_warning(node, message, "name it in an extraction, or take it out")
        })
        .collect()
}

/// Heads that are scored on what they were trained on, each node once.
fn tested_on_training(sections: &Sections, experiment: &Experiment) -> Vec<Diagnostic> {
    let scored = experiment
        .metrics
        .iter()
        .filter_map(|metric| match &metric.inputs {
            MetricInputs::Heads(heads) => Some(heads),
            MetricInputs::Features { .. }
            | MetricInputs::Pairs { .. }
            | MetricInputs::Distributions { .. }
            | MetricInputs::AgainstFile { .. }
            | MetricInputs::Networks { .. } => None,
        });
    let scored: BTreeSet<usize> = scored.flatten().copied().collect();
    let heads = experiment.heads.iter().enumerate();
    let alike = heads.filter(|(index, head)| {
        scored.contains(index) && head.training.train_split == head.training.test_split
    });
    let names: BTreeSet<&str> = alike.map(|(_, head)| head.name.as_str()).collect();
    let nodes = sections
        .heads
        .iter()
        .filter(|node| names.contains(node.name.as_str()));
    nodes
        .map(|node| {
            let at = |key: &str| node.table.get(key).map(|entry| entry.node.span);
            let span: Span = at(config::TEST.name).or_else(|| at(config::TRAIN.name)).unwrap_or(node.span);
            Diagnostic::warning(
                "graph::test-is-train",
                span,
                format!(
                    "head `{}` is tested on the split that it is trained on: its scores are training scores",
                    node.name
                ),
                "the same split",
            )
            .hint("name another split in `test`; without the key it is `test`")
        })
        .collect()
}

/// Extractions whose network is given the label that a probe is to find out, each node once.
fn label_leaks(sections: &Sections, experiment: &Experiment) -> Vec<Diagnostic> {
    let leaking = experiment.extractions.iter();
    let leaking = leaking.filter(|one| one.class == Some(ClassCondition::Label));
    let names: BTreeSet<&str> = leaking.map(|one| one.name.as_str()).collect();
    let nodes = sections
        .extractions
        .iter()
        .filter(|node| names.contains(node.name.as_str()));
    nodes
        .map(|node| {
            let entry = node.table.get(CLASS.name);
            let span = entry.map_or(node.span, |entry| entry.node.span);
            Diagnostic::warning(
                "graph::label-leak",
                span,
                format!(
                    "extraction `{}` gives the network the label of each image: its features hold the answer, and what a probe scores on them says nothing about what the network sees",
                    node.name
                ),
                "the answer",
            )
            .hint("give all images the same class, such as `class = 0`, or take a network without classes")
        })
        .collect()
}
