//! Tests of line charts.

use super::*;
use crate::report::testing::{input, parsed, row, with};
use crate::store::ResultRow;

fn figure(text: &str) -> Arc<dyn Figure> {
    let (figure, errors) = parsed(text, |fields| KIND.read_with(fields, &KnownAxes::default()));
    assert!(errors.is_empty(), "{errors:?}");
    figure.unwrap()
}

fn at(model: &str, timestep: u32, value: f64) -> ResultRow {
    with(
        row(0, value),
        [("model", model.into()), ("timestep", timestep.into())],
    )
}

const FIGURE: &str =
    "kind = \"lines\"\nfile = \"a.svg\"\nmetric = \"top1\"\nx = \"timestep\"\nseries = \"model\"\n";

#[test]
fn lines_are_named_and_have_their_own_marks() {
    let rendered = figure(FIGURE)
        .render(&input(vec![
            at("gd & co", 10, 0.5),
            at("gd & co", 90, 0.6),
            at("<b>", 10, 0.55),
        ]))
        .unwrap();
    assert_eq!(
        rendered.alternative,
        "top1 in percent over timestep t of the added noise, one line per model (<b> and gd & co)"
    );
    assert!(
        rendered
            .drawing()
            .contains("gd &amp; co: 50.00 at 10, 60.00 at 90."),
        "{}",
        rendered.drawing()
    );
    assert!(rendered.drawing().contains("&lt;b&gt;") && !rendered.drawing().contains("<b>"));
    assert!(rendered.drawing().contains("<polygon") && rendered.drawing().contains("<circle"));
}

#[test]
fn bars_are_what_spread_says() {
    let rows = || {
        let of_seeds = [(0, 0.80), (1, 0.82), (2, 0.87)];
        input(of_seeds.map(|(seed, value)| row(seed, value)).into())
    };
    let rendered = |spread: &str| {
        figure(&format!("{FIGURE}spread = \"{spread}\"\n"))
            .render(&rows())
            .unwrap()
    };
    // By hand as in the tests of tables: the deviation is 3.61, t · 3.61 / sqrt(3) is 8.96, the made-up bounds are 3 below and 2 above.
    for (spread, text, most) in [
        ("deviation", "83.00 at 90 (± 3.61)", "±"),
        (
            "seeds",
            "83.00 at 90 [74.04, 91.96]",
            "interval of the mean",
        ),
        (
            "images",
            "83.00 at 90 [80.00, 85.00]",
            "seeds' 95 % intervals",
        ),
    ] {
        let rendered = rendered(spread);
        assert!(rendered.drawing().contains(text), "{}", rendered.drawing());
        assert!(rendered.caption.contains(most), "{}", rendered.caption);
    }
}

#[test]
fn more_lines_than_marks_are_refused() {
    let rows = (0..9)
        .map(|number| at(&number.to_string(), 10, 0.5))
        .collect();
    let error = figure(FIGURE).render(&input(rows)).unwrap_err();
    assert!(
        matches!(error, ReportError::TooMany { count: 9, .. }),
        "{error}"
    );
}

#[test]
fn words_need_a_category_scale() {
    let rows = || input(vec![at("gd", 10, 0.5), at("tiny", 10, 0.6)]);
    let text = "kind = \"lines\"\nfile = \"a.svg\"\nmetric = \"top1\"\nx = \"model\"\n";
    assert!(matches!(
        figure(text).render(&rows()),
        Err(ReportError::Scale { .. })
    ));
    assert!(
        figure(&format!("{text}x_scale = \"category\"\n"))
            .render(&rows())
            .is_ok()
    );
}

#[test]
fn equal_input_gives_equal_bytes() {
    let rows = input(vec![
        at("gd", 10, 0.5),
        at("gd", 90, 0.6),
        at("tiny", 10, 0.55),
    ]);
    assert_eq!(
        figure(FIGURE).render(&rows).unwrap(),
        figure(FIGURE).render(&rows).unwrap()
    );
}
