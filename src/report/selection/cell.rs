//! Cells: the rows of one combination of values, and their mean.

use std::collections::{BTreeMap, BTreeSet};

use super::{Selection, value_of};
use crate::report::axes;
use crate::report::error::ReportError;
use crate::report::number::{deviation, listed, mean};
use crate::report::query;
use crate::store::{AxisValue, ResultRow};

/// Cells by their values on the axes that are spread out.
pub type Cells<'a> = BTreeMap<Vec<AxisValue>, Cell<'a>>;

/// One cell of a table, or one point of a figure.
#[derive(Debug, Clone)]
pub struct Cell<'a> {
    /// Mean of the values, as they are stored (fractions stay fractions).
    pub mean: f64,
    /// Sample standard deviation; `None` for a single row.
    pub deviation: Option<f64>,
    /// The rows, at least one, in the order of the axes that are averaged over.
    pub rows: Vec<&'a ResultRow>,
}

/// See [`Selection::cells`].
pub(super) fn gather<'a>(
    selection: &Selection<'a>,
    spread: &[String],
) -> Result<Cells<'a>, ReportError> {
    let mut groups: BTreeMap<Vec<AxisValue>, Vec<&'a ResultRow>> = BTreeMap::new();
    for row in &selection.rows {
        if !row.value.is_finite() {
            return Err(ReportError::NotFinite {
                place: selection.place.clone(),
                origin: query::origin(row),
                value: row.value,
            });
        }
        let key = spread.iter().map(|axis| value_of(row, axis)).collect();
        groups.entry(key).or_default().push(row);
    }
    let mut cells = BTreeMap::new();
    for (key, rows) in groups {
        let cell = average(selection, spread, &key, rows)?;
        cells.insert(key, cell);
    }
    Ok(cells)
}

fn average<'a>(
    selection: &Selection<'a>,
    spread: &[String],
    key: &[AxisValue],
    rows: Vec<&'a ResultRow>,
) -> Result<Cell<'a>, ReportError> {
    let over = &selection.question.over;
    let name = || match axes::phrases(spread, key) {
        phrases if phrases.is_empty() => "all of it".to_owned(),
        phrases => phrases,
    };
    let varying: Vec<String> = axes::of(rows.iter().copied())
        .into_iter()
        .filter(|axis| !over.iter().any(|averaged| averaged == axis))
        .filter(|axis| {
            rows.iter()
                .map(|row| value_of(row, axis))
                .collect::<BTreeSet<_>>()
                .len()
                > 1
        })
        .map(|axis| format!("`{axis}`"))
        .collect();
    if !varying.is_empty() {
        return Err(ReportError::Averaging {
            place: selection.place.clone(),
            cell: name(),
            varying: listed(&varying),
            remedies: "an axis of the table or figure, in `where`, or in `over` if their mean is what you want".to_owned(),
        });
    }
    let mut distinct: BTreeMap<Vec<AxisValue>, &'a ResultRow> = BTreeMap::new();
    for row in rows {
        let averaged: Vec<AxisValue> = over.iter().map(|axis| value_of(row, axis)).collect();
        match distinct.get(&averaged) {
            None => {
                distinct.insert(averaged, row);
            }
            // The same result, listed twice, counts once.
            Some(known)
                if known.sources == row.sources && known.value.to_bits() == row.value.to_bits() => {
            }
            Some(known) => {
                return Err(ReportError::Ambiguous {
                    place: selection.place.clone(),
                    cell: name(),
                    first: query::origin(known),
                    second: query::origin(row),
                });
            }
        }
    }
    let rows: Vec<&'a ResultRow> = distinct.into_values().collect();
    let values: Vec<f64> = rows.iter().map(|row| row.value).collect();
    Ok(Cell {
        // A group is made by its first row, so that the mean exists.
        mean: mean(&values).unwrap_or(f64::NAN),
        deviation: deviation(&values),
        rows,
    })
}

#[cfg(test)]
mod tests {
    use crate::message::Hint;
    use crate::report::error::ReportError;
    use crate::report::testing::{input, question, row, with};
    use crate::store::AxisValue;

