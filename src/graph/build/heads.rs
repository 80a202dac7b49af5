//! Heads of the graph: one for each combination of features, swept keys and seed.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::announced::{AbsentNode, Announced};
use super::super::axes::Axes;
use super::super::node_axes::axes_of_head;
use super::super::resolve::Names;
use super::super::{Experiment, ExtractionNode, HeadNode, OnBadImage};
use super::{Builder, joins};
use crate::heads::{ALL, Head};
use crate::models::Precision;
use crate::spec::fields::Spanned;
use crate::spec::sections::Sections;
use crate::spec::{Fields, Table, Value};
use crate::trainer::config::{self, FINE_TUNE};
use crate::trainer::{Training, Views};

impl Builder<'_> {
    pub(super) fn heads(
        &self,
        sections: &Sections,
        experiment: &mut Experiment,
        extractions: &Names,
    ) -> Names {
        let mut names = Names::new("head", sections);
        for node in &sections.heads {
            names.declare(&node.name);
            let Some(kind) = self.kind("head", node, ALL) else {
                continue;
            };
            let keys = kind.doc.all_keys();
            let tables = self.expand(experiment, node, "head", &kind.doc);
            let (total, beside) = size_of(&tables, extractions, experiment.seeds.len());
            if !self.has_room(experiment, (node, "head", &kind.doc), total, &beside) {
                continue;
            }
            for table in tables {
                let fields = self.node_fields(&table, "head", node);
                let head = kind.read(&fields);
                let training = Training::parse(&fields);
                let seeds = match fields.get(&config::SEED) {
                    Some(seed) => vec![seed],
                    None => experiment.seeds.clone(),
                };
                let features = fields.located(&config::FEATURES);
                let (Some(head), Some(training), Some(features)) = (head, training, features)
                else {
                    continue;
                };
                let found = extractions.find(&fields, config::FEATURES.name, &features);
                let swept = self.sweeps.said("head", &table, &keys);
                let names_of_joined = fields.items(&config::CONCAT).unwrap_or_default();
                let (found, absent) = absent_features(
                    experiment,
                    extractions,
                    (found, &features.value, &names_of_joined),
                    training.views,
                );
                for (needs, of_features) in absent {
                    for &seed in &seeds {
                        let own = axes_of_head(&node.name, &*head, &training, seed, &swept);
                        let mut axes = of_features.clone();
                        axes.extend(own);
                        let joined = names_of_joined.iter().map(|name| &name.value);
                        let read = std::iter::once(&features.value).chain(joined);
                        let index = experiment.absent.put(AbsentNode {
                            section: "head",
                            name: node.name.clone(),
                            needs,
                            reads: read.map(|name| ("extraction", name.clone())).collect(),
                            axes,
                        });
                        names.add_absent(&node.name, index);
                    }
                }
                let joined: Vec<usize> = names_of_joined
                    .iter()
                    .flat_map(|name| extractions.find(&fields, config::CONCAT.name, name))
                    .collect();
                // Without features there is nothing to join, and where some are absent, that is why.
                let is_waiting = found.is_empty() && !names.absent(&node.name).is_empty();
                let is_joining = fields.has(config::CONCAT.name) && !is_waiting;
                if is_joining && !joins::check(experiment, &training, (&found, &joined), &fields) {
                    continue;
                }
                Self::check_shapes(&*head, experiment, (&found, &joined), &fields);
                Self::check_classes(experiment, &found, &fields);
                Self::check_test_draws(&training, experiment, &found, &fields);
                let datasets: BTreeSet<usize> = found
                    .iter()
                    .map(|&index| experiment.extractions[index].dataset)
                    .collect();
                for dataset in datasets {
                    for (key, split) in [
                        (config::TRAIN.name, &training.train_split),
                        (config::TEST.name, &training.test_split),
                    ] {
                        Self::check_split(experiment, dataset, (key, split), &fields);
                    }
                }
                // A kind without the key has reported it already.
                let keys = kind.doc.all_keys();
                if keys.iter().any(|key| key.name() == FINE_TUNE.name) {
                    Self::check_fresh(&training, experiment, &found, &fields);
                    if training.fine_tune.is_some() && head.standardizes() {
                        fields.invalid(
                            config::STANDARDIZE.name,
                            "graph::fine-tuning-misfit",
                            "features of a network that is trained have no fixed mean and deviation",
                            Some("leave `standardize` out, or take a head of kind `batchnorm-linear`".to_owned()),
                        );
                    }
                }
                for (features, more_views) in
                    by_views(&experiment.extractions, &found, training.views)
                {
                    for &seed in &seeds {
                        names.add(&node.name, experiment.heads.len());
                        experiment.heads.push(HeadNode {
                            name: node.name.clone(),
                            head: Arc::clone(&head),
                            place: node.span,
                            training: training.clone(),
                            features,
                            more_views: more_views.clone(),
                            joined: joins::of(experiment, features, &joined),
                            seed,
                            swept: swept.clone(),
                        });
                    }
                }
            }
        }
        names
    }

    /// Whether a head's images can go through the network while it trains, where it asks for that.
    fn check_fresh(
        training: &Training,
        experiment: &Experiment,
        features: &[usize],
        fields: &Fields<'_>,
    ) {
        let misfit = |key: &str, message: String, hint: &str| {
            let hint = Some(hint.to_owned());
            fields.invalid(key, "graph::fine-tuning-misfit", message, hint);
        };
        let node = |index: &usize| &experiment.models[experiment.extractions[*index].model];
        let mut models = features.iter().map(node);
        if training.fine_tune.is_none()
            && let Some(untrained) = models.find(|one| one.model.needs_tuning())
        {
            let message = format!(
                "model `{}` learns its condition together with a head, and {} trains nothing below it",
                untrained.name,
                fields.context()
            );
            misfit(
                config::FEATURES.name,
                message,
                "add `fine_tune = { lr = 1e-3 }`, or take `condition = \"text\"` for the model",
            );
            return;
        }
        let key = match (&training.fine_tune, training.online) {
            (Some(_), _) => FINE_TUNE.name,
            (None, true) => "online",
            (None, false) => return,
        };
        if training.views != Views::Apart {
            let message = format!("`views` chooses among cached features, and `{key}` caches none");
            misfit("views", message, "leave one of them out");
        }
        // One message for each reason, however many features there are.
        let extractions = || features.iter().map(|&index| &experiment.extractions[index]);
        if let Some(skipping) = extractions().find(|one| one.on_bad_image == OnBadImage::Skip) {
            let message = format!(
                "extraction `{}` leaves out images that do not decode, and `{key}` does not",
                skipping.name
            );
            misfit(key, message, "fix the images, or leave `on_bad_image` out");
        }
        let reads_latents =
            |one: &&ExtractionNode| experiment.models[one.model].autoencoder.is_some();
        let mut random = extractions().filter(|one| one.preprocess.is_random());
        if let Some(random) = random.find(reads_latents) {
            let message = format!(
                "extraction `{}` draws its crops at random, and its model reads latents, which are computed once",
                random.name
            );
            misfit(
                key,
                message,
                "take a `preprocess` in which nothing is random",
            );
        }
        if training.fine_tune.is_none() {
            return;
        }
        let model = |one: &ExtractionNode| &experiment.models[one.model];
        if let Some(fixed) = extractions().find(|one| model(one).model.tunable().is_none()) {
            let message = format!("model `{}` has nothing to train", model(fixed).name);
            misfit(
                key,
                message,
                "take a model with weights, or leave `fine_tune` out",
            );
        }
        if let Some(classes) = extractions().find(|one| one.class.is_some()) {
            let message = format!(
                "model `{}` is given a class with each image, which is not possible while it is trained",
                model(classes).name
            );
            misfit(
                key,
                message,
                "take a network without classes, or leave `fine_tune` out",
            );
        }
        if let Some(narrow) = extractions().find(|one| one.precision == Precision::F16) {
            let message = format!(
                "extraction `{}` computes in `f16`, in which small gradients are lost",
                narrow.name
            );
            misfit(key, message, "take `bf16` or `f32`");
        }
    }

    /// Whether test images have several draws of noise to predict from, where a head asks for that.
    fn check_test_draws(
        training: &Training,
        experiment: &Experiment,
        features: &[usize],
        fields: &Fields<'_>,
    ) {
        let key = config::TEST_DRAWS.name;
        if training.test_draws == 1 {
            return;
        }
        if training.fine_tune.is_some() {
            let message = format!("`{key}` reads cached features, and `fine_tune` caches none");
            let hint = Some("leave one of them out".to_owned());
            fields.invalid(key, "graph::fine-tuning-misfit", message, hint);
        }
        let mut extractions = features.iter().map(|&index| &experiment.extractions[index]);
        if let Some(clean) = extractions.find(|one| one.timestep.is_none()) {
            let message = format!(
                "`{key}` of {} has no meaning: extraction `{}` is of images without noise",
                fields.context(),
                clean.name
            );
            let hint = Some(format!("leave `{key}` out"));
            fields.invalid(key, "graph::no-noise", message, hint);
        }
    }

    /// A head learns classes, which images that a run makes do not have; each such dataset is named once.
    fn check_classes(experiment: &Experiment, features: &[usize], fields: &Fields<'_>) {
        let datasets = features
            .iter()
            .map(|&index| &experiment.datasets[experiment.extractions[index].dataset]);
        let made = datasets.filter(|dataset| dataset.samples.is_some());
        for name in made
            .map(|dataset| dataset.name.as_str())
            .collect::<BTreeSet<_>>()
        {
            let message = format!(
                "{} needs classes, which the images of dataset `{name}` do not have: a network makes them",
                fields.context()
            );
            let hint = "read features of a dataset with classes".to_owned();
            let key = config::FEATURES.name;
            fields.invalid(key, "graph::dataset-misfit", message, Some(hint));
        }
    }

    /// A head must be able to read every shape of features that it is given; each kind of misfit is reported once.
    fn check_shapes(
        head: &dyn Head,
        experiment: &Experiment,
        (features, joined): (&[usize], &[usize]),
        fields: &Fields<'_>,
    ) {
        let shapes: BTreeSet<_> = features
            .iter()
            .filter_map(|&index| {
                let joined = joins::of(experiment, index, joined);
                experiment.joined_shape(index, &joined)
            })
            .collect();
        let misfits = shapes
            .into_iter()
            .filter_map(|shape| head.check(shape).err());
        for misfit in misfits {
            let message = format!(
                "{} cannot read its features: {}",
                fields.context(),
                misfit.text
            );
            fields.invalid(
                config::FEATURES.name,
                "graph::head-misfit",
                message,
                misfit.hint,
            );
        }
    }
}

