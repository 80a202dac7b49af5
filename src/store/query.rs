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
//! | `classes` | one row a class of a dataset that results are about: `dataset`, `label`, `name` |
//! | `artifacts` | one row an artifact: `fingerprint`, `kind`, `label`, `rows`, `bytes`, `made_at` |
//! | `features_<hex>` | the vectors of one feature artifact, named by the first 12 (at least 4) digits of its fingerprint |
//!
//! A query is one `SELECT` over these tables, and reads nothing else (`statement`). Of the artifacts, only those behind the tables that
//! it names are read, and only after their bytes were compared with the digests in their manifests (`sound`). What is damaged is
//! told, with the rows that the answer lacks because of it.

mod answer;
mod bounds;
mod classes;
mod engine;
mod explain;
mod listed;
mod order;
mod results;
mod sound;
mod statement;
mod syntax;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use polars::io::HiveOptions;
use polars::prelude::{
    Column, DataFrame, DataType, IntoLazy, IpcScanOptions, LazyFrame, PlRefPath, PolarsError,
    PolarsResult, ScanArgsParquet, ScanSources, UnifiedScanArgs, col, lit,
};
use polars::sql::SQLContext;

use self::explain::explain;
use self::sound::Reading;
use super::manifest::Manifest;
use super::names::{CANDIDATES, CURVES, FIT, PATH, PREDICTIONS, SELECTION, table_file};
use super::query_result::{Lacking, QueryError};
use super::results::AxisType;
use super::root::Store;
use crate::message::Message;

pub use answer::Answer;
pub use listed::TableSummary;

const RESULTS: &str = "results";
const CLASSES: &str = "classes";
const FEATURES_PREFIX: &str = "features_";
const LOGITS_PREFIX: &str = "logits_";
const LOGITS_FILE: &str = "logits.parquet";
/// Fewer digits of a fingerprint than these are not taken for one.
const FEWEST_DIGITS: usize = 4;

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

/// What the labels of a dataset are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassNames {
    /// The digest of the dataset's manifest.
    pub digest: String,
    /// The names, by label from 0.
    pub names: Vec<String>,
}

/// What a query is answered with beside the artifacts.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// The columns of `results` that are there before any result is, in their order.
    pub columns: &'a [KnownColumn<'a>],
    /// The names of classes; asked for where a query reads them.
    pub classes: &'a dyn Fn() -> Vec<ClassNames>,
}

impl Store {
    /// Runs one `SELECT` (in the dialect of polars) over the tables described above. What the answer lacks because artifacts are damaged
    /// is told to `lacking`, before the answer is computed.
    ///
    /// # Errors
    ///
    /// [`QueryError::Refused`] for what is not one `SELECT` over these tables; [`QueryError::Sql`] with the engine's message and which
    /// tables and columns there are; [`QueryError::Damaged`] where nothing of a table can be read; [`QueryError::Store`] when the store
    /// cannot be read.
    pub fn query(
        &self,
        sql: &str,
        known: Known<'_>,
        lacking: &mut dyn FnMut(&Lacking),
    ) -> Result<Answer, QueryError> {
        self.require_readable_path()?;
        let (manifests, problems) = self.manifests()?;
        let no_thread = |error: std::io::Error| {
            QueryError::Refused(Message::new(format!(
                "the system gives no thread for the query: {error}"
            )))
        };
        let read = engine::with_room(|| statement::tables_of(sql));
        let (mentioned, order) = match read.map_err(no_thread)? {
            Ok(mentioned) => mentioned,
            Err(statement::Fault::Refused(message) | statement::Fault::Unreadable(message)) => {
                return Err(QueryError::Refused(message));
            }
        };
        let mut reading = Reading::new(self, &manifests, &problems, lacking);
        let tables = tables(&mut reading, &mentioned, known)?;
        let mut context = SQLContext::new();
        for (name, table) in &tables {
            context.register(name, table.clone());
        }
        let sql = syntax::without_exponents(sql);
        engine::with_room(|| engine::attempt(|| context.execute(&sql)?.collect()))
            .map_err(no_thread)?
            .map(|frame| Answer::new(frame, order))
            .map_err(|error| explain(&error, &mentioned, &mut tables.clone(), &manifests))
    }

    /// Refuses a store whose path the engine cannot take.
    fn require_readable_path(&self) -> Result<(), QueryError> {
        if readable(&self.root).is_some() {
            return Ok(());
        }
        Err(QueryError::Refused(
            Message::new(format!(
                "the path of the cache, {}, is not UTF-8, which the SQL engine needs",
                self.root.display()
            ))
            .hint("make a link to the folder by `ln -s`, and name that by `--cache`"),
        ))
    }
}

/// A path in a form that the engine takes: absolute, or else as it is where only what is above it is not UTF-8.
fn readable(path: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(path).ok();
    let forms = absolute.into_iter().chain([path.to_owned()]);
    forms.into_iter().find(|path| path.to_str().is_some())
}

/// The tables of the store that a query names.
fn tables(
    reading: &mut Reading<'_>,
    mentioned: &[String],
    known: Known<'_>,
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
                Some(results::table(&rows, known.columns).map_err(engine)?)
            }
            CLASSES => {
                let rows = reading.results()?;
                let classes = (known.classes)();
                Some(classes::table(&rows, reading.manifests, &classes).map_err(engine)?)
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
    let table = LazyFrame::scan_ipc_sources(sources(parts)?, IpcScanOptions::default(), arguments)?;
    // As `predictions` has it: columns of different types cannot be joined.
    Ok(table.with_column(col("label").cast(DataType::Int64)))
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
    let paths = files
        .iter()
        .map(|file| PlRefPath::try_from_path(&readable(file).unwrap_or_else(|| file.clone())));
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
