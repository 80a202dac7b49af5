//! What a reader must know about a table or figure: how often each value was measured, on how many images, and why some are not there.

use std::collections::{BTreeMap, BTreeSet};

use super::{Cells, INTERVAL, Selection, Uncertainty, value_of};
use crate::report::axes;
use crate::report::comparison::Compared;
use crate::report::markdown;
use crate::report::number::{confidence, listed};
use crate::report::trace;
use crate::store::AxisValue;
use crate::text::plural;

/// What stands behind the numbers of one table or figure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spread {
    /// The fewest runs behind one number.
    pub fewest: usize,
    /// The most runs behind one number.
    pub most: usize,
    /// How the numbers were averaged, and what is shown beside them, for a caption that has `docs/concepts/statistics.md` beside it: "mean ±
    /// standard deviation over 3 seeds (0, 1, 2)".
    pub phrase: String,
    /// The same for a figure that stands alone, with the name of the method.
    pub brief: String,
    /// The same where no spread is shown: "mean over 3 seeds (0, 1, 2)".
    pub mean: String,
}

impl Spread {
    /// Describes the averaging of some cells that are shown with their deviations, or without anything.
    pub fn of(selection: &Selection<'_>, cells: &Cells<'_>) -> Self {
        Self::with(
            selection,
            cells,
            Uncertainty::Deviation,
            Compared::at(None, ""),
        )
    }

    /// Describes the averaging of some cells, and what is shown beside their means.
    pub fn with(
        selection: &Selection<'_>,
        cells: &Cells<'_>,
        shown: Uncertainty,
        compared: Compared<'_>,
    ) -> Self {
        let lengths = || cells.values().map(|cell| cell.rows.len());
        let (fewest, most) = (lengths().min().unwrap_or(0), lengths().max().unwrap_or(0));
        // What no row has cannot be averaged over.
        let known = axes::of(cells.values().flat_map(|cell| cell.rows.iter().copied()));
        let mut over = selection.question.over.clone();
        over.retain(|axis| known.contains(&axis.as_str()));
        let noun = if over.len() == 1 {
            over.first()
                .map_or_else(String::new, |axis| axes::label(axis))
        } else {
            "run".to_owned()
        };
        let values: BTreeSet<AxisValue> = match over.as_slice() {
            [only] => cells
                .values()
                .flat_map(|cell| &cell.rows)
                .map(|row| value_of(row, only))
                .collect(),
            _ => BTreeSet::new(),
        };
        let over_what = || {
            let most = plural(most, &noun);
            let count = if lengths().all(|length| length == fewest) {
                most
            } else {
                format!("{fewest} to {most}")
            };
            let names: Vec<String> = over.iter().map(|axis| axes::label(axis)).collect();
            let differing = if over.len() > 1 {
                format!(" that differ in {}", listed(&names))
            } else {
                in_brackets(&values)
            };
            format!("over {count}{differing}")
        };
        let mean = match most {
            0 => "no value is there yet".to_owned(),
            1 if over.is_empty() => "single values".to_owned(),
            1 => format!("one {noun} each{}", in_brackets(&values)),
            _ => format!("mean {}", over_what()),
        };
        let level = confidence();
        let those = if over == ["seed"] { "seeds" } else { "runs" };
        let is_crossed = compared.all(INTERVAL).any(|one| one.interval.is_some());
        let brief = match (shown, most) {
            (_, 0) => mean.clone(),
            (Uncertainty::Deviation, 1) if over.is_empty() => mean.clone(),
            (Uncertainty::Deviation, 1) => format!("{mean}, so that no spread is shown"),
            (Uncertainty::Deviation, _) => {
                format!("mean ± sample standard deviation (n − 1) {}", over_what())
            }
            (Uncertainty::Seeds, 1) => format!("{mean}, so that no interval is shown"),
            (Uncertainty::Seeds, _) => format!(
                "{mean}, with the {level} interval of the mean over the seeds (Student's t with n − 1 degrees of freedom)"
            ),
            (Uncertainty::Images, 2..) if is_crossed => {
                format!("{mean}, with the {level} interval over the scored images and the {those}")
            }
            (Uncertainty::Images, _) => {
                format!("{mean}, with the {level} interval over the scored images")
            }
        };
        let phrase = match (shown, most) {
            (Uncertainty::Deviation, 2..) => format!("mean ± standard deviation {}", over_what()),
            (Uncertainty::Seeds, 2..) => format!("{mean}, with the {level} interval of the mean"),
            (Uncertainty::Images, 2..) if !is_crossed => {
                format!(
                    "{mean}, with the mean of the {those}' {level} intervals over the scored images"
                )
            }
            (Uncertainty::Images, 1..) => brief.clone(),
            _ => mean.clone(),
        };
        Self {
            fewest,
            most,
            phrase,
            brief,
            mean,
        }
    }
}

/// A few values in brackets; nothing where they are none or many.
fn in_brackets(values: &BTreeSet<AxisValue>) -> String {
    let texts: Vec<String> = values.iter().map(ToString::to_string).collect();
    if texts.is_empty() || texts.len() > 10 {
        String::new()
    } else {
        format!(" ({})", texts.join(", "))
    }
}

