//! `repro list axes`: what tells results apart.

use std::fmt::Write;

use super::{Failure, print_json, print_text, table};
use crate::axes::WELL_KNOWN;

/// What holds for the axes that no list has.
const OTHERS: &str = "Every other key that a file sweeps is an axis as well, named after its section and itself: `head_k`, \
    `dataset_fraction`, `pretrain_steps`. Of values that are tables, each key that varies is one, such as `head_optimizer_weight_decay`; \
    values that are lists are shown as text. The axes of the dataset that a network was trained on begin with `pretrain_dataset_`, those of \
    the dataset that another one is made from with `dataset_of_`, those of samples that are the images of a dataset, and of the model that \
    makes them, with `samples_`, and those of the two inputs of a metric over pairs with `left_` and `right_`. Where a kind does not have an axis, its value is null in SQL and reads `none` in reports.";

pub(super) fn list(json: bool) -> Result<(), Failure> {
    if json {
        return print_json(&WELL_KNOWN);
    }
    let rows: Vec<Vec<String>> = WELL_KNOWN
        .iter()
        .map(|axis| {
            [axis.name, axis.type_name(), axis.doc]
                .map(str::to_owned)
                .into()
        })
        .collect();
    let table = table::render(&["axis", "type", "what it says"], &rows);
    print_text(&format!("{table}\n\n{}", OTHERS.replace('`', "")))
}

/// The part of the reference page.
pub(super) fn markdown() -> String {
    let mut text =
        "### axes of results\n\n| axis | type | what it says |\n| :--- | :--- | :--- |\n"
            .to_owned();
    for axis in WELL_KNOWN {
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "| `{}` | {} | {} |",
            axis.name,
            axis.type_name(),
            axis.doc
        );
    }
    let _ = writeln!(text, "\n{OTHERS}");
    text
}
