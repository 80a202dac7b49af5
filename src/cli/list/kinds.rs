//! `repro list kinds`: the kinds of nodes with their keys, and the reference page of them.

use std::io::Write;

use serde_json::{Value, json};

use super::{axes, print_json, print_text, unknown};
use crate::cli::exit::Failure;
use crate::cli::{printed, table};
use crate::graph::announced::{self, Announced};
use crate::report::{self, figures, tables};
use crate::spec::{AnyKey, KeyDoc, Keys, Kind, KindDoc, sections};
use crate::{datasets, graph, heads, metrics, models, trainer};

/// Every kind and every table that has one form only: its section, and what it says of itself.
fn all_kinds() -> Vec<(&'static str, &'static KindDoc)> {
    fn docs<P, M>(
        section: &'static str,
        kinds: &'static [&'static Kind<P, M>],
    ) -> impl Iterator<Item = (&'static str, &'static KindDoc)> {
        kinds.iter().map(move |kind| (section, &kind.doc))
    }
    let mut all = vec![("experiment", &sections::EXPERIMENT)];
    all.extend(docs("dataset", datasets::ALL));
    all.push(("pretrain", &graph::PRETRAIN));
    all.push(("pretrain", &trainer::pretraining::OPTIMIZER_DOC));
    all.extend(docs("model", models::ALL));
    all.push(("samples", &graph::SAMPLES));
    all.push(("extraction", &graph::EXTRACTION));
    all.extend(docs("preprocess", graph::PREPROCESS_STEPS));
    all.extend(docs("head", heads::ALL));
    all.push(("head", &trainer::config::TRAINING));
    let tables = trainer::config::TABLES.iter();
    all.extend(tables.map(|doc| ("head", *doc)));
    all.extend(docs("metric", metrics::ALL));
    all.push(("report", &report::config::DOC));
    all.extend(docs("report.table", tables::ALL));
    all.extend(docs("report.figure", figures::ALL));
    all
}

/// Prints what there is of every section.
pub(super) fn list(json: bool) -> Result<(), Failure> {
    if json {
        let there = all_kinds().into_iter();
        let there = there.map(|(section, doc)| kind_record(section, doc));
        let kinds: Vec<_> = there
            .chain(announced::ALL.iter().map(announced_record))
            .collect();
        return print_json(&kinds);
    }
    let rows: Vec<Vec<String>> = all_kinds()
        .into_iter()
        .map(|(section, doc)| {
            vec![
                section.to_owned(),
                doc.name.to_owned(),
                doc.summary.to_owned(),
            ]
        })
        .collect();
    let announced = announced::ALL
        .iter()
        .map(|kind| format!("{} `{}`", kind.section, kind.name));
    let announced: Vec<String> = announced.collect();
    print_text(&format!(
        "{}\n\nAnnounced, and not there yet: {}.",
        table::render(&["section", "kind", "what it is"], &rows),
        announced.join(", ")
    ))
}

/// Prints one kind with its keys.
pub(super) fn one(name: &str, json: bool) -> Result<(), Failure> {
    let kinds = all_kinds();
    if let Some(kind) = announced::ALL.iter().find(|kind| kind.name == name) {
        if json {
            return print_json(&announced_record(kind));
        }
        return print_text(&format!(
            "{} kind `{}`: {} Announced, and not there yet: what needs it is not run.",
            kind.section, kind.name, kind.summary
        ));
    }
    let Some((section, doc)) = kinds.iter().find(|(_, doc)| doc.name == name) else {
        return Err(unknown("kind", name, kinds.iter().map(|(_, doc)| doc.name)));
    };
    if json {
        return print_json(&kind_record(section, doc));
    }
    let rows: Vec<Vec<String>> = doc
        .all_keys()
        .into_iter()
        .map(|key| {
            let key = key.describe();
            let default = key.default.unwrap_or_else(|| "required".to_owned());
            vec![key.name.to_owned(), key.value, default, key.doc.to_owned()]
        })
        .collect();
    print_text(&format!(
        "{section} kind `{}`: {}\n{}",
        doc.name,
        doc.summary,
        table::render(&["key", "value", "default", "what it does"], &rows)
    ))
}

const HEADER: &str = "| key | value | default | what it does |\n| :--- | :--- | :--- | :--- |\n";

/// The reference page in `docs/experiment-files.md`.
pub(super) fn reference() -> Result<(), Failure> {
    use std::fmt::Write;
    let mut text = String::new();
    let row = |text: &mut String, key: &KeyDoc| {
        let default = key
            .default
            .as_deref()
            .unwrap_or("required")
            .replace('|', "\\|");
        let list = if key.is_list {
            " (a list by nature)"
        } else {
            ""
        };
        let _ = writeln!(
            text,
            "| `{}` | {}{list} | {default} | {} |",
            key.name, key.value, key.doc
        );
    };
    for (section, doc) in all_kinds() {
        let _ = writeln!(text, "### {section}: `{}`\n\n{}\n", doc.name, doc.summary);
        // What all heads share is long, and stands once.
        let keys = if shares_training(doc) {
            doc.keys.to_vec()
        } else {
            doc.all_keys()
        };
        if !keys.is_empty() {
            text.push_str(HEADER);
        }
        for key in keys {
            row(&mut text, &key.describe());
        }
        if shares_training(doc) {
            let lead = if doc.keys.is_empty() { "" } else { "\n" };
            let _ = writeln!(
                text,
                "{lead}It has the keys of [training](#head-training) as well."
            );
        }
        text.push('\n');
    }
    text.push_str("### announced kinds\n\nThese are not there yet. An experiment may name them: their other keys are not judged, and what needs them is not run.\n\n| section | kind | what it is |\n| :--- | :--- | :--- |\n");
    for kind in announced::ALL {
        let _ = writeln!(
            text,
            "| {} | `{}` | {} |",
            kind.section, kind.name, kind.summary
        );
    }
    text.push('\n');
    text.push_str(&axes::markdown());
    // A page to be copied.
    writeln!(printed::unfolded(), "{}", text.trim_end())?;
    Ok(())
}

/// Whether a kind has the keys of training besides its own.
fn shares_training(doc: &KindDoc) -> bool {
    let names = |keys: Keys| keys.iter().map(|key| key.name()).collect::<Vec<_>>();
    names(doc.shared) == names(trainer::config::KEYS)
}

fn kind_record(section: &str, doc: &KindDoc) -> Value {
    let keys = doc.all_keys().into_iter();
    let keys: Vec<KeyDoc> = keys.map(AnyKey::describe).collect();
    json!({ "section": section, "kind": doc.name, "summary": doc.summary, "keys": keys })
}

/// An announced kind; nobody knows its keys.
fn announced_record(kind: &Announced) -> Value {
    json!({ "section": kind.section, "kind": kind.name, "summary": kind.summary, "announced": true })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_key_says_what_it_may_be_and_what_it_does() {
        for (section, doc) in all_kinds() {
            let mut names = BTreeSet::new();
            for key in doc.all_keys() {
                let key = key.describe();
                let place = format!("`{}` of {section} `{}`", key.name, doc.name);
                assert!(names.insert(key.name), "{place} stands twice");
                assert!(!key.value.is_empty(), "{place} has no value");
                assert!(key.doc.ends_with('.'), "{place}: {}", key.doc);
                assert_ne!(key.default.as_deref(), Some(""), "{place}");
            }
        }
    }
}
