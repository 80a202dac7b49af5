//! Table kind `grid`: one axis down, one or two axes across, a mean in every cell.
//!
//! A cell holds a mean over the axes in `over` (the seed, unless the file sets another) and what stands behind it: ± sample
//! standard deviation, or an interval, as `spread` says (see [`Uncertainty`]). Results that differ in anything else within one
//! cell are refused. A cell that was not measured says why.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::footnotes::Footnotes;
use super::{Body, RenderedTable, Table, TableCell, TableKind};
use crate::report::axes::{self, KnownAxes};
use crate::report::comparison::{Compared, Comparison, Outcomes};
use crate::report::error::ReportError;
use crate::report::input::ReportInput;
use crate::report::markdown;
use crate::report::query;
use crate::report::selection::{
    Cells, FILTER_KEY, METRIC_KEY, OVER_KEY, Question, SPREAD_KEY, Selection, Spread, TITLE_KEY,
    Uncertainty, axes_at, axis_at,
};
use crate::spec::{Fields, Key, Kind, KindDoc, List, Text};
use crate::store::{AxisValue, Better};
use crate::text::plural;

const ROWS: Key<Text> =
    Key::text("rows", "an axis").doc("The axis whose values head the rows, such as `block`.");
const COLUMNS: Key<List<Text>> = Key::list("columns", Text("an axis"))
    .items(1..=2)
    .doc("The axes whose values head the columns, such as `[\"timestep\", \"pool\"]`.");

/// `kind = "grid"`.
pub const KIND: TableKind = Kind::new(
    KindDoc {
        name: "grid",
        summary: "A table with one axis down and one or two axes across; each cell is a mean over seeds.",
        keys: &[
            &METRIC_KEY,
            &TITLE_KEY,
            &ROWS,
            &COLUMNS,
            &FILTER_KEY,
            &OVER_KEY,
            &SPREAD_KEY,
        ],
        shared: &[],
    },
    parse,
);

/// Decimals of a printed mean.
const DECIMALS: usize = 2;

fn parse(fields: &Fields<'_>, known: &KnownAxes) -> Option<Arc<dyn Table>> {
    let question = Question::parse(fields, known);
    let rows = axis_at(fields, &ROWS, known);
    let columns = axes_at(fields, &COLUMNS, known);
    let (question, rows, columns) = (question?, rows?, columns?);
    let uncertainty = Uncertainty::parse(fields, &question);
    if columns.contains(&rows) {
        let message = format!(
            "`{rows}` cannot be both the rows and a column of {}",
            fields.context()
        );
        fields.invalid(COLUMNS.name, "report::axis-twice", message, None);
    }
    fields.is_sound().then(|| {
        Arc::new(Grid {
            question,
            rows,
            columns,
            uncertainty,
        }) as Arc<dyn Table>
    })
}

#[derive(Debug)]
struct Grid {
    question: Question,
    rows: String,
    /// One or two axes.
    columns: Vec<String>,
    uncertainty: Uncertainty,
}

