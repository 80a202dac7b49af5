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
use self::versus::{HALVINGS, name, pairs};
use super::footnotes::Footnotes;
use super::{RenderedTable, Table, TableKind};
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

/// What is not defined or was not measured.
const ABSENT: &str = "–";

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
        let lines: Vec<Vec<String>> = rows
            .iter()
            .map(|row| shown.contender(row, &candidates, &described))
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
        let reached = markdown::table(&heads, &numeric[..heads.len()], &lines);
        let lines: Vec<Vec<String>> = pairs(self, &rows)
            .into_iter()
            .map(|(reference, other)| shown.difference(&name(reference), &name(other)))
            .collect();
        let body = if lines.is_empty() {
            reached
        } else {
            let heads = [
                "compared".to_owned(),
                format!("difference{points}"),
                format!("{} interval", confidence()),
                "p".to_owned(),
                "p by Holm".to_owned(),
                "right: the first alone, the second alone (p)".to_owned(),
            ];
            let numeric = [false, true, true, true, true, true];
            let differences = markdown::table(&heads, &numeric, &lines);
            format!("{reached}\n{differences}")
        };
        let mut notes = shown.footnotes.lines();
        notes.extend(self.notes(&selection, how));
        notes.extend(selection.absent());
        Ok(RenderedTable {
            title: self.question.title.clone(),
            caption: self.caption(&selection, &described, how),
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

    fn caption(&self, selection: &Selection<'_>, described: &Spread, how: How) -> String {
        let averaged = if described.most > 1 {
            format!(
                "{} ± its standard error, which is the sample standard deviation (n − 1) divided by √n",
                described.mean
            )
        } else {
            format!("{}, so that no error is given", described.mean)
        };
        let mut picked = selection.caption(&averaged);
        if how.chosen {
            picked.push_str(" What is “chosen” was chosen on training images and then trained on all of them; these images decided nothing.");
        }
        if how.best_of {
            picked.push_str(" A “best of” several is picked on the very images that are shown: it is optimistic, and the more candidates there were, the more so.");
        }
        if self.fixed.is_empty() {
            return picked;
        }
        format!(
            "{picked} The rows “fixed” are at the one choice that the experiment file names ({}), or, on an axis on which a contender has one value only, at that: nothing is picked there, provided that the choice was written before the results were seen.",
            markdown::escape(&self.choice())
        )
    }

    /// What is written below every comparison.
    fn notes(&self, selection: &Selection<'_>, how: How) -> Vec<String> {
        let runs = match self.question.over.as_slice() {
            [only] => format!("{}s", axes::label(only)),
            _ => "runs".to_owned(),
        };
        let lower = if selection.better == Some(Better::Lower) {
            " Lower values are better, so that a gain is below zero."
        } else {
            ""
        };
        let of_picks = if how.best_of {
            " Between two picks all of them are optimistic for whoever has more candidates."
        } else {
            ""
        };
        let mut notes = vec![
            format!(
                "The standard error is over {} alone; it does not cover which images were scored.",
                markdown::escape(&runs)
            ),
            format!(
                "A difference is the first less the second, image by image and run by run; its interval and its p cover which images were scored and the {}. p by Holm is adjusted for all differences of the table.{of_picks} The last column counts the images of the first common run, with McNemar's exact p, which knows nothing of other runs.",
                markdown::escape(&runs)
            ),
        ];
        if how.best_of {
            notes.push(format!(
                "Gained by picking: the best candidate on one half of the images, less the same candidate on the other half, as a mean over {HALVINGS} halvings and both directions. It is for half as many images to pick on; with all of them it is less.{lower}"
            ));
        }
        notes
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
