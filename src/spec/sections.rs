//! The sections of an experiment file: which nodes stand in it, under which names.

use std::cell::RefCell;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::form::{Count, List, Text};
use super::key::Key;
use super::kind::KindDoc;
use super::source::{Source, Span};
use super::suggest;
use super::tree::{self, Table, Value};

/// The sections that hold named nodes.
pub const NODE_SECTIONS: &[&str] = &[
    "dataset",
    "pretrain",
    "model",
    "samples",
    "extraction",
    "head",
    "metric",
];

/// The key `name` of `[experiment]`.
pub const NAME: Key<Text> = Key::text("name", "a word")
    .doc("Names the experiment in listings and in the default output file.");

/// The key `title` of `[experiment]`.
pub const TITLE: Key<Text> = Key::text("title", "a string")
    .optional("the name")
    .doc("The title of the report.");

/// The key `seeds` of `[experiment]`.
pub const SEEDS: Key<List<Count>> = Key::list("seeds", Count::within(0..=u32::MAX))
    .default(&[0])
    .doc("The seeds of every head that names none: an axis like any other.");

/// `[experiment]`.
pub const EXPERIMENT: KindDoc = KindDoc {
    name: "experiment",
    summary: "The header of the file. It has no `kind` key.",
    keys: &[&NAME, &TITLE, &SEEDS],
    shared: &[],
};

/// One `[section.name]` table as it was typed, sweeps not yet expanded.
#[derive(Debug, Clone)]
pub struct RawNode {
    /// What follows the dot of the header.
    pub name: String,
    /// Where the name stands.
    pub span: Span,
    /// The keys below the header.
    pub table: Table,
}

/// An experiment file, split into its nodes.
#[derive(Debug, Clone, Default)]
pub struct Sections {
    /// `[experiment]`.
    pub experiment: Option<RawNode>,
    /// `[dataset.*]`.
    pub datasets: Vec<RawNode>,
    /// `[pretrain.*]`.
    pub pretrains: Vec<RawNode>,
    /// `[model.*]`.
    pub models: Vec<RawNode>,
    /// `[samples.*]`.
    pub samples: Vec<RawNode>,
    /// `[extraction.*]`.
    pub extractions: Vec<RawNode>,
    /// `[head.*]`.
    pub heads: Vec<RawNode>,
    /// `[metric.*]`.
    pub metrics: Vec<RawNode>,
    /// `[report]`.
    pub report: Option<RawNode>,
}

impl Sections {
    /// Reads the sections of a file, recording every section that is none.
    pub fn read(source: &Source, diagnostics: &RefCell<Diagnostics>) -> Self {
        let root = tree::parse(source, &mut diagnostics.borrow_mut());
        let report = |diagnostic| diagnostics.borrow_mut().push(diagnostic);
        let mut sections = Self::default();
        for entry in &root.entries {
            let Value::Table(table) = &entry.node.value else {
                report(unknown_section(&entry.key, entry.key_span));
                continue;
            };
            let node = || RawNode {
                name: entry.key.clone(),
                span: entry.key_span,
                table: table.clone(),
            };
            match entry.key.as_str() {
                "experiment" => sections.experiment = Some(node()),
                "report" => sections.report = Some(node()),
                "dataset" => sections.datasets = named(table, "dataset", &report),
                "pretrain" => sections.pretrains = named(table, "pretrain", &report),
                "model" => sections.models = named(table, "model", &report),
                "samples" => sections.samples = named(table, "samples", &report),
                "extraction" => sections.extractions = named(table, "extraction", &report),
                "head" => sections.heads = named(table, "head", &report),
                "metric" => sections.metrics = named(table, "metric", &report),
                _ => report(unknown_section(&entry.key, entry.key_span)),
            }
        }
        if sections.experiment.is_none() {
            report(
                Diagnostic::new(
                    "spec::missing-section",
                    Span::default(),
                    "the file has no `[experiment]` section",
                    "expected before the nodes",
                )
                .hint("begin with `[experiment]` and `name = \"…\"`"),
            );
        }
        sections
    }
}

fn named(table: &Table, section: &str, report: &impl Fn(Diagnostic)) -> Vec<RawNode> {
    let mut nodes = Vec::new();
    for entry in &table.entries {
        match &entry.node.value {
            Value::Table(table) => {
                if entry.key.is_empty()
                    || entry
                        .key
                        .chars()
                        .any(|character| !is_name_character(character))
                {
                    report(
                        Diagnostic::new(
                            "spec::bad-name",
                            entry.key_span,
                            format!("invalid node name `{}`", entry.key),
                            "not a name",
                        )
                        .hint("names are made of letters, digits, `-` and `_`"),
                    );
                }
                nodes.push(RawNode {
                    name: entry.key.clone(),
                    span: entry.key_span,
                    table: table.clone(),
                });
            }
            _ => report(
                Diagnostic::new(
                    "spec::wrong-type",
                    entry.key_span,
                    format!("`{}` stands in no node of section `{section}`", entry.key),
                    "a key outside a node",
                )
                .hint(format!("write `[{section}.NAME]` above it")),
            ),
        }
    }
    nodes
}

/// Whether a character may stand in the name of a node or an experiment.
pub fn is_name_character(character: char) -> bool {
    character.is_alphanumeric() || character == '-' || character == '_'
}

fn unknown_section(key: &str, span: Span) -> Diagnostic {
    let known = NODE_SECTIONS
        .iter()
        .copied()
        .chain(["experiment", "report"]);
    Diagnostic::new(
        "spec::unknown-key",
        span,
        format!("unknown section `{key}`"),
        "not a section",
    )
    .maybe_hint(suggest::hint(key, known))
}
