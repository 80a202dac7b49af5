//! `[extraction.*]`: which features are wanted.

mod blocks;

pub(super) use blocks::BLOCK;
use blocks::parse_blocks;

use super::{ExtractionNode, OnBadImage, Randomness, Swept, imported, preprocess};
use crate::feature_type::FeatureType;
use crate::imaging::preprocess::View;
use crate::imaging::{Normalization, Preprocess};
use crate::models::class_condition::{self, CLASS};
use crate::models::{BlockInfo, Model, Precision, Reduce, TapShape};
use crate::spec::{Choice, Count, Fields, Key, KindDoc, OrWord, Seed, Text};

/// Key of the model, by its name in the experiment.
pub(super) const MODEL: Key<Text> =
    Key::text("model", "the name of a model").doc("The network that the images run through.");
/// Key of the dataset, by its name in the experiment.
pub(super) const DATASET: Key<Text> =
    Key::text("dataset", "the name of a dataset").doc("The images.");
pub(super) const TIMESTEP: Key<Count> = Key::count("timestep", 0..=99_999)
    .optional("none, for a model without noise")
    .doc("Noise step t: how much noise each image gets (Eq. 2 of the paper). A model that reads noisy images needs it, below the steps of its diffusion.");
const POOL: Key<OrWord> = Key::count("pool", 1..=4096)
    .or("none")
    .default(Some(1))
    .doc("Side p of the adaptive average pool of a feature map: the feature has channels × p × p values; \"none\" keeps the whole map.");
const TOKEN: Key<Choice<Reduce>> = Key::choice(
    "token",
    &[
        ("class", Reduce::ClassToken),
        ("mean", Reduce::MeanToken),
        ("patches", Reduce::PatchMap),
        ("all", Reduce::Whole),
    ],
)
.optional("\"class\" where there is a class token, else \"mean\"")
.doc(
    "What is taken of a block of tokens: the class token, the mean of the patch tokens, the patch tokens as a feature map, or all tokens.",
);
pub(super) const VIEW: Key<Choice<View>> = Key::choice("view", View::CHOICES)
    .default(View::Center)
    .doc("What the network sees of each image.");
pub(super) const DRAW: Key<Count> = Key::count("draw", 0..=1_000_000)
    .default(0)
    .doc("Which of several draws of the noise, and of what `preprocess` draws.");
pub(super) const SEED: Key<Seed> = Key::seed("seed")
    .default(0)
    .doc("Seed of the noise, and of what `preprocess` draws.");
pub(super) const PRECISION: Key<Choice<Precision>> = Key::choice("precision", Precision::CHOICES)
    .default(Precision::F32)
    .doc("What the network computes in; 16 bits are faster where the processor or the GPU has them, and round more.");
const STORAGE: Key<Choice<FeatureType>> = Key::choice(
    "storage",
    &[("f32", FeatureType::F32), ("f16", FeatureType::F16)],
)
.default(FeatureType::F32)
.doc("How features are kept.");
pub(super) const BATCH_SIZE: Key<Count> = Key::count("batch_size", 1..=65_536)
    .optional("chosen by size")
    .doc("Images per forward pass.");
pub(super) const ON_BAD_IMAGE: Key<Choice<OnBadImage>> = Key::choice(
    "on_bad_image",
    &[("fail", OnBadImage::Fail), ("skip", OnBadImage::Skip)],
)
.default(OnBadImage::Fail)
.doc("What happens at an image that does not decode; skipped ones are listed in the report.");

/// `[extraction.*]`.
pub const DOC: KindDoc = KindDoc {
    name: "extraction",
    summary: "Features of a dataset: a model, a timestep, a block and a pool. It has no `kind` key.",
    keys: &[
        &MODEL,
        &DATASET,
        &TIMESTEP,
        &CLASS,
        &BLOCK,
        &POOL,
        &TOKEN,
        &VIEW,
        &DRAW,
        &SEED,
        &preprocess::KEY,
        &preprocess::TEST_KEY,
        &preprocess::NORMALIZE,
        &PRECISION,
        &STORAGE,
        &BATCH_SIZE,
        &ON_BAD_IMAGE,
    ],
    shared: &[],
};

