//! Features in a file of arrays: `.npy`, `.npz`, safetensors, and PyTorch's files of a dict of tensors.
//!
//! Ids are texts, or bytes of them: NumPy's types `U` and `S`, and where there are no texts, `[N, W]` of 8-bit numbers: each row UTF-8
//! with zeros behind it.

use std::borrow::Cow;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use safetensors::Dtype;

use super::arrays::Arrays;
use super::choice::choose;
use super::numbers::{self, Values};
use super::{FeatureFile, Imported, Need, malformed};
use crate::checked_file::CheckedFile;
use crate::datasets::DatasetError;
use crate::models::checkpoint::stored_tensors::{Fault, StoredTensors};

/// One array.
#[derive(Debug)]
pub(super) struct Found<'a> {
    pub(super) elements: Elements,
    pub(super) shape: &'a [usize],
    /// Whether the first axis is the fastest in memory.
    pub(super) is_fortran_order: bool,
    /// The elements, little-endian.
    pub(super) bytes: Cow<'a, [u8]>,
}

/// What the elements of an array are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Elements {
    /// Numbers.
    Numbers(Dtype),
    /// So many bytes of a text each.
    Bytes(usize),
    /// So many code points of a text each, in 32 bits.
    Text(usize),
    /// Something that is not read.
    Others(&'static str),
}

/// What is known of a file before its numbers are.
struct Description {
    rows: usize,
    ids: Option<Vec<String>>,
    features: String,
    dtype: Dtype,
    /// The numbers, where they are not in a row in the file.
    gathered: Option<Vec<f32>>,
}

/// Opens a file, `checked` where its bytes were compared with a digest.
///
/// # Errors
/// See [`FeatureFile::describe`].
pub(super) fn open(
    path: &Path,
    file: &File,
    checked: Option<&CheckedFile>,
    imported: &Imported,
    need: Need,
) -> Result<FeatureFile, DatasetError> {
    let mut beginning = [0; 8];
    let length = file.read_at(&mut beginning, 0).unwrap_or_default();
    let arrays = if Arrays::begins(&beginning[..length]) {
        Arrays::open(path, file)?
    } else {
        None
    };
    let (found, in_place) = if let Some(arrays) = arrays {
        let names: Vec<&str> = arrays.names().collect();
        let found = describe(path, &names, &|name| arrays.get(name), imported, need)?;
        let elements = arrays.into_elements(&found.features);
        let values = elements.map(|(content, bytes)| Values::InPlace(content, bytes, found.dtype));
        (found, values)
    } else {
        let opened = match checked {
            Some(checked) => StoredTensors::open_checked(checked),
            None => StoredTensors::open(path),
        };
        let file = opened.map_err(|error| not_features(path, &error.fault))?;
        let names: Vec<&str> = file.names().collect();
        let get = |name: &str| {
            let tensor = file.get(name)?;
            Some(Found {
                elements: Elements::Numbers(tensor.dtype),
                shape: tensor.shape,
                is_fortran_order: false,
                bytes: tensor.bytes,
            })
        };
        let found = describe(path, &names, &get, imported, need)?;
        let name = found.features.clone();
        (found, Some(Values::Stored(Box::new(file), name)))
    };
    let values = match (need, found.gathered) {
        (Need::Description, _) => Values::Unread,
        (Need::Numbers, Some(values)) => Values::InMemory(values),
        (Need::Numbers, None) => in_place.ok_or_else(|| {
            malformed(
                path,
                format!("its array `{}` cannot be read", found.features),
            )
        })?,
    };
    Ok(FeatureFile {
        path: path.to_owned(),
        rows: found.rows,
        ids: found.ids,
        width: imported.width(),
        values,
    })
}

/// A file whose tensors cannot be read, or that has none.
fn not_features(path: &Path, fault: &Fault) -> DatasetError {
    malformed(
        path,
        match fault {
            Fault::NotACheckpoint(_) => {
                "it is neither `.npy`, `.npz`, safetensors, a file of PyTorch, Parquet nor Arrow"
                    .to_owned()
            }
            other => format!("it {other}"),
        },
    )
}

