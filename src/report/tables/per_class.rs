//! Table kind `per-class`: a row for each class, a mean with its interval for each value of one axis, and how many images the class has.
//!
//! Cells are means over the axes in `over`, with the mean of their bounds, as `spread = "images"` of a `grid` (see [`Uncertainty`]). With `show`
//! only the classes with the lowest means are listed, from the lowest: a choice by the reported values, which the notes say.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::footnotes::Footnotes;
use super::{Body, RenderedTable, Table, TableCell, TableKind};
use crate::report::axes::{self, KnownAxes};
use crate::report::comparison::Compared;
use crate::report::error::ReportError;
use crate::report::input::ReportInput;
use crate::report::markdown;
use crate::report::number::mean;
use crate::report::query;
use crate::report::selection::{
    Cells, FILTER_KEY, METRIC_KEY, OVER_KEY, Question, Selection, Spread, TITLE_KEY, Uncertainty,
    axis_at,
};
use crate::spec::{Count, Fields, Key, Kind, KindDoc, Text};
use crate::store::AxisValue;

const COLUMNS: Key<Text> = Key::text("columns", "an axis")
    .optional("one column")
    .doc("The axis whose values head the columns, such as `head`.");
const SHOW: Key<Count> = Key::count("show", 1..=100_000)
    .optional("all classes, by their number")
    .doc("Only so many classes with the lowest means over the columns, from the lowest.");

/// The axis of the rows.
const CLASS: &str = "class";

/// `kind = "per-class"`.
pub const KIND: TableKind = Kind::new(
    KindDoc {
        name: "per-class",
        summary: "A row for each class, with the interval of each value over the class's images, and their number; `metric` is the value of a metric of kind `per-class`.",
        keys: &[
            &METRIC_KEY,
            &TITLE_KEY,
            &COLUMNS,
            &SHOW,
            &FILTER_KEY,
            &OVER_KEY,
        ],
        shared: &[],
    },
    parse,
);

/// Decimals of a printed mean.
const DECIMALS: usize = 1;

fn parse(fields: &Fields<'_>, known: &KnownAxes) -> Option<Arc<dyn Table>> {
    let question = Question::parse(fields, known)?;
    let columns = if fields.has(COLUMNS.name) {
        Some(axis_at(fields, &COLUMNS, known)?)
    } else {
        None
    };
    let show = fields.get(&SHOW);
    Some(Arc::new(PerClass {
        question,
        columns,
        show,
    }))
}

#[derive(Debug)]
struct PerClass {
    question: Question,
    columns: Option<String>,
    show: Option<u32>,
}

impl Table for PerClass {
    fn question(&self) -> &Question {
        &self.question
    }

    fn ranks(&self) -> bool {
        false
    }

    fn axes(&self) -> &'static [&'static str] {
        &[CLASS]
    }

    fn render(
        &self,
        input: &ReportInput,
        compared: Compared<'_>,
    ) -> Result<RenderedTable, ReportError> {
        let selection = self
            .question
            .put(&format!("table `{}`", self.question.title), input)?;
        let spread: Vec<String> = std::iter::once(CLASS.to_owned())
            .chain(self.columns.clone())
            .collect();
        let cells = selection.cells(&spread)?;
        let described = Spread::with(&selection, &cells, Uncertainty::Images, compared);
        let columns: BTreeSet<Vec<AxisValue>> = cells.keys().map(|key| key[1..].to_vec()).collect();
        let all = classes(&cells);
        let shown = self.shown(&cells, &columns, all.clone());
        let mut footnotes = Footnotes::default();
        let lines = shown.iter().map(|class| {
            let mut line = vec![TableCell::from(markdown::escape(&class.to_string()))];
            for column in &columns {
                let key: Vec<AxisValue> = std::iter::once(class).chain(column).cloned().collect();
                let text = cell(&selection, &cells, &spread, &key, &mut footnotes);
                let behind = cells.get(&key).map_or(&[][..], |cell| &cell.rows);
                line.push(TableCell::of(text, input, behind));
            }
            line.push(images(&cells, class).into());
            line
        });
        let lines: Vec<Vec<TableCell>> = lines.collect();
        let mut heads = vec![CLASS.to_owned()];
        heads.extend(columns.iter().map(|column| match &self.columns {
            Some(axis) => markdown::escape(&axes::phrases(std::slice::from_ref(axis), column)),
            None => markdown::escape(&self.question.metric.value),
        }));
        heads.push("images".to_owned());
        let numeric = vec![true; heads.len()];
        let mut notes = footnotes.lines();
        if shown.len() < all.len() {
            notes.push(format!(
                "The {} of {} classes with the lowest means, picked by these values.",
                shown.len(),
                all.len()
            ));
        }
        Ok(RenderedTable {
            title: self.question.title.clone(),
            // How many images a class has is in the table.
            caption: format!(
                "{}, {}: {}.",
                markdown::code(&self.question.metric.value),
                markdown::escape(&selection.unit.phrase()),
                markdown::escape(&described.phrase)
            ),
            body: Body::of(heads, numeric, lines),
            notes,
            fixed: selection.fixed(&spread),
            sql: query::of_selection(&selection),
        })
    }
}

