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
//! A query is one `SELECT` over these tables, and reads nothing else (`statement`). Of the artifacts, only those behind the tables that
//! it names are read, and only after their bytes were compared with the digests in their manifests (`sound`). What is damaged is
//! told, with the rows that the answer lacks because of it.

mod explain;
mod results;
mod sound;
mod statement;

use std::collections::BTreeMap;
use std::path::PathBuf;

use polars::io::HiveOptions;
use polars::prelude::{
    AnyValue, Column, DataFrame, IntoLazy, IpcScanOptions, LazyFrame, PlRefPath, PolarsError,
    PolarsResult, ScanArgsParquet, ScanSources, Series, UnifiedScanArgs, col, lit,
};
use polars::sql::SQLContext;

use self::explain::explain;
use self::sound::Reading;
use super::manifest::Manifest;
use super::names::{CANDIDATES, CURVES, FIT, PATH, PREDICTIONS, SELECTION, table_file};
use super::query_result::{Cell, Lacking, QueryError, QueryResult};
use super::results::AxisType;
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

/// The tables over all heads, each of one file of every head that has it.
const OF_HEADS: [&str; 6] = [CURVES, PREDICTIONS, SELECTION, CANDIDATES, FIT, PATH];

/// A column of an axis, or of a role's fingerprints, that the table `results` has even where no result fills it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownColumn<'a> {
    /// The column's name in SQL.
    pub name: &'a str,
    /// The type of an axis' values; fingerprints are texts.
    pub kind: AxisType,
}

impl Store {
    /// Runs one `SELECT` (in the dialect of polars) over the tables described above. `known` are the columns of `results` that
    /// are there before any result is, in their order. What the answer lacks because artifacts are damaged is told to `lacking`, before
    /// the answer is computed.
    ///
    /// # Errors
    ///
    /// [`QueryError::Refused`] for what is not one `SELECT` over these tables; [`QueryError::Sql`] with the engine's message and which
    /// tables and columns there are; [`QueryError::Damaged`] where nothing of a table can be read; [`QueryError::Store`] when the store
    /// cannot be read.
    pub fn query(
        &self,
        sql: &str,
        known: &[KnownColumn<'_>],
        lacking: &mut dyn FnMut(&Lacking),
    ) -> Result<QueryResult, QueryError> {
        let (manifests, problems) = self.manifests()?;
        let mentioned = match statement::tables_of(sql) {
            Ok(mentioned) => mentioned,
            Err(statement::Fault::Refused(message)) => return Err(QueryError::Refused(message)),
            Err(statement::Fault::Unreadable(reason)) => {
                let error = PolarsError::SQLInterface(reason.into());
                return Err(explain(&error, &[], &mut Tables::new(), &manifests));
            }
        };
        let mut reading = Reading::new(self, &manifests, &problems, lacking);
        let tables = tables(&mut reading, &mentioned, known)?;
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
}

/// The tables of the store that a query names.
fn tables(
    reading: &mut Reading<'_>,
    mentioned: &[String],
    known: &[KnownColumn<'_>],
) -> Result<Tables, QueryError> {
    let mut tables = Tables::new();
    for name in mentioned {
        let engine = |error: PolarsError| QueryError::Sql {
            message: error.to_string(),
            hint: format!(
                "the table `{name}` cannot be read; `repro cache verify` looks for damage"
            ),
        };
        let table = match name.as_str() {
            "artifacts" => {
                reading.list_all();
                Some(artifacts_table(reading.manifests).map_err(engine)?)
            }
            RESULTS => {
                let rows = reading.results()?;
                Some(results::table(&rows, known).map_err(engine)?)
            }
            name if OF_HEADS.contains(&name) => {
                let files = reading.heads(name)?;
                (!files.is_empty())
                    .then(|| heads_table(&files, name))
                    .transpose()
                    .map_err(engine)?
            }
            name => match (reading.features(name)?, reading.logits(name)?) {
                (Some(parts), _) => Some(features_table(&parts).map_err(engine)?),
                (None, Some(file)) => Some(logits_table(&file).map_err(engine)?),
                (None, None) => None,
            },
        };
        if let Some(table) = table {
            tables.insert(name.clone(), table);
        }
    }
    Ok(tables)
}

/// One table of all heads that have it, each row with the fingerprint of its head. `name` is that of the file in their folders.
fn heads_table(files: &[PathBuf], name: &str) -> PolarsResult<LazyFrame> {
    const PATH: &str = "path of the file";
    let arguments = ScanArgsParquet {
        include_file_paths: Some(PATH.into()),
        allow_missing_columns: true,
        ..parquet()
    };
    let table = LazyFrame::scan_parquet_sources(sources(files)?, arguments)?;
    // The path ends in the artifact's fingerprint of 64 digits, a slash, and the file's name.
    let from_the_end = i64::try_from(64 + 1 + table_file(name).len()).unwrap_or(i64::MAX);
    let fingerprint = col(PATH)
        .str()
        .slice(lit(-from_the_end), lit(64))
        .alias("head_fingerprint");
    Ok(table
        .with_column(fingerprint)
        .drop(polars::prelude::cols([PATH])))
}

/// The logits of one head. Their lists are as long as there are classes, so that those of all heads make no table.
fn logits_table(file: &PathBuf) -> PolarsResult<LazyFrame> {
    LazyFrame::scan_parquet_sources(sources(std::slice::from_ref(file))?, parquet())
}

/// The parts of one artifact of features.
fn features_table(parts: &[PathBuf]) -> PolarsResult<LazyFrame> {
    let arguments = UnifiedScanArgs {
        glob: false,
        hive_options: HiveOptions::new_disabled(),
        ..UnifiedScanArgs::default()
    };
    LazyFrame::scan_ipc_sources(sources(parts)?, IpcScanOptions::default(), arguments)
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
