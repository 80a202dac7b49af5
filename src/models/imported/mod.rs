//! Features that were computed elsewhere: their files, read without trusting them, and the rows that belong to a dataset's samples.
//!
//! [`FeatureFile`] is one open file: arrays (`tensors.rs` and `arrays.rs`: `.npy`, `.npz`, safetensors) or a table (`columns.rs`: Parquet,
//! Arrow).
//! Its first bytes decide what a file is, and never its name. `rows.rs` finds the row of each sample.
//!
//! # Shapes
//! Files hold `[N, D]`, `[N, L, D]` or `[N, C, H, W]`, one row a sample; a column of a table holds the values of a row one behind the other.

mod arrays;
mod choice;
mod columns;
pub mod moments;
mod numbers;
mod rows;
mod tensors;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use self::numbers::Values;
use super::TapShape;
use crate::checked_file::CheckedFile;
use crate::datasets::DatasetError;
#[cfg(feature = "torch")]
use crate::message::Message;

pub use rows::{Described, Place, assign};

/// How the identity of imported features begins, where that of weights names their digest.
pub const IMPORTED: &str = "imported:";

/// What stands between the digests of several files.
const AND: char = '+';

/// Features that were computed elsewhere, as an experiment declares them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Their files: one of all samples, or one for each split in alphabetical order.
    pub files: Vec<ImportedFile>,
    /// The array or the column that holds them; `None` for `features`, or the only one that there is.
    pub array: Option<String>,
    /// The array or the column that holds the samples' ids; `None` for `id` or `ids`, where there is one.
    pub ids: Option<String>,
    /// Whether rows whose ids the dataset does not have are left alone.
    pub skips_unknown_ids: bool,
    /// What one row holds.
    pub shape: TapShape,
}

/// One file of features.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedFile {
    /// The split whose samples it has; `None` for those of all splits.
    pub split: Option<String>,
    /// Relative to the folder that `repro` runs in.
    pub path: PathBuf,
}

/// What is said where features that were computed elsewhere are taken for a network.
#[cfg(feature = "torch")]
pub(crate) fn no_network() -> Message {
    Message::new("the features were computed elsewhere; only a network can be run")
}

impl Imported {
    /// The identity of the files, by the digests of their bytes in hexadecimal, in the order of [`Imported::files`].
    pub fn identity(digests: &[String]) -> String {
        format!("{IMPORTED}{}", digests.join(&AND.to_string()))
    }

    /// The digests that an identity names; `None` for the identity of weights.
    pub fn digests(identity: &str) -> Option<Vec<&str>> {
        let digests = identity.strip_prefix(IMPORTED)?;
        Some(digests.split(AND).collect())
    }

    /// The paths of the files, as messages show them.
    pub fn paths(&self) -> String {
        let paths: Vec<String> = self
            .files
            .iter()
            .map(|file| file.path.display().to_string())
            .collect();
        paths.join(", ")
    }

    /// Values of one row.
    fn width(&self) -> usize {
        let sizes = self.shape.sizes().into_iter();
        sizes.fold(1_usize, |all, size| all.saturating_mul(size as usize))
    }
}

/// An open file of features.
#[derive(Debug)]
pub struct FeatureFile {
    path: PathBuf,
    rows: usize,
    ids: Option<Vec<String>>,
    width: usize,
    values: Values,
}

/// What a file is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// How many rows it has, and which.
    Description,
    /// The numbers, too.
    Numbers,
}

impl FeatureFile {
    /// What a file holds, without its numbers.
    ///
    /// # Errors
    /// A file that cannot be read, is of another format, lacks the features, or has them in another shape or type.
    pub fn describe(
        base: &Path,
        file: &ImportedFile,
        imported: &Imported,
    ) -> Result<Described, DatasetError> {
        let path = base.join(&file.path);
        let open = File::open(&path).map_err(|source| DatasetError::io(&path, source, REMEDY))?;
        let found = if is_table(&open) {
            columns::open(&path, &open, imported, Need::Description)?
        } else {
            tensors::open(&path, &open, None, imported, Need::Description)?
        };
        Ok(Described {
            path: found.path,
            split: file.split.clone(),
            rows: found.rows,
            ids: found.ids,
        })
    }

    /// Opens a file whose bytes were checked. A table is read into memory; the numbers of tensors are read when they are asked for.
    ///
    /// # Errors
    /// As [`FeatureFile::describe`]; a file that changed meanwhile, and a table that takes too much memory.
    pub fn open(file: &CheckedFile, imported: &Imported) -> Result<Self, DatasetError> {
        let path = file.path();
        let found = if is_table(file.file()) {
            columns::open(path, file.file(), imported, Need::Numbers)?
        } else {
            tensors::open(path, file.file(), Some(file), imported, Need::Numbers)?
        };
        file.unchanged().map_err(|_| DatasetError::Changed {
            path: path.to_owned(),
        })?;
        Ok(found)
    }

    /// What it holds, for the samples of a split or of all.
    pub fn described(&self, split: Option<String>) -> Described {
        Described {
            path: self.path.clone(),
            split,
            rows: self.rows,
            ids: self.ids.clone(),
        }
    }

    /// Appends the values of a row, in f32: of f64 the nearest numbers.
    ///
    /// # Errors
    /// A row that the file does not have.
    pub fn read(&self, row: usize, into: &mut Vec<f32>) -> Result<(), DatasetError> {
        if self.values.read(row, self.width, into) {
            return Ok(());
        }
        Err(malformed(
            &self.path,
            format!("it has fewer rows than it says: row {row} is missing"),
        ))
    }

    /// Looks for a value that no head can be trained on.
    ///
    /// # Errors
    /// The first row with a value that is NaN or infinite.
    pub fn check_finite(&self) -> Result<(), DatasetError> {
        let mut values = Vec::with_capacity(self.width);
        for row in 0..self.rows {
            values.clear();
            self.read(row, &mut values)?;
            let Some(place) = values.iter().position(|value| !value.is_finite()) else {
                continue;
            };
            let ids = self.ids.as_ref();
            let id = ids.and_then(|ids| ids.get(row));
            let id = id.map_or_else(String::new, |id| format!(" (`{id}`)"));
            let what = match values.get(place) {
                Some(value) if value.is_nan() => "NaN",
                _ => "infinite in 32 bits",
            };
            return Err(DatasetError::Malformed {
                path: self.path.clone(),
                problem: format!(
                    "value {place} of row {row}{id}, both counted from 0, is {what}"
                ),
                hint: "every feature has to be a finite number; compute the row again, or leave its sample out of the dataset"
                    .to_owned(),
            });
        }
        Ok(())
    }
}

const REMEDY: &str = "`repro list kinds import` tells how the files have to be";

fn malformed(path: &Path, problem: String) -> DatasetError {
    DatasetError::Malformed {
        path: path.to_owned(),
        problem,
        hint: REMEDY.to_owned(),
    }
}

/// Whether a file begins as a table does; one that cannot be read is looked at as tensors, which says why.
fn is_table(file: &File) -> bool {
    let mut beginning = [0; 8];
    let length = file.read_at(&mut beginning, 0).unwrap_or_default();
    columns::Format::of(&beginning[..length]).is_some()
}
