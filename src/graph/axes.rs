//! What a file sweeps, as axes of its results, and the axes of a graph's nodes.
//!
//! A key that is swept anywhere in a section, by a list, `zip` or `cases`, is an axis of the results of all nodes of that section whose
//! kind has the key: the node's value, or the key's default. The axis is called `<section>_<key>`, such as `head_k` or
//! `dataset_fraction`. Of values that are tables each key that varies is an axis, such as `head_optimizer_weight_decay`; lists are shown as
//! text. Keys whose values a well-known axis has already ([`WELL_KNOWN`](crate::axes::WELL_KNOWN)) make no second one.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};

use super::kinds::keys_of;
use super::node_axes::{PRETRAIN, of_pretraining, of_samples, of_upstream};
use crate::axes::PAIR;
use crate::spec::sections::{RawNode, Sections};
use crate::spec::sweep::{SWEEP_KEYS, swept_items};
use crate::spec::{AnyKey, Diagnostics, Lists, Node, Source, Table, Value, tree};
use crate::store::{AxisType, AxisValue};

/// Axes by name; one that is absent is null.
pub type Axes = BTreeMap<String, AxisValue>;

/// The keys whose values are well-known axes, by section; a key within a table behind a dot.
const SAID_ALREADY: &[(&str, &[&str])] = &[
    (
        "model",
        &["weights", "weights.synthetic", "weights.initialization"],
    ),
    (
        "extraction",
        &[
            "model",
            "dataset",
            "timestep",
            "block",
            "pool",
            "token",
            "precision",
            "view",
            "draw",
            "seed",
        ],
    ),
    (
        "head",
        &[
            "features",
            "test",
            "seed",
            "epochs",
            "optimizer.lr",
            "fine_tune.lr",
        ],
    ),
    ("metric", &["of"]),
];

/// A node's values for the keys that the file sweeps over: axes of its results.
///
/// All of them are equal to each other, since nodes that differ in nothing else are one node.
#[derive(Debug, Clone, Default)]
pub struct Swept(pub Vec<(String, AxisValue)>);

impl PartialEq for Swept {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Swept {}

impl PartialOrd for Swept {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Swept {
    fn cmp(&self, _: &Self) -> Ordering {
        Ordering::Equal
    }
}

impl Hash for Swept {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// What each section of a file sweeps.
#[derive(Debug, Default)]
pub(super) struct Sweeps {
    sections: BTreeMap<&'static str, Vec<SweptKey>>,
    /// The weights of models, where they are swept: an axis of images that a model makes, and of nothing else.
    weights: Vec<SweptKey>,
    /// Axes of nodes that another node is made from.
    behind: Vec<String>,
}

/// A key that is swept, or a key within a table that is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SweptKey {
    /// The key, then those within its table.
    path: Vec<String>,
    /// The narrowest type of all values that nodes have there.
    kind: AxisType,
}

impl SweptKey {
    fn axis(&self, section: &str) -> String {
        format!("{section}_{}", self.path.join("_"))
    }
}

impl Sweeps {
    /// Looks for sweeps in all sections that results hang on.
    pub(super) fn of(sections: &Sections) -> Self {
        let lists = [
            ("dataset", &sections.datasets),
            ("pretrain", &sections.pretrains),
            ("model", &sections.models),
            ("samples", &sections.samples),
            ("extraction", &sections.extractions),
            ("head", &sections.heads),
            ("metric", &sections.metrics),
        ];
        let of_section = lists.map(|(section, nodes)| (section, swept_keys(section, nodes, false)));
        let mut sweeps = Self {
            sections: of_section.into(),
            weights: swept_keys("model", &sections.models, true),
            behind: Vec::new(),
        };
        let made_of_others = sections.datasets.iter();
        let most = made_of_others.filter(|node| node.table.get("of").is_some());
        let mut names = sweeps.of_section("dataset");
        for depth in 0..=most.count() {
            if depth > 0 {
                names = names.iter().map(|name| of_upstream(name)).collect();
                sweeps.behind.extend(names.iter().cloned());
            }
            if !sections.pretrains.is_empty() {
                let of_trainings = names.iter().map(|name| of_pretraining(name));
                sweeps.behind.extend(of_trainings);
            }
        }
        let are_read = |node: &RawNode| node.table.get("samples").is_some();
        if sections.datasets.iter().any(are_read) {
            let of_models = sweeps.of_section("model").into_iter();
            let of_models = of_models.chain(sweeps.of_section("pretrain"));
            let of_weights = sweeps.weights.iter().map(|key| key.axis("model"));
            let of_trainings = sweeps
                .behind
                .iter()
                .filter(|axis| axis.starts_with(PRETRAIN));
            let all = of_models.chain(of_weights).chain(of_trainings.cloned());
            let behind: Vec<String> = all.map(|axis| of_samples(&axis)).collect();
            sweeps.behind.extend(behind);
        }
        sweeps
    }

