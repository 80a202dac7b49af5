//! Results as a CSV file beside the report, and back.
//!
//! One row a value, sorted by metric, axes and sources, with a column for each axis that some row has. The file holds nothing of
//! the run: no times, no device, no machine. So it differs where results do, and two versions can be compared line by line.
//!
//! `csv.rs` has the format of cells.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::axes;
use super::csv::{Cell, digits, parsed, quoted, records, text};
use super::error::ReportError;
use super::query;
use crate::store::{
    AxisValue, Better, Counted, FIXED_COLUMNS, ResultColumn, ResultRow, source_column,
};

/// The file's text.
pub fn write(rows: &[ResultRow]) -> String {
    let axes = axes::of(rows);
    let roles = query::all_roles(rows);

    let [metric, fixed @ ..] = FIXED_COLUMNS;
    let mut heads = vec![metric.to_owned()];
    heads.extend(axes.iter().map(|axis| quoted(axis)));
    heads.extend(fixed.map(str::to_owned));
    heads.extend(roles.iter().map(|role| quoted(&source_column(role))));
    let mut file = heads.join(",") + "\n";
    for row in order(rows).into_iter().map(|position| &rows[position]) {
        let mut cells = vec![quoted(&row.metric)];
        cells.extend(axes.iter().map(|axis| match row.axes.get(*axis) {
            None => String::new(),
            Some(AxisValue::Integer(integer)) => integer.to_string(),
            Some(AxisValue::Number(number)) => digits(*number),
            Some(AxisValue::Text(value)) => text(value),
        }));
        let bound = |side: usize| {
            row.interval
                .map_or_else(String::new, |bounds| digits(bounds[side]))
        };
        let count = |field: fn(Counted) -> u64| {
            row.counted
                .map_or_else(String::new, |counted| field(counted).to_string())
        };
        cells.extend([
            digits(row.value),
            bound(0),
            bound(1),
            count(|counted| counted.correct),
            count(|counted| counted.scored),
            quoted(&row.unit),
            row.better
                .flag()
                .map_or_else(String::new, |flag| flag.to_string()),
        ]);
        cells.extend(roles.iter().map(|role| {
            let source = row.sources.get(*role);
            source.map_or_else(String::new, |source| quoted(source))
        }));
        // Writing into a string cannot fail.
        let _ = writeln!(file, "{}", cells.join(","));
    }
    file
}

/// The positions of the rows in the order of the file.
fn order(rows: &[ResultRow]) -> Vec<usize> {
    let axes = axes::of(rows);
    let mut sorted: Vec<usize> = (0..rows.len()).collect();
    sorted.sort_by(|&left, &right| {
        let (left, right) = (&rows[left], &rows[right]);
        let by_axes = axes
            .iter()
            .map(|name| left.axes.get(*name).cmp(&right.axes.get(*name)))
            .find(|order| order.is_ne());
        left.metric
            .cmp(&right.metric)
            .then(by_axes.unwrap_or(std::cmp::Ordering::Equal))
            .then_with(|| left.sources.cmp(&right.sources))
            .then_with(|| left.value.total_cmp(&right.value))
    });
    sorted
}

/// The line of the file that each row stands in; the heading is line 1, and texts on axes are taken to have no line end.
pub fn lines(rows: &[ResultRow]) -> Vec<usize> {
    let mut lines = vec![0; rows.len()];
    for (number, position) in order(rows).into_iter().enumerate() {
        lines[position] = number + 2;
    }
    lines
}

