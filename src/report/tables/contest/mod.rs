//! Table kind `contest`: who is best, and by how much.
//!
//! For each value of one axis, such as `model`, the best combination of all other axes is searched, and the rows show what it
//! reached, where, among how many, and how far it is from the champion. The search is on the split that is shown, so every best
//! is optimistic; the caption says so, and a row `fixed` shows the champion at a choice that was made beforehand.

mod candidates;

use std::sync::Arc;

use self::candidates::{Candidates, Contender, Distance, distance, error};
use super::footnotes::Footnotes;
use super::{RenderedTable, Table, TableKind};
use crate::report::axes::{self, KnownAxes};
use crate::report::error::ReportError;
use crate::report::input::ReportInput;
use crate::report::markdown;
use crate::report::number::Unit;
use crate::report::query;
use crate::report::selection::{
    FILTER_KEY, Filter, METRIC_KEY, OVER_KEY, Question, Selection, Spread, TITLE_KEY, axis_at,
    filters_at, value_at,
};
use crate::spec::{Custom, Fields, Key, Kind, KindDoc, Text};
use crate::store::AxisValue;
use crate::text::{count, plural};

const AMONG: Key<Text> = Key::text("among", "an axis").doc(
    "The axis whose values compete, such as `model`. For each, the best combination of all other axes is searched.",
);
const CHAMPION: Key<Custom> = Key::custom("champion", "a value of that axis")
    .doc("The one that all others are compared with.");
const FIXED: Key<Custom> = Key::custom("fixed", "a table of axis = value")
    .optional("none")
    .doc("One choice made before the results were seen, such as `{ block = 7, timestep = 90, pool = 2 }`: a row of its own shows the champion there.");

/// `kind = "contest"`.
pub const KIND: TableKind = Kind::new(
    KindDoc {
        name: "contest",
        summary: "Who is best, and by how much: the best result of each value of one axis, and its distance to the champion.",
        keys: &[
            &METRIC_KEY,
            &TITLE_KEY,
            &AMONG,
            &CHAMPION,
            &FIXED,
            &FILTER_KEY,
            &OVER_KEY,
        ],
        shared: &[],
    },
    parse,
);

/// Decimals of a printed mean, error or difference.
const DECIMALS: usize = 2;

/// What is not defined or was not measured.
const ABSENT: &str = "–";

fn parse(fields: &Fields<'_>, known: &KnownAxes) -> Option<Arc<dyn Table>> {
    let question = Question::parse(fields, known);
    let among = axis_at(fields, &AMONG, known);
    let champion = value_at(fields, &CHAMPION);
    let fixed = filters_at(fields, &FIXED, known);
    let (question, among, champion) = (question?, among?, champion?);
    let context = fields.context();
    if question.over.contains(&among) {
        let message = format!("{context} cannot compare `{among}` and average over it");
        fields.invalid(AMONG.name, "report::axis-twice", message, None);
    }
    for choice in &fixed {
        let axis = &choice.axis;
        if *axis == among || question.over.contains(axis) {
            let message =
                format!("`fixed` of {context} cannot name `{axis}`, which `among` or `over` names");
            fields.invalid(FIXED.name, "report::axis-twice", message, None);
        }
        if choice.values.len() > 1 {
            let message = format!(
                "`fixed` of {context} takes one value of `{axis}`, not {}",
                choice.values.len()
            );
            fields.invalid(FIXED.name, "spec::out-of-range", message, None);
        }
    }
    fields.is_sound().then(|| {
        Arc::new(Contest {
            question,
            among,
            champion,
            fixed,
        }) as Arc<dyn Table>
    })
}

#[derive(Debug)]
struct Contest {
    question: Question,
    among: String,
    champion: AxisValue,
    /// One value each; none if there is to be no such row.
    fixed: Vec<Filter>,
}

impl Table for Contest {
    fn question(&self) -> &Question {
        &self.question
    }

