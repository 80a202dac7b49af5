//! The drawing of figure kind `heatmap`.

use crate::report::figures::canvas::{Anchor, Canvas, DrawResult, INSET, rounded};
use crate::report::figures::lettering::{shortened, width_of};
use crate::report::figures::theme::{GRID, INK, MUTED, STEPS, on_ramp, ramp};
use crate::report::number::Unit;

/// More columns than this are drawn in small letters and whole numbers, so that they still fit on a page.
const MANY_COLUMNS: usize = 14;
/// The least width of a figure.
const LEAST_WIDTH: i32 = 560;
/// The width that the cells fill where they can.
const FULL_WIDTH: i32 = 760;
/// Height of a cell.
const CELL_HEIGHT: i32 = 36;
/// The most that a cell is wide.
const CELL_WIDTH: i32 = 104;
/// The gap between two cells.
const GAP: i32 = 2;
/// The top of the columns' names.
const TOP: i32 = 82;
/// Room for the color scale.
const LEGEND: i32 = 92;
/// The size of names and values.
const LETTERS: f64 = 12.5;
/// The size of both where there are many columns.
const SMALL_LETTERS: f64 = 10.5;

/// A table of values as colored cells.
pub(super) struct Map {
    /// Names of the rows, from top to bottom.
    pub(super) rows: Vec<String>,
    /// Names of the columns, from left to right.
    pub(super) columns: Vec<String>,
    /// The values row by row, on the shown scale; `None` where there is none.
    pub(super) values: Vec<Vec<Option<f64>>>,
    /// What stands above the rows' names.
    pub(super) rows_title: String,
    /// What stands above the columns' names.
    pub(super) columns_title: String,
    /// The unit of `values`.
    pub(super) unit: Unit,
    /// The lowest of `values`, where the color scale begins.
    pub(super) low: f64,
    /// The highest of `values`, where the color scale ends.
    pub(super) high: f64,
}

/// Where it is drawn, in CSS pixels.
pub(super) struct Layout {
    /// The figure's width.
    pub(super) width: i32,
    /// The figure's height.
    pub(super) height: i32,
    /// The left end of the cells.
    left: i32,
    /// The top end of the cells.
    top: i32,
    /// The width of a cell, its gap included.
    cell: i32,
    /// The size of values and of the columns' names.
    letters: f64,
}

impl Map {
    /// Every value in words.
    pub(super) fn in_words(&self) -> String {
        let lines: Vec<String> = self
            .rows
            .iter()
            .zip(&self.values)
            .map(|(row, values)| {
                let cells = self
                    .columns
                    .iter()
                    .zip(values)
                    .filter_map(|(column, value)| {
                        let value = (*value)?;
                        Some(format!("{value:.2} at {column}"))
                    });
                format!(
                    "{} {row}: {}.",
                    self.rows_title,
                    cells.collect::<Vec<_>>().join(", ")
                )
            })
            .collect();
        lines.join(" ")
    }

    pub(super) fn layout(&self) -> Layout {
        let (rows, columns) = (pixels(self.rows.len()), pixels(self.columns.len()).max(1));
        let names = self.rows.iter().chain([&self.rows_title]);
        let left = INSET
            + names
                .map(|name| width_of(name, LETTERS).min(150))
                .max()
                .unwrap_or(0)
            + 12;
        let letters = if self.is_wide() {
            SMALL_LETTERS
        } else {
            LETTERS
        };
        let values = self
            .values
            .iter()
            .flatten()
            .flatten()
            .map(|value| self.text(*value));
        let widest = values
            .chain(self.columns.iter().cloned())
            .map(|text| width_of(&text, letters))
            .max();
        let fair = (FULL_WIDTH - left - LEGEND - INSET) / columns;
        let cell = fair.max(widest.unwrap_or(0) + 8).min(CELL_WIDTH);
        let top = TOP + 48;
        Layout {
            width: (left + columns * cell + LEGEND + INSET).max(LEAST_WIDTH),
            // A short map still leaves the color scale its room.
            height: top + (rows * CELL_HEIGHT).max(130) + INSET,
            left,
            top,
            cell,
            letters,
        }
    }

    /// Whether there are many columns.
    fn is_wide(&self) -> bool {
        self.columns.len() > MANY_COLUMNS
    }

