//! `table`: images and labels in the columns of Parquet or CSV files, as Hugging Face stores datasets of images.
//!
//! # Reference
//! Files that the library `datasets` of Hugging Face writes: a column of structures with the fields `bytes` and `path`, a column
//! of class numbers, and the names of the classes under the key `huggingface` of the schema's metadata.
//! `columns.rs` reads everything but images, `parquet.rs` images that are in the files themselves.
//!
//! # Deviations
//! A structure's `path` is not read: images are in `bytes`, or are files of their own that a column of paths names.

mod columns;
mod files;
mod images;
mod pages;
mod parquet;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use crate::bug::Bug;
use crate::datasets::listed::{TextFile, stays_inside};
use crate::datasets::tree::Location;
use crate::datasets::{
    Dataset, DatasetError, DatasetKind, Digester, Environment, Manifest, OpenDataset, Sample,
};
use crate::limits;
use crate::spec::tree::Value;
use crate::spec::{Custom, Fields, Key, Kind, KindDoc, Map, Shape, Text};
use columns::{Columns, ImageColumn, Labels};
use images::{Images, Place};
use parquet::ImageFile;

const FILE: Key<Text> = Key::text("files", "a path");
const FILES: Key<Custom> = Key::custom("files", "a path, or a table of split = path")
.shapes(&[Shape::Value(&FILE), Shape::Named(&FILE)]).doc(
    "Files that end in `.parquet` or `.csv`, such as `{ train = \"data/train-*.parquet\", test = \"data/test-*.parquet\" }`; a `*` in the last part of a path stands for anything. Relative to the folder that `repro` runs in.",
);
const IMAGE: Key<Text> = Key::text("image", "the name of a column")
    .default("image")
    .doc("The images: their bytes, structures with a field `bytes`, or paths of files.");
const LABEL: Key<Text> = Key::text("label", "the name of a column")
    .default("label")
    .doc("The classes: numbers from 0, or names.");
const SPLIT: Key<Text> = Key::text("split", "the name of a column")
    .default("split")
    .doc("The splits, where `files` is one path.");
const ID: Key<Text> = Key::text("id", "the name of a column").optional("none").doc(
    "Names of the samples, each once; without it a sample is called by its split and its place in it, such as `train/00000017`.",
);
const ROOT: Key<Text> = Key::text("root", "a folder")
    .optional("that of each file")
    .doc("What paths of images count from.");
const CLASSES: Key<Text> = Key::text("classes", "a path")
    .optional("what the files say")
    .doc("A list of the names of the classes, one a line, by their numbers.");

/// `kind = "table"`.
pub const KIND: DatasetKind = Kind::new(
    KindDoc {
        name: "table",
        summary: "Images and labels in the columns of Parquet or CSV files, such as the Parquet files of a dataset of images on Hugging Face.",
        keys: &[&FILES, &IMAGE, &LABEL, &SPLIT, &ID, &ROOT, &CLASSES],
        shared: &[],
    },
    parse,
);

