//! Standardized features: each value less its mean over the training samples, divided by its standard deviation there.
//!
//! # Reference
//! scikit-learn's `StandardScaler`: the deviation has the divisor n, and a value that is the same in all samples is divided by 1.
//!
//! # Shapes
//! Features are `[N, D]`, moments `[D]`.

use tch::{Kind, Tensor};

use super::rows::{Rows, load};
use super::{Data, TrainError};
use crate::numbers::to_i64;

/// Numbers of a block of rows in 64 bits: 16 MiB, whatever memory there is, so that sums are the same.
const BLOCK_NUMBERS: usize = 1 << 21;

/// The mean and the standard deviation of each value of a feature, in 64 bits.
#[derive(Debug)]
pub(in crate::trainer) struct Standard {
    mean: Tensor,
    deviation: Tensor,
    /// Both in 32 bits, which training computes in: the mean, and 1 over the deviation.
    narrow: (Tensor, Tensor),
}

impl Standard {
    /// That of several sets of rows in one scan of the training split; `sets` has the rows of each in rising order, and none is
    /// empty. Of features that are computed while they are read, the first view counts; else `views` of them.
    pub(super) fn of(
        data: &Data<'_>,
        views: usize,
        sets: &[&[usize]],
        keep_going: &dyn Fn() -> bool,
    ) -> Result<Vec<Self>, TrainError> {
        let _guard = tch::no_grad_guard();
        let (rows, width) = (data.train, data.shape.values());
        let Some(&first) = sets.first().and_then(|rows| rows.first()) else {
            return Ok(Vec::new());
        };
        // Less one sample, sums of squares lose no digits to the mean, and what is constant has a variance of exactly 0.
        let shift = load(rows, &[(0, first)], width, data.device)?.to_kind(Kind::Double);
        let zeros = || {
            Tensor::zeros(
                [to_i64(sets.len()), to_i64(width)],
                (Kind::Double, data.device),
            )
        };
        let (mut sums, mut squares) = (zeros(), zeros());
        let members: Vec<Vec<bool>> = sets.iter().map(|set| members(set, rows)).collect();
        let all: Vec<usize> = (0..rows.len()).collect();
        let views = if rows.is_fresh() { 1 } else { views };
        for view in 0..views {
            for block in all.chunks((BLOCK_NUMBERS / width.max(1)).max(1)) {
                if !keep_going() {
                    return Err(TrainError::Stopped);
                }
                let which: Vec<_> = block.iter().map(|&row| (view, row)).collect();
                let values = load(rows, &which, width, data.device)?.to_kind(Kind::Double) - &shift;
                let counted: Vec<f64> = members
                    .iter()
                    .flat_map(|set| block.iter().map(|&row| f64::from(u8::from(set[row]))))
                    .collect();
                let counted = Tensor::from_slice(&counted)
                    .view([to_i64(sets.len()), to_i64(block.len())])
                    .to_device(data.device);
                sums += counted.matmul(&values);
                squares += counted.matmul(&values.square());
            }
        }
        let standards = sets.iter().enumerate().map(|(index, set)| {
            let count = (set.len() * views) as f64;
            let mean = sums.select(0, to_i64(index)) / count;
            let variance = squares.select(0, to_i64(index)) / count - mean.square();
            let deviation = variance.clamp_min(0.0).sqrt();
            Self::new(mean + shift.select(0, 0), &deviation)
        });
        Ok(standards.collect())
    }

    fn new(mean: Tensor, deviation: &Tensor) -> Self {
        let deviation = deviation.where_self(&deviation.gt(0.0), &deviation.ones_like());
        let narrow = (
            mean.to_kind(Kind::Float),
            deviation.reciprocal().to_kind(Kind::Float),
        );
        Self {
            mean,
            deviation,
            narrow,
        }
    }

    /// The same, in the same memory.
    pub(super) fn shared(&self) -> Self {
        Self {
            mean: self.mean.shallow_clone(),
            deviation: self.deviation.shallow_clone(),
            narrow: (self.narrow.0.shallow_clone(), self.narrow.1.shallow_clone()),
        }
    }

