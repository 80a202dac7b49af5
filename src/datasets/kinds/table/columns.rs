//! The columns of one file, but for images that are in it: labels, splits, ids, paths.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{cast, concat};
use arrow::datatypes::{DataType, Int64Type, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::parquet::{broken, metadata, reading, rows_at_once};
use super::{REMEDY, malformed};
use crate::datasets::DatasetError;
use crate::limits::{TABLE_COLUMNS, WHOLE_FILE};
use crate::spec::suggest;
use crate::text;

/// What the columns are called.
pub(super) struct Names<'a> {
    pub(super) image: &'a str,
    pub(super) label: &'a str,
    /// `None` where the split is known.
    pub(super) split: Option<&'a str>,
    pub(super) id: Option<&'a str>,
}

/// What a file has, by row.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) rows: usize,
    pub(super) images: ImageColumn,
    pub(super) labels: Labels,
    pub(super) splits: Option<Vec<String>>,
    pub(super) ids: Option<Vec<String>>,
    /// The names of the classes, where the file states them.
    pub(super) classes: Option<Vec<String>>,
}

/// Where images are.
#[derive(Debug)]
pub(super) enum ImageColumn {
    /// In the file.
    Bytes,
    /// In files of their own.
    Paths(Vec<String>),
}

/// The column of classes, one value for each row.
#[derive(Debug)]
pub(super) enum Labels {
    Numbers(Vec<i64>),
    Names(Vec<String>),
}

/// Reads a file; its ending says what it is.
///
/// # Errors
/// A file that is neither Parquet nor CSV, lacks a column, has one of a wrong type, or a row without a value.
pub(super) fn read(path: &Path, names: &Names<'_>) -> Result<Columns, DatasetError> {
    let ending = path.extension().and_then(|ending| ending.to_str());
    match ending {
        Some("parquet") => reading(path, || read_parquet(path, names)),
        Some("csv") => read_csv(path, names),
        _ => Err(malformed(
            path,
            "its name ends neither in `.parquet` nor in `.csv`".to_owned(),
        )),
    }
}

fn missing_column(path: &Path, name: &str, known: &[&str]) -> DatasetError {
    DatasetError::Malformed {
        path: path.to_owned(),
        problem: format!("it has no column `{name}`"),
        hint: suggest::hint(name, known.iter().copied()).unwrap_or_else(|| REMEDY.to_owned()),
    }
}

fn read_parquet(path: &Path, names: &Names<'_>) -> Result<Columns, DatasetError> {
    let (file, about) = metadata(path)?;
    let schema = about.schema().clone();
    let known: Vec<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    let type_of = |name: &str| {
        let field = schema.field_with_name(name);
        field
            .map(|field| field.data_type().clone())
            .map_err(|_| missing_column(path, name, &known))
    };
    let wrong = |name: &str, found: &DataType, wanted: &str| {
        malformed(
            path,
            format!("its column `{name}` has the type {found}, and not {wanted}"),
        )
    };
    let image_type = type_of(names.image)?;
    let has_bytes = match &image_type {
        DataType::Struct(fields) => {
            let bytes = fields.iter().find(|field| field.name() == "bytes");
            bytes.is_some_and(|field| is_binary(field.data_type()))
        }
        other => is_binary(other),
    };
    if !has_bytes && !is_text(&image_type) {
        let wanted = "bytes, structures with a field `bytes`, or paths";
        return Err(wrong(names.image, &image_type, wanted));
    }
    let label_type = type_of(names.label)?;
    if !label_type.is_integer() && !is_text(&label_type) {
        return Err(wrong(names.label, &label_type, "integers or names"));
    }
    for name in [names.split, names.id].into_iter().flatten() {
        let found = type_of(name)?;
        if !is_text(&found) && !found.is_integer() {
            return Err(wrong(name, &found, "texts or integers"));
        }
    }

    let mut wanted = vec![names.label];
    wanted.extend([names.split, names.id].into_iter().flatten());
    if !has_bytes {
        wanted.push(names.image);
    }
    let projection = ProjectionMask::columns(about.parquet_schema(), wanted.iter().copied());
    let at_once = rows_at_once(path, &file, &about, |column| wanted.contains(&column))?;
    let rows = about.metadata().file_metadata().num_rows();
    let rows =
        usize::try_from(rows).map_err(|_| malformed(path, format!("it states {rows} rows")))?;
    let reader =
        ParquetRecordBatchReaderBuilder::new_with_metadata(file, about).with_projection(projection);
    let reader = reader.with_batch_size(at_once.rows);
    let reader = reader.build().map_err(|error| broken(path, &error))?;
    let (mut batches, mut bytes) = (Vec::new(), 0u64);
    for batch in reader {
        let batch = batch.map_err(|error| broken(path, &error))?;
        bytes = bytes.saturating_add(batch.get_array_memory_size() as u64);
        if bytes > TABLE_COLUMNS {
            let most = text::bytes(TABLE_COLUMNS);
            let problem =
                format!("its labels, splits, ids and paths take more than {most} of memory");
            return Err(malformed(path, problem));
        }
        batches.push(batch);
    }
    let column = |name: &str, as_type: DataType| -> Result<ArrayRef, DatasetError> {
        let arrays = batches
            .iter()
            .filter_map(|batch| batch.column_by_name(name));
        let arrays = arrays
            .map(|array| cast(array, &as_type))
            .collect::<Result<Vec<_>, _>>();
        let arrays = arrays.map_err(|error| broken(path, &error))?;
        let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
        if arrays.is_empty() {
            return Ok(arrow::array::new_empty_array(&as_type));
        }
        let column = concat(&arrays).map_err(|error| broken(path, &error))?;
        match (0..column.len()).find(|row| column.is_null(*row)) {
            Some(row) => Err(malformed(
                path,
                format!("row {} has nothing in the column `{name}`", row + 1),
            )),
            None => Ok(column),
        }
    };
    let texts = |name: &str| -> Result<Vec<String>, DatasetError> {
        let column = column(name, DataType::Utf8)?;
        Ok(column
            .as_string::<i32>()
            .iter()
            .flatten()
            .map(str::to_owned)
            .collect())
    };
    Ok(Columns {
        rows,
        images: if has_bytes {
            ImageColumn::Bytes
        } else {
            ImageColumn::Paths(texts(names.image)?)
        },
        labels: if label_type.is_integer() {
            let labels = column(names.label, DataType::Int64)?;
            Labels::Numbers(labels.as_primitive::<Int64Type>().values().to_vec())
        } else {
            Labels::Names(texts(names.label)?)
        },
        splits: names.split.map(texts).transpose()?,
        ids: names.id.map(texts).transpose()?,
        classes: stated_classes(&schema, names.label),
    })
}

