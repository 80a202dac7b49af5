//! What a figure draws, as CSV: for whoever draws it again with other tools. Values are as they are stored, so that rates are fractions.
//!
//! The rows behind a figure, one a run, are in the file of results; here is what was made of them, one row a point. `csv.rs` has the format.

use std::fmt::Write as _;

use crate::report::csv::{digits, quoted, text};
use crate::report::input::TrainingCurve;
use crate::report::selection::{Cell, Cells, Shown};
use crate::store::AxisValue;

/// The points of a figure over these axes: the mean of each, the ends of its bar as `shown` says, and how many results it is the mean of.
pub(super) fn of_cells(
    axes: &[String],
    cells: &Cells<'_>,
    shown: impl Fn(&[AxisValue], &Cell<'_>) -> Option<Shown>,
) -> String {
    let mut heads: Vec<String> = axes.iter().map(|axis| quoted(axis)).collect();
    heads.extend(["mean", "low", "high", "results"].map(str::to_owned));
    let mut file = heads.join(",") + "\n";
    for (key, cell) in cells {
        let mut line: Vec<String> = key
            .iter()
            .map(|value| match value {
                AxisValue::Integer(integer) => integer.to_string(),
                AxisValue::Number(number) => digits(*number),
                AxisValue::Text(value) => text(value),
            })
            .collect();
        let [low, high] = match shown(key, cell) {
            Some(Shown::Deviation(deviation)) => {
                [-deviation, deviation].map(|difference| digits(cell.mean + difference))
            }
            Some(Shown::Interval(bounds)) => bounds.map(digits),
            None => Default::default(),
        };
        line.extend([digits(cell.mean), low, high, cell.rows.len().to_string()]);
        // Writing into a string cannot fail.
        let _ = writeln!(file, "{}", line.join(","));
    }
    file
}

/// What was recorded of a training, one row a step.
pub(super) fn of_curve(curve: &TrainingCurve) -> String {
    let mut file = String::from("step,loss,learning_rate,gradient_norm\n");
    for point in &curve.points {
        let _ = writeln!(
            file,
            "{},{},{},{}",
            point.step,
            digits(point.loss),
            digits(point.learning_rate),
            digits(point.gradient_norm)
        );
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{input, question, row, with};

    #[test]
    fn a_point_is_a_row_with_the_ends_of_its_bar() {
        let at = |seed, value| with(row(seed, value), [("model", "a,b".into())]);
        let rows = input(vec![at(0, 0.25), at(1, 0.75)]);
        let question = question("metric = \"top1\"");
        let selection = question.put("figure", &rows).unwrap();
        let axes = ["model", "timestep"].map(str::to_owned);
        let cells = selection.cells(&axes).unwrap();
        let with_bars = of_cells(&axes, &cells, |_, _| Some(Shown::Deviation(0.125)));
        assert_eq!(
            with_bars,
            "model,timestep,mean,low,high,results\n\"a,b\",90,0.5,0.375,0.625,2\n"
        );
        let without = of_cells(&axes, &cells, |_, _| None);
        assert!(without.ends_with("\"a,b\",90,0.5,,,2\n"), "{without}");
    }
}