/// The values of one table that do not depend on its model's blocks.
struct Values {
    timestep: Option<u32>,
    /// `None` keeps the whole feature map.
    pool: Option<u32>,
    /// Whether the table sets it, which only a block with a feature map may have.
    pool_given: bool,
    token: Option<Reduce>,
    view: View,
    preprocess: Preprocess,
    test_preprocess: Preprocess,
    normalization: Option<Normalization>,
    precision: Precision,
    storage: FeatureType,
    on_bad_image: OnBadImage,
    random: Randomness,
    batch_size: Option<u32>,
}

/// What an extraction's table stands beside.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// Index of the dataset.
    pub(super) dataset: usize,
    /// Index of the model.
    pub(super) model: usize,
    /// The other models of the same extraction.
    pub(super) beside: imported::Beside,
}

/// Looks for errors in a table whose model or dataset has some of its own, so that nothing can be made of it.
pub(super) fn check(fields: &Fields<'_>) {
    let _ = (values(fields, None, None), class_condition::read(fields));
}

/// Reads one table without sweeps; `block = "all"` gives one node for each block of the model. `reader` is what reads images for it: itself,
/// or the autoencoder whose latents it reads.
pub(super) fn parse(
    fields: &Fields<'_>,
    name: &str,
    place: Place,
    (model, reader): (&dyn Model, &dyn Model),
) -> Vec<ExtractionNode> {
    let is_imported = model.imported().is_some();
    if is_imported && !imported::check(fields, place) {
        return Vec::new();
    }
    let input = model.input();
    let values = values(fields, Some(model), Some(reader));
    let blocks = if is_imported {
        model.blocks().iter().collect()
    } else {
        parse_blocks(fields, model)
    };
    let Some(values) = values else {
        return Vec::new();
    };
    let class = class_condition::parse(fields, model, place.beside.classes);
    if !check_timestep(fields, &values, place, model) {
        return Vec::new();
    }
    let Some(class) = class else {
        return Vec::new();
    };
    if !model.precisions().contains(&values.precision) {
        let names = model.precisions().iter().map(|one| one.name());
        let message = format!(
            "model `{}` does not compute in {}",
            model.variant(),
            values.precision.name()
        );
        let hint = format!("it computes in {}", names.collect::<Vec<_>>().join(", "));
        fields.invalid(PRECISION.name, "graph::model-misfit", message, Some(hint));
        return Vec::new();
    }
    let timestep = values.timestep.filter(|_| input.noise.is_some());
    let is_random = timestep.is_some() || values.preprocess.is_random();
    // What does not apply is only an error where the block was named, and where no network stands beside imported features: among
    // all blocks of a network, and all models of an extraction, it may apply to others.
    let lenient = blocks.len() > 1 || (is_imported && place.beside.network);
    let mut nodes = Vec::new();
    for block in blocks {
        let Some(reduce) = reduce(fields, &values, block, (is_imported, lenient)) else {
            continue;
        };
        nodes.push(ExtractionNode {
            name: name.to_owned(),
            dataset: place.dataset,
            model: place.model,
            timestep,
            class,
            block: block.index,
            reduce,
            view: values.view,
            random: is_random.then_some(values.random),
            preprocess: values.preprocess.clone(),
            test_preprocess: values.test_preprocess.clone(),
            normalization: values.normalization.unwrap_or(reader.input().normalization),
            precision: values.precision,
            storage: values.storage,
            batch_size: values.batch_size,
            on_bad_image: values.on_bad_image,
            swept: Swept::default(),
        });
    }
    if is_imported {
        nodes.iter_mut().for_each(imported::strip);
    }
    nodes
}

/// Whether `timestep` is there where the model has noise, and says nothing where none of the extraction's models has.
fn check_timestep(fields: &Fields<'_>, values: &Values, place: Place, model: &dyn Model) -> bool {
    match (model.input().noise, values.timestep) {
        (Some(_), None) if !fields.has(TIMESTEP.name) => {
            fields.missing(&TIMESTEP);
            false
        }
        (Some(_), None) => false,
        // Step 0 of a model without noise is the clean image, which it reads anyway.
        (None, Some(1..)) if !place.beside.noise => {
            let message = format!(
                "`timestep` of {} has no meaning: model `{}` reads images without noise",
                fields.context(),
                model.variant()
            );
            let hint = Some("leave `timestep` out".to_owned());
            fields.invalid(TIMESTEP.name, "graph::no-noise", message, hint);
            false
        }
        _ => true,
    }
}

