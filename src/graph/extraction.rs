//! `[extraction.*]`: which features are wanted.

use super::{ExtractionNode, OnBadImage, Storage, preprocess};
use crate::imaging::preprocess::View;
use crate::imaging::{Normalization, Preprocess};
use crate::models::{BlockIndex, BlockInfo, Model, Precision};
use crate::spec::{Diagnostic, Fields, Key, Value};

/// The keys of an extraction.
pub const KEYS: &[Key] = &[
    Key::required(
        "model",
        "the name of a model",
        "The network that the images run through.",
    ),
    Key::required("dataset", "the name of a dataset", "The images."),
    Key::required(
        "timestep",
        "an integer from 0",
        "Noise step t: how much noise each image gets (Eq. 2 of the paper).",
    ),
    Key::required(
        "block",
        "an integer from 1, or \"all\"",
        "Block b whose output is the feature, numbered as in the paper; `repro list models` shows them.",
    ),
    Key::optional(
        "pool",
        "an integer from 1",
        "1",
        "Side p of the adaptive average pool: the feature has channels × p × p values.",
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
    timestep: u32,
    pool: u32,
    view: View,
    preprocess: Preprocess,
    normalization: Normalization,
    precision: Precision,
    storage: Storage,
    on_bad_image: OnBadImage,
    draw: u32,
    noise_seed: u64,
    batch_size: Option<u32>,
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
    (dataset, model_index): (usize, usize),
    model: &dyn Model,
) -> Vec<ExtractionNode> {
    let values = values(
        fields,
        model.diffusion_steps() - 1,
        Some(model.input().side),
    );
    let blocks = parse_blocks(fields, model);
    let Some(values) = values else {
        return Vec::new();
    };
    let mut nodes = Vec::new();
    for block in blocks {
        let [_, height, width] = block.shape;
        if values.pool > height.min(width) {
            fields.misfit(
                "pool",
                "graph::pool-too-large",
                format!(
                    "pool {} is larger than the map of block {}, which is {height} × {width}",
                    values.pool, block.index
                ),
                Some(format!("at most {} for this block", height.min(width))),
            );
            continue;
        }
        nodes.push(ExtractionNode {
            name: name.to_owned(),
            dataset,
            model: model_index,
            timestep: values.timestep,
            block: block.index,
            pool: values.pool,
            view: values.view,
            draw: values.draw,
            noise_seed: values.noise_seed,
            preprocess: values.preprocess.clone(),
            normalization: values.normalization,
            precision: values.precision,
            storage: values.storage,
            batch_size: values.batch_size,
            on_bad_image: values.on_bad_image,
        });
    }
    nodes
}

fn values(fields: &Fields<'_>, last_step: u32, side: Option<u32>) -> Option<Values> {
    let timestep = fields.count("timestep", 0..=last_step);
    let pool = if fields.has("pool") {
        fields.count("pool", 1..=4096)
    } else {
        Some(1)
    };
    let storages = [("f32", Storage::F32), ("f16", Storage::F16)];
    let ways = [("fail", OnBadImage::Fail), ("skip", OnBadImage::Skip)];
    let view = fields.choice("view", View::CHOICES);
    let preprocess = preprocess::parse(fields, side);
    let normalization = preprocess::parse_normalize(fields);
    let precision = fields.choice("precision", Precision::CHOICES);
    let storage = fields.choice("storage", &storages);
    let on_bad_image = fields.choice("on_bad_image", &ways);
    let draw = fields.count("draw", 0..=1_000_000);
    let noise_seed = fields.seed("seed");
    let batch_size = fields.count("batch_size", 1..=65_536);
    Some(Values {
        timestep: timestep?,
        pool: pool?,
        view: view.unwrap_or(View::Center),
        preprocess: preprocess?,
        normalization,
        precision: precision.unwrap_or(Precision::F32),
        storage: storage.unwrap_or(Storage::F32),
        on_bad_image: on_bad_image.unwrap_or(OnBadImage::Fail),
        draw: draw.unwrap_or(0),
        noise_seed: noise_seed.unwrap_or(0),
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
