//! Lists sweep: one table with lists becomes many tables without.
//!
//! Three forms stand side by side:
//!
//! - a list under a key is an axis of a grid: `timestep = [90, 150]` and `pool = [1, 2]` give four nodes;
//! - `zip = ["timestep", "block"]` walks the named lists in step instead: the first with the first, and so on;
//! - `cases = [{ timestep = 90, block = 24 }, { timestep = 150, block = 19 }]` lists combinations one by one.
//!
//! Keys whose value is a list by nature ([`Lists::Value`]) sweep over a list of lists; under those whose value may be a list of tables
//! ([`Lists::Steps`]) such a list is one value, and any other sweeps.

use std::cell::RefCell;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::key::{AnyKey, Lists};
use super::source::Span;
use super::tree::{Entry, Node, Table, Value};

/// More nodes than this from one table is taken for a slip.
pub const MOST_INSTANCES: usize = 100_000;

/// The keys that steer a sweep and reach no kind.
pub const SWEEP_KEYS: &[&str] = &["zip", "cases"];

/// Expands the sweeps of one table, in the order of the file: the first axis varies slowest.
pub fn expand(
    table: &Table,
    keys: &[&dyn AnyKey],
    context: &str,
    diagnostics: &RefCell<Diagnostics>,
) -> Vec<Table> {
    let report = |diagnostic| diagnostics.borrow_mut().push(diagnostic);
    let zipped = zipped_names(table, context, &report);
    let mut base = table.clone();
    for key in SWEEP_KEYS {
        base = base.without(key);
    }
    let mut tables = cases(table, &base, context, &report);
    if let Some(names) = &zipped {
        tables = tables
            .iter()
            .flat_map(|table| zip(table, names, context, &report))
            .collect();
    }
    let mut axes: Vec<String> = Vec::new();
    for entry in tables.iter().flat_map(|table| &table.entries) {
        if !axes.contains(&entry.key) {
            axes.push(entry.key.clone());
        }
    }
    for axis in axes {
        let key = keys.iter().find(|key| key.name() == axis);
        let lists = key.map_or(Lists::Sweep, |key| key.lists());
        tables = tables
            .iter()
            .flat_map(|table| match table.get(&axis) {
                Some(entry) => grid(table, entry, lists, context, &report),
                None => vec![table.clone()],
            })
            .collect();
        if tables.len() > MOST_INSTANCES {
            report(Diagnostic::new(
                "sweep::too-large",
                table
                    .get(&axis)
                    .map_or(Span::default(), |entry| entry.node.span),
                format!("the sweeps of {context} give more than {MOST_INSTANCES} nodes"),
                "this list passes the limit",
            ));
            return Vec::new();
        }
    }
    tables
}

/// One table for each item of a list; the table itself where the value is not a sweep.
fn grid(
    table: &Table,
    entry: &Entry,
    lists: Lists,
    context: &str,
    report: &impl Fn(Diagnostic),
) -> Vec<Table> {
    let Some(items) = swept_items(&entry.node.value, lists) else {
        return vec![table.clone()];
    };
    if items.is_empty() {
        report(empty(entry, context));
    }
    items
        .iter()
        .map(|item| table.with(&entry.key, entry.key_span, item.clone()))
        .collect()
}

/// The values that a key sweeps over; `None` where its value is one value.
pub fn swept_items(value: &Value, lists: Lists) -> Option<&[Node]> {
    let Value::List(items) = value else {
        return None;
    };
    let all =
        |is: fn(&Value) -> bool| !items.is_empty() && items.iter().all(|item| is(&item.value));
    let is_one_value = match lists {
        Lists::Sweep => false,
        Lists::Value => !all(|value| matches!(value, Value::List(_))),
        Lists::Steps => all(|value| matches!(value, Value::Table(_))),
    };
    (!is_one_value).then_some(items)
}

fn empty(entry: &Entry, context: &str) -> Diagnostic {
    Diagnostic::new(
        "sweep::empty",
        entry.node.span,
        format!("the sweep over `{}` of {context} is empty", entry.key),
        "no value to run",
    )
    .hint("give at least one value, or take the key out")
}

