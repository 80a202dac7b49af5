//! Figure kind `scatter`: one metric over another, one mark for each result, such as accuracy over the number of parameters.
//!
//! A point is a mean over the axes in `over`; results that differ in any other axis are points of their own. Its place on the horizontal
//! axis is the result of the metric `x` that agrees with it on every axis which that one has: what is known of a network by itself goes
//! with everything that was computed by it. Numbers that the paper prints may stand beside, as series of their own.

mod along;
mod paper;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use self::along::Along;
use self::paper::{PAPER, Printed};
use super::canvas::{Words, draw};
use super::marker::{MOST_SERIES, mark};
use super::pending::pending;
use super::plot::{Line, Plot, Point, SIZE};
use super::scale::{round_ticks, ticks};
use super::{Figure, FigureKind, RenderedFigure};
use crate::report::axes::{self, KnownAxes};
use crate::report::comparison::{Compared, Comparison, Outcomes};
use crate::report::config::{FILE_KEY, file_name};
use crate::report::csv::{digits, text};
use crate::report::error::ReportError;
use crate::report::input::ReportInput;
use crate::report::markdown;
use crate::report::number::{Unit, significant};
use crate::report::query;
use crate::report::selection::{
    Cell, Cells, FILTER_KEY, METRIC_KEY, OVER_KEY, Question, SPREAD_KEY, Selection, Shown, Spread,
    TITLE_KEY, Uncertainty, axis_at, value_of,
};
use crate::spec::fields::Spanned;
use crate::spec::{Boolean, Fields, Key, Kind, KindDoc, Text};
use crate::store::ResultRow;

const X: Key<Text> = Key::text("x", "the name of a metric").doc(
    "The metric that runs to the right, such as `parameters`. A result of it belongs to every result that agrees with it on all axes which it has.",
);
const SERIES: Key<Text> = Key::text("series", "an axis")
    .optional("one series")
    .doc("The axis whose values have marks of their own, such as `head_kind`; at most 8, with those of the paper.");
const LOG: Key<Boolean> = Key::boolean("log")
    .default(false)
    .doc("Spreads the values of `x` by their logarithm.");

/// `kind = "scatter"`.
pub const KIND: FigureKind = Kind::new(
    KindDoc {
        name: "scatter",
        summary: "A metric over another one, such as accuracy over parameters, one mark for each result, with the paper's points beside.",
        keys: &[
            &FILE_KEY,
            &METRIC_KEY,
            &TITLE_KEY,
            &X,
            &SERIES,
            &LOG,
            &PAPER,
            &FILTER_KEY,
            &OVER_KEY,
            &SPREAD_KEY,
        ],
        shared: &[],
    },
    parse,
);

fn parse(fields: &Fields<'_>, known: &KnownAxes) -> Option<Arc<dyn Figure>> {
    let file = file_name(fields, &FILE_KEY, ".svg");
    let question = Question::parse(fields, known);
    let series = axis_at(fields, &SERIES, known);
    let (x, log) = (fields.located(&X), fields.get(&LOG));
    let printed = paper::parse(fields);
    let (file, question, x, log) = (file?, question?, x?, log?);
    let uncertainty = Uncertainty::parse(fields, &question);
    fields.is_sound().then(|| {
        Arc::new(Scatter {
            file,
            question,
            of_x: Question {
                title: x.value.clone(),
                metric: x,
                filters: Vec::new(),
                over: Vec::new(),
            },
            series,
            log,
            printed,
            uncertainty,
        }) as Arc<dyn Figure>
    })
}

#[derive(Debug)]
struct Scatter {
    file: Spanned<String>,
    question: Question,
    /// What gives the places on the horizontal axis.
    of_x: Question,
    series: Option<String>,
    log: bool,
    printed: Vec<Printed>,
    uncertainty: Uncertainty,
}

/// A point of a series, as it is stored and as it is drawn.
struct Marked {
    series: String,
    stored: [f64; 2],
    shown: Option<Shown>,
    results: usize,
    point: Point,
}

impl Figure for Scatter {
    fn file(&self) -> &Spanned<String> {
        &self.file
    }

    fn question(&self) -> Option<&Question> {
        Some(&self.question)
    }

    fn other_metrics(&self) -> Vec<&Spanned<String>> {
        vec![&self.of_x.metric]
    }

