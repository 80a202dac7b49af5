//! Kinds that are announced: an experiment may name them before they are there.
//!
//! A node of such a kind is no error, and its other keys are not judged. What needs it stays out of the plan as an [`AbsentNode`], and its
//! results are shown as not run, with the reason. A kind that arrives leaves the list; no experiment has to change for it.

use super::Experiment;
use super::axes::Axes;
use crate::metrics::{Better, Output};
use crate::report::MissingResult;
use crate::spec::{Table, Value};
use crate::text::plural;

/// A kind that is not there yet.
#[derive(Debug, PartialEq, Eq)]
pub struct Announced {
    /// What it is a kind of: `model` or `metric`.
    pub section: &'static str,
    /// As it is typed after `kind =`.
    pub name: &'static str,
    /// What it is, in one sentence.
    pub summary: &'static str,
    /// What a metric will compute: name, unit and direction; none for a model.
    outputs: &'static [(&'static str, &'static str, Better)],
    /// What serves meanwhile, as a clause; `None` where nothing does.
    pub instead: Option<&'static str>,
}

const fn model(name: &'static str, summary: &'static str) -> Announced {
    Announced {
        section: "model",
        name,
        summary,
        outputs: &[],
        instead: None,
    }
}

/// What the reason begins with, where a result is missing for want of a kind.
pub const NOT_RUN: &str = "not run: needs";

/// Every kind that is announced. A kind that is in a list `ALL` of its folder must not be here.
pub const ALL: &[Announced] = &[
    Announced {
        instead: Some("its module, once converted, is a model of kind `onnx`: docs/guides/onnx.md"),
        ..model("bigbigan", "The encoder of BigBiGAN.")
    },
    model("bigbigan-generator", "The generator of BigBiGAN."),
    model(
        "mage-generator",
        "The transformer of MAGE as it draws tokens, with the decoder that makes images of them.",
    ),
];

/// The announced kind that the table of a node names; `None` where it names another one.
pub(super) fn named(section: &str, table: &Table) -> Option<&'static Announced> {
    let Value::Text(kind) = &table.get("kind")?.node.value else {
        return None;
    };
    let mut of_section = ALL.iter().filter(|one| one.section == section);
    of_section.find(|one| one.name == *kind)
}

impl Announced {
    /// What is needed, with an article: "the model kind `vit`".
    pub fn phrase(&self) -> String {
        format!("the {} kind `{}`", self.section, self.name)
    }

    /// Why something is missing that waits for it: "not run: needs the model kind `vit`", and what serves meanwhile.
    pub fn reason(&self) -> String {
        let instead = self.instead.map(|instead| format!("; {instead}"));
        format!("{NOT_RUN} {}{}", self.phrase(), instead.unwrap_or_default())
    }

    /// What a metric will compute.
    pub(super) fn promised(&self) -> impl Iterator<Item = Output> {
        let outputs = self.outputs.iter();
        outputs.map(|&(name, unit, better)| Output {
            name: name.to_owned(),
            unit,
            better,
            axes: &[],
        })
    }
}

/// A node that stays out of the plan.
#[derive(Debug)]
pub struct AbsentNode {
    /// The section of its table, such as `head`.
    pub section: &'static str,
    /// The node's name; several nodes share it where the file sweeps.
    pub name: String,
    /// The kind that it waits for, its own or that of a node that it hangs on.
    pub needs: &'static Announced,
    /// The nodes that it reads, by section and name, whether these are absent or not.
    pub reads: Vec<(&'static str, String)>,
    /// Where its results would stand, as far as the file states it.
    pub axes: Axes,
}

/// A result that is not computed.
#[derive(Debug)]
pub struct AbsentResult {
    /// The name of the metric's node.
    pub of: String,
    /// What is not computed.
    pub output: Output,
    /// Where it would stand, as far as the file states it.
    pub axes: Axes,
    /// The kind that it waits for.
    pub needs: &'static Announced,
}

/// All that an experiment has and a run leaves out.
#[derive(Debug, Default)]
pub struct Absences {
    /// The nodes, each behind those that it reads.
    pub nodes: Vec<AbsentNode>,
    /// The results.
    pub results: Vec<AbsentResult>,
}

impl Absences {
    /// Adds a node; its index.
    pub(super) fn put(&mut self, node: AbsentNode) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Adds what a metric would compute at some places.
    pub(super) fn put_results(
        &mut self,
        of: &str,
        outputs: &[Output],
        places: &[(&'static Announced, Axes)],
    ) {
        for (needs, axes) in places {
            let results = outputs.iter().map(|output| AbsentResult {
                of: of.to_owned(),
                output: output.clone(),
                axes: axes.clone(),
                needs,
            });
            self.results.extend(results);
        }
    }

    /// The results as a report shows them.
    pub fn missing(&self) -> Vec<MissingResult> {
        let results = self.results.iter();
        results
            .map(|result| MissingResult {
                metric: result.output.name.clone(),
                axes: result
                    .axes
                    .iter()
                    .map(|(name, value)| (name.clone(), value.to_string()))
                    .collect(),
                why: result.needs.reason(),
            })
            .collect()
    }

    /// What a run leaves out, one line for each kind that is needed: "not run: needs the model kind `vit`: 2 heads".
    pub fn lines(&self) -> Vec<String> {
        let needed = ALL.iter();
        let needed = needed.filter(|kind| self.nodes.iter().any(|node| node.needs == *kind));
        needed
            .map(|kind| {
                let parts: Vec<String> = NOUNS
                    .iter()
                    .filter_map(|(section, noun)| {
                        let of_section = self
                            .nodes
                            .iter()
                            .filter(|node| node.needs == kind && node.section == *section);
                        match of_section.count() {
                            0 => None,
                            number => Some(plural(number, noun)),
                        }
                    })
                    .collect();
                let instead = kind.instead.map(|instead| format!(" ({instead})"));
                format!(
                    "{NOT_RUN} {}: {}{}",
                    kind.phrase(),
                    parts.join(", "),
                    instead.unwrap_or_default()
                )
            })
            .collect()
    }
}

/// What the nodes of a section are called in plans.
const NOUNS: [(&str, &str); 6] = [
    ("model", "model"),
    ("samples", "set of samples"),
    ("dataset", "dataset"),
    ("extraction", "feature set"),
    ("head", "head"),
    ("metric", "metric"),
];

impl Experiment {
    /// The axes of an extraction that is there, for what reads it and is absent. What identifies its weights is not known yet.
    pub(super) fn stated_axes(&self, extraction: usize) -> Axes {
        let mut axes = self.planned_axes(extraction).unwrap_or_default();
        axes.remove("weights");
        axes
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{metrics, models};

    #[test]
    fn a_kind_is_announced_or_there() {
        let models = models::ALL.iter().map(|kind| ("model", kind.doc.name));
        let there: BTreeSet<_> = models
            .chain(metrics::ALL.iter().map(|kind| ("metric", kind.doc.name)))
            .collect();
        let mut seen = BTreeSet::new();
        for kind in ALL {
            let name = (kind.section, kind.name);
            assert!(
                !there.contains(&name),
                "{name:?} is there: take its line out"
            );
            assert!(seen.insert(name), "{name:?} stands twice");
            assert!(kind.summary.ends_with('.'), "{name:?}");
            let has_outputs = kind.promised().next().is_some();
            assert_eq!(has_outputs, kind.section == "metric", "{name:?}");
        }
    }
}
