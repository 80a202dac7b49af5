//! Figure kind `lines`: a metric over one axis, one line per value of another.
//!
//! A point is a mean over the axes in `over`, with a bar of one sample standard deviation up and down, or of an interval, as `spread`
//! says (see [`Uncertainty`]). Lines are named where they end, and
//! differ in the shape of their marks as well as in color.

use std::sync::Arc;

use super::canvas::{Words, draw};
use super::marker::{MOST_SERIES, mark};
use super::pending::pending;
use super::plot::{Line, Plot, Point, SIZE};
use super::scale::{X_SCALES, XScale};
use super::{Figure, FigureKind, RenderedFigure, data};
use crate::report::axes::{self, KnownAxes};
use crate::report::comparison::{Compared, Comparison, Outcomes};
use crate::report::config::{FILE_KEY, file_name};
use crate::report::error::ReportError;
use crate::report::input::ReportInput;
use crate::report::number::listed;
use crate::report::query;
use crate::report::selection::{
    Cells, FILTER_KEY, METRIC_KEY, OVER_KEY, Question, SPREAD_KEY, Selection, Spread, TITLE_KEY,
    Uncertainty, axis_at,
};
use crate::spec::fields::Spanned;
use crate::spec::{Choice, Fields, Key, Kind, KindDoc, Text};
use crate::store::AxisValue;

const X: Key<Text> =
    Key::text("x", "an axis").doc("The axis that runs to the right, such as `timestep`.");
const SERIES: Key<Text> = Key::text("series", "an axis")
    .optional("one line")
    .doc("The axis whose values are lines of their own, such as `model`; at most 8 values.");
const X_SCALE: Key<Choice<XScale>> = Key::choice("x_scale", X_SCALES)
    .default(XScale::Linear)
    .doc("Spreads the values of `x` by size, by logarithm, or one after the other. Words need `category`.");

