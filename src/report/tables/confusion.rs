//! Table kind `confusion`: which classes are taken for which.
//!
//! Up to [`MATRIX`] classes it is a matrix, with true classes down and predicted ones across; with more, a list of the pairs that are confused most
//! often. Numbers are images, as means over the axes in `over`: a pair that does not occur in a run counts as 0 there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Body, RenderedTable, Table, TableCell, TableKind};
use crate::report::axes::KnownAxes;
use crate::report::comparison::Compared;
use crate::report::error::ReportError;
use crate::report::input::ReportInput;
use crate::report::markdown;
use crate::report::query;
use crate::report::selection::{
    FILTER_KEY, METRIC_KEY, OVER_KEY, Question, Selection, TITLE_KEY, value_of,
};
use crate::spec::{Count, Fields, Key, Kind, KindDoc};
use crate::store::AxisValue;
use crate::text::plural;

const SHOW: Key<Count> = Key::count("show", 1..=10_000)
    .default(20)
    .doc("How many pairs are listed where there are too many classes for a matrix.");

/// The axes of the pairs.
const AXES: [&str; 2] = ["class", "predicted"];

/// The most classes of a matrix.
const MATRIX: usize = 20;

/// `kind = "confusion"`.
pub const KIND: TableKind = Kind::new(
    KindDoc {
        name: "confusion",
        summary: "Which classes are taken for which: a matrix for up to 20 classes, else the most frequent confusions; `metric` is the value of a metric of kind `confusion`.",
        keys: &[&METRIC_KEY, &TITLE_KEY, &SHOW, &FILTER_KEY, &OVER_KEY],
        shared: &[],
    },
    parse,
);

fn parse(fields: &Fields<'_>, known: &KnownAxes) -> Option<Arc<dyn Table>> {
    let question = Question::parse(fields, known)?;
    let show = fields.get(&SHOW)?;
    Some(Arc::new(Confusion { question, show }))
}

#[derive(Debug)]
struct Confusion {
    question: Question,
    show: u32,
}

/// Mean counts by true and predicted class, with the positions of the results behind each.
type Counts = BTreeMap<(AxisValue, AxisValue), (f64, Vec<usize>)>;

impl Table for Confusion {
    fn question(&self) -> &Question {
        &self.question
    }

    fn ranks(&self) -> bool {
        false
    }

    fn axes(&self) -> &'static [&'static str] {
        &AXES
    }

    fn render(
        &self,
        input: &ReportInput,
        _compared: Compared<'_>,
    ) -> Result<RenderedTable, ReportError> {
        let selection = self
            .question
            .put(&format!("table `{}`", self.question.title), input)?;
        let runs = runs(&selection);
        let spread = AXES.map(str::to_owned);
        let cells = selection.cells(&spread)?;
        let counts: Counts = cells
            .iter()
            .filter_map(|(key, cell)| {
                let [class, predicted] = key.as_slice() else {
                    return None;
                };
                // A run in which the pair does not occur has no row.
                let sum: f64 = cell.rows.iter().map(|row| row.value).sum();
                let count = (sum / runs as f64, input.positions(&cell.rows));
                Some(((class.clone(), predicted.clone()), count))
            })
            .collect();
        let classes: BTreeSet<&AxisValue> = counts
            .keys()
            .flat_map(|(class, predicted)| [class, predicted])
            .collect();
        let (body, what) = if classes.len() <= MATRIX {
            (
                matrix(&counts, &classes),
                "true classes down, predicted ones across".to_owned(),
            )
        } else {
            let show = self.show as usize;
            (
                pairs(&counts, show),
                format!("the {} that were confused most often", plural(show, "pair")),
            )
        };
        let mean = if runs == 1 {
            String::new()
        } else {
            format!(", mean over {}", plural(runs, "run"))
        };
        Ok(RenderedTable {
            title: self.question.title.clone(),
            caption: format!(
                "{}, in images{mean}: {what}.",
                markdown::code(&self.question.metric.value)
            ),
            body,
            notes: selection.absent(),
            fixed: selection.fixed(&spread),
            sql: query::of_selection(&selection),
        })
    }
}

/// How many runs are averaged over; at least 1.
fn runs(selection: &Selection<'_>) -> usize {
    let over = &selection.question.over;
    let runs: BTreeSet<Vec<AxisValue>> = selection
        .rows
        .iter()
        .map(|row| over.iter().map(|axis| value_of(row, axis)).collect())
        .collect();
    runs.len().max(1)
}

/// A mean count: whole, or with one decimal.
fn shown(count: f64) -> String {
    if count.fract() == 0.0 {
        format!("{count:.0}")
    } else {
        format!("{count:.1}")
    }
}

