//! Datasets of the graph: those that come from files, each behind the one that it is made from, and those whose images a run makes.

use std::sync::Arc;

use super::Builder;
use crate::datasets::{self, Dataset};
use crate::graph::announced::AbsentNode;
use crate::graph::axes::Axes;
use crate::graph::resolve::Names;
use crate::graph::{DatasetNode, Experiment, Swept};
use crate::spec::fields::Spanned;
use crate::spec::sections::Sections;
use crate::spec::{Diagnostic, Fields, Span, Table};

/// A dataset whose upstream is still a name.
pub(super) struct Declared {
    pub(super) name: String,
    dataset: Arc<dyn Dataset>,
    root: Option<String>,
    place: Span,
    declaration: String,
    upstream: Option<Spanned<String>>,
    swept: Swept,
}

impl Builder<'_> {
    /// The datasets that come from files, with the names of all, and those whose images a run makes: they are made of what hangs on
    /// others.
    pub(super) fn datasets(
        &self,
        sections: &Sections,
        experiment: &mut Experiment,
    ) -> (Names, Vec<Declared>) {
        let mut names = Names::new("dataset", sections);
        let mut declared = Vec::new();
        for node in &sections.datasets {
            names.declare(&node.name);
            let Some(kind) = self.kind("dataset", node, datasets::ALL) else {
                continue;
            };
            for table in self.expand(experiment, node, "dataset", &kind.doc) {
                let fields = self.node_fields(&table, "dataset", node);
                if let Some(dataset) = kind.read(&fields) {
                    declared.push(Declared {
                        name: node.name.clone(),
                        upstream: dataset.upstream().cloned(),
                        root: fields.given(&datasets::ROOT),
                        place: fields.span_of(read_by(&fields)),
                        declaration: table.to_string(),
                        dataset,
                        swept: self.sweeps.said("dataset", &table, &kind.doc.all_keys()),
                    });
                }
            }
        }
        let (generated, mut declared): (Vec<Declared>, Vec<Declared>) = declared
            .into_iter()
            .partition(|one| one.dataset.generated().is_some());
        declared.retain(|one| !self.takes_from(one, &generated));
        self.order_datasets(&declared, sections, experiment, &mut names);
        (names, generated)
    }

    /// Whether a dataset is a part of one whose images a run makes, which is an error: nobody knows the images when it is cut.
    fn takes_from(&self, declared: &Declared, generated: &[Declared]) -> bool {
        let Some(upstream) = &declared.upstream else {
            return false;
        };
        let is_made = generated.iter().any(|one| one.name == upstream.value);
        if is_made {
            self.report(
                Diagnostic::new(
                    "graph::dataset-misfit",
                    upstream.span,
                    format!(
                        "dataset `{}` is a part of `{}`, whose images a network of this experiment makes",
                        declared.name, upstream.value
                    ),
                    "made in the run",
                )
                .hint("write another `[samples.NAME]` with the `count` that is wanted"),
            );
        }
        is_made
    }

    /// The datasets whose images are samples, one for each combination of the samples' swept keys.
    pub(super) fn generated_datasets(
        &self,
        sections: &Sections,
        experiment: &mut Experiment,
        generated: Vec<Declared>,
        (names, samples): (&mut Names, &Names),
    ) {
        for one in generated {
            let node = sections.datasets.iter().find(|node| node.name == one.name);
            let (Some(made), Some(node)) = (one.dataset.generated(), node) else {
                continue;
            };
            let fields = self.node_fields(&node.table, "dataset", node);
            for &needed in samples.absent(&made.samples.value) {
                let index = experiment.absent.put(AbsentNode {
                    section: "dataset",
                    name: one.name.clone(),
                    needs: experiment.absent.nodes[needed].needs,
                    reads: vec![("samples", made.samples.value.clone())],
                    axes: Axes::from([("dataset".to_owned(), one.name.as_str().into())]),
                });
                names.add_absent(&one.name, index);
            }
            for index in samples.find(&fields, "samples", made.samples) {
                names.add(&one.name, experiment.datasets.len());
                experiment.datasets.push(DatasetNode {
                    name: one.name.clone(),
                    dataset: Arc::clone(&one.dataset),
                    root: None,
                    place: one.place,
                    declaration: one.declaration.clone(),
                    upstream: None,
                    samples: Some(index),
                    swept: one.swept.clone(),
                });
            }
        }
    }

    /// Puts every dataset behind the one it is made from; what cannot be put is a cycle or refers to a name that is not there.
    fn order_datasets(
        &self,
        declared: &[Declared],
        sections: &Sections,
        experiment: &mut Experiment,
        names: &mut Names,
    ) {
        let mut waiting: Vec<&Declared> = declared.iter().collect();
        loop {
            let before = waiting.len();
            waiting.retain(|candidate| {
                let instances = |name: &str| -> Vec<usize> {
                    let found = experiment
                        .datasets
                        .iter()
                        .enumerate()
                        .filter(|(_, dataset)| dataset.name == name);
                    found.map(|(index, _)| index).collect()
                };
                let upstreams: Vec<Option<usize>> = match &candidate.upstream {
                    None => vec![None],
                    Some(upstream) => {
                        let placed = instances(&upstream.value);
                        let wanted = declared
                            .iter()
                            .filter(|other| other.name == upstream.value)
                            .count();
                        if placed.is_empty() || placed.len() < wanted {
                            return true;
                        }
                        placed.into_iter().map(Some).collect()
                    }
                };
                for upstream in upstreams {
                    names.add(&candidate.name, experiment.datasets.len());
                    experiment.datasets.push(DatasetNode {
                        name: candidate.name.clone(),
                        dataset: Arc::clone(&candidate.dataset),
                        root: candidate.root.clone(),
                        place: candidate.place,
                        declaration: candidate.declaration.clone(),
                        upstream,
                        samples: None,
                        swept: candidate.swept.clone(),
                    });
                }
                false
            });
            if waiting.len() == before {
                break;
            }
        }
        for candidate in &waiting {
            let Some(upstream) = &candidate.upstream else {
                continue;
            };
            if sections
                .datasets
                .iter()
                .any(|node| node.name == upstream.value)
            {
                if let Some(path) = cycle_from(candidate, &waiting) {
                    self.report(
                        Diagnostic::new(
                            "graph::cycle",
                            upstream.span,
                            format!("dataset `{}` is made from itself: {path}", candidate.name),
                            "closes the circle",
                        )
                        .hint("one dataset of the circle must come from files"),
                    );
                }
            } else {
                let table = Table::default();
                let node = sections
                    .datasets
                    .iter()
                    .find(|node| node.name == candidate.name);
                let span = node.map_or(upstream.span, |node| node.span);
                let fields = Fields::new(
                    &table,
                    format!("dataset `{}`", candidate.name),
                    span,
                    self.diagnostics,
                );
                names.find(&fields, "of", upstream);
            }
        }
    }
}

/// The key that says what a dataset reads.
fn read_by(fields: &Fields<'_>) -> &'static str {
    let keys = [datasets::ROOT.name, "files", "of"];
    let given = keys.into_iter().find(|key| fields.has(key));
    given.unwrap_or(datasets::ROOT.name)
}

/// The circle that a dataset is part of, in words; `None` where it merely hangs on one.
fn cycle_from(start: &Declared, waiting: &[&Declared]) -> Option<String> {
    let mut path = vec![start.name.as_str()];
    let mut current = start;
    for _ in 0..=waiting.len() {
        let upstream = current.upstream.as_ref()?;
        path.push(&upstream.value);
        if upstream.value == start.name {
            return Some(path.join(" → "));
        }
        current = waiting
            .iter()
            .find(|declared| declared.name == upstream.value)?;
    }
    None
}
