//! Table kind `paper`: what the paper prints beside what was measured.
//!
//! A row names a number of `data/paper/reference.toml` and, by `where`, the results that correspond to it. The verdict is by the declared
//! tolerance, or else by the interval over the scored images, with Holm's method over the rows of the table. Results of random weights are
//! not judged. A row without results shows the paper's number and says why: which kind its network or metric waits for, which the graph
//! knows, or what `needs` of the row names.

mod judged;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::judged::{interval, is_random};
use super::footnotes::Footnotes;
use super::{Body, RenderedTable, Table, TableCell, TableKind};
use crate::papers::reference;
use crate::report::axes::KnownAxes;
use crate::report::comparison::{Compared, Comparison, Outcomes};
use crate::report::error::ReportError;
use crate::report::input::ReportInput;
use crate::report::markdown;
use crate::report::number::Unit;
use crate::report::query;
use crate::report::selection::{
    Cell, FILTER_KEY, Filter, METRIC_KEY, OVER_KEY, Question, Selection, Shown, Spread, TITLE_KEY,
    Uncertainty, filters_at,
};
use crate::spec::{Custom, Fields, Key, Kind, KindDoc, Number, Text, Value};
use crate::statistics::CONFIDENCE;
use crate::statistics::holm::holm;
use crate::statistics::outside::outside;

const OF: Key<Text> = Key::text("of", "a table of the paper")
    .doc("The table of `data/paper/reference.toml` that has the numbers, such as `table3`.");
const ROW: Key<Custom> = Key::custom("row", "a list of tables")
    .list_by_nature()
    .doc("The rows: `name`; `at`, the entries by which the row of the paper's table is found, such as `{ block = 24, timestep = 90 }`; `value`, the name of the number there (`accuracy` if not given); `where`, the results that correspond to it; and `needs`, what is missing where there are none.");
const TOLERANCE: Key<Number> = Key::number("tolerance", Number::from(0.0).to(1e9))
    .optional("the 95 % interval decides")
    .doc("How far the mean may be from the paper's number to agree with it, as both are shown: in points for rates.");

const NAME: Key<Text> = Key::text("name", "a string").doc("What the row is called.");
const AT: Key<Custom> =
    Key::custom("at", "a table of key = value").doc("The row of the paper's table.");
const VALUE: Key<Text> = Key::text("value", "a word")
    .default("accuracy")
    .doc("The number in that row.");
const NEEDS: Key<Text> = Key::text("needs", "a string")
    .optional("nothing")
    .doc("What is missing where there are no results.");

/// `kind = "paper"`.
pub const KIND: TableKind = Kind::new(
    KindDoc {
        name: "paper",
        summary: "Numbers of the paper beside what was measured: difference, and whether they agree.",
        keys: &[
            &METRIC_KEY,
            &TITLE_KEY,
            &OF,
            &ROW,
            &TOLERANCE,
            &FILTER_KEY,
            &OVER_KEY,
        ],
        shared: &[],
    },
    parse,
);

/// The verdict on what networks of random weights gave.
const RANDOM: &str = "not judged: random weights";

/// Decimals of a printed mean or difference.
const DECIMALS: usize = 2;

fn parse(fields: &Fields<'_>, known: &KnownAxes) -> Option<Arc<dyn Table>> {
    let question = Question::parse(fields, known);
    let of = fields.get(&OF);
    let tolerance = fields.get(&TOLERANCE);
    let (question, of) = (question?, of?);
    let rows: Vec<Option<Row>> = fields
        .tables(ROW.name)
        .iter()
        .map(|fields| Row::parse(fields, &of, &question.filters, known))
        .collect();
    let rows: Option<Vec<Row>> = rows.into_iter().collect();
    let rows = rows.filter(|_| fields.is_sound())?;
    Some(Arc::new(Paper {
        question,
        rows,
        tolerance,
    }))
}

#[derive(Debug)]
struct Paper {
    question: Question,
    rows: Vec<Row>,
    tolerance: Option<f64>,
}

/// One row.
#[derive(Debug)]
struct Row {
    name: String,
    /// The paper's number, as it is printed there.
    printed: f64,
    /// Those of the table, and its own.
    filters: Vec<Filter>,
    /// What is missing where there are no results.
    needs: Option<String>,
}

