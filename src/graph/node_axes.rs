//! The axes of a graph's nodes: what distinguishes the results of one node from those of another.

use super::axes::Axes;
use super::{Experiment, ExtractionNode, HeadNode, Swept};
use crate::heads::Head;
use crate::imaging::Preprocess;
use crate::models::{Reduce, TapShape, WeightsSource, find_block};
use crate::store::AxisValue;
use crate::trainer::Training;

/// What the axes of the dataset that a network was trained on begin with.
pub(super) const PRETRAIN: &str = "pretrain_";

/// The axis of a dataset, where it is that of a training's dataset.
pub(super) fn of_pretraining(axis: &str) -> String {
    format!("{PRETRAIN}{axis}")
}

/// The axis of a model, where it is that of the one which makes the images of a dataset.
pub(super) fn of_samples(axis: &str) -> String {
    format!("samples_{axis}")
}

/// The axis of a dataset, where it is that of the one which the dataset is made from.
pub(super) fn of_upstream(axis: &str) -> String {
    axis.replacen("dataset_", "dataset_of_", 1)
}

/// Where features come from, as their axes say it.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The model's name.
    pub model: &'a str,
    /// Where the model's weights come from.
    pub source: &'a WeightsSource,
    /// What identifies weights that are not random.
    pub weights: &'a str,
    /// The dataset's name.
    pub dataset: &'a str,
    /// The model's values for the swept keys.
    pub of_model: &'a Axes,
    /// The dataset's values for the swept keys.
    pub of_dataset: &'a Axes,
}

/// What generated images are compared with, as axes say it.
#[derive(Debug, Clone, Copy)]
pub struct Reference<'a> {
    /// The name of its dataset, or the path of the file with its moments.
    pub name: &'a str,
    /// Its split; `None` of a file.
    pub split: Option<&'a str>,
    /// How many images were generated.
    pub generated: u64,
    /// How many images it has; `None` of a file.
    pub images: Option<u64>,
    /// How images of both became squares.
    pub preprocess: &'a Preprocess,
}

/// The axes of a set of features of generated images that is compared with a reference: its own, and what the reference is.
pub fn of_distributions(mut axes: Axes, reference: &Reference<'_>) -> Axes {
    let mut put = |name: &str, value: Option<AxisValue>| {
        axes.extend(value.map(|value| (name.to_owned(), value)));
    };
    put("images", Some(reference.generated.into()));
    put("reference", Some(reference.name.into()));
    put("reference_split", reference.split.map(Into::into));
    put("reference_images", reference.images.map(Into::into));
    put("preprocess", Some(reference.preprocess.name().into()));
    axes
}

impl ExtractionNode {
    /// Its axes, with those of its dataset and its model.
    pub fn all_axes(&self, tap: TapShape, origin: &Origin<'_>) -> Axes {
        let mut axes = self.axes(tap);
        let mut put = |name: &str, value: AxisValue| axes.insert(name.to_owned(), value);
        put("model", origin.model.into());
        put("dataset", origin.dataset.into());
        let random = origin.source.rule_and_seed();
        let rule = random.map_or(origin.weights, |(rule, _)| rule);
        put("weights", rule.into());
        if let Some((_, seed)) = random {
            put("weights_seed", seed.into());
        }
        if let WeightsSource::Imported(_) = origin.source {
            // No network ran here: what says how it would have is not said.
            for name in ["block", "precision", "view"] {
                axes.remove(name);
            }
        }
        axes.extend(origin.of_dataset.clone());
        axes.extend(origin.of_model.clone());
        axes
    }

    /// Its own axes, without those of its dataset and its model; `tap` is the shape of the block's output.
    pub fn axes(&self, tap: TapShape) -> Axes {
        let mut axes = Axes::new();
        let mut put = |name: &str, value: Option<AxisValue>| {
            axes.extend(value.map(|value| (name.to_owned(), value)));
        };
        put("extraction", Some(self.name.as_str().into()));
        put("timestep", self.timestep.map(Into::into));
        put("block", Some(self.block.0.into()));
        let of_tokens = matches!(tap, TapShape::Tokens { .. });
        match self.reduce {
            Reduce::Pool(side) => put("pool", Some(side.into())),
            Reduce::ClassToken => put("token", Some("class".into())),
            Reduce::MeanToken => put("token", Some("mean".into())),
            Reduce::PatchMap => put("token", Some("patches".into())),
            Reduce::Whole => put("token", of_tokens.then(|| "all".into())),
        }
        put("precision", Some(self.precision.name().into()));
        put("view", Some(self.view.name().into()));
        put("draw", self.random.map(|random| random.draw.into()));
        put("noise_seed", self.random.map(|random| random.seed.into()));
        axes.extend(self.swept.axes());
        axes
    }
}

