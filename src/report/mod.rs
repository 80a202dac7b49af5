//! The report: Markdown, tables, figures and a drawing of the graph, all made from result rows.
//!
//! Start with [`input`], what a report is made from, and [`config`], what `[report]` asks for. [`selection`] picks
//! rows and averages them over seeds, [`tables`] and [`figures`] show them (one file a kind), [`query`], [`provenance`] and [`trace`] lead
//! from a number back to its bytes, [`queries`] answers what a template asks, [`comparison`] has what is said of how far results are apart, [`mermaid`] draws the graph, and
//! [`template`] puts it all into Markdown. [`render`] runs through these in order. [`mod@comment`] makes
//! a comment on a pull request of the same.
//!
//! Three rules hold everywhere here:
//!
//! - fractions are turned into percent here and nowhere else ([`number`]);
//! - nothing is averaged by accident: whatever varies within one cell besides the axes named in `over` is an error;
//! - text from outside (names, paths, titles) is escaped on its way into Markdown, SVG, Mermaid and SQL.
//!
//! **Architecture invariant:** nothing here computes a tensor, reads a clock or writes a file. Equal input gives equal bytes.

pub mod axes;
mod cells;
pub mod choices;
pub mod comment;
pub mod comparison;
pub mod config;
pub mod context;
mod csv;
pub mod error;
pub mod figures;
pub mod files;
mod imported;
pub mod input;
pub mod latex;
pub mod markdown;
pub mod mermaid;
pub mod number;
pub mod provenance;
pub mod queries;
pub mod query;
pub mod rendering;
pub mod results_csv;
pub mod selection;
mod shown;
pub mod tables;
pub mod template;
mod totals;
pub mod trace;

#[cfg(test)]
mod snapshot;
#[cfg(test)]
mod testing;

pub use comparison::{Compared, Comparison, Outcome, Outcomes, SharedIds};
pub use config::ReportConfig;
pub use error::ReportError;
pub use input::{
    DatasetSummary, Deviation, Graph, GraphEdge, GraphNode, GraphRole, ImageSheet, MissingResult,
    ModelSummary, NodeRecord, ReportInput, ReportWarning, ResultsFile, SkippedImage, TrainingCurve,
    TrainingPoint,
};
pub use queries::{Ask, Found};
pub use rendering::{Rendered, compare, data_file, look_at_template, render};
