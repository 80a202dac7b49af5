//! Files of moments that metrics read in place of reference features.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{InputError, Inputs};
use crate::datasets::DatasetError;
use crate::graph::Experiment;
use crate::metrics::GivenMoments;
use crate::models::imported::moments;
use crate::plan::{Absent, Expected};

impl Inputs {
    /// The moments of a file, by its path as it is typed; `None` where it is not on disk.
    pub fn moments(&self, file: &Path) -> Option<&GivenMoments> {
        self.moments.get(file)
    }
}

/// Reads every file that a metric names, and says which cannot be read.
pub(super) fn read(
    experiment: &Experiment,
    base: &Path,
) -> (BTreeMap<PathBuf, GivenMoments>, Vec<InputError>) {
    let (mut found, mut errors) = (BTreeMap::new(), Vec::new());
    for node in &experiment.metrics {
        let Some(file) = node.inputs.file() else {
            continue;
        };
        if found.contains_key(file) {
            continue;
        }
        match moments::read(&base.join(file)) {
            Ok(stored) => {
                let given = GivenMoments {
                    name: file.display().to_string(),
                    digest: format!("blake3:{}", stored.digest),
                    arrays: stored.arrays,
                };
                found.insert(file.clone(), given);
            }
            Err(source) => errors.push(InputError::Moments {
                name: node.name.clone(),
                source,
            }),
        }
    }
    (found, errors)
}

/// The digests of files that are there.
pub(super) fn digests(moments: &BTreeMap<PathBuf, GivenMoments>) -> BTreeMap<PathBuf, String> {
    let all = moments.iter();
    all.map(|(file, given)| (file.clone(), given.digest.clone()))
        .collect()
}

/// The files that are not on disk, for a plan: their digests are made up of their paths. Other errors are left.
pub(super) fn absent(
    experiment: &Experiment,
    errors: Vec<InputError>,
    digests: &mut BTreeMap<PathBuf, String>,
) -> (Vec<Absent>, Vec<InputError>) {
    let (mut absent, mut left) = (Vec::new(), Vec::new());
    for error in errors {
        let InputError::Moments {
            name,
            source: DatasetError::Missing { path, .. },
        } = &error
        else {
            left.push(error);
            continue;
        };
        let mut nodes = experiment.metrics.iter();
        let node = nodes.find(|node| node.name == *name && node.inputs.file().is_some());
        let Some(file) = node.and_then(|node| node.inputs.file()) else {
            left.push(error);
            continue;
        };
        digests.insert(file.clone(), format!("absent:{}", file.display()));
        absent.push(Absent {
            name: name.clone(),
            of: None,
            path: file.display().to_string(),
            missing: path.display().to_string(),
            expected: Expected::Moments,
            fetch: None,
            remembered: false,
            fetchable: false,
        });
    }
    (absent, left)
}
