//! What the tables of all kinds of models have in common: where weights come from, and a preset instead of a shape.

use std::path::PathBuf;

use super::{ModelKind, WeightsSource};
use crate::spec::{Diagnostic, Fields, Key, Value, suggest};

/// The key that [`weights`] reads.
pub const WEIGHTS: &str = "weights";

/// The key that [`preset`] reads.
pub const PRESET: Key = Key::optional(
    "preset",
    "a preset's name",
    "none",
    "A network with a name; `repro list models` shows them. Other keys of the shape then stay out.",
);

const SYNTHETIC: &[Key] = &[Key::required(
    "synthetic",
    "an integer from 0",
    "Seed of the synthetic rule.",
)];

const PRETRAIN: &[Key] = &[Key::required(
    "pretrain",
    "the name of a pretrain",
    "The training that the weights come from.",
)];

/// Reads `weights = "file"`, `weights = { synthetic = 7 }` or `weights = { pretrain = "name" }`.
pub(super) fn weights(fields: &Fields<'_>) -> Option<WeightsSource> {
    let node = fields.raw(WEIGHTS)?;
    match &node.value {
        Value::Text(path) => Some(WeightsSource::File(PathBuf::from(path))),
        Value::Table(_) => {
            let table = fields.table(WEIGHTS)?;
            if table.has("pretrain") {
                table.check_keys(PRETRAIN, &[]);
                let name = table.text("pretrain")?;
                return Some(WeightsSource::Pretrained(name.value));
            }
            table.check_keys(SYNTHETIC, &[]);
            table.seed("synthetic").map(WeightsSource::Synthetic)
        }
        other => {
            fields.wrong_type_at(
                node.span,
                WEIGHTS,
                "a path, { synthetic = SEED } or { pretrain = NAME }",
                other,
            );
            None
        }
    }
}

/// Reads `preset`: its name, or `Some(None)` where the table has none and writes the shape out. Reports an unknown name, and every
/// one of the `shape` keys that stands beside a preset.
#[expect(
    clippy::option_option,
    reason = "an absent preset is another thing than a wrong one"
)]
pub(super) fn preset(
    kind: &dyn ModelKind,
    fields: &Fields<'_>,
    shape: &[Key],
) -> Option<Option<String>> {
    if !fields.has(PRESET.name) {
        return Some(None);
    }
    let name = fields.text(PRESET.name)?.value;
    let known = kind.presets();
    if !known.contains(&name) {
        fields.misfit(
            PRESET.name,
            "spec::unknown-preset",
            format!("there is no preset `{name}`"),
            suggest::hint(&name, known.iter().map(String::as_str)),
        );
        return None;
    }
    for key in shape.iter().filter(|key| fields.has(key.name)) {
        fields.misfit(
            key.name,
            "spec::preset-and-shape",
            format!(
                "`{}` of {} is decided by the preset",
                key.name,
                fields.context()
            ),
            Some("take the key out, or take `preset` out and write the whole shape".to_owned()),
        );
    }
    Some(Some(name))
}

/// Whether a table without a preset has all keys that its shape needs; reports those that are missing.
pub(super) fn has_shape(fields: &Fields<'_>, required: &[&str]) -> bool {
    let missing: Vec<String> = required
        .iter()
        .filter(|key| !fields.has(key))
        .map(|key| format!("`{key}`"))
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
