//! An audit: some rows of cached features, computed again from the images and compared.

use super::{Listed, dataset_of, preparation_of, tap_request};
use crate::exec::NodeError;
use crate::exec::batches::{self, BackOff};
use crate::exec::context::Run;
use crate::models::extractor::{Images, Network, TapRequest};
use crate::plan::{Pass, Tap};
use crate::store::{FeaturePartReader, FeatureReader, Fingerprint};

/// What became of the rows of one set of features.
#[derive(Debug, Clone, PartialEq)]
pub struct Audited {
    /// What the experiment calls the features.
    pub label: String,
    /// Their fingerprint.
    pub fingerprint: Fingerprint,
    /// Rows that were computed again.
    pub rows: usize,
    /// The largest difference of a value, as a share of the largest absolute value in its row; infinite where one of the two is not a
    /// number, or the row is of another image.
    pub difference: f64,
    /// The id of the image whose row has it.
    pub worst: String,
}

/// Computes some rows of a pass again, with the network of the pass, and compares them with what the store has.
///
/// - `rows`: places in the order in which features are kept
pub(in crate::exec::jobs) fn audit_pass(
    run: &Run<'_>,
    pass: &Pass,
    rows: &[usize],
    network: &dyn Network,
) -> Result<Vec<Audited>, NodeError> {
    let dataset = dataset_of(run, pass, 0..pass.images())?;
    let listed = Listed::of(pass, &dataset)?;
    let preparation = preparation_of(run, pass, &dataset)?;
    let model = &pass.model.model;
    let readers = pass
        .taps
        .iter()
        .map(|tap| run.store.features(&tap.artifact.fingerprint))
        .collect::<Result<Vec<FeatureReader>, _>>()?;
    let mut audited: Vec<Audited> = pass.taps.iter().map(nothing_of).collect();
    let at_once = batches::choose(run.device, &**model, pass.deepest(), pass.key.precision);
    let requests: Vec<TapRequest> = pass.taps.iter().map(tap_request).collect();
    let (draw, _) = pass.key.draw_and_seed();
    let mut back_off = BackOff::new();
    for some in rows.chunks(at_once.max(1)) {
        if run.stop.is_given() {
            return Err(NodeError::Stopped);
        }
        let of_manifest: Vec<usize> = some.iter().map(|&row| listed.order[row]).collect();
        let batch = preparation.batch(&of_manifest, draw)?;
        let images = Images {
            pixels: &batch.pixels,
            count: batch.images,
            timestep: pass.key.timestep,
            classes: batch.classes.as_deref(),
        };
        let pieces = back_off.features(network, images, &requests, &mut |_| {})?;
        let mut again: Vec<Vec<f32>> = vec![Vec::new(); pass.taps.len()];
        for piece in pieces {
            for (values, more) in again.iter_mut().zip(piece.read()) {
                values.extend(more);
            }
        }
        for (place, reader) in readers.iter().enumerate() {
            let width = reader.width();
            for (position, &row) in some.iter().enumerate() {
                let id = &listed.sample(row).id;
                let is_skipped = batch
                    .skipped
                    .iter()
                    .any(|(skipped, _)| *skipped == position);
                let computed = again[place].get(position * width..(position + 1) * width);
                let difference = match (stored(reader, row), computed) {
                    (Some((of, kept)), Some(computed)) if of == *id => {
                        difference(&kept, computed, is_skipped)
                    }
                    _ => f64::INFINITY,
                };
                audited[place].take(id, difference);
            }
        }
    }
    Ok(audited)
}

fn nothing_of(tap: &Tap) -> Audited {
    Audited {
        label: tap.artifact.label.clone(),
        fingerprint: tap.artifact.fingerprint,
        rows: 0,
        difference: 0.0,
        worst: String::new(),
    }
}

impl Audited {
    fn take(&mut self, id: &str, difference: f64) {
        if self.rows == 0 || difference > self.difference {
            self.difference = difference;
            id.clone_into(&mut self.worst);
        }
        self.rows += 1;
    }
}

/// The id and the values of a row, by its place over all parts.
fn stored(reader: &FeatureReader, row: usize) -> Option<(String, Vec<f32>)> {
    let mut before = 0;
    for part in reader.parts() {
        if row < before + part.rows() {
            let row = row - before;
            return Some((part.id(row).to_owned(), values(part, row)?));
        }
        before += part.rows();
    }
    None
}

fn values(part: &FeaturePartReader, row: usize) -> Option<Vec<f32>> {
    let range = row * part.width()..(row + 1) * part.width();
    match (part.values_f32(), part.values_f16()) {
        (Some(wide), _) => Some(wide.get(range)?.to_vec()),
        (_, Some(narrow)) => {
            let narrow = narrow.get(range)?.iter();
            Some(narrow.map(|value| value.to_f32()).collect())
        }
        _ => None,
    }
}

/// The largest difference as a share of the largest absolute value that is kept. Of an image that does not decode no number is kept.
fn difference(kept: &[f32], computed: &[f32], is_skipped: bool) -> f64 {
    if is_skipped || kept.iter().any(|value| value.is_nan()) {
        let is_none = is_skipped && kept.iter().all(|value| value.is_nan());
        return if is_none { 0.0 } else { f64::INFINITY };
    }
    let largest = kept.iter().map(|value| f64::from(value.abs()));
    let largest = largest.fold(0.0, f64::max);
    let pairs = kept.iter().zip(computed);
    let apart = pairs.map(|(&one, &other)| {
        let apart = (f64::from(one) - f64::from(other)).abs();
        if apart.is_nan() { f64::INFINITY } else { apart }
    });
    match apart.fold(0.0, f64::max) {
        0.0 => 0.0,
        apart if largest > 0.0 => apart / largest,
        _ => f64::INFINITY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_shares_of_the_largest_value_of_a_row() {
        // Nothing of them is rounded.
        let difference = |kept: &[f32], computed: &[f32], is_skipped| {
            difference(kept, computed, is_skipped).to_bits()
        };
        assert_eq!(
            difference(&[1.0, -4.0], &[1.0, -4.0], false),
            0.0_f64.to_bits()
        );
        assert_eq!(
            difference(&[1.0, -4.0], &[2.0, -4.0], false),
            0.25_f64.to_bits()
        );
        assert_eq!(
            difference(&[0.0, 0.0], &[0.0, 0.0], false),
            0.0_f64.to_bits()
        );
        let none = f32::NAN;
        assert_eq!(
            difference(&[none, none], &[0.0, 0.0], true),
            0.0_f64.to_bits()
        );
        for (kept, computed, is_skipped) in [
            ([0.0, 0.0], [0.0, 1.0], false),
            ([1.0, 1.0], [1.0, none], false),
            ([none, none], [1.0, 1.0], false),
            ([1.0, 1.0], [0.0, 0.0], true),
        ] {
            assert_eq!(
                difference(&kept, &computed, is_skipped),
                f64::INFINITY.to_bits()
            );
        }
    }
}
