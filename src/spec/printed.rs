//! A tree as TOML again: without comments, a table for each node, and each value on one line.

use std::fmt::Write;

use super::tree::{Entry, Node, Table, Value};
use super::variant::quoted;

/// Lists that would make a line longer than this many characters have a line for each item.
const LONGEST_LINE: usize = 100;

/// The text of an experiment file that says what the tree does.
pub fn toml(root: &Table) -> String {
    let mut text = String::new();
    for entry in &root.entries {
        let Value::Table(table) = &entry.node.value else {
            continue;
        };
        let name = key(&entry.key);
        if ["experiment", "report"].contains(&entry.key.as_str()) {
            section(&mut text, &name, table);
        } else {
            for node in &table.entries {
                if let Value::Table(inner) = &node.node.value {
                    section(&mut text, &format!("{name}.{}", key(&node.key)), inner);
                }
            }
        }
    }
    text
}

/// One table with its header; lists of tables follow it where they have headers of their own.
fn section(text: &mut String, name: &str, table: &Table) {
    if !text.is_empty() {
        text.push('\n');
    }
    let _ = writeln!(text, "[{name}]");
    let (listed, plain): (Vec<&Entry>, Vec<&Entry>) = table
        .entries
        .iter()
        .partition(|entry| name == "report" && is_list_of_tables(&entry.node.value));
    for entry in plain {
        line(text, entry);
    }
    for entry in listed {
        let Value::List(items) = &entry.node.value else {
            continue;
        };
        for item in items.iter() {
            if let Value::Table(table) = &item.value {
                let _ = writeln!(text, "\n[[{name}.{}]]", key(&entry.key));
                for entry in &table.entries {
                    line(text, entry);
                }
            }
        }
    }
}

fn is_list_of_tables(value: &Value) -> bool {
    let is_table = |item: &Node| matches!(item.value, Value::Table(_));
    matches!(value, Value::List(items) if !items.is_empty() && items.iter().all(is_table))
}

fn line(text: &mut String, entry: &Entry) {
    let name = key(&entry.key);
    let whole = format!("{name} = {}", value(&entry.node.value));
    match &entry.node.value {
        Value::List(items) if whole.chars().count() > LONGEST_LINE => {
            let _ = writeln!(text, "{name} = [");
            for item in items.iter() {
                let _ = writeln!(text, "  {},", value(&item.value));
            }
            text.push_str("]\n");
        }
        _ => {
            text.push_str(&whole);
            text.push('\n');
        }
    }
}

fn key(name: &str) -> String {
    let is_bare = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    if !name.is_empty() && name.chars().all(is_bare) {
        return name.to_owned();
    }
    quoted(name)
}

fn value(value: &Value) -> String {
    match value {
        Value::Text(text) => quoted(text),
        Value::Integer(integer) => integer.to_string(),
        Value::Number(number) if number.is_nan() => "nan".to_owned(),
        Value::Number(number) => format!("{number:?}"),
        Value::Boolean(boolean) => boolean.to_string(),
        Value::Date(date) => date.clone(),
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(|item| self::value(&item.value)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Table(table) => {
            let entries = table.entries.iter();
            let entries = entries
                .map(|entry| format!("{} = {}", key(&entry.key), self::value(&entry.node.value)));
            let entries: Vec<String> = entries.collect();
            match entries.as_slice() {
                [] => "{}".to_owned(),
                some => format!("{{ {} }}", some.join(", ")),
            }
        }
    }
}
