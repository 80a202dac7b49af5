//! The drawing of figure kind `loss`.

use plotters::element::PathElement;
use plotters::style::Color;

use super::curve::Curve;
use crate::report::figures::canvas::{Anchor, Canvas, DrawResult, INSET, UNITS, rounded};
use crate::report::figures::lettering::width_of;
use crate::report::figures::scale::{fitting, log_ticks, ticks};
use crate::report::figures::theme::{BASE, GRID, MUTED, SERIES, Swatch};
use crate::text::count;

/// Width and height, in CSS pixels.
pub(super) const SIZE: (i32, i32) = (760, 400);
/// The vertical middle of the legend, in CSS pixels from the top of the figure.
const LEGEND: i32 = 82;
/// The top of the plot area, in CSS pixels from the top of the figure.
const TOP: i32 = 104;
/// The bottom of the plot area, in CSS pixels from the top of the figure.
const BOTTOM: i32 = SIZE.1 - 68;
/// The right end of the plot.
const RIGHT: i32 = SIZE.0 - INSET - 8;
/// The size of numbers along the axes and of the legend.
const LETTERS: f64 = 12.5;
/// How much of the color what was recorded has.
const FAINT: f64 = 0.5;

/// The loss of a training by its steps.
pub(super) struct Plot {
    /// What was recorded.
    points: Vec<(u64, f64)>,
    /// The means; empty where nothing is averaged.
    means: Vec<(u64, f64)>,
    /// The first and the last step of the training.
    steps: (f64, f64),
    /// How many points a mean is over.
    window: usize,
    /// Whether the vertical axis is logarithmic.
    logarithmic: bool,
    /// The numbers along the vertical axis.
    ticks: Vec<(f64, String)>,
    /// The ends of the vertical axis.
    ends: (f64, f64),
    /// The left end of the plot, in CSS pixels.
    left: i32,
}

impl Plot {
    /// Lays out the plot of a curve.
    pub(super) fn of(curve: &Curve) -> Self {
        let losses = || curve.points.iter().map(|(_, loss)| *loss);
        let lowest = losses().fold(f64::INFINITY, f64::min);
        let highest = losses().fold(f64::NEG_INFINITY, f64::max);
        let logarithmic = lowest > 0.0;
        let (ends, ticks) = if logarithmic {
            let margin = (highest / lowest).powf(0.06).max(1.02);
            let ends = (lowest / margin, highest * margin);
            (ends, log_ticks(ends.0, ends.1))
        } else {
            let axis = ticks(lowest, highest, None);
            let text = |value: &f64| (*value, format!("{value:.0$}", axis.decimals));
            let texts = axis.values.iter().map(text).collect();
            ((axis.low, axis.high), texts)
        };
        let widest = ticks.iter().map(|(_, text)| width_of(text, LETTERS)).max();
        let first = curve.points.first().map_or(0, |(step, _)| *step);
        let last = curve.points.last().map_or(0, |(step, _)| *step);
        Self {
            steps: (first as f64, last.max(curve.steps) as f64),
            points: curve.visible(),
            means: match curve.window {
                1 => Vec::new(),
                _ => curve.visible_means(),
            },
            window: curve.window,
            logarithmic,
            ends,
            left: INSET + widest.unwrap_or(0) + 8,
            ticks,
        }
    }

    /// Whether the vertical axis is logarithmic.
    pub(super) fn is_logarithmic(&self) -> bool {
        self.logarithmic
    }

    /// Draws it.
    pub(super) fn paint(&self, canvas: &Canvas<'_>) -> DrawResult {
        self.paint_axes(canvas)?;
        let [color, ..] = SERIES;
        if self.means.is_empty() {
            return self.paint_line(canvas, &self.points, (2.2, color, 1.0));
        }
        self.paint_line(canvas, &self.points, (1.0, color, FAINT))?;
        self.paint_line(canvas, &self.means, (2.4, color, 1.0))?;
        self.paint_legend(canvas, color)
    }

