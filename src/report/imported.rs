//! The mark of features that were computed elsewhere, below every table and figure that shows results of them.

use std::collections::{BTreeMap, BTreeSet};

use super::selection::value_of;
use crate::models::Imported;
use crate::store::ResultRow;

/// Digits of a digest that the mark has.
const DIGITS: usize = 12;

/// One note for each model of the rows whose features were imported, in Markdown.
pub(super) fn notes<'a>(rows: impl IntoIterator<Item = &'a ResultRow>) -> Vec<String> {
    let mut models: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in rows {
        let weights = value_of(row, "weights").to_string();
        let Some(digests) = Imported::digests(&weights) else {
            continue;
        };
        let short = digests
            .into_iter()
            .map(|digest| format!("`{}`", digest.get(..DIGITS).unwrap_or(digest)));
        let model = value_of(row, "model").to_string();
        models.entry(model).or_default().extend(short);
    }
    let note = |(model, digests): (String, BTreeSet<String>)| {
        let files = if digests.len() == 1 {
            "a file with the BLAKE3 digest"
        } else {
            "files with the BLAKE3 digests"
        };
        let digests: Vec<String> = digests.into_iter().collect();
        format!(
            "Imported: the features of `{model}` were computed elsewhere, and read from {files} {}.",
            digests.join(", ")
        )
    };
    models.into_iter().map(note).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{row, with};

    #[test]
    fn imported_features_are_marked_by_model_and_digest() {
        let of = |model: &str, weights: &str| {
            with(
                row(0, 0.5),
                [("model", model.into()), ("weights", weights.into())],
            )
        };
        let train = "1a2b3c4d5e6f7890".repeat(4);
        let test = "0123456789abcdef".repeat(4);
        let rows = [
            of("unet", "synthetic"),
            of("dino", &format!("imported:{test}+{train}")),
            of("dino", &format!("imported:{test}+{train}")),
            of("mae", &format!("imported:{train}")),
            of("simclr", &format!("blake3:{train}")),
        ];
        assert_eq!(
            notes(rows.iter()),
            [
                "Imported: the features of `dino` were computed elsewhere, and read from files with the BLAKE3 digests `0123456789ab`, `1a2b3c4d5e6f`.",
                "Imported: the features of `mae` were computed elsewhere, and read from a file with the BLAKE3 digest `1a2b3c4d5e6f`."
            ]
        );
        assert!(notes(&rows[..1]).is_empty());
    }
}
