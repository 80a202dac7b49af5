//! The keys of a vision transformer, and what is made of them.

use std::sync::Arc;

use super::config::{Config, FeedForward, FinalNorm, PositionResize, Positions};
use super::presets::{self, Images};
use super::{CUSTOM, KIND, Vit};
use crate::models::declared::Declared;
use crate::models::{Model, declaration};
use crate::spec::{Boolean, Choice, Count, Custom, Fields, Key, Keys};

pub(super) const WEIGHTS: Key<Custom> = Key::custom(
    declaration::WEIGHTS.name,
    "a path, { synthetic = SEED } or { initialization = SEED }",
)
.doc(
    "A `.safetensors` file, a PyTorch checkpoint or an `.npz` of Flax, under the names of timm, DINO, MAE, MoCo v3, DINOv2 or Flax; or random weights, by the synthetic rule or by DINO's initialization.",
);
pub(super) const IMAGE_SIZE: Key<Count> = Key::count("image_size", 8..=4096)
    .optional("the preset's, else 224")
    .doc("Side of the input in pixels, a multiple of `patch_size`. Positions are resized to it as `position_resize` says.");
const POSITION_SIZE: Key<Count> = Key::count("position_size", 8..=4096)
    .optional("`image_size`")
    .doc("Side of the images that the stored positions are for, a multiple of `patch_size`.");
const PATCH_SIZE: Key<Count> = Key::count("patch_size", 1..=256)
    .default(16)
    .doc("Side of the square of pixels that becomes a token.");
const EMBED_DIM: Key<Count> = Key::count("embed_dim", 4..=8192)
    .optional("the preset's")
    .doc("Numbers of a token, a multiple of `num_heads`.");
const DEPTH: Key<Count> = Key::count("depth", 1..=256)
    .optional("the preset's")
    .doc("Transformer blocks.");
const NUM_HEADS: Key<Count> = Key::count("num_heads", 1..=256)
    .optional("the preset's")
    .doc("Heads of attention.");
const FFN: Key<Choice<FeedForward>> = Key::choice(
    "ffn",
    &[("mlp", FeedForward::Mlp), ("swiglu", FeedForward::SwiGlu)],
)
.default(FeedForward::Mlp)
.doc("The layers behind attention: two with GELU between them, or SwiGLU.");
const LAYER_SCALE: Key<Boolean> = Key::boolean("layer_scale")
    .default(false)
    .doc("Whether what a block adds is scaled by a learned factor for each channel.");
const REGISTERS: Key<Count> = Key::count("registers", 0..=64)
    .default(0)
    .doc("Register tokens, which stand for no place of the image.");
const FINAL_NORM: Key<Choice<FinalNorm>> = Key::choice(
    "final_norm",
    &[("norm", FinalNorm::Norm), ("fc_norm", FinalNorm::FcNorm)],
)
.default(FinalNorm::Norm)
.doc("`norm` normalizes all tokens; `fc_norm` the mean of the patch tokens, which is MAE's global pooling.");
const POSITION_RESIZE: Key<Choice<PositionResize>> = Key::choice(
    "position_resize",
    &[
        ("bicubic", PositionResize::Bicubic),
        ("bicubic-antialias", PositionResize::BicubicAntialias),
        ("bicubic-offset", PositionResize::BicubicOffset),
    ],
)
.default(PositionResize::BicubicAntialias)
.doc("How positions are resized: as MAE does it, as timm and DINOv2 with registers, or as DINO and DINOv2 without registers.");
const POSITIONS: Key<Choice<Positions>> = Key::choice(
    "positions",
    &[
        ("learned", Positions::Learned),
        ("sincos-mae", Positions::SincosMae),
        ("sincos-moco", Positions::SincosMoco),
    ],
)
.default(Positions::Learned)
.doc("What positions are where weights are random; a file has its own.");
const CLASSES: Key<Count> = Key::count("classes", 1..=1_000_000).optional("none").doc(
    "Outputs of the linear layer at the end; absent for a network that was published without one.",
);

