//! What an experiment file says all in all: with the files that it includes, overridden by a profile and by `--set`.
//!
//! [`compose`] gives one tree, whose values know where each of them stands. The order is: files that are included, in the order of the
//! list; the file that includes them, whose keys override theirs; the profile; each `--set`. Tables are merged key by key. A value in
//! braces, `{ … }`, is one value and replaces what was there; so does a table with another `kind`, since keys belong to kinds.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::include::INCLUDE;
use super::sections::{NODE_SECTIONS, is_name_character};
use super::source::{Source, Span};
use super::suggest;
use super::tree::{self, Entry, Node, Table, Value};
use super::variant;

/// The section whose tables are profiles.
pub const PROFILE: &str = "profile";

/// The keys of `[report]` whose lists are appended to each other.
const LISTS: [&str; 2] = ["table", "figure"];

/// The tree of a file, without `include` and `[profile.*]`. What is wrong with these is reported.
pub fn compose(source: &Source, diagnostics: &mut Diagnostics) -> Table {
    let mut root = file(source, 0, diagnostics);
    let profiles = profiles_of(&mut root, diagnostics);
    let mut has_output = false;
    let mut apply = |over: Table, what: &str, diagnostics: &mut Diagnostics| {
        let over = existing(over, &root, what, diagnostics);
        let report = over.get("report").map(|entry| &entry.node.value);
        has_output |=
            matches!(report, Some(Value::Table(report)) if report.get("output").is_some());
        override_with(source, &mut root, over, Lists::Replace, &mut Vec::new());
    };
    if let Some(name) = &source.profile {
        match profiles.iter().find(|entry| *entry.key == **name) {
            Some(Entry {
                node:
                    Node {
                        value: Value::Table(table),
                        ..
                    },
                ..
            }) => apply(table.clone(), &format!("profile `{name}`"), diagnostics),
            _ => diagnostics.push(unknown_profile(name, &profiles)),
        }
    }
    for &part in &source.sets {
        let over = parsed(source, part, diagnostics);
        apply(over, "`--set`", diagnostics);
    }
    variant::set_apart(source, &mut root, has_output);
    root
}

/// The names of a file's profiles, in the order of the file.
pub fn profiles(source: &Source) -> Vec<String> {
    let mut ignored = Diagnostics::new(source.clone());
    let mut root = file(source, 0, &mut ignored);
    let profiles = profiles_of(&mut root, &mut ignored).into_iter();
    profiles.map(|entry| entry.key).collect()
}

/// The tree of one part, at its place in the source.
fn parsed(source: &Source, part: usize, diagnostics: &mut Diagnostics) -> Table {
    let alone = source.alone(part);
    let start = source.parts[part].span.start;
    let mut found = Diagnostics::new(alone.clone());
    let mut table = tree::parse(&alone, &mut found);
    table.move_by(start);
    diagnostics.absorb(found, start);
    table
}

/// The tree of a file with all that it includes.
fn file(source: &Source, part: usize, diagnostics: &mut Diagnostics) -> Table {
    let mut own = parsed(source, part, diagnostics);
    if let Some(include) = own.take(INCLUDE) {
        check_include(&include, diagnostics);
    }
    let mut root = Table::default();
    for found in &source.parts[part].includes {
        match found {
            Ok(included) => {
                let included = file(source, *included, diagnostics);
                join(source, &mut root, included, &mut Vec::new(), diagnostics);
            }
            Err(problem) => {
                diagnostics.push(problem.clone());
                diagnostics.follow_ups.lose_all();
            }
        }
    }
    override_with(source, &mut root, own, Lists::Append, &mut Vec::new());
    root
}

/// Reports an `include` that is not a list of paths.
fn check_include(include: &Entry, diagnostics: &mut Diagnostics) {
    let mut wrong = |span: Span, value: &Value| {
        let message = format!(
            "`{INCLUDE}` must be a list of paths, not {}",
            value.type_name()
        );
        diagnostics.follow_ups.lose_all();
        diagnostics.push(
            Diagnostic::new("spec::wrong-type", span, message, "not a list of paths")
                .hint(format!("write `{INCLUDE} = [\"parts/data.toml\"]`")),
        );
    };
    match &include.node.value {
        Value::List(items) => {
            for item in items.iter() {
                if !matches!(item.value, Value::Text(_)) {
                    wrong(item.span, &item.value);
                }
            }
        }
        other => wrong(include.node.span, other),
    }
}

