//! Asking the store in SQL. Nothing outside this file and its folder knows the engine, polars.
//!
//! # Tables
//!
//! | table | rows |
//! |---|---|
//! | `results` | every scored value of every metric artifact: the columns of [`ResultRow::to_batch`](super::ResultRow::to_batch), null where a table lacks one |
//! | `curves` | the learning curves of all heads, and `head_fingerprint` |
//! | `predictions` | the predictions of all heads, and `head_fingerprint` |
//! | `selection` | what heads with a validation split may be chosen by, and `head_fingerprint` |
//! | `fit` | where fits of heads to all samples ended, and `head_fingerprint` |
//! | `path` | the penalties that heads were chosen from, and `head_fingerprint` |
//! | `logits_<hex>` | the logits of one head, where it keeps them, named by the first 12 (at least 4) digits of its fingerprint |
//! | `artifacts` | one row an artifact: `fingerprint`, `kind`, `label`, `rows`, `bytes`, `made_at` |
//! | `features_<hex>` | the vectors of one feature artifact, named by the first 12 (at least 4) digits of its fingerprint |
//!
//! Files are read as they are there, after a look at their sizes; [`Store::verify`](super::Store::verify) is what
//! compares their digests.

mod explain;
mod results;

use std::collections::BTreeMap;
use std::path::PathBuf;

use polars::io::HiveOptions;
use polars::prelude::{
    AnyValue, Column, DataFrame, IntoLazy, IpcScanOptions, LazyFrame, PlRefPath, PolarsError,
    PolarsResult, ScanArgsParquet, ScanSources, Series, UnifiedScanArgs, col, lit,
};
use polars::sql::{SQLContext, extract_table_identifiers};

use self::explain::explain;
use super::error::StoreError;
use super::fingerprint::ArtifactKind;
use super::manifest::Manifest;
use super::names::{CANDIDATES, CURVES, FIT, PATH, PREDICTIONS, SELECTION, table_file};
use super::part::part_index;
use super::query_result::{Cell, QueryError, QueryResult};
use super::results::{AxisType, ResultRow};
use super::root::Store;

const RESULTS: &str = "results";
const FEATURES_PREFIX: &str = "features_";
const LOGITS_PREFIX: &str = "logits_";
const LOGITS_FILE: &str = "logits.parquet";
/// Fewer digits of a fingerprint than these are not taken for one.
const FEWEST_DIGITS: usize = 4;
/// Values of a vector that its summary shows.
const SHOWN_VALUES: usize = 3;

/// The tables of one query, by name.
type Tables = BTreeMap<String, LazyFrame>;

/// A column of an axis, or of a role's fingerprints, that the table `results` has even where no result fills it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownColumn<'a> {
    /// The column's name in SQL.
    pub name: &'a str,
    /// The type of an axis' values; fingerprints are texts.
    pub kind: AxisType,
}

