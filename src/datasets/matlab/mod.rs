//! Files of MATLAB, version 5 (`.mat`): arrays of numbers, texts, cells and structures, read without trusting the file.
//!
//! # Reference
//! "MAT-File Format", The MathWorks, the chapter on Level 5. A file is a header of 128 bytes and elements; an element is a tag
//! with a type and a length, and its data, filled up to 8 bytes. One that is compressed holds another one. An array is an element
//! of elements: flags, dimensions, a name, and then what its class asks for.
//!
//! # Deviations
//! Numbers become 64-bit floats, which is exact for all that labels and numbers of images need; imaginary parts are left out.
//! Sparse arrays, objects and functions are skipped. Lengths are compared with what is there before anything is set aside for
//! them, and how deep arrays are nested, and how much a file unpacks into, has a limit; see `elements`.

mod elements;

#[cfg(test)]
pub(super) mod fixture;

use std::path::{Path, PathBuf};

use super::DatasetError;
use super::tree::Location;

/// No file is longer; those that are read here have less than 1 MiB.
const MOST_BYTES: u64 = 1 << 25;

/// The value of a variable, or of a field or a cell of one.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Array {
    /// Numbers of any type and dimensions, column by column.
    Numbers(Vec<f64>),
    /// Characters.
    Text(String),
    /// Arrays in cells, column by column.
    Cells(Vec<Array>),
    /// Structures that all have the same fields.
    Structures {
        /// Names of the fields, in the order of the values of one structure.
        fields: Vec<String>,
        /// The fields of the first structure, then those of the second one.
        values: Vec<Array>,
    },
    /// A class that is not read.
    Other,
}

impl Array {
    /// `None` where it is not an array of numbers.
    pub(super) fn numbers(&self) -> Option<&[f64]> {
        match self {
            Self::Numbers(numbers) => Some(numbers),
            _ => None,
        }
    }

    /// One whole number.
    pub(super) fn whole(&self) -> Option<u32> {
        match self.numbers() {
            Some([number]) => to_whole(*number),
            _ => None,
        }
    }

    /// `None` where it is not a text.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// `None` where it is not cells, or a cell holds something other than a text.
    pub(super) fn texts(&self) -> Option<Vec<&str>> {
        match self {
            Self::Cells(cells) => cells.iter().map(Self::text).collect(),
            _ => None,
        }
    }

    /// A field of each structure.
    pub(super) fn field(&self, name: &str) -> Option<Vec<&Array>> {
        let Self::Structures { fields, values } = self else {
            return None;
        };
        let place = fields.iter().position(|field| field == name)?;
        let structures = values.chunks_exact(fields.len());
        Some(structures.filter_map(|values| values.get(place)).collect())
    }
}

/// A number that counts something.
pub(super) fn to_whole(number: f64) -> Option<u32> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the next line compares the result with the number"
    )]
    let whole = number as u32;
    #[expect(clippy::float_cmp, reason = "only whole numbers are wanted, exactly")]
    let same = f64::from(whole) == number;
    same.then_some(whole)
}

/// The variables of a file by name, in the order of the file.
#[derive(Debug)]
pub(super) struct Variables {
    path: PathBuf,
    remedy: &'static str,
    named: Vec<(String, Array)>,
}

impl Variables {
    /// Reads a file.
    ///
    /// # Errors
    /// A file that is missing, cannot be read, is too long, or is not a file of MATLAB's version 5.
    pub(super) fn read(location: &Location, remedy: &'static str) -> Result<Self, DatasetError> {
        let bytes = location.read(MOST_BYTES, remedy)?;
        let path = location.path();
        match elements::variables(&bytes) {
            Ok(named) => Ok(Self {
                path,
                remedy,
                named,
            }),
            Err(problem) => Err(DatasetError::Malformed {
                path,
                problem,
                hint: remedy.to_owned(),
            }),
        }
    }

    /// The path that it was opened at.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The error of a file with this problem.
    pub(super) fn malformed(&self, problem: String) -> DatasetError {
        DatasetError::Malformed {
            path: self.path.clone(),
            problem,
            hint: self.remedy.to_owned(),
        }
    }

