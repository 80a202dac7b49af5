//! What changed between two sets of results: cells, configuration, fingerprints, and why.
//!
//! Start with [`compare`], which matches the cells of two files of results and says in what they differ. [`test()`] adds the paired
//! significance of each change where the predictions of both are in a cache, [`explain`] which fields of the recipes differ.
//! [`markdown`] and [`record`] show a [`Difference`]; [`git`] reads files of revisions.
//!
//! Cells are matched by their metric and all their axes, never by fingerprints: those change with what is compared. What one set alone has
//! is looked for under other names by its fingerprints, which hold no names.

mod cells;
mod configuration;
pub mod git;
mod label;
pub mod markdown;
mod reasons;
pub mod record;
mod renamed;
mod scores;
pub mod shown;
mod significance;
pub mod summary;
#[cfg(test)]
mod tests;

pub use cells::compare;
pub use configuration::ConfigurationChange;
pub use reasons::{Reason, explain};
pub use renamed::Renamed;
pub use significance::{Test, Untested, test};
pub use summary::Summary;

use std::collections::{BTreeMap, BTreeSet};

use crate::store::{AxisValue, ResultRow};

/// The level at which a tested change counts as significant.
pub const LEVEL: f64 = 0.05;

/// Two sets of results, compared.
#[derive(Debug)]
pub struct Difference<'a> {
    /// What messages call it: the file of the results, such as `reports/quickstart.results.csv`.
    pub name: String,
    /// The metrics of either set.
    pub metrics: BTreeSet<String>,
    /// Axes with one value in each set, and not the same.
    pub configuration: Vec<ConfigurationChange>,
    /// Cells of both whose values differ in any digit, by metric, the largest difference first.
    pub changed: Vec<ChangedCell<'a>>,
    /// Cells of both with equal values and other intervals or counts.
    pub recounted: Vec<Place>,
    /// Cells of both with equal values that were computed from other artifacts.
    pub refitted: Vec<Refitted<'a>>,
    /// Cells of both under other names, with equal values of the same artifacts.
    pub renamed: Vec<Renamed>,
    /// Cells of the second set alone.
    pub new: Vec<Lone>,
    /// Cells of the first set alone.
    pub lost: Vec<Lone>,
    /// How many cells are equal in everything.
    pub equal: usize,
    /// Why fingerprints differ; empty until [`explain`] looked into a cache.
    pub reasons: Vec<Reason>,
    /// The axes whose values are averaged within a cell, such as `seed`.
    pub over: Vec<String>,
}

/// Where a cell stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The metric, such as `top1`.
    pub metric: String,
    /// Its values on the axes that cells are matched by.
    pub axes: BTreeMap<String, AxisValue>,
    /// The values that tell the cells of both sets apart, in words: "linear, timestep 90".
    pub label: String,
}

impl Place {
    /// The metric and what tells the cell from others.
    pub fn phrase(&self) -> String {
        format!("{}: {}", self.metric, self.label)
    }
}

/// A cell of one of two sets: the mean over its runs, as reports show it.
#[derive(Debug, Clone)]
pub struct Mean<'a> {
    /// The mean of the rows' values, in the unit of the metric.
    pub value: f64,
    /// One row a run, in the order of the axes that are averaged over; at least one.
    pub rows: Vec<&'a ResultRow>,
}

/// A cell whose values differ.
#[derive(Debug)]
pub struct ChangedCell<'a> {
    /// Its metric and axes.
    pub place: Place,
    /// In the first set.
    pub before: Mean<'a>,
    /// In the second set.
    pub after: Mean<'a>,
    /// Whether that is for the better.
    pub direction: Direction,
    /// What was chosen on the validation split, where that differs: axis, value before, value after.
    pub chosen: Vec<(String, String, String)>,
    /// What is known of its significance; `None` until [`test()`] looked into a cache.
    pub test: Option<Result<Test, Untested>>,
}

impl ChangedCell<'_> {
    /// The value after less the value before, in the unit of the metric.
    pub fn difference(&self) -> f64 {
        self.after.value - self.before.value
    }

    /// Whether it was tested and is significant at [`LEVEL`].
    pub fn is_significant(&self) -> bool {
        matches!(&self.test, Some(Ok(test)) if test.adjusted < LEVEL)
    }

    /// Whether it got worse: significantly where that was tested, at all where it was not.
    pub fn is_worse(&self) -> bool {
        let is_tested = matches!(self.test, Some(Ok(_)));
        self.direction == Direction::Worse && (self.is_significant() || !is_tested)
    }
}

/// A cell with equal values of other artifacts.
#[derive(Debug)]
pub struct Refitted<'a> {
    /// Its metric and axes.
    pub place: Place,
    /// The rows of the first set.
    pub before: Vec<&'a ResultRow>,
    /// The rows of the second set, in the same order of runs.
    pub after: Vec<&'a ResultRow>,
}

/// A cell that one of two sets lacks.
#[derive(Debug, Clone, PartialEq)]
pub struct Lone {
    /// Its metric and axes.
    pub place: Place,
    /// The mean over its runs, in `unit`.
    pub value: f64,
    /// The unit of the metric, such as `fraction`.
    pub unit: String,
}

/// Whether a change is for the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The value moved to where values of its metric are better.
    Better,
    /// It moved the other way.
    Worse,
    /// Neither: no value of the metric is better than another, or only single runs moved.
    Neither,
}

impl Direction {
    /// In one word, for tables and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Neither => "neither",
        }
    }
}
