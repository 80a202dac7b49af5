//! The axes of a graph's nodes: what tells the results of one node from those of another.

use super::axes::{Axes, of_pretraining, of_upstream};
use super::{Experiment, Swept};
use crate::models::{Reduce, TapShape, find_block};
use crate::store::AxisValue;

impl Experiment {
    /// The axes of one set of features; `weights` says where the model's weights come from.
    pub fn feature_axes(&self, extraction: usize, weights: &str) -> Axes {
        let node = &self.extractions[extraction];
        let model = &self.models[node.model];
        let dataset = &self.datasets[node.dataset];
        let mut axes = Axes::new();
        let mut put = |name: &str, value: Option<AxisValue>| {
            axes.extend(value.map(|value| (name.to_owned(), value)));
        };
        put("extraction", Some(node.name.as_str().into()));
        put("model", Some(model.name.as_str().into()));
        put("weights", Some(weights.into()));
        put("dataset", Some(dataset.name.as_str().into()));
        put("timestep", node.timestep.map(Into::into));
        put("block", Some(node.block.0.into()));
        let tap = find_block(&*model.model, node.block).map(|block| block.shape);
        let of_tokens = matches!(tap, Some(TapShape::Tokens { .. }));
        match node.reduce {
            Reduce::Pool(side) => put("pool", Some(side.into())),
            Reduce::ClassToken => put("token", Some("class".into())),
            Reduce::MeanToken => put("token", Some("mean".into())),
            Reduce::Whole => put("token", of_tokens.then(|| "all".into())),
        }
        put("precision", Some(node.precision.name().into()));
        put("view", Some(node.view.name().into()));
        put("draw", node.random.map(|random| random.draw.into()));
        put("noise_seed", node.random.map(|random| random.seed.into()));

        axes.extend(self.dataset_axes(node.dataset));
        axes.extend(said(&model.swept));
        if let Some(training) = model.pretrain {
            let training = &self.pretrains[training];
            axes.extend(said(&training.swept));
            let dataset = self.dataset_axes(training.dataset).into_iter();
            axes.extend(dataset.map(|(name, value)| (of_pretraining(&name), value)));
        }
        axes.extend(said(&node.swept));
        axes
    }

    /// The axes of one head, those of its features included; `weights` as for these.
    pub fn head_axes(&self, head: usize, weights: &str) -> Axes {
        let node = &self.heads[head];
        let mut axes = self.feature_axes(node.features, weights);
        let training = &node.training;
        let mut put = |name: &str, value: AxisValue| axes.insert(name.to_owned(), value);
        put("split", training.test_split.as_str().into());
        put("head", node.name.as_str().into());
        put("head_kind", node.head.kind().into());
        put("seed", node.seed.into());
        if node.head.trains_in_steps() {
            put("learning_rate", training.optimiser.lr.into());
            put("epochs", training.epochs.into());
        }
        if let Some(tuning) = &training.fine_tune {
            put("network_learning_rate", tuning.optimiser.lr.into());
        }
        axes.extend(said(&node.swept));
        axes
    }

    /// What a dataset says where the file sweeps, and what those say that it is made from, under other names.
    fn dataset_axes(&self, dataset: usize) -> Axes {
        let node = &self.datasets[dataset];
        let upstream = node.upstream.map(|upstream| self.dataset_axes(upstream));
        let upstream = upstream.into_iter().flatten();
        said(&node.swept)
            .chain(upstream.map(|(name, value)| (of_upstream(&name), value)))
            .collect()
    }
}

fn said(swept: &Swept) -> impl Iterator<Item = (String, AxisValue)> {
    swept.0.iter().cloned()
}
