//! Features in a table: a column of lists of numbers in a Parquet or an Arrow file, and a column of ids.
//!
//! # Deviations
//! What is compressed in an Arrow file is refused, as this build of the library does; Parquet may be. Of an Arrow file, what its footer says
//! of its blocks is compared with its length first: the library takes as much memory as it is told to.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Float64Type, Schema};
use arrow::error::ArrowError;
use arrow::ipc::reader::{FileReader, StreamReader, read_footer_length};
use arrow::ipc::{Block, root_as_footer};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};

use super::choice::{Choice, choose};
use super::numbers::{Values, narrowed};
use super::{FeatureFile, Imported, Need, malformed};
use crate::contained::contained;
use crate::datasets::{DatasetError, rows_at_once};
use crate::limits::{IMPORTED_TABLE, TABLE_COLUMNS, TABLE_ROWS, unpacked};
use crate::text::bytes;

/// What an Arrow file begins and ends with.
const FILE_MAGIC: &[u8; 6] = b"ARROW1";

/// The format of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Parquet.
    Parquet,
    /// Arrow IPC with a footer.
    ArrowFile,
    /// Arrow IPC as a stream.
    ArrowStream,
}

impl Format {
    /// What a file is by its first eight bytes; `None` for what is not a table.
    pub(super) fn of(beginning: &[u8]) -> Option<Self> {
        if beginning.starts_with(b"PAR1") {
            Some(Self::Parquet)
        } else if beginning.starts_with(FILE_MAGIC) {
            Some(Self::ArrowFile)
        } else if beginning.starts_with(&[0xff; 4]) {
            Some(Self::ArrowStream)
        } else {
            None
        }
    }
}

/// Batches of some columns.
type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>>>;

/// Opens a table.
///
/// # Errors
/// See [`FeatureFile::describe`].
pub(super) fn open(
    path: &Path,
    file: &File,
    imported: &Imported,
    need: Need,
) -> Result<FeatureFile, DatasetError> {
    let work = || read(path, file, imported, need);
    contained(work).unwrap_or_else(|panic| Err(broken(path, &panic)))
}

fn read(
    path: &Path,
    file: &File,
    imported: &Imported,
    need: Need,
) -> Result<FeatureFile, DatasetError> {
    let unreadable = |source| DatasetError::io(path, source, "it was there a moment ago");
    let mut file = file.try_clone().map_err(unreadable)?;
    let mut beginning = Vec::new();
    file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
    file.by_ref()
        .take(8)
        .read_to_end(&mut beginning)
        .map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    let (choice, batches) = match Format::of(&beginning) {
        Some(Format::Parquet) => parquet(path, file, imported, need)?,
        Some(Format::ArrowStream) => {
            file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
            let reader = StreamReader::try_new_buffered(file, None);
            let reader = reader.map_err(|error| broken(path, &error))?;
            let choice = chosen(path, &reader.schema(), imported)?;
            (choice, Box::new(reader) as Batches)
        }
        Some(Format::ArrowFile) => {
            check_blocks(path, &file, metadata.len())?;
            let reader = FileReader::try_new_buffered(file, None);
            let reader = reader.map_err(|error| broken(path, &error))?;
            let choice = chosen(path, &reader.schema(), imported)?;
            (choice, Box::new(reader) as Batches)
        }
        None => return Err(malformed(path, "it is not a table".to_owned())),
    };
    let width = imported.width();
    let most = unpacked(metadata.len()).min(IMPORTED_TABLE);
    let mut rows = 0_usize;
    let mut ids = choice.ids.as_ref().map(|_| Vec::new());
    let mut id_bytes = 0_u64;
    let mut values = Vec::new();
    for batch in batches {
        let batch = batch.map_err(|error| broken(path, &error))?;
        if let (Some(name), Some(ids)) = (&choice.ids, &mut ids) {
            let column = column(path, &batch, name)?;
            append_ids(path, name, rows, &column, ids, &mut id_bytes)?;
        }
        if need == Need::Numbers {
            let column = column(path, &batch, &choice.features)?;
            let taken = values
                .len()
                .saturating_add(column.len().saturating_mul(width));
            if (taken as u64).saturating_mul(4) > most {
                return Err(too_large(path, most));
            }
            append_rows(path, &choice.features, rows, &column, width, &mut values)?;
        }
        rows = rows.saturating_add(batch.num_rows());
        if rows as u64 > TABLE_ROWS {
            let problem = format!("it has more than {TABLE_ROWS} rows");
            return Err(malformed(path, problem));
        }
    }
    Ok(FeatureFile {
        path: path.to_owned(),
        rows,
        ids,
        width,
        values: match need {
            Need::Description => Values::Unread,
            Need::Numbers => Values::InMemory(values),
        },
    })
}

