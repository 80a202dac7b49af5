//! `repro schema`: experiment files as a JSON Schema, made from the declarations of all keys.

use std::io::Write;

use clap::Args;
use serde_json::{Map, Value, json};

use super::exit::Failure;
use super::printed;
use crate::report::{self, figures, tables};
use crate::spec::{Kind, KindDoc, compose, include, sections};
use crate::{datasets, graph, heads, metrics, models};

/// Arguments of `repro schema`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  repro schema > experiments/schema.json\n\nA file that begins with `#:schema schema.json` is then completed and checked by editors with a TOML language server, such as Taplo."
)]
pub struct Arguments {}

/// Prints the schema.
pub fn run(_: &Arguments) -> Result<(), Failure> {
    let mut out = printed::stdout(true);
    serde_json::to_writer_pretty(&mut out, &schema()).map_err(std::io::Error::from)?;
    writeln!(out)?;
    Ok(())
}

/// The sections with the tables that they hold.
fn schema() -> Value {
    let mut definitions = Map::new();
    let mut define = |section: &str, schema: Value| {
        definitions.insert(section.to_owned(), schema);
    };
    define("dataset", one_of(datasets::ALL, true));
    define("pretrain", graph::PRETRAIN.schema(sweeps()));
    define("model", one_of(models::ALL, true));
    define("samples", graph::SAMPLES.schema(sweeps()));
    define("extraction", graph::EXTRACTION.schema(sweeps()));
    define("head", one_of(heads::ALL, true));
    define("metric", one_of(metrics::ALL, true));
    define("experiment", sections::EXPERIMENT.schema(Map::new()));
    define("report", of_report());

    let reference = |section: &str| json!({ "$ref": format!("#/$defs/{section}") });
    let mut properties = Map::new();
    for section in sections::NODE_SECTIONS {
        let named = json!({ "type": "object", "additionalProperties": reference(section) });
        properties.insert((*section).to_owned(), named);
    }
    for section in ["experiment", "report"] {
        properties.insert(section.to_owned(), reference(section));
    }
    let profile = json!({
        "type": "object",
        "description": "What `--profile` overrides.",
        "properties": properties,
        "additionalProperties": false,
    });
    properties.insert(
        compose::PROFILE.to_owned(),
        json!({ "type": "object", "additionalProperties": profile }),
    );
    properties.insert(
        include::INCLUDE.to_owned(),
        json!({
            "type": "array",
            "items": { "type": "string" },
            "description": "Files whose tables are put below those of this one; paths start from the folder of this file.",
        }),
    );
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An experiment file of repro",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "$defs": definitions,
    })
}

/// The keys that steer a sweep.
fn sweeps() -> Map<String, Value> {
    let strings = json!({ "type": "array", "items": { "type": "string" } });
    let tables = json!({ "type": "array", "items": { "type": "object" } });
    Map::from_iter([("zip".to_owned(), strings), ("cases".to_owned(), tables)])
}

/// A table of one of these kinds. Without `kind`, which another file may say, its keys are those of one of them.
fn one_of<P, M>(kinds: &[&'static Kind<P, M>], is_swept: bool) -> Value {
    let of = |doc: &KindDoc| {
        let mut further = if is_swept { sweeps() } else { Map::new() };
        further.insert("kind".to_owned(), json!({ "const": doc.name }));
        doc.schema(further)
    };
    let kinds: Vec<Value> = kinds.iter().map(|kind| of(&kind.doc)).collect();
    json!({ "anyOf": kinds })
}

/// `[report]`, whose tables and figures have kinds.
fn of_report() -> Value {
    let mut schema = report::config::DOC.schema(Map::new());
    let lists = [
        ("table", one_of(tables::ALL, false)),
        ("figure", one_of(figures::ALL, false)),
    ];
    for (key, item) in lists {
        schema["properties"][key] = json!({ "type": "array", "items": item });
    }
    schema
}
