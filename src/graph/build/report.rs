//! The report of the graph: what it shows has to be computed, and what it writes are different files.

use super::super::MetricNode;
use crate::metrics::{Better, Output};
use crate::report::ReportConfig;
use crate::spec::{Diagnostic, Fields, suggest};

/// Reports what is wrong with a report, given the metrics of its experiment.
pub(super) fn check(config: &ReportConfig, metrics: &[MetricNode], fields: &Fields<'_>) {
    check_outputs(config, fields);
    let outputs = metrics.iter().flat_map(|node| node.metric.outputs());
    let outputs: Vec<Output> = outputs.collect();
    check_metrics(config, &outputs, fields);
    check_directions(config, &outputs, fields);
    check_axes(config, &outputs, fields);
}

/// Two outputs of one report must not be one file.
fn check_outputs(config: &ReportConfig, fields: &Fields<'_>) {
    let files = config.output_files();
    for (index, (file, span)) in files.iter().enumerate() {
        if files[..index].iter().any(|(earlier, _)| earlier == file) {
            fields.report(
                Diagnostic::new(
                    "graph::duplicate-output",
                    *span,
                    format!("two parts of the report write `{file}`"),
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
        if outputs.iter().any(|output| output.name == metric.value) {
            continue;
        }
        let names = outputs.iter().map(|output| output.name.as_str());
        let hint = suggest::hint(&metric.value, names)
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
