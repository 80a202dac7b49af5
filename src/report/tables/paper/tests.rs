//! Tests of the table of the paper's numbers.

use super::*;
use crate::report::testing::{FirstOnes, input, of_head, parsed, row, with};

const ROWS: &str = r#"
kind = "paper"
metric = "top1"
title = "Table 3"
of = "table3"
row = [
  { name = "attention, b = 24", at = { block = 24, timestep = 90 }, value = "attention", where = { head = "attention" } },
  { name = "linear, b = 24", at = { block = 24, timestep = 90 }, value = "linear", where = { head = "linear" } },
  { name = "another network", at = { block = 19, timestep = 90 }, value = "linear", where = { head = "none yet" }, needs = "a network" },
]
"#;

fn table(text: &str) -> Result<Arc<dyn Table>, Vec<String>> {
    let (table, errors) = parsed(text, |fields| KIND.read_with(fields, &KnownAxes::default()));
    table.filter(|_| errors.is_empty()).ok_or(errors)
}

fn rows() -> ReportInput {
    let of = |head: &str, value| {
        let row = with(row(0, value), [("head", head.into())]);
        of_head(row, format!("{:064x}", head.len()))
    };
    input(vec![of("attention", 0.7), of("linear", 0.63)])
}

#[test]
fn the_paper_stands_beside_what_was_measured_and_what_was_not() {
    let table = table(ROWS).unwrap();
    // The made-up intervals end 3 points below and 2 above.
    let rendered = table.render(&rows(), Compared::at(None, "")).unwrap();
    assert_eq!(
        rendered.body.markdown(),
        "| what | paper | measured | difference, points | verdict |\n\
         | :--- | ---: | ---: | ---: | :--- |\n\
         | attention, b = 24 | 71.89 | 70.00 [67.00, 72.00] | -1.89 | agrees |\n\
         | linear, b = 24 | 61.95 | 63.00 [60.00, 65.00] | +1.05 | agrees |\n\
         | another network | 55.09 | not run<sup>1</sup> |  |  |\n"
    );
    assert_eq!(rendered.notes, ["<sup>1</sup> not run: needs a network."]);
}

#[test]
fn a_tolerance_decides_and_intervals_are_crossed_where_scores_are_there() {
    let table = table(&format!("{ROWS}tolerance = 1.5\n")).unwrap();
    let compared = table.compare(&rows(), &FirstOnes).unwrap();
    assert_eq!(compared.len(), 2);
    let rendered = table
        .render(&rows(), Compared::at(Some(&compared), ""))
        .unwrap();
    let body = rendered.body.markdown();
    assert!(
        body.contains("| -1.89 | **lower** |") && body.contains("| +1.05 | agrees |"),
        "{body}"
    );
    let [low, high] = compared[0].interval.unwrap();
    assert!(
        body.contains(&format!("70.00 [{:.2}, {:.2}]", 100.0 * low, 100.0 * high)),
        "{body}"
    );
}

/// What is a little outside of its interval agrees where other rows could have been, too; what is far outside never does.
#[test]
fn verdicts_are_adjusted_for_the_rows_of_the_table() {
    let verdicts = |text: &str, attention: f64| {
        let of = |head: &str, value| {
            let row = with(row(0, value), [("head", head.into())]);
            of_head(row, format!("{:064x}", head.len()))
        };
        let rows = input(vec![of("attention", attention), of("linear", 0.63)]);
        let rendered = table(text).unwrap().render(&rows, Compared::at(None, ""));
        let rendered = rendered.unwrap();
        (rendered.body.markdown(), rendered.caption)
    };
    // The bounds are 3 points below and 2 above: 71.89 is 2.19 above 69.7, p = 0.032 alone and 0.064 of two.
    let (body, caption) = verdicts(ROWS, 0.697);
    assert!(body.contains("| -2.19 | agrees |"), "{body}");
    assert!(caption.contains("Holm's method for 2 rows"), "{caption}");
    let alone = ROWS.replace(
        "  { name = \"linear, b = 24\", at = { block = 24, timestep = 90 }, value = \"linear\", where = { head = \"linear\" } },\n",
        "",
    );
    assert_ne!(alone, ROWS);
    let (body, caption) = verdicts(&alone, 0.697);
    assert!(body.contains("| -2.19 | **lower** |"), "{body}");
    assert!(!caption.contains("Holm"), "{caption}");
    let (body, _) = verdicts(ROWS, 0.66);
    assert!(body.contains("| -5.89 | **lower** |"), "{body}");
}

#[test]
fn random_weights_are_not_judged() {
    for rule in ["synthetic", "initialization"] {
        let random = |head: &str, value| {
            let axes = [("head", head.into()), ("weights", rule.into())];
            of_head(with(row(0, value), axes), format!("{:064x}", head.len()))
        };
        let rows = input(vec![random("attention", 0.1), random("linear", 0.63)]);
        for text in [ROWS.to_owned(), format!("{ROWS}tolerance = 1.5\n")] {
            let rendered = table(&text).unwrap().render(&rows, Compared::at(None, ""));
            let body = rendered.unwrap().body.markdown();
            let judged = ["agrees", "higher", "lower"];
            assert!(
                judged.iter().all(|verdict| !body.contains(verdict)),
                "{body}"
            );
            assert!(body.contains("not judged: random weights"), "{body}");
        }
    }
}

#[test]
fn a_number_that_the_paper_does_not_print_is_an_error() {
    let errors = table(&ROWS.replace("timestep = 90", "timestep = 91")).unwrap_err();
    assert!(errors[0].contains("0 rows of `table3`"), "{errors:?}");
    let errors = table(&ROWS.replace("needs", "need")).unwrap_err();
    assert!(errors[0].contains("need"), "{errors:?}");
    let without = ROWS.replace(", needs = \"a network\"", "");
    let error = table(&without)
        .unwrap()
        .render(&rows(), Compared::at(None, ""))
        .unwrap_err();
    assert!(matches!(error, ReportError::NoValue { .. }), "{error}");
}
