//! Figure kind `heatmap`: a metric over two axes, as colors with the numbers written in them.

mod map;

use std::sync::Arc;

use self::map::Map;
use super::canvas::{Words, draw};
use super::pending::pending;
use super::{Figure, FigureKind, RenderedFigure, data};
use crate::report::axes::{self, KnownAxes};
use crate::report::config::{FILE_KEY, file_name};
use crate::report::error::ReportError;
use crate::report::input::ReportInput;
use crate::report::query;
use crate::report::selection::{
    Cells, FILTER_KEY, METRIC_KEY, OVER_KEY, Question, Selection, Spread, TITLE_KEY, axis_at,
};
use crate::spec::fields::Spanned;
use crate::spec::{Fields, Key, Kind, KindDoc, Text};
use crate::store::AxisValue;

const ROWS: Key<Text> =
    Key::text("rows", "an axis").doc("The axis that runs down, such as `block`.");
const COLUMNS: Key<Text> = Key::text("columns", "an axis").doc(
    "The axis that runs to the right, such as `timestep`. More than 14 values are drawn small; the longer axis belongs in `rows`.",
);

/// `kind = "heatmap"`.
pub const KIND: FigureKind = Kind::new(
    KindDoc {
        name: "heatmap",
        summary: "A metric over two axes, as colors with the numbers written in them.",
        keys: &[
            &FILE_KEY,
            &METRIC_KEY,
            &TITLE_KEY,
            &ROWS,
            &COLUMNS,
            &FILTER_KEY,
            &OVER_KEY,
        ],
        shared: &[],
    },
    parse,
);

/// The most rows, and the most columns, that a page holds.
const MOST_SIDE: usize = 40;

fn parse(fields: &Fields<'_>, known: &KnownAxes) -> Option<Arc<dyn Figure>> {
    let file = file_name(fields, &FILE_KEY, ".svg");
    let question = Question::parse(fields, known);
    let rows = axis_at(fields, &ROWS, known);
    let columns = axis_at(fields, &COLUMNS, known);
    let (file, question, rows, columns) = (file?, question?, rows?, columns?);
    if rows == columns {
        let message = format!(
            "`{rows}` cannot be both `rows` and `columns` of {}",
            fields.context()
        );
        fields.invalid(COLUMNS.name, "report::axis-twice", message, None);
    }
    fields.is_sound().then(|| {
        Arc::new(Heatmap {
            file,
            question,
            rows,
            columns,
        }) as Arc<dyn Figure>
    })
}

#[derive(Debug)]
struct Heatmap {
    file: Spanned<String>,
    question: Question,
    rows: String,
    columns: String,
}

impl Figure for Heatmap {
    fn file(&self) -> &Spanned<String> {
        &self.file
    }

    fn question(&self) -> Option<&Question> {
        Some(&self.question)
    }

    fn render(&self, input: &ReportInput) -> Result<RenderedFigure, ReportError> {
        let selection = self
            .question
            .put(&format!("figure `{}`", self.file.value), input)?;
        if let Some(why) = selection.nothing_but_reasons() {
            return pending(input, &self.file, &self.question.title, why);
        }
        let spread = vec![self.rows.clone(), self.columns.clone()];
        let cells = selection.cells(&spread)?;
        let map = self.map(&selection, &cells)?;
        let described = Spread::of(&selection, &cells);
        let averaged = if map.is_whole() {
            format!("{}, in whole numbers", described.mean)
        } else {
            described.mean
        };
        let metric = &self.question.metric.value;
        let alternative = format!(
            "{metric} {} by {} and {}",
            map.unit.phrase(),
            axes::label(&self.rows),
            axes::label(&self.columns)
        );
        let words = Words {
            title: &self.question.title,
            subtitle: &format!("{metric}, {} · {averaged}", map.unit.phrase()),
            description: &format!("{alternative}. {}", map.in_words()),
        };
        let layout = map.layout();
        let svg = draw(
            &selection.place,
            (layout.width, layout.height),
            words,
            |canvas| map.paint(canvas, &layout),
        )?;

        Ok(RenderedFigure {
            title: self.question.title.clone(),
            file: self.file.value.clone(),
            alternative,
            caption: selection.caption(&averaged),
            notes: selection.absent(),
            fixed: selection.fixed(&spread),
            sql: Some(query::of_selection(&selection)),
            rows: input.positions(&selection.rows),
            data: Some(data::of_cells(&spread, &cells, |_, _| None)),
            artifact: None,
            svg: Some(svg),
        })
    }
}