/// What a list does to one that is there already.
#[derive(Clone, Copy, PartialEq)]
enum Lists {
    /// Tables and figures of the report are appended; any other list replaces.
    Append,
    /// It replaces it.
    Replace,
}

/// Whether the path leads to the tables or the figures of the report, of the file or of a profile.
fn is_appended(path: &[String]) -> bool {
    let of_file = match path {
        [profile, _, rest @ ..] if profile == PROFILE => rest,
        path => path,
    };
    matches!(of_file, [section, key] if section == "report" && LISTS.contains(&key.as_str()))
}

/// Whether a value is a table in braces: one value.
fn is_inline(source: &Source, node: &Node) -> bool {
    source.slice(node.span).starts_with('{')
}

fn append(list: &mut Arc<Vec<Node>>, others: &[Node]) {
    Arc::make_mut(list).extend_from_slice(others);
}

/// Lays a tree over another one.
fn override_with(
    source: &Source,
    base: &mut Table,
    over: Table,
    lists: Lists,
    path: &mut Vec<String>,
) {
    for entry in over.entries {
        path.push(entry.key.clone());
        let inline = is_inline(source, &entry.node);
        let known = base.entries.iter_mut().find(|known| known.key == entry.key);
        match known {
            None => base.entries.push(entry),
            Some(known) => match (&mut known.node.value, entry.node.value) {
                (Value::Table(table), Value::Table(over))
                    if !inline && !is_other_kind(table, &over) =>
                {
                    override_with(source, table, over, lists, path);
                }
                (Value::List(list), Value::List(more))
                    if lists == Lists::Append && is_appended(path) =>
                {
                    append(list, &more);
                }
                (_, value) => {
                    known.key_span = entry.key_span;
                    known.node = Node {
                        value,
                        span: entry.node.span,
                    };
                }
            },
        }
        path.pop();
    }
}

/// Whether a table names another kind than the one that it is laid over.
fn is_other_kind(base: &Table, over: &Table) -> bool {
    let kind = |table: &Table| table.get("kind").map(|entry| entry.node.value.to_string());
    let over = kind(over);
    over.is_some() && over != kind(base)
}

/// Puts the trees of two files that one file includes together. Where both say something of one key, it has to be the same.
fn join(
    source: &Source,
    base: &mut Table,
    other: Table,
    path: &mut Vec<String>,
    diagnostics: &mut Diagnostics,
) {
    for entry in other.entries {
        path.push(entry.key.clone());
        let known = base.entries.iter_mut().find(|known| known.key == entry.key);
        match known {
            None => base.entries.push(entry),
            Some(known) => {
                let inline = is_inline(source, &known.node) || is_inline(source, &entry.node);
                let first = known.node.span;
                match (&mut known.node.value, entry.node.value) {
                    (Value::Table(table), Value::Table(other)) if !inline => {
                        join(source, table, other, path, diagnostics);
                    }
                    (Value::List(list), Value::List(more)) if is_appended(path) => {
                        append(list, &more);
                    }
                    (known, other) if known.to_string() == other.to_string() => {}
                    _ => {
                        let places = (first, entry.node.span);
                        diagnostics.push(conflict(source, path, places));
                    }
                }
            }
        }
        path.pop();
    }
}

/// The error of a key that has two values in two files.
fn conflict(source: &Source, path: &[String], (first, second): (Span, Span)) -> Diagnostic {
    let message = format!(
        "`{}` has another value in {}",
        path.join("."),
        source.place_from(first, second)
    );
    Diagnostic::new("include::conflict", second, message, "another value")
        .hint("say it in one of the files; a file that includes another may override its keys")
}

