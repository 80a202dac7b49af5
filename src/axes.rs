//! The axes that every experiment knows: what distinguishes results, declared once.
//!
//! `repro list axes`, the reference page, the check of `[report]`, the order of columns and the empty columns of SQL come from this list.
//! Beside these, every key that a file sweeps is an axis of that file's results; `graph/axes.rs` names them.

use serde::Serialize;

use crate::store::{AxisType, KnownColumn};

/// One axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Axis {
    /// Its name in tables, SQL and CSV.
    pub name: &'static str,
    /// What a column of this axis holds: integers, floating-point numbers or text.
    pub kind: AxisType,
    /// Its meaning, and when it is null.
    pub doc: &'static str,
}

const fn axis(name: &'static str, kind: AxisType, doc: &'static str) -> Axis {
    Axis { name, kind, doc }
}

/// Every axis that needs no sweep to be there, in the order in which axes are shown.
pub const WELL_KNOWN: &[Axis] = &[
    axis(
        "split",
        AxisType::Text,
        "Split that was scored, such as `test`.",
    ),
    axis("head", AxisType::Text, "Name of the head."),
    axis(
        "head_kind",
        AxisType::Text,
        "Kind of the head, such as `linear`.",
    ),
    axis("extraction", AxisType::Text, "Name of the extraction."),
    axis("model", AxisType::Text, "Name of the model."),
    axis(
        "weights",
        AxisType::Text,
        "Where the model's weights come from: `synthetic` or `initialization` for random weights, `blake3:` and 64 hexadecimal digits, `pretraining:` and as many, `imported:` and as many of each file for features that were computed elsewhere, or `none` for a model without any.",
    ),
    axis(
        "weights_seed",
        AxisType::Integer,
        "Seed of random weights; null for others.",
    ),
    axis("dataset", AxisType::Text, "Name of the dataset."),
    axis(
        "timestep",
        AxisType::Integer,
        "Timestep t of the noise; null for a model that reads images without noise.",
    ),
    axis(
        "block",
        AxisType::Integer,
        "Block b, numbered from 1 as in the paper.",
    ),
    axis(
        "pool",
        AxisType::Integer,
        "Side p of the pooled grid; null where nothing is pooled.",
    ),
    axis(
        "token",
        AxisType::Text,
        "What was taken of tokens: `class`, `mean` or `all`; null where there are none.",
    ),
    axis(
        "precision",
        AxisType::Text,
        "What the network computes in: `f32`, `bf16` or `f16`.",
    ),
    axis(
        "view",
        AxisType::Text,
        "View of the images, such as `center`.",
    ),
    axis(
        "draw",
        AxisType::Integer,
        "Which of several random draws; null where nothing is random.",
    ),
    axis(
        "noise_seed",
        AxisType::Integer,
        "Seed of the noise, and of what `preprocess` draws; null where nothing is random.",
    ),
    axis("seed", AxisType::Integer, "Seed of the head."),
    axis(
        "learning_rate",
        AxisType::Number,
        "Learning rate of the head; null for a head that is not trained in steps.",
    ),
    axis(
        "network_learning_rate",
        AxisType::Number,
        "Learning rate of the network below the head; null where it is frozen.",
    ),
    axis(
        "epochs",
        AxisType::Integer,
        "Epochs of training; null for a head that is not trained in steps.",
    ),
    axis(
        CHOSEN,
        AxisType::Text,
        "The axes whose values `choose` of the metric chose on the validation split, such as `block, pool`; null where nothing was chosen.",
    ),
    axis(
        CHOSEN_FROM,
        AxisType::Integer,
        "Among how many candidates it was chosen; null where nothing was chosen.",
    ),
    axis(
        AT_BORDER,
        AxisType::Text,
        "The chosen axes whose value is the smallest or the largest that was tried, such as `learning_rate`; null where there is none.",
    ),
    axis(
        "images",
        AxisType::Integer,
        "How many generated images a value is of; null where no images are compared with others.",
    ),
    axis(
        "reference",
        AxisType::Text,
        "Name of the dataset that generated images are compared with, or the path of the file with its moments; null for other metrics.",
    ),
    axis(
        "reference_split",
        AxisType::Text,
        "Split of the reference; null where there is none, and of a file.",
    ),
    axis(
        "reference_images",
        AxisType::Integer,
        "How many images the reference has; null where there is none, and of a file.",
    ),
    axis(
        "preprocess",
        AxisType::Text,
        "How generated images and those of the reference became squares; null for other metrics.",
    ),
    axis(
        "class",
        AxisType::Integer,
        "True class of the images that a value is of, from 0; null for a value of all classes.",
    ),
    axis(
        "predicted",
        AxisType::Integer,
        "Class that the head predicted of them; null for a value that does not tell these apart.",
    ),
];

