//! Several draws of each sample as one feature: their mean.

use half::f16;

use super::TrainError;
use super::rows::{Rows, Samples};
use crate::bug::Bug;
use crate::feature_type::FeatureType;

/// Samples whose feature is the mean over the views of others, as 32-bit floats.
pub struct MeanRows<'a>(pub &'a dyn Rows);

impl Samples for MeanRows<'_> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn id(&self, row: usize) -> &str {
        self.0.id(row)
    }

    fn label(&self, row: usize) -> u32 {
        self.0.label(row)
    }
}

impl Rows for MeanRows<'_> {
    fn views(&self) -> usize {
        1
    }

    fn feature_type(&self) -> FeatureType {
        FeatureType::F32
    }

    fn copy(&self, view: usize, row: usize, out: &mut [u8]) -> Result<(), TrainError> {
        if view != 0 {
            return Err(Bug::new(format!("view {view} of a mean over views was asked for")).into());
        }
        let (stored, views) = (self.0.feature_type(), self.0.views());
        let width = out.len() / FeatureType::F32.bytes();
        let mut bytes = vec![0; width * stored.bytes()];
        let mut sums = vec![0.0_f64; width];
        for view in 0..views {
            self.0.copy(view, row, &mut bytes)?;
            let values = bytes.chunks_exact(stored.bytes());
            sums.iter_mut()
                .zip(values)
                .for_each(|(sum, value)| *sum += read(stored, value));
        }
        for (out, sum) in out.chunks_exact_mut(FeatureType::F32.bytes()).zip(sums) {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "features are 32-bit floats"
            )]
            let mean = (sum / views as f64) as f32;
            out.copy_from_slice(&mean.to_ne_bytes());
        }
        Ok(())
    }

    fn forget(&self) {
        self.0.forget();
    }
}

/// One stored number; `bytes` has as many bytes as its type.
fn read(stored: FeatureType, bytes: &[u8]) -> f64 {
    match (stored, bytes) {
        (FeatureType::F32, &[a, b, c, d]) => f64::from(f32::from_ne_bytes([a, b, c, d])),
        (FeatureType::F16, &[a, b]) => f16::from_ne_bytes([a, b]).to_f64(),
        _ => f64::NAN,
    }
}