/// How many rows of some columns of a Parquet file may be read at once; looks at what their pages unpack into.
///
/// # Errors
/// A page that unpacks into too much, and more rows than a table has.
pub(crate) fn rows_at_once(
    path: &Path,
    file: &std::fs::File,
    metadata: &::parquet::arrow::arrow_reader::ArrowReaderMetadata,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<usize, DatasetError> {
    Ok(parquet::rows_at_once(path, file, metadata, is_wanted)?.rows)
}

const REMEDY: &str = "`repro list kinds table` tells how the files have to be";

fn parse(fields: &Fields<'_>) -> Option<Arc<dyn Dataset>> {
    Some(Arc::new(ImageTable {
        files: files(fields)?,
        image: fields.get(&IMAGE)?,
        label: fields.get(&LABEL)?,
        split: fields.get(&SPLIT)?,
        id: fields.get(&ID),
        root: fields.get(&ROOT).map(PathBuf::from),
        classes: fields.get(&CLASSES).map(PathBuf::from),
    }))
}

/// Reads `files`: patterns, each with its split where the key is a table.
fn files(fields: &Fields<'_>) -> Option<Vec<(Option<String>, PathBuf)>> {
    const ONE: Key<Text> = Key::text(FILES.name, "a path");
    const BY_SPLIT: Key<Map<Text>> = Key::map(FILES.name, "split", Text("a path"));
    if let Value::Table(_) = fields.get(&FILES)?.value {
        let files = fields.get(&BY_SPLIT)?.into_iter();
        return Some(
            files
                .map(|(split, path)| (Some(split), path.into()))
                .collect(),
        );
    }
    Some(vec![(None, fields.get(&ONE)?.into())])
}

#[derive(Debug)]
struct ImageTable {
    /// Patterns of files, each with its split, or without where a column has it.
    files: Vec<(Option<String>, PathBuf)>,
    image: String,
    label: String,
    split: String,
    id: Option<String>,
    root: Option<PathBuf>,
    classes: Option<PathBuf>,
}

/// A file whose columns were read.
struct Part {
    path: PathBuf,
    split: Option<String>,
    columns: Columns,
}

impl Part {
    fn malformed(&self, problem: String) -> DatasetError {
        malformed(&self.path, problem)
    }
}

fn malformed(path: &Path, problem: String) -> DatasetError {
    DatasetError::Malformed {
        path: path.to_owned(),
        problem,
        hint: REMEDY.to_owned(),
    }
}

impl Dataset for ImageTable {
    fn kind(&self) -> &'static str {
        KIND.doc.name
    }

    fn splits(&self) -> Option<Vec<String>> {
        self.files.iter().map(|(split, _)| split.clone()).collect()
    }

    fn open(
        &self,
        environment: &Environment<'_>,
        _upstream: Option<Arc<OpenDataset>>,
    ) -> Result<OpenDataset, DatasetError> {
        let Environment { base, digester, .. } = *environment;
        let mut found = Vec::new();
        for (split, pattern) in &self.files {
            for path in files::matching(&base.join(pattern))? {
                found.push((split.clone(), path));
            }
        }
        let parts: Vec<Part> = found
            .into_par_iter()
            .map(|(split, path)| {
                let names = columns::Names {
                    image: &self.image,
                    label: &self.label,
                    split: split.is_none().then_some(self.split.as_str()),
                    id: self.id.as_deref(),
                };
                let columns = columns::read(&path, &names)?;
                Ok(Part {
                    path,
                    split,
                    columns,
                })
            })
            .collect::<Result<_, DatasetError>>()?;
        let classes = self.class_names(base, &parts)?;
        let (mut samples, mut places, mut image_files) = (Vec::new(), Vec::new(), Vec::new());
        let mut counted: Vec<(String, usize)> = Vec::new();
        let mut seen = HashSet::new();
        for part in parts {
            let labels = labels_of(&part, &classes)?;
            let contents = self.contents(base, &part, digester, &mut image_files, &mut places)?;
            for (row, (label, content)) in labels.into_iter().zip(contents).enumerate() {
                let split = part
                    .split
                    .as_ref()
                    .or_else(|| part.columns.splits.as_ref()?.get(row));
                let split = split.cloned();
                let split = split.ok_or_else(|| Bug::new(format!("row {row} has no split")))?;
                let at = counted.iter().position(|(name, _)| *name == split);
                let at = at.unwrap_or_else(|| {
                    counted.push((split.clone(), 0));
                    counted.len() - 1
                });
                let id = match part.columns.ids.as_ref().and_then(|ids| ids.get(row)) {
                    Some(id) => id.clone(),
                    None => format!("{split}/{:08}", counted[at].1),
                };
                counted[at].1 += 1;
                if self.id.is_some() && !seen.insert(id.clone()) {
                    let problem = format!(
                        "row {} has the id `{id}`, which another row has as well",
                        row + 1
                    );
                    return Err(part.malformed(problem));
                }
                samples.push(Sample {
                    id,
                    split,
                    label,
                    content,
                });
            }
        }
        if samples.is_empty() {
            let path = self.files.first().map(|(_, path)| base.join(path));
            return Err(malformed(
                &path.unwrap_or_default(),
                "it has no rows".to_owned(),
            ));
        }
        let ids = samples.iter().map(|sample| sample.id.clone()).collect();
        Ok(OpenDataset::new(
            Manifest::new(classes, samples),
            Box::new(Images::new(ids, places, image_files)),
        ))
    }
}

