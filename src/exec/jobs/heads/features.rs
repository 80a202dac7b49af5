//! Cached features of one split, as the trainer reads them: straight from the files, and never all at once.

use std::collections::BTreeSet;

use crate::bug::Bug;
use crate::exec::{NodeError, SKIPPED};
use crate::feature_type::FeatureType;
use crate::message::Message;
use crate::store::{FeaturePartReader, FeatureReader};
use crate::trainer::TrainError;
use crate::trainer::heads::{Rows, Samples, hold_out};

/// The samples of one split in one or several feature artifacts that differ in view and draw.
pub(super) struct FeatureRows<'a> {
    views: Vec<&'a FeatureReader>,
    held_out: Option<HeldOut<'a>>,
    /// Part and row of each sample.
    places: Vec<(u32, u32)>,
    labels: Vec<u32>,
}

/// Samples that are held out of training, and the features that stand in for every view of them.
struct HeldOut<'a> {
    features: &'a FeatureReader,
    rows: BTreeSet<usize>,
}

impl<'a> FeatureRows<'a> {
    /// The samples of a split. `skip` allows that images did not decode; they are left out.
    pub(super) fn new(
        views: Vec<&'a FeatureReader>,
        split: &str,
        skip: bool,
    ) -> Result<Self, NodeError> {
        let (mut places, mut labels) = (Vec::new(), Vec::new());
        for (number, part) in (0u32..).zip(views.first().map_or(&[][..], |first| first.parts())) {
            let of_part = part
                .labels()
                .ok_or_else(|| NodeError::bug("a head reads features of images without classes"))?;
            let rows = part.ids().zip(part.splits()).zip(of_part);
            for (row, ((id, of_split), label)) in (0u32..).zip(rows) {
                if of_split == SKIPPED && !skip {
                    return Err(NodeError::Values(
                        Message::new(format!(
                            "image `{id}` did not decode when these features were made"
                        ))
                        .hint("fix the image, or set `on_bad_image = \"skip\"`"),
                    ));
                }
                if of_split == split {
                    places.push((number, row));
                    labels.push(*label);
                }
            }
            part.forget();
        }
        let rows = Self {
            views,
            held_out: None,
            places,
            labels,
        };
        rows.check_views()?;
        Ok(rows)
    }

    /// The same, where the share of each class that is held out of training is shown as images that are predicted: by `features`.
    pub(super) fn holding_out(
        mut self,
        features: &'a FeatureReader,
        share: f64,
    ) -> Result<Self, NodeError> {
        let (_, rows) = hold_out(&self, share, 0);
        self.held_out = Some(HeldOut {
            features,
            rows: rows.into_iter().collect(),
        });
        self.check_views()?;
        Ok(self)
    }

    /// Views of one dataset list the same samples in the same order; if not, features of another dataset were meant.
    fn check_views(&self) -> Result<(), NodeError> {
        let Some((first, others)) = self.views.split_first() else {
            return Ok(());
        };
        let held_out = self.held_out.iter().map(|held_out| &held_out.features);
        let rows_of = |reader: &FeatureReader| -> Vec<usize> {
            reader.parts().iter().map(FeaturePartReader::rows).collect()
        };
        let alike = |other: &&&FeatureReader| {
            rows_of(other) == rows_of(first)
                && other.width() == first.width()
                && other.feature_type() == first.feature_type()
        };
        if others.iter().chain(held_out).all(|other| alike(&other)) {
            Ok(())
        } else {
            Err(Bug::new("the views of these features do not have the same samples").into())
        }
    }
}

impl Samples for FeatureRows<'_> {
    fn len(&self) -> usize {
        self.places.len()
    }

    fn id(&self, row: usize) -> &str {
        let (part, row) = self.places[row];
        self.views[0].parts()[part as usize].id(row as usize)
    }

    fn label(&self, row: usize) -> u32 {
        self.labels[row]
    }
}

impl Rows for FeatureRows<'_> {
    fn views(&self) -> usize {
        self.views.len()
    }

    fn feature_type(&self) -> FeatureType {
        self.views[0].feature_type()
    }

    fn copy(&self, view: usize, row: usize, out: &mut [u8]) -> Result<(), TrainError> {
        let held_out = self.held_out.as_ref();
        let reader = match held_out.filter(|held_out| held_out.rows.contains(&row)) {
            Some(held_out) => held_out.features,
            None => self.views[view],
        };
        let (part, row) = self.places[row];
        let part = reader.parts().get(part as usize);
        if part.is_some_and(|part| part.copy_row(row as usize, out)) {
            return Ok(());
        }
        let room = out.len();
        Err(Bug::new(format!(
            "view {view} has no feature of {room} bytes at row {row}"
        ))
        .into())
    }

    fn forget(&self) {
        let held_out = self.held_out.iter().map(|held_out| &held_out.features);
        let readers = self.views.iter().chain(held_out);
        for part in readers.flat_map(|reader| reader.parts()) {
            part.forget();
        }
    }
}
