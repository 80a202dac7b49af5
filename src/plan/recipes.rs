//! All that decides an artifact's bytes, kind by kind.
//!
//! A `VERSION` goes up whenever the same fields would give other bytes; its history stands beside it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::feature_type::FeatureType;
use crate::imaging::preprocess::View;
use crate::imaging::{Normalization, Preprocess};
use crate::models::{ClassCondition, Precision};
use crate::store::{ArtifactKind, Recipe, RecipeError};
use crate::trainer::Training;
use crate::trainer::pretraining::Pretraining;

/// A trained diffusion network.
#[derive(Debug, Clone, Serialize)]
pub struct PretrainRecipe<'a> {
    /// The network's form.
    pub model: &'a Value,
    /// Manifest digest.
    pub dataset: &'a str,
    /// The split that it is trained on.
    pub split: &'a str,
    /// How images become squares.
    pub preprocess: &'a Preprocess,
    /// The keys of its training, with their defaults.
    pub training: Pretraining,
    /// Version of the noise generator.
    pub noise_version: u32,
}

impl PretrainRecipe<'_> {
    /// - 2: resized images have exactly Pillow's pixels.
    /// - 1: first version.
    pub const VERSION: u32 = 2;

    /// The recipe of the trained weights.
    ///
    /// # Errors
    /// See [`RecipeError`].
    pub fn recipe(&self) -> Result<Recipe, RecipeError> {
        Recipe::new(ArtifactKind::Pretraining, Self::VERSION, self)
    }

    /// The recipe of all trainings that differ from this one only in the number of steps. The longer ones begin with the shorter
    /// ones, so they share their checkpoints.
    ///
    /// # Errors
    /// See [`RecipeError`].
    pub fn checkpoint_recipe(&self) -> Result<Recipe, RecipeError> {
        let mut of_all = self.clone();
        of_all.training.steps = 0;
        of_all.recipe()
    }
}

/// Images that a network makes out of noise.
#[derive(Debug, Serialize)]
pub struct SamplesRecipe<'a> {
    /// The network's form.
    pub model: &'a Value,
    /// The weights' digest.
    pub weights: &'a str,
    /// Images that are made.
    pub count: u32,
    /// `ddpm` or `ddim`.
    pub method: &'a str,
    /// How random a step of DDIM is.
    pub eta: Option<f64>,
    /// Which timesteps.
    pub timesteps: String,
    /// The classes of the images, where they have some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<String>,
    /// The factor of guidance without a classifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guidance: Option<f64>,
    /// The classifier that leads the samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classifier: Option<ClassifierRecipe<'a>>,
    /// What decodes the images, where latents are sampled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoder: Option<DecoderRecipe<'a>>,
    /// What the network computes in.
    pub precision: Precision,
    /// How the images are kept: `png` or `raw`.
    pub format: &'a str,
    /// Seed of the noise.
    pub seed: u64,
    /// Version of the noise generator.
    pub noise_version: u32,
}

/// The classifier that leads samples.
#[derive(Debug, Serialize)]
pub struct ClassifierRecipe<'a> {
    /// The network's form.
    pub model: &'a Value,
    /// The weights' digest.
    pub weights: &'a str,
    /// The factor of its gradient.
    pub scale: f64,
}

/// The autoencoder that decodes samples.
#[derive(Debug, Serialize)]
pub struct DecoderRecipe<'a> {
    /// Its form.
    pub model: Value,
    /// Its weights' digest.
    pub weights: &'a str,
    /// What it computes in.
    pub precision: Option<Precision>,
}

impl SamplesRecipe<'_> {
    /// - 3: classes, guidance, precision and format; parts are shorter where an image takes long.
    /// - 2: parts with a row for each image, as PNG; before, one PNG of all of them.
    /// - 1: first version.
    pub const VERSION: u32 = 3;

    /// The recipe of the sampled images.
    ///
    /// # Errors
    /// See [`RecipeError`].
    pub fn recipe(&self) -> Result<Recipe, RecipeError> {
        Recipe::new(ArtifactKind::Samples, Self::VERSION, self)
    }
}