fn is_binary(found: &DataType) -> bool {
    matches!(
        found,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView
    )
}

fn is_text(found: &DataType) -> bool {
    match found {
        DataType::Dictionary(_, values) => is_text(values),
        other => matches!(
            other,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
        ),
    }
}

/// The names of the classes in the metadata that Hugging Face's library writes.
fn stated_classes(schema: &Schema, label: &str) -> Option<Vec<String>> {
    let text = schema.metadata().get("huggingface")?;
    let about: serde_json::Value = serde_json::from_str(text).ok()?;
    let names = about
        .get("info")?
        .get("features")?
        .get(label)?
        .get("names")?
        .as_array()?;
    names
        .iter()
        .map(|name| name.as_str().map(str::to_owned))
        .collect()
}

fn read_csv(path: &Path, names: &Names<'_>) -> Result<Columns, DatasetError> {
    let broken = |error: csv::Error| malformed(path, format!("it cannot be read as CSV: {error}"));
    let hint = "it was there when the folder was listed";
    let file = File::open(path).map_err(|source| DatasetError::io(path, source, hint))?;
    // One byte more than is read shows that there is more.
    let mut reader = csv::Reader::from_reader(file.take(WHOLE_FILE + 1));
    let heads = reader.headers().map_err(broken)?.clone();
    let known: Vec<&str> = heads.iter().collect();
    let place = |name: &str| {
        let place = known.iter().position(|known| *known == name);
        place.ok_or_else(|| missing_column(path, name, &known))
    };
    let places = [
        Some(place(names.image)?),
        Some(place(names.label)?),
        names.split.map(place).transpose()?,
        names.id.map(place).transpose()?,
    ];
    let mut columns: [Vec<String>; 4] = Default::default();
    for (row, record) in reader.records().enumerate() {
        let record = record.map_err(broken)?;
        for (column, place) in columns.iter_mut().zip(places) {
            let Some(place) = place else { continue };
            let value = record.get(place).unwrap_or_default();
            if value.is_empty() {
                let name = known.get(place).copied().unwrap_or_default();
                return Err(malformed(
                    path,
                    format!("row {} has nothing in the column `{name}`", row + 1),
                ));
            }
            column.push(value.to_owned());
        }
    }
    if reader.position().byte() > WHOLE_FILE {
        let problem = format!("it has more than {}", text::bytes(WHOLE_FILE));
        return Err(malformed(path, problem));
    }
    let [images, labels, splits, ids] = columns;
    let numbers: Option<Vec<i64>> = labels.iter().map(|label| label.parse().ok()).collect();
    Ok(Columns {
        rows: images.len(),
        images: ImageColumn::Paths(images),
        labels: numbers.map_or(Labels::Names(labels), Labels::Numbers),
        splits: names.split.map(|_| splits),
        ids: names.id.map(|_| ids),
        classes: None,
    })
}
