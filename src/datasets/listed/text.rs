//! Lists that are texts: one entry a line, its first word apart from the rest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::datasets::DatasetError;
use crate::datasets::tree::Location;
use crate::limits::LIST_FILE;

/// A list, whole in memory.
pub(in crate::datasets) struct TextFile {
    path: PathBuf,
    text: String,
    remedy: &'static str,
}

impl TextFile {
    /// Reads a list.
    ///
    /// # Errors
    /// A file that is missing, cannot be read, is far too long, or is not text.
    pub(in crate::datasets) fn read(
        location: &Location,
        remedy: &'static str,
    ) -> Result<Self, DatasetError> {
        let bytes = location.read(LIST_FILE, remedy)?;
        let path = location.path();
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self { path, text, remedy }),
            Err(_) => Err(DatasetError::Malformed {
                path,
                problem: "it is not a text".to_owned(),
                hint: remedy.to_owned(),
            }),
        }
    }

    /// The path that it was opened at.
    pub(in crate::datasets) fn path(&self) -> &Path {
        &self.path
    }

    /// The error of a line with this problem.
    pub(in crate::datasets) fn malformed(&self, line: usize, problem: &str) -> DatasetError {
        DatasetError::Malformed {
            path: self.path.clone(),
            problem: format!("line {line} {problem}"),
            hint: self.remedy.to_owned(),
        }
    }

    /// The lines that are not empty, with their numbers from 1, whatever the ends of lines are.
    pub(in crate::datasets) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().map(str::trim_end).enumerate();
        lines
            .map(|(index, line)| (index + 1, line))
            .filter(|(_, line)| !line.is_empty())
    }

    /// The lines as a first word and the rest, which may have spaces in it.
    pub(in crate::datasets) fn pairs(
        &self,
    ) -> impl Iterator<Item = Result<(usize, &str, &str), DatasetError>> {
        self.lines().map(|(number, line)| {
            let (first, rest) = line.split_once(' ').unwrap_or_default();
            if first.is_empty() || rest.is_empty() {
                Err(self.malformed(
                    number,
                    "does not have two entries with a space between them",
                ))
            } else {
                Ok((number, first, rest))
            }
        })
    }

    /// What follows each first word, with the number of its line.
    ///
    /// # Errors
    /// A line with one word alone, or a first word that was there before.
    pub(in crate::datasets) fn by_first_word(
        &self,
    ) -> Result<BTreeMap<&str, (usize, &str)>, DatasetError> {
        let mut map = BTreeMap::new();
        for pair in self.pairs() {
            let (number, first, rest) = pair?;
            if let Some((before, _)) = map.insert(first, (number, rest)) {
                return Err(self.malformed(
                    number,
                    &format!("has the id `{first}`, which line {before} has as well"),
                ));
            }
        }
        Ok(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Hint;

    fn read(bytes: &[u8]) -> Result<TextFile, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.txt");
        std::fs::write(&path, bytes).unwrap();
        TextFile::read(&Location::file(path), "get it again")
            .map_err(|error| error.explain().to_string())
    }

    #[test]
    fn lines_end_in_either_way_and_are_split_at_the_first_space() {
        let list = read(b"0056978 Boeing 717\r\n\r\n1025794 F-16A/B\n").unwrap();
        let pairs: Vec<_> = list.pairs().map(Result::unwrap).collect();
        assert_eq!(
            pairs,
            [(1, "0056978", "Boeing 717"), (3, "1025794", "F-16A/B")]
        );
        assert_eq!(list.by_first_word().unwrap()["1025794"], (3, "F-16A/B"));
    }

    #[test]
    fn what_is_malformed_is_named_by_its_line() {
        let list = read(b"1 a\n2\n").unwrap();
        let error = list.by_first_word().unwrap_err().explain().to_string();
        assert!(error.contains("line 2 does not have two"), "{error}");
        let list = read(b"1 a\n1 b\n").unwrap();
        let error = list.by_first_word().unwrap_err().explain().to_string();
        assert!(error.contains("line 2 has the id `1`"), "{error}");
        assert!(error.contains("hint: get it again"), "{error}");
        assert!(read(&[0xff, 0xfe]).err().unwrap().contains("not a text"));
    }
}
