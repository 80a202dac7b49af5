//! Figures: one file a kind.
//!
//! A kind parses one `[[report.figure]]` into a [`Figure`], which turns the report's input into an SVG file. Adding a kind is one new file and
//! two lines below: `mod name;` and `&name::KIND,`. What figures share: [`theme`] holds the colours for light and dark pages, [`canvas`] the
//! paper, [`lettering`] the widths of texts, [`marker`] the shapes, and [`scale`] the axes.

pub mod canvas;
mod heatmap;
pub mod lettering;
mod lines;
pub mod marker;
pub mod scale;
pub mod theme;

use std::fmt::Debug;
use std::sync::Arc;

use super::error::ReportError;
use super::input::ReportInput;
use super::selection::Question;
use crate::spec::fields::Located;
use crate::spec::{Fields, KindDoc};

/// Every kind of figure.
pub const ALL: &[&dyn FigureKind] = &[&lines::KIND, &heatmap::KIND];

/// A kind of figure.
pub trait FigureKind: Sync {
    /// What it says of itself.
    fn doc(&self) -> &'static KindDoc;

    /// Reads one `[[report.figure]]`; mistakes are recorded in the reader.
    fn parse(&self, fields: &Fields<'_>) -> Option<Arc<dyn Figure>>;
}

/// A figure as it was asked for.
pub trait Figure: Send + Sync + Debug {
    /// The file to write, from the folder of the Markdown file.
    fn file(&self) -> &Located<String>;

    /// What it asks of the results.
    fn question(&self) -> &Question;

    /// Draws the figure.
    ///
    /// # Errors
    /// Results that are not there, or that do not fit into the figure.
    fn render(&self, input: &ReportInput) -> Result<RenderedFigure, ReportError>;
}

/// A drawn figure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedFigure {
    /// The title, as it was typed.
    pub title: String,
    /// The file, from the folder of the Markdown file.
    pub file: String,
    /// What the figure shows, for readers who do not see it; one line of plain text.
    pub alternative: String,
    /// One sentence or more on what the numbers are, in Markdown.
    pub caption: String,
    /// What a reader must know besides, one paragraph each, in Markdown.
    pub notes: Vec<String>,
    /// What all results of the figure have in common, in words.
    pub fixed: Vec<String>,
    /// The query that gives the rows behind the figure.
    pub sql: String,
    /// The drawing.
    pub svg: String,
}
