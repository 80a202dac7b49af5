//! From the graph to the plan: metrics.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use super::super::PlanError;
use super::super::step::{CountedNetwork, Evaluate, Extract, HeadItem, Items, StepId, Work};
use super::choices::choices;
use super::features::{Role, Wanted};
use super::{Lowering, split_names};
use crate::bug::Bug;
use crate::graph::{MetricInputs, MetricNode};

/// The steps that keep features, and the features of each item.
type Sets = (Vec<StepId>, Vec<Vec<Arc<Extract>>>);

impl Lowering<'_> {
    /// The metrics, in the order of the experiment.
    pub(super) fn metrics(&mut self, heads: &[HeadItem]) -> Result<(), PlanError> {
        for node in &self.experiment.metrics {
            match &node.inputs {
                MetricInputs::Heads(indices) => self.of_heads(node, indices, heads)?,
                MetricInputs::Features { sets, split } => {
                    let items = sets.iter().map(|&set| vec![set]).collect();
                    self.of_features(node, items, (split, None))?;
                }
                MetricInputs::Pairs { pairs, split } => {
                    let pairs = pairs.iter().map(|&(left, right)| vec![left, right]);
                    self.of_features(node, pairs.collect(), (split, None))?;
                }
                MetricInputs::AgainstFile { sets, split, file } => {
                    self.against_file(node, sets, (split, file))?;
                }
                MetricInputs::Distributions {
                    pairs,
                    split,
                    reference_split,
                } => {
                    let pairs = pairs.iter().map(|&(left, right)| vec![left, right]);
                    let splits = (split.as_str(), Some(reference_split.as_str()));
                    self.of_features(node, pairs.collect(), splits)?;
                }
                MetricInputs::Networks {
                    models,
                    heads: indices,
                    classes,
                } => {
                    let counted = indices.iter().map(|&index| &heads[index]);
                    let networks = self.networks(models, counted, *classes);
                    self.evaluate(node, Vec::new(), Items::Networks(networks), &[])?;
                }
            }
        }
        Ok(())
    }

    /// Each set against the moments of a file.
    fn against_file(
        &mut self,
        node: &MetricNode,
        sets: &[usize],
        (split, file): (&str, &PathBuf),
    ) -> Result<(), PlanError> {
        let Some(digest) = self.facts.moments.get(file).cloned() else {
            let what = format!("metric `{}` reads a file that nobody looked at", node.name);
            return Err(Bug::new(what).into());
        };
        let groups = sets.iter().map(|&set| vec![set]).collect();
        let (inputs, items) = self.sets(node, groups, (split, None))?;
        let items = Items::AgainstFile {
            items: items.into_iter().flatten().collect(),
            split: split.to_owned(),
            file: file.clone(),
            digest,
        };
        self.evaluate(node, inputs, items, &[])
    }

    fn of_heads(
        &mut self,
        node: &MetricNode,
        indices: &[usize],
        heads: &[HeadItem],
    ) -> Result<(), PlanError> {
        // A head that is named twice, or that a repeated value of a sweep makes twice, is scored once.
        let mut seen = BTreeSet::new();
        let mut items = Vec::new();
        for item in indices.iter().map(|&index| &heads[index]) {
            let train = &item.train;
            let names = [
                &train.node.name,
                &train.features.node.name,
                &train.features.model.name,
                &train.features.images.name,
            ];
            if seen.insert((item.step, names)) {
                items.push(item.clone());
            }
        }
        if node.choose.is_empty() {
            let inputs = items.iter().map(|item| item.step).collect();
            return self.evaluate(node, inputs, Items::Heads(items.clone()), &items);
        }
        let mut inputs = Vec::new();
        let mut chosen = Vec::new();
        for choice in choices(&node.choose, items.clone()) {
            let item = self.chosen(Arc::new(choice))?;
            inputs.extend(&item.refits);
            // The scores that decide are read again, to say which head it is.
            inputs.extend(item.choice.heads.iter().map(|head| head.step));
            chosen.push(item);
        }
        self.evaluate(node, inputs, Items::Chosen(chosen), &items)
    }

    fn of_features(
        &mut self,
        node: &MetricNode,
        groups: Vec<Vec<usize>>,
        (split, reference_split): (&str, Option<&str>),
    ) -> Result<(), PlanError> {
        let (inputs, items) = self.sets(node, groups, (split, reference_split))?;
        let items = Items::Features {
            items,
            split: split.to_owned(),
            reference_split: reference_split.map(str::to_owned),
        };
        self.evaluate(node, inputs, items, &[])
    }

    /// The features that a metric reads, and the steps that keep them.
    fn sets(
        &mut self,
        node: &MetricNode,
        groups: Vec<Vec<usize>>,
        (split, reference_split): (&str, Option<&str>),
    ) -> Result<Sets, PlanError> {
        let mut inputs = BTreeSet::new();
        let mut items = Vec::new();
        for group in groups {
            let mut item = Vec::new();
            for (place, index) in group.into_iter().enumerate() {
                let split = match reference_split {
                    Some(split) if place == 1 => split,
                    _ => split,
                };
                let extraction = &self.experiment.extractions[index];
                let images = &self.datasets[extraction.dataset];
                if images.samples_of(split) == 0 {
                    return Err(PlanError::NoMetricSplit {
                        metric: node.name.clone(),
                        split: split.to_owned(),
                        dataset: images.name.clone(),
                        known: split_names(&images.facts),
                    });
                }
                let Wanted {
                    extract,
                    step: Some(step),
                    ..
                } = self.features(index, Role::Tested(split), true)?
                else {
                    let what = format!("metric `{}` reads features that are not kept", node.name);
                    return Err(Bug::new(what).into());
                };
                inputs.insert(step);
                item.push(extract);
            }
            items.push(item);
        }
        Ok((inputs.into_iter().collect(), items))
    }

    /// Networks and heads whose parameters are counted. What no axis tells apart, such as two draws of weights of one network, is counted
    /// once, and heads that differ in the seed alone as well: a count has no seed.
    fn networks<'a>(
        &self,
        models: &[usize],
        heads: impl Iterator<Item = &'a HeadItem>,
        classes: Option<u32>,
    ) -> Vec<CountedNetwork> {
        let of_models = models.iter().map(|&index| CountedNetwork {
            axes: self.experiment.network_axes(index),
            parameters: self.experiment.models[index].model.parameter_count(),
        });
        let of_heads = heads.map(|item| {
            let train = &item.train;
            let classes = classes.map_or_else(|| train.classes(), |count| count as usize);
            let count = train.node.head.parameter_count(train.shape, classes);
            let mut axes = train.axes();
            axes.remove("seed");
            CountedNetwork {
                axes,
                parameters: count as u64,
            }
        });
        let mut seen = BTreeSet::new();
        let all = of_models.chain(of_heads);
        all.filter(|network| seen.insert(network.axes.clone()))
            .collect()
    }

    /// `heads` are all that are scored or compete, in the order of the experiment.
    fn evaluate(
        &mut self,
        node: &MetricNode,
        inputs: Vec<StepId>,
        items: Items,
        heads: &[HeadItem],
    ) -> Result<(), PlanError> {
        let work = Evaluate {
            name: node.name.clone(),
            metric: Arc::clone(&node.metric),
            choose: node.choose.clone(),
            items,
            swept: node.swept.clone(),
        };
        let recipe = work.recipe(heads, &|step| self.steps[step.0].artifact.fingerprint)?;
        let artifact = self.known.artifact(node.name.clone(), recipe);
        self.step(artifact, inputs, || Work::Evaluate(Box::new(work)))
            .map(|_| ())
    }
}
