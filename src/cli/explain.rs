//! `repro explain`: what is cached of an experiment, and what of the rest differs from the nearest artifact in the cache, field by field.

use std::collections::BTreeMap;
use std::io::{self, Write};

use clap::Args;
use serde_json::{Value, json};

use super::Context;
use super::exit::Failure;
use super::fields::{FieldKey, field_key, in_words, record_of};
use super::overrides::ExperimentFile;
use super::{experiment, printed};
use crate::inputs::Otherwise;
use crate::message::Message;
use crate::plan::{Nearest, Plan, Step, StepState, nearest};
use crate::spec::suggest;
use crate::store::{Listing, Store};
use crate::text::{count, plural};

/// Arguments of `repro explain`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  repro explain experiments/quickstart.toml              all nodes\n  repro explain experiments/quickstart.toml probe        one of them\n  repro explain experiments/quickstart.toml probe --set head.probe.epochs=5\n\nAn artifact that is not in the cache is compared with the nearest one that is: of those with the same label, or else of those of its kind, the one whose recipe differs in the fewest fields."
)]
pub struct Arguments {
    #[command(flatten)]
    experiment: ExperimentFile,
    /// A node of the experiment, such as a head; all of them if not given.
    #[arg(value_name = "NODE")]
    node: Option<String>,
    /// Show every artifact, not one for each set of differences.
    #[arg(long)]
    all: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Differences that several artifacts of a node share.
struct Group<'a> {
    nearest: Option<Nearest<'a>>,
    steps: Vec<&'a Step>,
}

/// Explains a node, or all of them.
pub fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let store = Store::open_read_only(&context.cache)?;
    let (planned, _) = experiment::survey(
        context,
        &arguments.experiment,
        &store,
        Otherwise::Estimate,
        &mut |_, _| {},
    )?;
    let steps = &planned.plan.steps;
    let nodes = nodes_of(steps, arguments.node.as_deref());
    if let (Some(name), true) = (&arguments.node, nodes.is_empty()) {
        let names = steps.iter().map(|step| step.work.node());
        let hint = suggest::hint(name, names).unwrap_or_else(|| {
            "name a head, an extraction, a metric, samples or a training that the plan has; models and datasets leave nothing in the cache"
                .to_owned()
        });
        return Err(Failure::Usage(
            Message::new(format!("the plan has no node `{name}`")).hint(hint),
        ));
    }
    let mut out = printed::stdout(arguments.json);
    if arguments.json {
        let missing = steps.iter().filter(|step| {
            nodes.contains(&(step.work.kind(), step.work.node())) && step.is_missing()
        });
        let records: Vec<Value> = missing
            .map(|step| record(step, nearest(&planned.listing, &step.artifact)))
            .collect();
        serde_json::to_writer_pretty(&mut out, &records).map_err(io::Error::from)?;
        return Ok(writeln!(out)?);
    }
    for node in nodes {
        explain(&mut out, node, steps, &planned.listing, arguments.all)?;
    }
    Ok(())
}

/// What is there of each node of a plan, and what differs of the rest; for `repro plan --explain`.
pub(super) fn explain_all(plan: &Plan, listing: &Listing) -> String {
    let mut out = Vec::new();
    for node in nodes_of(&plan.steps, None) {
        // Nothing fails that is written to memory.
        let _ = explain(&mut out, node, &plan.steps, listing, false);
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The nodes that leave something in the cache, by kind and name, in the order of the plan; those of one name where there is one.
fn nodes_of<'a>(steps: &'a [Step], name: Option<&str>) -> Vec<(&'static str, &'a str)> {
    let mut nodes = Vec::new();
    for step in steps {
        let node = (step.work.kind(), step.work.node());
        if name.is_none_or(|name| name == node.1) && !nodes.contains(&node) {
            nodes.push(node);
        }
    }
    nodes
}

/// What is there of one node, and what differs of the rest.
fn explain(
    out: &mut impl Write,
    (kind, name): (&str, &str),
    steps: &[Step],
    listing: &Listing,
    all: bool,
) -> io::Result<()> {
    let of_node = steps
        .iter()
        .filter(|step| (step.work.kind(), step.work.node()) == (kind, name));
    let steps: Vec<&Step> = of_node.collect();
    let of_state = |wanted: fn(&StepState) -> bool| {
        let states = steps.iter().map(|step| &step.artifact.state);
        states.filter(|state| wanted(state)).count()
    };
    let counts = [
        (
            of_state(|state| matches!(state, StepState::Cached)),
            "cached",
        ),
        (
            of_state(|state| matches!(state, StepState::Partial { .. })),
            "in parts",
        ),
        (
            of_state(|state| matches!(state, StepState::Missing { .. })),
            "missing",
        ),
    ];
    let counts = counts.iter().filter(|(number, _)| *number > 0);
    let counts: Vec<String> = counts
        .map(|(number, word)| format!("{} {word}", count(*number)))
        .collect();
    writeln!(out, "{kind} {name}: {}", counts.join(", "))?;
    for step in &steps {
        if let StepState::Partial { parts } = &step.artifact.state {
            let parts = plural(parts.len(), "part");
            writeln!(out, "  {}: {parts} committed", step.artifact.label)?;
        }
    }
    for group in groups(&steps, listing, all) {
        let example = group.steps.first().map_or("", |step| &step.artifact.label);
        match group.steps.len() {
            1 => writeln!(out, "  {example}")?,
            several => writeln!(out, "  {} such as {example}", count(several))?,
        }
        let Some(near) = group.nearest else {
            writeln!(out, "    never made: the cache has nothing of its kind")?;
            continue;
        };
        let called = if near.has_label {
            String::new()
        } else {
            format!(" ({})", near.entry.label)
        };
        let (short, made) = (near.fingerprint.short(), &near.entry.made_at);
        writeln!(out, "    nearest: {short}{called}, made {made}")?;
        for change in &near.changes {
            writeln!(out, "      {}", in_words(change, listing))?;
        }
    }
    Ok(())
}

/// The missing artifacts, those with equal differences together unless `all` are to stand alone.
fn groups<'a>(steps: &[&'a Step], listing: &'a Listing, all: bool) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    let mut places: BTreeMap<Option<Vec<FieldKey>>, usize> = BTreeMap::new();
    for step in steps {
        if !matches!(step.artifact.state, StepState::Missing { .. }) {
            continue;
        }
        let near = nearest(listing, &step.artifact);
        let key = near
            .as_ref()
            .map(|near| near.changes.iter().map(field_key).collect());
        match places.get(&key).and_then(|place| groups.get_mut(*place)) {
            Some(group) if !all => group.steps.push(step),
            _ => {
                places.insert(key, groups.len());
                groups.push(Group {
                    nearest: near,
                    steps: vec![step],
                });
            }
        }
    }
    groups
}

/// A missing artifact as `--json` prints it.
fn record(step: &Step, nearest: Option<Nearest<'_>>) -> Value {
    let nearest = nearest.map(|near| {
        let changes: Vec<Value> = near.changes.iter().map(record_of).collect();
        json!({
            "fingerprint": near.fingerprint.to_string(),
            "label": near.entry.label,
            "made_at": near.entry.made_at,
            "changes": changes,
        })
    });
    json!({
        "kind": step.work.kind(),
        "node": step.work.node(),
        "label": step.artifact.label,
        "fingerprint": step.artifact.fingerprint.to_string(),
        "nearest": nearest,
    })
}
