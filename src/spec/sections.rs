//! The sections of an experiment file: which nodes stand in it, under which names.

use std::cell::RefCell;

use super::compose::{self, PROFILE};
use super::diagnostic::{Diagnostic, Diagnostics};
use super::form::{Count, List, Text};
use super::include::INCLUDE;
use super::key::Key;
use super::kind::KindDoc;
use super::source::{Source, Span};
use super::suggest;
use super::tree::{Entry, Table, Value};

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
    /// The names of all nodes, each with its section, in the order of the sections.
    pub fn named(&self) -> Vec<(&'static str, &str)> {
        let lists = [
            ("dataset", &self.datasets),
            ("pretrain", &self.pretrains),
            ("model", &self.models),
            ("samples", &self.samples),
            ("extraction", &self.extractions),
            ("head", &self.heads),
            ("metric", &self.metrics),
        ];
        let names = lists.into_iter();
        names
            .flat_map(|(section, nodes)| {
                nodes.iter().map(move |node| (section, node.name.as_str()))
            })
            .collect()
    }

    /// Reads the sections of a file, recording every section that is none.
    pub fn read(source: &Source, diagnostics: &RefCell<Diagnostics>) -> Self {
        let mut root = compose::compose(source, &mut diagnostics.borrow_mut());
        if let Some(home) = &source.home {
            let of_files = root.entries.iter_mut();
            for entry in of_files.filter(|entry| ["dataset", "model"].contains(&entry.key.as_str()))
            {
                entry.node.value.expand_home(home);
            }
        }
        let report = |diagnostic| diagnostics.borrow_mut().push(diagnostic);
        let named =
            |table: &Table, section: &'static str| named(table, section, source, diagnostics);
        let mut sections = Self::default();
        for entry in &root.entries {
            let Value::Table(table) = &entry.node.value else {
                // What it would have included is not known.
                if suggest::nearest(&entry.key, [INCLUDE]).is_some() {
                    diagnostics.borrow_mut().follow_ups.lose_all();
                }
                report(outside(&entry.key, entry.key_span));
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
                "dataset" => sections.datasets = named(table, "dataset"),
                "pretrain" => sections.pretrains = named(table, "pretrain"),
                "model" => sections.models = named(table, "model"),
                "samples" => sections.samples = named(table, "samples"),
                "extraction" => sections.extractions = named(table, "extraction"),
                "head" => sections.heads = named(table, "head"),
                "metric" => sections.metrics = named(table, "metric"),
                _ => {
                    report(unknown_section(&entry.key, entry.key_span));
                    // Whoever refers to these nodes is right but for the section.
                    for node in &table.entries {
                        diagnostics.borrow_mut().follow_ups.lose_name(&node.key);
                    }
                }
            }
        }
        let is_hidden = diagnostics.borrow().follow_ups.may_hide_any("experiment");
        if sections.experiment.is_none() && !is_hidden {
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

fn named(
    table: &Table,
    section: &'static str,
    source: &Source,
    diagnostics: &RefCell<Diagnostics>,
) -> Vec<RawNode> {
    let report = |diagnostic| diagnostics.borrow_mut().push(diagnostic);
    // Keys right below `[head]` are those of a head without a name, and tables among them are their values.
    let is_key = |entry: &&Entry| !matches!(entry.node.value, Value::Table(_));
    let stray = table.entries.iter().find(is_key);
    if let Some(entry) = stray {
        diagnostics.borrow_mut().follow_ups.lose_section(section);
        report(
            Diagnostic::new(
                "spec::wrong-type",
                entry.key_span,
                format!(
                    "`[{section}]` has keys, such as `{}`, but no name",
                    entry.key
                ),
                "a key outside a node",
            )
            .hint(format!(
                "write `[{section}.NAME]` above it, with a name of your choice"
            )),
        );
    }
    let mut nodes = Vec::new();
    for entry in &table.entries {
        let Value::Table(table) = &entry.node.value else {
            continue;
        };
        if stray.is_some() && source.slice(entry.node.span).starts_with('{') {
            continue;
        }
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
    nodes
}

/// Whether a character may stand in the name of a node or an experiment.
pub fn is_name_character(character: char) -> bool {
    character.is_alphanumeric() || character == '-' || character == '_'
}

fn known_sections() -> impl Iterator<Item = &'static str> + Clone {
    NODE_SECTIONS
        .iter()
        .copied()
        .chain(["experiment", "report", PROFILE])
}

fn unknown_section(key: &str, span: Span) -> Diagnostic {
    Diagnostic::new(
        "spec::unknown-key",
        span,
        format!("unknown section `{key}`"),
        "not a section",
    )
    .maybe_hint(suggest::hint(key, known_sections()))
}

/// A key that stands above all tables, or is a section that has no tables.
fn outside(key: &str, span: Span) -> Diagnostic {
    if let Some(section) = known_sections().find(|section| *section == key) {
        let header = match section {
            "experiment" | "report" => format!("[{section}]"),
            _ => format!("[{section}.NAME]"),
        };
        return Diagnostic::new(
            "spec::wrong-type",
            span,
            format!("`{key}` is a section, not a key"),
            "not a table",
        )
        .hint(format!("write `{header}`, and its keys below"));
    }
    if suggest::nearest(key, [INCLUDE]).is_some() {
        return Diagnostic::new(
            "spec::unknown-key",
            span,
            format!("unknown key `{key}` above all sections"),
            "not a key of the file",
        )
        .hint(format!("did you mean `{INCLUDE}`?"));
    }
    let of_experiment = EXPERIMENT.keys.iter().any(|known| known.name() == key);
    let diagnostic = Diagnostic::new(
        "spec::unknown-key",
        span,
        format!("the key `{key}` stands outside of any section"),
        "not in a section",
    );
    diagnostic.hint(if of_experiment {
        "write `[experiment]` above it".to_owned()
    } else {
        "write the header of the section that it belongs to above it, such as `[experiment]` or `[head.NAME]`".to_owned()
    })
}
