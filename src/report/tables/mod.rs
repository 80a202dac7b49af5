//! Tables: one file a kind.
//!
//! A kind parses one `[[report.table]]` into a [`Table`], which turns the report's input into Markdown. Adding a kind is one new file and
//! two lines below: `mod name;` and `&name::KIND,`.

mod body;
mod claims;
mod comparison;
mod components;
mod confusion;
mod footnotes;
mod grid;
mod paper;
mod per_class;

use std::fmt::Debug;
use std::sync::Arc;

use super::axes::KnownAxes;
use super::comparison::{Compared, Comparison, Outcomes};
use super::error::ReportError;
use super::input::ReportInput;
use super::selection::Question;
use crate::spec::{Kind, ParseWith};

pub use body::{Block, Body, TableCell};

/// Every kind of table.
pub const ALL: &[&TableKind] = &[
    &grid::KIND,
    &comparison::KIND,
    &paper::KIND,
    &claims::KIND,
    &components::KIND,
    &per_class::KIND,
    &confusion::KIND,
];

/// A kind of table; its tables are read by the axes that results have.
pub type TableKind = Kind<ParseWith<Arc<dyn Table>, KnownAxes>>;

/// A table as it was asked for.
pub trait Table: Send + Sync + Debug {
    /// What it asks of the results.
    fn question(&self) -> &Question;

    /// Whether it says which results are better; then it needs a metric of which that can be said.
    fn ranks(&self) -> bool {
        true
    }

    /// The axes that its rows and columns are, where the kind says so: only a metric whose values these tell apart can be shown.
    fn axes(&self) -> &'static [&'static str] {
        &[]
    }

    /// What it says of how far results are apart, by the scores of single samples. Asked while a report is gathered; the place is filled
    /// in by whoever asks.
    ///
    /// # Errors
    /// Results that do not fit into the table, and scores that cannot be read.
    fn compare(
        &self,
        _input: &ReportInput,
        _outcomes: &dyn Outcomes,
    ) -> Result<Vec<Comparison>, ReportError> {
        Ok(Vec::new())
    }

    /// Makes the table; `compared` is what [`Self::compare`] said.
    ///
    /// # Errors
    /// Results that are not there, or that do not fit into the table's cells.
    fn render(
        &self,
        input: &ReportInput,
        compared: Compared<'_>,
    ) -> Result<RenderedTable, ReportError>;
}

/// A table that is ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedTable {
    /// The title, as it was typed.
    pub title: String,
    /// One sentence on what the numbers are, in Markdown: metric, unit, averaging, number of images. What is true of every table of the kind
    /// stands in `docs/concepts/statistics.md`, under the heading of the kind.
    pub caption: String,
    /// The table itself.
    pub body: Body,
    /// What a reader must know of this table besides, one paragraph each, in Markdown.
    pub notes: Vec<String>,
    /// What all results of the table have in common, in words.
    pub fixed: Vec<String>,
    /// The query that gives the rows behind the table.
    pub sql: String,
}
