//! What looks wrong with the inputs of an experiment, and stops nothing.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::{Inputs, passed_over};
use crate::datasets::{OpenDataset, warnings};
use crate::graph::Experiment;
use crate::imaging::Image;
use crate::warning::Warning;

/// So many images of a dataset are looked at for colors.
const LOOKED_AT: usize = 4;

impl Inputs {
    /// What looks wrong with them, each once: files that are left out, classes that one split alone has, colors that a network drops.
    pub fn warnings(&self) -> Vec<Warning> {
        self.warnings.clone()
    }
}

/// What looks wrong with datasets, one for each of the experiment; `None` for those that were not opened. And with files of weights, whose
/// paths start from `base`.
pub(super) fn of(
    experiment: &Experiment,
    datasets: &[Option<Arc<OpenDataset>>],
    base: &Path,
) -> Vec<Warning> {
    let opened = |index: usize| datasets.get(index)?.as_ref();
    let mut found: Vec<Warning> = Vec::new();
    let mut add = |name: &str, warning: Warning| {
        let warning = Warning {
            message: format!("dataset `{name}`: {}", warning.message),
            ..warning
        };
        if !found.contains(&warning) {
            found.push(warning);
        }
    };
    for (node, open) in experiment.datasets.iter().zip(datasets) {
        for warning in open.iter().flat_map(|open| open.warnings()) {
            add(&node.name, warning.clone());
        }
    }
    // Many heads are trained on one dataset.
    let splits: BTreeSet<(usize, &str, &str)> = experiment
        .heads
        .iter()
        .map(|head| {
            let dataset = experiment.extractions[head.features].dataset;
            let training = &head.training;
            (dataset, &*training.train_split, &*training.test_split)
        })
        .collect();
    for (dataset, train, test) in splits {
        let Some(open) = opened(dataset) else {
            continue;
        };
        for warning in warnings::of_classes(&open.manifest, train, test) {
            add(&experiment.datasets[dataset].name, warning);
        }
    }
    let gray: BTreeSet<(usize, usize)> = experiment
        .extractions
        .iter()
        .filter(|one| experiment.models[one.model].model.input().channels == 1)
        .map(|one| (one.dataset, one.model))
        .collect();
    for (dataset, model) in gray {
        if opened(dataset).is_some_and(|open| has_colors(open)) {
            let model = &experiment.models[model].name;
            let warning = Warning {
                code: "data::colors-dropped",
                message: format!(
                    "its images have colors, and model `{model}` reads grays: the colors are dropped"
                ),
                hint: Some("take a network that reads three channels".to_owned()),
            };
            add(&experiment.datasets[dataset].name, warning);
        }
    }
    for node in &experiment.models {
        if let Some(warning) = passed_over::of(node, base) {
            let warning = Warning {
                message: format!("model `{}`: {}", node.name, warning.message),
                ..warning
            };
            if !found.contains(&warning) {
                found.push(warning);
            }
        }
    }
    found
}

/// Whether some image has a color, of a few that are spread over the dataset. One that cannot be read has none.
fn has_colors(open: &OpenDataset) -> bool {
    let rows = open.manifest.samples.len();
    let looked_at = (0..LOOKED_AT).map(|part| part * rows.saturating_sub(1) / (LOOKED_AT - 1));
    let looked_at: BTreeSet<usize> = looked_at.collect();
    let mut looked_at = looked_at.into_iter();
    looked_at.any(|row| open.image(row).is_ok_and(|image| is_colored(&image)))
}

fn is_colored(image: &Image) -> bool {
    let pixels = image.pixels().as_chunks::<3>().0;
    image.channels() == 3
        && pixels
            .iter()
            .any(|[red, green, blue]| red != green || green != blue)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grays_of_three_channels_have_no_colors() {
        assert!(!is_colored(&Image::color(2, 1, vec![1, 1, 1, 9, 9, 9])));
        assert!(is_colored(&Image::color(2, 1, vec![1, 1, 1, 9, 8, 9])));
        assert!(!is_colored(&Image::gray(3, 1, vec![1, 2, 3])));
    }
}