impl Row {
    fn parse(fields: &Fields<'_>, of: &str, filters: &[Filter], known: &KnownAxes) -> Option<Self> {
        fields.check_keys(&[&NAME, &AT, &VALUE, &NEEDS], &[FILTER_KEY.name]);
        let (name, value) = (fields.get(&NAME), fields.get(&VALUE));
        let own = filters_at(fields, &FILTER_KEY, known);
        let at = fields.table(AT.name)?;
        let at: Vec<(String, String)> = at
            .entries()
            .iter()
            .map(|entry| (entry.key.clone(), text(&entry.node.value)))
            .collect();
        let (name, value) = (name?, value?);
        let printed = match reference::number(of, &at, &value) {
            Ok(printed) => printed,
            Err(error) => {
                let message = format!("{}: {}", fields.context(), error.problem);
                fields.invalid(AT.name, "spec::out-of-range", message, error.hint);
                return None;
            }
        };
        Some(Self {
            name,
            printed,
            filters: [filters, &own].concat(),
            needs: fields.get(&NEEDS),
        })
    }
}

/// A value as the paper's table has it.
fn text(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Integer(integer) => integer.to_string(),
        Value::Number(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}

impl Table for Paper {
    fn question(&self) -> &Question {
        &self.question
    }

    fn ranks(&self) -> bool {
        false
    }

    fn compare(
        &self,
        input: &ReportInput,
        outcomes: &dyn Outcomes,
    ) -> Result<Vec<Comparison>, ReportError> {
        let mut all = Vec::new();
        for row in &self.rows {
            let question = self.asked(row);
            let Some(selection) = self.put(row, &question, input)? else {
                continue;
            };
            let cells = selection.cells(&[])?;
            let found = Uncertainty::Images.compare(&selection, &cells, &[], outcomes)?;
            all.extend(found.into_iter().map(|one| Comparison {
                subject: row.name.clone(),
                ..one
            }));
        }
        Ok(all)
    }

    fn render(
        &self,
        input: &ReportInput,
        compared: Compared<'_>,
    ) -> Result<RenderedTable, ReportError> {
        let mut footnotes = Footnotes::default();
        let mut lines = Vec::new();
        let mut facts: Option<(String, Unit)> = None;
        let mut asked = Vec::new();
        let questions: Vec<Question> = self.rows.iter().map(|row| self.asked(row)).collect();
        let judged = self.adjusted(&questions, input, compared)?;
        for (index, (row, question)) in self.rows.iter().zip(&questions).enumerate() {
            let name = markdown::escape(&row.name);
            let selection = self.put(row, question, input)?;
            let printed = |unit: &Unit| shown(unit, row.printed);
            let known = selection.as_ref().and_then(|known| known.missing.first());
            let known = known.map(|missing| missing.why.clone());
            let Some(selection) = selection.filter(|selection| !selection.rows.is_empty()) else {
                let why = match (&row.needs, known) {
                    (Some(needs), _) => format!("not run: needs {needs}"),
                    (None, Some(why)) => why,
                    (None, None) => "not run".to_owned(),
                };
                let nothing = String::new;
                let cells = [
                    name,
                    format!("{:.DECIMALS$}", row.printed),
                    footnotes.absent(&why),
                    nothing(),
                    nothing(),
                ];
                lines.push(cells.map(TableCell::from).into());
                continue;
            };
            let cells = selection.cells(&[])?;
            asked.extend(selection.rows.iter().copied());
            for cell in cells.values() {
                let unit = &selection.unit;
                let bounds = interval(row, cell, compared);
                let beside = bounds.map_or_else(String::new, |bounds| {
                    format!(" {}", Shown::Interval(bounds).text(unit, DECIMALS))
                });
                let texts = vec![
                    name.clone(),
                    printed(unit),
                    format!("{}{beside}", unit.show(cell.mean, DECIMALS)),
                    signed(unit.scaled(cell.mean) - row.printed),
                    self.verdict(row, unit, cell, judged.get(&index).copied()),
                ];
                lines.push(TableCell::line(texts, input, &cell.rows));
            }
            if facts.is_none() {
                let described = Spread::with(&selection, &cells, Uncertainty::Images, compared);
                let has_bounds = |cell| interval(row, cell, compared).is_some();
                let phrase = if cells.values().any(has_bounds) {
                    described.phrase
                } else {
                    described.mean
                };
                facts = Some((selection.caption(&phrase), selection.unit.clone()));
            }
        }
        let points = match facts.as_ref().map(|(_, unit)| unit) {
            Some(Unit::Percent) => ", points",
            Some(Unit::Plain(_)) | None => "",
        };
        let heads = vec![
            "what".to_owned(),
            "paper".to_owned(),
            "measured".to_owned(),
            format!("difference{points}"),
            "verdict".to_owned(),
        ];
        let judged = match self.tolerance {
            Some(tolerance) => format!(
                " Within {tolerance}{} of the paper's number agrees.",
                points.replace(", points", " points")
            ),
            None if judged.len() > 1 => format!(
                " The paper's number agrees where it is within the interval, widened by Holm's method for {} rows.",
                judged.len()
            ),
            None => " The paper's number agrees where it is within the interval.".to_owned(),
        };
        let caption = facts.map_or_else(
            || {
                format!(
                    "{}: no value is there yet.",
                    markdown::code(&self.question.metric.value)
                )
            },
            |(caption, _)| caption,
        );
        Ok(RenderedTable {
            title: self.question.title.clone(),
            caption: format!("{caption}{judged}"),
            body: Body::of(heads, vec![false, true, true, true, false], lines),
            notes: footnotes.lines(),
            fixed: Vec::new(),
            sql: if asked.is_empty() {
                String::new()
            } else {
                query::of_rows(&asked)
            },
        })
    }
}

impl Paper {
    /// The question of one row.
    fn asked(&self, row: &Row) -> Question {
        Question {
            filters: row.filters.clone(),
            ..self.question.clone()
        }
    }

    /// The results of a row; `None` where there are none and the row says why.
    fn put<'a>(
        &self,
        row: &Row,
        question: &'a Question,
        input: &'a ReportInput,
    ) -> Result<Option<Selection<'a>>, ReportError> {
        let place = format!("row `{}` of table `{}`", row.name, self.question.title);
        match question.put(&place, input) {
            Ok(selection) => Ok(Some(selection)),
            Err(
                ReportError::NoRows { .. }
                | ReportError::NoValue { .. }
                | ReportError::UnknownMetric { .. },
            ) if row.needs.is_some() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The p-value, by Holm's method over the rows, that a row's result is the paper's number, by the row's index; none for rows that are
    /// not judged by their intervals.
    fn adjusted(
        &self,
        questions: &[Question],
        input: &ReportInput,
        compared: Compared<'_>,
    ) -> Result<BTreeMap<usize, f64>, ReportError> {
        let (mut places, mut all) = (Vec::new(), Vec::new());
        if self.tolerance.is_some() {
            return Ok(BTreeMap::new());
        }
        for (index, (row, question)) in self.rows.iter().zip(questions).enumerate() {
            let Some(selection) = self.put(row, question, input)? else {
                continue;
            };
            for cell in selection.cells(&[])?.values() {
                let bounds = interval(row, cell, compared).filter(|_| !is_random(cell));
                if let Some(bounds) = bounds {
                    let scale = |value| selection.unit.scaled(value);
                    places.push(index);
                    all.push(outside(row.printed, scale(cell.mean), bounds.map(scale)));
                }
            }
        }
        Ok(places.into_iter().zip(holm(&all)).collect())
    }

    /// `adjusted` is the p-value by Holm's method.
    fn verdict(&self, row: &Row, unit: &Unit, cell: &Cell<'_>, adjusted: Option<f64>) -> String {
        if is_random(cell) {
            return RANDOM.to_owned();
        }
        let difference = unit.scaled(cell.mean) - row.printed;
        let agrees = match (self.tolerance, adjusted) {
            (Some(tolerance), _) => difference.abs() <= tolerance,
            (None, Some(p)) => p >= 1.0 - CONFIDENCE,
            (None, None) => return "not judged: no tolerance, no interval".to_owned(),
        };
        match (agrees, difference > 0.0) {
            (true, _) => "agrees",
            (false, true) => "**higher**",
            (false, false) => "**lower**",
        }
        .to_owned()
    }
}

/// A number of the paper, which is on the shown scale already.
fn shown(unit: &Unit, printed: f64) -> String {
    match unit {
        Unit::Percent => format!("{printed:.DECIMALS$}"),
        Unit::Plain(_) => printed.to_string(),
    }
}

/// With a sign before what is above zero too.
fn signed(difference: f64) -> String {
    let text = format!("{difference:+.DECIMALS$}");
    let is_zero = text
        .chars()
        .skip(1)
        .all(|digit| digit == '0' || digit == '.');
    if is_zero { text[1..].to_owned() } else { text }
}

#[cfg(test)]
mod tests;