    fn render(&self, input: &ReportInput) -> Result<RenderedTable, ReportError> {
        let selection = self
            .question
            .put(&format!("table `{}`", self.question.title), input)?;
        let candidates = Candidates::of(self, &selection)?;
        let described = Spread::of(&selection, &candidates.cells);
        let rows = candidates.ranked(self, &selection)?;
        let mut footnotes = Footnotes::default();
        let lines: Vec<Vec<String>> = rows
            .iter()
            .map(|row| {
                let distance = distance(row, &rows, &self.champion);
                let place = row.best.map(|(key, _)| candidates.place(key));
                line(
                    (row, place, distance),
                    &selection,
                    &described,
                    &mut footnotes,
                )
            })
            .collect();

        let champion = markdown::escape(&self.champion.to_string());
        let points = match selection.unit {
            Unit::Percent => ", points",
            Unit::Plain(_) => "",
        };
        let heads = [
            markdown::escape(&axes::label(&self.among)),
            "best mean ± standard error".to_owned(),
            "reached at".to_owned(),
            "candidates".to_owned(),
            format!("difference to {champion}{points}"),
            "difference in standard errors".to_owned(),
        ];
        let numeric = [false, true, false, true, true, true];
        let mut notes = footnotes.lines();
        notes.push("The standard error covers what `over` averages, such as the seed of the training; it does not cover which images were scored. That of a difference is the root of the sum of both squares.".to_owned());
        notes.extend(selection.absent());
        Ok(RenderedTable {
            title: self.question.title.clone(),
            caption: self.caption(&selection, &described),
            body: markdown::table(&heads, &numeric, &lines),
            notes,
            fixed: selection.fixed(std::slice::from_ref(&self.among)),
            sql: query::of_selection(&selection),
        })
    }
}

impl Contest {
    fn caption(&self, selection: &Selection<'_>, described: &Spread) -> String {
        let averaged = if described.most > 1 {
            format!(
                "{} ± its standard error, which is the sample standard deviation (n − 1) divided by √n",
                described.mean
            )
        } else {
            format!("{}, so that no error is given", described.mean)
        };
        let picked = format!(
            "{} Each row is the best of its candidates, picked on the very split that is shown: it is optimistic, and the more candidates there were, the more so.",
            selection.caption(&averaged)
        );
        if self.fixed.is_empty() {
            return picked;
        }
        format!(
            "{picked} The row “fixed” is {} at the one choice that the experiment file names ({}): nothing is picked there, provided that it was written before the results were seen. Its difference is what picking gained.",
            markdown::escape(&self.champion.to_string()),
            markdown::escape(&self.choice())
        )
    }

    /// The fixed choice in words.
    fn choice(&self) -> String {
        let names: Vec<&String> = self.fixed.iter().map(|choice| &choice.axis).collect();
        let values: Vec<AxisValue> = self
            .fixed
            .iter()
            .filter_map(|choice| choice.values.first().cloned())
            .collect();
        axes::phrases(&names, &values)
    }
}

/// One row: a contender, where it stands, and how far it is from the champion.
fn line(
    (row, place, distance): (&Contender<'_>, Option<String>, Option<Distance>),
    selection: &Selection<'_>,
    described: &Spread,
    footnotes: &mut Footnotes,
) -> Vec<String> {
    let absent = || ABSENT.to_owned();
    let mut name = markdown::escape(&row.value.to_string());
    if row.is_fixed {
        name.push_str(", fixed");
    }
    let Some((_, cell)) = row.best else {
        let reason = row.absent.unwrap_or("no such result was asked for");
        let mean = format!("{ABSENT}{}", footnotes.mark(reason));
        return vec![name, mean, absent(), absent(), absent(), absent()];
    };
    let unit = &selection.unit;
    let error = error(cell).map_or_else(absent, |error| unit.show(error, DECIMALS));
    let mut mean = format!("{} ± {error}", unit.show(cell.mean, DECIMALS));
    if cell.rows.len() < described.most {
        let found = plural(cell.rows.len(), "result");
        mean.push_str(&footnotes.mark(&format!("{found} instead of {}", described.most)));
    }
    let place = place.filter(|place| !place.is_empty());
    let searched = if row.is_fixed {
        "not picked".to_owned()
    } else {
        count(row.searched)
    };
    let difference = distance.map(|distance| signed(unit.show(distance.difference, DECIMALS)));
    let in_errors = distance
        .and_then(|distance| distance.in_errors)
        .map(|errors| signed(Unit::Plain(String::new()).show(errors, 1)));
    vec![
        name,
        mean,
        place.map_or_else(absent, |place| markdown::escape(&place)),
        searched,
        difference.unwrap_or_else(absent),
        in_errors.unwrap_or_else(absent),
    ]
}

/// With a sign before what is above zero too.
fn signed(number: String) -> String {
    let is_zero = number.chars().all(|digit| digit == '0' || digit == '.');
    if is_zero || number.starts_with('-') {
        number
    } else {
        format!("+{number}")
    }
}

#[cfg(test)]
mod tests;