impl Heatmap {
    fn map(&self, selection: &Selection<'_>, cells: &Cells<'_>) -> Result<Map, ReportError> {
        let (rows, columns) = (
            selection.values(&self.rows),
            selection.values(&self.columns),
        );
        for (count, what) in [(rows.len(), "rows"), (columns.len(), "columns")] {
            if count > MOST_SIDE {
                return Err(ReportError::TooMany {
                    place: selection.place.clone(),
                    count,
                    what,
                    limit: MOST_SIDE,
                });
            }
        }
        let unit = selection.unit.clone();
        let value = |row: &AxisValue, column: &AxisValue| {
            Some(unit.scaled(cells.get(&vec![row.clone(), column.clone()])?.mean))
        };
        let values: Vec<Vec<Option<f64>>> = rows
            .iter()
            .map(|row| columns.iter().map(|column| value(row, column)).collect())
            .collect();
        let all = || values.iter().flatten().flatten().copied();
        let texts = |values: &[AxisValue]| values.iter().map(ToString::to_string).collect();
        Ok(Map {
            low: all().reduce(f64::min).unwrap_or(0.0),
            high: all().reduce(f64::max).unwrap_or(0.0),
            rows: texts(&rows),
            columns: texts(&columns),
            rows_title: axes::label(&self.rows),
            columns_title: axes::title(&self.columns),
            values,
            unit,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::figures::theme::{STEPS, ramp};
    use crate::report::testing::{input, pair, parsed, row, with};
    use crate::store::ResultRow;

    fn figure() -> Arc<dyn Figure> {
        let text = "kind = \"heatmap\"\nfile = \"a.svg\"\nmetric = \"top1\"\nrows = \"timestep\"\ncolumns = \"block\"\n";
        let (figure, mistakes) =
            parsed(text, |fields| KIND.read_with(fields, &KnownAxes::default()));
        assert!(mistakes.is_empty(), "{mistakes:?}");
        figure.unwrap()
    }

    fn at(timestep: u32, block: u32, value: f64) -> ResultRow {
        with(
            row(0, value),
            [("timestep", timestep.into()), ("block", block.into())],
        )
    }

    #[test]
    fn values_stand_in_the_cells_and_in_the_description() {
        let rendered = figure()
            .render(&input(vec![
                at(90, 19, 0.5),
                at(90, 24, 0.75),
                at(150, 19, 0.625),
            ]))
            .unwrap();
        assert!(
            rendered
                .drawing()
                .contains("timestep 90: 50.00 at 19, 75.00 at 24. timestep 150: 62.50 at 19.")
        );
        let lowest = ramp()[0].light_code();
        let highest = ramp()[STEPS - 1].light_code();
        assert!(rendered.drawing().contains(&lowest) && rendered.drawing().contains(&highest));
        assert_eq!(rendered.drawing().matches("\n–\n").count(), 1);
        assert_eq!(
            rendered.alternative,
            "top1 in percent by timestep and block"
        );
    }

    #[test]
    fn the_caption_promises_no_spread() {
        let other = with(at(90, 19, 0.7), [("seed", 1_u32.into())]);
        let rendered = figure()
            .render(&input(vec![at(90, 19, 0.5), other]))
            .unwrap();
        assert!(
            rendered
                .caption
                .contains("in percent: mean over 2 seeds (0, 1);"),
            "{}",
            rendered.caption
        );
    }

    #[test]
    fn pairs_of_blocks_make_a_map_of_values_without_counts() {
        let text = "kind = \"heatmap\"\nfile = \"a.svg\"\nmetric = \"cka\"\nrows = \"left_block\"\ncolumns = \"right_block\"\n";
        let (figure, mistakes) =
            parsed(text, |fields| KIND.read_with(fields, &KnownAxes::default()));
        assert!(mistakes.is_empty(), "{mistakes:?}");
        let mut rows = Vec::new();
        for left in 1..=3_u32 {
            for right in 1..=3_u32 {
                rows.push(pair(left, right, 1.0 / f64::from(1 + left.abs_diff(right))));
            }
        }
        let rendered = figure.unwrap().render(&input(rows)).unwrap();
        assert_eq!(rendered.caption, "`cka`, without a unit: single values.");
        assert!(
            rendered
                .drawing()
                .contains("left block 2: 0.50 at 1, 1.00 at 2, 0.50 at 3."),
            "{}",
            rendered.drawing()
        );
        assert_eq!(
            rendered.fixed,
            ["left dataset fashion", "right dataset fashion"]
        );
        assert!(rendered.sql.unwrap().contains("left_fingerprint IN"));
    }

    #[test]
    fn one_value_lies_in_the_middle_of_the_scale() {
        let rendered = figure().render(&input(vec![at(90, 19, 0.5)])).unwrap();
        assert!(rendered.drawing().contains(&ramp()[STEPS / 2].light_code()));
    }

    #[test]
    fn what_is_not_percent_has_two_decimals() {
        let rows = (1..=20).map(|block| ResultRow {
            unit: String::new(),
            ..at(90, block, 0.05 * f64::from(block))
        });
        let rendered = figure().render(&input(rows.collect())).unwrap();
        let svg = rendered.svg.unwrap();
        assert!(svg.contains("\n0.35\n"), "{svg}");
        assert!(!svg.contains("whole numbers"), "{svg}");
    }

    #[test]
    fn more_cells_than_a_page_holds_are_refused() {
        let rows = (0..41).map(|block| at(90, block, 0.5)).collect();
        assert!(matches!(
            figure().render(&input(rows)),
            Err(ReportError::TooMany {
                what: "columns",
                ..
            })
        ));
    }
}