/// A pass of images through a network, whatever is tapped. No artifact: what features of one pass agree in.
#[derive(Debug, Clone, Serialize)]
pub struct PassRecipe<'a> {
    /// Manifest digest.
    pub dataset: &'a str,
    /// The network's form.
    pub model: &'a Value,
    /// The weights' digest.
    pub weights: &'a str,
    /// The split whose images are shown; absent where all are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<&'a str>,
    /// How images become squares; absent where latents are read, whose fingerprint stands for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preprocess: Option<&'a Preprocess>,
    /// Fingerprint of the latents that are read in place of images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latents: Option<String>,
    /// How pixels become numbers; absent where it is from -1 to 1, so that recipes from before have their fingerprints, and where latents
    /// are read.
    #[serde(skip_serializing_if = "Normalization::is_default")]
    pub normalization: Normalization,
    /// What is shown of each.
    pub view: View,
    /// Noise step, where there is noise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestep: Option<u32>,
    /// The class that the network is given with each image, where it is given one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<ClassCondition>,
    /// Which draw, where anything is drawn at random.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub draw: Option<u32>,
    /// The seed of the draws, where anything is drawn at random.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise_seed: Option<u64>,
    /// Version of the noise generator, where there is noise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise_version: Option<u32>,
    /// What the network computes in.
    pub precision: Precision,
}

impl PassRecipe<'_> {
    /// What the pass is named by.
    ///
    /// # Errors
    /// See [`RecipeError`].
    pub fn recipe(&self) -> Result<Recipe, RecipeError> {
        Recipe::new(ArtifactKind::Features, FeaturesRecipe::VERSION, self)
    }
}

/// Features: one tap of one pass.
#[derive(Debug, Serialize)]
pub struct FeaturesRecipe<'a> {
    /// What decides the forward pass, without its taps.
    #[serde(flatten)]
    pub pass: PassRecipe<'a>,
    /// The number of the tapped block, from 1.
    pub block: u32,
    /// Side of the pool, where the tap is a feature map that is pooled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<u32>,
    /// Which tokens, where the tap has tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<&'a str>,
    /// Number type.
    pub storage: FeatureType,
}

impl FeaturesRecipe<'_> {
    /// - 5: rows are in the order of a hash of their ids within each split; where `preprocess` is random, an artifact has one split.
    /// - 4: resized images have exactly Pillow's pixels; one value in 30,000 was off by one.
    /// - 3: feature maps of narrow networks are row-major, and so rounded differently.
    /// - 2: the field `precision`; channels-last feature maps and fused steps round differently.
    /// - 1: first version.
    pub const VERSION: u32 = 5;

    /// The recipe of the features.
    ///
    /// # Errors
    /// See [`RecipeError`].
    pub fn recipe(&self) -> Result<Recipe, RecipeError> {
        Recipe::new(ArtifactKind::Features, Self::VERSION, self)
    }
}

/// A trained head.
#[derive(Debug, Serialize)]
pub struct HeadRecipe<'a> {
    /// The head's form.
    pub head: &'a Value,
    /// The keys of its training, with their defaults.
    pub training: &'a Training,
    /// Seed of weights and order.
    pub seed: u64,
    /// Number of classes.
    pub classes: usize,
    /// Fingerprints of what it is trained on: the first view, from which it also predicts unless `test_features` is there, and then
    /// other views of the same.
    pub features: Vec<String>,
    /// Fingerprint of what it predicts from, where the images of the test split are shown otherwise than those that it is trained on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_features: Option<String>,
    /// Fingerprints of other draws of what it predicts from, over which it averages.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub more_test_features: Vec<String>,
    /// Fingerprint of what is held out of training, where it is shown otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out_features: Option<String>,
    /// What stands behind these features, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub joined: Vec<JoinedFeatures>,
}

/// Fingerprints of features that stand behind those of a head: what it is trained on, what it predicts from, and what is held out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JoinedFeatures {
    /// What it is trained on.
    pub features: String,
    /// What it predicts from.
    pub test_features: String,
    /// What is held out of training.
    pub held_out_features: String,
}