/// Chooses the columns, and checks what the schema says of the features.
fn chosen(path: &Path, schema: &Schema, imported: &Imported) -> Result<Choice, DatasetError> {
    let names: Vec<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    let choice = choose(path, imported, &names, "column")?;
    let field = schema
        .field_with_name(&choice.features)
        .map_err(|error| broken(path, &error))?;
    let of_numbers = match field.data_type() {
        DataType::FixedSizeList(item, _) | DataType::List(item) | DataType::LargeList(item) => {
            matches!(
                item.data_type(),
                DataType::Float16 | DataType::Float32 | DataType::Float64
            )
        }
        _ => false,
    };
    if !of_numbers {
        return Err(malformed(
            path,
            format!(
                "its column `{}` has the type {}, and not lists of 16-bit, 32-bit or 64-bit floating-point numbers",
                choice.features,
                field.data_type()
            ),
        ));
    }
    if let DataType::FixedSizeList(_, length) = field.data_type() {
        let length = usize::try_from(*length).unwrap_or_default();
        if length != imported.width() {
            return Err(wrong_length(
                path,
                &choice.features,
                imported.width(),
                length,
            ));
        }
    }
    Ok(choice)
}

fn parquet(
    path: &Path,
    file: File,
    imported: &Imported,
    need: Need,
) -> Result<(Choice, Batches), DatasetError> {
    let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new());
    let metadata = metadata.map_err(|error| broken(path, &error))?;
    let choice = chosen(path, metadata.schema(), imported)?;
    let mut wanted: Vec<&str> = choice.ids.iter().map(String::as_str).collect();
    if need == Need::Numbers || wanted.is_empty() {
        wanted.push(&choice.features);
    }
    let is_wanted = |leaf: &str| {
        let within = |name: &&str| leaf.strip_prefix(name);
        let mut within = wanted.iter().filter_map(within);
        within.any(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    // Looks at what each page unpacks into, too.
    let at_once = rows_at_once(path, &file, &metadata, is_wanted)?;
    let projection = ProjectionMask::columns(metadata.parquet_schema(), wanted.iter().copied());
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata)
        .with_projection(projection)
        .with_batch_size(at_once)
        .build()
        .map_err(|error| broken(path, &error))?;
    Ok((choice, Box::new(reader)))
}

/// Whether the blocks of an Arrow file are in it, by its footer.
fn check_blocks(path: &Path, file: &File, length: u64) -> Result<(), DatasetError> {
    let cut_off = || malformed(path, "it does not end as an Arrow file does".to_owned());
    let mut end = [0; 10];
    let place = length.checked_sub(end.len() as u64).ok_or_else(cut_off)?;
    file.read_exact_at(&mut end, place).map_err(|_| cut_off())?;
    let size = read_footer_length(end).map_err(|_| cut_off())?;
    let start = place.checked_sub(size as u64).ok_or_else(cut_off)?;
    let mut footer = vec![0; size];
    file.read_exact_at(&mut footer, start)
        .map_err(|_| cut_off())?;
    let footer = root_as_footer(&footer).map_err(|error| broken(path, &error))?;
    let blocks = footer.recordBatches().into_iter().flatten();
    let blocks = blocks.chain(footer.dictionaries().into_iter().flatten());
    let is_inside = |block: &Block| {
        let size = |size: i64| u64::try_from(size).ok();
        let end = size(block.offset())?
            .checked_add(size(block.metaDataLength().into())?)?
            .checked_add(size(block.bodyLength())?)?;
        Some(end <= start)
    };
    for block in blocks {
        if is_inside(block) != Some(true) {
            let problem = "its footer names a block beyond its end".to_owned();
            return Err(malformed(path, problem));
        }
    }
    Ok(())
}

