//! From input to files: tables, figures, the drawing of the graph, and the template around them.

use std::path::Path;

use super::comparison::{Comparison, Outcomes};
use super::config::ReportConfig;
use super::context;
use super::error::ReportError;
use super::figures::RenderedFigure;
use super::input::ReportInput;
use super::tables::RenderedTable;
use super::template::Template;

/// A finished report; nothing of it is written yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The Markdown file's text.
    pub markdown: String,
    /// The figures that were drawn: their paths from the folder of the Markdown file, and their bytes.
    pub files: Vec<(String, Vec<u8>)>,
}

/// Looks whether the template of a report can be read and parses, as is known before there is anything to report.
///
/// # Errors
/// A template that cannot be read, or does not parse.
pub fn look_at_template(config: &ReportConfig, base: &Path) -> Result<(), ReportError> {
    Template::open(config.template.as_deref(), base).map(|_| ())
}

/// Makes the report. Equal input gives equal bytes. `base` is the folder that the template's path starts from.
///
/// # Errors
/// A template that cannot be read or filled in, and tables and figures that the results do not fit into.
pub fn render(
    input: &ReportInput,
    config: &ReportConfig,
    base: &Path,
) -> Result<Rendered, ReportError> {
    // The template is looked at first: a slip in it is found before the figures are drawn.
    let template = Template::open(config.template.as_deref(), base)?;
    let tables: Vec<RenderedTable> = config
        .tables
        .iter()
        .enumerate()
        .map(|(index, spec)| {
            let place = place_of_table(index);
            spec.table.render(input, input.compared(&place))
        })
        .collect::<Result<_, _>>()?;
    let figures: Vec<RenderedFigure> = config
        .figures
        .iter()
        .map(|spec| spec.figure.render(input))
        .collect::<Result<_, _>>()?;
    let beside = |file: String| file.rsplit('/').next().unwrap_or(&file).to_owned();
    let has_comparisons = input
        .comparisons
        .as_ref()
        .is_some_and(|comparisons| !comparisons.is_empty());
    let files = context::Files {
        results: beside(config.results_file()),
        comparisons: has_comparisons.then(|| beside(config.comparisons_file())),
    };
    let context = context::context(input, &tables, &figures, &files)?;
    let markdown = template.fill(context)?;
    let files = figures
        .into_iter()
        .filter_map(|figure| Some((figure.file, figure.svg?.into_bytes())))
        .collect();
    Ok(Rendered { markdown, files })
}

/// What all tables and figures say of how far results are apart, in their order.
///
/// # Errors
/// Results that do not fit into a table or figure, and scores of samples that cannot be read.
pub fn compare(
    input: &ReportInput,
    config: &ReportConfig,
    outcomes: &dyn Outcomes,
) -> Result<Vec<Comparison>, ReportError> {
    let mut all = Vec::new();
    let mut add = |place: &str, comparisons: Vec<Comparison>| {
        all.extend(comparisons.into_iter().map(|comparison| Comparison {
            place: place.to_owned(),
            ..comparison
        }));
    };
    for (index, spec) in config.tables.iter().enumerate() {
        add(&place_of_table(index), spec.table.compare(input, outcomes)?);
    }
    for spec in &config.figures {
        let figure = &spec.figure;
        add(&figure.file().value, figure.compare(input, outcomes)?);
    }
    Ok(all)
}

/// What comparisons call a table.
fn place_of_table(index: usize) -> String {
    format!("table {}", index + 1)
}