    fn axes(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn seeds_are_averaged_by_hand() {
        let mut input = input(Vec::new());
        for (seed, value) in [(0, 0.80), (1, 0.82), (2, 0.87)] {
            input.results.push(row(seed, value));
        }
        let question = question("metric = \"top1\"");
        let selection = question.put("table", &input).unwrap();
        let cells = selection.cells(&axes(&["timestep"])).unwrap();
        let cell = &cells[&vec![AxisValue::Integer(90)]];
        assert!((cell.mean - 0.83).abs() < 1e-12);
        assert!((cell.deviation.unwrap() - 0.036_055_512_754_639_9).abs() < 1e-12);
        assert_eq!(cell.rows.len(), 3);
    }

    #[test]
    fn accidental_averaging_is_refused_and_names_the_axes() {
        let moved = [("block", 24_u32.into()), ("learning_rate", 0.1.into())];
        let other = with(row(0, 0.5), moved);
        let input = input(vec![row(0, 0.4), other]);
        let refused = question("metric = \"top1\"");
        let error = refused
            .put("table `x`", &input)
            .unwrap()
            .cells(&axes(&["timestep"]))
            .unwrap_err();
        assert!(matches!(error, ReportError::Averaging { .. }));
        let text = error.explain().to_string();
        assert!(
            text.contains("table `x`")
                && text.contains("`block` and `learning_rate`")
                && text.contains("timestep 90"),
            "{text}"
        );

        let allowed = question("metric = \"top1\"\nover = [\"block\", \"learning_rate\"]");
        let selection = allowed.put("table", &input).unwrap();
        let cells = selection.cells(&axes(&["timestep"])).unwrap();
        assert!((cells[&vec![AxisValue::Integer(90)]].mean - 0.45).abs() < 1e-12);
    }

    #[test]
    fn two_heads_that_no_axis_tells_apart_are_refused_and_one_row_twice_is_not() {
        let mut other = row(0, 0.5);
        other.sources.insert("head".to_owned(), "f".repeat(64));
        let input = input(vec![row(0, 0.4), row(0, 0.4), other]);
        let question = question("metric = \"top1\"");
        let error = question
            .put("table", &input)
            .unwrap()
            .cells(&axes(&["timestep"]))
            .unwrap_err();
        assert!(matches!(error, ReportError::Ambiguous { .. }), "{error}");
        let mut input = input.clone();
        input.results.truncate(2);
        let selection = question.put("table", &input).unwrap();
        assert_eq!(
            selection.cells(&axes(&["timestep"])).unwrap()[&vec![AxisValue::Integer(90)]]
                .rows
                .len(),
            1
        );
    }

    #[test]
    fn infinite_values_are_refused() {
        let input = input(vec![row(0, f64::NAN)]);
        let question = question("metric = \"top1\"");
        let error = question
            .put("table", &input)
            .unwrap()
            .cells(&axes(&["timestep"]))
            .unwrap_err();
        assert!(matches!(error, ReportError::NotFinite { .. }));
    }

    #[test]
    fn filters_compare_by_value_and_say_what_there_is() {
        let input = input(vec![row(0, 0.4), row(1, 0.6)]);
        let one = question("metric = \"top1\"\nwhere = { seed = 1, timestep = [90.0] }");
        assert_eq!(one.put("table", &input).unwrap().rows.len(), 1);
        let part = question("metric = \"top1\"\nwhere = { timestep = [90.0, 91] }");
        let error = part.put("table", &input).unwrap_err();
        assert!(matches!(error, ReportError::NoValue { .. }), "{error}");
        let text = question("metric = \"top1\"\nwhere = { timestep = \"90\" }");
        let text = text.put("table", &input).unwrap_err().explain().to_string();
        assert!(text.contains("write `timestep = 90`"), "{text}");
        let none = question("metric = \"top1\"\nwhere = { timestep = 150 }");
        let text = none.put("table", &input).unwrap_err().explain().to_string();
        assert!(
            text.contains("timestep = 150") && text.contains("`timestep` is `90`"),
            "{text}"
        );
    }

    #[test]
    fn an_unknown_metric_is_guessed() {
        let input = input(vec![row(0, 0.4)]);
        let text = question("metric = \"top-1\"")
            .put("table", &input)
            .unwrap_err()
            .explain()
            .to_string();
        assert!(text.contains("did you mean `top1`?"), "{text}");
    }
}
