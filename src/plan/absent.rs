//! Inputs that are not on disk, for whose facts stands what the store remembers of them, or else published sizes.
//!
//! The identities of the latter name no content, so no artifact that the store has can be made from them: everything that reads them is
//! missing.

use std::fmt::Write;

use serde::Serialize;

use crate::datasets::SplitCount;
use crate::text::{bytes, count, plural};

/// An input that is not on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Absent {
    /// The name of the dataset, or of the model whose weights they are.
    pub name: String,
    /// The dataset that it is a part of; `None` where it has files of its own.
    pub of: Option<String>,
    /// Its root or path, as the experiment has it; empty for a part of another dataset.
    pub path: String,
    /// What was looked for and is missing.
    pub missing: String,
    /// The facts that the plan uses in its place.
    #[serde(flatten)]
    pub expected: Expected,
    /// The arguments of `repro` that download it, where that can be done or at least said how.
    pub fetch: Option<String>,
    /// Whether it is taken to be what the store remembers of it; otherwise the plan is an estimate.
    pub remembered: bool,
    /// Whether that command downloads it; otherwise it lists what has to be downloaded by hand.
    pub fetchable: bool,
}

/// What an input that is not on disk is taken to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "input", rename_all = "lowercase")]
pub enum Expected {
    /// A dataset whose images are not on disk.
    Dataset {
        /// How many classes it has.
        classes: usize,
        /// Its splits and their sizes.
        splits: Vec<SplitCount>,
        /// Where these numbers are from, such as "Table 5 of the paper".
        source: &'static str,
    },
    /// A file of weights; a plan does not depend on its size.
    Weights {
        /// Its published size, where it is known.
        bytes: Option<u64>,
    },
    /// Features that were computed elsewhere; a plan does not depend on their values.
    Features,
    /// Moments of reference features, which a metric reads.
    Moments,
}

/// The section of the plan for people; nothing where everything is on disk.
pub(super) fn render(absent: &[Absent]) -> String {
    let mut text = String::new();
    if absent.is_empty() {
        return text;
    }
    text.push_str("\nnot on disk:\n");
    for one in absent {
        let _ = match &one.expected {
            Expected::Dataset {
                classes,
                splits,
                source,
            } => {
                let splits: Vec<String> = splits
                    .iter()
                    .map(|split| format!("{} images in `{}`", count(split.samples), split.split))
                    .collect();
                let whence = match &one.of {
                    Some(of) => format!("of `{of}`"),
                    None => format!("in {}", one.path),
                };
                writeln!(
                    text,
                    "  dataset `{}` {whence}: {}, {}, by {source}",
                    one.name,
                    plural(*classes, "class"),
                    splits.join(", "),
                )
            }
            Expected::Weights { bytes: size } => {
                let size = size.map_or_else(String::new, |size| format!(", {}", bytes(size)));
                let source = if one.remembered {
                    ", by what the cache remembers"
                } else {
                    ""
                };
                writeln!(
                    text,
                    "  weights of model `{}`: {}{size}{source}",
                    one.name, one.path
                )
            }
            Expected::Moments => {
                writeln!(text, "  statistics of metric `{}`: {}", one.name, one.path)
            }
            Expected::Features => {
                let source = if one.remembered {
                    ", by what the cache remembers"
                } else {
                    ""
                };
                writeln!(
                    text,
                    "  features of model `{}`: {}{source}",
                    one.name, one.path
                )
            }
        };
        // What a part needs is said of the whole.
        if one.of.is_some() {
            continue;
        }
        let _ = match (&one.fetch, one.fetchable) {
            (None, _) => writeln!(text, "    {} is missing", one.missing),
            (Some(fetch), true) => writeln!(
                text,
                "    {} is missing; `repro {fetch}` downloads it",
                one.missing
            ),
            (Some(fetch), false) => writeln!(
                text,
                "    {} is missing; `repro {fetch}` lists what to download by hand",
                one.missing
            ),
        };
    }
    if absent.iter().any(|one| one.remembered) {
        text.push_str(
            "  What the cache remembers is planned as it was when it was last read. `repro run` needs all of it, `repro report` does not.\n",
        );
    }
    if absent.iter().any(|one| !one.remembered) {
        text.push_str(
            "  This plan is an estimate from published sizes. Jobs and artifacts get other names once the files are there.\n",
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_on_disk_is_named_with_its_size_and_the_command() {
        assert_eq!(render(&[]), "");
        let split = |split: &str, samples| SplitCount {
            split: split.to_owned(),
            samples,
        };
        let cub = Absent {
            name: "birds".to_owned(),
            of: None,
            path: "data/cub".to_owned(),
            missing: "data/cub/images.txt".to_owned(),
            expected: Expected::Dataset {
                classes: 200,
                splits: vec![split("train", 5994), split("test", 5794)],
                source: "Table 5 of the paper",
            },
            fetch: Some("data fetch cub".to_owned()),
            fetchable: true,
            remembered: false,
        };
        let weights = Absent {
            name: "unet".to_owned(),
            of: None,
            path: "w.pt".to_owned(),
            missing: "w.pt".to_owned(),
            expected: Expected::Weights { bytes: None },
            fetch: None,
            fetchable: false,
            remembered: true,
        };
        let record = serde_json::to_value(&cub).unwrap();
        assert_eq!(record["input"], "dataset");
        assert_eq!(record["splits"][1]["samples"], 5794);
        let text = render(&[cub, weights]);
        for line in [
            "dataset `birds` in data/cub: 200 classes, 5,994 images in `train`, 5,794 images in `test`, by Table 5 of the paper\n",
            "data/cub/images.txt is missing; `repro data fetch cub` downloads it\n",
            "weights of model `unet`: w.pt, by what the cache remembers\n    w.pt is missing\n",
            "planned as it was when it was last read",
            "an estimate from published sizes",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