/// Of what a head reads, the features that are there, and those that are not: which kind they need, and their axes. Where features that
/// it joins are absent, all are.
fn absent_features(
    experiment: &Experiment,
    extractions: &Names,
    (mut found, features, joined): (Vec<usize>, &str, &[Spanned<String>]),
    views: Views,
) -> (Vec<usize>, Vec<(&'static Announced, Axes)>) {
    let node = |index: &usize| &experiment.absent.nodes[*index];
    let mut absent: Vec<(&'static Announced, Axes)> = Vec::new();
    let mut put = |needs: &'static Announced, mut axes: Axes| {
        if views != Views::Apart {
            // Heads that choose among views and draws are one head for all of them.
            for axis in ["view", "draw", "noise_seed"] {
                axes.remove(axis);
            }
        }
        if !absent.iter().any(|(_, known)| *known == axes) {
            absent.push((needs, axes));
        }
    };
    for index in extractions.absent(features) {
        put(node(index).needs, node(index).axes.clone());
    }
    let mut joined = joined
        .iter()
        .flat_map(|name| extractions.absent(&name.value));
    if let Some(needed) = joined.next() {
        for index in std::mem::take(&mut found) {
            put(node(needed).needs, experiment.stated_axes(index));
        }
    }
    (found, absent)
}

/// How many heads the tables of a node give, one for each set of features and seed, and the most sets and seeds of one table.
fn size_of(tables: &[Table], extractions: &Names, seeds: usize) -> (usize, Vec<(String, usize)>) {
    let (mut total, mut most) = (0usize, (0, 0));
    for table in tables {
        let features = match table
            .get(config::FEATURES.name)
            .map(|entry| &entry.node.value)
        {
            Some(Value::Text(name)) => extractions.count(name),
            _ => 0,
        };
        let own_seed = table.get(config::SEED.name).is_some();
        let seeds = if own_seed { 1 } else { seeds };
        total = total.saturating_add(features.saturating_mul(seeds));
        most = most.max((features, seeds));
    }
    let beside = [("sets of features", most.0), ("seeds", most.1)];
    (
        total,
        beside
            .map(|(what, number)| (what.to_owned(), number))
            .into(),
    )
}

/// What heads read: each extraction by itself, or the first of those that differ only in view and draw, and the others.
fn by_views(
    extractions: &[ExtractionNode],
    found: &[usize],
    views: Views,
) -> Vec<(usize, Vec<usize>)> {
    if views == Views::Apart {
        return found.iter().map(|&index| (index, Vec::new())).collect();
    }
    let mut heads: Vec<(usize, Vec<usize>)> = Vec::new();
    for &index in found {
        let known = heads
            .iter_mut()
            .find(|(first, _)| extractions[*first].differs_in_view_alone(&extractions[index]));
        match known {
            Some((_, others)) => others.push(index),
            None => heads.push((index, Vec::new())),
        }
    }
    heads
}
