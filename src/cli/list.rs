//! `repro list`: kinds with their keys, axes of results, models with their blocks, artifacts of the cache.

mod axes;

use std::io::Write;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Value, json};

use super::Context;
use super::exit::Failure;
use super::{experiment, printed, table};
use crate::bug::Bug;
use crate::message::Message;
use crate::models::{self, Model};
use crate::report::{self, figures, tables};
use crate::spec::{AnyKey, KeyDoc, Keys, Kind, KindDoc, sections, suggest};
use crate::text::{bytes, count};
use crate::{datasets, graph, heads, metrics, trainer};

/// Arguments of `repro list`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  repro list kinds\n  repro list kinds linear\n  repro list axes\n  repro list models\n  repro list models adm-256-uncond\n  repro list artifacts --json"
)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The kinds of nodes and their keys.
    Kinds {
        /// Show one kind with its keys.
        #[arg(value_name = "KIND")]
        kind: Option<String>,
        /// Print the reference page of all kinds as Markdown.
        #[arg(long, conflicts_with_all = ["kind", "json"])]
        markdown: bool,
    },
    /// The axes of results.
    Axes,
    /// The models that have a name, or the blocks of one.
    Models {
        /// Show the blocks of one model.
        #[arg(value_name = "MODEL")]
        model: Option<String>,
    },
    /// What the cache holds.
    Artifacts {
        /// Print all of them, also on a terminal.
        #[arg(long)]
        all: bool,
    },
}

/// Prints a listing.
pub fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.what {
        What::Kinds { markdown: true, .. } => reference(),
        What::Kinds { kind: None, .. } => kinds(arguments.json),
        What::Kinds {
            kind: Some(kind), ..
        } => one_kind(kind, arguments.json),
        What::Axes => axes::list(arguments.json),
        What::Models { model: None } => all_models(arguments.json),
        What::Models { model: Some(model) } => one_model(model, arguments.json),
        What::Artifacts { all } => artifacts(context, arguments.json, *all),
    }
}

/// Every kind and every table that has one form only: its section, and what it says of itself.
pub(super) fn all_kinds() -> Vec<(&'static str, &'static KindDoc)> {
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

fn kinds(json: bool) -> Result<(), Failure> {
    if json {
        let kinds: Vec<_> = all_kinds()
            .into_iter()
            .map(|(section, doc)| kind_record(section, doc))
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
    print_text(&table::render(&["section", "kind", "what it is"], &rows))
}

fn one_kind(name: &str, json: bool) -> Result<(), Failure> {
    let kinds = all_kinds();
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
fn reference() -> Result<(), Failure> {
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

fn all_models(json: bool) -> Result<(), Failure> {
    let models = named_models();
    if json {
        let records: Vec<_> = models
            .iter()
            .map(|(name, model)| model_record(name, &**model))
            .collect();
        return print_json(&records);
    }
    let rows: Vec<Vec<String>> = models
        .iter()
        .map(|(name, model)| {
            vec![
                name.clone(),
                model.kind().to_owned(),
                model.input().side.to_string(),
                model.blocks().len().to_string(),
                count(model.parameter_count()),
            ]
        })
        .collect();
    print_text(&table::render(
        &["model", "kind", "side", "blocks", "parameters"],
        &rows,
    ))
}

fn one_model(name: &str, json: bool) -> Result<(), Failure> {
    let models = named_models();
    let Some((name, model)) = models.iter().find(|(known, _)| known == name) else {
        if models::ALL.iter().any(|kind| kind.doc.name == name) {
            return Err(Failure::Usage(
                Message::new(format!("`{name}` is a model kind, not the name of a model"))
                    .hint(format!("`repro list kinds {name}` shows its keys")),
            ));
        }
        return Err(unknown(
            "model",
            name,
            models.iter().map(|(name, _)| name.as_str()),
        ));
    };
    if json {
        return print_json(&model_record(name, &**model));
    }
    let rows: Vec<Vec<String>> = model
        .blocks()
        .iter()
        .map(|block| {
            vec![
                block.index.0.to_string(),
                block.path.clone(),
                block.shape.to_string(),
                format!("{:.3}", block.multiply_adds as f64 / 1e9),
            ]
        })
        .collect();
    let input = model.input();
    let noise = input.noise.map_or_else(
        || format!(", {}, no noise", input.normalization.name()),
        |noise| format!(", {} diffusion steps", noise.steps),
    );
    print_text(&format!(
        "{name}: {} parameters, reads {} × {} × {}{}\nimages by default: {}\n{}",
        count(model.parameter_count()),
        input.channels,
        input.side,
        input.side,
        noise,
        model.preprocess().name(),
        table::render(
            &[
                "block",
                "module",
                "tap (channels × height × width)",
                "10⁹ multiply-adds up to it"
            ],
            &rows
        )
    ))
}

fn named_models() -> Vec<(String, std::sync::Arc<dyn Model>)> {
    let presets = models::presets().into_iter();
    presets.map(|preset| (preset.name, preset.model)).collect()
}

fn model_record(name: &str, model: &dyn Model) -> Value {
    json!({
        "model": name,
        "kind": model.kind(),
        "parameters": model.parameter_count(),
        "input": [model.input().channels, model.input().side, model.input().side],
        "normalization": model.input().normalization,
        "preprocess": model.preprocess(),
        "diffusion_steps": model.input().noise.map(|noise| noise.steps),
        "blocks": model.blocks(),
    })
}

fn artifacts(context: &Context, json: bool, all: bool) -> Result<(), Failure> {
    let listing = experiment::existing_cache(context)?.listing()?;
    for problem in &listing.problems {
        say!("warning: {} {}", problem.file.display(), problem.reason);
    }
    if json {
        let records: Vec<_> = listing
            .artifacts
            .iter()
            .map(|(fingerprint, entry)| {
                let recipe: Value = serde_json::from_str(entry.recipe.json())
                    .map_err(|error| Bug::new(format!("recipe of {fingerprint}: {error}")))?;
                Ok(json!({
                    "fingerprint": fingerprint.to_string(),
                    "kind": entry.kind.name(),
                    "label": entry.label,
                    "rows": entry.rows,
                    "bytes": entry.bytes,
                    "made_at": entry.made_at,
                    "recipe": recipe,
                }))
            })
            .collect::<Result<_, Failure>>()?;
        return print_json(&records);
    }
    let rows: Vec<Vec<String>> = listing
        .artifacts
        .iter()
        .map(|(fingerprint, entry)| {
            vec![
                fingerprint.short(),
                entry.kind.name().to_owned(),
                count(entry.rows),
                bytes(entry.bytes),
                entry.made_at.clone(),
                entry.label.clone(),
            ]
        })
        .collect();
    print_text(&table::render_some(
        &["fingerprint", "kind", "rows", "size", "made", "label"],
        &rows,
        all,
    ))
}

fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str> + Clone) -> Failure {
    let message = Message::new(format!("unknown {what} `{name}`"));
    Failure::Usage(message.maybe_hint(suggest::hint(name, known)))
}

fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let mut out = printed::stdout(true);
    serde_json::to_writer_pretty(&mut out, value).map_err(std::io::Error::from)?;
    writeln!(out)?;
    Ok(())
}

fn print_text(text: &str) -> Result<(), Failure> {
    writeln!(printed::stdout(false), "{text}")?;
    Ok(())
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