/// The axes that were chosen, separated by a comma and a space.
pub const CHOSEN: &str = "chosen";

/// Among how many candidates a result was chosen.
pub const CHOSEN_FROM: &str = "chosen_from";

/// On which of the chosen axes the choice stands at the border of what was tried.
pub const AT_BORDER: &str = "at_border";

/// The axes that say how a result was chosen, and not what it is.
pub const OF_CHOICES: [&str; 3] = [CHOSEN, CHOSEN_FROM, AT_BORDER];

/// The axis whose value decides that of another one, which only repeats it in other words.
pub fn decided_by(axis: &str) -> Option<&'static str> {
    match axis {
        "weights" | "weights_seed" => Some("model"),
        "head_kind" => Some("head"),
        _ => None,
    }
}

/// What the axes of a metric over two sets of features begin with: `left_block` and `right_block`.
pub const PAIR: [&str; 2] = ["left_", "right_"];

/// The name without the prefix of one of two inputs.
pub fn without_prefix(name: &str) -> &str {
    let stripped = PAIR.iter().find_map(|prefix| name.strip_prefix(prefix));
    stripped.unwrap_or(name)
}

/// A key to sort axes by: in the order of [`WELL_KNOWN`], all others behind them by name; those of two inputs side by side.
pub fn order(name: &str) -> (usize, &str, &str) {
    let base = without_prefix(name);
    let position = WELL_KNOWN.iter().position(|axis| axis.name == base);
    (position.unwrap_or(WELL_KNOWN.len()), base, name)
}

/// The columns that the table `results` has before there is any result: the axes, and the fingerprints of heads and features.
pub fn columns() -> Vec<KnownColumn<'static>> {
    let axes = WELL_KNOWN.iter().map(|axis| (axis.name, axis.kind));
    let sources = ["head_fingerprint", "features_fingerprint"].map(|name| (name, AxisType::Text));
    axes.chain(sources)
        .map(|(name, kind)| KnownColumn { name, kind })
        .collect()
}

impl Axis {
    /// The type of its values in one word.
    pub fn type_name(&self) -> &'static str {
        match self.kind {
            AxisType::Integer => "integer",
            AxisType::Number => "number",
            AxisType::Text => "text",
        }
    }
}

impl Serialize for Axis {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut fields = serializer.serialize_struct("Axis", 3)?;
        fields.serialize_field("name", self.name)?;
        fields.serialize_field("type", self.type_name())?;
        fields.serialize_field("doc", self.doc)?;
        fields.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_of_two_inputs_stand_side_by_side_and_unknown_ones_last() {
        let mut names = [
            "head_k",
            "right_block",
            "epochs",
            "left_pool",
            "left_block",
            "dataset_fraction",
            "split",
        ];
        names.sort_by_key(|name| order(name));
        let expected = [
            "split",
            "left_block",
            "right_block",
            "left_pool",
            "epochs",
            "dataset_fraction",
            "head_k",
        ];
        assert_eq!(names, expected);
    }
}
