//! The drawing of points over a horizontal axis, with or without lines between them: figure kinds `lines` and `scatter`.

use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::types::RangedCoordf64;
use plotters::element::PathElement;
use plotters::style::Color;

use crate::report::figures::canvas::{Anchor, Canvas, DrawResult, INSET, UNITS, rounded};
use crate::report::figures::lettering::{told_apart, width_of};
use crate::report::figures::marker::Mark;
use crate::report::figures::scale::{Ticks, fitting, ticks};
use crate::report::figures::theme::{BASE, GRID, INK, MUTED};
use crate::report::number::Unit;
use crate::report::selection::Shown;

/// Width and height, in CSS pixels.
pub(super) const SIZE: (i32, i32) = (760, 440);
/// The top of the plot area, in CSS pixels from the top of the figure.
const TOP: i32 = 86;
/// The bottom of the plot area, in CSS pixels from the top of the figure.
const BOTTOM: i32 = SIZE.1 - 68;
/// The size of numbers along the axes and of the lines' names.
const LETTERS: f64 = 12.5;
/// Room for the lines' names.
const MOST_LABEL: i32 = 190;
/// The distance between two names.
const LABEL_STEP: i32 = 19;
/// The radius of a mark, in units.
const MARK: f64 = 4.4 * UNITS as f64;

/// One line.
pub(super) struct Line {
    /// The name of the series, which may be written beside it.
    pub(super) name: String,
    /// How it is drawn.
    pub(super) mark: Mark,
    /// Its points, from left to right.
    pub(super) points: Vec<Point>,
}

/// One point of a line; values on the shown scale.
pub(super) struct Point {
    /// Its place on the horizontal axis.
    pub(super) x: f64,
    /// `x` as the axis writes it.
    pub(super) x_text: String,
    /// The mean over what is averaged.
    pub(super) y: f64,
    /// From where to where its bar goes, where it has one.
    pub(super) bar: Option<[f64; 2]>,
    /// The same in words, with a space before.
    pub(super) bar_text: Option<String>,
}

/// Lines on the shown scale, ready to be placed on the canvas.
pub(super) struct Plot {
    /// One line for each series, each with its own mark.
    pub(super) lines: Vec<Line>,
    /// Place and text of every value on the horizontal axis, ascending.
    pub(super) x_values: Vec<(f64, String)>,
    /// What stands below the horizontal axis.
    pub(super) x_title: String,
    /// The vertical axis.
    pub(super) ticks: Ticks,
    /// The unit of the vertical axis.
    pub(super) unit: Unit,
    /// Whether the lines' names are written beside them.
    pub(super) named: bool,
    /// Whether the points of a series are joined by a line.
    pub(super) joined: bool,
    /// Whether the values on the horizontal axis stand side by side, each with a place of its own.
    pub(super) category: bool,
}

/// Where it is drawn.
struct Frame {
    /// The left end of the plot, in CSS pixels.
    left: i32,
    /// The right end of the plot, in CSS pixels.
    right: i32,
    /// From values to units.
    coordinates: Cartesian2d<RangedCoordf64, RangedCoordf64>,
}

impl Frame {
    /// The place of a point, in units.
    fn units(&self, x: f64, y: f64) -> (i32, i32) {
        use plotters::coord::CoordTranslate as _;
        self.coordinates.translate(&(x, y))
    }

    /// The place of a point, in CSS pixels.
    fn pixels(&self, x: f64, y: f64) -> (i32, i32) {
        let (x, y) = self.units(x, y);
        ((x + UNITS / 2) / UNITS, (y + UNITS / 2) / UNITS)
    }
}

impl Point {
    /// A point at the left end of the axis: `y` as it is stored, with what is shown beside it.
    pub(super) fn of(x_text: String, y: f64, shown: Option<Shown>, unit: &Unit) -> Self {
        let y = unit.scaled(y);
        Self {
            x: 0.0,
            x_text,
            y,
            bar: shown.map(|shown| match shown {
                Shown::Deviation(deviation) => {
                    let deviation = unit.scaled(deviation);
                    [y - deviation, y + deviation]
                }
                Shown::Interval(bounds) => bounds.map(|bound| unit.scaled(bound)),
            }),
            bar_text: shown.map(|shown| match shown {
                Shown::Deviation(_) => format!(" ({})", shown.text(unit, 2)),
                Shown::Interval(_) => format!(" {}", shown.text(unit, 2)),
            }),
        }
    }
}

