//! Table kind `grid`: one axis down, one or two axes across, a mean in every cell.
//!
//! A cell holds mean ± sample standard deviation over the axes in `over` (the seed, unless the file says otherwise). Results that differ in
//! anything else within one cell are refused. A cell that was not measured shows `–` and says why below.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::footnotes::Footnotes;
use super::{RenderedTable, Table, TableKind};
use crate::report::axes;
use crate::report::error::ReportError;
use crate::report::input::ReportInput;
use crate::report::markdown;
use crate::report::query;
use crate::report::selection::{
    Cells, FILTER_KEY, METRIC_KEY, OVER_KEY, Question, Selection, Spread, TITLE_KEY, axes_at,
    axis_at,
};
use crate::spec::{Fields, Key, KindDoc};
use crate::store::AxisValue;
use crate::text::plural;

/// The kind.
pub const KIND: Kind = Kind;

/// See the module.
#[derive(Debug)]
pub struct Kind;

const DOC: KindDoc = KindDoc {
    name: "grid",
    summary: "A table with one axis down and one or two axes across; each cell is a mean over seeds.",
    keys: &[
        METRIC_KEY,
        TITLE_KEY,
        Key::required(
            "rows",
            "an axis",
            "The axis whose values head the rows, such as `block`.",
        ),
        Key::required(
            "columns",
            "an axis or a list of two",
            "The axes whose values head the columns, such as `[\"timestep\", \"pool\"]`.",
        )
        .list(),
        FILTER_KEY,
        OVER_KEY,
    ],
};

/// Decimals of a printed mean.
const DECIMALS: usize = 2;

/// A cell that was not measured.
const ABSENT: &str = "–";

impl TableKind for Kind {
    fn doc(&self) -> &'static KindDoc {
        &DOC
    }

    fn parse(&self, fields: &Fields<'_>) -> Option<Arc<dyn Table>> {
        fields.check_keys(DOC.keys, &["kind"]);
        let question = Question::parse(fields);
        let rows = axis_at(fields, "rows");
        let columns = axes_at(fields, "columns", 1..=2);
        let (question, rows, columns) = (question?, rows?, columns?);
        if columns.contains(&rows) {
            let message = format!(
                "`{rows}` cannot be both the rows and a column of {}",
                fields.context()
            );
            fields.misfit("columns", "report::axis-twice", message, None);
        }
        fields.is_sound().then(|| {
            Arc::new(Grid {
                question,
                rows,
                columns,
            }) as Arc<dyn Table>
        })
    }
}

/// See the module.
#[derive(Debug)]
struct Grid {
    question: Question,
    rows: String,
    /// One or two axes.
    columns: Vec<String>,
}

impl Table for Grid {
    fn question(&self) -> &Question {
        &self.question
    }

