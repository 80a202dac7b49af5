//! The report of the graph: what it shows has to be computed, and what it writes are different files.

use std::collections::BTreeMap;

use super::super::{Experiment, planned};
use crate::axes::{AT_BORDER, CHOSEN_FROM, without_prefix};
use crate::message::Hint;
use crate::metrics::{Better, Output};
use crate::report::config::KeySpans;
use crate::report::selection::Question;
use crate::report::{ReportConfig, ReportError, ReportInput};
use crate::spec::fields::Spanned;
use crate::spec::{Diagnostic, Fields, Span, suggest};

/// Reports what is wrong with a report, given the metrics of its experiment, those that are not run included.
pub(super) fn check(config: &ReportConfig, experiment: &Experiment, fields: &Fields<'_>) {
    check_outputs(config, fields);
    let outputs = experiment.metrics.iter();
    let outputs = outputs.flat_map(|node| node.metric.outputs());
    let absent = experiment.absent.results.iter();
    let outputs: Vec<Output> = outputs
        .chain(absent.map(|result| result.output.clone()))
        .collect();
    check_metrics(config, &outputs, fields);
    check_directions(config, &outputs, fields);
    check_axes(config, &outputs, fields);
}

/// Two outputs of one report must not be one file.
fn check_outputs(config: &ReportConfig, fields: &Fields<'_>) {
    let files = config.output_files();
    for (index, (file, span)) in files.iter().enumerate() {
        if let Some((_, earlier)) = files[..index].iter().find(|(earlier, _)| earlier == file) {
            fields.report(
                Diagnostic::new(
                    "graph::duplicate-output",
                    *span,
                    format!(
                        "two parts of the report write `{file}`, the first in {}",
                        fields.place_of(*earlier, *span)
                    ),
                    "written before",
                )
                .hint("give each figure a `file` of its own"),
            );
        }
    }
}

/// A table or figure can only show a metric that is computed.
fn check_metrics(config: &ReportConfig, outputs: &[Output], fields: &Fields<'_>) {
    for metric in config.metrics() {
        let is_known = outputs.iter().any(|output| output.name == metric.value);
        // A metric in a file that could not be included may compute it.
        if is_known || fields.may_hide("metric", &metric.value) {
            continue;
        }
        let names = outputs.iter().map(|output| output.name.as_str());
        let hint = top_of(&metric.value, outputs)
            .or_else(|| suggest::hint(&metric.value, names))
            .unwrap_or_else(|| "add a `[metric.NAME]`".to_owned());
        fields.report(
            Diagnostic::new(
                "graph::missing-node",
                metric.span,
                format!(
                    "the report shows `{}`, which no metric of this experiment computes",
                    metric.value
                ),
                "not computed",
            )
            .hint(hint),
        );
    }
}

/// How an accuracy gets the output `top1`, where it has others alone.
fn top_of(wanted: &str, outputs: &[Output]) -> Option<String> {
    let number = |name: &str| name.strip_prefix("top")?.parse::<u32>().ok();
    let wanted = number(wanted)?;
    let mut there: Vec<u32> = outputs
        .iter()
        .filter_map(|output| number(&output.name))
        .collect();
    let listed = |numbers: &[u32]| {
        let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
        format!("`top = [{}]`", numbers.join(", "))
    };
    let has = (!there.is_empty()).then(|| listed(&there))?;
    there.push(wanted);
    there.sort_unstable();
    there.dedup();
    Some(format!(
        "the accuracy of this experiment has {has}; write {}",
        listed(&there)
    ))
}

/// A table that says which results are better can only show a metric of which that can be said.
fn check_directions(config: &ReportConfig, outputs: &[Output], fields: &Fields<'_>) {
    let ranking = config.tables.iter().filter(|spec| spec.table.ranks());
    for metric in ranking.map(|spec| &spec.table.question().metric) {
        let output = outputs.iter().find(|output| output.name == metric.value);
        if output.is_some_and(|output| output.better == Better::Neither) {
            fields.report(
                Diagnostic::new(
                    "report::no-direction",
                    metric.span,
                    format!(
                        "neither higher nor lower values of `{}` are better",
                        metric.value
                    ),
                    "nothing can be the best",
                )
                .hint("a table of kind `grid` shows it without saying what is best"),
            );
        }
    }
}