/// `kind = "lines"`.
pub const KIND: FigureKind = Kind::new(
    KindDoc {
        name: "lines",
        summary: "A metric over one axis, one line per value of another, with bars for the spread over seeds or images.",
        keys: &[
            &FILE_KEY,
            &METRIC_KEY,
            &TITLE_KEY,
            &X,
            &SERIES,
            &X_SCALE,
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
    let x = axis_at(fields, &X, known);
    let series = axis_at(fields, &SERIES, known);
    let scale = fields.get(&X_SCALE);
    let (file, question, x, scale) = (file?, question?, x?, scale?);
    let uncertainty = Uncertainty::parse(fields, &question);
    if series.as_ref() == Some(&x) {
        let message = format!(
            "`{x}` cannot be both `x` and `series` of {}",
            fields.context()
        );
        fields.invalid(SERIES.name, "report::axis-twice", message, None);
    }
    fields.is_sound().then(|| {
        Arc::new(Lines {
            file,
            question,
            x,
            series,
            scale,
            uncertainty,
        }) as Arc<dyn Figure>
    })
}

#[derive(Debug)]
struct Lines {
    file: Spanned<String>,
    question: Question,
    x: String,
    series: Option<String>,
    scale: XScale,
    uncertainty: Uncertainty,
}

impl Figure for Lines {
    fn file(&self) -> &Spanned<String> {
        &self.file
    }

    fn question(&self) -> Option<&Question> {
        Some(&self.question)
    }

    fn compare(
        &self,
        input: &ReportInput,
        outcomes: &dyn Outcomes,
    ) -> Result<Vec<Comparison>, ReportError> {
        let selection = self.question.put(&self.place(), input)?;
        let spread = self.spread();
        let cells = selection.cells(&spread)?;
        self.uncertainty
            .compare(&selection, &cells, &spread, outcomes)
    }

    fn render(&self, input: &ReportInput) -> Result<RenderedFigure, ReportError> {
        let selection = self.question.put(&self.place(), input)?;
        if let Some(why) = selection.nothing_but_reasons() {
            return pending(input, &self.file, &self.question.title, why);
        }
        let compared = input.compared(&self.file.value);
        let spread = self.spread();
        let cells = selection.cells(&spread)?;
        let plot = self.plot(&selection, &cells, compared)?;
        let described = Spread::with(&selection, &cells, self.uncertainty, compared);
        let names: Vec<String> = plot.lines.iter().map(|line| line.name.clone()).collect();
        let per_line = match &self.series {
            Some(series) => format!(
                ", one line per {} ({})",
                axes::label(series),
                listed(&names)
            ),
            None => String::new(),
        };
        let alternative = format!(
            "{} {} over {}{per_line}",
            self.question.metric.value,
            plot.unit.phrase(),
            axes::title(&self.x)
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

        Ok(RenderedFigure {
            title: self.question.title.clone(),
            file: self.file.value.clone(),
            alternative,
            caption: selection.caption(&described.phrase),
            notes: selection.absent(),
            fixed: selection.fixed(&spread),
            sql: Some(query::of_selection(&selection)),
            rows: input.positions(&selection.rows),
            data: Some(data::of_cells(&spread, &cells, |key, cell| {
                self.uncertainty.of(cell, (&spread, key), compared)
            })),
            artifact: None,
            svg: Some(svg),
        })
    }
}

impl Lines {
    /// What messages call it.
    fn place(&self) -> String {
        format!("figure `{}`", self.file.value)
    }

    /// The axes that are spread out.
    fn spread(&self) -> Vec<String> {
        let axes = std::iter::once(&self.x).chain(&self.series);
        axes.cloned().collect()
    }

    fn plot(
        &self,
        selection: &Selection<'_>,
        cells: &Cells<'_>,
        compared: Compared<'_>,
    ) -> Result<Plot, ReportError> {
        let spread = self.spread();
        let unit = selection.unit.clone();
        let values: Vec<AxisValue> = selection.values(&self.x);
        let positions = self.scale.positions(&selection.place, &self.x, &values)?;
        let points = |value: Option<&AxisValue>| {
            let point = |(x, position): (&AxisValue, &f64)| {
                let key: Vec<AxisValue> = std::iter::once(x).chain(value).cloned().collect();
                let cell = cells.get(&key)?;
                let shown = self.uncertainty.of(cell, (&spread, &key), compared);
                Some(Point {
                    x: *position,
                    ..Point::of(x.to_string(), cell.mean, shown, &unit)
                })
            };
            values.iter().zip(&positions).filter_map(point).collect()
        };
        let lines: Vec<Line> = match &self.series {
            None => vec![Line {
                name: self.question.metric.value.clone(),
                mark: mark(0),
                points: points(None),
            }],
            Some(series) => {
                let values = Self::series_values(selection, series)?;
                let line = |(number, value): (usize, &AxisValue)| Line {
                    name: axes::phrase(series, value),
                    mark: mark(number),
                    points: points(Some(value)),
                };
                values.iter().enumerate().map(line).collect()
            }
        };
        Ok(Plot {
            ticks: Plot::around(&lines, &unit),
            x_values: positions
                .iter()
                .copied()
                .zip(values.iter().map(ToString::to_string))
                .collect(),
            x_title: match self.scale {
                XScale::Log => format!("{} (logarithmic)", axes::title(&self.x)),
                XScale::Linear | XScale::Category => axes::title(&self.x),
            },
            named: self.series.is_some(),
            joined: true,
            category: self.scale == XScale::Category,
            lines,
            unit,
        })
    }

    fn series_values(
        selection: &Selection<'_>,
        series: &str,
    ) -> Result<Vec<AxisValue>, ReportError> {
        let values = selection.values(series);
        if values.len() > MOST_SERIES {
            return Err(ReportError::TooMany {
                place: selection.place.clone(),
                count: values.len(),
                what: "lines",
                limit: MOST_SERIES,
            });
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests;