    /// Every axis that the file makes by sweeps.
    pub(super) fn names(&self) -> Vec<String> {
        let sections = self.sections.keys();
        sections
            .flat_map(|section| self.of_section(section))
            .chain(self.behind.iter().cloned())
            .collect()
    }

    fn of_section(&self, section: &str) -> Vec<String> {
        let keys = self.sections.get(section).into_iter().flatten();
        keys.map(|key| key.axis(section)).collect()
    }

    /// The values of one table without sweeps for the swept keys; `keys` are those that its kind has.
    pub(super) fn said(&self, section: &str, table: &Table, keys: &[&dyn AnyKey]) -> Swept {
        let swept = self.sections.get(section).into_iter().flatten();
        said(section, swept, table, keys)
    }

    /// The weights that the table of a model names, where the file sweeps over them.
    pub(super) fn said_of_weights(&self, table: &Table, keys: &[&dyn AnyKey]) -> Swept {
        said("model", self.weights.iter(), table, keys)
    }
}

fn said<'k>(
    section: &str,
    swept: impl Iterator<Item = &'k SweptKey>,
    table: &Table,
    keys: &[&dyn AnyKey],
) -> Swept {
    let said = |key: &SweptKey| {
        let value = value_at(table, keys, &key.path)?;
        Some((key.axis(section), widened(axis_value(&value), key.kind)))
    };
    Swept(swept.filter_map(said).collect())
}

/// The axes of a pair: those of both, with a prefix each.
pub fn of_pair(left: &Axes, right: &Axes) -> Axes {
    let [first, second] = PAIR;
    let prefixed = |axes: &Axes, prefix: &str| -> Axes {
        axes.iter()
            .map(|(name, value)| (format!("{prefix}{name}"), value.clone()))
            .collect()
    };
    let mut axes = prefixed(left, first);
    axes.extend(prefixed(right, second));
    axes
}

/// The keys that a section sweeps: those that are well-known axes, or all others.
fn swept_keys(section: &'static str, nodes: &[RawNode], said_already: bool) -> Vec<SweptKey> {
    let nodes: Vec<(&RawNode, Vec<&dyn AnyKey>)> = nodes
        .iter()
        .map(|node| (node, keys_of(section, node)))
        .collect();
    let mut paths: BTreeSet<Vec<String>> = BTreeSet::new();
    for (node, keys) in &nodes {
        for (name, values) in swept_values(&node.table, keys) {
            paths.extend(varying(name, &values));
        }
    }
    let already = SAID_ALREADY.iter().find(|(known, _)| *known == section);
    let already = already.map_or(&[][..], |(_, keys)| keys);
    paths.retain(|path| already.contains(&path.join(".").as_str()) == said_already);
    let kind = |path: &Vec<String>| {
        let values = nodes.iter().flat_map(|(node, keys)| {
            let swept = swept_values(&node.table, keys);
            let alternatives = swept.get(&path[0]).cloned().unwrap_or_default();
            let within = move |value: Value| within(&value, &path[1..]).cloned();
            let own = value_at(&node.table, keys, path)
                .filter(|_| !swept_values(&node.table, keys).contains_key(&path[0]));
            alternatives.into_iter().filter_map(within).chain(own)
        });
        let kinds = values.map(|value| axis_value(&value).kind());
        kinds.reduce(AxisType::widened).unwrap_or(AxisType::Text)
    };
    paths
        .into_iter()
        .map(|path| SweptKey {
            kind: kind(&path),
            path,
        })
        .collect()
}

/// The keys that a table sweeps, each with every value that it takes.
fn swept_values(table: &Table, keys: &[&dyn AnyKey]) -> BTreeMap<String, Vec<Value>> {
    let lists = |name: &str| {
        let key = keys.iter().find(|key| key.name() == name);
        key.map_or(Lists::Sweep, |key| key.lists())
    };
    let values =
        |nodes: &[Node]| -> Vec<Value> { nodes.iter().map(|node| node.value.clone()).collect() };
    let mut swept: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for entry in &table.entries {
        let name = entry.key.as_str();
        if let Some(items) = swept_items(&entry.node.value, lists(name))
            && !SWEEP_KEYS.contains(&name)
        {
            swept.insert(name.to_owned(), values(items));
        }
    }
    let Some(Value::List(cases)) = table.get("cases").map(|entry| &entry.node.value) else {
        return swept;
    };
    let cases: Vec<&Table> = cases
        .iter()
        .filter_map(|case| match &case.value {
            Value::Table(case) => Some(case),
            _ => None,
        })
        .collect();
    for entry in cases.iter().flat_map(|case| &case.entries) {
        let name = entry.key.as_str();
        let known = swept.entry(name.to_owned()).or_default();
        match swept_items(&entry.node.value, lists(name)) {
            Some(items) => known.extend(values(items)),
            None => known.push(entry.node.value.clone()),
        }
    }
    // A case that does not name the key has what stands outside of the cases.
    for (name, known) in &mut swept {
        if cases.iter().any(|case| case.get(name).is_none())
            && let Some(value) = value_at(table, keys, std::slice::from_ref(name))
            && swept_items(&value, lists(name)).is_none()
        {
            known.push(value);
        }
    }
    swept
}

/// The key itself; where all of its values are tables, the keys within them that are not the same in all.
fn varying(name: String, values: &[Value]) -> Vec<Vec<String>> {
    let tables: Option<Vec<&Table>> = values
        .iter()
        .map(|value| match value {
            Value::Table(table) => Some(table),
            _ => None,
        })
        .collect();
    let Some(tables) = tables.filter(|tables| !tables.is_empty()) else {
        return vec![vec![name]];
    };
    let inner: BTreeSet<&String> = tables
        .iter()
        .flat_map(|table| table.entries.iter().map(|entry| &entry.key))
        .collect();
    let mut paths = Vec::new();
    for key in inner {
        let of_key: Vec<Option<Value>> = tables
            .iter()
            .map(|table| table.get(key).map(|entry| entry.node.value.clone()))
            .collect();
        let shown = |value: &Option<Value>| value.as_ref().map(inline);
        if of_key.iter().all(|value| shown(value) == shown(&of_key[0])) {
            continue;
        }
        let there: Vec<Value> = of_key.into_iter().flatten().collect();
        for mut path in varying(key.clone(), &there) {
            path.insert(0, name.clone());
            paths.push(path);
        }
    }
    paths
}

/// A table's value of a key, or the key's default where it is a value that could be typed; `None` where the kind lacks the key.
fn value_at(table: &Table, keys: &[&dyn AnyKey], path: &[String]) -> Option<Value> {
    let (name, inner) = path.split_first()?;
    let key = keys.iter().find(|key| key.name() == *name)?;
    let value = match table.get(name) {
        Some(entry) => entry.node.value.clone(),
        None => default_of(*key)?,
    };
    within(&value, inner).cloned()
}

fn within<'v>(value: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, key| match value {
        Value::Table(table) => table.get(key).map(|entry| &entry.node.value),
        _ => None,
    })
}