impl ImageTable {
    /// The names of the classes: those of the list, else those in the metadata of the files, else what the labels are.
    fn class_names(&self, base: &Path, parts: &[Part]) -> Result<Vec<String>, DatasetError> {
        if let Some(path) = &self.classes {
            let list = TextFile::read(
                &Location::file(base.join(path)),
                "`classes` has the name of a class on each line",
            )?;
            return Ok(list.lines().map(|(_, name)| name.to_owned()).collect());
        }
        let mut stated = parts.iter().filter_map(|part| {
            let classes = part.columns.classes.as_ref()?;
            Some((part, classes))
        });
        if let Some((first, classes)) = stated.next() {
            return match stated.find(|(_, others)| *others != classes) {
                None => Ok(classes.clone()),
                Some((other, _)) => Err(other.malformed(format!(
                    "its metadata has other names of classes than {}",
                    first.path.display()
                ))),
            };
        }
        let (mut names, mut last) = (BTreeSet::new(), None);
        for part in parts {
            match &part.columns.labels {
                Labels::Names(labels) => names.extend(labels.iter().cloned()),
                Labels::Numbers(labels) => last = last.max(labels.iter().max().copied()),
            }
        }
        match (names.is_empty(), last) {
            (false, Some(_)) => Err(parts.first().map_or_else(
                || DatasetError::Selection("there are no files".into()),
                |part| {
                    part.malformed(format!(
                        "the column `{}` has numbers in some files and names in others",
                        self.label
                    ))
                },
            )),
            (false, None) => Ok(names.into_iter().collect()),
            (true, last) => Ok((0..=last.unwrap_or(-1))
                .take(limits::CLASSES)
                .map(|label| label.to_string())
                .collect()),
        }
    }

    /// The digests of the images of a file; where each is, is added to `places`.
    fn contents(
        &self,
        base: &Path,
        part: &Part,
        digester: &dyn Digester,
        image_files: &mut Vec<ImageFile>,
        places: &mut Vec<Place>,
    ) -> Result<Vec<String>, DatasetError> {
        match &part.columns.images {
            ImageColumn::Bytes => {
                let file = ImageFile::open(&part.path, &self.image)?;
                let question = format!("BLAKE3 of each image in the column {}", self.image);
                let digests =
                    digester.digest_parts(&part.path, &question, part.columns.rows, &mut || {
                        file.digests()
                    })?;
                places.extend((0..digests.len()).map(|row| Place::Row(image_files.len(), row)));
                image_files.push(file);
                let digests = digests.into_iter();
                Ok(digests
                    .map(|digest| blake3::Hash::from_bytes(digest).to_hex().to_string())
                    .collect())
            }
            ImageColumn::Paths(paths) => {
                let beside = part.path.parent().map(Path::to_owned).unwrap_or_default();
                let folder = self.root.as_ref().map_or(beside, |root| base.join(root));
                let outside = paths.iter().position(|path| !stays_inside(path));
                if let Some(row) = outside {
                    let problem = format!(
                        "row {} has `{}`, which is not a path inside {}",
                        row + 1,
                        paths[row],
                        folder.display()
                    );
                    return Err(part.malformed(problem));
                }
                let paths: Vec<PathBuf> = paths.iter().map(|path| folder.join(path)).collect();
                let missing: Vec<usize> = (0..paths.len())
                    .into_par_iter()
                    .filter(|row| !paths[*row].is_file())
                    .collect();
                if let Some(row) = missing.first() {
                    return Err(DatasetError::MissingImages {
                        path: paths[*row].clone(),
                        place: format!("row {} of {}", row + 1, part.path.display()),
                        missing: missing.len(),
                        named: paths.len(),
                        hint: "`root` is the folder that the paths count from; without it that is the folder of the file".to_owned(),
                    });
                }
                let digests = paths.par_iter().map(|path| digester.digest_file(path));
                let digests = digests.collect::<Result<_, _>>()?;
                places.extend(paths.into_iter().map(Place::File));
                Ok(digests)
            }
        }
    }
}

/// The labels of a file, each of which has to be one of the classes.
fn labels_of(part: &Part, classes: &[String]) -> Result<Vec<u32>, DatasetError> {
    let found: Vec<Result<usize, String>> = match &part.columns.labels {
        Labels::Numbers(labels) => labels
            .iter()
            .map(|label| usize::try_from(*label).map_err(|_| label.to_string()))
            .collect(),
        Labels::Names(labels) => {
            let by_name: std::collections::HashMap<&str, usize> = classes
                .iter()
                .enumerate()
                .map(|(label, name)| (name.as_str(), label))
                .collect();
            let label = |name: &String| {
                by_name
                    .get(name.as_str())
                    .copied()
                    .ok_or_else(|| name.clone())
            };
            labels.iter().map(label).collect()
        }
    };
    let labels = found.into_iter().enumerate().map(|(row, label)| {
        let label = label.and_then(|label| {
            let number = u32::try_from(label).ok().filter(|_| label < classes.len());
            number.ok_or_else(|| label.to_string())
        });
        label.map_err(|label| {
            part.malformed(format!(
                "row {} has the label `{label}`, which is not one of the {} classes",
                row + 1,
                classes.len()
            ))
        })
    });
    labels.collect()
}