fn zipped_names(table: &Table, context: &str, report: &impl Fn(Diagnostic)) -> Option<Vec<Node>> {
    let entry = table.get("zip")?;
    match &entry.node.value {
        Value::List(names) => Some(names.clone()),
        other => {
            report(Diagnostic::new(
                "spec::wrong-type",
                entry.node.span,
                format!(
                    "`zip` of {context} must be a list of keys, not {}",
                    other.type_name()
                ),
                "here",
            ));
            None
        }
    }
}

/// Walks the named lists in step.
fn zip(table: &Table, names: &[Node], context: &str, report: &impl Fn(Diagnostic)) -> Vec<Table> {
    let mut lists: Vec<(&Entry, &[Node])> = Vec::new();
    for name in names {
        let found = match &name.value {
            Value::Text(key) => table.get(key),
            _ => None,
        };
        match found.map(|entry| (entry, &entry.node.value)) {
            Some((entry, Value::List(items))) => lists.push((entry, items)),
            _ => report(
                Diagnostic::new(
                    "sweep::zip-without-list",
                    name.span,
                    format!("`zip` of {context} names a key that holds no list"),
                    "not a key with a list",
                )
                .hint("`zip` walks lists in step: each key that it names needs one"),
            ),
        }
    }
    let Some(length) = lists.first().map(|(_, items)| items.len()) else {
        return vec![table.clone()];
    };
    if lists.len() != names.len() {
        return Vec::new();
    }
    for (entry, items) in &lists {
        if items.is_empty() {
            report(empty(entry, context));
            return Vec::new();
        }
        if items.len() != length {
            report(
                Diagnostic::new(
                    "sweep::zip-lengths",
                    entry.node.span,
                    format!(
                        "`{}` of {context} has {} values, but `{}` has {length}",
                        entry.key,
                        items.len(),
                        lists[0].0.key
                    ),
                    format!("{} values", items.len()),
                )
                .hint("lists that are zipped need equal lengths"),
            );
            return Vec::new();
        }
    }
    (0..length)
        .map(|index| {
            lists.iter().fold(table.clone(), |table, (entry, items)| {
                table.with(&entry.key, entry.key_span, items[index].clone())
            })
        })
        .collect()
}

/// The explicit combinations, each laid over the rest of the table.
fn cases(table: &Table, base: &Table, context: &str, report: &impl Fn(Diagnostic)) -> Vec<Table> {
    let Some(entry) = table.get("cases") else {
        return vec![base.clone()];
    };
    let Value::List(items) = &entry.node.value else {
        report(Diagnostic::new(
            "spec::wrong-type",
            entry.node.span,
            format!(
                "`cases` of {context} must be a list of tables, not {}",
                entry.node.value.type_name()
            ),
            "here",
        ));
        return Vec::new();
    };
    if items.is_empty() {
        report(empty(entry, context));
    }
    let mut tables = Vec::new();
    for item in items {
        match &item.value {
            Value::Table(case) => {
                tables.push(case.entries.iter().fold(base.clone(), |table, entry| {
                    table.with(&entry.key, entry.key_span, entry.node.clone())
                }));
            }
            other => report(Diagnostic::new(
                "spec::wrong-type",
                item.span,
                format!(
                    "a case of {context} must be a table, not {}",
                    other.type_name()
                ),
                "here",
            )),
        }
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::form::Text;
    use crate::spec::key::{Key, Keys};
    use crate::spec::source::Source;
    use crate::spec::tree;

    const KEYS: Keys = &[
        &Key::seed("a"),
        &Key::seed("b"),
        &Key::list("views", Text("a view")),
        &Key::word_or("steps", &[("crop", ())], "a list of steps"),
    ];

    fn run(text: &str) -> (Vec<String>, Vec<&'static str>) {
        let source = Source::new("x.toml", text);
        let diagnostics = RefCell::new(Diagnostics::new(source.clone()));
        let table = tree::parse(&source, &mut diagnostics.borrow_mut());
        let tables = expand(&table, KEYS, "node `x`", &diagnostics);
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
    fn an_empty_sweep_is_a_mistake() {
        let (tables, codes) = run("a = []\nb = 1\n");
        assert!(tables.is_empty());
        assert_eq!(codes, ["sweep::empty"]);
    }
}