    fn render(&self, input: &ReportInput) -> Result<RenderedTable, ReportError> {
        let selection = self
            .question
            .put(&format!("table `{}`", self.question.title), input)?;
        let spread = self.spread();
        let cells = selection.cells(&spread)?;
        let described = Spread::of(&selection, &cells);
        let columns = self.column_keys(&selection, &cells);
        let best = best(&selection, &cells);

        let mut footnotes = Footnotes::default();
        let mut lines = Vec::new();
        for row in selection.values(&self.rows) {
            let mut line = vec![markdown::escape(&row.to_string())];
            for column in &columns {
                let mut key = vec![row.clone()];
                key.extend(column.iter().cloned());
                line.push(self.cell(
                    &selection,
                    &cells,
                    &key,
                    best.as_deref(),
                    &described,
                    &mut footnotes,
                ));
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
            notes
                .push("Bold marks the highest of the printed means. It is a reading aid: nothing was selected by it.".to_owned());
        }
        Ok(RenderedTable {
            title: self.question.title.clone(),
            caption: selection.caption(&described.phrase),
            body: markdown::table(&heads, &numeric, &lines),
            notes,
            fixed: selection.fixed(&spread),
            sql: query::of_selection(&selection),
        })
    }
}

impl Grid {
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
        best: Option<&str>,
        described: &Spread,
        footnotes: &mut Footnotes,
    ) -> String {
        let reason = selection.reason(&self.spread(), key);
        let Some(cell) = cells.get(key) else {
            let reason = reason.unwrap_or("no such result was asked for");
            return format!("{ABSENT}{}", footnotes.mark(reason));
        };
        let mean = selection.unit.show(cell.mean, DECIMALS);
        let mut text = match cell.deviation {
            Some(deviation) => format!("{mean} ± {}", selection.unit.show(deviation, DECIMALS)),
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

/// The highest printed mean, where more is better and there is something to compare.
fn best(selection: &Selection<'_>, cells: &Cells<'_>) -> Option<String> {
    if selection.higher_is_better != Some(true) || cells.len() < 2 {
        return None;
    }
    let highest = cells
        .values()
        .map(|cell| cell.mean)
        .max_by(f64::total_cmp)?;
    Some(selection.unit.show(highest, DECIMALS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::input::MissingResult;
    use crate::report::testing::{input, parsed, row};
    use crate::store::ResultRow;

    fn grid(text: &str) -> Arc<dyn Table> {
        let (table, mistakes) = parsed(text, |fields| KIND.parse(fields));
        assert!(mistakes.is_empty(), "{mistakes:?}");
        table.unwrap()
    }

    fn at(timestep: u32, block: u32, seed: u64, value: f64) -> ResultRow {
        let mut row = row(seed, value);
        (row.timestep, row.block) = (timestep, block);
        row.head_fingerprint = format!("{timestep:032x}{block:016x}{seed:016x}");
        row
    }

    #[test]
    fn cells_are_means_and_the_highest_is_bold() {
        let results = vec![
            at(90, 19, 0, 0.80),
            at(90, 19, 1, 0.82),
            at(90, 19, 2, 0.87),
            at(90, 24, 0, 0.5),
            at(90, 24, 1, 0.5),
            at(90, 24, 2, 0.5),
        ];
        let table = grid(
            "kind = \"grid\"\nmetric = \"top1\"\ntitle = \"A\"\nrows = \"block\"\ncolumns = \"timestep\"\n",
        );
        let rendered = table.render(&input(results)).unwrap();
        assert_eq!(
            rendered.body,
            "| block | timestep 90 |\n| ---: | ---: |\n| 19 | **83.00 ± 3.61** |\n| 24 | 50.00 ± 0.00 |\n"
        );
        assert_eq!(
            rendered.caption,
            "`top1`, in percent: mean ± sample standard deviation (n − 1) over 3 seeds (0, 1, 2). Each value is out of 1,000 test images of fashion."
        );
        assert_eq!(
            rendered.notes,
            [
                "Bold marks the highest of the printed means. It is a reading aid: nothing was selected by it."
            ]
        );
        assert!(
            rendered.fixed.contains(&"pool 1".to_owned())
                && !rendered.fixed.iter().any(|text| text.starts_with("seed"))
        );
    }

    #[test]
    fn nothing_is_bold_where_less_is_better() {
        let mut results = vec![at(90, 19, 0, 0.2), at(90, 24, 0, 0.1)];
        for row in &mut results {
            row.higher_is_better = false;
        }
        let table =
            grid("metric = \"top1\"\nrows = \"block\"\ncolumns = \"timestep\"\nkind = \"grid\"\n");
        let rendered = table.render(&input(results)).unwrap();
        assert!(
            !rendered.body.contains("**") && rendered.notes.is_empty(),
            "{rendered:?}"
        );
    }

    #[test]
    fn missing_cells_say_why_and_so_do_thin_ones() {
        let mut input = input(vec![
            at(90, 19, 0, 0.8),
            at(90, 19, 1, 0.8),
            at(150, 24, 0, 0.5),
        ]);
        let missing = |pairs: &[(&str, &str)], why: &str| MissingResult {
            metric: "top1".to_owned(),
            axes: pairs
                .iter()
                .map(|(axis, value)| ((*axis).to_owned(), (*value).to_owned()))
                .collect(),
            why: why.to_owned(),
        };
        input.missing = vec![
            missing(
                &[("timestep", "150"), ("block", "19")],
                "out of memory | <b>",
            ),
            missing(&[("timestep", "300"), ("block", "19")], "not run yet"),
        ];
        let table = grid(
            "metric = \"top1\"\nrows = \"block\"\ncolumns = [\"timestep\"]\nkind = \"grid\"\n",
        );
        let rendered = table.render(&input).unwrap();
        assert_eq!(
            rendered.body,
            "| block | timestep 90 | timestep 150 | timestep 300 |\n| ---: | ---: | ---: | ---: |\n\
             | 19 | **80.00 ± 0.00** | –<sup>1</sup> | –<sup>2</sup> |\n\
             | 24 | –<sup>3</sup> | 50.00<sup>4</sup> | –<sup>3</sup> |\n"
        );
        assert_eq!(
            rendered.notes[0],
            "<sup>1</sup> out of memory \\| &lt;b&gt;."
        );
        assert_eq!(rendered.notes[3], "<sup>4</sup> 1 result instead of 2.");
        assert!(
            rendered.caption.contains("over 1 to 2 seeds"),
            "{}",
            rendered.caption
        );
    }

    #[test]
    fn two_axes_across_name_both_and_hostile_names_are_escaped() {
        let mut hostile = at(90, 19, 0, 0.5);
        hostile.model = "a|<script>\nb".to_owned();
        let table = grid(
            "metric = \"top1\"\nrows = \"model\"\ncolumns = [\"timestep\", \"pool\"]\nkind = \"grid\"\n",
        );
        let rendered = table.render(&input(vec![hostile])).unwrap();
        assert_eq!(
            rendered.body,
            "| model | timestep 90, pool 1 |\n| :--- | ---: |\n| a\\|&lt;script&gt; b | 50.00 |\n"
        );
    }

    #[test]
    fn mistakes_are_found_where_they_stand() {
        let (table, mistakes) = parsed(
            "kind = \"grid\"\nmetric = \"top1\"\nrows = \"blok\"\ncolumns = [\"pool\", \"pool\"]\nwhere = { tmestep = 1, split = true }\ncolour = 1\n",
            |fields| KIND.parse(fields),
        );
        assert!(table.is_none());
        let codes: Vec<&str> = mistakes
            .iter()
            .filter_map(|mistake| mistake.split(": ").next())
            .collect();
        assert_eq!(
            codes,
            [
                "report::unknown-axis",
                "report::axis-twice",
                "report::unknown-axis",
                "spec::wrong-type",
                "spec::unknown-key"
            ]
        );
    }
}