/// The keys that a preset decides.
pub(super) const SHAPE: Keys = &[
    &POSITION_SIZE,
    &PATCH_SIZE,
    &EMBED_DIM,
    &DEPTH,
    &NUM_HEADS,
    &FFN,
    &LAYER_SCALE,
    &REGISTERS,
    &FINAL_NORM,
    &POSITION_RESIZE,
    &POSITIONS,
    &CLASSES,
];

/// Reads a table of the kind; `None` where it has an error, which is reported.
pub(super) fn parse(fields: &Fields<'_>) -> Option<Arc<dyn Model>> {
    let weights = declaration::weights(fields);
    let prefix = declaration::prefix(fields, weights.as_ref());
    let preset = declaration::preset(&KIND, fields, SHAPE)?;
    let (variant, config, images) = if let Some(name) = preset {
        let mut preset = presets::find(&name)?;
        if let Some(side) = fields.given(&IMAGE_SIZE) {
            preset.network.image_size = side;
        }
        (preset.name, preset.network, preset.images)
    } else {
        let config = parse_shape(fields)?;
        (CUSTOM.to_owned(), config, Images::Imagenet)
    };
    check_shape(fields, &config);
    if !fields.is_sound() {
        return None;
    }
    let network = Vit { config, images };
    Some(Arc::new(Declared::new(variant, network, weights?, prefix)))
}

/// A network that is written out.
fn parse_shape(fields: &Fields<'_>) -> Option<Config> {
    if !declaration::has_shape(fields, &[&EMBED_DIM, &DEPTH, &NUM_HEADS]) {
        return None;
    }
    let image_size = fields.given(&IMAGE_SIZE).unwrap_or(224);
    Some(Config {
        image_size,
        position_size: fields.given(&POSITION_SIZE).unwrap_or(image_size),
        patch_size: fields.get(&PATCH_SIZE)?,
        embed_dim: fields.get(&EMBED_DIM)?,
        depth: fields.get(&DEPTH)?,
        num_heads: fields.get(&NUM_HEADS)?,
        ffn: fields.get(&FFN)?,
        layer_scale: fields.get(&LAYER_SCALE)?,
        registers: fields.get(&REGISTERS)?,
        final_norm: fields.get(&FINAL_NORM)?,
        position_resize: fields.get(&POSITION_RESIZE)?,
        positions: fields.get(&POSITIONS)?,
        classes: fields.get(&CLASSES),
    })
}

/// Reports sizes that do not divide each other.
fn check_shape(fields: &Fields<'_>, config: &Config) {
    let divides = |key: &str, value: u32, (by, divisor): (&str, u32), hint: String| {
        if !value.is_multiple_of(divisor) {
            let message = format!(
                "`{key}` of {} is {value}, which is not a multiple of {by}{divisor}",
                fields.context()
            );
            fields.invalid(key, "graph::model-misfit", message, Some(hint));
        }
    };
    let patch = config.patch_size;
    for (key, size) in [
        (IMAGE_SIZE.name, config.image_size),
        (POSITION_SIZE.name, config.position_size),
    ] {
        // A preset decides the other one.
        if fields.has(key) || (!fields.has(declaration::PRESET.name) && key == IMAGE_SIZE.name) {
            let hint = format!("{} is one", size.div_ceil(patch) * patch);
            divides(key, size, ("the side of a patch, ", patch), hint);
        }
    }
    let (width, heads) = (config.embed_dim, config.num_heads);
    let hint = "each head has as many numbers as the others".to_owned();
    divides(EMBED_DIM.name, width, ("`num_heads`, ", heads), hint);
    if config.positions != Positions::Learned {
        let hint = "rows and columns have sines and cosines each".to_owned();
        divides(EMBED_DIM.name, width, ("", 4), hint);
    }
}