impl HeadNode {
    /// Its own axes, without those of the features that it reads.
    pub fn axes(&self) -> Axes {
        axes_of_head(
            &self.name,
            &*self.head,
            &self.training,
            self.seed,
            &self.swept,
        )
    }
}

/// The axes of a head, whether or not there is something that it reads.
pub(super) fn axes_of_head(
    name: &str,
    head: &dyn Head,
    training: &Training,
    seed: u64,
    swept: &Swept,
) -> Axes {
    let mut axes = Axes::new();
    let mut put = |name: &str, value: AxisValue| axes.insert(name.to_owned(), value);
    put("split", training.test_split.as_str().into());
    put("head", name.into());
    put("head_kind", head.kind().into());
    put("seed", seed.into());
    if head.trains_in_steps() {
        put("learning_rate", training.optimizer.lr.into());
        put("epochs", training.epochs.into());
    }
    if let Some(tuning) = &training.fine_tune {
        put("network_learning_rate", tuning.optimizer.lr.into());
    }
    axes.extend(swept.axes());
    axes
}

impl Experiment {
    /// The axes of an extraction's features before its weights are read: a word stands for what identifies those of a file. `None` where its
    /// model has no such tap.
    pub fn planned_axes(&self, extraction: usize) -> Option<Axes> {
        let node = self.extractions.get(extraction)?;
        let model = &self.models[node.model];
        let source = model.model.weights();
        let weights = match source {
            WeightsSource::File(path) => path.display().to_string(),
            WeightsSource::Pretrained(name) => format!("{name} {:?}", model.pretrain),
            WeightsSource::Imported(imported) => imported.paths(),
            _ => "none".to_owned(),
        };
        let tap = find_block(&*model.model, node.block)?.shape;
        let origin = Origin {
            model: &model.name,
            source,
            weights: &weights,
            dataset: &self.datasets[node.dataset].name,
            of_model: &self.model_axes(node.model),
            of_dataset: &self.dataset_axes(node.dataset),
        };
        Some(node.all_axes(tap, &origin))
    }

    /// A dataset's values for the swept keys, and those of what it is made from, under other names; for images that a run makes
    /// also those of their samples.
    pub fn dataset_axes(&self, dataset: usize) -> Axes {
        let node = &self.datasets[dataset];
        let samples = node.samples.map(|samples| self.samples_axes(samples));
        let upstream = node.upstream.map(|upstream| self.dataset_axes(upstream));
        let upstream = upstream.into_iter().flatten();
        node.swept
            .axes()
            .chain(upstream.map(|(name, value)| (of_upstream(&name), value)))
            .chain(samples.into_iter().flatten())
            .collect()
    }

    /// The samples' values for the swept keys, and the model that makes them, under other names.
    fn samples_axes(&self, samples: usize) -> Axes {
        let node = &self.samples[samples];
        let model = self.model_axes(node.model).into_iter();
        let model = model.chain(self.models[node.model].swept_weights.axes());
        let model = model.map(|(name, value)| (of_samples(&name), value));
        node.swept.axes().chain(model).collect()
    }

    /// The axes of a network by itself, whatever it reads.
    pub fn network_axes(&self, model: usize) -> Axes {
        let name = self.models[model].name.as_str();
        let mut axes = self.model_axes(model);
        axes.insert("model".to_owned(), name.into());
        axes
    }

    /// A model's values for the swept keys, and those of its training.
    pub fn model_axes(&self, model: usize) -> Axes {
        let node = &self.models[model];
        let mut axes: Axes = node.swept.axes().collect();
        if let Some(training) = node.pretrain {
            let training = &self.pretrains[training];
            axes.extend(training.swept.axes());
            let dataset = self.dataset_axes(training.dataset).into_iter();
            axes.extend(dataset.map(|(name, value)| (of_pretraining(&name), value)));
        }
        axes
    }
}

impl Swept {
    /// Axis by axis.
    pub fn axes(&self) -> impl Iterator<Item = (String, AxisValue)> {
        self.0.iter().cloned()
    }
}