/// Takes the profiles out of a tree; reports what is not a profile.
fn profiles_of(root: &mut Table, diagnostics: &mut Diagnostics) -> Vec<Entry> {
    let Some(section) = root.take(PROFILE) else {
        return Vec::new();
    };
    let Value::Table(table) = section.node.value else {
        diagnostics.push(
            Diagnostic::new(
                "spec::wrong-type",
                section.key_span,
                format!("`{PROFILE}` is a section, not a key"),
                "not a table",
            )
            .hint(format!(
                "write `[{PROFILE}.NAME.head.linear]`, and the keys that it overrides below"
            )),
        );
        return Vec::new();
    };
    let mut is_profile = |entry: &Entry| {
        let is_table = matches!(entry.node.value, Value::Table(_));
        let is_plain = |letter: char| letter.is_ascii() && is_name_character(letter);
        let is_name = !entry.key.is_empty() && entry.key.chars().all(is_plain);
        if !is_table {
            diagnostics.push(nothing(
                entry.key_span,
                &format!("`{}` of `[{PROFILE}]`", entry.key),
            ));
        } else if !is_name {
            diagnostics.push(
                Diagnostic::new(
                    "spec::bad-name",
                    entry.key_span,
                    format!("invalid profile name `{}`", entry.key),
                    "not a name",
                )
                .hint("names of profiles are made of the letters a to z, digits, `-` and `_`"),
            );
        }
        is_table && is_name
    };
    let entries = table.entries.into_iter();
    let mut profiles: Vec<Entry> = entries.filter(|entry| is_profile(entry)).collect();
    for profile in &mut profiles {
        refuse_include(profile, diagnostics);
    }
    profiles
}

/// Takes an `include` out of a profile, and reports it: which files make an experiment does not depend on what overrides it.
fn refuse_include(profile: &mut Entry, diagnostics: &mut Diagnostics) {
    let name = profile.key.clone();
    let Value::Table(table) = &mut profile.node.value else {
        return;
    };
    if let Some(include) = table.take(INCLUDE) {
        let message =
            format!("profile `{name}` has an `{INCLUDE}`; only the top of a file has one");
        let label = "not within a profile";
        diagnostics.push(
            Diagnostic::new("include::in-profile", include.key_span, message, label).hint(format!(
                "include the file at the top of this one, and put what it has for the profile there under `[{PROFILE}.{name}]`"
            )),
        );
    }
}

fn unknown_profile(name: &str, profiles: &[Entry]) -> Diagnostic {
    let names = profiles.iter().map(|entry| entry.key.as_str());
    let hint = suggest::hint(name, names)
        .unwrap_or_else(|| "it has no `[profile.NAME.…]` tables".to_owned());
    Diagnostic::new(
        "profile::unknown",
        Span::default(),
        format!("the file has no profile `{name}`"),
        "in this file",
    )
    .hint(hint)
}

/// The error of a key that overrides nothing, because it stands in no node.
fn nothing(span: Span, what: &str) -> Diagnostic {
    Diagnostic::new(
        "profile::nothing-to-override",
        span,
        format!("{what} stands in no node, so that it overrides nothing"),
        "not a section",
    )
    .hint("name section, node and key, such as `head.linear.epochs`, or `experiment.seeds`")
}

/// What overrides something: nodes that the file does not have, and that are not whole either, are reported and left out.
fn existing(over: Table, root: &Table, what: &str, diagnostics: &mut Diagnostics) -> Table {
    let mut kept = Table::default();
    for mut entry in over.entries {
        let Value::Table(nodes) = &mut entry.node.value else {
            diagnostics.push(nothing(
                entry.key_span,
                &format!("`{}` of {what}", entry.key),
            ));
            continue;
        };
        if NODE_SECTIONS.contains(&entry.key.as_str()) {
            let known: &[Entry] = match root.get(&entry.key).map(|entry| &entry.node.value) {
                Some(Value::Table(known)) => &known.entries,
                _ => &[],
            };
            nodes.entries.retain(|node| {
                // What says its kind is a node by itself, and may be a new one.
                let is_whole =
                    matches!(&node.node.value, Value::Table(table) if table.get("kind").is_some());
                let is_known = is_whole || known.iter().any(|known| known.key == node.key);
                if !is_known && !diagnostics.follow_ups.may_hide(&entry.key, &node.key) {
                    diagnostics.push(unknown_node(&entry.key, node, known, what));
                    diagnostics.follow_ups.lose_name(&node.key);
                }
                is_known
            });
        }
        kept.entries.push(entry);
    }
    kept
}

fn unknown_node(section: &str, node: &Entry, known: &[Entry], what: &str) -> Diagnostic {
    let names = known.iter().map(|known| known.key.as_str());
    Diagnostic::new(
        "profile::nothing-to-override",
        node.key_span,
        format!(
            "{what} overrides {section} `{}`, which the file does not have",
            node.key
        ),
        "no such node",
    )
    .hint(
        suggest::hint(&node.key, names)
            .unwrap_or_else(|| format!("the file has no `[{section}.NAME]`")),
    )
}
