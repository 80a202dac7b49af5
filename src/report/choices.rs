//! What was chosen on the validation split, as a report lists it: from the results alone.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::axes;
use crate::axes::{AT_BORDER, CHOSEN, CHOSEN_FROM, OF_CHOICES, decided_by};
use crate::store::{AxisValue, ResultRow};

/// The axes that name what competes, where no other tells it apart.
const NAMES: [&str; 3] = ["head", "model", "dataset"];

/// The axis that tells draws of one model's weights apart.
const WEIGHTS_SEED: &str = "weights_seed";

/// One choice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ChoiceMade {
    /// What it was made for, such as "probe, diffusion, small".
    pub of: String,
    /// What was chosen, such as "block 8, pool 2".
    pub place: String,
    /// Among how many candidates.
    pub candidates: String,
    /// The chosen axes on which it is the smallest or the largest that was tried, in words; empty where there is none.
    pub at_border: String,
}

/// Where a chosen result stands, such as "block 8, pool 2"; axes that it does not have are left out.
pub fn place(row: &ResultRow) -> String {
    let chosen = axes::chosen(row);
    let pairs = chosen
        .iter()
        .filter_map(|axis| Some((axis, row.axis(axis)?)));
    let (names, values): (Vec<&String>, Vec<AxisValue>) = pairs.unzip();
    axes::phrases(&names, &values)
}

/// The choices behind some results, each once, whatever order the results are in.
pub fn choices(rows: &[ResultRow]) -> BTreeSet<ChoiceMade> {
    let chosen: Vec<&ResultRow> = rows
        .iter()
        .filter(|row| row.axes.contains_key(CHOSEN))
        .collect();
    let mut values: BTreeMap<&str, BTreeSet<&AxisValue>> = BTreeMap::new();
    for (axis, value) in chosen.iter().flat_map(|row| &row.axes) {
        values.entry(axis).or_default().insert(value);
    }
    let mut made = BTreeSet::new();
    for row in chosen {
        let text = |axis: &str| {
            row.axes
                .get(axis)
                .map(ToString::to_string)
                .unwrap_or_default()
        };
        let picked = axes::chosen(row);
        let names_it = |axis: &str| {
            let is_picked = picked.iter().any(|one| one == axis);
            let differs = values.get(axis).is_some_and(|values| values.len() > 1);
            // Features are often called as the head that reads them.
            let repeats = axis == "extraction" && row.axis(axis) == row.axis("head");
            (NAMES.contains(&axis) || differs)
                && !repeats
                && !is_picked
                && axis != "seed"
                && !OF_CHOICES.contains(&axis)
                && (decided_by(axis).is_none() || axis == WEIGHTS_SEED)
        };
        let named: Vec<&str> = axes::of([row])
            .into_iter()
            .filter(|axis| names_it(axis))
            .collect();
        let phrases = |names: &[&str]| {
            let pairs = names
                .iter()
                .filter_map(|axis| Some((*axis, row.axis(axis)?)));
            let (names, values): (Vec<&str>, Vec<AxisValue>) = pairs.unzip();
            axes::phrases(&names, &values)
        };
        let choice = ChoiceMade {
            of: phrases(&named),
            place: place(row),
            candidates: text(CHOSEN_FROM),
            at_border: axes::label(&text(AT_BORDER)),
        };
        // A head that has none of the chosen axes was its own only candidate: nothing was chosen.
        if !choice.place.is_empty() {
            made.insert(choice);
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{row, with};

    fn chosen(model: &str, block: u32, seed: u32, at_border: Option<&str>) -> ResultRow {
        let axes: [(&str, AxisValue); 4] = [
            ("model", model.into()),
            ("block", block.into()),
            (CHOSEN, "block, learning_rate".into()),
            (CHOSEN_FROM, 12_u32.into()),
        ];
        let mut row = with(row(seed.into(), 0.5), axes);
        row.axes.insert("learning_rate".to_owned(), 0.01.into());
        row.axes
            .extend(at_border.map(|axes| (AT_BORDER.to_owned(), axes.into())));
        row
    }

    #[test]
    fn each_choice_is_told_once_however_many_seeds_stand_behind_it() {
        let rows = [
            chosen("diffusion", 8, 0, None),
            chosen("diffusion", 8, 1, None),
            chosen("pixels", 1, 0, Some("block, learning_rate")),
            row(0, 0.25),
        ];
        let made: Vec<ChoiceMade> = choices(&rows).into_iter().collect();
        assert_eq!(made.len(), 2);
        assert!(made[0].of.contains("diffusion"), "{made:?}");
        assert_eq!(made[0].place, "block 8, learning rate 0.01");
        assert_eq!(
            (made[0].candidates.as_str(), made[0].at_border.as_str()),
            ("12", "")
        );
        assert_eq!(made[1].at_border, "block, learning rate");
        assert!(choices(&rows[3..]).is_empty());

        let mut alone = row(0, 0.5);
        alone.axes.remove("learning_rate");
        let axes = [
            (CHOSEN, AxisValue::from("network_learning_rate")),
            (CHOSEN_FROM, 1_u32.into()),
        ];
        assert!(choices(&[with(alone, axes)]).is_empty());
    }
}
