//! Images in a column of a Parquet file, read a block of rows at a time.
//!
//! A block never crosses a row group. Within a group, the pages before it are skipped without being unpacked, so blocks of a file
//! with one huge group can be read as well. A page is unpacked as a whole, and writers put up to a thousand images into one, however large
//! they are; so a block is no smaller than the largest page, and going through the rows in order unpacks each page twice at most.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use arrow::array::{Array, ArrayRef, AsArray, LargeBinaryArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};

use super::{malformed, pages};
use crate::contained::contained;
use crate::datasets::DatasetError;
use crate::limits::{PARQUET_BLOCK, TABLE_ROWS};
use crate::recognized::{BEGINNING, recognized};

/// What a Parquet file begins and ends with.
const MAGIC: &[u8; 4] = b"PAR1";
/// About so many bytes of images are in a block, and more where pages are larger.
const BLOCK_BYTES: usize = 8 << 20;
/// A block has no more rows.
const BLOCK_ROWS: usize = 1024;
/// Rows that are read at once while all of them are hashed.
const BATCH: usize = 64;

/// A file with images in it. Its metadata is in memory; its images are not.
pub(super) struct ImageFile {
    path: PathBuf,
    metadata: ArrowReaderMetadata,
    projection: ProjectionMask,
    blocks: Vec<Span>,
    /// Rows that are read at once.
    most: usize,
    /// Bytes of images in a block, about.
    block_bytes: usize,
}

/// A run of rows within one row group, which is read at once.
struct Span {
    /// The first one, in the file.
    from: usize,
    group: usize,
    /// The first one, in its group.
    within: usize,
    rows: usize,
}

/// Encoded images, one for each row of a [`Span`].
pub(super) struct Block(LargeBinaryArray);

impl Block {
    /// The bytes of an image; `None` where there is none.
    pub(super) fn image(&self, place: usize) -> Option<&[u8]> {
        (place < self.0.len() && self.0.is_valid(place)).then(|| self.0.value(place))
    }
}

/// The metadata of a Parquet file.
pub(super) fn metadata(path: &Path) -> Result<(File, ArrowReaderMetadata), DatasetError> {
    let hint = "it was there when the folder was listed";
    let file = File::open(path).map_err(|source| DatasetError::io(path, source, hint))?;
    let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new());
    let metadata = metadata.map_err(|error| unreadable(path, &file, &error))?;
    Ok((file, metadata))
}

/// A file whose metadata cannot be read: what it is, where that can be told.
fn unreadable(path: &Path, file: &File, error: &dyn std::fmt::Display) -> DatasetError {
    let mut beginning = [0; BEGINNING];
    let length = file.read_at(&mut beginning, 0).unwrap_or_default();
    let beginning = &beginning[..length];
    let mut end = [0; MAGIC.len()];
    let ends = file.metadata().is_ok_and(|about| {
        let place = about.len().saturating_sub(MAGIC.len() as u64);
        file.read_exact_at(&mut end, place).is_ok() && end == *MAGIC
    });
    match recognized(beginning) {
        _ if beginning.is_empty() => malformed(path, "it is empty".to_owned()),
        _ if beginning.starts_with(MAGIC) && !ends => malformed(
            path,
            "it is cut off: it does not end as a Parquet file does; download or copy it again"
                .to_owned(),
        ),
        Some(found) if !beginning.starts_with(MAGIC) => malformed(
            path,
            format!("it is {}, and not a Parquet file", found.what),
        ),
        _ => broken(path, error),
    }
}

/// How much of some columns is read at once.
pub(super) struct AtOnce {
    /// As many rows as may be: so few that they fit if each has the longest value of a dictionary.
    pub(super) rows: usize,
    /// What the largest page that is not a dictionary unpacks into, in bytes.
    page: usize,
}