impl PerClass {
    /// The classes that are shown, in their order.
    fn shown(
        &self,
        cells: &Cells<'_>,
        columns: &BTreeSet<Vec<AxisValue>>,
        mut classes: Vec<AxisValue>,
    ) -> Vec<AxisValue> {
        let Some(show) = self.show else {
            return classes;
        };
        let mean_of = |class: &AxisValue| {
            let keys = columns.iter().map(|column| {
                let key: Vec<AxisValue> = std::iter::once(class).chain(column).cloned().collect();
                cells.get(&key).map(|cell| cell.mean)
            });
            // Every class that is listed has a cell.
            mean(&keys.flatten().collect::<Vec<f64>>()).unwrap_or(f64::NAN)
        };
        classes.sort_by(|left, right| mean_of(left).total_cmp(&mean_of(right)));
        classes.truncate(show as usize);
        classes
    }
}

/// Every class that has a cell, in order.
fn classes(cells: &Cells<'_>) -> Vec<AxisValue> {
    let classes: BTreeSet<&AxisValue> = cells.keys().filter_map(|key| key.first()).collect();
    classes.into_iter().cloned().collect()
}

fn cell(
    selection: &Selection<'_>,
    cells: &Cells<'_>,
    spread: &[String],
    key: &[AxisValue],
    footnotes: &mut Footnotes,
) -> String {
    let Some(cell) = cells.get(key) else {
        let reason = selection.reason(spread, key);
        return footnotes.absent(reason.unwrap_or("no such combination"));
    };
    let mean = selection.unit.show(cell.mean, DECIMALS);
    // A class has the interval of its own result.
    match Uncertainty::Images.of(cell, (&[], &[]), Compared::at(None, "")) {
        Some(shown) => format!("{mean} {}", shown.text(&selection.unit, DECIMALS)),
        None => mean,
    }
}

/// How many images a class has; several numbers where the columns are of several datasets.
fn images(cells: &Cells<'_>, class: &AxisValue) -> String {
    let of_class = cells.iter().filter(|(key, _)| key.first() == Some(class));
    let counts: BTreeSet<u64> = of_class
        .flat_map(|(_, cell)| &cell.rows)
        .filter_map(|row| Some(row.counted?.scored))
        .collect();
    let texts: Vec<String> = counts.iter().map(ToString::to_string).collect();
    if texts.is_empty() {
        "not counted".to_owned()
    } else {
        texts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{input, of_head, parsed, row, with};
    use crate::store::{Counted, ResultRow};

    fn of_class(class: u32, seed: u64, correct: u64, scored: u64) -> ResultRow {
        let value = correct as f64 / scored as f64;
        let mut row = with(row(seed, value), [("class", class.into())]);
        row.metric = "class_accuracy".to_owned();
        row.counted = Some(Counted { correct, scored });
        of_head(row, format!("{seed:064x}"))
    }

    fn render(keys: &str) -> RenderedTable {
        let text = format!("metric = \"class_accuracy\"\n{keys}");
        let (table, mistakes) = parsed(&text, |fields| {
            KIND.read_with(fields, &KnownAxes::default())
        });
        assert!(mistakes.is_empty(), "{mistakes:?}");
        let rows = vec![
            of_class(0, 0, 9, 10),
            of_class(0, 1, 8, 10),
            of_class(1, 0, 5, 10),
            of_class(1, 1, 5, 10),
            of_class(2, 0, 3, 4),
            of_class(2, 1, 3, 4),
        ];
        table
            .unwrap()
            .render(&input(rows), Compared::at(None, ""))
            .unwrap()
    }

    #[test]
    fn classes_stand_in_order_with_their_intervals_and_images() {
        // The made-up intervals end 3 points below and 2 above.
        assert_eq!(
            render("").body.markdown(),
            "| class | class_accuracy | images |\n| ---: | ---: | ---: |\n| 0 | 85.0 [82.0, 87.0] | 10 |\n| 1 | 50.0 [47.0, 52.0] | 10 |\n| 2 | 75.0 [72.0, 77.0] | 4 |\n"
        );
    }

    #[test]
    fn the_lowest_are_shown_first_and_it_is_said_that_they_were_picked() {
        let rendered = render("columns = \"head\"\nshow = 2");
        assert_eq!(
            rendered.body.markdown(),
            "| class | linear | images |\n| ---: | ---: | ---: |\n| 1 | 50.0 [47.0, 52.0] | 10 |\n| 2 | 75.0 [72.0, 77.0] | 4 |\n"
        );
        assert!(rendered.notes[0].contains("2 of 3 classes"), "{rendered:?}");
    }
}
