//! Tests of scatter plots.

use super::*;
use crate::report::testing::{input, parsed, row, with};
use crate::store::AxisValue;

const FIGURE: &str = r#"
kind = "scatter"
file = "a.svg"
metric = "top1"
x = "parameters"
series = "head_kind"
log = true
"#;

const PRINTED: &str = "paper = [{ of = \"table9\", x = \"params_m\", y = \"accuracy\", name = \"attention, paper\" }]\n";

fn read(text: &str) -> Result<Arc<dyn Figure>, Vec<String>> {
    let (figure, errors) = parsed(text, |fields| KIND.read_with(fields, &KnownAxes::default()));
    figure.filter(|_| errors.is_empty()).ok_or(errors)
}

/// A result of a head, and how many parameters it has: what is known of a head has no seed.
fn head(name: &str, seed: u64, accuracy: f64) -> ResultRow {
    with(
        row(seed, accuracy),
        [("head", name.into()), ("head_kind", name.into())],
    )
}

fn count(row: &ResultRow, millions: f64) -> ResultRow {
    let mut count = ResultRow {
        metric: "parameters".to_owned(),
        value: millions,
        unit: "million".to_owned(),
        interval: None,
        counted: None,
        ..row.clone()
    };
    count.axes.remove("seed");
    count.sources.clear();
    count
}

fn rows() -> Vec<ResultRow> {
    let heads = [
        head("linear", 0, 0.25),
        head("linear", 1, 0.5),
        head("linear", 2, 0.75),
        head("mlp", 0, 0.75),
    ];
    let counts = [count(&heads[0], 1.0), count(&heads[3], 20.0)];
    heads.into_iter().chain(counts).collect()
}

#[test]
fn a_point_stands_where_its_head_has_its_parameters() {
    let rendered = read(FIGURE).unwrap().render(&input(rows())).unwrap();
    assert_eq!(
        rendered.data.as_deref(),
        Some(
            "series,parameters,mean,low,high,results\n\
             linear,1.0,0.5,0.25,0.75,3\n\
             mlp,20.0,0.75,,,1\n"
        )
    );
    let drawing = rendered.drawing();
    assert!(
        drawing.contains("linear: 50.00 at 1 (± 25.00)") && drawing.contains("mlp: 75.00 at 20."),
        "{drawing}"
    );
    assert!(drawing.contains("parameters, in million (logarithmic)"));
    // What a query gives is both metrics.
    assert_eq!(rendered.rows.len(), 6);
    assert!(rendered.sql.unwrap().contains("'parameters'"));
}

#[test]
fn the_paper_stands_beside_on_the_scale_of_what_was_measured() {
    let text = format!("{FIGURE}{PRINTED}");
    let rendered = read(&text).unwrap().render(&input(rows())).unwrap();
    let data = rendered.data.clone().unwrap();
    assert!(data.contains("\"attention, paper\",13.7,0.9167"), "{data}");
    assert!(
        rendered
            .drawing()
            .contains("attention, paper: 91.67 at 13.7")
    );
    let wrong = text.replace("params_m", "weight");
    let errors = read(&wrong).unwrap_err();
    assert!(errors[0].contains("no number `weight`"), "{errors:?}");
}

#[test]
fn what_is_known_of_a_network_belongs_to_everything_that_was_computed_by_it() {
    let of_network = with(
        ResultRow {
            metric: "parameters".to_owned(),
            value: 553.0,
            unit: "million".to_owned(),
            ..ResultRow::default()
        },
        [("model", AxisValue::from("tiny"))],
    );
    let rows = vec![head("linear", 0, 0.5), head("mlp", 0, 0.75), of_network];
    let rendered = read(FIGURE).unwrap().render(&input(rows)).unwrap();
    let data = rendered.data.unwrap();
    assert!(data.contains("linear,553.0,0.5,") && data.contains("mlp,553.0,0.75,"));
}

#[test]
fn a_result_without_a_place_or_with_several_is_refused() {
    let figure = read(FIGURE).unwrap();
    let mut without = rows();
    without.pop();
    let error = figure.render(&input(without)).unwrap_err().to_string();
    assert!(
        error.contains("no result of `parameters` belongs to") && error.contains("mlp"),
        "{error}"
    );
    let mut several = rows();
    let mut other = several[4].clone();
    other.value = 2.0;
    several.push(other);
    let error = figure.render(&input(several)).unwrap_err().to_string();
    assert!(error.contains("several results of `parameters`"), "{error}");
    let mut zero = rows();
    zero[5].value = 0.0;
    let error = figure.render(&input(zero)).unwrap_err().to_string();
    assert!(error.contains("has no logarithm"), "{error}");
}
