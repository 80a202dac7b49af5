//! Rows and questions for the tests of this module.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::axes::KnownAxes;
use super::comparison::{Outcome, Outcomes};
use super::error::ReportError;
use super::input::ReportInput;
use super::selection::Question;
use crate::spec::{Diagnostics, Fields, Source, Span, tree};
use crate::store::{AxisValue, Better, Counted, ResultRow};

/// A result of metric `top1` at timestep 90 and block 19; every value is made up, and so is its interval.
pub(super) fn row(seed: u64, value: f64) -> ResultRow {
    let row = ResultRow {
        metric: "top1".to_owned(),
        value,
        // Not symmetric, so that a bound in the place of the other is seen.
        interval: Some([value - 0.03, value + 0.02]),
        // The tests only need a plausible count.
        counted: Some(Counted {
            correct: 0,
            scored: 1000,
        }),
        unit: "fraction".to_owned(),
        better: Better::Higher,
        axes: BTreeMap::new(),
        sources: BTreeMap::from([
            ("head".to_owned(), format!("{seed:064x}")),
            ("features".to_owned(), "ab".repeat(32)),
        ]),
    };
    with(
        row,
        [
            ("split", "test".into()),
            ("head", "linear".into()),
            ("head_kind", "linear".into()),
            ("extraction", "gd".into()),
            ("model", "tiny".into()),
            ("weights", "synthetic-7".into()),
            ("dataset", "fashion".into()),
            ("timestep", 90_u32.into()),
            ("block", 19_u32.into()),
            ("pool", 1_u32.into()),
            ("precision", "f32".into()),
            ("view", "center".into()),
            ("draw", 0_u32.into()),
            ("noise_seed", 0_u32.into()),
            ("seed", seed.into()),
            ("learning_rate", 0.001.into()),
            ("epochs", 28_u32.into()),
        ],
    )
}

/// The same row with other values on some axes.
pub(super) fn with<const N: usize>(mut row: ResultRow, axes: [(&str, AxisValue); N]) -> ResultRow {
    let axes = axes.map(|(axis, value)| (axis.to_owned(), value));
    row.axes.extend(axes);
    row
}

/// The same row of another head.
pub(super) fn of_head(mut row: ResultRow, fingerprint: String) -> ResultRow {
    row.sources.insert("head".to_owned(), fingerprint);
    row
}

/// A result of metric `cka` over the features of two blocks: no counts, no interval, no head.
pub(super) fn pair(left: u32, right: u32, value: f64) -> ResultRow {
    let row = ResultRow {
        metric: "cka".to_owned(),
        value,
        better: Better::Higher,
        sources: BTreeMap::from([
            ("left".to_owned(), left.to_string().repeat(64)),
            ("right".to_owned(), right.to_string().repeat(64)),
        ]),
        ..ResultRow::default()
    };
    with(
        row,
        [
            ("left_dataset", "fashion".into()),
            ("left_block", left.into()),
            ("right_dataset", "fashion".into()),
            ("right_block", right.into()),
        ],
    )
}

/// Scores of a thousand images, of which the first ones are right, as many as a result's value says.
pub(super) struct FirstOnes;

impl Outcomes for FirstOnes {
    fn of(&self, row: &ResultRow) -> Result<Option<Arc<Outcome>>, ReportError> {
        let right = (row.value * 1000.0).round();
        Ok(Some(Arc::new(Outcome {
            ids: Arc::new((0..1000).map(|image| format!("test/{image}")).collect()),
            scores: (0..1000)
                .map(|image| f64::from(u8::from(f64::from(image) < right)))
                .collect(),
        })))
    }
}

/// An input with these results and nothing else.
pub(super) fn input(results: Vec<ResultRow>) -> ReportInput {
    ReportInput {
        name: "example".to_owned(),
        title: "An example".to_owned(),
        results,
        command: "./repro run experiments/example.toml".to_owned(),
        ..ReportInput::default()
    }
}

/// Reads something from TOML text; gives it with the codes of all errors.
pub(super) fn parsed<T>(text: &str, parse: impl FnOnce(&Fields<'_>) -> T) -> (T, Vec<String>) {
    let source = Source::new("example.toml", text);
    let diagnostics = RefCell::new(Diagnostics::new(source.clone()));
    let table = tree::parse(&source, &mut diagnostics.borrow_mut());
    let value = parse(&Fields::new(
        &table,
        "the report",
        Span::default(),
        &diagnostics,
    ));
    let codes = diagnostics
        .borrow()
        .sorted()
        .iter()
        .map(|item| format!("{}: {}", item.code, item.message))
        .collect();
    (value, codes)
}

/// A question from TOML text without errors.
pub(super) fn question(text: &str) -> Question {
    let (question, mistakes) = parsed(text, |fields| {
        Question::parse(fields, &KnownAxes::default())
    });
    assert!(mistakes.is_empty(), "{mistakes:?}");
    question.unwrap()
}
