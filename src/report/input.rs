//! What a report is made from: plain data, gathered by whoever asks for a report.
//!
//! Templates see exactly these fields under these names, so a rename here changes `docs/reference/report-templates.md` too.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::comparison::{Compared, Comparison};
use crate::store::ResultRow;

/// Everything that one report may show.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ReportInput {
    /// The experiment's name.
    pub name: String,
    /// The report's title.
    pub title: String,
    /// Every result of the experiment, one row a value.
    ///
    /// Templates see the columns of the store, which is why rows are handed over by hand.
    #[serde(skip)]
    pub results: Vec<ResultRow>,
    /// What tables and figures say of how far results are apart; `None` where a file of results has no file of comparisons beside it.
    #[serde(skip)]
    pub comparisons: Option<Vec<Comparison>>,
    /// The logarithm of the ratio of signal to noise, `ln(ᾱ_t / (1 − ᾱ_t))`, by model and timestep, for the timesteps that results are of.
    #[serde(skip)]
    pub log_snr: BTreeMap<String, BTreeMap<u32, f64>>,
    /// Names of the extractions whose features are of random resized crops.
    #[serde(skip)]
    pub cropped: BTreeSet<String>,
    /// Results that were asked for and are not there.
    pub missing: Vec<MissingResult>,
    /// What looks like a slip in the experiment or in its inputs.
    pub warnings: Vec<ReportWarning>,
    /// The experiment's graph, one drawn node per node of the file.
    pub graph: Graph,
    /// One for each dataset of the experiment.
    pub datasets: Vec<DatasetSummary>,
    /// One for each model of the experiment.
    pub models: Vec<ModelSummary>,
    /// Every artifact that the report rests on.
    pub nodes: Vec<NodeRecord>,
    /// Versions by component, such as `repro` and `libtorch`.
    pub versions: BTreeMap<String, String>,
    /// The seeds of the experiment.
    pub seeds: Vec<u64>,
    /// Where the experiment departs from the paper.
    pub deviations: Vec<Deviation>,
    /// The command that makes this report again.
    pub command: String,
    /// How the losses of networks went while they were trained; one that is not trained yet is left out.
    pub trainings: Vec<TrainingCurve>,
    /// Sheets of images; one that is not there yet is left out.
    pub sheets: Vec<ImageSheet>,
    /// The file that the results were read from; `None` where they are from the cache.
    pub results_file: Option<ResultsFile>,
    /// Names of datasets that are not on disk.
    pub absent_datasets: BTreeSet<String>,
    /// The address of `docs/concepts/statistics.md` from the folder of the Markdown file, where it is at hand.
    #[serde(skip)]
    pub manual: Option<String>,
    /// The files of figures that show what is neither in a file of results nor in the cache, and that an earlier run drew; from the
    /// folder of the Markdown file.
    pub drawn: BTreeSet<String>,
}

impl ReportInput {
    /// Where some of the results stand in [`Self::results`], in the order given. Rows that are not borrowed from there are left out.
    pub fn positions(&self, rows: &[&ResultRow]) -> Vec<usize> {
        // Cells hold references into the results, so that the address says which one it is; rows that agree in everything are two rows.
        let size = size_of::<ResultRow>();
        let start = self.results.as_ptr().addr();
        let position = |row: &&ResultRow| {
            let offset = std::ptr::from_ref(*row).addr().checked_sub(start)?;
            let position = offset / size;
            (offset % size == 0 && position < self.results.len()).then_some(position)
        };
        rows.iter().filter_map(position).collect()
    }

    /// What is known of a table ("table 1") or figure (its file).
    pub fn compared<'a>(&'a self, place: &'a str) -> Compared<'a> {
        Compared::at(self.comparisons.as_deref(), place)
    }
}

/// What looks like a slip.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ReportWarning {
    /// Stable code, such as `graph::unused`.
    pub code: String,
    /// The experiment file, line and column, each from 1; `None` for what is not in the file.
    pub place: Option<String>,
    /// What looks wrong, as a lower-case fragment.
    pub message: String,
    /// What to do about it, as a lower-case fragment.
    pub hint: Option<String>,
}

/// A file of results, which holds neither curves nor images.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ResultsFile {
    /// Its path, as it was typed.
    pub path: String,
}

/// How a network's loss went while it was trained.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TrainingCurve {
    /// The name of the `[pretrain.NAME]`.
    pub name: String,
    /// The training's fingerprint: 64 hexadecimal digits.
    pub fingerprint: String,
    /// The steps that were taken.
    pub steps: u64,
    /// The images that were seen, each as often as it was seen.
    pub images: u64,
    /// What was recorded, in the order of the steps.
    pub points: Vec<TrainingPoint>,
}