impl Selection<'_> {
    /// On how many images each value was measured: "n = 1,000 test images of small"; `None` where nothing is counted.
    pub fn scored(&self) -> Option<String> {
        let mut counts: BTreeMap<(String, String), BTreeSet<u64>> = BTreeMap::new();
        for row in &self.rows {
            if let Some(counted) = row.counted {
                let place = ["split", "dataset"].map(|axis| value_of(row, axis).to_string());
                counts
                    .entry(place.into())
                    .or_default()
                    .insert(counted.scored);
            }
        }
        if counts.is_empty() && !self.rows.is_empty() {
            return None;
        }
        let phrases: Vec<String> = counts
            .iter()
            .flat_map(|((split, dataset), counts)| {
                counts.iter().map(move |count| {
                    plural(
                        usize::try_from(*count).unwrap_or(usize::MAX),
                        &format!("{split} image"),
                    ) + " of "
                        + dataset
                })
            })
            .collect();
        Some(match phrases.as_slice() {
            [] => "nothing was scored".to_owned(),
            several => format!("n = {}", listed(several)),
        })
    }

    /// What the numbers are, in Markdown: metric, unit, how they were averaged, and how many images each is out of.
    pub fn caption(&self, averaged: &str) -> String {
        let scored = self.scored();
        let scored = scored.map_or_else(String::new, |scored| {
            format!("; {}", markdown::escape(&scored))
        });
        format!(
            "{}, {}: {}{scored}.",
            markdown::code(&self.question.metric.value),
            markdown::escape(&self.unit.phrase()),
            markdown::escape(averaged),
        )
    }

    /// What all rows have in common, in words; the axes that are spread out or averaged over are none of it.
    pub fn fixed(&self, spread: &[String]) -> Vec<String> {
        let shown = |axis: &&str| {
            !spread
                .iter()
                .chain(&self.question.over)
                .any(|name| name == *axis)
        };
        let agreed = |axis: &str| {
            let values: BTreeSet<AxisValue> =
                self.rows.iter().map(|row| value_of(row, axis)).collect();
            let only = values.iter().next().filter(|_| values.len() == 1)?;
            if axes::is_absent(only) {
                return None;
            }
            let only = only.to_string();
            Some(format!("{} {}", axes::label(axis), trace::short(&only)))
        };
        let axes = axes::of(self.rows.iter().copied());
        axes.into_iter().filter(shown).filter_map(agreed).collect()
    }

    /// What a figure's caption states of results that are not there, in Markdown.
    pub fn absent(&self) -> Vec<String> {
        if self.missing.is_empty() {
            return Vec::new();
        }
        let reasons: BTreeSet<&str> = self
            .missing
            .iter()
            .map(|missing| missing.why.as_str())
            .collect();
        let reasons: Vec<&str> = reasons.into_iter().collect();
        let count = plural(self.missing.len(), "result");
        vec![format!(
            "{count} not shown: {}.",
            markdown::escape(&reasons.join("; "))
        )]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{input, pair, question, row, with};
    use crate::store::{Counted, ResultRow};

    #[test]
    fn one_seed_has_no_spread_and_several_are_counted() {
        let spread = vec!["timestep".to_owned()];
        let question = question("metric = \"top1\"");
        let one = input(vec![row(0, 0.5)]);
        let selection = question.put("table", &one).unwrap();
        let phrase = Spread::of(&selection, &selection.cells(&spread).unwrap()).phrase;
        assert_eq!(phrase, "one seed each (0)");

        let later = with(row(0, 0.7), [("timestep", 150_u32.into())]);
        let uneven = input(vec![row(0, 0.5), row(1, 0.6), later]);
        let selection = question.put("table", &uneven).unwrap();
        let described = Spread::of(&selection, &selection.cells(&spread).unwrap());
        assert_eq!((described.fewest, described.most), (1, 2));
        assert_eq!(
            described.phrase,
            "mean ± standard deviation over 1 to 2 seeds (0, 1)"
        );
    }

    #[test]
    fn different_numbers_of_images_are_all_named() {
        let question = question("metric = \"top1\"");
        let counted = Counted {
            correct: 0,
            scored: 999,
        };
        let fewer = ResultRow {
            counted: Some(counted),
            ..row(1, 0.5)
        };
        let uneven = input(vec![row(0, 0.5), fewer]);
        let selection = question.put("table", &uneven).unwrap();
        assert_eq!(
            selection.scored().unwrap(),
            "n = 999 test images of fashion and 1,000 test images of fashion"
        );
        let even = input(vec![row(0, 0.5)]);
        assert_eq!(
            question.put("table", &even).unwrap().scored().unwrap(),
            "n = 1,000 test images of fashion"
        );
    }

    #[test]
    fn what_is_not_counted_and_has_no_seed_is_not_spoken_of() {
        let question = question("metric = \"cka\"");
        let pairs = input(vec![pair(1, 2, 0.5), pair(1, 3, 0.25)]);
        let selection = question.put("figure", &pairs).unwrap();
        let axes = ["left_block", "right_block"].map(str::to_owned);
        let described = Spread::of(&selection, &selection.cells(&axes).unwrap());
        assert_eq!(
            selection.caption(&described.phrase),
            "`cka`, without a unit: single values."
        );
    }
}
