//! Three lists of images, classes and splits that are joined by the ids of images, as CUB-200-2011 and NABirds have them.
//!
//! `images.txt` has the path of each image in `images/`, `image_class_labels.txt` its class, `train_test_split.txt` a 1 for
//! training and a 0 for testing, and `classes.txt` the name of each class. Every line begins with an id. The lists are joined
//! by it and not by the numbers of lines; all three have to have the same ids, so that a list that was cut off is not taken for
//! a smaller dataset.

use std::collections::BTreeMap;

use super::{Row, Rows, TextFile, stays_inside};
use crate::bug::Bug;
use crate::datasets::DatasetError;
use crate::datasets::tree::Folder;

const IMAGES: &str = "images.txt";

/// Which classes are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::datasets) enum Classes {
    /// All that `classes.txt` lists.
    Listed,
    /// Those that an image has; `classes.txt` lists groups of classes as well.
    Seen,
}

/// Joins the lists of a folder. A label is the rank of the class's id among the classes that are numbered.
///
/// # Errors
/// A list that is missing or malformed, ids that one list has and another has not, and classes without a name.
pub(in crate::datasets) fn read_joined(
    folder: &Folder<'_>,
    which: Classes,
    remedy: &'static str,
) -> Result<Rows, DatasetError> {
    let read = |name: &str| TextFile::read(&folder.file(name)?, remedy);
    let (images, labels) = (read(IMAGES)?, read("image_class_labels.txt")?);
    let (splits, names) = (read("train_test_split.txt")?, read("classes.txt")?);
    let (class_of, split_of) = (labels.by_first_word()?, splits.by_first_word()?);
    let paths = images.by_first_word()?;
    for (list, ids) in [(&labels, &class_of), (&splits, &split_of)] {
        let alone = ids.iter().find(|(id, _)| !paths.contains_key(*id));
        if let Some((id, (line, _))) = alone {
            let problem = format!("has the image `{id}`, which is missing from `{IMAGES}`");
            return Err(list.malformed(*line, &problem));
        }
    }

    let mut named = BTreeMap::new();
    for (id, (line, name)) in names.by_first_word()? {
        named.insert(number(&names, line, id)?, name);
    }
    let mut found = Vec::new();
    for (id, (line, path)) in &paths {
        let lacking = |list: &TextFile| {
            let list = list.path().file_name().unwrap_or_default();
            let list = list.to_string_lossy().into_owned();
            images.malformed(
                *line,
                &format!("has the image `{id}`, which is missing from `{list}`"),
            )
        };
        if !stays_inside(path) {
            let problem = format!("has `{path}`, which is not a path inside `images`");
            return Err(images.malformed(*line, &problem));
        }
        let (class_line, class) = class_of.get(id).ok_or_else(|| lacking(&labels))?;
        let class = number(&labels, *class_line, class)?;
        if !named.contains_key(&class) {
            let problem = format!("has the class {class}, which is missing from `classes.txt`");
            return Err(labels.malformed(*class_line, &problem));
        }
        let (split_line, split) = split_of.get(id).ok_or_else(|| lacking(&splits))?;
        let split = match *split {
            "1" => "train",
            "0" => "test",
            _ => return Err(splits.malformed(*split_line, "has neither 1 nor 0 for its image")),
        };
        found.push((class, split, *line, *path));
    }

    let mut label_of: BTreeMap<u32, u32> = match which {
        Classes::Listed => named.keys().map(|class| (*class, 0)).collect(),
        Classes::Seen => found.iter().map(|(class, ..)| (*class, 0)).collect(),
    };
    for ((_, label), rank) in label_of.iter_mut().zip(0..) {
        *label = rank;
    }
    let classes = label_of.keys().filter_map(|class| named.get(class));
    let classes = classes.map(|name| (*name).to_owned()).collect();
    let images_folder = folder.join("images");
    let rows = found.into_iter().map(|(class, split, line, path)| {
        Ok(Row {
            id: path.to_owned(),
            split,
            label: *label_of
                .get(&class)
                .ok_or_else(|| Bug::new(format!("class {class} has no label")))?,
            location: images_folder.file(path)?,
            place: format!("line {line}"),
            list: 0,
        })
    });
    Ok(Rows {
        classes,
        images: rows.collect::<Result<_, DatasetError>>()?,
        lists: vec![images.path().to_owned()],
        remedy,
    })
}

/// A class number, as the file has it.
fn number(list: &TextFile, line: usize, text: &str) -> Result<u32, DatasetError> {
    text.parse()
        .map_err(|_| list.malformed(line, &format!("has `{text}`, which is not a class number")))
}
