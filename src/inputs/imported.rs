//! Features that were computed elsewhere: the digests of their files, and whether they fit the datasets that they are said to be of.
//! Numbers are not read here, so that what does not fit is an error before anything is computed.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{InputError, Reading, weights};
use crate::datasets::{DatasetError, Digester, OpenDataset};
use crate::graph::Experiment;
use crate::models::imported::{Described, FeatureFile, Imported, assign};

/// The identity of the files, as [`Facts::weights`](crate::plan::Facts::weights) has it.
///
/// # Errors
/// A file that cannot be read.
pub(super) fn identify(imported: &Imported, reading: &Reading<'_>) -> Result<String, DatasetError> {
    let digest = |path| reading.digester.digest_file(&reading.base.join(path));
    let digests = imported.files.iter().map(|file| digest(&file.path));
    Ok(Imported::identity(&digests.collect::<Result<Vec<_>, _>>()?))
}

/// Whether the rows of each model's files are those of the datasets that extractions name. Images that a run makes are left to the run.
pub(super) fn check(
    experiment: &Experiment,
    datasets: &[Option<Arc<OpenDataset>>],
    reading: &Reading<'_>,
    errors: &mut Vec<InputError>,
) {
    let pairs: BTreeSet<(usize, usize)> = experiment
        .extractions
        .iter()
        .map(|node| (node.model, node.dataset))
        .collect();
    for (model, dataset) in pairs {
        let node = &experiment.models[model];
        let Some(imported) = node.model.imported() else {
            continue;
        };
        let open = datasets.get(dataset).and_then(Option::as_ref);
        let Some(open) = open else { continue };
        let name = &experiment.datasets[dataset].name;
        let files = imported.files.iter();
        let files = files.map(|file| FeatureFile::describe(reading.base, file, imported));
        let assigned = files
            .collect::<Result<Vec<Described>, _>>()
            .and_then(|files| assign(name, &open.manifest, imported, &files));
        if let Err(source) = assigned {
            weights::add_error(errors, node, source);
        }
    }
}