fn matrix(counts: &Counts, classes: &BTreeSet<&AxisValue>) -> Body {
    let mut heads = vec!["class".to_owned()];
    heads.extend(
        classes
            .iter()
            .map(|class| markdown::escape(&class.to_string())),
    );
    let lines: Vec<Vec<TableCell>> = classes
        .iter()
        .map(|&class| {
            let mut line = vec![TableCell::from(markdown::escape(&class.to_string()))];
            line.extend(classes.iter().map(|&predicted| {
                let count = counts.get(&(class.clone(), predicted.clone()));
                let text = count.map_or_else(|| "0".to_owned(), |(count, _)| shown(*count));
                let text = if class == predicted {
                    format!("**{text}**")
                } else {
                    text
                };
                let rows = count.map_or_else(Vec::new, |(_, rows)| rows.clone());
                TableCell { text, rows }
            }));
            line
        })
        .collect();
    let numeric = vec![true; heads.len()];
    Body::of(heads, numeric, lines)
}

/// The most frequent pairs of different classes; of equally frequent ones those with lower numbers.
fn pairs(counts: &Counts, show: usize) -> Body {
    let mut of_class: BTreeMap<&AxisValue, f64> = BTreeMap::new();
    for ((class, _), (count, _)) in counts {
        *of_class.entry(class).or_default() += count;
    }
    let confused = counts.iter();
    let confused = confused.filter(|((class, predicted), _)| class != predicted);
    let mut confused: Vec<_> = confused.collect();
    confused.sort_by(|left, right| right.1.0.total_cmp(&left.1.0));
    confused.truncate(show);
    let lines: Vec<Vec<TableCell>> = confused
        .into_iter()
        .map(|((class, predicted), (count, rows))| {
            let share = of_class
                .get(class)
                .map_or(f64::NAN, |all| 100.0 * count / all);
            [
                markdown::escape(&class.to_string()),
                markdown::escape(&predicted.to_string()),
                shown(*count),
                format!("{share:.1}"),
            ]
            .map(|text| TableCell {
                text,
                rows: rows.clone(),
            })
            .into()
        })
        .collect();
    let heads = ["class", "predicted", "images", "% of the class"].map(str::to_owned);
    Body::of(heads.into(), vec![true; 4], lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{input, of_head, parsed, row, with};
    use crate::store::{Better, ResultRow};

    fn count(class: u32, predicted: u32, seed: u64, images: f64) -> ResultRow {
        let at = [("class", class.into()), ("predicted", predicted.into())];
        let mut row = with(row(seed, images), at);
        row.metric = "confusion".to_owned();
        row.unit = "images".to_owned();
        row.better = Better::Neither;
        (row.interval, row.counted) = (None, None);
        of_head(row, format!("{seed:064x}"))
    }

    fn render(keys: &str, rows: Vec<ResultRow>) -> RenderedTable {
        let text = format!("metric = \"confusion\"\n{keys}");
        let (table, mistakes) = parsed(&text, |fields| {
            KIND.read_with(fields, &KnownAxes::default())
        });
        assert!(mistakes.is_empty(), "{mistakes:?}");
        table
            .unwrap()
            .render(&input(rows), Compared::at(None, ""))
            .unwrap()
    }

    #[test]
    fn a_pair_that_one_run_lacks_counts_as_0_there() {
        let rows = vec![
            count(0, 0, 0, 9.0),
            count(0, 1, 0, 1.0),
            count(1, 1, 0, 10.0),
            count(0, 0, 1, 10.0),
            count(1, 1, 1, 10.0),
        ];
        let rendered = render("", rows);
        assert_eq!(
            rendered.body.markdown(),
            "| class | 0 | 1 |\n| ---: | ---: | ---: |\n| 0 | **9.5** | 0.5 |\n| 1 | 0 | **10** |\n"
        );
        assert!(
            rendered.caption.contains("mean over 2 runs"),
            "{rendered:?}"
        );
    }

    #[test]
    fn many_classes_are_listed_by_how_often_they_are_confused() {
        let mut rows: Vec<ResultRow> = (0..30).map(|class| count(class, class, 0, 8.0)).collect();
        rows.extend([
            count(3, 4, 0, 2.0),
            count(7, 1, 0, 8.0),
            count(9, 2, 0, 1.0),
        ]);
        assert_eq!(
            render("show = 2", rows).body.markdown(),
            "| class | predicted | images | % of the class |\n| ---: | ---: | ---: | ---: |\n| 7 | 1 | 8 | 50.0 |\n| 3 | 4 | 2 | 20.0 |\n"
        );
    }
}
