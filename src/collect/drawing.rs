//! The experiment's graph as a report draws it.

use std::collections::{BTreeMap, BTreeSet};

use crate::graph::Experiment;
use crate::report::{Graph, GraphEdge, GraphNode, GraphRole};
use crate::store::AxisValue;
use crate::text::plural;

/// The graph by names: instances of one node are drawn as one.
pub(super) fn graph(experiment: &Experiment) -> Graph {
    let mut drawing = Drawing::default();
    for node in &experiment.datasets {
        drawing.node("dataset", &node.name, GraphRole::Dataset, || {
            node.name.clone()
        });
        if let Some(upstream) = node.upstream {
            drawing.edge(
                ("dataset", &experiment.datasets[upstream].name),
                ("dataset", &node.name),
            );
        }
    }
    for node in &experiment.pretrains {
        drawing.node("pretrain", &node.name, GraphRole::Pretraining, || {
            format!(
                "{}: {}",
                node.name,
                plural(node.training.steps as usize, "step")
            )
        });
        drawing.edge(
            ("dataset", &experiment.datasets[node.dataset].name),
            ("pretrain", &node.name),
        );
    }
    for node in &experiment.models {
        drawing.node("model", &node.name, GraphRole::Model, || {
            format!("{}: {}", node.name, node.model.variant())
        });
        if let Some(training) = node.pretrain {
            drawing.edge(
                ("pretrain", &experiment.pretrains[training].name),
                ("model", &node.name),
            );
        }
    }
    for node in &experiment.samples {
        drawing.node("samples", &node.name, GraphRole::Samples, || {
            format!("{}: {}", node.name, plural(node.count as usize, "image"))
        });
        drawing.edge(
            ("model", &experiment.models[node.model].name),
            ("samples", &node.name),
        );
    }
    for node in &experiment.datasets {
        if let Some(samples) = node.samples {
            let samples = &experiment.samples[samples].name;
            drawing.edge(("samples", samples), ("dataset", &node.name));
        }
    }
    let names = experiment.extractions.iter().map(|node| node.name.as_str());
    let counts = counted(names);
    for node in &experiment.extractions {
        let count = counts[node.name.as_str()];
        drawing.node("extraction", &node.name, GraphRole::Extraction, || {
            format!("{}: {}", node.name, plural(count, "feature set"))
        });
        drawing.edge(
            ("dataset", &experiment.datasets[node.dataset].name),
            ("extraction", &node.name),
        );
        drawing.edge(
            ("model", &experiment.models[node.model].name),
            ("extraction", &node.name),
        );
    }
    let counts = counted(experiment.heads.iter().map(|node| node.name.as_str()));
    for node in &experiment.heads {
        let count = counts[node.name.as_str()];
        drawing.node("head", &node.name, GraphRole::Head, || {
            format!("{}: {}", node.name, plural(count, "head"))
        });
        drawing.edge(
            ("extraction", &experiment.extractions[node.features].name),
            ("head", &node.name),
        );
    }
    for node in &experiment.metrics {
        drawing.node("metric", &node.name, GraphRole::Metric, || {
            node.name.clone()
        });
        for &head in node.inputs.heads() {
            drawing.edge(
                ("head", &experiment.heads[head].name),
                ("metric", &node.name),
            );
        }
        for &model in node.inputs.models() {
            drawing.edge(
                ("model", &experiment.models[model].name),
                ("metric", &node.name),
            );
        }
        for features in node.inputs.features() {
            drawing.edge(
                ("extraction", &experiment.extractions[features].name),
                ("metric", &node.name),
            );
        }
    }
    absent(experiment, &mut drawing);
    if let Some(report) = &experiment.report {
        drawing.node("report", "report", GraphRole::Report, || {
            report.output.clone()
        });
        for node in &experiment.metrics {
            drawing.edge(("metric", &node.name), ("report", "report"));
        }
        for node in &experiment.samples {
            drawing.edge(("samples", &node.name), ("report", "report"));
        }
        let absent = experiment.absent.nodes.iter();
        for node in absent.filter(|node| node.section == "metric") {
            drawing.edge(("metric", &node.name), ("report", "report"));
        }
    }
    drawing.graph
}

/// What is not run, as far as nothing of the same name is.
fn absent(experiment: &Experiment, drawing: &mut Drawing) {
    for node in &experiment.absent.nodes {
        let role = match node.section {
            "model" => GraphRole::Model,
            "samples" => GraphRole::Samples,
            "dataset" => GraphRole::Dataset,
            "extraction" => GraphRole::Extraction,
            "head" => GraphRole::Head,
            _ => GraphRole::Metric,
        };
        drawing.node(node.section, &node.name, role, || {
            format!("{}: not run", node.name)
        });
        for (section, name) in &node.reads {
            drawing.known_edge((section, name), (node.section, &node.name));
        }
    }
    for result in &experiment.absent.results {
        for axis in ["head", "extraction", "left_extraction", "right_extraction"] {
            let Some(AxisValue::Text(name)) = result.axes.get(axis) else {
                continue;
            };
            let section = if axis == "head" { "head" } else { "extraction" };
            drawing.known_edge((section, name), ("metric", &result.of));
            if section == "head" {
                break;
            }
        }
    }
}

/// How often each name occurs.
fn counted<'n>(names: impl Iterator<Item = &'n str>) -> BTreeMap<&'n str, usize> {
    let mut counts = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    counts
}

#[derive(Default)]
struct Drawing {
    graph: Graph,
    /// Edges that are drawn.
    known: BTreeSet<(String, String)>,
}

impl Drawing {
    fn node(&mut self, section: &str, name: &str, role: GraphRole, label: impl FnOnce() -> String) {
        let id = format!("{section}.{name}");
        if !self.graph.nodes.iter().any(|node| node.id == id) {
            self.graph.nodes.push(GraphNode {
                id,
                role,
                label: label(),
            });
        }
    }

    /// An edge between two nodes that are drawn; nothing where one of them is not.
    fn known_edge(&mut self, from: (&str, &str), to: (&str, &str)) {
        let is_drawn = |(section, name): (&str, &str)| {
            let id = format!("{section}.{name}");
            self.graph.nodes.iter().any(|node| node.id == id)
        };
        if is_drawn(from) && is_drawn(to) {
            self.edge(from, to);
        }
    }

    fn edge(&mut self, from: (&str, &str), to: (&str, &str)) {
        let (from, to) = (
            format!("{}.{}", from.0, from.1),
            format!("{}.{}", to.0, to.1),
        );
        if self.known.insert((from.clone(), to.clone())) {
            self.graph.edges.push(GraphEdge { from, to });
        }
    }
}