    fn compare(
        &self,
        input: &ReportInput,
        outcomes: &dyn Outcomes,
    ) -> Result<Vec<Comparison>, ReportError> {
        let selection = self.question.put(&self.place(), input)?;
        let spread = self.spread(&selection);
        let cells = selection.cells(&spread)?;
        self.uncertainty
            .compare(&selection, &cells, &spread, outcomes)
    }

    fn render(&self, input: &ReportInput) -> Result<RenderedFigure, ReportError> {
        let selection = self.question.put(&self.place(), input)?;
        let along = self.of_x.put(&self.place(), input)?;
        let reasons = [&along, &selection].map(Selection::nothing_but_reasons);
        if let Some(why) = reasons.into_iter().flatten().next() {
            return pending(input, &self.file, &self.question.title, why);
        }
        let compared = input.compared(&self.file.value);
        let spread = self.spread(&selection);
        let cells = selection.cells(&spread)?;
        let marked = self.marked((&selection, &along), &spread, &cells, compared)?;
        let data = self.data(&marked);
        let plot = self.plot(marked, (&selection.unit, &along.unit))?;
        let described = Spread::with(&selection, &cells, self.uncertainty, compared);
        let alternative = format!(
            "{} {} over {} {}, {} series",
            self.question.metric.value,
            plot.unit.phrase(),
            self.of_x.metric.value,
            along.unit.phrase(),
            plot.lines.len()
        );
        let words = Words {
            title: &self.question.title,
            subtitle: &format!(
                "{}, {} · {}",
                self.question.metric.value,
                plot.unit.phrase(),
                described.brief
            ),
            description: &format!("{alternative}. {}", plot.in_words()),
        };
        let svg = draw(&selection.place, SIZE, words, |canvas| plot.paint(canvas))?;
        let rows: Vec<&ResultRow> = selection.rows.iter().chain(&along.rows).copied().collect();
        Ok(RenderedFigure {
            title: self.question.title.clone(),
            file: self.file.value.clone(),
            alternative,
            caption: format!(
                "{} Over {}, {}.",
                selection.caption(&described.phrase),
                markdown::code(&self.of_x.metric.value),
                along.unit.phrase()
            ),
            notes: selection.absent(),
            fixed: selection.fixed(&spread),
            sql: Some(query::of_rows(&rows)),
            rows: input.positions(&rows),
            data: Some(data),
            artifact: None,
            svg: Some(svg),
        })
    }
}

impl Scatter {
    /// What messages call it.
    fn place(&self) -> String {
        format!("figure `{}`", self.file.value)
    }

    /// The axes that tell points apart: all in which the results differ, but those that are averaged over.
    fn spread(&self, selection: &Selection<'_>) -> Vec<String> {
        let names = axes::of(selection.rows.iter().copied()).into_iter();
        let differs = |axis: &&str| {
            let values = selection.rows.iter().map(|row| value_of(row, axis));
            values.collect::<BTreeSet<_>>().len() > 1
        };
        let is_averaged = |axis: &&str| self.question.over.iter().any(|over| over == axis);
        let names = names.filter(|axis| differs(axis) && !is_averaged(axis));
        names.map(str::to_owned).collect()
    }

    /// Every point, those of the experiment first.
    fn marked(
        &self,
        (selection, along): (&Selection<'_>, &Selection<'_>),
        spread: &[String],
        cells: &Cells<'_>,
        compared: Compared<'_>,
    ) -> Result<Vec<Marked>, ReportError> {
        let unit = &selection.unit;
        let known = Along::of(&along.rows);
        let mut all = Vec::with_capacity(cells.len());
        for (key, cell) in cells {
            let x = self.place_of(cell, &known, &axes::phrases(spread, key))?;
            let series = match (&self.series, cell.rows.first()) {
                (Some(axis), Some(row)) => axes::phrase(axis, &value_of(row, axis)),
                _ => "measured".to_owned(),
            };
            let shown = self.uncertainty.of(cell, (spread, key), compared);
            all.push(Marked {
                series,
                stored: [x, cell.mean],
                shown,
                results: cell.rows.len(),
                point: self.point(along.unit.scaled(x), cell.mean, shown, unit)?,
            });
        }
        for printed in &self.printed {
            for &[x, y] in &printed.points {
                // The paper's numbers are on the shown scale.
                let stored = match unit {
                    Unit::Percent => y / 100.0,
                    Unit::Plain(_) => y,
                };
                all.push(Marked {
                    series: printed.name.clone(),
                    stored: [x, stored],
                    shown: None,
                    results: 0,
                    point: self.point(x, stored, None, unit)?,
                });
            }
        }
        Ok(all)
    }