fn describe<'a>(
    path: &Path,
    names: &[&str],
    get: &dyn Fn(&str) -> Option<Found<'a>>,
    imported: &Imported,
    need: Need,
) -> Result<Description, DatasetError> {
    let choice = choose(path, imported, names, "array")?;
    let array = |name: &str| {
        get(name).ok_or_else(|| malformed(path, format!("its array `{name}` cannot be read")))
    };
    let ids = match &choice.ids {
        None => None,
        Some(name) => Some(ids_of(path, name, &array(name)?)?),
    };
    let found = array(&choice.features)?;
    let (rows, dtype) = rows_of(path, imported, &choice.features, &found)?;
    if let Some(ids) = ids.as_ref().filter(|ids| ids.len() != rows) {
        let problem = format!("it has {rows} rows of features and {} ids", ids.len());
        return Err(malformed(path, problem));
    }
    // Numbers in a row are read in place; others are put into a row once.
    let is_in_a_row = matches!(found.bytes, Cow::Borrowed(_)) && !found.is_fortran_order;
    let gathered = (need == Need::Numbers && !is_in_a_row).then(|| {
        let mut values = Vec::new();
        numbers::append(dtype, &found.bytes, &mut values);
        if found.is_fortran_order {
            numbers::in_rows(&values, found.shape)
        } else {
            values
        }
    });
    Ok(Description {
        rows,
        ids,
        features: choice.features,
        dtype,
        gathered,
    })
}

/// The number of rows of the features and the type of their numbers; checks both, and the shape of a row.
fn rows_of(
    path: &Path,
    imported: &Imported,
    name: &str,
    found: &Found<'_>,
) -> Result<(usize, Dtype), DatasetError> {
    let refused = |problem: String, hint: &str| DatasetError::Malformed {
        path: path.to_owned(),
        problem,
        hint: hint.to_owned(),
    };
    let wrong_type = |what: &str| {
        Err(refused(
            format!("its array `{name}` holds {what}"),
            "features are floating-point numbers of 16, 32 or 64 bits, or bfloat16",
        ))
    };
    let dtype = match found.elements {
        Elements::Numbers(dtype) if numbers::is_readable(dtype) => dtype,
        Elements::Numbers(dtype) => return wrong_type(&format!("numbers of type {dtype:?}")),
        Elements::Bytes(_) | Elements::Text(_) => return wrong_type("texts"),
        Elements::Others(what) => return wrong_type(what),
    };
    let wanted: Vec<usize> = imported
        .shape
        .sizes()
        .into_iter()
        .map(|size| size as usize)
        .collect();
    match found.shape.split_first() {
        Some((&rows, sizes)) if sizes == wanted => Ok((rows, dtype)),
        Some((_, sizes)) => {
            let problem = format!(
                "its array `{name}` is {:?}: rows of {sizes:?}, and the model declares `shape = {wanted:?}`",
                found.shape
            );
            let hint = match sizes.len() {
                1..=3 => format!("write `shape = {sizes:?}`"),
                _ => "store one row for each sample: [N, D], [N, L, D] or [N, C, H, W]".to_owned(),
            };
            Err(refused(problem, &hint))
        }
        None => Err(malformed(
            path,
            format!("its array `{name}` is a single number"),
        )),
    }
}

/// The texts of an array.
fn ids_of(path: &Path, name: &str, found: &Found<'_>) -> Result<Vec<String>, DatasetError> {
    let (rows, size) = match (found.elements, found.shape) {
        (Elements::Numbers(Dtype::U8), &[rows, width]) if !found.is_fortran_order => (rows, width),
        (Elements::Bytes(length), &[rows]) => (rows, length),
        (Elements::Text(length), &[rows]) => (rows, length.saturating_mul(4)),
        _ => {
            return Err(malformed(
                path,
                format!(
                    "its ids `{name}` are neither texts, `[N]`, nor bytes of them, `[N, W]` of 8 bits"
                ),
            ));
        }
    };
    let text = |row: usize| {
        let bytes = row.checked_mul(size).and_then(|start| {
            let end = start.checked_add(size)?;
            found.bytes.get(start..end)
        });
        let text = match found.elements {
            Elements::Text(_) => of_code_points(bytes.unwrap_or_default()),
            _ => of_bytes(bytes.unwrap_or_default()),
        };
        text.ok_or_else(|| {
            malformed(
                path,
                format!("the id of row {row}, counted from 0, is not a text"),
            )
        })
    };
    (0..rows).map(text).collect()
}

/// UTF-8 with zeros behind it.
fn of_bytes(bytes: &[u8]) -> Option<String> {
    let length = bytes.iter().rposition(|&byte| byte != 0);
    let text = bytes.get(..length.map_or(0, |last| last + 1))?;
    std::str::from_utf8(text).ok().map(str::to_owned)
}

/// UTF-32, little-endian, with zeros behind it.
fn of_code_points(bytes: &[u8]) -> Option<String> {
    let points = bytes.as_chunks::<4>().0.iter();
    let points = points.map(|&point| char::from_u32(u32::from_le_bytes(point)));
    let text: String = points.collect::<Option<_>>()?;
    Some(text.trim_end_matches('\0').to_owned())
}