impl Plot {
    /// The vertical axis around all points and their bars.
    pub(super) fn around(lines: &[Line], unit: &Unit) -> Ticks {
        let ends = || {
            let points = lines.iter().flat_map(|line| &line.points);
            points.flat_map(|point| point.bar.unwrap_or([point.y; 2]))
        };
        let lowest = ends().reduce(f64::min).unwrap_or(0.0);
        let highest = ends().reduce(f64::max).unwrap_or(0.0);
        ticks(
            lowest,
            highest,
            (*unit == Unit::Percent).then_some((0.0, 100.0)),
        )
    }

    /// Every point in words.
    pub(super) fn in_words(&self) -> String {
        let point = |point: &Point| {
            let bar = point.bar_text.as_deref().unwrap_or_default();
            format!("{:.2} at {}{bar}", point.y, point.x_text)
        };
        let line = |line: &Line| {
            let points: Vec<String> = line.points.iter().map(point).collect();
            format!("{}: {}.", line.name, points.join(", "))
        };
        self.lines.iter().map(line).collect::<Vec<_>>().join(" ")
    }

    /// Draws axes, lines, points and names.
    pub(super) fn paint(&self, canvas: &Canvas<'_>) -> DrawResult {
        let tick_texts: Vec<String> = self
            .ticks
            .values
            .iter()
            .map(|tick| self.tick_text(*tick))
            .collect();
        let names: Vec<&str> = self.lines.iter().map(|line| line.name.as_str()).collect();
        let names = told_apart(&names, LETTERS, MOST_LABEL);
        let frame = self.frame(&tick_texts, &names);
        self.paint_axes(canvas, &frame, &tick_texts)?;
        if self.named {
            self.paint_names(canvas, &frame, &names)?;
        }
        for line in self.lines.iter().filter(|_| self.joined) {
            let style = line.mark.color.color().stroke_width(stroke(2.2));
            let points: Vec<(i32, i32)> = line
                .points
                .iter()
                .map(|point| frame.units(point.x, point.y))
                .collect();
            canvas.area.draw(&PathElement::new(points, style))?;
        }
        for line in &self.lines {
            for point in &line.points {
                let center = frame.units(point.x, point.y);
                line.mark.rim(canvas, center, MARK)?;
                if let Some([low, high]) = point.bar.filter(|[low, high]| high > low) {
                    let above = frame.units(point.x, high).1;
                    let below = frame.units(point.x, low).1;
                    paint_bar(canvas, line.mark, center.0, (above, below))?;
                }
                line.mark.draw(canvas, center, MARK)?;
            }
        }
        Ok(())
    }

    fn tick_text(&self, tick: f64) -> String {
        format!(
            "{tick:.decimals$}{}",
            self.unit.suffix(),
            decimals = self.ticks.decimals
        )
    }

    /// The plot's place: as wide as the numbers to the left and the names to the right of it allow.
    fn frame(&self, tick_texts: &[String], names: &[String]) -> Frame {
        let widest = |texts: &[String]| {
            texts
                .iter()
                .map(|text| width_of(text, LETTERS))
                .max()
                .unwrap_or(0)
        };
        let left = INSET + widest(tick_texts) + 8;
        let right = SIZE.0 - INSET - if self.named { widest(names) + 40 } else { 8 };
        let (low, high) = match (self.x_values.first(), self.x_values.last()) {
            (Some((low, _)), Some((high, _))) if high > low => (*low, *high),
            (Some((only, _)), _) => (only - 0.5, only + 0.5),
            _ => (0.0, 1.0),
        };
        let margin = if self.category {
            0.5
        } else {
            (high - low) * 0.045
        };
        let span = |from: i32, to: i32| from * UNITS..to * UNITS;
        Frame {
            left,
            right,
            coordinates: Cartesian2d::new(
                (low - margin)..(high + margin),
                self.ticks.low..self.ticks.high,
                (span(left, right), span(BOTTOM, TOP)),
            ),
        }
    }

