//! What was typed: an experiment file as a tree of located values.
//!
//! Start with [`source`], which holds the text and turns offsets into lines and columns; [`tree`] parses TOML into values that
//! remember where they stand, [`compose`] lays them over each other (files that are [`mod@include`]d, profiles, `--set`),
//! [`sections`] finds the nodes, [`sweep`] expands lists into grids, and [`fields`] reads one node key
//! by key. [`key`] declares keys, [`form`] the forms of their values, [`kind`] what a node may be. Errors become
//! [`diagnostic::Diagnostic`]s; none of them stops the reading, so that all of them are reported in one go.
//!
//! **Architecture invariant:** nothing here reads a file other than the experiment file itself, knows what a tensor is,
//! or depends on the clock or the environment.

mod advice;
pub mod compose;
pub mod diagnostic;
pub mod fields;
mod folding;
pub mod follow_ups;
pub mod form;
pub mod include;
pub mod key;
pub mod kind;
pub mod printed;
pub mod sections;
mod snippet;
pub mod source;
pub mod suggest;
pub mod sweep;
mod synonyms;
mod syntax;
pub mod tree;
mod variant;

pub use advice::Wanted;
pub use diagnostic::{Diagnostic, DiagnosticRecord, Diagnostics, Severity};
pub use fields::Fields;
pub use form::{
    Boolean, Choice, Count, Custom, List, Map, Nested, Number, OneOf, OrWord, Seed, Shape, Text,
    WordOr, WordOrNode,
};
pub use key::{AnyKey, Key, KeyDoc, Keys, Lists};
pub use kind::{Kind, KindDoc, Parse, ParseWith};
pub use sections::Sections;
pub use source::{Source, Span};
pub use tree::{Node, Table, Value};