    /// Whether cells hold whole numbers.
    pub(super) fn is_whole(&self) -> bool {
        self.decimals() == 0
    }

    /// Decimals of the values in cells. What is not percent may be within 0 and 1, where whole numbers would all be the same.
    fn decimals(&self) -> usize {
        match self.unit {
            Unit::Percent => usize::from(!self.is_wide()),
            Unit::Plain(_) => 2,
        }
    }

    /// A value as it stands in its cell.
    fn text(&self, value: f64) -> String {
        let decimals = self.decimals();
        format!("{value:.decimals$}")
    }

    pub(super) fn paint(&self, canvas: &Canvas<'_>, layout: &Layout) -> DrawResult {
        let Layout {
            left,
            top,
            cell,
            letters,
            ..
        } = *layout;
        let columns_end = left + pixels(self.columns.len()) * cell;
        canvas.text(
            &self.columns_title,
            (i32::midpoint(left, columns_end), TOP + 4),
            LETTERS,
            MUTED,
            Anchor::Middle,
        )?;
        canvas.text(
            &self.rows_title,
            (left - 12, top - 16),
            LETTERS,
            MUTED,
            Anchor::End,
        )?;
        for (column, name) in self.columns.iter().enumerate() {
            let x = left + pixels(column) * cell + cell / 2;
            canvas.text(
                &shortened(name, letters, cell - 2),
                (x, top - 16),
                letters,
                INK,
                Anchor::Middle,
            )?;
        }
        for (row, (name, values)) in self.rows.iter().zip(&self.values).enumerate() {
            let y = top + pixels(row) * CELL_HEIGHT;
            canvas.text(
                &shortened(name, LETTERS, 150),
                (left - 12, y + CELL_HEIGHT / 2),
                LETTERS,
                INK,
                Anchor::End,
            )?;
            for (column, value) in values.iter().enumerate() {
                let x = left + pixels(column) * cell;
                let (text, fill, ink) = match value {
                    Some(value) => {
                        let fill = ramp().get(self.step(*value)).copied().unwrap_or(GRID);
                        (self.text(*value), fill, on_ramp(fill))
                    }
                    None => ("–".to_owned(), GRID, MUTED),
                };
                canvas.block((x, y), (x + cell - GAP, y + CELL_HEIGHT - GAP), fill)?;
                canvas.text(
                    &text,
                    (x + (cell - GAP) / 2, y + (CELL_HEIGHT - GAP) / 2),
                    letters,
                    ink,
                    Anchor::Middle,
                )?;
            }
        }
        self.paint_scale(
            canvas,
            columns_end + 26,
            top,
            layout.height - INSET - top - GAP,
        )
    }

    /// The color scale, with the lowest, the middle and the highest value.
    fn paint_scale(&self, canvas: &Canvas<'_>, x: i32, top: i32, room: i32) -> DrawResult {
        // One value alone has no scale.
        if self.high <= self.low {
            return Ok(());
        }
        let height = room.min(240);
        let at = |share: f64| top + rounded(f64::from(height) * (1.0 - share));
        for (step, color) in ramp().into_iter().enumerate() {
            let (low, high) = (step as f64 / STEPS as f64, (step + 1) as f64 / STEPS as f64);
            canvas.block((x, at(high)), (x + 12, at(low)), color)?;
        }
        let suffix = self.unit.suffix();
        let decimals = self.decimals().max(1);
        let middle = f64::midpoint(self.low, self.high);
        for (share, value, shift) in [(0.0, self.low, -5), (0.5, middle, 0), (1.0, self.high, 5)] {
            canvas.text(
                &format!("{value:.decimals$}{suffix}"),
                (x + 20, at(share) + shift),
                LETTERS,
                MUTED,
                Anchor::Start,
            )?;
        }
        Ok(())
    }

    /// The step of the color scale for a value; the middle one where all values are equal.
    fn step(&self, value: f64) -> usize {
        let span = self.high - self.low;
        let share = if span > 0.0 {
            (value - self.low) / span
        } else {
            0.5
        };
        let step = rounded((share * STEPS as f64).floor());
        usize::try_from(step).unwrap_or(0).min(STEPS - 1)
    }
}

/// A small count as pixels.
fn pixels(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
