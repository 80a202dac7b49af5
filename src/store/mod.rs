//! The store: what a run keeps, named by content, committed atomically, readable by anyone.
//!
//! # What is on disk
//!
//! ```text
//! <root>/
//!   FORMAT                                  "repro-store 1"
//!   artifacts/<kind>/<2 hex>/<64 hex>/      one folder an artifact, named by its fingerprint
//!     part-00000.arrow …                    features, samples: Arrow IPC, uncompressed, made to be memory-mapped
//!     <name>.parquet                        tables: results, curves, predictions
//!     <name>.safetensors, …                 weights and other bytes
//!     manifest.json                         written last; what has no manifest does not exist
//!   checkpoints/<64 hex>/                   what trainings resume from, by step; see `checkpoints.rs`
//!   locks/artifacts-<n>.lock                who makes which artifacts now, as ranges of sixteen empty files; see `lock.rs`
//!   locks/store.lock                        who has the store open; see `clean.rs`
//!   locks/job-<name>/<shard>.lock           who computes a shard now; see `claims.rs`
//!   quarantine/<64 hex>-<n>/                damaged files and folders, moved here, never deleted
//!   damaged/<64 hex>                        that an artifact was found damaged, and how; see `lineage.rs`
//!   memo/                                   digests of input files by their size and times
//!   archives/                               what is made of datasets' archives to read them in place; may be deleted
//!   arriving/<64 hex>/                      files of an artifact on the way from a remote; see `arrivals.rs`
//!   elsewhere/<64 hex>.json                 manifests of artifacts that a remote has and nothing here needs; see `elsewhere.rs`
//!   runs/                                   records of runs
//!   uses/                                   what the last run of each experiment wanted; see `uses.rs`
//! ```
//!
//! # Rules
//!
//! - A file appears under its name only when all its bytes are on the disk: temporary file in the same folder, fsync,
//!   rename, fsync of the folder. Names that start with `.tmp-` are such temporary files and mean nothing.
//! - The manifest is the last file and lists every other one with its size and BLAKE3 digest.
//! - Parts that were committed before a run was killed are found again and kept, when they validate.
//! - Committed files are never changed, which is what makes mapping them into memory sound.
//! - Whoever makes an artifact holds its lock, a lock of the operating system, which ends with the process: there are
//!   no stale locks to remove. Parts are written without it, by as many as want to, since a part proves itself; only
//!   finishing takes the lock.
//!
//! # Main types
//!
//! [`Recipe`] gives a [`Fingerprint`]; [`Store::begin`] gives an [`ArtifactWriter`]; [`Store::features`],
//! [`Store::table`] and [`Store::bytes`] read; [`Store::listing`] lists what is there; [`Store::query`] asks all of it
//! in SQL.

mod arrivals;
mod begin;
mod canonical;
mod canonical_serializer;
mod checkpoints;
mod claims;
mod clean;
mod commit;
mod elsewhere;
mod error;
mod export;
mod features;
mod fingerprint;
mod images;
mod kept_file;
mod lineage;
mod listing;
mod lock;
mod manifest;
mod memo;
pub mod names;
mod part;
mod part_reader;
mod parts;
mod quarantine;
mod query;
mod query_result;
mod recipe;
mod remove;
mod results;
mod results_table;
mod root;
mod scratch;
mod summary;
mod tables;
#[cfg(test)]
mod tests;
mod unusable;
mod uses;
mod verify;
mod writer;

pub use arrivals::{Arrival, Arriving, ArrivingFile};
pub use begin::Begin;
pub use canonical::CanonicalError;
pub use checkpoints::{Checkpoint, Checkpoints};
pub use claims::{Claim, Claims};
pub use clean::Leftovers;
pub use error::StoreError;
pub use features::{FeaturePartReader, FeatureReader};
pub use fingerprint::{ArtifactKind, Fingerprint, FingerprintError};
pub use images::{ImagePart, ImageReader};
pub use lineage::Derived;
pub use listing::{Entry, INSTRUCTIONS, Listing, Partial, Problem};
pub use lock::{OnWait, Patience, Waiting, wait_quietly};
pub use manifest::{FileEntry, MANIFEST_FORMAT, Made, Manifest};
pub use memo::Memo;
pub use part::{ComputedOn, FeaturePart, FeatureValues};
pub use quarantine::SetAside;
pub use query::{Answer, ClassNames, Known, KnownColumn, TableSummary};
pub use query_result::{AFTER_DAMAGE, Cell, Lacking, QueryError};
pub use recipe::{FieldChange, Recipe, RecipeError};
pub use remove::{Alone, KeptCheckpoints};
pub use results::{AxisType, AxisValue, Better, Counted, ResultRow};
pub use results_table::{FIXED_COLUMNS, ResultColumn, source_column};
pub use root::{STORE_FORMAT, Store};
pub use scratch::Scratch;
pub use uses::Use;
pub use writer::{ArtifactWriter, CommittedParts};
