//! From input to files: tables, figures, the drawing of the graph, and the template around them.

use std::path::Path;
use std::sync::Arc;

use minijinja::context as with;
use minijinja::value::Value;

use super::comparison::{Comparison, Outcomes};
use super::config::ReportConfig;
use super::context;
use super::error::ReportError;
use super::figures::RenderedFigure;
use super::imported;
use super::input::ReportInput;
use super::provenance::Provenance;
use super::queries::{Ask, Queries};
use super::tables::RenderedTable;
use super::template::Template;

/// A finished report; nothing of it is written yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The Markdown file's text.
    pub markdown: String,
    /// The figures that were drawn: their paths from the folder of the Markdown file, and their bytes.
    pub files: Vec<(String, Vec<u8>)>,
    /// Where the numbers come from, for the file beside it.
    pub provenance: Provenance,
    /// What figures draw, as CSV, where that is numbers: paths from the folder of the Markdown file, and the texts.
    pub data: Vec<(String, String)>,
}

/// Looks whether the template of a report can be read and parses, as is known before there is anything to report.
///
/// # Errors
/// A template that cannot be read, or does not parse.
pub fn look_at_template(config: &ReportConfig, base: &Path) -> Result<(), ReportError> {
    Template::open(config.template.as_deref(), base).map(|_| ())
}

/// Makes the report. Equal input and equal answers give equal bytes. `base` is the folder that the template's path starts from; `ask`
/// answers the queries of the template, `None` where there is no cache to ask.
///
/// # Errors
/// A template that cannot be read or filled in, a query of it that is refused, and tables and figures that the results do not fit into.
pub fn render(
    input: &ReportInput,
    config: &ReportConfig,
    base: &Path,
    ask: Option<Ask<'_>>,
) -> Result<Rendered, ReportError> {
    // The template is looked at first: a slip in it is found before the figures are drawn.
    let template = Template::open(config.template.as_deref(), base)?;
    let tables = tables(input, config)?;
    let figures: Vec<RenderedFigure> = config
        .figures
        .iter()
        .map(|spec| {
            let mut figure = spec.figure.render(input)?;
            let rows = figure.rows.iter();
            let rows = rows.filter_map(|&row| input.results.get(row));
            figure.notes.extend(imported::notes(rows));
            Ok::<_, ReportError>(figure)
        })
        .collect::<Result<_, _>>()?;
    let context = context::context(input, config, &tables, &figures)?;
    let provenance = Provenance::of(input, config, &tables, &figures)?;
    let (markdown, queries) = fill(&template, &context, ask)?;
    let provenance = provenance.with_queries(&queries);
    let data = figures
        .iter()
        .filter_map(|figure| Some((data_file(&figure.file), figure.data.clone()?)));
    let data = data.collect();
    let files = figures
        .into_iter()
        .filter_map(|figure| Some((figure.file, figure.svg?.into_bytes())))
        .collect();
    Ok(Rendered {
        markdown,
        files,
        provenance,
        data,
    })
}

/// Fills a template in, until every query that it asks is answered; gives the text, and the queries with how many rows each has.
fn fill(
    template: &Template,
    context: &Value,
    ask: Option<Ask<'_>>,
) -> Result<(String, Vec<(String, usize)>), ReportError> {
    let queries = Arc::new(Queries::default());
    loop {
        let cells = Value::from_dyn_object(Arc::clone(&queries));
        let filled = template.fill(with! { query => cells, ..context.clone() });
        // An error may come from a table that is not there yet.
        if !queries.answer(ask) {
            return Ok((filled?, queries.answered()));
        }
    }
}

/// The file that holds what a figure draws, beside the figure's own.
pub fn data_file(figure: &str) -> String {
    let stem = figure.strip_suffix(".svg").unwrap_or(figure);
    format!("{stem}.data.csv")
}

/// The tables of a report, in their order.
///
/// # Errors
/// Tables that the results do not fit into.
pub fn tables(
    input: &ReportInput,
    config: &ReportConfig,
) -> Result<Vec<RenderedTable>, ReportError> {
    let tables = config.tables.iter().enumerate();
    tables
        .map(|(index, spec)| {
            let place = place_of_table(index);
            let mut table = spec.table.render(input, input.compared(&place))?;
            let shown = spec.table.question().put(&place, input)?;
            table.notes.extend(imported::notes(shown.rows));
            Ok(table)
        })
        .collect()
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