/// A table whose rows are classes can only show a metric that has a value for each.
fn check_axes(config: &ReportConfig, outputs: &[Output], fields: &Fields<'_>) {
    for spec in &config.tables {
        let metric = &spec.table.question().metric;
        let Some(output) = outputs.iter().find(|output| output.name == metric.value) else {
            continue;
        };
        let mut lacking = spec.table.axes().iter();
        let Some(axis) = lacking.find(|axis| !output.axes.contains(axis)) else {
            continue;
        };
        let fitting = outputs.iter().find(|other| {
            let mut axes = spec.table.axes().iter();
            axes.all(|axis| other.axes.contains(axis))
        });
        let hint = fitting.map_or_else(
            || "`per-class` and `confusion` are kinds of metrics that have one".to_owned(),
            |fitting| format!("`{}` has them", fitting.name),
        );
        fields.report(
            Diagnostic::new(
                "report::no-classes",
                metric.span,
                format!("`{}` has no values by the axis `{axis}`", metric.value),
                "nothing to put into rows and columns",
            )
            .hint(hint),
        );
    }
}

/// Axes whose values are known only when all is computed: what identifies weights, classes, and what came of a choice.
const KNOWN_LATER: [&str; 5] = ["weights", "class", "predicted", CHOSEN_FROM, AT_BORDER];

/// Puts the results that the experiment will have through every table and figure: what they refuse is known before anything is
/// computed. The rule is that of the report itself, since it is the report that is made, of made-up values.
pub(super) fn check_results(config: &ReportConfig, experiment: &Experiment, fields: &Fields<'_>) {
    let mut inputs: BTreeMap<Vec<String>, ReportInput> = BTreeMap::new();
    let mut refused = |question: &Question,
                       others: Vec<&Spanned<String>>,
                       render: &dyn Fn(&ReportInput) -> Option<ReportError>| {
        let is_later = |axis: &str| KNOWN_LATER.contains(&without_prefix(axis));
        if question.filters.iter().any(|filter| is_later(&filter.axis)) {
            return None;
        }
        let metrics = std::iter::once(&question.metric).chain(others);
        let metrics: Vec<String> = metrics.map(|metric| metric.value.clone()).collect();
        let results = |metrics: &[String]| {
            let each = metrics.iter();
            each.flat_map(|metric| planned::results(experiment, metric))
                .collect()
        };
        let input = inputs
            .entry(metrics)
            .or_insert_with_key(|metrics| ReportInput {
                name: experiment.name.clone(),
                results: results(metrics),
                missing: experiment.absent.missing(),
                seeds: experiment.seeds.clone(),
                ..ReportInput::default()
            });
        render(input)
    };
    for spec in &config.tables {
        let render = |input: &ReportInput| spec.table.render(input, input.compared("")).err();
        let error = refused(spec.table.question(), Vec::new(), &render);
        report_refused(error.as_ref(), &spec.keys, spec.span, fields);
    }
    for spec in &config.figures {
        let render = |input: &ReportInput| spec.figure.render(input).err();
        if let Some(question) = spec.figure.question() {
            let error = refused(question, spec.figure.other_metrics(), &render);
            report_refused(error.as_ref(), &spec.keys, spec.span, fields);
        }
    }
}

/// Reports what a table or figure refuses, at the key that decides it. What depends on more than where results stand is left to the run.
fn report_refused(error: Option<&ReportError>, keys: &KeySpans, header: Span, fields: &Fields<'_>) {
    let Some(error) = error else {
        return;
    };
    let at = |names: &[&str]| {
        let found = names.iter().find_map(|name| keys.get(*name));
        found.copied().unwrap_or(header)
    };
    let (code, span, label) = match error {
        ReportError::NoRows { .. } => ("report::no-results", at(&["where"]), "nothing is left"),
        ReportError::NoValue { axis, .. } => (
            "report::no-results",
            at(&[format!("where.{axis}").as_str(), "where"]),
            "no result has this",
        ),
        ReportError::Averaging { .. } => {
            ("report::averaging", header, "differ in more than is shown")
        }
        ReportError::Scale { .. } => ("report::scale", at(&["x_scale", "x"]), "words have no size"),
        ReportError::TooMany { .. } => (
            "report::too-many",
            at(&["series"]),
            "too many to tell apart",
        ),
        ReportError::Unfit { .. } => ("report::unfit", header, "cannot be made of these results"),
        ReportError::TemplateUnreadable { .. }
        | ReportError::Template { .. }
        | ReportError::Context(_)
        | ReportError::UnknownMetric { .. }
        | ReportError::Ambiguous { .. }
        | ReportError::Trace { .. }
        | ReportError::Outcomes(_)
        | ReportError::ResultsFile { .. }
        | ReportError::NotFinite { .. }
        | ReportError::Drawing { .. }
        | ReportError::DanglingEdge(_) => return,
    };
    fields.report(Diagnostic::new(code, span, error.to_string(), label).maybe_hint(error.hint()));
}
