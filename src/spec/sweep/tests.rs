//! Tests of sweeps.

use super::*;
use crate::spec::form::Text;
use crate::spec::key::{Key, Keys};
use crate::spec::source::Source;
use crate::spec::tree;

const KEYS: Keys = &[
    &Key::seed("a"),
    &Key::seed("b"),
    &Key::list("views", Text("a view")),
    &Key::word_or("steps", &[("crop", ())], "a list of steps", Vec::new),
];

fn run(text: &str) -> (Vec<String>, Vec<&'static str>) {
    let source = Source::new("x.toml", text);
    let diagnostics = RefCell::new(Diagnostics::new(source.clone()));
    let table = tree::parse(&source, &mut diagnostics.borrow_mut());
    let tables = expand(&table, KEYS, "node `x`", 1000, &diagnostics);
    let shown = tables
        .iter()
        .map(|table| {
            let pairs: Vec<String> = table
                .entries
                .iter()
                .map(|entry| format!("{}={}", entry.key, show(&entry.node)))
                .collect();
            pairs.join(" ")
        })
        .collect();
    let codes = diagnostics
        .borrow()
        .sorted()
        .iter()
        .map(|item| item.code)
        .collect();
    (shown, codes)
}

fn show(node: &Node) -> String {
    match &node.value {
        Value::Integer(integer) => integer.to_string(),
        Value::Text(text) => text.clone(),
        Value::List(items) => {
            format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(","))
        }
        Value::Table(_) => "{}".to_owned(),
        _ => "?".to_owned(),
    }
}

#[test]
fn lists_make_a_grid_with_the_first_axis_slowest() {
    let (tables, codes) = run("a = [1, 2]\nb = [3, 4]\n");
    assert_eq!(tables, ["a=1 b=3", "a=1 b=4", "a=2 b=3", "a=2 b=4"]);
    assert!(codes.is_empty());
}

#[test]
fn zip_walks_in_step_and_wants_equal_lengths() {
    assert_eq!(
        run("a = [1, 2]\nb = [3, 4]\nzip = [\"a\", \"b\"]\n").0,
        ["a=1 b=3", "a=2 b=4"]
    );
    assert_eq!(
        run("a = [1, 2]\nb = [3]\nzip = [\"a\", \"b\"]\n").1,
        ["sweep::zip-lengths"]
    );
    assert_eq!(run("a = 1\nzip = [\"a\"]\n").1, ["sweep::zip-without-list"]);
}

#[test]
fn cases_are_laid_over_the_rest() {
    let (tables, _) = run("a = 1\ncases = [{ b = 3 }, { a = 2, b = [4, 5] }]\n");
    assert_eq!(tables, ["a=1 b=3", "a=2 b=4", "a=2 b=5"]);
}

#[test]
fn keys_that_are_lists_by_nature_sweep_over_lists_of_lists() {
    assert_eq!(run("views = [\"c\", \"f\"]\n").0, ["views=[c,f]"]);
    assert_eq!(
        run("views = [[\"c\"], [\"c\", \"f\"]]\n").0,
        ["views=[c]", "views=[c,f]"]
    );
}

#[test]
fn lists_of_tables_are_one_value_where_a_key_takes_steps() {
    let shown = |text| run(text).0;
    assert_eq!(shown("steps = [{ a = 1 }, { b = 2 }]\n"), ["steps=[{},{}]"]);
    assert_eq!(shown("steps = [\"c\", \"f\"]\n"), ["steps=c", "steps=f"]);
    assert_eq!(
        shown("steps = [\"c\", [{ a = 1 }], [{ b = 2 }, {}]]\n"),
        ["steps=c", "steps=[{}]", "steps=[{},{}]"]
    );
    assert_eq!(shown("a = [{}, {}]\n"), ["a={}", "a={}"]);
}

#[test]
fn sweeps_are_counted_before_they_are_expanded() {
    let list = |count: usize| format!("{:?}", (0..count).collect::<Vec<_>>());
    let of = |text: String| {
        let (tables, codes) = run(&text);
        (tables.len(), codes)
    };
    let grid = |a, b| of(format!("a = {}\nb = {}\n", list(a), list(b)));
    assert_eq!(grid(10, 100), (1000, vec![]));
    assert_eq!(grid(11, 100), (0, vec!["sweep::too-large"]));
    // Their product does not fit into 64 bits.
    let many: Vec<String> = (0..11)
        .map(|key| format!("k{key} = {}\n", list(100)))
        .collect();
    assert_eq!(of(many.concat()), (0, vec!["sweep::too-large"]));
    let zipped = format!("a = {0}\nb = {0}\nzip = [\"a\", \"b\"]\n", list(1000));
    assert_eq!(of(zipped), (1000, vec![]));
    let cases = format!(
        "cases = [{{ a = {0} }}, {{ a = {0} }}, {{ b = 1 }}]\n",
        list(500)
    );
    assert_eq!(of(cases), (0, vec!["sweep::too-large"]));
}

#[test]
fn an_empty_sweep_is_a_mistake() {
    let (tables, codes) = run("a = []\nb = 1\n");
    assert!(tables.is_empty());
    assert_eq!(codes, ["sweep::empty"]);
}