fn column(path: &Path, batch: &RecordBatch, name: &str) -> Result<ArrayRef, DatasetError> {
    let column = batch.column_by_name(name).cloned();
    column.ok_or_else(|| malformed(path, format!("some of its rows have no column `{name}`")))
}

fn append_ids(
    path: &Path,
    name: &str,
    before: usize,
    column: &ArrayRef,
    ids: &mut Vec<String>,
    taken: &mut u64,
) -> Result<(), DatasetError> {
    let texts = match column.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(..) => {
            cast(column, &DataType::Utf8).map_err(|error| broken(path, &error))?
        }
        other => {
            return Err(malformed(
                path,
                format!("its ids `{name}` have the type {other}, and are not texts"),
            ));
        }
    };
    for (row, text) in texts.as_string::<i32>().iter().enumerate() {
        let Some(text) = text else {
            let problem = format!("row {}, counted from 0, has no id", before + row);
            return Err(malformed(path, problem));
        };
        *taken = taken.saturating_add(text.len() as u64);
        if *taken > TABLE_COLUMNS {
            let problem = format!("its ids take more than {}", bytes(TABLE_COLUMNS));
            return Err(malformed(path, problem));
        }
        ids.push(text.to_owned());
    }
    Ok(())
}

fn append_rows(
    path: &Path,
    name: &str,
    before: usize,
    column: &ArrayRef,
    width: usize,
    values: &mut Vec<f32>,
) -> Result<(), DatasetError> {
    for row in 0..column.len() {
        if column.is_null(row) {
            let problem = format!(
                "row {}, counted from 0, has nothing in the column `{name}`",
                before + row
            );
            return Err(malformed(path, problem));
        }
        let list = match column.data_type() {
            DataType::FixedSizeList(..) => column.as_fixed_size_list().value(row),
            DataType::LargeList(_) => column.as_list::<i64>().value(row),
            DataType::List(_) => column.as_list::<i32>().value(row),
            other => {
                let problem = format!("its column `{name}` has the type {other} further on");
                return Err(malformed(path, problem));
            }
        };
        if list.len() != width {
            return Err(wrong_length(path, name, width, list.len()));
        }
        if list.null_count() > 0 {
            let problem = format!(
                "row {}, counted from 0, lacks a value in the column `{name}`",
                before + row
            );
            return Err(malformed(path, problem));
        }
        if *list.data_type() == DataType::Float64 {
            let list = list.as_primitive::<Float64Type>().values();
            values.extend(list.iter().map(|&value| narrowed(value)));
        } else {
            let list = cast(&list, &DataType::Float32).map_err(|error| broken(path, &error))?;
            values.extend_from_slice(list.as_primitive::<Float32Type>().values());
        }
    }
    Ok(())
}

/// More numbers than are read of a table of its size.
fn too_large(path: &Path, most: u64) -> DatasetError {
    DatasetError::Malformed {
        path: path.to_owned(),
        problem: format!(
            "its features take more than {} of memory, the most that is read of a table of its size",
            bytes(most)
        ),
        hint: "write them as `.npy` or safetensors, which are read in place".to_owned(),
    }
}

fn wrong_length(path: &Path, name: &str, wanted: usize, found: usize) -> DatasetError {
    DatasetError::Malformed {
        path: path.to_owned(),
        problem: format!(
            "its column `{name}` has rows of {found} values, and by `shape` a row has {wanted}"
        ),
        hint: format!("write `shape = [{found}]`, or a shape of so many values"),
    }
}

/// A table that the library cannot read.
fn broken(path: &Path, error: &dyn std::fmt::Display) -> DatasetError {
    malformed(path, format!("it cannot be read as a table: {error}"))
}
