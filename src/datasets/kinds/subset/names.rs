//! Lists of the names of samples: which rows they mean.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use crate::datasets::listed::TextFile;
use crate::datasets::tree::Location;
use crate::datasets::{DatasetError, Sample};
use crate::text;

const REMEDY: &str = "each line is the file name of one sample of the split, such as `n01440764_10026.JPEG`, or its whole id";

/// How many samples a list names.
///
/// # Errors
/// A list that is missing or not text.
pub(super) fn count(path: &Path) -> Result<usize, DatasetError> {
    Ok(TextFile::read(&Location::file(path), REMEDY)?
        .lines()
        .count())
}

/// The rows of a split that a list names.
///
/// # Errors
/// A list that is missing or no text, that names nothing or one sample twice, or has lines that no sample is called by, or
/// several are: the first is named, with the number of them.
pub(super) fn rows(
    path: &Path,
    split: &str,
    samples: &[Sample],
) -> Result<HashSet<usize>, DatasetError> {
    let list = TextFile::read(&Location::file(path), REMEDY)?;
    // `None` where several samples have one file name.
    let mut row_of: HashMap<&str, Option<usize>> = HashMap::new();
    for (row, sample) in samples.iter().enumerate() {
        if sample.split == split {
            let name = file_name(&sample.id);
            row_of
                .entry(name)
                .and_modify(|row| *row = None)
                .or_insert(Some(row));
        }
    }
    for (row, sample) in samples.iter().enumerate() {
        if sample.split == split {
            row_of.insert(&sample.id, Some(row));
        }
    }
    let mut rows = HashSet::new();
    let mut unmatched = Vec::new();
    let mut lines = 0;
    for (line, text) in list.lines() {
        lines += 1;
        match row_of.get(text) {
            Some(Some(row)) => {
                if !rows.insert(*row) {
                    return Err(list.malformed(line, &format!("has `{text}` a second time")));
                }
            }
            Some(None) => {
                let problem =
                    format!("has `{text}`, which is the file name of several samples of `{split}`");
                return Err(list.malformed(line, &problem));
            }
            None => unmatched.push((line, text)),
        }
    }
    if let Some((line, text)) = unmatched.first() {
        let problem = format!(
            "has `{text}`, which is not a sample of `{split}`; {} of its {} lines are not",
            text::count(unmatched.len()),
            text::count(lines)
        );
        return Err(list.malformed(*line, &problem));
    }
    if rows.is_empty() {
        return Err(DatasetError::Malformed {
            path: path.to_owned(),
            problem: "it lists no sample".to_owned(),
            hint: REMEDY.to_owned(),
        });
    }
    Ok(rows)
}

/// What follows the last `/` of an id, or all of it.
fn file_name(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datasets::listed::fixture;
    use crate::message::Hint;

    fn sample(id: &str, split: &str) -> Sample {
        Sample {
            id: id.to_owned(),
            split: split.to_owned(),
            label: 0,
            content: String::new(),
        }
    }

    fn ask(text: &str) -> Result<Vec<usize>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("few.txt");
        std::fs::write(&path, text).unwrap();
        let samples = [
            sample("test/cat/1.jpg", "test"),
            sample("train/cat/1.jpg", "train"),
            sample("train/cat/2.jpg", "train"),
            sample("train/dog/2.jpg", "train"),
        ];
        let rows = rows(&path, "train", &samples).map_err(|error| error.explain().to_string())?;
        let mut rows: Vec<_> = rows.into_iter().collect();
        rows.sort_unstable();
        Ok(rows)
    }

    #[test]
    fn names_are_matched_to_one_sample_of_the_split_each() {
        assert_eq!(ask("1.jpg\ntrain/dog/2.jpg\n").unwrap(), [1, 3]);
        for (text, says) in [
            (
                "1.jpg\n3.jpg\n\n4.jpg\n",
                "line 2 has `3.jpg`, which is not a sample of `train`; 2 of its 3 lines",
            ),
            (
                "2.jpg\n",
                "line 1 has `2.jpg`, which is the file name of several",
            ),
            (
                "1.jpg\ntrain/cat/1.jpg\n",
                "line 2 has `train/cat/1.jpg` a second time",
            ),
            ("\n", "lists no sample"),
        ] {
            let error = ask(text).unwrap_err();
            assert!(error.contains(says) && error.contains("few.txt"), "{error}");
        }
    }

    #[test]
    #[ignore = "needs the annotation files of the owners"]
    fn the_published_lists_name_each_image_once_needs_data() {
        let folder = fixture::annotations("imagenet");
        let read = |name: &str| {
            let list = TextFile::read(&Location::file(folder.join(name)), REMEDY).unwrap();
            let names: Vec<String> = list.lines().map(|(_, name)| name.to_owned()).collect();
            let samples: Vec<_> = names
                .iter()
                .map(|name| {
                    let wnid = name.split('_').next().unwrap();
                    sample(&format!("train/{wnid}/{name}"), "train")
                })
                .collect();
            // The images themselves are not here: that they exist cannot be checked, that every line is one name can.
            let rows = rows(&folder.join(name), "train", &samples).unwrap();
            assert_eq!(rows.len(), names.len());
            names
        };
        let (one, ten) = (read("1percent.txt"), read("10percent.txt"));
        assert_eq!((one.len(), ten.len()), (12_811, 128_116));
        let classes = |names: &[String]| {
            let wnids = names
                .iter()
                .map(|name| name.split('_').next().unwrap().to_owned());
            wnids.collect::<HashSet<_>>().len()
        };
        assert_eq!((classes(&one), classes(&ten)), (1000, 1000));
    }
}
