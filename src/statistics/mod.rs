//! Statistics of scores: intervals, tests, components of variance, calibration. One file a method, with its theory at the top.
//!
//! Everything here is a function of numbers in `f64`: no file, no tensor, nothing of a metric or of a report. Sums go in a fixed order,
//! so that values do not depend on the number of threads. What has no value (no samples, matrices of different shapes) is `None`, or not
//! a number where the text says so; nothing is made up for it. `docs/concepts/statistics.md` says which method stands where in a report, and what
//! was measured of each.
//!
//! # Parity
//! `tests/golden/statistics`, with the tolerances of its README.

pub mod bootstrap;
pub mod calibration;
pub mod components;
mod distributions;
pub mod halving;
pub mod holm;
pub mod mcnemar;
pub mod mean;
pub mod outside;
pub mod paired;
pub mod proportion;

#[cfg(test)]
mod tests;

pub use distributions::{normal_quantile, normal_two_sided, student_quantile, student_two_sided};

/// The level of every interval that metrics and reports give.
pub const CONFIDENCE: f64 = 0.95;