    /// Standardized features, f32.
    pub(super) fn apply(&self, stored: &Tensor) -> Tensor {
        (stored.to_kind(Kind::Float) - &self.narrow.0) * &self.narrow.1
    }

    /// Standardized features, f64.
    pub(super) fn apply_wide(&self, stored: &Tensor) -> Tensor {
        (stored.to_kind(Kind::Double) - &self.mean) / &self.deviation
    }

    /// The weight `[K, D]` and the bias `[K]` of a layer on standardized features, as those of a layer on features as they are, f32.
    pub(super) fn folded(&self, weight: &Tensor, bias: &Tensor) -> (Tensor, Tensor) {
        let weight = weight.to_kind(Kind::Double) / &self.deviation;
        let bias = bias.to_kind(Kind::Double) - weight.mv(&self.mean);
        (weight.to_kind(Kind::Float), bias.to_kind(Kind::Float))
    }
}

/// Whether each row is one of a set.
fn members(set: &[usize], rows: &dyn Rows) -> Vec<bool> {
    let mut members = vec![false; rows.len()];
    for &row in set {
        members[row] = true;
    }
    members
}

#[cfg(test)]
mod tests {
    use super::super::rows::RowsInMemory;
    use super::*;
    use crate::heads::FeatureShape;

    fn standards(values: &[f32], sets: &[&[usize]]) -> Vec<Standard> {
        let rows = RowsInMemory {
            ids: (0..values.len() / 3).map(|row| row.to_string()).collect(),
            labels: vec![0; values.len() / 3],
            views: vec![values.to_vec()],
        };
        let data = Data {
            train: &rows,
            judged: None,
            test: &rows,
            shape: FeatureShape::square(3, 1),
            classes: 1,
            device: tch::Device::Cpu,
        };
        Standard::of(&data, 1, sets, &|| true).unwrap()
    }

    #[test]
    fn each_set_of_rows_has_its_own_moments_and_what_is_constant_is_left() {
        let values = [
            1.0,
            0.1,
            9e4, //
            3.0,
            0.1,
            9e4 + 1.0, //
            5.0,
            0.1,
            9e4, //
            100.0,
            7.0,
            0.0,
        ];
        let found = standards(&values, &[&[0, 1, 2], &[0, 3]]);
        let numbers = |tensor: &Tensor| Vec::<f64>::try_from(tensor).unwrap();
        let tenth = f64::from(0.1_f32);
        assert_eq!(numbers(&found[0].mean)[..2], [3.0, tenth]);
        let deviation = numbers(&found[0].deviation);
        assert!((deviation[0] - (8.0_f64 / 3.0).sqrt()).abs() < 1e-14);
        assert!((deviation[1] - 1.0).abs() < f64::EPSILON);
        assert!((deviation[2] - (2.0_f64 / 9.0).sqrt()).abs() < 1e-12);
        assert_eq!(
            numbers(&found[1].deviation)[0].to_bits(),
            49.5_f64.to_bits()
        );
    }

    #[test]
    fn a_folded_layer_reads_features_as_they_are() {
        let values = [1.0, 0.5, 4.0, 3.0, 0.5, -2.0, 5.0, 0.5, 8.0];
        let standard = standards(&values, &[&[0, 1, 2]]).pop().unwrap();
        let features = Tensor::from_slice(&values).view([3, 3]);
        let weight = Tensor::from_slice(&[0.3_f32, -1.0, 2.0, 0.0, 0.7, -0.2]).view([2, 3]);
        let bias = Tensor::from_slice(&[0.25_f32, -3.0]);
        let expected = standard.apply(&features).linear(&weight, Some(&bias));
        let (weight, bias) = standard.folded(&weight, &bias);
        let found = features.linear(&weight, Some(&bias));
        let off = (found - expected).abs().max().double_value(&[]);
        assert!(off < 1e-5, "{off}");
    }
}
