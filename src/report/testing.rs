//! Rows and questions for the tests of this room.

use std::cell::RefCell;

use super::input::ReportInput;
use super::selection::Question;
use crate::spec::{Diagnostics, Fields, Source, Span, tree};
use crate::store::ResultRow;

/// A result of metric `top1` at timestep 90 and block 19; every value is made up, and so is its interval.
pub(super) fn row(seed: u64, value: f64) -> ResultRow {
    ResultRow {
        metric: "top1".to_owned(),
        value,
        // Not symmetric, so that a bound in the place of the other is seen.
        low: value - 0.03,
        high: value + 0.02,
        // The tests only need a plausible count.
        correct: 0,
        count: 1000,
        unit: "fraction".to_owned(),
        higher_is_better: true,
        split: "test".to_owned(),
        head: "linear".to_owned(),
        head_kind: "linear".to_owned(),
        extraction: "gd".to_owned(),
        model: "tiny".to_owned(),
        weights: "synthetic-7".to_owned(),
        dataset: "fashion".to_owned(),
        timestep: 90,
        block: 19,
        pool: 1,
        precision: "f32".to_owned(),
        view: "center".to_owned(),
        draw: 0,
        noise_seed: 0,
        seed,
        learning_rate: 0.001,
        network_learning_rate: 0.0,
        epochs: 28,
        head_fingerprint: format!("{seed:064x}"),
        features_fingerprint: "ab".repeat(32),
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

/// Reads something from TOML text; gives it with the codes of all mistakes.
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

/// A question from TOML text that holds no mistake.
pub(super) fn question(text: &str) -> Question {
    let (question, mistakes) = parsed(text, Question::parse);
    assert!(mistakes.is_empty(), "{mistakes:?}");
    question.unwrap()
}
