//! From input to files: tables, figures, the drawing of the graph, and the template around them.

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

/// Makes the report. Equal input gives equal bytes.
///
/// # Errors
/// A template that cannot be read or filled in, and tables and figures that the results do not fit into.
pub fn render(input: &ReportInput, config: &ReportConfig) -> Result<Rendered, ReportError> {
    // The template is looked at first: a slip in it is found before the figures are drawn.
    let template = Template::open(config.template.as_deref())?;
    let tables: Vec<RenderedTable> = config
        .tables
        .iter()
        .map(|spec| spec.table.render(input))
        .collect::<Result<_, _>>()?;
    let figures: Vec<RenderedFigure> = config
        .figures
        .iter()
        .map(|spec| spec.figure.render(input))
        .collect::<Result<_, _>>()?;
    let results = config.results_file();
    let results = results.rsplit('/').next().unwrap_or(&results);
    let context = context::context(input, &tables, &figures, results)?;
    let markdown = template.fill(context)?;
    let files = figures
        .into_iter()
        .filter_map(|figure| Some((figure.file, figure.svg?.into_bytes())))
        .collect();
    Ok(Rendered { markdown, files })
}
