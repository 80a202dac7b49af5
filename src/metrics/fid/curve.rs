//! The distance of fewer generated images, and what it would be of infinitely many.
//!
//! The line is fitted by least squares over 1/n; its value at 0 is the distance without the bias of the generated images. That of a finite
//! reference remains. The standard error is that of the intercept of a regression, which takes the points to be independent; they share
//! images, so it is somewhat too small.

use std::ops::Range;

use super::moments::{Shift, Sums};
use super::{Normal, at_least, distance};
use crate::metrics::{FeatureSource, MetricError};
use crate::random::Stream;

/// How the points of a curve are drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drawn {
    /// How many numbers of images; 3 at least.
    pub(super) points: usize,
    pub(super) seed: u64,
}

impl Drawn {
    /// Numbers of images, and the distance of as many, drawn without replacement.
    ///
    /// # Errors
    /// Too few images, features that cannot be read, and a user who wants to stop.
    pub(super) fn points(
        self,
        set: &dyn FeatureSource,
        shift: &Shift,
        reference: &Normal,
        keep_going: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<(usize, f64)>, MetricError> {
        // A tenth of them makes two at least, and no two numbers are the same.
        at_least(set, (2 * self.points).max(20))?;
        let mut points = Vec::new();
        for count in counts(set.rows(), self.points) {
            let purpose = format!("distance of {count} images");
            let mut drawn = Stream::new(self.seed, &purpose).permutation(set.rows());
            drawn.truncate(count);
            drawn.sort_unstable();
            let rows = drawn.into_iter().map(|row| Range {
                start: row,
                end: row + 1,
            });
            let sums = Sums::of(set, rows, shift, keep_going)?;
            let normal = Normal::new(sums.moments(shift));
            points.push((sums.rows(), distance(&normal, reference)?));
        }
        Ok(points)
    }
}

/// Numbers of images from a tenth of all to all.
fn counts(all: usize, points: usize) -> impl Iterator<Item = usize> {
    let first = all / 10;
    let last = points - 1;
    (0..points).map(move |point| first + (all - first) * point / last)
}

/// A line over 1/n.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Line {
    /// Its value at infinitely many images.
    pub(super) intercept: f64,
    /// The standard error of that.
    pub(super) error: f64,
}

impl Line {
    /// The line of least squares; `None` for fewer than three points, or where all are of as many images.
    pub(super) fn through(points: &[(usize, f64)]) -> Option<Self> {
        let count = points.len() as f64;
        let places: Vec<f64> = points
            .iter()
            .map(|(images, _)| 1.0 / *images as f64)
            .collect();
        let middle = places.iter().sum::<f64>() / count;
        let mean = points.iter().map(|(_, value)| value).sum::<f64>() / count;
        let width: f64 = places.iter().map(|place| (place - middle).powi(2)).sum();
        if points.len() < 3 || width == 0.0 {
            return None;
        }
        let both = places.iter().zip(points);
        let shared: f64 = both
            .clone()
            .map(|(place, (_, value))| (place - middle) * (value - mean))
            .sum();
        let slope = shared / width;
        let intercept = mean - slope * middle;
        let left: f64 = both
            .map(|(place, (_, value))| (value - intercept - slope * place).powi(2))
            .sum();
        let variance = left / (count - 2.0) * (1.0 / count + middle.powi(2) / width);
        Some(Self {
            intercept,
            error: variance.sqrt(),
        })
    }
}
