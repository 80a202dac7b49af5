//! `[extraction.*]`: which features are wanted.

use super::{ExtractionNode, OnBadImage, Randomness, Swept, preprocess};
use crate::feature_type::FeatureType;
use crate::imaging::preprocess::View;
use crate::imaging::{Normalization, Preprocess};
use crate::models::{BlockIndex, BlockInfo, Model, Precision, Reduce, TapShape};
use crate::spec::{Diagnostic, Fields, Key, Value};

/// The keys of an extraction.
pub const KEYS: &[Key] = &[
    Key::required(
        "model",
        "the name of a model",
        "The network that the images run through.",
    ),
    Key::required("dataset", "the name of a dataset", "The images."),
    Key::optional(
        "timestep",
        "an integer from 0",
        "none, for a model without noise",
        "Noise step t: how much noise each image gets (Eq. 2 of the paper). A model that reads noisy images needs it.",
    ),
    Key::required(
        "block",
        "an integer from 1, or \"all\"",
        "Block b whose output is the feature, numbered as in the paper; `repro list models` shows them.",
    ),
    Key::optional(
        "pool",
        "an integer from 1, or \"none\"",
        "1",
        "Side p of the adaptive average pool of a feature map: the feature has channels × p × p values; \"none\" keeps the whole map.",
    ),
    Key::optional(
        "token",
        "`class`, `mean` or `all`",
        "\"class\" where there is a class token, else \"mean\"",
        "What is taken of a block of tokens: the class token, the mean of the others, or all of them.",
    ),
    Key::optional(
        "view",
        "`center` or `flip`",
        "\"center\"",
        "What the network sees of each image.",
    ),
    Key::optional(
        "draw",
        "an integer from 0",
        "0",
        "Which of several draws of the noise, and of what `preprocess` draws.",
    ),
    Key::optional(
        "seed",
        "an integer from 0",
        "0",
        "Seed of the noise, and of what `preprocess` draws.",
    ),
    preprocess::KEY,
    preprocess::NORMALIZE,
    Key::optional(
        "precision",
        "`f32`, `bf16` or `f16`",
        "\"f32\"",
        "What the network computes in; 16 bits are faster where the processor or the GPU has them, and round more.",
    ),
    Key::optional(
        "storage",
        "`f32` or `f16`",
        "\"f32\"",
        "How features are kept.",
    ),
    Key::optional(
        "batch_size",
        "an integer from 1",
        "chosen by size",
        "Images per forward pass.",
    ),
    Key::optional(
        "on_bad_image",
        "`fail` or `skip`",
        "\"fail\"",
        "What happens at an image that does not decode; skipped ones are listed in the report.",
    ),
];

/// The values of one table that do not depend on its model's blocks.
struct Values {
    timestep: Option<u32>,
    pool: Option<Pool>,
    token: Option<Token>,
    view: View,
    preprocess: Preprocess,
    normalization: Option<Normalization>,
    precision: Precision,
    storage: FeatureType,
    on_bad_image: OnBadImage,
    random: Randomness,
    batch_size: Option<u32>,
}

/// What is asked of a feature map.
#[derive(Clone, Copy)]
enum Pool {
    Side(u32),
    Whole,
}

/// What is asked of tokens.
#[derive(Clone, Copy)]
enum Token {
    Class,
    Mean,
    All,
}

/// What an extraction's table stands beside.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// Index of the dataset.
    pub(super) dataset: usize,
    /// Index of the model.
    pub(super) model: usize,
    /// Whether another model of the same extraction has noise, so that `timestep` is not for nothing.
    pub(super) beside_noise: bool,
}

/// Looks for mistakes in a table whose model or dataset has some of its own, so that nothing can be made of it.
pub(super) fn check(fields: &Fields<'_>) {
    // No model has more steps than this, so that what is wrong for every model is found.
    let _ = values(fields, 99_999, None);
}

