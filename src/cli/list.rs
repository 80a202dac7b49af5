//! `repro list`: kinds with their keys, axes of results, models with their blocks, artifacts of the cache.

mod axes;

use std::io::Write;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Value, json};

use super::Context;
use super::exit::Failure;
use super::{experiment, table};
use crate::bug::Bug;
use crate::graph::{EXTRACTION_KEYS, METRIC_KEYS, PREPROCESS_STEPS, PRETRAIN_KEYS, SAMPLES_KEYS};
use crate::models::{self, Model};
use crate::report::{self, figures, tables};
use crate::spec::sections::EXPERIMENT_KEYS;
use crate::spec::{Key, KindDoc, suggest};
use crate::text::{bytes, count};
use crate::{datasets, heads, metrics, trainer};

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
    Artifacts,
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
        What::Artifacts => artifacts(context, arguments.json),
    }
}

/// The sections that have one form only, so that no `kind` is typed.
const EXPERIMENT: KindDoc = KindDoc {
    name: "experiment",
    summary: "The head of the file. It has no `kind` key.",
    keys: EXPERIMENT_KEYS,
};
const PRETRAIN: KindDoc = KindDoc {
    name: "pretrain",
    summary: "The training of a diffusion network. The model that says `weights = { pretrain = \"NAME\" }` is trained, and has the averaged weights. It has no `kind` key.",
    keys: PRETRAIN_KEYS,
};
const SAMPLES: KindDoc = KindDoc {
    name: "samples",
    summary: "Images that a model makes out of noise, for figures of kind `sheet`. It has no `kind` key.",
    keys: SAMPLES_KEYS,
};
const EXTRACTION: KindDoc = KindDoc {
    name: "extraction",
    summary: "Features of a dataset: a model, a timestep, a block and a pool. It has no `kind` key.",
    keys: EXTRACTION_KEYS,
};
const REPORT: KindDoc = KindDoc {
    name: "report",
    summary: "The report. It has no `kind` key.",
    keys: report::config::KEYS,
};

/// Every kind: its section, what it says of itself, and the keys that its section adds.
fn all_kinds() -> Vec<(&'static str, &'static KindDoc, &'static [Key])> {
    let mut all: Vec<(&'static str, &'static KindDoc, &'static [Key])> =
        vec![("experiment", &EXPERIMENT, &[])];
    all.extend(
        datasets::ALL
            .iter()
            .map(|kind| ("dataset", kind.doc(), &[][..])),
    );
    all.push(("pretrain", &PRETRAIN, trainer::pretraining::config::KEYS));
    all.extend(
        models::ALL
            .iter()
            .map(|kind| ("model", kind.doc(), &[][..])),
    );
    all.push(("samples", &SAMPLES, &[]));
    all.push(("extraction", &EXTRACTION, &[]));
    all.extend(
        PREPROCESS_STEPS
            .iter()
            .map(|step| ("preprocess", step, &[][..])),
    );
    all.extend(
        heads::ALL
            .iter()
            .map(|kind| ("head", kind.doc(), kind.keys_of_training())),
    );
    all.extend(
        metrics::ALL
            .iter()
            .map(|kind| ("metric", kind.doc(), METRIC_KEYS)),
    );
    all.push(("report", &REPORT, &[]));
    all.extend(
        tables::ALL
            .iter()
            .map(|kind| ("report.table", kind.doc(), &[][..])),
    );
    all.extend(
        figures::ALL
            .iter()
            .map(|kind| ("report.figure", kind.doc(), &[][..])),
    );
    all
}

fn kinds(json: bool) -> Result<(), Failure> {
    if json {
        let kinds: Vec<_> = all_kinds()
            .into_iter()
            .map(|(section, doc, keys)| kind_record(section, doc, keys))
            .collect();
        return print_json(&kinds);
    }
    let rows: Vec<Vec<String>> = all_kinds()
        .into_iter()
        .map(|(section, doc, _)| {
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
    let Some((section, doc, keys)) = kinds.iter().find(|(_, doc, _)| doc.name == name) else {
        return Err(unknown(
            "kind",
            name,
            kinds.iter().map(|(_, doc, _)| doc.name),
        ));
    };
    if json {
        return print_json(&kind_record(section, doc, keys));
    }
    let rows: Vec<Vec<String>> = doc
        .keys
        .iter()
        .chain(*keys)
        .map(|key| {
            let default = key.default.unwrap_or("required");
            vec![
                key.name.to_owned(),
                key.value.to_owned(),
                default.to_owned(),
                key.doc.to_owned(),
            ]
        })
        .collect();
    print_text(&format!(
        "{section} kind `{}`: {}\n{}",
        doc.name,
        doc.summary,
        table::render(&["key", "value", "default", "what it does"], &rows)
    ))
}

/// The reference page in `docs/experiment-files.md`.
fn reference() -> Result<(), Failure> {
    use std::fmt::Write;
    let mut text = String::new();
    let row = |text: &mut String, key: &Key| {
        let default = key.default.unwrap_or("required").replace('|', "\\|");
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
    for (section, doc, keys) in all_kinds() {
        let _ = writeln!(text, "### {section}: `{}`\n\n{}\n", doc.name, doc.summary);
        text.push_str("| key | value | default | what it does |\n| :--- | :--- | :--- | :--- |\n");
        for key in doc.keys.iter().chain(keys) {
            row(&mut text, key);
        }
        text.push('\n');
    }
    text.push_str(&axes::markdown());
    print_text(text.trim_end())
}

fn kind_record(section: &str, doc: &KindDoc, keys: &[Key]) -> Value {
    let keys: Vec<&Key> = doc.keys.iter().chain(keys).collect();
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
        if models::ALL.iter().any(|kind| kind.doc().name == name) {
            return Err(Failure::Mistakes(format!(
                "`{name}` is a kind of model and no model with a name\n  hint: `repro list kinds {name}` shows its keys"
            )));
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
        "{name}: {} parameters, reads {} × {} × {}{}\n{}",
        count(model.parameter_count()),
        input.channels,
        input.side,
        input.side,
        noise,
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
    let kinds = models::ALL.iter();
    kinds
        .flat_map(|kind| {
            kind.presets()
                .into_iter()
                .filter_map(|name| Some((name.clone(), kind.preset(&name)?)))
        })
        .collect()
}

fn model_record(name: &str, model: &dyn Model) -> Value {
    json!({
        "model": name,
        "kind": model.kind(),
        "parameters": model.parameter_count(),
        "input": [model.input().channels, model.input().side, model.input().side],
        "normalization": model.input().normalization,
        "diffusion_steps": model.input().noise.map(|noise| noise.steps),
        "blocks": model.blocks(),
    })
}

fn artifacts(context: &Context, json: bool) -> Result<(), Failure> {
    let listing = experiment::existing_cache(context)?.listing()?;
    for problem in &listing.problems {
        eprintln!("warning: {} {}", problem.file.display(), problem.reason);
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
    print_text(&table::render(
        &["fingerprint", "kind", "rows", "size", "made", "label"],
        &rows,
    ))
}

fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str> + Clone) -> Failure {
    let hint =
        suggest::hint(name, known).map_or_else(String::new, |hint| format!("\n  hint: {hint}"));
    Failure::Mistakes(format!("there is no {what} `{name}`{hint}"))
}

fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value).map_err(std::io::Error::from)?;
    writeln!(out)?;
    Ok(())
}

fn print_text(text: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout().lock(), "{text}")?;
    Ok(())
}
