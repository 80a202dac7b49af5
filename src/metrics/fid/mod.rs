//! `fid`: the Fréchet distance between the features of generated and of reference images.
//!
//! Both sets of features are taken to be normal; [`distance`] has the formula, [`moments`] the means and covariances. With the features
//! `pool3` of the model kind `inception` it is the Fréchet Inception Distance; of any other features it is a distance that compares
//! with others of the same features only.
//!
//! # Bias
//! The distance of n images is too high, by about a constant divided by n. [`curve`] computes it of fewer images as well, and extends
//! the line of these values over 1/n to infinitely many images.
//!
//! # Interval
//! By the jackknife over groups of images, of both sets. Images that are drawn twice, as the bootstrap does, make a set narrower than
//! it is, and the values of all its draws lie above the value that they are to surround; leaving a group out moves all values alike,
//! and their spread is what counts. The interval says where the distance of as many other images would be, bias included.
//!
//! # Cost
//! A covariance takes N · D² / 2 multiply-adds in f64, a distance about 5 D³. With D = 2,048 these are 10¹¹ for 50,000 images, and 4 ·
//! 10¹⁰; the interval of 20 groups takes 40 distances, a curve one distance and about half a covariance for each of its points.
//!
//! # Reference
//! Heusel et al. 2017 (arXiv 1706.08500); mseitzer/pytorch-fid@b9c1811. FID∞: Chong and Forsyth 2020 (arXiv 1911.07023), algorithm 1.
//!
//! # Deviations
//! - Those of [`distance`].
//! - Chong and Forsyth generate with quasi-random numbers, which is not done here; their points are of random subsets, as here.
//!
//! # Parity
//! `tests/golden/generative`: 1e-6 relative of features in f32 that are summed in f64.

mod curve;
mod distance;
mod moments;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;
use std::sync::Arc;

use self::distance::Normal;
use self::moments::{Shift, Sums};
use super::tiles::Wide;
use super::{
    Better, FeatureSource, GivenMoments, Metric, MetricError, MetricInput, MetricKind, Output,
    Reads, Score,
};
use crate::numbers::to_usize;
use crate::spec::{Count, Fields, Key, Keys, Kind, KindDoc, Seed};
use crate::statistics::{CONFIDENCE, student_quantile};

pub(in crate::metrics) use self::moments::{not_finite, read};

const GROUPS: Key<Count> = Key::count("groups", 0..=1000)
    .default(20)
    .doc("Groups of images that the interval leaves out, one after the other, of each set; at most half as many as there are images. 0 computes no interval.");

const CURVE: Key<Count> = Key::count("curve", 3..=100)
    .optional("none")
    .doc("Numbers of generated images, evenly spread from a tenth of all to all, of which the distance is computed as well, along the axis `images`; and from these what it would be of infinitely many.");

const SEED: Key<Seed> = Key::seed("seed")
    .default(0)
    .doc("Seed of the images that `curve` draws.");

/// The keys of a Fréchet distance.
pub(super) const KEYS: Keys = &[&GROUPS, &CURVE, &SEED];

/// `kind = "fid"`.
pub const KIND: MetricKind = Kind::new(
    KindDoc {
        name: "fid",
        summary: "The Fréchet distance between features of generated and of reference images, called `fid`; with the block `pool3` of `inception` it is the Fréchet Inception Distance.",
        keys: KEYS,
        shared: Reads::DistributionsOrMoments.keys(),
    },
    |fields| parse(fields, "fid"),
);

/// Reads the keys of a Fréchet distance, whose output has a name.
pub(super) fn parse(fields: &Fields<'_>, name: &'static str) -> Option<Arc<dyn Metric>> {
    let curve = fields.get(&CURVE);
    if curve.is_none() && fields.has(SEED.name) && !fields.has(CURVE.name) {
        let message = format!("`seed` of {} counts only with `curve`", fields.context());
        let hint = Some("take it out, or write `curve = 15`".to_owned());
        fields.invalid(SEED.name, "graph::metric-misfit", message, hint);
        return None;
    }
    Some(Arc::new(Frechet {
        name,
        groups: fields.get(&GROUPS)?,
        curve,
        seed: fields.get(&SEED)?,
    }))
}

#[derive(Debug)]
struct Frechet {
    /// The name of its kind, and of its value.
    name: &'static str,
    /// Groups that the interval leaves out.
    groups: u32,
    /// Points of the curve.
    curve: Option<u32>,
    seed: u64,
}

