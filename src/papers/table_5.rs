//! What the paper says of its datasets: Table 5, in `data/table-5.toml`, built into the program.

use serde::Deserialize;

use crate::datasets::SplitCount;
use crate::text::count;

const TOML: &str = include_str!("../../data/table-5.toml");

/// A row of Table 5.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaperRow {
    /// What the paper calls the dataset.
    pub dataset: String,
    /// The kind of dataset that reads it.
    pub kind: String,
    /// How many classes the dataset has.
    pub classes: usize,
    /// How many training images there are; with `printed`, as the owners state it.
    pub train: usize,
    /// How many test images there are.
    pub test: usize,
    /// What its owners call the split of the images for testing.
    #[serde(default = "split_for_testing")]
    pub test_split: String,
    /// What the paper prints in place of `train`, which is then the number that the owners state.
    pub printed: Option<String>,
}

fn split_for_testing() -> String {
    "test".to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    row: Vec<PaperRow>,
}

/// The rows of Table 5.
///
/// # Errors
/// Only if the program was built from a broken file.
pub fn table_5() -> Result<Vec<PaperRow>, toml::de::Error> {
    Ok(toml::from_str::<List>(TOML)?.row)
}

/// How a dataset compares with its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountComparison {
    /// What differs, such as "1,500 images for training, not 5,994".
    pub differences: Vec<String>,
    /// The splits of the row that the dataset lacks altogether.
    pub lacking: Vec<&'static str>,
}

impl CountComparison {
    /// Whether everything that is there is as in the paper.
    pub fn matches(&self) -> bool {
        self.differences.is_empty()
    }
}

impl std::fmt::Display for CountComparison {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lacking = self
            .lacking
            .iter()
            .map(|split| format!("no images for {split} here"));
        let parts: Vec<String> = self.differences.iter().cloned().chain(lacking).collect();
        match (self.matches(), parts.is_empty()) {
            (true, true) => formatter.write_str("matches Table 5"),
            (true, false) => write!(
                formatter,
                "matches Table 5 as far as it goes: {}",
                parts.join("; ")
            ),
            (false, _) => write!(formatter, "differs from Table 5: {}", parts.join("; ")),
        }
    }
}

impl PaperRow {
    /// The row that a dataset belongs to.
    pub fn find<'a>(rows: &'a [Self], kind: &str, classes: usize) -> Option<&'a Self> {
        let of_kind = || rows.iter().filter(|row| row.kind == kind);
        match of_kind().count() {
            1 => of_kind().next(),
            _ => of_kind().find(|row| row.classes == classes),
        }
    }

    /// The row of a dataset that is not on disk, so that its classes cannot be counted: the one of its kind, or where a kind has
    /// several, the one of its name.
    pub fn expected<'a>(rows: &'a [Self], kind: &str, name: &str) -> Option<&'a Self> {
        let mut of_kind = rows.iter().filter(|row| row.kind == kind);
        let (first, second) = (of_kind.next()?, of_kind.next());
        if second.is_none() {
            return Some(first);
        }
        let is_named = |row: &&Self| row.kind == kind && row.dataset.eq_ignore_ascii_case(name);
        rows.iter().find(is_named)
    }

    /// Its splits as a dataset of its kind has them.
    pub fn splits(&self) -> Vec<SplitCount> {
        let split = |split: &str, samples| SplitCount {
            split: split.to_owned(),
            samples,
        };
        vec![
            split("train", self.train),
            split(&self.test_split, self.test),
        ]
    }

    /// Compares a dataset; its test images are those of `test`, or else of `val`, as for ImageNet.
    pub fn compare(&self, classes: usize, splits: &[SplitCount]) -> CountComparison {
        let mut verdict = CountComparison {
            differences: Vec::new(),
            lacking: Vec::new(),
        };
        if classes != self.classes {
            let difference = format!("{} classes, not {}", count(classes), count(self.classes));
            verdict.differences.push(difference);
        }
        let sides = [
            ("training", train_images(splits), self.train),
            ("testing", test_images(splits), self.test),
        ];
        for (what, found, wanted) in sides {
            match found {
                None => verdict.lacking.push(what),
                Some(found) if found == wanted => {}
                Some(found) => {
                    let difference =
                        format!("{} images for {what}, not {}", count(found), count(wanted));
                    verdict.differences.push(difference);
                }
            }
        }
        verdict
    }
}

/// Images of the split `train`; `None` where there is no such split.
pub fn train_images(splits: &[SplitCount]) -> Option<usize> {
    images_of(splits, "train")
}

/// The images for testing: those of `test`, or else of `val`.
pub fn test_images(splits: &[SplitCount]) -> Option<usize> {
    images_of(splits, "test").or_else(|| images_of(splits, "val"))
}

fn images_of(splits: &[SplitCount], name: &str) -> Option<usize> {
    let split = splits.iter().find(|split| split.split == name);
    split.map(|split| split.samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn splits(counts: &[(&str, usize)]) -> Vec<SplitCount> {
        let counts = counts.iter().map(|(split, samples)| SplitCount {
            split: (*split).to_owned(),
            samples: *samples,
        });
        counts.collect()
    }

    #[test]
    fn every_row_is_of_a_kind_and_found() {
        let rows = table_5().unwrap();
        assert_eq!(rows.len(), 8);
        for row in &rows {
            assert!(
                crate::datasets::ALL
                    .iter()
                    .any(|kind| kind.doc.name == row.kind)
            );
            assert_eq!(PaperRow::find(&rows, &row.kind, row.classes), Some(row));
        }
        assert_eq!(PaperRow::find(&rows, "imagenet", 100), None);
        assert_eq!(PaperRow::find(&rows, "cub", 50).unwrap().dataset, "CUB");
        assert_eq!(PaperRow::find(&rows, "cifar10", 10), None);
    }

    #[test]
    fn what_is_not_on_disk_has_the_row_of_its_kind_or_of_its_name() {
        let rows = table_5().unwrap();
        let expected = |kind, name| PaperRow::expected(&rows, kind, name);
        assert_eq!(expected("cub", "birds").unwrap().dataset, "CUB");
        let fifty = expected("imagenet", "imagenet-50").unwrap();
        assert_eq!(fifty.splits(), splits(&[("train", 64_274), ("val", 2500)]));
        assert_eq!(expected("imagenet", "mine"), None);
        assert_eq!(expected("cifar10", "cifar10"), None);
        for row in &rows {
            assert!(row.compare(row.classes, &row.splits()).matches());
        }
    }

    #[test]
    fn differences_are_told_and_what_is_not_there_is_none() {
        let rows = table_5().unwrap();
        let cub = PaperRow::find(&rows, "cub", 200).unwrap();
        let whole = cub.compare(200, &splits(&[("train", 5994), ("test", 5794)]));
        assert_eq!(whole.to_string(), "matches Table 5");
        let cut = cub.compare(50, &splits(&[("train", 1500), ("test", 5794)]));
        assert_eq!(
            cut.to_string(),
            "differs from Table 5: 50 classes, not 200; 1,500 images for training, not 5,994"
        );
        let imagenet = PaperRow::find(&rows, "imagenet", 1000).unwrap();
        let half = imagenet.compare(1000, &splits(&[("val", 50_000)]));
        assert!(half.matches());
        assert_eq!(
            half.to_string(),
            "matches Table 5 as far as it goes: no images for training here"
        );
    }
}