    /// The variable of that name.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn get(&self, name: &str) -> Result<&Array, DatasetError> {
        let found = self.named.iter().find(|(other, _)| other == name);
        found
            .map(|(_, array)| array)
            .ok_or_else(|| self.malformed(format!("it has no variable `{name}`")))
    }

    /// The whole numbers of a variable, each at least 1, as MATLAB counts.
    ///
    /// # Errors
    /// There is no such variable, or it has something else.
    pub(super) fn counted(&self, name: &str) -> Result<Vec<u32>, DatasetError> {
        let Some(numbers) = self.get(name)?.numbers() else {
            return Err(self.malformed(format!("`{name}` has no numbers")));
        };
        let whole = numbers.iter().zip(1..).map(|(number, place)| {
            to_whole(*number).filter(|whole| *whole > 0).ok_or_else(|| {
                let says = format!("`{name}({place})` is {number}, which counts nothing from 1");
                self.malformed(says)
            })
        });
        whole.collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::fixture::{cells, compress, file, numbers, structures, text};
    use super::*;
    use crate::message::Hint;

    /// A file with every class, compressed and not.
    fn whole() -> Vec<u8> {
        let people = structures(
            "people",
            &["class", "fname"],
            &[
                numbers("", &[14.0]),
                text("", "00001.jpg"),
                numbers("", &[3.0]),
                text("", "00002.jpg"),
            ],
        );
        file(&[
            numbers("labels", &[1.0, 2.0, 102.0]),
            compress(&people),
            compress(&cells("list", &[text("", "a/b.jpg"), text("", "")])),
        ])
    }

    fn read(bytes: &[u8]) -> Result<Variables, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.mat");
        std::fs::write(&path, bytes).unwrap();
        Variables::read(&Location::file(path), "get it again")
            .map_err(|error| error.explain().to_string())
    }

    #[test]
    fn every_class_is_read() {
        let variables = read(&whole()).unwrap();
        assert_eq!(variables.counted("labels").unwrap(), [1, 2, 102]);
        let people = variables.get("people").unwrap();
        let classes: Vec<_> = people.field("class").unwrap();
        assert_eq!(classes[1].whole(), Some(3));
        assert_eq!(people.field("fname").unwrap()[0].text(), Some("00001.jpg"));
        assert_eq!(people.field("age"), None);
        let list = variables.get("list").unwrap();
        assert_eq!(list.texts().unwrap(), ["a/b.jpg", ""]);
        let error = variables.get("nothing").unwrap_err().explain().to_string();
        assert!(error.contains("no variable `nothing`") && error.contains("get it again"));
    }

    #[test]
    fn what_is_no_such_file_is_refused() {
        for (bytes, says) in [
            (b"<html>404</html>".to_vec(), "not a MATLAB 5 file"),
            (whole()[..130].to_vec(), "ends within"),
            (whole()[..whole().len() - 9].to_vec(), "ends within"),
        ] {
            let error = read(&bytes).err().unwrap();
            assert!(error.contains(says), "{error}");
        }
        let variables = read(&file(&[numbers("labels", &[1.0, 0.5])])).unwrap();
        let error = variables.counted("labels").unwrap_err().to_string();
        assert!(error.contains("`labels(2)` is 0.5"), "{error}");
        // Cells within cells, without end.
        let mut deep = numbers("", &[1.0]);
        for _ in 0..1000 {
            deep = cells("", &[deep]);
        }
        let error = read(&file(&[deep])).err().unwrap();
        assert!(error.contains("within each other"), "{error}");
        // Much out of little.
        let halves = compress(&numbers("halves", &vec![0.5; 1 << 23]));
        let error = read(&file(&[halves])).err().unwrap();
        assert!(error.contains("unpacks into more"), "{error}");
    }

    proptest! {
        #[test]
        fn damaged_files_are_read_or_refused(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            unpacked: bool,
            end in any::<prop::sample::Index>(),
        ) {
            // What is compressed has a checksum, so damage inside is tried on what is not.
            let mut bytes = if unpacked {
                let inside = cells("list", &[text("", "a/b.jpg"), numbers("", &[7.0, 8.0])]);
                let fields = [text("", "1.jpg"), numbers("", &[2.0])];
                file(&[inside, structures("people", &["fname", "class"], &fields)])
            } else {
                whole()
            };
            for (place, value) in &changes {
                let place = place.index(bytes.len());
                bytes[place] = *value;
            }
            let _ = elements::variables(&bytes);
            bytes.truncate(end.index(bytes.len()));
            let _ = elements::variables(&bytes);
        }
    }
}