/// Reads one table without sweeps; `block = "all"` gives one node for each block of the model.
pub(super) fn parse(
    fields: &Fields<'_>,
    name: &str,
    place: Place,
    model: &dyn Model,
) -> Vec<ExtractionNode> {
    let input = model.input();
    let last_step = input.noise.map_or(99_999, |noise| noise.steps - 1);
    let values = values(fields, last_step, Some(input.side));
    let blocks = parse_blocks(fields, model);
    let Some(values) = values else {
        return Vec::new();
    };
    if !check_timestep(fields, &values, place, model) {
        return Vec::new();
    }
    let timestep = values.timestep.filter(|_| input.noise.is_some());
    let is_random = timestep.is_some() || values.preprocess.is_random();
    let every_block = blocks.len() > 1;
    let mut nodes = Vec::new();
    for block in blocks {
        let Some(reduce) = reduce(fields, &values, block, every_block) else {
            continue;
        };
        nodes.push(ExtractionNode {
            name: name.to_owned(),
            dataset: place.dataset,
            model: place.model,
            timestep,
            block: block.index,
            reduce,
            view: values.view,
            random: is_random.then_some(values.random),
            preprocess: values.preprocess.clone(),
            normalization: values.normalization.unwrap_or(input.normalization),
            precision: values.precision,
            storage: values.storage,
            batch_size: values.batch_size,
            on_bad_image: values.on_bad_image,
            swept: Swept::default(),
        });
    }
    nodes
}