impl Metric for Frechet {
    fn kind(&self) -> &'static str {
        self.name
    }

    fn reads(&self) -> Reads {
        Reads::DistributionsOrMoments
    }

    fn identity(&self) -> serde_json::Value {
        let mut identity = serde_json::json!({ "kind": self.name, "groups": self.groups });
        if let Some(points) = self.curve {
            identity["curve"] = points.into();
            identity["seed"] = self.seed.into();
        }
        identity
    }

    fn outputs(&self) -> Vec<Output> {
        let output = |ending: &str, axes| Output {
            name: format!("{}{ending}", self.name),
            unit: "",
            better: Better::Lower,
            axes,
        };
        let mut outputs = vec![output("", &[])];
        if self.curve.is_some() {
            outputs.push(output("_curve", &["images"]));
            outputs.push(output("_infinity", &[]));
        }
        outputs
    }

    fn evaluate(&self, input: MetricInput<'_>) -> Result<Vec<Vec<Score>>, MetricError> {
        let (sets, pairs, keep_going) = match input {
            MetricInput::Distributions {
                sets,
                pairs,
                keep_going,
            } => (sets, pairs, keep_going),
            MetricInput::AgainstMoments {
                sets,
                reference,
                keep_going,
            } => return self.against(reference, sets, keep_going),
            _ => return Err(MetricError::Bug),
        };
        let mut known: BTreeMap<usize, Grouped> = BTreeMap::new();
        let mut all = Vec::new();
        for &(generated, reference) in pairs {
            // A set that is compared with many is summed once; the others are not held.
            known.retain(|&index, _| index == generated || index == reference);
            for index in [generated, reference] {
                if let Entry::Vacant(place) = known.entry(index) {
                    let set = sets.get(index).ok_or(MetricError::Bug)?;
                    place.insert(Grouped::of(*set, self.groups, keep_going)?);
                }
            }
            let wide = |index: usize| Wide::new(*sets.get(index).ok_or(MetricError::Bug)?);
            wide(generated)?.comparable(&wide(reference)?)?;
            let set = sets.get(generated).ok_or(MetricError::Bug)?;
            let (generated, reference) = (&known[&generated], &known[&reference]);
            let spread = reference.spread(&generated.normal, keep_going)?;
            let groups = generated.groups.len().min(reference.groups.len());
            let beside = Beside {
                normal: &reference.normal,
                spread,
                groups,
            };
            all.push(self.scores(generated, &beside, *set, keep_going)?);
        }
        Ok(all)
    }
}

/// What generated images are compared with.
struct Beside<'a> {
    normal: &'a Normal,
    /// The variance of the distance over other draws of it; 0 of moments that are given.
    spread: f64,
    /// The fewest groups that an interval rests on.
    groups: usize,
}