impl Store {
    /// Runs one SQL statement (in the dialect of polars) over the tables described above. `known` are the columns of `results` that
    /// are there before any result is, in their order.
    ///
    /// # Errors
    ///
    /// [`QueryError::Sql`] with the engine's message and which tables and columns there are; [`QueryError::Store`]
    /// when the store cannot be read.
    pub fn query(&self, sql: &str, known: &[KnownColumn<'_>]) -> Result<QueryResult, QueryError> {
        let (manifests, _) = self.manifests()?;
        // A query that cannot be parsed mentions no table here; executing it shows what is wrong.
        let mentioned = extract_table_identifiers(sql, false, true).unwrap_or_default();
        let rows = if mentioned.iter().any(|name| name == RESULTS) {
            self.results(&manifests)?
        } else {
            Vec::new()
        };
        let tables = self.tables(&manifests, &mentioned, (&rows, known));
        let tables =
            tables.map_err(|error| explain(&error, &mentioned, &mut Tables::new(), &manifests))?;
        let mut context = SQLContext::new();
        for (name, table) in &tables {
            context.register(name, table.clone());
        }
        context
            .execute(sql)
            .and_then(LazyFrame::collect)
            .and_then(|frame| cells(&frame))
            .map_err(|error| explain(&error, &mentioned, &mut tables.clone(), &manifests))
    }

    fn tables(
        &self,
        manifests: &[Manifest],
        mentioned: &[String],
        (rows, known): (&[ResultRow], &[KnownColumn<'_>]),
    ) -> PolarsResult<Tables> {
        let mut tables = Tables::new();
        tables.insert("artifacts".to_owned(), artifacts_table(manifests)?);
        tables.insert(RESULTS.to_owned(), results::table(rows, known)?);
        for name in [CURVES, PREDICTIONS, SELECTION, CANDIDATES, FIT, PATH] {
            if let Some(table) = self.heads_table(manifests, name)? {
                tables.insert(name.to_owned(), table);
            }
        }
        for name in mentioned {
            if let Some(table) = self.features_table(manifests, name)? {
                tables.insert(name.clone(), table);
            }
            if let Some(table) = self.logits_table(manifests, name)? {
                tables.insert(name.clone(), table);
            }
        }
        Ok(tables)
    }

    /// The rows of all tables of results, of this release and of others.
    fn results(&self, manifests: &[Manifest]) -> Result<Vec<ResultRow>, StoreError> {
        let file = table_file(RESULTS);
        let mut rows = Vec::new();
        for manifest in manifests {
            if manifest.kind == ArtifactKind::Metric && manifest.file(&file).is_some() {
                let table = self.table(&manifest.fingerprint, RESULTS)?;
                rows.extend(ResultRow::from_batch(&table).map_err(|error| match error {
                    StoreError::BadTable { reason } => StoreError::BadTable {
                        reason: format!("artifact {}: {reason}", manifest.fingerprint.short()),
                    },
                    other => other,
                })?);
            }
        }
        Ok(rows)
    }

    fn heads_table(&self, manifests: &[Manifest], name: &str) -> PolarsResult<Option<LazyFrame>> {
        const PATH: &str = "path of the file";
        let file = format!("{name}.parquet");
        let files = self.files(manifests, ArtifactKind::Head, &file);
        if files.is_empty() {
            return Ok(None);
        }
        let arguments = ScanArgsParquet {
            include_file_paths: Some(PATH.into()),
            allow_missing_columns: true,
            ..parquet()
        };
        let table = LazyFrame::scan_parquet_sources(sources(&files)?, arguments)?;
        // The path ends in the artifact's fingerprint of 64 digits, a slash, and the file's name.
        let from_the_end = i64::try_from(64 + 1 + file.len()).unwrap_or(i64::MAX);
        let fingerprint = col(PATH)
            .str()
            .slice(lit(-from_the_end), lit(64))
            .alias("head_fingerprint");
        Ok(Some(
            table
                .with_column(fingerprint)
                .drop(polars::prelude::cols([PATH])),
        ))
    }

    /// The logits that a table's name speaks of, if it speaks of those of exactly one head. Their lists are as long as there are classes, so
    /// that those of all heads make no table.
    fn logits_table(&self, manifests: &[Manifest], name: &str) -> PolarsResult<Option<LazyFrame>> {
        let with_logits = |manifest: &&Manifest| {
            manifest.kind == ArtifactKind::Head && manifest.file(LOGITS_FILE).is_some()
        };
        let heads = manifests.iter().filter(with_logits);
        let Some(manifest) = named(name, LOGITS_PREFIX, heads) else {
            return Ok(None);
        };
        let folder = self.artifact_folder(manifest.kind, &manifest.fingerprint);
        let files = [folder.join(LOGITS_FILE)];
        LazyFrame::scan_parquet_sources(sources(&files)?, parquet()).map(Some)
    }

    /// The feature artifact that a table's name speaks of, if it speaks of exactly one.
    fn features_table(
        &self,
        manifests: &[Manifest],
        name: &str,
    ) -> PolarsResult<Option<LazyFrame>> {
        let features = manifests
            .iter()
            .filter(|manifest| manifest.kind == ArtifactKind::Features);
        let Some(manifest) = named(name, FEATURES_PREFIX, features) else {
            return Ok(None);
        };
        let folder = self.artifact_folder(manifest.kind, &manifest.fingerprint);
        let parts = manifest
            .files
            .iter()
            .filter(|file| part_index(&file.name).is_some());
        let files: Vec<PathBuf> = parts.map(|file| folder.join(&file.name)).collect();
        let arguments = UnifiedScanArgs {
            glob: false,
            hive_options: HiveOptions::new_disabled(),
            ..UnifiedScanArgs::default()
        };
        LazyFrame::scan_ipc_sources(sources(&files)?, IpcScanOptions::default(), arguments)
            .map(Some)
    }

    /// The files of that name in all artifacts of a kind.
    fn files(&self, manifests: &[Manifest], kind: ArtifactKind, name: &str) -> Vec<PathBuf> {
        manifests
            .iter()
            .filter(|manifest| manifest.kind == kind && manifest.file(name).is_some())
            .map(|manifest| self.artifact_folder(kind, &manifest.fingerprint).join(name))
            .collect()
    }
}

/// The artifact whose fingerprint a table's name gives the first digits of, if there is exactly one.
fn named<'m>(
    name: &str,
    prefix: &str,
    mut artifacts: impl Iterator<Item = &'m Manifest>,
) -> Option<&'m Manifest> {
    let digits = name
        .strip_prefix(prefix)
        .filter(|digits| digits.len() >= FEWEST_DIGITS)?;
    let fits = |manifest: &&Manifest| manifest.fingerprint.to_string().starts_with(digits);
    let found = artifacts.find(fits)?;
    match artifacts.find(fits) {
        Some(_) => None,
        None => Some(found),
    }
}

/// How the store's Parquet files are read: their paths as they are, with no meaning in `*` or `=`.
fn parquet() -> ScanArgsParquet {
    ScanArgsParquet {
        glob: false,
        hive_options: HiveOptions::new_disabled(),
        ..ScanArgsParquet::default()
    }
}

fn sources(files: &[PathBuf]) -> PolarsResult<ScanSources> {
    let paths = files.iter().map(|file| {
        let file = std::path::absolute(file).map_err(PolarsError::from)?;
        PlRefPath::try_from_path(&file)
    });
    Ok(ScanSources::Paths(
        paths
            .collect::<PolarsResult<Vec<_>>>()?
            .into_iter()
            .collect(),
    ))
}

fn artifacts_table(manifests: &[Manifest]) -> PolarsResult<LazyFrame> {
    let texts = |name: &str, text: fn(&Manifest) -> String| {
        Column::new(
            name.into(),
            manifests.iter().map(text).collect::<Vec<String>>(),
        )
    };
    let numbers = |name: &str, number: fn(&Manifest) -> u64| {
        Column::new(
            name.into(),
            manifests.iter().map(number).collect::<Vec<u64>>(),
        )
    };
    let columns = vec![
        texts("fingerprint", |manifest| manifest.fingerprint.to_string()),
        texts("kind", |manifest| manifest.kind.to_string()),
        texts("label", |manifest| manifest.label.clone()),
        numbers("rows", |manifest| manifest.rows),
        numbers("bytes", Manifest::bytes),
        texts("made_at", |manifest| manifest.made.at.clone()),
    ];
    Ok(DataFrame::new(manifests.len(), columns)?.lazy())
}

fn cells(frame: &DataFrame) -> PolarsResult<QueryResult> {
    let columns = frame
        .get_column_names()
        .into_iter()
        .map(ToString::to_string)
        .collect();
    let row = |row| {
        frame
            .columns()
            .iter()
            .map(|column| column.get(row).map(|value| cell(&value)))
            .collect()
    };
    let rows = (0..frame.height()).map(row).collect::<PolarsResult<_>>()?;
    Ok(QueryResult { columns, rows })
}

fn cell(value: &AnyValue<'_>) -> Cell {
    match value {
        AnyValue::Null => Cell::Null,
        AnyValue::Boolean(value) => Cell::Boolean(*value),
        AnyValue::String(text) => Cell::Text((*text).to_owned()),
        AnyValue::StringOwned(text) => Cell::Text(text.to_string()),
        AnyValue::UInt8(value) => Cell::Integer((*value).into()),
        AnyValue::UInt16(value) => Cell::Integer((*value).into()),
        AnyValue::UInt32(value) => Cell::Integer((*value).into()),
        AnyValue::UInt64(value) => Cell::Integer((*value).into()),
        AnyValue::Int8(value) => Cell::Integer((*value).into()),
        AnyValue::Int16(value) => Cell::Integer((*value).into()),
        AnyValue::Int32(value) => Cell::Integer((*value).into()),
        AnyValue::Int64(value) => Cell::Integer((*value).into()),
        AnyValue::Int128(value) => Cell::Integer(*value),
        AnyValue::Float16(value) => short_number(f32::from(*value)),
        AnyValue::Float32(value) => short_number(*value),
        AnyValue::Float64(value) => Cell::Number(*value),
        AnyValue::Array(values, _) | AnyValue::List(values) => Cell::Vector(summary(values)),
        // What no table of the store holds, but a query may compute.
        other => Cell::Text(other.to_string()),
    }
}

/// The double that is written with the same few digits as the float: 0.1, not 0.10000000149011612.
fn short_number(value: f32) -> Cell {
    Cell::Number(value.to_string().parse().unwrap_or_else(|_| value.into()))
}

fn summary(values: &Series) -> String {
    let mut shown: Vec<String> = values
        .iter()
        .take(SHOWN_VALUES)
        .map(|value| cell(&value).to_string())
        .collect();
    if values.len() > SHOWN_VALUES {
        shown.push(format!("… {} values", values.len()));
    }
    format!("[{}]", shown.join(", "))
}
