//! Table kind `comparison`: who is best, and by how much.
//!
//! For each value of one axis, such as `model`, the best combination of all other axes is searched. A first table shows what it
//! reached, where, among how many, and what picking it gained; a second one has the differences to the reference, paired over images
//! and crossed with runs (`versus.rs`). The search is on the split that is shown, so every best of several is optimistic, which its row
//! says, and rows `fixed` show the contenders at a choice that was made beforehand.

mod candidates;
mod lines;
mod versus;

use std::sync::Arc;

use self::candidates::Candidates;
use self::lines::{How, Shown};
use self::versus::{name, pairs};
use super::footnotes::Footnotes;
use super::{Body, RenderedTable, Table, TableCell, TableKind};
use crate::report::axes::{self, KnownAxes};
use crate::report::comparison::{Compared, Comparison, Outcomes};
use crate::report::error::ReportError;
use crate::report::input::ReportInput;
use crate::report::markdown;
use crate::report::number::{Unit, confidence};
use crate::report::query;
use crate::report::selection::{
    FILTER_KEY, Filter, METRIC_KEY, OVER_KEY, Question, Selection, Spread, TITLE_KEY, axis_at,
    filters_at, value_at,
};
use crate::spec::{Custom, Fields, Key, Kind, KindDoc, Text};
use crate::store::{AxisValue, Better};

const BY: Key<Text> = Key::text("by", "an axis").doc(
    "The axis whose values compete, such as `model`. For each, the best combination of all other axes is searched.",
);
const REFERENCE: Key<Custom> = Key::custom("reference", "a value of that axis")
    .doc("The one that all others are compared with.");
const FIXED: Key<Custom> = Key::custom("fixed", "a table of axis = value")
    .optional("none")
    .doc("One choice made before the results were seen, such as `{ block = 7, timestep = 90, pool = 2 }`: rows of their own show the contenders there. A contender that has one value only of an axis has it there too.");

/// `kind = "comparison"`.
pub const KIND: TableKind = Kind::new(
    KindDoc {
        name: "comparison",
        summary: "Who is best, and by how much: the best result of each value of one axis, and its difference to the reference, paired over images.",
        keys: &[
            &METRIC_KEY,
            &TITLE_KEY,
            &BY,
            &REFERENCE,
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

fn parse(fields: &Fields<'_>, known: &KnownAxes) -> Option<Arc<dyn Table>> {
    let question = Question::parse(fields, known);
    let by = axis_at(fields, &BY, known);
    let reference = value_at(fields, &REFERENCE);
    let fixed = filters_at(fields, &FIXED, known);
    let (question, by, reference) = (question?, by?, reference?);
    let context = fields.context();
    if question.over.contains(&by) {
        let message = format!("{context} cannot compare `{by}` and average over it");
        fields.invalid(BY.name, "report::axis-twice", message, None);
    }
    for choice in &fixed {
        let axis = &choice.axis;
        if *axis == by || question.over.contains(axis) {
            let message =
                format!("`fixed` of {context} cannot name `{axis}`, which `by` or `over` names");
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
        Arc::new(BestOf {
            question,
            by,
            reference,
            fixed,
        }) as Arc<dyn Table>
    })
}

#[derive(Debug)]
struct BestOf {
    question: Question,
    by: String,
    reference: AxisValue,
    /// One value each; none if there is to be no such row.
    fixed: Vec<Filter>,
}

impl Table for BestOf {
    fn question(&self) -> &Question {
        &self.question
    }

    fn compare(
        &self,
        input: &ReportInput,
        outcomes: &dyn Outcomes,
    ) -> Result<Vec<Comparison>, ReportError> {
        let selection = self.question.put(&self.place(), input)?;
        let candidates = Candidates::of(self, &selection)?;
        let rows = candidates.ranked(self, &selection)?;
        versus::comparisons(self, &candidates, (&selection, &rows), outcomes)
    }

    fn render(
        &self,
        input: &ReportInput,
        compared: Compared<'_>,
    ) -> Result<RenderedTable, ReportError> {
        let selection = self.question.put(&self.place(), input)?;
        let candidates = Candidates::of(self, &selection)?;
        let described = Spread::of(&selection, &candidates.cells);
        let rows = candidates.ranked(self, &selection)?;
        let mut shown = Shown {
            selection: &selection,
            compared,
            footnotes: Footnotes::default(),
        };
        let lines: Vec<Vec<TableCell>> = rows
            .iter()
            .map(|row| {
                let texts = shown.contender(row, &candidates, &described);
                TableCell::line(texts, input, row.rows())
            })
            .collect();
        let points = match selection.unit {
            Unit::Percent => ", points",
            Unit::Plain(_) => "",
        };
        let mut heads = vec![
            markdown::escape(&axes::label(&self.by)),
            "mean ± standard error".to_owned(),
            "reached at".to_owned(),
            "picked".to_owned(),
            format!("gained by picking{points}"),
        ];
        let (how, mut lines) = (How::of(&rows), lines);
        if !how.best_of {
            heads.pop();
            for line in &mut lines {
                line.truncate(heads.len());
            }
        }
        let numeric = [false, true, false, false, true];
        let numeric = numeric[..heads.len()].to_vec();
        let differences: Vec<Vec<TableCell>> = pairs(self, &rows)
            .into_iter()
            .map(|(reference, other)| {
                let texts = shown.difference(&name(reference), &name(other));
                let behind = [reference.rows(), other.rows()].concat();
                TableCell::line(texts, input, &behind)
            })
            .collect();
        let of_differences = [
            "compared".to_owned(),
            format!("difference{points}"),
            format!("{} interval", confidence()),
            "p".to_owned(),
            "p by Holm".to_owned(),
            "right: the first alone, the second alone (p)".to_owned(),
        ];
        let body = Body::of(heads, numeric, lines).and(
            of_differences.into(),
            vec![false, true, true, true, true, true],
            differences,
        );
        let mut notes = shown.footnotes.lines();
        if selection.better == Some(Better::Lower) && how.best_of {
            notes.push("Lower values are better, so that a gain is below zero.".to_owned());
        }
        notes.extend(selection.absent());
        Ok(RenderedTable {
            title: self.question.title.clone(),
            caption: self.caption(&selection, &described),
            body,
            notes,
            fixed: selection.fixed(std::slice::from_ref(&self.by)),
            sql: query::of_selection(&selection),
        })
    }
}

impl BestOf {
    /// What messages call it.
    fn place(&self) -> String {
        format!("table `{}`", self.question.title)
    }

    fn caption(&self, selection: &Selection<'_>, described: &Spread) -> String {
        let averaged = if described.most > 1 {
            format!("{} ± its standard error", described.mean)
        } else {
            format!("{}, so that no error is given", described.mean)
        };
        let picked = selection.caption(&averaged);
        if self.fixed.is_empty() {
            return picked;
        }
        format!(
            "{picked} “Fixed”: {}, as the experiment file says.",
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

#[cfg(test)]
mod tests;
