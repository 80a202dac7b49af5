//! The sets that are compared: their column means, and what makes a comparison impossible.

use std::ops::Range;

use rayon::prelude::*;

use super::hsic::Hsic;
use crate::metrics::{FeatureSource, MetricError};

/// Values that are read at once for the means.
const READ_AT_ONCE: usize = 1 << 18;

/// Where features come from: those of the cache in f32, in tests also values in f64.
pub(super) trait Rows: Sync {
    /// The number type that they are read in.
    type Value: Copy + Default + PartialEq + Into<f64> + Send + Sync;

    /// What messages call them.
    fn name(&self) -> String;

    /// How many samples it has; rows count from 0.
    fn count(&self) -> usize;

    /// Values of one feature.
    fn width(&self) -> usize;

    /// Copies the features of some rows, `[rows, width]`.
    fn read(&self, rows: Range<usize>, into: &mut [Self::Value]) -> Result<(), String>;
}

impl Rows for &dyn FeatureSource {
    type Value = f32;

    fn name(&self) -> String {
        FeatureSource::name(*self)
    }

    fn count(&self) -> usize {
        self.rows()
    }

    fn width(&self) -> usize {
        FeatureSource::width(*self)
    }

    fn read(&self, rows: Range<usize>, into: &mut [f32]) -> Result<(), String> {
        FeatureSource::read(*self, rows, into)
    }
}

/// One set, and what is subtracted from its columns.
pub(super) struct Set<'a, R> {
    /// Where its features are read from.
    pub(super) source: &'a R,
    /// The mean of each feature value over all samples; subtracted from every row.
    pub(super) means: Vec<f64>,
}

/// Reads every set once, for its means.
///
/// # Errors
/// Sets of fewer samples than `least` or of different numbers of samples, features that are all alike, NaN or infinite, or cannot be read,
/// and a user who wants to stop.
pub(super) fn open<'a, R: Rows>(
    sources: &[&'a R],
    least: usize,
    keep_going: &(dyn Fn() -> bool + Sync),
) -> Result<Vec<Set<'a, R>>, MetricError> {
    if let [first, others @ ..] = sources {
        if let Some(other) = others.iter().find(|other| other.count() != first.count()) {
            return Err(MetricError::Input(format!(
                "{} have {} samples, {} have {}: features can be compared over the same images only; an image that did not decode may be missing from one",
                first.name(),
                first.count(),
                other.name(),
                other.count()
            )));
        }
        if first.count() < least {
            return Err(MetricError::Input(format!(
                "{} have {} samples, and this estimator needs at least {least}",
                first.name(),
                first.count()
            )));
        }
    }
    let sets: Vec<_> = sources
        .par_iter()
        .map(|source| open_one(*source, keep_going))
        .collect();
    sets.into_iter().collect()
}

fn open_one<'a, R: Rows>(
    source: &'a R,
    keep_going: &(dyn Fn() -> bool + Sync),
) -> Result<Set<'a, R>, MetricError> {
    let (rows, width) = (source.count(), source.width());
    if width == 0 {
        return Err(MetricError::Bug);
    }
    let at_once = (READ_AT_ONCE / width).clamp(1, rows.max(1));
    let mut buffer = vec![R::Value::default(); at_once * width];
    let mut first = Vec::new();
    let mut is_constant = true;
    let mut means = vec![0.0; width];
    for start in (0..rows).step_by(at_once) {
        if !keep_going() {
            return Err(MetricError::Stopped);
        }
        let end = (start + at_once).min(rows);
        let values = &mut buffer[..(end - start) * width];
        read(source, start..end, values)?;
        if start == 0 {
            first = values[..width].to_vec();
        }
        for row in values.chunks_exact(width) {
            is_constant = is_constant && row == first;
            for (sum, &value) in means.iter_mut().zip(row) {
                *sum += value.into();
            }
        }
    }
    for mean in &mut means {
        *mean /= rows as f64;
    }
    if let Some(column) = means.iter().position(|mean| !mean.is_finite()) {
        return Err(MetricError::Input(format!(
            "value {column} of {} is NaN or infinite for some sample; `storage = \"f32\"` holds what is too large for f16",
            source.name()
        )));
    }
    if is_constant {
        return Err(MetricError::Input(format!(
            "{} are the same for all {rows} samples, and constant features have no CKA",
            source.name()
        )));
    }
    Ok(Set { source, means })
}

/// Reads rows; what goes wrong names the set.
pub(super) fn read<R: Rows>(
    source: &R,
    rows: Range<usize>,
    into: &mut [R::Value],
) -> Result<(), MetricError> {
    source
        .read(rows, into)
        .map_err(|error| MetricError::Input(format!("{}: {error}", source.name())))
}

/// Why a pair of sets has no alignment although neither is constant: the features of one differ in too few samples for an estimate without
/// bias.
pub(super) fn varies_too_little<R: Rows>(
    sets: &[Set<'_, R>],
    hsic: &Hsic,
    pair: [usize; 2],
) -> MetricError {
    let set = pair.into_iter().find(|&index| !hsic.varies(index));
    match set.and_then(|index| sets.get(index)) {
        Some(set) => MetricError::Input(format!(
            "{} differ in too few samples of a batch for an unbiased estimate; take larger batches, or `estimator = \"biased\"`",
            set.source.name()
        )),
        None => MetricError::Bug,
    }
}
