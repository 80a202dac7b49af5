//! What looks wrong with the classes of a dataset.

use std::collections::BTreeMap;

use super::Manifest;
use crate::text::{count, plural};
use crate::warning::Warning;

/// So many names are shown of a list.
const SHOWN: usize = 3;

/// What looks wrong with classes where a head is trained on one split and tested on another. Nothing where a split is empty, or the images
/// have no classes.
pub fn of_classes(manifest: &Manifest, train: &str, test: &str) -> Vec<Warning> {
    let (trained, tested) = (labels(manifest, train), labels(manifest, test));
    if manifest.classes.is_empty() || trained.is_empty() || tested.is_empty() || train == test {
        return Vec::new();
    }
    let mut warnings = Vec::new();
    let only_in = |one: &BTreeMap<u32, usize>, other: &BTreeMap<u32, usize>| -> Vec<(u32, usize)> {
        let only = one.iter().filter(|(label, _)| !other.contains_key(label));
        only.map(|(label, images)| (*label, *images)).collect()
    };
    let untrained = only_in(&tested, &trained);
    if !untrained.is_empty() {
        let images: usize = untrained.iter().map(|(_, images)| images).sum();
        let all: usize = tested.values().sum();
        warnings.push(Warning {
            code: "data::class-not-trained",
            message: format!(
                "{} of split `{test}` {} not in `{train}`: {}; {} of {} there cannot be predicted right",
                plural(untrained.len(), "class"),
                is_or_are(untrained.len()),
                names(manifest, &untrained),
                count(images),
                plural(all, "image"),
            ),
            hint: Some(format!(
                "add images of these classes to `{train}`, or take the classes out of `{test}`"
            )),
        });
    }
    let untested = only_in(&trained, &tested);
    if !untested.is_empty() {
        warnings.push(Warning {
            code: "data::class-not-tested",
            message: format!(
                "{} of split `{train}` {} not in `{test}`: {}; no result says how well a head knows them",
                plural(untested.len(), "class"),
                is_or_are(untested.len()),
                names(manifest, &untested),
            ),
            hint: Some(format!(
                "add images of these classes to `{test}`, or take the classes out of `{train}`"
            )),
        });
    }
    if let Some((label, _)) = trained.first_key_value().filter(|_| trained.len() == 1) {
        warnings.push(Warning {
            code: "data::one-class",
            message: format!(
                "all images of split `{train}` are of one class, {}: every head is right there",
                names(manifest, &[(*label, 0)])
            ),
            hint: Some("a head needs two classes at least".to_owned()),
        });
    }
    warnings
}

fn is_or_are(number: usize) -> &'static str {
    if number == 1 { "is" } else { "are" }
}

/// How many images of each label a split has.
fn labels(manifest: &Manifest, split: &str) -> BTreeMap<u32, usize> {
    let mut labels = BTreeMap::new();
    for sample in manifest.samples.iter().filter(|one| one.split == split) {
        *labels.entry(sample.label).or_default() += 1;
    }
    labels
}

/// The names of the first classes, and how many more there are.
fn names(manifest: &Manifest, labels: &[(u32, usize)]) -> String {
    let name = |(label, _): &(u32, usize)| {
        let name = manifest.classes.get(*label as usize);
        format!("`{}`", name.map_or("", String::as_str))
    };
    let shown: Vec<String> = labels.iter().take(SHOWN).map(name).collect();
    match labels.len().checked_sub(SHOWN) {
        Some(more @ 1..) => format!("{} and {} more", shown.join(", "), count(more)),
        _ => shown.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datasets::Sample;

    fn manifest(samples: &[(&str, u32)]) -> Manifest {
        let classes = ["ant", "bee", "cow"].map(str::to_owned).to_vec();
        let samples = samples
            .iter()
            .enumerate()
            .map(|(row, (split, label))| Sample {
                id: format!("{row}"),
                split: (*split).to_owned(),
                label: *label,
                content: String::new(),
            });
        Manifest::new(classes, samples.collect())
    }

    fn codes(samples: &[(&str, u32)]) -> Vec<&'static str> {
        let warnings = of_classes(&manifest(samples), "train", "test");
        warnings.iter().map(|one| one.code).collect()
    }

    #[test]
    fn classes_of_one_split_alone_are_told() {
        let whole = [("train", 0), ("train", 1), ("test", 0), ("test", 1)];
        assert!(codes(&whole).is_empty());
        let more = [&whole[..], &[("test", 2)]].concat();
        let warnings = of_classes(&manifest(&more), "train", "test");
        assert_eq!(
            warnings[0].message,
            "1 class of split `test` is not in `train`: `cow`; 1 of 3 images there cannot be predicted right"
        );
        assert_eq!(warnings.len(), 1);
        let more = [&whole[..], &[("train", 2)]].concat();
        assert_eq!(codes(&more), ["data::class-not-tested"]);
    }

    #[test]
    fn one_class_is_told_and_an_empty_split_is_not() {
        assert_eq!(codes(&[("train", 0), ("test", 0)]), ["data::one-class"]);
        assert!(codes(&[("train", 0), ("train", 1)]).is_empty());
    }
}
