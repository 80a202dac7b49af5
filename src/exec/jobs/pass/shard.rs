//! One shard of one pass: features on their way from the network to the store.

use half::f16;

use super::Listed;
use crate::exec::{NodeError, SKIPPED};
use crate::feature_type::FeatureType;
use crate::message::Message;
use crate::plan::Tap;
use crate::store::{ArtifactWriter, FeaturePart, FeatureValues};

/// The features of one shard, gathered batch by batch.
pub(super) struct Shard {
    pub(super) index: usize,
    pub(super) rows: std::ops::Range<usize>,
    /// One for each tap: `[rows, width]`.
    pub(super) values: Vec<Vec<f32>>,
    /// Rows of the shard that were left out.
    pub(super) skipped: Vec<usize>,
}

/// Where a part of a shard goes.
pub(super) struct Place<'a> {
    /// The place of the tap's values in the shard.
    pub(super) position: usize,
    /// The number of the part in its artifact, from 0.
    pub(super) part: u32,
    /// What the values are.
    pub(super) tap: &'a Tap,
}

impl Shard {
    pub(super) fn new(index: usize, rows: std::ops::Range<usize>, taps: &[Tap]) -> Self {
        let values = taps
            .iter()
            .map(|tap| Vec::with_capacity(rows.len() * tap.width))
            .collect();
        Self {
            index,
            rows,
            values,
            skipped: Vec::new(),
        }
    }

    /// Writes the part of one tap.
    pub(super) fn write(
        &self,
        Place {
            position,
            part,
            tap,
        }: Place<'_>,
        (view, draw): (&str, u32),
        listed: &Listed<'_>,
        writer: &mut ArtifactWriter,
    ) -> Result<(), NodeError> {
        let mut values = self.values[position].clone();
        for &row in &self.skipped {
            values[row * tap.width..(row + 1) * tap.width].fill(f32::NAN);
        }
        let bad = values
            .chunks_exact(tap.width)
            .enumerate()
            .find(|(row, feature)| {
                !self.skipped.contains(row) && !feature.iter().all(|value| value.is_finite())
            });
        if let Some((row, _)) = bad {
            return Err(NodeError::Values(
                Message::new(format!(
                    "the feature of `{}` at {} is not finite",
                    listed.sample(self.rows.start + row).id,
                    tap.block
                ))
                .hint("the weights may be damaged"),
            ));
        }
        let values = match tap.storage {
            FeatureType::F32 => FeatureValues::F32(values),
            FeatureType::F16 => FeatureValues::F16(narrow(&values, tap)?),
        };
        let samples = || self.rows.clone().map(|place| listed.sample(place));
        let ids: Vec<String> = samples().map(|sample| sample.id.clone()).collect();
        let mut splits: Vec<String> = samples().map(|sample| sample.split.clone()).collect();
        for &row in &self.skipped {
            SKIPPED.clone_into(&mut splits[row]);
        }
        let labels: Vec<u32> = samples().map(|sample| sample.label).collect();
        writer.write_features(
            part,
            FeaturePart {
                ids: &ids,
                splits: &splits,
                labels: (!listed.manifest.classes.is_empty()).then_some(&labels),
                views: &vec![view.to_owned(); ids.len()],
                draws: &vec![draw; ids.len()],
                width: tap.width,
                values,
            },
        )?;
        Ok(())
    }
}

/// Rounds to 16 bits; a value that does not fit is an error, never infinity.
fn narrow(values: &[f32], tap: &Tap) -> Result<Vec<f16>, NodeError> {
    let narrowed: Vec<f16> = values.iter().map(|&value| f16::from_f32(value)).collect();
    let overflow = values
        .iter()
        .zip(&narrowed)
        .find(|(wide, narrow)| wide.is_finite() && !narrow.is_finite());
    match overflow {
        Some((value, _)) => Err(NodeError::Values(
            Message::new(format!(
                "the value {value} of {} does not fit into 16 bits",
                tap.block
            ))
            .hint("set `storage = \"f32\"` in the extraction"),
        )),
        None => Ok(narrowed),
    }
}