impl HeadRecipe<'_> {
    /// - 4: batches of an epoch are equal but for one sample; the order of pieces, mixed views and the validation split follow the
    ///   head's seed; logistic regression reads blocks of another size; `logits` keeps those of the validation split too.
    /// - 3: the softmax of the loss sums over classes in another order, and the gradient of a bias over samples.
    /// - 2: heads train in stacks, whose sums are rounded differently; more keys of training, and several views.
    /// - 1: first version.
    pub const VERSION: u32 = 4;

    /// The recipe of the trained head.
    ///
    /// # Errors
    /// See [`RecipeError`].
    pub fn recipe(&self) -> Result<Recipe, RecipeError> {
        Recipe::new(ArtifactKind::Head, Self::VERSION, self)
    }
}

/// The best of several heads, trained on all training samples.
#[derive(Debug, Serialize)]
pub struct RefitRecipe<'a> {
    /// Fingerprints of the heads that compete, in the order of the experiment.
    pub candidates: &'a [String],
    /// The axes along which they differ, besides the seed.
    pub choose: &'a [String],
    /// The values of each of them on these axes: a head knows its features by a fingerprint alone.
    pub values: Vec<Vec<Option<String>>>,
    /// Seed of weights and order; absent for what all seeds share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

impl RefitRecipe<'_> {
    /// - 1: first version.
    pub const VERSION: u32 = 1;

    /// The recipe of the trained head. What training does has the version of [`HeadRecipe`], which the fingerprints of the candidates
    /// stand for.
    ///
    /// # Errors
    /// See [`RecipeError`].
    pub fn recipe(&self) -> Result<Recipe, RecipeError> {
        Recipe::new(ArtifactKind::Head, Self::VERSION, self)
    }
}

/// A metric's table of results. Its rows carry the names that the experiment gives to things, so they are part of it.
#[derive(Debug, Serialize)]
pub struct MetricRecipe<'a> {
    /// The identity that the metric states of itself.
    pub metric: &'a Value,
    /// The axes that are chosen; none where all heads are scored.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub choose: &'a [String],
    /// The heads that are scored, in order; absent for a metric that reads features.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heads: Option<Vec<ScoredHead<'a>>>,
    /// The sets of features that are scored, in order, one or two an item; absent for a metric that reads predictions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sets: Option<Vec<Vec<ScoredSet<'a>>>>,
    /// The split whose features are read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<&'a str>,
    /// The split of the second set of each item, where these are references of other images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference_split: Option<&'a str>,
    /// The digest of the file of moments that the sets are compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moments: Option<&'a str>,
    /// The networks and heads that are counted, in order; absent for every other metric.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub networks: Option<Vec<ScoredNetwork>>,
}

/// One network or head that a metric counts.
#[derive(Debug, PartialEq, Serialize)]
pub struct ScoredNetwork {
    /// Where its results stand.
    pub axes: BTreeMap<String, Value>,
    /// How many numbers its parameters have.
    pub parameters: u64,
}

/// One set of features that a metric scores.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScoredSet<'a> {
    /// Fingerprint of the features.
    pub fingerprint: String,
    /// The extraction's name.
    pub extraction: &'a str,
    /// The model's name.
    pub model: &'a str,
    /// The dataset's name.
    pub dataset: &'a str,
}

/// One head that a metric scores.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct ScoredHead<'a> {
    /// Fingerprint of the head.
    pub fingerprint: String,
    /// The head's name.
    pub head: &'a str,
    /// The extraction's name.
    pub extraction: &'a str,
    /// The model's name.
    pub model: &'a str,
    /// The dataset's name.
    pub dataset: &'a str,
}

impl MetricRecipe<'_> {
    /// - 5: what is chosen is trained on all training samples, and its rows tell among how many candidates it was chosen; the column
    ///   `weights_seed`, which `weights` held before; predictions in the order of a hash of the ids;
    ///   Wilson's interval for shares; deviations of few samples a class are scaled.
    /// - 4: one nullable column an axis; what has no learning rate, timestep or pool has an empty cell.
    /// - 3: the columns `low` and `high`, the bootstrap interval of each value, and `network_learning_rate`.
    /// - 2: the column `precision`.
    /// - 1: first version.
    pub const VERSION: u32 = 5;

    /// The recipe of the metric's results.
    ///
    /// # Errors
    /// See [`RecipeError`].
    pub fn recipe(&self) -> Result<Recipe, RecipeError> {
        Recipe::new(ArtifactKind::Metric, Self::VERSION, self)
    }
}
