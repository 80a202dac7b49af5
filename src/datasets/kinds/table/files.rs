//! The files that a path with `*` stands for.

use std::path::{Path, PathBuf};

use crate::datasets::DatasetError;

const HINT: &str =
    "`files` is a path, or one with `*` in its last part, such as `data/train-*.parquet`";

/// The files of a pattern, sorted by name.
///
/// # Errors
/// A file or folder that is not there, a pattern that nothing matches.
pub(super) fn matching(pattern: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let missing = || DatasetError::Missing {
        path: pattern.to_owned(),
        hint: HINT.to_owned(),
    };
    let name = pattern
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(missing)?;
    if !name.contains('*') {
        return if pattern.is_file() {
            Ok(vec![pattern.to_owned()])
        } else if pattern.is_dir() {
            Err(a_folder(pattern))
        } else {
            Err(missing())
        };
    }
    let folder = pattern.parent().unwrap_or(Path::new("."));
    let failed = |source| DatasetError::io(folder, source, HINT);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let entry_name = path.file_name().and_then(|name| name.to_str());
        if entry_name.is_some_and(|entry_name| matches(name, entry_name)) && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    if found.is_empty() {
        return Err(missing());
    }
    Ok(found)
}

/// That a folder was named in place of files, with how its files are named.
fn a_folder(path: &Path) -> DatasetError {
    let names: Vec<String> = std::fs::read_dir(path)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    let of = |ending: &str| {
        names.iter().find(|name| name.ends_with(ending))?;
        let has = |split: &str| {
            names
                .iter()
                .any(|name| name.starts_with(split) && name.ends_with(ending))
        };
        let path = path.display();
        Some(if has("train") && has("test") {
            format!("{{ train = \"{path}/train*{ending}\", test = \"{path}/test*{ending}\" }}")
        } else {
            format!("\"{path}/*{ending}\"")
        })
    };
    DatasetError::Malformed {
        path: path.to_owned(),
        problem: "it is a folder".to_owned(),
        hint: match of(".parquet").or_else(|| of(".csv")) {
            Some(files) => format!("write `files = {files}`"),
            None => HINT.to_owned(),
        },
    }
}

/// Whether a name is like a pattern in which each `*` stands for anything.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    name.strip_prefix(first).is_some_and(|name| {
        let mut ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
        ends.any(|at| matches(rest, &name[at..]))
    })
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_anything() {
        for name in [
            "train-0.parquet",
            "train-.parquet",
            "train-ä-.parquet.parquet",
        ] {
            assert!(matches("train-*.parquet", name), "{name}");
        }
        for name in ["train.parquet", "train-0.csv", "xtrain-0.parquet"] {
            assert!(!matches("train-*.parquet", name), "{name}");
        }
        assert!(matches("*a*b", "xaxbxb") && !matches("*a*b", "bxa"));
    }
}