/// Whether `timestep` is there where the model has noise, and says nothing where none of the extraction's models has.
fn check_timestep(fields: &Fields<'_>, values: &Values, place: Place, model: &dyn Model) -> bool {
    match (model.input().noise, values.timestep) {
        (Some(_), None) if !fields.has("timestep") => {
            let key = KEYS.iter().find(|key| key.name == "timestep");
            let hint = key.map(|key| format!("`{}` = {}: {}", key.name, key.value, key.doc));
            fields.report(
                Diagnostic::new(
                    "spec::missing-key",
                    fields.span(),
                    format!("{} needs the key `timestep`", fields.context()),
                    "missing here",
                )
                .maybe_hint(hint),
            );
            false
        }
        (Some(_), None) => false,
        // Step 0 of a model without noise is the clean image, which it reads anyway.
        (None, Some(1..)) if !place.beside_noise => {
            let message = format!(
                "`timestep` of {} has no meaning: model `{}` reads images without noise",
                fields.context(),
                model.variant()
            );
            let hint = Some("leave `timestep` out".to_owned());
            fields.misfit("timestep", "graph::no-noise", message, hint);
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
    every_block: bool,
) -> Option<Reduce> {
    let misfit = |key: &str, message: String, hint: String| {
        fields.misfit(key, "graph::tap-misfit", message, Some(hint));
        None
    };
    // What does not apply is only an error where the block was named: among all blocks of a network it may apply to others.
    let surplus = |key: &str, given: bool| {
        if given && !every_block {
            let message = format!(
                "`{key}` of {} does not apply to block {}, whose output is {}",
                fields.context(),
                block.index,
                block.shape
            );
            let hint = format!("leave `{key}` out");
            let _: Option<Reduce> = misfit(key, message, hint);
        }
        !given || every_block
    };
    match block.shape {
        TapShape::Map { height, width, .. } => {
            if !surplus("token", values.token.is_some()) {
                return None;
            }
            match values.pool.unwrap_or(Pool::Side(1)) {
                Pool::Whole => Some(Reduce::Whole),
                Pool::Side(side) if side > height.min(width) => {
                    fields.misfit(
                        "pool",
                        "graph::pool-too-large",
                        format!(
                            "pool {side} is larger than the map of block {}, which is {height} × {width}",
                            block.index
                        ),
                        Some(format!("at most {} for this block", height.min(width))),
                    );
                    None
                }
                Pool::Side(side) => Some(Reduce::Pool(side)),
            }
        }
        TapShape::Tokens { class_token, .. } => {
            if !surplus("pool", values.pool.is_some()) {
                return None;
            }
            match values.token {
                Some(Token::Class) if !class_token => {
                    let message = format!("block {} has no class token", block.index);
                    misfit("token", message, "write `token = \"mean\"`".to_owned())
                }
                Some(Token::Class) => Some(Reduce::ClassToken),
                Some(Token::Mean) => Some(Reduce::MeanToken),
                Some(Token::All) => Some(Reduce::Whole),
                None if class_token => Some(Reduce::ClassToken),
                None => Some(Reduce::MeanToken),
            }
        }
        TapShape::Vector { .. } => {
            let pool = surplus("pool", values.pool.is_some());
            let token = surplus("token", values.token.is_some());
            (pool && token).then_some(Reduce::Whole)
        }
    }
}

fn values(fields: &Fields<'_>, last_step: u32, side: Option<u32>) -> Option<Values> {
    let timestep = fields.count("timestep", 0..=last_step);
    let pool = match fields.raw("pool").map(|node| &node.value) {
        None => Some(None),
        Some(Value::Text(word)) if word == "none" => Some(Some(Pool::Whole)),
        Some(_) => fields
            .count("pool", 1..=4096)
            .map(|side| Some(Pool::Side(side))),
    };
    let ways = [("fail", OnBadImage::Fail), ("skip", OnBadImage::Skip)];
    let tokens = [
        ("class", Token::Class),
        ("mean", Token::Mean),
        ("all", Token::All),
    ];
    let token = fields.choice("token", &tokens);
    let view = fields.choice("view", View::CHOICES);
    let preprocess = preprocess::parse(fields, side);
    let normalization = preprocess::parse_normalize(fields);
    let precision = fields.choice("precision", Precision::CHOICES);
    let storage = fields.choice("storage", FeatureType::CHOICES);
    let on_bad_image = fields.choice("on_bad_image", &ways);
    let draw = fields.count("draw", 0..=1_000_000);
    let seed = fields.seed("seed");
    let batch_size = fields.count("batch_size", 1..=65_536);
    if fields.has("timestep") && timestep.is_none() {
        return None;
    }
    Some(Values {
        timestep,
        pool: pool?,
        token,
        view: view.unwrap_or(View::Center),
        preprocess: preprocess?,
        normalization,
        precision: precision.unwrap_or(Precision::F32),
        storage: storage.unwrap_or(FeatureType::F32),
        on_bad_image: on_bad_image.unwrap_or(OnBadImage::Fail),
        random: Randomness {
            draw: draw.unwrap_or(0),
            seed: seed.unwrap_or(0),
        },
        batch_size,
    })
}

fn parse_blocks<'m>(fields: &Fields<'_>, model: &'m dyn Model) -> Vec<&'m BlockInfo> {
    let blocks = model.blocks();
    let Some(node) = fields.raw("block") else {
        return Vec::new();
    };
    match &node.value {
        Value::Text(text) if text == "all" => blocks.iter().collect(),
        Value::Integer(wanted) => {
            let found = u32::try_from(*wanted).ok().and_then(|index| {
                let index = BlockIndex(index);
                blocks.iter().find(|block| block.index == index)
            });
            if found.is_none() {
                fields.report(
                    Diagnostic::new(
                        "graph::block-out-of-range",
                        node.span,
                        format!(
                            "block {wanted} does not exist in model `{}`",
                            model.variant()
                        ),
                        "no such block",
                    )
                    .hint(format!(
                        "it has the blocks 1 to {}; `repro list models {}` shows them",
                        blocks.len(),
                        model.variant()
                    )),
                );
            }
            found.into_iter().collect()
        }
        other => {
            fields.wrong_type_at(node.span, "block", "an integer or \"all\"", other);
            Vec::new()
        }
    }
}