/// How a block's output becomes a feature; reports what it cannot become.
fn reduce(
    fields: &Fields<'_>,
    values: &Values,
    block: &BlockInfo,
    (is_imported, lenient): (bool, bool),
) -> Option<Reduce> {
    // Imported features are no output of a block that anybody could name.
    let (name, has, whose) = if is_imported {
        ("the imported features".to_owned(), "have", "which are")
    } else {
        (format!("block {}", block.index), "has", "whose output is")
    };
    let misfit = |key: &str, message: String, hint: String| {
        fields.invalid(key, "graph::tap-misfit", message, Some(hint));
        None
    };
    let surplus = |key: &str, given: bool| {
        if given && !lenient {
            let message = format!(
                "`{key}` of {} does not apply to {name}, {whose} {}",
                fields.context(),
                block.shape
            );
            let hint = format!("leave `{key}` out");
            let _: Option<Reduce> = misfit(key, message, hint);
        }
        !given || lenient
    };
    match block.shape {
        TapShape::Map { height, width, .. } => {
            if !surplus(TOKEN.name, values.token.is_some()) {
                return None;
            }
            match values.pool {
                None => Some(Reduce::Whole),
                Some(side) if side > height.min(width) => {
                    fields.invalid(
                        POOL.name,
                        "graph::pool-too-large",
                        format!(
                            "pool {side} is larger than the feature map of {name}, which is {height} × {width}"
                        ),
                        Some(format!("at most {} for this block", height.min(width))),
                    );
                    None
                }
                Some(side) => Some(Reduce::Pool(side)),
            }
        }
        TapShape::Tokens { class_token, .. } => {
            if !surplus(POOL.name, values.pool_given) {
                return None;
            }
            match values.token {
                Some(Reduce::ClassToken) if !class_token => {
                    let message = format!("{name} {has} no class token");
                    misfit(TOKEN.name, message, "write `token = \"mean\"`".to_owned())
                }
                Some(Reduce::PatchMap) if block.shape.reduced(Reduce::PatchMap).is_none() => {
                    let message = format!("{name} {has} no square of patches");
                    misfit(TOKEN.name, message, "write `token = \"all\"`".to_owned())
                }
                Some(reduce) => Some(reduce),
                None => Some(if class_token {
                    Reduce::ClassToken
                } else {
                    Reduce::MeanToken
                }),
            }
        }
        TapShape::Vector { .. } => {
            let pool = surplus(POOL.name, values.pool_given);
            let token = surplus(TOKEN.name, values.token.is_some());
            (pool && token).then_some(Reduce::Whole)
        }
    }
}

/// Reads what does not depend on the model's blocks; without a model, looks for what is wrong for every one. `reader` is what reads images
/// for it.
fn values(
    fields: &Fields<'_>,
    model: Option<&dyn Model>,
    reader: Option<&dyn Model>,
) -> Option<Values> {
    let input = model.map(Model::input);
    let side = reader.map(|reader| reader.input().side);
    let noise = input.and_then(|input| input.noise);
    // No model has more steps than this.
    let last_step = noise.map_or(99_999, |noise| noise.steps - 1);
    let timestep = fields
        .get(&TIMESTEP)
        .and_then(|_| fields.get(&TIMESTEP.at_most(last_step)));
    let preprocess = preprocess::parse(fields, reader);
    let test_preprocess = preprocess
        .as_ref()
        .and_then(|preprocess| preprocess::parse_test(fields, preprocess, side));
    if fields.has(TIMESTEP.name) && timestep.is_none() {
        return None;
    }
    Some(Values {
        timestep,
        pool: fields.get(&POOL)?,
        pool_given: fields.has(POOL.name),
        token: fields.get(&TOKEN),
        view: fields.get(&VIEW)?,
        preprocess: preprocess?,
        test_preprocess: test_preprocess?,
        normalization: fields.get(&preprocess::NORMALIZE),
        precision: fields.get(&PRECISION)?,
        storage: fields.get(&STORAGE)?,
        on_bad_image: fields.get(&ON_BAD_IMAGE)?,
        random: Randomness {
            draw: fields.get(&DRAW)?,
            seed: fields.get(&SEED)?,
        },
        batch_size: fields.get(&BATCH_SIZE),
    })
}
