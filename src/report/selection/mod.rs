//! Picking results for a table or a figure, and averaging them.
//!
//! A [`Question`] is what the experiment file asks: a metric, filters, and the axes to average over. Put to the report's
//! input it gives a [`Selection`] of rows, and that gives [`Cell`]s: one for each combination of values on the axes that a table or
//! figure spreads out.

mod caption;
mod cell;
mod question;
mod uncertainty;

pub use caption::Spread;
pub use cell::{Cell, Cells};
pub use question::{
    FILTER_KEY, Filter, METRIC_KEY, OVER_KEY, Question, TITLE_KEY, axes_at, axis_at, filters_at,
    value_at,
};
pub use uncertainty::{INTERVAL, SPREAD_KEY, Shown, Uncertainty};

use std::collections::BTreeSet;

use super::axes;
use super::error::ReportError;
use super::input::MissingResult;
use super::number::Unit;
use crate::store::{AxisValue, Better, ResultRow};

/// The rows that answer a question.
#[derive(Debug)]
pub struct Selection<'a> {
    /// The table or figure, for messages.
    pub place: String,
    /// What was asked for, with its places in the file.
    pub question: &'a Question,
    /// The rows, in the order of the input; at least one, unless all of them are missing.
    pub rows: Vec<&'a ResultRow>,
    /// Results that were asked for and are not there.
    pub missing: Vec<&'a MissingResult>,
    /// How the values are shown.
    pub unit: Unit,
    /// Which values are better; `None` where there is no row to say so.
    pub better: Option<Better>,
}

impl<'a> Selection<'a> {
    /// Every value of an axis, missing results included, in order.
    pub fn values(&self, axis: &str) -> Vec<AxisValue> {
        let mut values: BTreeSet<AxisValue> =
            self.rows.iter().map(|row| value_of(row, axis)).collect();
        let like = values.first().cloned();
        for missing in &self.missing {
            if let Some(text) = missing.axes.get(axis) {
                values.insert(axes::from_text(text, like.as_ref()));
            }
        }
        values.into_iter().collect()
    }

    /// The rows in cells, one for each combination of values on `spread`.
    ///
    /// # Errors
    /// A cell whose rows differ in more than the axes to average over, two rows that no axis tells apart, and a value that is no
    /// finite number.
    pub fn cells(&self, spread: &[String]) -> Result<Cells<'a>, ReportError> {
        cell::gather(self, spread)
    }

    /// Why no result is there at all; `None` where there are some.
    pub fn nothing_but_reasons(&self) -> Option<&'a str> {
        let missing = self.missing.first().filter(|_| self.rows.is_empty())?;
        Some(missing.why.as_str())
    }

    /// Why a cell is empty, where something is known about it.
    pub fn reason(&self, spread: &[String], key: &[AxisValue]) -> Option<&'a str> {
        let fits = |missing: &&&MissingResult| {
            let mut pairs = spread.iter().zip(key);
            pairs.all(|(axis, value)| {
                missing
                    .axes
                    .get(axis)
                    .is_none_or(|text| *text == value.to_string())
            })
        };
        self.missing
            .iter()
            .find(fits)
            .map(|missing| missing.why.as_str())
    }
}

/// The value of a row on an axis; an axis that a row does not have counts as a value of its own. Where a value was chosen on held-out
/// samples, it is an outcome as the score is, and tells no rows apart.
pub fn value_of(row: &ResultRow, axis: &str) -> AxisValue {
    let value = row.axis(axis).filter(|_| !axes::is_outcome(row, axis));
    value.unwrap_or_else(|| axes::ABSENT.into())
}