/// The rows of a file's text; `place` is the file as messages name it.
///
/// # Errors
/// A column that is missing, and a cell that is not what its column holds.
pub fn read(place: &str, text: &str) -> Result<Vec<ResultRow>, ReportError> {
    let bad = |line: usize, problem: String| ReportError::ResultsFile {
        place: place.to_owned(),
        line,
        problem,
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = records(text).map_err(|line| {
        bad(
            line,
            "a quotation mark is opened and never closed".to_owned(),
        )
    })?;
    if lines.is_empty() {
        return Err(bad(1, "the file is empty".to_owned()));
    }
    let (_, heads) = lines.remove(0);
    for column in FIXED_COLUMNS {
        if !heads.iter().any(|head| head.text == column) {
            return Err(bad(1, format!("the column `{column}` is missing")));
        }
    }
    let mut rows = Vec::new();
    for (line, cells) in lines {
        if cells.len() != heads.len() {
            let problem = format!("expected {} cells, found {}", heads.len(), cells.len());
            return Err(bad(line, problem));
        }
        let named: BTreeMap<&str, &Cell> = heads
            .iter()
            .map(|head| head.text.as_str())
            .zip(&cells)
            .collect();
        rows.push(row(&named).map_err(|problem| bad(line, problem))?);
    }
    Ok(rows)
}

/// One row from its cells by the names of their columns.
fn row(cells: &BTreeMap<&str, &Cell>) -> Result<ResultRow, String> {
    let cell = |column: &str| cells.get(column).map_or("", |cell| cell.text.as_str());
    let number = |column: &str| parsed::<f64>(column, cell(column), "a number");
    let count = |column: &str| parsed::<u64>(column, cell(column), "a count");
    let needed = |column: &str, value: Option<f64>| {
        value.ok_or_else(|| format!("`{column}` is empty, expected a number"))
    };
    let flag = parsed::<bool>(
        "higher_is_better",
        cell("higher_is_better"),
        "`true`, `false` or nothing",
    )?;
    let mut row = ResultRow {
        metric: cell("metric").to_owned(),
        value: needed("value", number("value")?)?,
        interval: number("low")?
            .zip(number("high")?)
            .map(|(low, high)| [low, high]),
        counted: count("correct")?
            .zip(count("count")?)
            .map(|(correct, scored)| Counted { correct, scored }),
        unit: cell("unit").to_owned(),
        better: Better::of_flag(flag),
        ..ResultRow::default()
    };
    for (column, cell) in cells {
        let Some(value) = cell.value() else {
            continue;
        };
        match ResultColumn::of(column) {
            ResultColumn::Fixed => {}
            ResultColumn::Source(role) => {
                row.sources.insert(role.to_owned(), cell.text.clone());
            }
            ResultColumn::Axis(axis) => {
                row.axes.insert(axis.to_owned(), value);
            }
        }
    }
    Ok(row)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::message::Hint;
    use crate::report::testing::{pair, row, with};

    /// The rows in the order of the file.
    fn again(rows: &[ResultRow]) -> Vec<ResultRow> {
        read("x.csv", &write(rows)).unwrap()
    }

    #[test]
    fn a_file_is_sorted_and_has_the_columns_that_rows_have() {
        let later = with(row(1, 0.5), [("head", "a,b".into())]);
        let bare = |seed, value| ResultRow {
            axes: BTreeMap::from([
                ("head".to_owned(), "linear".into()),
                ("seed".to_owned(), AxisValue::Integer(seed)),
            ]),
            sources: BTreeMap::from([("head".to_owned(), "ab".to_owned())]),
            ..row(0, value)
        };
        let text = write(&[bare(10, 0.1), bare(9, 1.0), pair(2, 3, 1.0 / 3.0)]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "metric,head,left_dataset,right_dataset,left_block,right_block,seed,value,low,high,correct,count,unit,higher_is_better,head_fingerprint,left_fingerprint,right_fingerprint"
        );
        let (two, three) = ("2".repeat(64), "3".repeat(64));
        assert_eq!(
            lines[1],
            format!("cka,,fashion,fashion,2,3,,0.3333333333333333,,,,,,true,,{two},{three}")
        );
        assert!(lines[2].starts_with("top1,linear,,,,,9,1.0,0.97,1.02,0,1000,fraction,true,ab,,"));
        assert!(lines[3].starts_with("top1,linear,,,,,10,0.1,"));
        assert!(write(&[later]).contains("\"a,b\""));
        assert_eq!(write(&[]).lines().count(), 1);
        assert!(again(&[]).is_empty());
    }

    #[test]
    fn files_that_others_wrote_are_read_and_faults_named_by_line() {
        let text = write(&[pair(1, 2, 0.5)]);
        let rows = read("x.csv", &format!("\u{feff}{}", text.replace('\n', "\r\n"))).unwrap();
        assert_eq!(rows, [pair(1, 2, 0.5)]);
        let fault = |text: &str| read("x.csv", text).unwrap_err().explain().to_string();
        let missing = fault(&text.replace("value", "vlue"));
        assert!(
            missing.starts_with("x.csv:1: the column `value` is missing"),
            "{missing}"
        );
        let wrong = fault(&text.replace("0.5", "half"));
        assert!(
            wrong.starts_with("x.csv:2: `value` is `half`, expected a number"),
            "{wrong}"
        );
        let short = fault(&format!("{text}cka,1\n"));
        assert!(
            short.starts_with("x.csv:3: expected 14 cells, found 2"),
            "{short}"
        );
        let open = fault(&format!("{text}\"cka,1\n\n"));
        assert!(open.starts_with("x.csv:3: a quotation mark"), "{open}");
        assert!(fault("").contains("empty"));
    }

    fn value() -> impl Strategy<Value = AxisValue> {
        prop_oneof![
            any::<i64>().prop_map(AxisValue::Integer),
            any::<u64>()
                .prop_map(f64::from_bits)
                .prop_filter("NaN has one form", |number| !number.is_nan())
                .prop_map(AxisValue::Number),
            "\\PC{0,6}|[0-9,.\"\r\n e+-]{0,6}|inf|nan|none| a".prop_map(AxisValue::Text),
        ]
    }

    fn rows() -> impl Strategy<Value = Vec<ResultRow>> {
        let number = any::<u64>().prop_map(f64::from_bits);
        let number = number.prop_filter("NaN has one form", |number| !number.is_nan());
        let axes = proptest::collection::btree_map("[a-d]", value(), 0..4);
        let sources = proptest::collection::btree_map("[a-c]", "[0-9a-f]{1,8}", 0..3);
        let row = (
            number,
            any::<(bool, u64, u64)>(),
            axes,
            sources,
            "\\PC{0,6}",
        )
            .prop_map(|(value, (flag, correct, scored), axes, sources, metric)| {
                ResultRow {
                    metric,
                    value,
                    interval: flag.then_some([value, -value]),
                    counted: (correct % 2 == 0).then_some(Counted { correct, scored }),
                    unit: "fraction".to_owned(),
                    better: Better::of_flag((scored % 2 == 0).then_some(flag)),
                    axes,
                    sources,
                }
            });
        proptest::collection::vec(row, 0..12)
    }

    proptest! {
        #[test]
        fn what_is_read_back_is_what_was_written(rows in rows()) {
            let read = again(&rows);
            prop_assert_eq!(read.len(), rows.len());
            // The file's order is settled by what it holds, so writing again changes nothing.
            prop_assert_eq!(write(&read), write(&rows));
            let mut left: Vec<String> = rows.iter().map(|row| format!("{row:?}")).collect();
            let mut right: Vec<String> = read.iter().map(|row| format!("{row:?}")).collect();
            left.sort();
            right.sort();
            prop_assert_eq!(left, right);
        }
    }
}
