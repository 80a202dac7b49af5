//! Parts: Arrow IPC files that are written once and then mapped into memory.
//!
//! A part holds one record batch, of features or of images ([`PartForm`]). That of features has the columns `id`, `split`, `label`,
//! `view`, `draw` and `feature`, the last a fixed-size list of floats without nulls, so that its values are stored as one
//! row-major matrix `[rows, width]`, 64-byte aligned. That of images has the columns `id` and `image`. The schema's metadata holds the
//! recipe. The footer's metadata holds the BLAKE3 digest of all bytes before the footer: with it a part proves itself before there
//! is a manifest.
//!
//! The same content always gives the same bytes.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, FixedSizeListArray, Float16Array, Float32Array, RecordBatch, StringArray, UInt32Array,
};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::ipc::writer::FileWriter;
use half::f16;

use super::commit::StagedFile;
use super::error::StoreError;
use super::fingerprint::Fingerprint;
use super::manifest::FileEntry;
use super::recipe::Recipe;
use crate::feature_type::FeatureType;

/// Format of parts and tables, kept in their metadata under [`FORMAT_KEY`].
pub(super) const FILE_FORMAT: &str = "1";
/// Metadata key of the fingerprint, in every Arrow and Parquet file of the store.
pub(super) const FINGERPRINT_KEY: &str = "repro.fingerprint";
/// Metadata key of the recipe's canonical JSON.
pub(super) const RECIPE_KEY: &str = "repro.recipe";
/// Metadata key of [`FILE_FORMAT`].
pub(super) const FORMAT_KEY: &str = "repro.format";
/// Key in the footer of a part: BLAKE3 of all bytes before the end of the last record batch.
pub(super) const BODY_KEY: &str = "repro.body-blake3";
/// Key in the footer of a part: what computed it, such as "cpu".
pub(super) const DEVICE_KEY: &str = "repro.device";
/// Key in the footer of a part: the instructions of the CPU that computed it, such as "AVX512".
pub(super) const INSTRUCTIONS_KEY: &str = "repro.instructions";

/// What computes parts; it can change the last digits of what they hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComputedOn {
    /// The device, such as "cpu" or "cuda:0".
    pub device: String,
    /// The instructions of the CPU, such as "AVX512".
    pub instructions: String,
}

/// The rows of one part. All slices have the same length, the number of rows.
#[derive(Debug, Clone)]
pub struct FeaturePart<'a> {
    /// Sample ids, as the dataset's manifest lists them.
    pub ids: &'a [String],
    /// Split of every sample, such as "train".
    pub splits: &'a [String],
    /// Class index of every sample, from 0; `None` where the dataset has no classes.
    pub labels: Option<&'a [u32]>,
    /// View of the image that was looked at, such as "center".
    pub views: &'a [String],
    /// Index of the noise draw, from 0.
    pub draws: &'a [u32],
    /// Length of one feature vector; at least 1.
    pub width: usize,
    /// The vectors, row-major `[rows, width]`.
    pub values: FeatureValues,
}

/// Feature values, row-major `[rows, width]`.
#[derive(Debug, Clone, PartialEq)]
pub enum FeatureValues {
    /// Single precision.
    F32(Vec<f32>),
    /// Half precision.
    F16(Vec<f16>),
}

impl FeatureValues {
    /// Number of values, over all rows.
    pub const fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F16(values) => values.len(),
        }
    }

    /// Whether there are no values at all.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Type of the values.
    pub const fn feature_type(&self) -> FeatureType {
        match self {
            Self::F32(_) => FeatureType::F32,
            Self::F16(_) => FeatureType::F16,
        }
    }
}

/// How Arrow calls the type.
const fn arrow_type(of: FeatureType) -> DataType {
    match of {
        FeatureType::F32 => DataType::Float32,
        FeatureType::F16 => DataType::Float16,
    }
}

/// What the rows of a part are; all parts of an artifact are alike in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PartForm {
    /// One feature vector a row.
    Features {
        /// Length of one vector.
        width: usize,
        /// Type of its values.
        values: FeatureType,
        /// Whether samples have classes.
        labeled: bool,
    },
    /// Encoded images.
    Images,
}

impl fmt::Display for PartForm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Features {
                width,
                values,
                labeled,
            } => {
                let labels = if *labeled { "" } else { " without labels" };
                write!(formatter, "{width} {values:?} values{labels}")
            }
            Self::Images => formatter.write_str("an image"),
        }
    }
}

/// File name of a part.
pub(super) fn part_name(part: u32) -> String {
    format!("part-{part:05}.arrow")
}

/// Index of the part that has this file name.
pub(super) fn part_index(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("part-")?.strip_suffix(".arrow")?;
    let index = digits.parse().ok()?;
    (part_name(index) == name).then_some(index)
}

/// Schema of the parts of `recipe`'s artifact; `None` for vectors that are longer than Arrow's.
pub(super) fn schema(recipe: &Recipe, form: PartForm) -> Option<Schema> {
    let fields = match form {
        PartForm::Features {
            width,
            values,
            labeled,
        } => {
            let item = Arc::new(Field::new("item", arrow_type(values), false));
            let width = i32::try_from(width).ok()?;
            vec![
                Field::new("id", DataType::Utf8, false),
                Field::new("split", DataType::Utf8, false),
                Field::new("label", DataType::UInt32, !labeled),
                Field::new("view", DataType::Utf8, false),
                Field::new("draw", DataType::UInt32, false),
                Field::new("feature", DataType::FixedSizeList(item, width), false),
            ]
        }
        PartForm::Images => vec![
            Field::new("id", DataType::Utf8, false),
            Field::new("image", DataType::LargeBinary, false),
        ],
    };
    let metadata = file_metadata(recipe).into_iter().collect::<HashMap<_, _>>();
    Some(Schema::new_with_metadata(fields, metadata))
}

