//! `--profile` and `--set`: an experiment that is overridden is another experiment, with a name and a report of its own.

use std::fmt::Write;

use toml::de::DeTable;

use super::source::{Source, Span};
use super::tree::{Entry, Node, Table, Value};
use crate::text;

/// What stands for the values of `--set` in names and paths, before what tells them apart.
const SET: &str = "set";
/// Digits that tell experiments with other values of `--set` apart.
const SET_DIGITS: usize = 8;
/// The most characters of a `--set` in a title.
const LONGEST_SET: usize = 80;

impl Source {
    /// The same source, overridden by the values of `--set`, in their order. Files that are included have been added before.
    #[must_use]
    pub fn with_sets(mut self, sets: &[String]) -> Self {
        for set in sets {
            let part = self.append("--set", &as_toml(set));
            self.sets.push(part);
        }
        self
    }
}

/// `key=value` as TOML: a value that is none, such as a bare word, becomes a string.
fn as_toml(typed: &str) -> String {
    let Some((key, value)) = typed.split_once('=') else {
        return typed.to_owned();
    };
    let (key, value) = (key.trim(), value.trim());
    let is_toml = DeTable::parse(&format!("x = {value}")).is_ok();
    let is_path = ["/", "./", "../", "~"];
    let is_path = is_path.iter().any(|begin| value.starts_with(begin));
    let is_word = is_path || value.starts_with(|first: char| first.is_alphabetic() || first == '_');
    if is_toml || !is_word {
        return format!("{key} = {value}");
    }
    format!("{key} = {}", quoted(value))
}

/// A string as TOML has it, in double quotation marks.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            control if control.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// Gives an experiment that is overridden a name, a title and, unless one was named, a folder for its report: nothing that it writes takes
/// the place of what the file as it stands writes.
pub(super) fn set_apart(source: &Source, root: &mut Table, has_output: bool) {
    let mut names: Vec<String> = source.profile.iter().map(ToString::to_string).collect();
    if !source.sets.is_empty() {
        names.push(format!("{SET}-{}", digits_of_sets(source)));
    }
    if names.is_empty() {
        return;
    }
    let Some(experiment) = table_mut(root, "experiment") else {
        return;
    };
    let Some(name) = text_of(experiment, "name") else {
        return;
    };
    let title = text_of(experiment, "title").unwrap_or_else(|| name.clone());
    put(experiment, "name", format!("{name}-{}", names.join("-")));
    put(
        experiment,
        "title",
        format!("{title} ({})", in_words(source)),
    );
    if has_output {
        return;
    }
    let Some(report) = table_mut(root, "report") else {
        return;
    };
    let output = text_of(report, "output").unwrap_or_else(|| format!("reports/{name}.md"));
    let (folder, file) = match output.rsplit_once('/') {
        Some((folder, file)) => (format!("{folder}/"), file),
        None => (String::new(), output.as_str()),
    };
    put(
        report,
        "output",
        format!("{folder}{}/{file}", names.join("/")),
    );
}

/// The values of `--set` in a few digits: what is typed in another order or with other blanks has others, which costs nothing.
fn digits_of_sets(source: &Source) -> String {
    let mut hasher = blake3::Hasher::new();
    for &part in &source.sets {
        let typed = source.slice(source.parts[part].span).trim();
        hasher.update(&(typed.len() as u64).to_le_bytes());
        hasher.update(typed.as_bytes());
    }
    hasher.finalize().to_hex()[..SET_DIGITS].to_owned()
}

/// What overrides the file: `profile smoke, head.linear.epochs = 2`.
fn in_words(source: &Source) -> String {
    let profile = source.profile.iter().map(|name| format!("profile {name}"));
    let sets = source.sets.iter().map(|&part| {
        let typed = source.slice(source.parts[part].span);
        let typed: Vec<&str> = typed.split_whitespace().collect();
        text::shortened(&typed.join(" "), LONGEST_SET).into_owned()
    });
    profile.chain(sets).collect::<Vec<_>>().join(", ")
}

fn table_mut<'a>(table: &'a mut Table, key: &str) -> Option<&'a mut Table> {
    let mut entries = table.entries.iter_mut();
    match &mut entries.find(|entry| entry.key == key)?.node.value {
        Value::Table(table) => Some(table),
        _ => None,
    }
}

fn text_of(table: &Table, key: &str) -> Option<String> {
    match &table.get(key)?.node.value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    }
}

/// Puts a string under a key, at the place of what was there.
fn put(table: &mut Table, key: &str, text: String) {
    let value = Value::Text(text);
    if let Some(entry) = table.entries.iter_mut().find(|entry| entry.key == key) {
        entry.node.value = value;
        return;
    }
    let span = table
        .entries
        .first()
        .map_or_else(Span::default, |entry| entry.key_span);
    table.entries.push(Entry {
        key: key.to_owned(),
        key_span: span,
        node: Node { value, span },
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_are_not_toml_become_strings() {
        for (typed, expected) in [
            ("head.a.epochs=2", "head.a.epochs = 2"),
            ("head.a.kind=mlp", "head.a.kind = \"mlp\""),
            (
                "model.a.weights=data/w.pt",
                "model.a.weights = \"data/w.pt\"",
            ),
            (
                "model.a.weights = { synthetic = 1 }",
                "model.a.weights = { synthetic = 1 }",
            ),
            (
                "experiment.title=A \"b\" c",
                "experiment.title = \"A \\\"b\\\" c\"",
            ),
            ("head.a.standardize=true", "head.a.standardize = true"),
            ("experiment.title=\"A = b\"", "experiment.title = \"A = b\""),
            // What begins like a number stays as it was typed, so that its error says what is wrong with it.
            ("head.a.epochs=1.", "head.a.epochs = 1."),
            ("head.a.epochs=.5", "head.a.epochs = .5"),
        ] {
            assert_eq!(as_toml(typed), expected);
        }
        assert_eq!(quoted("a\u{1b}\n"), "\"a\\u001B\\n\"");
    }
}