    /// Where a cell stands on the horizontal axis.
    fn place_of(&self, cell: &Cell<'_>, along: &Along<'_>, name: &str) -> Result<f64, ReportError> {
        let found: Vec<f64> = cell.rows.iter().flat_map(|row| along.find(row)).collect();
        let unfit = |problem: String, hint: &str| ReportError::Unfit {
            place: self.place(),
            problem,
            hint: hint.to_owned(),
        };
        let x = &self.of_x.metric.value;
        match found.split_first() {
            None => Err(unfit(
                format!("no result of `{x}` belongs to {name}"),
                "have the metric of `x` name the same models or heads as the other one",
            )),
            Some((first, others)) if others.iter().any(|x| x.to_bits() != first.to_bits()) => {
                Err(unfit(
                    format!("several results of `{x}` belong to {name}"),
                    "take what differs out of `over`",
                ))
            }
            Some((first, _)) => Ok(*first),
        }
    }

    fn point(
        &self,
        x: f64,
        y: f64,
        shown: Option<Shown>,
        unit: &Unit,
    ) -> Result<Point, ReportError> {
        if self.log && x <= 0.0 {
            return Err(ReportError::Unfit {
                place: self.place(),
                problem: format!("{} = {x} has no logarithm", self.of_x.metric.value),
                hint: "take `log` out, or leave the result out by `where`".to_owned(),
            });
        }
        Ok(Point {
            x: if self.log { x.log10() } else { x },
            x_text: significant(x),
            ..Point::of(String::new(), y, shown, unit)
        })
    }

    fn plot(&self, marked: Vec<Marked>, units: (&Unit, &Unit)) -> Result<Plot, ReportError> {
        let mut names: Vec<String> = Vec::new();
        for one in &marked {
            if !names.contains(&one.series) {
                names.push(one.series.clone());
            }
        }
        if names.len() > MOST_SERIES {
            return Err(ReportError::TooMany {
                place: self.place(),
                count: names.len(),
                what: "series",
                limit: MOST_SERIES,
            });
        }
        let mut lines: Vec<Line> = names
            .into_iter()
            .enumerate()
            .map(|(number, name)| Line {
                name,
                mark: mark(number),
                points: Vec::new(),
            })
            .collect();
        for one in marked {
            if let Some(line) = lines.iter_mut().find(|line| line.name == one.series) {
                line.points.push(one.point);
            }
        }
        for line in &mut lines {
            line.points
                .sort_by(|left, right| left.x.total_cmp(&right.x));
        }
        let places = || lines.iter().flat_map(|line| &line.points).map(|one| one.x);
        let lowest = places().reduce(f64::min).unwrap_or(0.0);
        let highest = places().reduce(f64::max).unwrap_or(1.0);
        let x_values = if self.log {
            round_ticks(lowest, highest)
        } else {
            let ticks = ticks(lowest, highest, None);
            let text = |value: &f64| (*value, format!("{value:.0$}", ticks.decimals));
            ticks.values.iter().map(text).collect()
        };
        let (unit, along) = units;
        let scale = if self.log { " (logarithmic)" } else { "" };
        Ok(Plot {
            ticks: Plot::around(&lines, unit),
            x_values,
            x_title: format!("{}, {}{scale}", self.of_x.metric.value, along.phrase()),
            named: true,
            joined: false,
            category: false,
            lines,
            unit: unit.clone(),
        })
    }

    /// The points as CSV, values as they are stored; the paper's are the means of no results.
    fn data(&self, marked: &[Marked]) -> String {
        let mut file = format!(
            "series,{},mean,low,high,results\n",
            text(&self.of_x.metric.value)
        );
        for one in marked {
            let [x, y] = one.stored;
            let [low, high] = match one.shown {
                Some(Shown::Deviation(by)) => [y - by, y + by].map(digits),
                Some(Shown::Interval(bounds)) => bounds.map(digits),
                None => Default::default(),
            };
            let (series, x, y) = (text(&one.series), digits(x), digits(y));
            // Writing into a string cannot fail.
            let _ = writeln!(file, "{series},{x},{y},{low},{high},{}", one.results);
        }
        file
    }
}

#[cfg(test)]
mod tests;