    fn paint_axes(&self, canvas: &Canvas<'_>, frame: &Frame, tick_texts: &[String]) -> DrawResult {
        let Frame { left, right, .. } = *frame;
        for (tick, text) in self.ticks.values.iter().zip(tick_texts) {
            let (_, y) = frame.pixels(0.0, *tick);
            canvas.rule((left, y), (right, y), GRID)?;
            canvas.text(text, (left - 8, y), LETTERS, MUTED, Anchor::End)?;
        }
        canvas.rule((left, BOTTOM), (right, BOTTOM), BASE)?;
        let texts: Vec<&str> = self
            .x_values
            .iter()
            .map(|(_, text)| text.as_str())
            .collect();
        let slots = i32::try_from(texts.len()).unwrap_or(i32::MAX).max(1);
        let room = if self.category {
            (right - left) / slots - 10
        } else {
            MOST_LABEL
        };
        let texts = told_apart(&texts, LETTERS, room.max(LABEL_STEP));
        let place = |(x, _): &(f64, String)| frame.pixels(*x, self.ticks.low).0;
        let places: Vec<(i32, String)> = self.x_values.iter().map(place).zip(texts).collect();
        for (x, _) in &places {
            canvas.rule((*x, BOTTOM), (*x, BOTTOM + 5), BASE)?;
        }
        for index in fitting(&places, LETTERS) {
            if let Some((x, text)) = places.get(index) {
                canvas.text(text, (*x, BOTTOM + 18), LETTERS, MUTED, Anchor::Middle)?;
            }
        }
        let middle = i32::midpoint(left, right);
        canvas.text(
            &self.x_title,
            (middle, BOTTOM + 44),
            LETTERS,
            MUTED,
            Anchor::Middle,
        )
    }

    /// The lines' names at their ends, moved apart where lines end close to each other.
    fn paint_names(&self, canvas: &Canvas<'_>, frame: &Frame, names: &[String]) -> DrawResult {
        let mut ends: Vec<(Mark, &String, (i32, i32))> = Vec::new();
        for (line, name) in self.lines.iter().zip(names) {
            if let Some(last) = line.points.last() {
                ends.push((line.mark, name, frame.units(last.x, last.y)));
            }
        }
        ends.sort_by_key(|(_, _, (_, y))| *y);
        let wanted: Vec<i32> = ends.iter().map(|(_, _, (_, y))| *y / UNITS).collect();
        let places = apart(&wanted, LABEL_STEP, TOP, BOTTOM);
        for ((mark, name, end), y) in ends.into_iter().zip(places) {
            let place = ((frame.right + 18) * UNITS, y * UNITS);
            let elbow = ((frame.right + 4) * UNITS, y * UNITS);
            if self.joined {
                let style = BASE.color().stroke_width(stroke(1.0));
                canvas
                    .area
                    .draw(&PathElement::new(vec![end, elbow, place], style))?;
            }
            mark.rim(canvas, place, MARK)?;
            mark.draw(canvas, place, MARK)?;
            canvas.text(name, (frame.right + 30, y), LETTERS, INK, Anchor::Start)?;
        }
        Ok(())
    }
}

/// A bar with its caps; in units.
fn paint_bar(canvas: &Canvas<'_>, mark: Mark, x: i32, (above, below): (i32, i32)) -> DrawResult {
    let cap = 4 * UNITS;
    let style = mark.color.color().stroke_width(stroke(1.4));
    let stem = [(x, above), (x, below)];
    for ends in [
        stem,
        [(x - cap, above), (x + cap, above)],
        [(x - cap, below), (x + cap, below)],
    ] {
        canvas.area.draw(&PathElement::new(ends.to_vec(), style))?;
    }
    Ok(())
}

/// A line's width in units, from one in CSS pixels.
fn stroke(pixels: f64) -> u32 {
    rounded(pixels * f64::from(UNITS)).unsigned_abs()
}

/// Places near the wanted ones (ascending), at least `step` apart, between two ends as long as there is room.
fn apart(wanted: &[i32], step: i32, low: i32, high: i32) -> Vec<i32> {
    let mut places = wanted.to_vec();
    let mut least = low;
    for place in &mut places {
        *place = (*place).max(least);
        least = *place + step;
    }
    let mut most = high;
    for place in places.iter_mut().rev() {
        *place = (*place).min(most);
        most = *place - step;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_distance() {
        assert_eq!(apart(&[100, 101, 300], 20, 0, 310), [100, 120, 300]);
        assert_eq!(apart(&[300, 301], 20, 0, 310), [290, 310]);
    }
}
