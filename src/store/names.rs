//! What the files of artifacts are called, and where artifacts are: said once for those who write and those who read.

/// The table of a training's loss, with its learning rates and gradient norms.
pub const CURVE: &str = "curve";
/// The trained network of a pre-training.
pub const PRETRAINED_WEIGHTS: &str = "weights.safetensors";
/// The table of a head's epochs.
pub const CURVES: &str = "curves";
/// The table of what a head that is fitted to all samples minimized, iteration by iteration.
pub const OBJECTIVE: &str = "objective";
/// The table of a head's predictions, one row a sample of its test split.
pub const PREDICTIONS: &str = "predictions";
/// The table of a head's logits, where they are kept.
pub const LOGITS: &str = "logits";
/// The table of the logits of the validation split, with the true classes, where logits are kept and there is one.
pub const HELD_OUT_LOGITS: &str = "held-out-logits";
/// The table that a head is chosen by: one row with `epoch`, `loss` and `top1` on the validation split.
pub const SELECTION: &str = "selection";
/// The trained parameters of a head.
pub const HEAD_WEIGHTS: &str = "head.safetensors";
/// The table of a metric's values.
pub const RESULTS: &str = "results";

/// The file of a table, which may be named with its ending or without.
pub fn table_file(table: &str) -> String {
    format!(
        "{}.parquet",
        table.strip_suffix(".parquet").unwrap_or(table)
    )
}

/// The folder of an artifact from the folder of the store, with `/`. `kind` is the name of an
/// [`ArtifactKind`](super::ArtifactKind), and `fingerprint` has 64 hexadecimal digits.
pub fn artifact_path(kind: &str, fingerprint: &str) -> String {
    let folder = fingerprint.get(..2).unwrap_or(fingerprint);
    format!("artifacts/{kind}/{folder}/{fingerprint}")
}