impl Table for Grid {
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
        let selection = self.question.put(&self.place(), input)?;
        let spread = self.spread();
        let cells = selection.cells(&spread)?;
        self.uncertainty
            .compare(&selection, &cells, &spread, outcomes)
    }

    fn render(
        &self,
        input: &ReportInput,
        compared: Compared<'_>,
    ) -> Result<RenderedTable, ReportError> {
        let selection = self.question.put(&self.place(), input)?;
        let spread = self.spread();
        let cells = selection.cells(&spread)?;
        let described = Spread::with(&selection, &cells, self.uncertainty, compared);
        let columns = self.column_keys(&selection, &cells);
        let best = best(&selection, &cells);

        let mut footnotes = Footnotes::default();
        let mut lines = Vec::new();
        for row in selection.values(&self.rows) {
            let mut line = vec![TableCell::from(markdown::escape(&row.to_string()))];
            for column in &columns {
                let mut key = vec![row.clone()];
                key.extend(column.iter().cloned());
                let text = self.cell(
                    &selection,
                    &cells,
                    &key,
                    (best.as_deref(), compared),
                    &described,
                    &mut footnotes,
                );
                let behind = cells.get(&key).map_or(&[][..], |cell| &cell.rows);
                line.push(TableCell::of(text, input, behind));
            }
            lines.push(line);
        }

        let mut heads = vec![markdown::escape(&axes::label(&self.rows))];
        heads.extend(
            columns
                .iter()
                .map(|column| markdown::escape(&axes::phrases(&self.columns, column))),
        );
        let mut numeric = vec![true; heads.len()];
        if let Some(first) = numeric.first_mut() {
            *first = selection
                .values(&self.rows)
                .iter()
                .all(|value| axes::number(value).is_some());
        }

        let mut notes = footnotes.lines();
        if best.is_some() {
            let which = if selection.better == Some(Better::Lower) {
                "lowest"
            } else {
                "highest"
            };
            notes.push(format!("Bold: the {which} printed mean."));
        }
        Ok(RenderedTable {
            title: self.question.title.clone(),
            caption: selection.caption(&described.phrase),
            body: Body::of(heads, numeric, lines),
            notes,
            fixed: selection.fixed(&spread),
            sql: query::of_selection(&selection),
        })
    }
}

impl Grid {
    /// What messages call it.
    fn place(&self) -> String {
        format!("table `{}`", self.question.title)
    }

    /// The rows' axis, then the columns' axes.
    fn spread(&self) -> Vec<String> {
        std::iter::once(&self.rows)
            .chain(&self.columns)
            .cloned()
            .collect()
    }

    /// The columns: every combination that some row or some missing result has. Of two axes, the first varies slowest.
    fn column_keys(&self, selection: &Selection<'_>, cells: &Cells<'_>) -> Vec<Vec<AxisValue>> {
        let mut keys: BTreeSet<Vec<AxisValue>> = cells
            .keys()
            .map(|key| key.iter().skip(1).cloned().collect())
            .collect();
        for missing in &selection.missing {
            let value = |axis: &String| {
                let text = missing.axes.get(axis)?;
                selection
                    .values(axis)
                    .into_iter()
                    .find(|value| value.to_string() == *text)
            };
            keys.extend(self.columns.iter().map(value).collect::<Option<Vec<_>>>());
        }
        keys.into_iter().collect()
    }

    fn cell(
        &self,
        selection: &Selection<'_>,
        cells: &Cells<'_>,
        key: &[AxisValue],
        (best, compared): (Option<&str>, Compared<'_>),
        described: &Spread,
        footnotes: &mut Footnotes,
    ) -> String {
        let spread = self.spread();
        let reason = selection.reason(&spread, key);
        let Some(cell) = cells.get(key) else {
            return footnotes.absent(reason.unwrap_or("no such combination"));
        };
        let mean = selection.unit.show(cell.mean, DECIMALS);
        let mut text = match self.uncertainty.of(cell, (&spread, key), compared) {
            Some(shown) => format!("{mean} {}", shown.text(&selection.unit, DECIMALS)),
            None => mean.clone(),
        };
        if best == Some(mean.as_str()) {
            text = format!("**{text}**");
        }
        if cell.rows.len() < described.most {
            let count = plural(cell.rows.len(), "result");
            let why = reason.map_or_else(String::new, |reason| format!(": {reason}"));
            text.push_str(&footnotes.mark(&format!("{count} instead of {}{why}", described.most)));
        }
        text
    }
}

/// The best printed mean, where one is better than another and there is something to compare.
fn best(selection: &Selection<'_>, cells: &Cells<'_>) -> Option<String> {
    if cells.len() < 2 {
        return None;
    }
    let means = cells.values().map(|cell| cell.mean);
    let best = match selection.better? {
        Better::Higher => means.max_by(f64::total_cmp)?,
        Better::Lower => means.min_by(f64::total_cmp)?,
        Better::Neither => return None,
    };
    Some(selection.unit.show(best, DECIMALS))
}