/// How much of some columns may be read at once.
///
/// # Errors
/// A page that unpacks into too much, and more rows than a table has.
pub(super) fn rows_at_once(
    path: &Path,
    file: &File,
    metadata: &ArrowReaderMetadata,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<AtOnce, DatasetError> {
    let (mut longest, mut page) = (1, 0);
    let mut rows = 0u64;
    for group in metadata.metadata().row_groups() {
        rows = rows.saturating_add(group.num_rows().try_into().unwrap_or(u64::MAX));
        for chunk in group.columns() {
            if is_wanted(&chunk.column_path().string()) {
                let largest = pages::largest(file, chunk);
                let largest = largest.map_err(|problem| malformed(path, problem))?;
                longest = longest.max(largest.dictionary);
                page = page.max(largest.page);
            }
        }
    }
    if rows > TABLE_ROWS {
        let problem = format!("it states {rows} rows; a table has at most {TABLE_ROWS}");
        return Err(malformed(path, problem));
    }
    let rows = PARQUET_BLOCK / longest;
    Ok(AtOnce {
        rows: usize::try_from(rows.clamp(1, BLOCK_ROWS as u64)).unwrap_or(BLOCK_ROWS),
        page: usize::try_from(page).unwrap_or(usize::MAX),
    })
}

/// A file that the reader of Parquet files cannot read.
pub(super) fn broken(path: &Path, error: &dyn std::fmt::Display) -> DatasetError {
    malformed(path, format!("it cannot be read as Parquet: {error}"))
}

/// Reads with the library, whose panics at damaged files are errors of the file.
pub(super) fn reading<T>(
    path: &Path,
    work: impl FnOnce() -> Result<T, DatasetError>,
) -> Result<T, DatasetError> {
    contained(work).unwrap_or_else(|panic| Err(broken(path, &panic)))
}

impl ImageFile {
    /// Opens a file whose column `column` holds bytes of images, or structures with a field `bytes`.
    pub(super) fn open(path: &Path, column: &str) -> Result<Self, DatasetError> {
        reading(path, || Self::opened(path, column))
    }

    fn opened(path: &Path, column: &str) -> Result<Self, DatasetError> {
        let (file, metadata) = metadata(path)?;
        let field = metadata.schema().field_with_name(column);
        let is_structure =
            field.is_ok_and(|field| matches!(field.data_type(), DataType::Struct(_)));
        let leaf = if is_structure {
            format!("{column}.bytes")
        } else {
            column.to_owned()
        };
        let at_once = rows_at_once(path, &file, &metadata, |column| column == leaf)?;
        let most = at_once.rows;
        let block_bytes = at_once.page.max(BLOCK_BYTES);
        let mut blocks = Vec::new();
        let mut from = 0;
        for (group, about) in metadata.metadata().row_groups().iter().enumerate() {
            let rows = usize::try_from(about.num_rows())
                .map_err(|_| malformed(path, format!("it states {} rows", about.num_rows())))?;
            let images = about
                .columns()
                .iter()
                .filter(|chunk| chunk.column_path().string() == leaf);
            let bytes: i64 = images
                .map(parquet::file::metadata::ColumnChunkMetaData::uncompressed_size)
                .sum();
            let mean = usize::try_from(bytes).unwrap_or_default() / rows.max(1);
            let step = (block_bytes / mean.max(1)).clamp(1, most);
            for within in (0..rows).step_by(step) {
                blocks.push(Span {
                    from: from + within,
                    group,
                    within,
                    rows: step.min(rows - within),
                });
            }
            from += rows;
        }
        Ok(Self {
            path: path.to_owned(),
            projection: ProjectionMask::columns(metadata.parquet_schema(), [leaf.as_str()]),
            metadata,
            blocks,
            most,
            block_bytes,
        })
    }

    /// The path that it was opened at.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// About how many bytes of images a block has.
    pub(super) fn block_bytes(&self) -> usize {
        self.block_bytes
    }

    /// The block of a row, and the row's place in it.
    pub(super) fn block_of(&self, row: usize) -> (usize, usize) {
        let block = self.blocks.partition_point(|span| span.from <= row);
        let block = block.saturating_sub(1);
        let from = self.blocks.get(block).map_or(0, |span| span.from);
        (block, row - from)
    }

    /// Reads a block.
    pub(super) fn read(&self, block: usize) -> Result<Block, DatasetError> {
        reading(&self.path, || self.block(block))
    }

    fn block(&self, block: usize) -> Result<Block, DatasetError> {
        let span = self.blocks.get(block);
        let span =
            span.ok_or_else(|| malformed(&self.path, "it has fewer rows than it says".to_owned()))?;
        let rows = RowSelection::from(vec![
            RowSelector::skip(span.within),
            RowSelector::select(span.rows),
        ]);
        let reader = self
            .builder()?
            .with_row_groups(vec![span.group])
            .with_row_selection(rows);
        let reader = reader.with_batch_size(span.rows).build();
        let mut images = self.images(reader.map_err(|error| broken(&self.path, &error))?);
        let images = images.next().transpose()?;
        images.ok_or_else(|| malformed(&self.path, "it has fewer rows than it says".to_owned()))
    }

    /// The BLAKE3 digest of every image, in the order of the rows.
    pub(super) fn digests(&self) -> Result<Vec<[u8; 32]>, DatasetError> {
        reading(&self.path, || self.digests_of_all())
    }

    fn digests_of_all(&self) -> Result<Vec<[u8; 32]>, DatasetError> {
        let reader = self
            .builder()?
            .with_batch_size(self.most.min(BATCH))
            .build();
        let mut digests = Vec::new();
        for images in self.images(reader.map_err(|error| broken(&self.path, &error))?) {
            let images = images?;
            for place in 0..images.0.len() {
                let image = images.image(place).ok_or_else(|| {
                    malformed(
                        &self.path,
                        format!("row {} has no image", digests.len() + 1),
                    )
                })?;
                digests.push(*blake3::hash(image).as_bytes());
            }
        }
        Ok(digests)
    }

    fn builder(&self) -> Result<ParquetRecordBatchReaderBuilder<File>, DatasetError> {
        let hint = "it was there when the folder was listed";
        let file =
            File::open(&self.path).map_err(|source| DatasetError::io(&self.path, source, hint))?;
        let builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone());
        Ok(builder.with_projection(self.projection.clone()))
    }

    /// The bytes in what a reader gives.
    fn images(
        &self,
        reader: ParquetRecordBatchReader,
    ) -> impl Iterator<Item = Result<Block, DatasetError>> {
        reader.map(|batch| {
            let batch = batch.map_err(|error| broken(&self.path, &error))?;
            let column = batch.column(0);
            let bytes: ArrayRef = match column.as_struct_opt() {
                Some(structure) => structure.column(0).clone(),
                None => column.clone(),
            };
            let bytes =
                cast(&bytes, &DataType::LargeBinary).map_err(|error| broken(&self.path, &error))?;
            Ok(Block(bytes.as_binary::<i64>().clone()))
        })
    }
}
