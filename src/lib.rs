//! `repro` makes a machine-learning paper's results reproducible.
//!
//! An experiment is a graph in TOML. Text becomes a graph ([`spec`], [`graph`]), the graph a plan ([`plan`]), the plan is carried
//! out ([`exec`]) over plug-ins ([`datasets`], [`models`], [`heads`], [`metrics`]) into a content-addressed [`store`], and the
//! store is shown ([`report`], [`view`], [`cli`]). Files that others publish are downloaded by [`fetch`]. `ARCHITECTURE.md` has the map and
//! the invariants.

mod atomic_file;
pub mod axes;
pub mod bug;
mod byte_reader;
pub mod checked_blocks;
pub mod checked_file;
pub mod cli;
pub mod cluster;
pub mod collect;
mod contained;
pub mod datasets;
pub mod diff;
pub mod diffusion;
pub mod disk;
pub mod doctor;
pub mod exec;
pub mod feature_type;
pub mod fetch;
pub mod graph;
pub mod heads;
pub mod imaging;
pub mod inputs;
pub mod limits;
mod lock_file;
pub mod machine;
pub mod message;
pub mod metrics;
pub mod models;
pub mod npy;
mod numbers;
pub mod papers;
pub mod plan;
pub mod random;
pub mod recognized;
pub mod remote;
pub mod report;
pub mod spec;
pub mod statistics;
pub mod store;
pub mod text;
pub mod trainer;
pub mod view;
pub mod visible;
pub mod warning;
mod zip_archive;
