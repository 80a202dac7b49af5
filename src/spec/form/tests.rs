//! Every form: its words, its default, what it reads and what it refuses.

use std::cell::RefCell;

use super::*;
use crate::spec::key::{AnyKey, Key};
use crate::spec::source::{Source, Span};
use crate::spec::{Diagnostics, KindDoc, tree};

/// How a key describes itself, and what it makes of each of some values: the value, or the error.
fn run<F: Form>(key: &Key<F>, values: &[&str]) -> Vec<String>
where
    for<'a> F::Value<'a>: std::fmt::Debug,
{
    let doc = key.describe();
    let mut said = vec![format!("{} ({:?})", doc.value, doc.default)];
    for value in values {
        let source = Source::new("x.toml", format!("{} = {value}", key.name));
        let diagnostics = RefCell::new(Diagnostics::new(source.clone()));
        let table = tree::parse(&source, &mut diagnostics.borrow_mut());
        let fields = Fields::new(&table, "head `x`", Span::default(), &diagnostics);
        fields.check_keys(&[], &[key.name]);
        let read = fields.get(key).map(|value| format!("{value:?}"));
        let diagnostics = diagnostics.borrow();
        let errors: Vec<_> = diagnostics
            .sorted()
            .iter()
            .map(|error| error.message.clone())
            .collect();
        if errors.is_empty() {
            said.extend(read);
        } else {
            said.push(errors.join("; "));
        }
    }
    said
}

#[test]
fn integers_say_their_range_and_keep_it() {
    let key = Key::count("k", 1..=20).default(5).doc("x");
    assert_eq!(
        run(&key, &["20", "21", "-1", "1.5"]),
        [
            "an integer from 1 to 20 (Some(\"5\"))",
            "20",
            "`k` of head `x` must be an integer from 1 to 20, not 21",
            "`k` of head `x` must be an integer from 1 to 20, not -1",
            "`k` of head `x` must be an integer from 1 to 20, not a floating-point number",
        ]
    );
    assert_eq!(
        run(&Key::one_of("c", &[1, 3]), &["3", "2"]),
        [
            "1 or 3 (None)",
            "3",
            "`c` of head `x` must be 1 or 3, not 2"
        ]
    );
    assert_eq!(
        run(&Key::seed("s").default(0), &["7", "-7"]),
        [
            "an integer from 0 (Some(\"0\"))",
            "7",
            "`s` of head `x` must be an integer from 0, not -7"
        ]
    );
    let key = Key::count("pool", 1..=64).or("none").default(Some(1));
    assert_eq!(
        run(&key, &["2", "\"none\"", "65", "\"all\""]),
        [
            "an integer from 1 to 64, or \"none\" (Some(\"1\"))",
            "Some(2)",
            "None",
            "`pool` of head `x` must be an integer from 1 to 64, not 65",
            "`pool` of head `x` must be an integer from 1 to 64, or \"none\", not a string",
        ]
    );
}

#[test]
fn numbers_say_which_bounds_they_include() {
    let key = Key::number("lr", Number::above(0.0).to(1e6)).default(1e-5);
    assert_eq!(
        run(&key, &["1", "1e6", "0", "inf"]),
        [
            "a number above 0, at most 1e6 (Some(\"1e-5\"))",
            "1.0",
            "1000000.0",
            "`lr` of head `x` must be a number above 0, at most 1e6, not 0",
            "`lr` of head `x` must be a number above 0, at most 1e6, not inf",
        ]
    );
    let words = |bounds: Number| bounds.words();
    assert_eq!(words(Number::from(0.0).to(1.0)), "a number from 0 to 1");
    assert_eq!(
        words(Number::from(0.0).below(1.0)),
        "a number from 0, below 1"
    );
    assert_eq!(words(Number::above(0.5)), "a number above 0.5");
}

#[test]
fn words_are_listed_and_near_ones_are_found() {
    let key = Key::choice("weights", &[("equal", 1), ("balanced", 2)]).default(2);
    assert_eq!(
        run(&key, &["\"equal\"", "\"even\"", "1"]),
        [
            "`equal` or `balanced` (Some(\"\\\"balanced\\\"\"))",
            "1",
            "unknown value `even` of `weights` in head `x`",
            "`weights` of head `x` must be a string, not an integer",
        ]
    );
    let key = Key::text("root", "a path").optional("none");
    assert_eq!(
        run(&key, &["\"data\"", "true"]),
        [
            "a path (Some(\"none\"))",
            "\"data\"",
            "`root` of head `x` must be a string (a path), not a boolean",
        ]
    );
}

