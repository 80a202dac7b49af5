//! What can keep a report from being made.

use std::io;

use crate::message::Hint;

/// A reason why a report cannot be made; each names the place and the remedy.
///
/// `place` is the table or figure as the experiment file knows it, such as "figure `figures/blocks.svg`".
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The user's template cannot be read.
    #[error("cannot read the template `{file}`: {source}")]
    TemplateUnreadable {
        /// The template as it was named.
        file: String,
        /// What the operating system reported.
        source: io::Error,
    },
    /// A template that does not parse, or fails while it is filled in.
    #[error("{file}:{line}: {problem}")]
    Template {
        /// The template as it was named.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What the template engine reported.
        problem: String,
        /// The remedy, as a fragment that a hint begins with.
        hint: String,
    },
    /// The input cannot be handed to a template.
    #[error("the report's input cannot be handed to its template (a bug in repro): {0}")]
    Context(#[from] serde_json::Error),
    /// No result is of this metric.
    #[error("{place}: no result is of the metric `{metric}`")]
    UnknownMetric {
        /// The table or figure, as messages name it.
        place: String,
        /// The metric as it was typed.
        metric: String,
        /// The nearest metric, or all of them.
        hint: String,
    },
    /// The filters leave nothing.
    #[error("{place}: no result of `{metric}` is left after `where` ({filters})")]
    NoRows {
        /// The table or figure, as messages name it.
        place: String,
        /// The metric's name.
        metric: String,
        /// The filters as text, such as `split = train or test`.
        filters: String,
        /// What the results hold on these axes.
        hint: String,
    },
    /// A filter names a value that no result has.
    #[error("{place}: no result of `{metric}` has {axis} = {value}, which `where` asks for")]
    NoValue {
        /// The table or figure, as messages name it.
        place: String,
        /// The metric's name.
        metric: String,
        /// The axis's name.
        axis: String,
        /// The value, as it would be typed.
        value: String,
        /// What the results hold on this axis.
        hint: String,
    },
    /// Results that differ in more than the seed fall into one cell.
    #[error("{place}: results that differ in {varying} would be averaged in one cell ({cell})")]
    Averaging {
        /// The table or figure, as messages name it.
        place: String,
        /// The cell by its axes and values, as text.
        cell: String,
        /// The axes that vary within it.
        varying: String,
        /// The keys that would settle it.
        remedies: String,
    },
    /// Two results that no axis tells apart.
    #[error("{place}: two results in one cell ({cell}) agree on every axis")]
    Ambiguous {
        /// The table or figure, as messages name it.
        place: String,
        /// The cell by its axes and values, as text.
        cell: String,
        /// What the first was computed from.
        first: String,
        /// What the second was computed from.
        second: String,
    },
    /// Results that do not fit a table.
    #[error("{place}: {problem}")]
    Unfit {
        /// The table, as messages name it.
        place: String,
        /// The misfit, as a fragment that does not name the table.
        problem: String,
        /// The remedy, as a fragment that a hint begins with.
        hint: String,
    },
    /// An id that leads to nothing, or a file that cannot be followed.
    #[error("{problem}")]
    Trace {
        /// What it leads to nothing for, as a fragment.
        problem: String,
        /// The remedy, as a fragment that a hint begins with.
        hint: String,
    },
    /// The scores of single samples cannot be read.
    #[error("{0}")]
    Outcomes(String),
    /// A file of results that cannot be read.
    #[error("{place}:{line}: {problem}")]
    ResultsFile {
        /// The file, as messages name it.
        place: String,
        /// The line, from 1.
        line: usize,
        /// The fault in that line, as a fragment.
        problem: String,
    },
    /// A result that is not a finite number.
    #[error("{place}: the result of {origin} is {value}, which is not a finite number")]
    NotFinite {
        /// The table or figure, as messages name it.
        place: String,
        /// What the result was computed from.
        origin: String,
        /// NaN or an infinity.
        value: f64,
    },
    /// A numeric scale over an axis of words, or a logarithmic one over values that are not positive.
    #[error("{place}: `{value}` on the axis `{axis}` has no place on a {scale} scale")]
    Scale {
        /// The figure, as messages name it.
        place: String,
        /// The axis's name.
        axis: String,
        /// The value as text.
        value: String,
        /// The scale's name.
        scale: &'static str,
        /// The remedy, as a fragment that a hint begins with.
        hint: &'static str,
    },
    /// More than a reader can tell apart.
    #[error("{place}: {count} {what} are more than the {limit} that can be told apart")]
    TooMany {
        /// The figure, as messages name it.
        place: String,
        /// Lines, cells or images that the figure would have; above `limit`.
        count: usize,
        /// Of what.
        what: &'static str,
        /// The most that can be told apart.
        limit: usize,
    },
    /// The drawing library gave up.
    #[error("{place}: the drawing failed (a bug in repro): {problem}")]
    Drawing {
        /// The figure, as messages name it.
        place: String,
        /// What the library reported.
        problem: String,
    },
    /// An edge of the graph ends nowhere.
    #[error(
        "the drawing of the graph has an edge to `{0}`, which is none of its nodes (a bug in repro)"
    )]
    DanglingEdge(String),
}

impl Hint for ReportError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::TemplateUnreadable { .. } => {
                "`template` under `[report]` is a path from the folder that `repro` runs in, to a file of at most 1 MiB that lies in it".to_owned()
            }
            Self::Template { hint, .. }
            | Self::UnknownMetric { hint, .. }
            | Self::NoRows { hint, .. }
            | Self::NoValue { hint, .. }
            | Self::Trace { hint, .. }
            | Self::Unfit { hint, .. } => hint.clone(),
            Self::Scale { hint, .. } => (*hint).to_owned(),
            Self::Averaging {
                varying, remedies, ..
            } => format!("name {varying} in {remedies}"),
            Self::Ambiguous { first, second, .. } => format!(
                "they come from {first} and from {second}; keep one of them, or give their nodes different names"
            ),
            Self::ResultsFile { .. } => {
                "name a file that `repro run` wrote beside a report, such as `reports/NAME.results.csv`"
                    .to_owned()
            }
            Self::NotFinite { .. } => {
                "the training diverged; lower its learning rate, or leave it out by `where`".to_owned()
            }
            Self::TooMany { .. } => {
                "choose some by `where`, or spread them over several figures".to_owned()
            }
            Self::Outcomes(_) => "`repro cache verify` looks for damage".to_owned(),
            Self::Context(_) | Self::Drawing { .. } | Self::DanglingEdge(_) => return None,
        })
    }
}
