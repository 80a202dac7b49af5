//! What the tables of all kinds of models have in common: where weights come from, and a preset instead of a shape.

use super::{INITIALIZATION, ModelKind, SYNTHETIC, WeightsSource};
use crate::spec::{
    AnyKey, Custom, Diagnostic, Fields, Key, Keys, Seed, Shape, Text, Value, Wanted, suggest,
};

/// The key that `weights` below reads.
pub const WEIGHTS: Key<Custom> = Key::custom(
    "weights",
    "a path, { synthetic = SEED }, { initialization = SEED } or { pretrain = NAME }",
)
.shapes(&[
    Shape::Value(&WEIGHTS_FILE),
    Shape::Only(&SYNTHETIC_SEED),
    Shape::Only(&INITIALIZATION_SEED),
    Shape::Only(&PRETRAIN),
]);
/// The shapes of `weights` of a network that no `[pretrain.NAME]` can train.
pub const PUBLISHED_OR_RANDOM: &[Shape] = &[
    Shape::Value(&WEIGHTS_FILE),
    Shape::Only(&SYNTHETIC_SEED),
    Shape::Only(&INITIALIZATION_SEED),
];
/// The same where it is a path.
const WEIGHTS_FILE: Key<Text> = Key::text("weights", "a path");
const SYNTHETIC_SEED: Key<Seed> = Key::seed(SYNTHETIC).doc("Seed of the synthetic rule.");
const INITIALIZATION_SEED: Key<Seed> =
    Key::seed(INITIALIZATION).doc("Seed of the network's own initialization.");
const PRETRAIN: Key<Text> =
    Key::text("pretrain", "the name of a pretrain").doc("The training that the weights come from.");

/// The key that `preset` below reads.
pub const PRESET: Key<Text> = Key::text("preset", "the name of a preset")
    .optional("none")
    .doc("A network with a name; `repro list models` shows them. Other keys of the shape then stay out.");

/// The key of a model that reads latents: the autoencoder that makes them.
pub const AUTOENCODER: Key<Text> = Key::text("autoencoder", "the name of a model")
    .doc("The model of kind `autoencoder` whose latents it reads. They are computed once for each image, whatever reads them.");

/// The key that `prefix` below reads.
pub const PREFIX: Key<Text> = Key::text("prefix", "the beginning of names")
    .optional("none")
    .doc("What stands before the network's own names of the tensors in the file of `weights`, such as `module.`; tensors whose names begin otherwise are left alone.");

/// Reads `prefix`; empty where it is absent. Reports one beside weights that are not in a file.
pub(super) fn prefix(fields: &Fields<'_>, weights: Option<&WeightsSource>) -> String {
    let Some(prefix) = fields.given(&PREFIX) else {
        return String::new();
    };
    if weights.is_some_and(|weights| !matches!(weights, WeightsSource::File(_))) {
        fields.invalid(
            PREFIX.name,
            "graph::model-misfit",
            format!(
                "`{}` of {} is about names in a file, and its weights are not in one",
                PREFIX.name,
                fields.context()
            ),
            Some("leave it out".to_owned()),
        );
    }
    prefix
}

/// Words that people write where they want random weights.
const RANDOM: [&str; 6] = [
    SYNTHETIC,
    INITIALIZATION,
    "random",
    "none",
    "untrained",
    "scratch",
];

/// Reads `weights = "file"`, `weights = { synthetic = 7 }`, `weights = { initialization = 7 }` or `weights = { pretrain = "name" }`.
pub(super) fn weights(fields: &Fields<'_>) -> Option<WeightsSource> {
    let node = fields.get(&WEIGHTS)?;
    match &node.value {
        Value::Text(word) if RANDOM.contains(&word.to_lowercase().as_str()) => {
            let rule = if word.eq_ignore_ascii_case(INITIALIZATION) {
                INITIALIZATION
            } else {
                SYNTHETIC
            };
            fields.invalid(
                WEIGHTS.name,
                "spec::out-of-range",
                format!(
                    "`weights = \"{word}\"` of {} is the path of a file",
                    fields.context()
                ),
                Some(format!(
                    "for random weights write `weights = {{ {rule} = 1 }}`; a file of that name is `./{word}`"
                )),
            );
            None
        }
        Value::Text(_) => fields
            .get(&WEIGHTS_FILE)
            .map(|path| WeightsSource::File(path.into())),
        Value::Table(_) => {
            let table = fields.table(WEIGHTS.name)?;
            if table.has(PRETRAIN.name) {
                table.check_keys(&[&PRETRAIN], &[]);
                return table.get(&PRETRAIN).map(WeightsSource::Pretrained);
            }
            if table.has(INITIALIZATION) {
                table.check_keys(&[&INITIALIZATION_SEED], &[]);
                let seed = table.get(&INITIALIZATION_SEED);
                return seed.map(WeightsSource::Initialization);
            }
            table.check_keys(&[&SYNTHETIC_SEED], &[]);
            table.get(&SYNTHETIC_SEED).map(WeightsSource::Synthetic)
        }
        other => {
            let words = WEIGHTS.describe().value;
            fields.wrong_type_at(node.span, WEIGHTS.name, (Wanted::Other, &words), other);
            None
        }
    }
}

/// Reports an initialization of a network whose own is not known here.
pub(super) fn refuse_initialization(fields: &Fields<'_>, weights: Option<&WeightsSource>) {
    if let Some(WeightsSource::Initialization(_)) = weights {
        fields.invalid(
            WEIGHTS.name,
            "graph::model-misfit",
            format!(
                "`{INITIALIZATION}` of {} does not apply: how the network begins its training is not known here",
                fields.context()
            ),
            Some("write `weights = { synthetic = 1 }`".to_owned()),
        );
    }
}

/// Reads `preset`: its name, or `Some(None)` where the table has none and writes the shape out. Reports an unknown name, and every
/// one of the `shape` keys that stands beside a preset.
#[expect(
    clippy::option_option,
    reason = "an absent preset is another thing than a wrong one"
)]
pub(super) fn preset(kind: &ModelKind, fields: &Fields<'_>, shape: Keys) -> Option<Option<String>> {
    if !fields.has(PRESET.name) {
        return Some(None);
    }
    let name = fields.get(&PRESET)?;
    let known = kind.presets();
    if !known.iter().any(|preset| preset.name == name) {
        fields.invalid(
            PRESET.name,
            "spec::unknown-preset",
            format!("unknown preset `{name}`"),
            suggest::hint(&name, known.iter().map(|preset| preset.name.as_str())),
        );
        return None;
    }
    for key in shape.iter().filter(|key| fields.has(key.name())) {
        fields.invalid(
            key.name(),
            "spec::preset-and-shape",
            format!(
                "`{}` of {} is decided by the preset",
                key.name(),
                fields.context()
            ),
            Some("take the key out, or take `preset` out and write the whole shape".to_owned()),
        );
    }
    Some(Some(name))
}

/// Whether a table without a preset has all keys that its shape needs; reports those that are missing.
pub(super) fn has_shape(fields: &Fields<'_>, required: Keys) -> bool {
    let missing: Vec<String> = required
        .iter()
        .filter(|key| !fields.has(key.name()))
        .map(|key| format!("`{}`", key.name()))
        .collect();
    if missing.is_empty() {
        return true;
    }
    fields.report(
        Diagnostic::new(
            "spec::missing-key",
            fields.span(),
            format!(
                "{} needs `preset`, or the whole shape: {} missing",
                fields.context(),
                missing.join(", ")
            ),
            "missing here",
        )
        .hint("`repro list models` shows the presets"),
    );
    false
}
