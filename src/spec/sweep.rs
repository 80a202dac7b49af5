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

#[cfg(test)]
mod tests;

use std::cell::RefCell;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::key::{AnyKey, Lists};
use super::source::Span;
use super::tree::{Entry, Node, Table, Value};
use crate::limits::MOST_NODES;
use crate::text;

/// The keys that steer a sweep and reach no kind.
pub const SWEEP_KEYS: &[&str] = &["zip", "cases"];

/// Expands the sweeps of one table, in the order of the file: the first axis varies slowest. They are counted before: more than `most`
/// tables are an error, and none of them is made.
pub fn expand(
    table: &Table,
    keys: &[&dyn AnyKey],
    context: &str,
    most: usize,
    diagnostics: &RefCell<Diagnostics>,
) -> Vec<Table> {
    let report = |diagnostic| diagnostics.borrow_mut().push(diagnostic);
    let zipped = zipped_names(table, context, &report);
    let mut base = table.clone();
    for key in SWEEP_KEYS {
        base = base.without(key);
    }
    let mut tables = cases(table, &base, context, &report);
    let sizes = tables.iter().map(|case| factors(case, table, keys));
    let sizes: Vec<Vec<(String, usize)>> = sizes.collect();
    let total = sizes.iter().fold(0usize, |total, factors| {
        total.saturating_add(product(factors))
    });
    if total > most {
        let largest = sizes.iter().max_by_key(|factors| product(factors));
        let mut largest = largest.cloned().unwrap_or_default();
        if tables.len() > 1 {
            largest.insert(0, ("cases".to_owned(), tables.len()));
        }
        report(too_large(table, context, total, &largest));
        return Vec::new();
    }
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
    }
    tables
}

/// What a table sweeps over, each key with the number of its values. What is zipped counts once, under the first of its keys.
pub fn factors(table: &Table, typed: &Table, keys: &[&dyn AnyKey]) -> Vec<(String, usize)> {
    let zipped: Vec<&str> = match typed.get("zip").map(|entry| &entry.node.value) {
        Some(Value::List(names)) => names.iter().filter_map(text_of).collect(),
        _ => Vec::new(),
    };
    let mut factors = Vec::new();
    for entry in &table.entries {
        if SWEEP_KEYS.contains(&entry.key.as_str()) {
            continue;
        }
        let place = zipped.iter().position(|name| *name == entry.key);
        let items = match (&entry.node.value, place) {
            (_, Some(1..)) => continue,
            (Value::List(items), Some(0)) => Some(items.as_slice()),
            (value, _) => {
                let key = keys.iter().find(|key| key.name() == entry.key);
                swept_items(value, key.map_or(Lists::Sweep, |key| key.lists()))
            }
        };
        if let Some(items) = items {
            factors.push((entry.key.clone(), items.len()));
        }
    }
    factors
}

fn text_of(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

/// How many tables a sweep gives.
fn product(factors: &[(String, usize)]) -> usize {
    let numbers = factors.iter().map(|(_, number)| *number);
    numbers.fold(1, usize::saturating_mul)
}

/// The error of an experiment that would have too many nodes. `factors` are what they come from, each with its number.
pub fn too_large(
    table: &Table,
    context: &str,
    total: usize,
    factors: &[(String, usize)],
) -> Diagnostic {
    let longest = factors.iter().max_by_key(|(_, number)| *number);
    let entry = longest.and_then(|(key, _)| table.get(key));
    let entry = entry.or_else(|| table.entries.first());
    let shown: Vec<String> = factors
        .iter()
        .filter(|(_, number)| *number > 1)
        .map(|(what, number)| format!("{} {what}", text::count(*number)))
        .collect();
    Diagnostic::new(
        "sweep::too-large",
        entry.map_or(Span::default(), |entry| entry.key_span),
        format!(
            "the sweeps of {context} give {} nodes: {}",
            text::count(total),
            shown.join(" × ")
        ),
        "the longest of them",
    )
    .hint(format!(
        "an experiment has at most {} nodes over all of its tables; shorten a list, or divide the experiment",
        text::count(MOST_NODES)
    ))
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
        Value::List(names) => Some(names.to_vec()),
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
    for item in items.iter() {
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