impl Frechet {
    /// The scores of sets against moments that are given.
    fn against(
        &self,
        given: &GivenMoments,
        sets: &[&dyn FeatureSource],
        keep_going: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<Vec<Score>>, MetricError> {
        // Files for sFID have its moments beside those for FID.
        let names: &[[&str; 2]] = match self.name {
            "sfid" => &[["mu_s", "sigma_s"], ["mu", "sigma"]],
            _ => &[["mu", "sigma"]],
        };
        let found = names.iter().find_map(|[mean, covariance]| {
            Some((given.arrays.get(mean)?, given.arrays.get(covariance)?))
        });
        let Some((mean, covariance)) = found else {
            let problem = format!(
                "{} has no mean and covariance for `{}`",
                given.name, self.name
            );
            return Err(MetricError::Input(problem));
        };
        let width = mean.len();
        if covariance.len() != width * width {
            return Err(MetricError::Input(format!(
                "{} has a mean of {width} values and a covariance of {}",
                given.name,
                covariance.len()
            )));
        }
        let normal = Normal::new(moments::Moments {
            mean: mean.clone(),
            covariance: covariance.clone(),
        });
        let mut all = Vec::new();
        for set in sets {
            if set.width() != width {
                return Err(MetricError::Input(format!(
                    "{} have {} values, and {} has moments of {width}",
                    set.name(),
                    set.width(),
                    given.name
                )));
            }
            let generated = Grouped::of(*set, self.groups, keep_going)?;
            let beside = Beside {
                normal: &normal,
                spread: 0.0,
                groups: generated.groups.len(),
            };
            all.push(self.scores(&generated, &beside, *set, keep_going)?);
        }
        Ok(all)
    }

    fn scores(
        &self,
        generated: &Grouped,
        reference: &Beside<'_>,
        set: &dyn FeatureSource,
        keep_going: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<Score>, MetricError> {
        let value = distance(&generated.normal, reference.normal)?;
        let spread = generated.spread(reference.normal, keep_going)? + reference.spread;
        let groups = reference.groups;
        let interval = (groups > 1).then(|| {
            let tail = (1.0 - CONFIDENCE) / 2.0;
            let reach = student_quantile(tail, (groups - 1) as f64) * spread.sqrt();
            [(value - reach).max(0.0), value + reach]
        });
        let mut outputs = self.outputs().into_iter();
        let mut next = || outputs.next().ok_or(MetricError::Bug);
        let score = |output, value, interval, axes| Score {
            output,
            value,
            interval,
            counted: None,
            axes,
        };
        let mut scores = vec![score(next()?, value, interval, BTreeMap::new())];
        if let Some(points) = self.curve {
            let drawn = curve::Drawn {
                points: to_usize(u64::from(points)),
                seed: self.seed,
            };
            let shift = &generated.shift;
            let curve = drawn.points(set, shift, reference.normal, keep_going)?;
            let point = next()?;
            scores.extend(curve.iter().map(|&(images, value)| {
                let axes = BTreeMap::from([("images".to_owned(), (images as u64).into())]);
                score(point.clone(), value, None, axes)
            }));
            let line = curve::Line::through(&curve).ok_or(MetricError::Bug)?;
            let tail = (1.0 - CONFIDENCE) / 2.0;
            let reach = student_quantile(tail, (curve.len() - 2) as f64) * line.error;
            let interval = Some([line.intercept - reach, line.intercept + reach]);
            scores.push(score(next()?, line.intercept, interval, BTreeMap::new()));
        }
        Ok(scores)
    }
}

fn distance(one: &Normal, other: &Normal) -> Result<f64, MetricError> {
    one.distance(other).ok_or(MetricError::Bug)
}

/// One set: its distribution, and the sums of its groups.
struct Grouped {
    shift: Shift,
    normal: Normal,
    total: Sums,
    groups: Vec<Sums>,
}

impl Grouped {
    /// Reads a set once. Rows stand in the order of a hash, so that groups of neighbors are random ones.
    fn of(
        set: &dyn FeatureSource,
        groups: u32,
        keep_going: &(dyn Fn() -> bool + Sync),
    ) -> Result<Self, MetricError> {
        at_least(set, 2)?;
        let shift = Shift::of(set)?;
        let rows = set.rows();
        let wanted = to_usize(u64::from(groups)).min(rows / 2);
        let mut total = Sums::new(set.width());
        let mut sums = Vec::new();
        for range in parts(rows, wanted.max(1)) {
            let part = Sums::of(set, [range], &shift, keep_going)?;
            total.add(&part);
            if wanted > 1 {
                sums.push(part);
            }
        }
        Ok(Self {
            normal: Normal::new(total.moments(&shift)),
            shift,
            total,
            groups: sums,
        })
    }

    /// The variance of the distance to another distribution by leaving out one group after the other: (g − 1) / g · Σ (dᵢ − mean)².
    fn spread(
        &self,
        other: &Normal,
        keep_going: &(dyn Fn() -> bool + Sync),
    ) -> Result<f64, MetricError> {
        let mut values = Vec::new();
        for group in &self.groups {
            if !keep_going() {
                return Err(MetricError::Stopped);
            }
            let rest = self.total.without(group);
            values.push(distance(&Normal::new(rest.moments(&self.shift)), other)?);
        }
        if values.len() < 2 {
            return Ok(0.0);
        }
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Ok((count - 1.0) / count * squares)
    }
}

/// So many rows in parts that differ by one row at most.
fn parts(rows: usize, parts: usize) -> impl Iterator<Item = Range<usize>> {
    (0..parts).map(move |part| rows * part / parts..rows * (part + 1) / parts)
}

/// Refuses a set of too few images.
pub(super) fn at_least(set: &dyn FeatureSource, least: usize) -> Result<(), MetricError> {
    if set.width() == 0 {
        return Err(MetricError::Bug);
    }
    if set.rows() < least {
        return Err(MetricError::Input(format!(
            "{} are of {} images, and this metric needs at least {least}",
            set.name(),
            set.rows()
        )));
    }
    Ok(())
}
