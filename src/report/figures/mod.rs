//! Figures: one file a kind.
//!
//! A kind parses one `[[report.figure]]` into a [`Figure`], which turns the report's input into an SVG file. Adding a kind is one new file and
//! two lines below: `mod name;` and `&name::KIND,`. What figures share: [`theme`] holds the colors for light and dark pages, [`canvas`] the
//! paper, [`lettering`] the widths of texts, [`marker`] the shapes, [`scale`] the axes, and [`mosaic`] images side by side.

pub mod canvas;
mod data;
mod heatmap;
pub mod lettering;
mod lines;
mod loss;
pub mod marker;
pub mod mosaic;
mod noise_strip;
mod pending;
mod plot;
pub mod scale;
mod scatter;
mod sheet;
pub mod theme;

use std::fmt::Debug;
use std::sync::Arc;

use super::axes::KnownAxes;
use super::comparison::{Comparison, Outcomes};
use super::error::ReportError;
use super::input::ReportInput;
use super::selection::Question;
use crate::spec::fields::Spanned;
use crate::spec::{Kind, ParseWith};
use crate::store::names::artifact_path;

/// Every kind of figure.
pub const ALL: &[&FigureKind] = &[
    &lines::KIND,
    &heatmap::KIND,
    &loss::KIND,
    &sheet::KIND,
    &noise_strip::KIND,
    &scatter::KIND,
];

/// A kind of figure; its tables are read by the axes that results have.
pub type FigureKind = Kind<ParseWith<Arc<dyn Figure>, KnownAxes>>;

/// A figure as it was asked for.
pub trait Figure: Send + Sync + Debug {
    /// The file to write, from the folder of the Markdown file.
    fn file(&self) -> &Spanned<String>;

    /// What it asks of the results; `None` where it shows none of them.
    fn question(&self) -> Option<&Question> {
        None
    }

    /// The metrics that it shows besides that of its question.
    fn other_metrics(&self) -> Vec<&Spanned<String>> {
        Vec::new()
    }

    /// The nodes of the experiment that it names, besides the metric of its question.
    fn references(&self) -> Vec<Reference> {
        Vec::new()
    }

    /// What it shows besides results; `None` where that is nothing.
    fn wanted(&self) -> Option<Wanted> {
        None
    }

    /// What it says of how sure its results are, by the scores of single samples; see [`Table::compare`](super::tables::Table::compare).
    ///
    /// # Errors
    /// Results that do not fit into the figure, and scores that cannot be read.
    fn compare(
        &self,
        _input: &ReportInput,
        _outcomes: &dyn Outcomes,
    ) -> Result<Vec<Comparison>, ReportError> {
        Ok(Vec::new())
    }

    /// Draws the figure.
    ///
    /// # Errors
    /// Results that are not there, or that do not fit into the figure.
    fn render(&self, input: &ReportInput) -> Result<RenderedFigure, ReportError>;
}

/// A node that a figure names.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// The node's section: `pretrain`, `samples`, `dataset` or `model`.
    pub section: &'static str,
    /// The figure's key that names the node, such as `of`.
    pub key: &'static str,
    /// The node's name.
    pub name: Spanned<String>,
}

/// What a figure shows besides results. Whoever gathers the report's input sees to it that it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The [`TrainingCurve`](super::input::TrainingCurve) with this name.
    Curve {
        /// The name of the `[pretrain.NAME]`.
        of: String,
    },
    /// An [`ImageSheet`](super::input::ImageSheet) with the figure's file as its name: images sampled from a network.
    Sheet {
        /// The name of the `[samples.NAME]`.
        of: String,
        /// The most images; at least one.
        count: u32,
    },
    /// An [`ImageSheet`](super::input::ImageSheet) with the figure's file as its name: images with noise added.
    NoiseStrip(NoiseStrip),
}

/// Images of a dataset, each row of the sheet one image, each column a timestep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoiseStrip {
    /// The dataset's name.
    pub dataset: String,
    /// The name of the model whose schedule, size and channels count.
    pub model: String,
    /// The timesteps, in the order of the columns; at least one.
    pub timesteps: Vec<u32>,
    /// How many images; at least one.
    pub count: u32,
    /// The split that they are taken from.
    pub split: String,
    /// Seed of the noise that is added to the images.
    pub noise_seed: u64,
}

/// The artifact that a figure shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownArtifact {
    /// Its fingerprint: 64 hexadecimal digits.
    pub fingerprint: String,
    /// The file or folder that holds what is shown, from the folder of the cache.
    pub file: String,
}

impl ShownArtifact {
    /// A file of an artifact of some kind; the folder itself where `file` is empty.
    pub fn of(kind: &str, fingerprint: &str, file: &str) -> Self {
        let folder = artifact_path(kind, fingerprint);
        Self {
            fingerprint: fingerprint.to_owned(),
            file: format!("{folder}/{file}"),
        }
    }
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
    /// The query that gives the rows behind the figure; `None` where it shows no results.
    pub sql: Option<String>,
    /// The positions of these rows in [`ReportInput::results`].
    pub rows: Vec<usize>,
    /// What is drawn, as the text of a CSV file; `None` where that is images, or nothing yet.
    pub data: Option<String>,
    /// The artifact that it shows; `None` where it shows results, or what is in no artifact.
    pub artifact: Option<ShownArtifact>,
    /// The drawing; `None` where the file that is there stays as it is.
    pub svg: Option<String>,
}

#[cfg(test)]
impl RenderedFigure {
    /// The drawing, which has to be there.
    fn drawing(&self) -> &str {
        self.svg.as_deref().unwrap()
    }
}