#[test]
fn every_item_of_a_list_and_every_value_of_a_map_is_read() {
    let key = Key::list("top", Count::within(1..=9))
        .items(1..=2)
        .default(&[1, 5]);
    assert_eq!(
        run(&key, &["[1, 2]", "3", "[0, 10]", "[]"]),
        [
            "a list of 1 to 2, each an integer from 1 to 9 (Some(\"[1, 5]\"))",
            "[1, 2]",
            "[3]",
            "`top` of head `x` must be an integer from 1 to 9, not 0; `top` of head `x` must be an integer from 1 to 9, not 10",
            "`top` of head `x` must be a list of 1 to 2, each an integer from 1 to 9, not a list of 0",
        ]
    );
    let key = Key::map("limit", "split", Count::within(1..=9)).optional("all");
    assert_eq!(
        run(
            &key,
            &["{ train = 1, test = 2 }", "{ train = 0, test = 2 }", "4"]
        ),
        [
            "a table of split = an integer from 1 to 9 (Some(\"all\"))",
            "[(\"train\", 1), (\"test\", 2)]",
            "`train` of `limit` of head `x` must be an integer from 1 to 9, not 0",
            "`limit` of head `x` must be a table, not an integer",
        ]
    );
}

#[test]
fn an_absent_key_has_its_default_and_a_required_one_is_missed() {
    const GIVEN: Key<Count> = Key::count("given", 1..=9).default(3).doc("x");
    const NEEDED: Key<Boolean> = Key::boolean("needed").doc("Whether.");
    let source = Source::new("x.toml", "");
    let diagnostics = RefCell::new(Diagnostics::new(source));
    let table = tree::Table::default();
    let fields = Fields::new(&table, "head `x`", Span::default(), &diagnostics);
    fields.check_keys(&[&GIVEN, &NEEDED], &[]);
    assert_eq!((fields.get(&GIVEN), fields.given(&GIVEN)), (Some(3), None));
    assert_eq!(fields.get(&NEEDED), None);
    let diagnostics = diagnostics.borrow();
    let errors = diagnostics.sorted();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].message, "head `x` needs the key `needed`");
    let hint = "`needed` = `true` or `false`: Whether.";
    assert_eq!(errors[0].hint.as_deref(), Some(hint));
}

const WIDTH: Key<Count> = Key::count("width", 1..=9).default(3);
const DEPTH: Key<Count> = Key::count("depth", 1..=9).default(4);
const INNER: KindDoc = KindDoc {
    name: "inner",
    summary: "",
    keys: &[&WIDTH],
    shared: &[&DEPTH],
};

#[test]
fn an_absent_table_has_the_defaults_of_its_keys_and_shows_them() {
    let key = Key::table("inner", &INNER).or_empty();
    let doc = key.describe();
    assert_eq!(doc.default.as_deref(), Some("{ width = 3 }"));
    let diagnostics = RefCell::new(Diagnostics::new(Source::new("x.toml", "")));
    let table = tree::Table::default();
    let fields = Fields::new(&table, "head `x`", Span::default(), &diagnostics);
    let inner = fields.get(&key).unwrap();
    assert_eq!(inner.context(), "`inner` of head `x`");
    assert_eq!((inner.get(&WIDTH), inner.get(&DEPTH)), (Some(3), Some(4)));
    assert!(fields.is_sound());
}

#[test]
fn a_word_or_a_list_is_told_by_its_type() {
    let key = Key::word_or(
        "crop",
        &[("center", 1), ("none", 2)],
        "a list of steps",
        Vec::new,
    )
    .default(2);
    let said = run(&key, &["\"center\"", "\"off\"", "3"]);
    assert_eq!(
        said,
        [
            "`center` or `none`, or a list of steps (Some(\"\\\"none\\\"\"))",
            "Word(1)",
            "unknown value `off` of `crop` in head `x`",
            "`crop` of head `x` must be `center` or `none`, or a list of steps, not an integer",
        ]
    );
    assert_eq!(run(&key, &["[{}]"]).len(), 2);
}