    /// Where a step stands, in units.
    fn across(&self, step: f64) -> i32 {
        let (first, last) = self.steps;
        let share = if last > first {
            (step - first) / (last - first)
        } else {
            0.5
        };
        // A little room, so that the line does not begin on the numbers' edge.
        let (left, right) = (f64::from(self.left + 8), f64::from(RIGHT - 8));
        rounded((left + share * (right - left)) * f64::from(UNITS))
    }

    /// Where a loss stands, in units.
    fn down(&self, loss: f64) -> i32 {
        let scale = |value: f64| {
            if self.logarithmic { value.ln() } else { value }
        };
        let (low, high) = (scale(self.ends.0), scale(self.ends.1));
        let share = (scale(loss) - low) / (high - low);
        let (bottom, top) = (f64::from(BOTTOM), f64::from(TOP));
        rounded((bottom - share * (bottom - top)) * f64::from(UNITS))
    }

    fn paint_line(
        &self,
        canvas: &Canvas<'_>,
        points: &[(u64, f64)],
        (width, color, share): (f64, Swatch, f64),
    ) -> DrawResult {
        let place = |(step, loss): &(u64, f64)| (self.across(*step as f64), self.down(*loss));
        let mut places: Vec<(i32, i32)> = points.iter().map(place).collect();
        // A single point would draw nothing.
        if let [(x, y)] = *places {
            places = vec![(x - 6 * UNITS, y), (x + 6 * UNITS, y)];
        }
        canvas
            .area
            .draw(&PathElement::new(places, stroke(width, color, share)))
    }

    fn paint_axes(&self, canvas: &Canvas<'_>) -> DrawResult {
        for (value, text) in &self.ticks {
            let y = (self.down(*value) + UNITS / 2) / UNITS;
            canvas.rule((self.left, y), (RIGHT, y), GRID)?;
            canvas.text(text, (self.left - 8, y), LETTERS, MUTED, Anchor::End)?;
        }
        canvas.rule((self.left, BOTTOM), (RIGHT, BOTTOM), BASE)?;
        let labels = self.step_labels();
        for (x, _) in &labels {
            canvas.rule((*x, BOTTOM), (*x, BOTTOM + 5), BASE)?;
        }
        for index in fitting(&labels, LETTERS) {
            if let Some((x, text)) = labels.get(index) {
                canvas.text(text, (*x, BOTTOM + 18), LETTERS, MUTED, Anchor::Middle)?;
            }
        }
        let middle = i32::midpoint(self.left, RIGHT);
        let place = (middle, BOTTOM + 44);
        canvas.text(
            "step of the training",
            place,
            LETTERS,
            MUTED,
            Anchor::Middle,
        )
    }

    /// Round steps within the training, with their places in CSS pixels.
    fn step_labels(&self) -> Vec<(i32, String)> {
        let (first, last) = self.steps;
        if last <= first {
            return vec![(self.across(first) / UNITS, format!("{first}"))];
        }
        let whole = |value: &f64| (first..=last).contains(value) && value.fract() == 0.0;
        let steps = ticks(first, last, None).values.into_iter().filter(whole);
        steps
            .map(|step| {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a whole number between two steps"
                )]
                let text = count(step as u64);
                (self.across(step) / UNITS, text)
            })
            .collect()
    }

    fn paint_legend(&self, canvas: &Canvas<'_>, color: Swatch) -> DrawResult {
        let means = format!("mean over {}", self.window);
        let entries = [("recorded", 1.0, FAINT), (means.as_str(), 2.4, 1.0)];
        let mut x = self.left;
        for (text, width, share) in entries {
            let line = vec![
                (x * UNITS, LEGEND * UNITS),
                ((x + 24) * UNITS, LEGEND * UNITS),
            ];
            canvas
                .area
                .draw(&PathElement::new(line, stroke(width, color, share)))?;
            canvas.text(text, (x + 32, LEGEND), LETTERS, MUTED, Anchor::Start)?;
            x += 32 + width_of(text, LETTERS) + 24;
        }
        Ok(())
    }
}

/// A line's style, from its width in CSS pixels and its share of the color.
fn stroke(width: f64, color: Swatch, share: f64) -> plotters::style::ShapeStyle {
    let width = rounded(width * f64::from(UNITS)).unsigned_abs();
    color.color().mix(share).stroke_width(width)
}