/// What was recorded of one step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct TrainingPoint {
    /// How many steps of the optimizer were made.
    pub step: u64,
    /// The loss; it need not be a finite number.
    pub loss: f64,
    /// The learning rate of the step.
    pub learning_rate: f64,
    /// The norm of the gradient over all parameters.
    pub gradient_norm: f64,
}

/// Images of one size that are shown together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ImageSheet {
    /// The `file` of the figure that asks for these images.
    pub name: String,
    /// The fingerprint of the artifact that holds the images: 64 hexadecimal digits; empty where no artifact does.
    pub fingerprint: String,
    /// What the images are, in plain words, with names in backticks.
    pub caption: String,
    /// 1 for gray images, 3 for red, green and blue.
    pub channels: u32,
    /// Height and width of each image, in pixels.
    pub side: u32,
    /// The images, row after row of the sheet: each `[side, side, channels]`, a byte a value.
    #[serde(skip)]
    pub pixels: Vec<Vec<u8>>,
    /// Images in one row of the sheet.
    pub columns: u32,
    /// What stands above the columns; empty for nothing.
    pub column_labels: Vec<String>,
    /// What stands beside the rows; empty for nothing.
    pub row_labels: Vec<String>,
}

/// A result that was asked for and is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct MissingResult {
    /// The metric's name.
    pub metric: String,
    /// What is known of its axes: axis name to value, as [`AxisValue`](crate::store::AxisValue) displays it.
    pub axes: BTreeMap<String, String>,
    /// Why it is not there, as a fragment such as "training failed: loss is not finite".
    pub why: String,
}

/// The experiment's graph: its nodes and what is made from what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Graph {
    /// One for each node of the file; sweeps are not expanded.
    pub nodes: Vec<GraphNode>,
    /// The edges, from what is made first to what is made from it.
    pub edges: Vec<GraphEdge>,
}

/// One drawn node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GraphNode {
    /// A unique name, such as `extraction.gd`. It is not shown.
    pub id: String,
    /// What it is, which decides its shape.
    pub role: GraphRole,
    /// What is shown, such as "gd: 78 features".
    pub label: String,
}

/// What a drawn node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GraphRole {
    /// `[dataset.*]`.
    Dataset,
    /// `[model.*]`.
    Model,
    /// `[extraction.*]`.
    Extraction,
    /// `[head.*]`.
    Head,
    /// `[metric.*]`.
    Metric,
    /// `[pretrain.*]`.
    Pretraining,
    /// `[samples.*]`.
    Samples,
    /// The report.
    Report,
}

/// One drawn edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GraphEdge {
    /// [`GraphNode::id`] of the start.
    pub from: String,
    /// [`GraphNode::id`] of the end.
    pub to: String,
}

/// A dataset as the report shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DatasetSummary {
    /// The node's name.
    pub name: String,
    /// The kind's name, such as `image-folder`.
    pub kind: String,
    /// The kinds of the datasets that it is a part of, the nearest first; empty for one that is not a part.
    pub part_of: Vec<String>,
    /// The manifest's digest, in hexadecimal.
    pub digest: String,
    /// Images per split.
    pub rows: BTreeMap<String, u64>,
    /// How many classes it has; 0 for images that a run makes.
    pub classes: u32,
    /// Images that are in the folder and do not count in the report.
    pub skipped: Vec<SkippedImage>,
}

/// An image that was left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SkippedImage {
    /// The image's id in its dataset.
    pub id: String,
    /// Why it was left out, as a sentence about the image.
    pub reason: String,
}

/// A model as the report shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ModelSummary {
    /// The node's name.
    pub name: String,
    /// The kind's name, such as `resnet`.
    pub kind: String,
    /// The preset or the configuration, in words.
    pub configuration: String,
    /// How many numbers its parameters have, over all tensors.
    pub parameters: u64,
    /// Where the weights come from, and their digest.
    pub weights: String,
    /// The number of blocks that can be tapped.
    pub blocks: u32,
}

/// An artifact as it was made.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct NodeRecord {
    /// What the run calls it.
    pub label: String,
    /// The kind of node, such as `features` or `head`.
    pub kind: String,
    /// Its fingerprint: 64 hexadecimal digits.
    pub fingerprint: String,
    /// Rows that it holds.
    pub rows: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Seconds that its making took, at the time when it was made.
    pub wall_seconds: f64,
    /// The device that made it, as the manifest has it.
    pub device: String,
}

/// One difference from the paper.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Deviation {
    /// What differs.
    pub topic: String,
    /// What the paper does.
    pub paper: String,
    /// What the experiment does, as a fragment.
    pub here: String,
    /// The reason, as a fragment; where none is known, that it is declared in the experiment.
    pub reason: String,
}