/// What every Arrow and Parquet file of an artifact has in its metadata.
pub(super) fn file_metadata(recipe: &Recipe) -> [(String, String); 3] {
    [
        (FINGERPRINT_KEY.to_owned(), recipe.fingerprint().to_string()),
        (FORMAT_KEY.to_owned(), FILE_FORMAT.to_owned()),
        (RECIPE_KEY.to_owned(), recipe.json().to_owned()),
    ]
}

impl FeaturePart<'_> {
    /// What decides the columns of the part.
    pub(super) const fn form(&self) -> PartForm {
        PartForm::Features {
            width: self.width,
            values: self.values.feature_type(),
            labeled: self.labels.is_some(),
        }
    }

    /// Lays out a part as a record batch, or returns how the part contradicts itself.
    pub(super) fn batch(self, recipe: &Recipe) -> Result<RecordBatch, String> {
        let rows = self.ids.len();
        let lengths = [
            ("splits", self.splits.len()),
            ("labels", self.labels.map_or(rows, <[u32]>::len)),
            ("views", self.views.len()),
            ("draws", self.draws.len()),
        ];
        if let Some((name, length)) = lengths.into_iter().find(|(_, length)| *length != rows) {
            return Err(format!("{rows} ids but {length} {name}"));
        }
        let width = i32::try_from(self.width).ok().filter(|width| *width > 0);
        let schema = schema(recipe, self.form());
        let (Some(width), Some(schema)) = (width, schema) else {
            return Err(format!("vectors of {} values", self.width));
        };
        if self.width.checked_mul(rows) != Some(self.values.len()) {
            return Err(format!(
                "{rows} rows of {} values each, but {} values",
                self.width,
                self.values.len()
            ));
        }
        let values: ArrayRef = match self.values {
            FeatureValues::F32(values) => Arc::new(Float32Array::from(values)),
            FeatureValues::F16(values) => Arc::new(Float16Array::from(values)),
        };
        let item = Arc::new(Field::new("item", values.data_type().clone(), false));
        let text =
            |texts: &[String]| -> ArrayRef { Arc::new(StringArray::from_iter_values(texts)) };
        let number = |numbers: &[u32]| UInt32Array::from(numbers.to_vec());
        let labels = self
            .labels
            .map_or_else(|| UInt32Array::new_null(rows), number);
        let columns = vec![
            text(self.ids),
            text(self.splits),
            Arc::new(labels),
            text(self.views),
            Arc::new(number(self.draws)),
            Arc::new(
                FixedSizeListArray::try_new(item, width, values, None)
                    .map_err(|error| error.to_string())?,
            ),
        ];
        RecordBatch::try_new(Arc::new(schema), columns).map_err(|error| error.to_string())
    }
}

/// Digests all that passes through on its way to the file.
struct Digesting {
    file: StagedFile,
    digest: blake3::Hasher,
    bytes: u64,
}

impl Write for Digesting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        if let Some(done) = bytes.get(..written) {
            self.digest.update(done);
        }
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes and commits one part; `target` is its file. `None` where a file of that name is there already: of two writers the first
/// one wins.
pub(super) fn write(
    target: &Path,
    name: &str,
    recipe: &Recipe,
    computed_on: Option<&ComputedOn>,
    batch: &RecordBatch,
) -> Result<Option<FileEntry>, StoreError> {
    let bad = |reason| StoreError::BadContent {
        artifact: recipe.fingerprint(),
        name: name.to_owned(),
        reason,
    };
    let needed = u64::try_from(batch.get_array_memory_size()).ok();
    let file = StagedFile::create(target, needed)?;
    let failed = |error| match error {
        ArrowError::IoError(_, source) => StoreError::io("write", target, needed, source),
        other => bad(other.to_string()),
    };
    let sink = Digesting {
        file,
        digest: blake3::Hasher::new(),
        bytes: 0,
    };
    let mut writer = FileWriter::try_new(sink, batch.schema_ref()).map_err(failed)?;
    writer.write(batch).map_err(failed)?;
    let body = writer.get_ref().digest.finalize();
    writer.write_metadata(BODY_KEY, body.to_hex().as_str());
    if let Some(computed_on) = computed_on {
        writer.write_metadata(DEVICE_KEY, &computed_on.device);
        writer.write_metadata(INSTRUCTIONS_KEY, &computed_on.instructions);
    }
    writer.finish().map_err(failed)?;
    let Digesting {
        file,
        digest,
        bytes,
    } = writer.into_inner().map_err(failed)?;
    match file.commit_if_absent() {
        Ok(true) => {}
        Ok(false) => return Ok(None),
        // Whoever finished the artifact meanwhile has cleared the temporary file away.
        Err(StoreError::Io { source, .. })
            if source.kind() == io::ErrorKind::NotFound && target.exists() =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    }
    Ok(Some(FileEntry {
        name: name.to_owned(),
        bytes,
        blake3: Fingerprint(*digest.finalize().as_bytes()),
        rows: batch.num_rows() as u64,
        device: computed_on.map(|on| on.device.clone()),
        instructions: computed_on.map(|on| on.instructions.clone()),
    }))
}