/// The default of a key, where its description is one that could be typed.
fn default_of(key: &dyn AnyKey) -> Option<Value> {
    let source = Source::new("default", format!("default = {}", key.describe().default?));
    let mut diagnostics = Diagnostics::new(source.clone());
    let table = tree::parse(&source, &mut diagnostics);
    let entry = table.get("default").filter(|_| diagnostics.is_empty())?;
    Some(entry.node.value.clone())
}

pub(super) fn axis_value(value: &Value) -> AxisValue {
    match value {
        Value::Integer(integer) => AxisValue::Integer(*integer),
        Value::Number(number) => AxisValue::Number(*number),
        Value::Text(text) => AxisValue::Text(text.clone()),
        other => AxisValue::Text(inline(other)),
    }
}

/// The value as the type that all values of its axis have.
fn widened(value: AxisValue, kind: AxisType) -> AxisValue {
    match (kind, value) {
        #[expect(clippy::cast_precision_loss, reason = "a mixture of both is a number")]
        (AxisType::Number, AxisValue::Integer(integer)) => AxisValue::Number(integer as f64),
        (AxisType::Text, value) => AxisValue::Text(value.to_string()),
        (_, value) => value,
    }
}

/// A value as it would be typed.
fn inline(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("{text:?}"),
        Value::Integer(integer) => integer.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Boolean(boolean) => boolean.to_string(),
        Value::Date(date) => date.clone(),
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(|item| inline(&item.value)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Table(table) => {
            let entries = table.entries.iter();
            let entries: Vec<String> = entries
                .map(|entry| format!("{} = {}", entry.key, inline(&entry.node.value)))
                .collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}
