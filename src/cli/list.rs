//! `repro list`: kinds with their keys, axes of results, models with their blocks, artifacts of the cache.

mod axes;
mod kinds;

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
use crate::spec::suggest;
use crate::text::{bytes, count};

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
        What::Kinds { markdown: true, .. } => kinds::reference(),
        What::Kinds { kind: None, .. } => kinds::list(arguments.json),
        What::Kinds {
            kind: Some(kind), ..
        } => kinds::one(kind, arguments.json),
        What::Axes => axes::list(arguments.json),
        What::Models { model: None } => all_models(arguments.json),
        What::Models { model: Some(model) } => one_model(model, arguments.json),
        What::Artifacts { all } => artifacts(context, arguments.json, *all),
    }
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
        "{name}: {} parameters, reads {}{} × {} × {}{}\nimages by default: {}\n{}",
        count(model.parameter_count()),
        if model.autoencoder().is_some() {
            "latents of "
        } else {
            ""
        },
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
