//! The classes of the images for validation, from the development kit.
//!
//! `ILSVRC2012_validation_ground_truth.txt` has a number for each image. Which WordNet id that is stands in `meta.mat`, in the
//! structures `synsets`, or in `map_clsloc.txt`, which a later kit has. It is not the number that networks use.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::datasets::DatasetError;
use crate::datasets::listed::TextFile;
use crate::datasets::matlab::Variables;
use crate::datasets::tree::Folder;

const GROUND_TRUTH: &str = "ILSVRC2012_validation_ground_truth.txt";
const META: &str = "meta.mat";
const MAP: &str = "map_clsloc.txt";

/// The classes of the images for validation.
pub(super) struct Validation {
    /// The list of class numbers that `wnids` was read from, for messages.
    pub(super) path: PathBuf,
    /// The WordNet id of each image, in the order of their numbers.
    pub(super) wnids: Vec<String>,
}

/// Reads the kit that is in or beside the folders of images.
///
/// # Errors
/// A kit that is missing or malformed.
pub(super) fn read(root: &Folder<'_>, remedy: &'static str) -> Result<Validation, DatasetError> {
    let inside = ["ILSVRC2012_devkit_t12/data", "data", ""];
    let folder = root.find(&inside, GROUND_TRUTH, remedy)?;
    let truth = TextFile::read(&folder.file(GROUND_TRUTH)?, remedy)?;
    let meta = folder.file(META)?;
    let wnid_of = if meta.is_file() {
        from_meta(&Variables::read(&meta, remedy)?)?
    } else {
        from_map(&TextFile::read(&folder.file(MAP)?, remedy)?)?
    };
    let mut wnids = Vec::new();
    for (line, text) in truth.lines() {
        // The number of an image is that of its line.
        if line != wnids.len() + 1 {
            return Err(truth.malformed(line - 1, "is empty"));
        }
        let wnid = text
            .parse()
            .ok()
            .and_then(|number: u32| wnid_of.get(&number));
        let wnid = wnid.ok_or_else(|| {
            truth.malformed(line, &format!("has `{text}`, which is not a class number"))
        })?;
        wnids.push(wnid.clone());
    }
    Ok(Validation {
        path: truth.path().to_owned(),
        wnids,
    })
}

/// Whether a text is a WordNet id, such as `n01440764`.
pub(super) fn is_wnid(text: &str) -> bool {
    text.strip_prefix('n')
        .is_some_and(|digits| digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

fn from_meta(meta: &Variables) -> Result<BTreeMap<u32, String>, DatasetError> {
    let classes = meta.get("synsets")?;
    let (Some(numbers), Some(wnids)) = (classes.field("ILSVRC2012_ID"), classes.field("WNID"))
    else {
        let problem = "`synsets` has no fields `ILSVRC2012_ID` and `WNID`";
        return Err(meta.malformed(problem.to_owned()));
    };
    let mut wnid_of = BTreeMap::new();
    for ((number, wnid), place) in numbers.into_iter().zip(wnids).zip(1..) {
        let number = number.whole();
        let wnid = wnid.text().filter(|wnid| is_wnid(wnid));
        let (Some(number), Some(wnid)) = (number, wnid) else {
            let problem = format!("`synsets({place})` has no number or no WordNet id");
            return Err(meta.malformed(problem));
        };
        wnid_of.insert(number, wnid.to_owned());
    }
    Ok(wnid_of)
}

fn from_map(map: &TextFile) -> Result<BTreeMap<u32, String>, DatasetError> {
    let mut wnid_of = BTreeMap::new();
    for pair in map.pairs() {
        let (line, wnid, rest) = pair?;
        let number = rest.split_whitespace().next().unwrap_or_default().parse();
        match number {
            Ok(number) if is_wnid(wnid) => wnid_of.insert(number, wnid.to_owned()),
            _ => return Err(map.malformed(line, "has no WordNet id and number")),
        };
    }
    Ok(wnid_of)
}
