//! `repro schema`: experiment files as a JSON Schema, made from the declarations of all keys.

use std::io::Write;

use clap::Args;
use serde_json::{Map, Value, json};

use super::exit::Failure;
use super::printed;
use crate::graph::announced;
use crate::report::{self, figures, tables};
use crate::spec::{Kind, KindDoc, Lists, compose, include, sections};
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
    let plain = |doc: &KindDoc| doc.schema(sweeps(), Lists::Sweep);
    define("dataset", one_of("dataset", datasets::ALL));
    define("pretrain", plain(&graph::PRETRAIN));
    define("model", one_of("model", models::ALL));
    define("samples", plain(&graph::SAMPLES));
    define("extraction", plain(&graph::EXTRACTION));
    define("head", one_of("head", heads::ALL));
    define("metric", one_of("metric", metrics::ALL));
    let header = sections::EXPERIMENT.schema(Map::new(), Lists::Value);
    define("experiment", header);
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
        // A file that is a whole experiment by itself has every required key; of the others each may leave keys to another.
        "if": { "required": ["experiment"], "not": { "required": [include::INCLUDE] } },
        "then": { "properties": whole() },
        "$defs": definitions,
    })
}

/// The keys that steer a sweep.
fn sweeps() -> Map<String, Value> {
    let strings = json!({ "type": "array", "items": { "type": "string" } });
    let tables = json!({ "type": "array", "items": { "type": "object" } });
    Map::from_iter([("zip".to_owned(), strings), ("cases".to_owned(), tables)])
}

/// A table of one of the kinds of a section, or of an announced one, whose keys nobody knows. Without `kind`, which another file may say,
/// its keys are those of one of them.
fn one_of<P, M>(section: &str, kinds: &[&'static Kind<P, M>]) -> Value {
    let of = |doc: &KindDoc| {
        let mut further = sweeps();
        further.insert("kind".to_owned(), json!({ "const": doc.name }));
        doc.schema(further, Lists::Sweep)
    };
    let there = kinds.iter().map(|kind| of(&kind.doc));
    let announced = announced::ALL.iter().filter(|kind| kind.section == section);
    let announced = announced.map(|kind| {
        json!({
            "type": "object",
            "description": format!("{} Announced, and not there yet.", kind.summary),
            "properties": { "kind": { "const": kind.name } },
            "required": ["kind"],
        })
    });
    json!({ "anyOf": there.chain(announced).collect::<Vec<Value>>() })
}

/// A table of one of the kinds of a list in the report, which no other table is laid over: it has its kind, and every required key.
fn one_whole<P, M>(kinds: &[&'static Kind<P, M>]) -> Value {
    let of = |doc: &KindDoc| {
        let kind = Map::from_iter([("kind".to_owned(), json!({ "const": doc.name }))]);
        let mut schema = doc.schema(kind, Lists::Value);
        schema["required"] = json!([&["kind"][..], &doc.required()].concat());
        schema
    };
    let kinds: Vec<Value> = kinds.iter().map(|kind| of(&kind.doc)).collect();
    json!({ "anyOf": kinds })
}

/// The required keys of a table that sweeps; a case of a sweep may have any of them.
fn needs(doc: &KindDoc) -> Value {
    json!({ "anyOf": [{ "required": doc.required() }, { "required": ["cases"] }] })
}

/// The required keys of a table by its kind.
fn of_kinds<P, M>(kinds: &[&'static Kind<P, M>]) -> Value {
    let of = |doc: &KindDoc| {
        let is_kind = json!({ "properties": { "kind": { "const": doc.name } } });
        json!({ "if": is_kind, "then": needs(doc) })
    };
    let kinds: Vec<Value> = kinds.iter().map(|kind| of(&kind.doc)).collect();
    json!({ "required": ["kind"], "allOf": kinds })
}

/// What the nodes of a whole experiment must have, by section.
fn whole() -> Value {
    let nodes = [
        ("dataset", of_kinds(datasets::ALL)),
        ("pretrain", needs(&graph::PRETRAIN)),
        ("model", of_kinds(models::ALL)),
        ("samples", needs(&graph::SAMPLES)),
        ("extraction", needs(&graph::EXTRACTION)),
        ("head", of_kinds(heads::ALL)),
        ("metric", of_kinds(metrics::ALL)),
    ];
    let mut sections: Map<String, Value> = nodes
        .into_iter()
        .map(|(section, node)| (section.to_owned(), json!({ "additionalProperties": node })))
        .collect();
    let header = json!({ "required": sections::EXPERIMENT.required() });
    sections.insert(sections::EXPERIMENT.name.to_owned(), header);
    sections.into()
}

/// `[report]`, whose tables and figures have kinds.
fn of_report() -> Value {
    let mut schema = report::config::DOC.schema(Map::new(), Lists::Value);
    let lists = [
        ("table", one_whole(tables::ALL)),
        ("figure", one_whole(figures::ALL)),
    ];
    for (key, item) in lists {
        schema["properties"][key] = json!({ "type": "array", "items": item });
    }
    schema
}
