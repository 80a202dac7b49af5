//! Cached features of one split, as the trainer reads them: straight from the files, and never all at once.

use crate::bug::Bug;
use crate::exec::{NodeError, SKIPPED};
use crate::feature_type::FeatureType;
use crate::message::Message;
use crate::store::{FeaturePartReader, FeatureReader};
use crate::trainer::TrainError;
use crate::trainer::heads::{Rows, Samples};

/// The samples of one split in one or several feature artifacts that differ in view and draw.
pub(super) struct FeatureRows<'a> {
    views: Vec<&'a FeatureReader>,
    /// Further views, which may be stored otherwise.
    more_views: Vec<Column<'a>>,
    /// What stands behind each of them.
    joined: Vec<Column<'a>>,
    /// Part and row of each sample.
    places: Vec<Place>,
    labels: Vec<u32>,
}

/// Part and row of a sample.
type Place = (u32, u32);

/// Other features of the same samples.
struct Column<'a> {
    features: &'a FeatureReader,
    places: Vec<Place>,
}

/// Where the samples of a split are, and their classes. `skip` allows that images did not decode; they are left out.
fn places_of(
    reader: &FeatureReader,
    split: &str,
    skip: bool,
) -> Result<(Vec<Place>, Vec<u32>), NodeError> {
    let (mut places, mut labels) = (Vec::new(), Vec::new());
    for (number, part) in (0u32..).zip(reader.parts()) {
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
    Ok((places, labels))
}

/// An error where no image of a split, which has some, is left.
pub(super) fn check_left(rows: usize, split: &str, skip: bool) -> Result<(), NodeError> {
    if rows > 0 || !skip {
        return Ok(());
    }
    let message = format!("no image of split `{split}` decodes: all of them were left out");
    Err(NodeError::Values(Message::new(message).hint(
        "`repro data check` says what is wrong with each; the run's warnings do so, too",
    )))
}

impl<'a> FeatureRows<'a> {
    /// The samples of a split. `skip` allows that images did not decode; they are left out.
    pub(super) fn new(
        views: Vec<&'a FeatureReader>,
        split: &str,
        skip: bool,
    ) -> Result<Self, NodeError> {
        let (places, labels) = match views.first() {
            Some(first) => places_of(first, split, skip)?,
            None => Default::default(),
        };
        let rows = Self {
            views,
            more_views: Vec::new(),
            joined: Vec::new(),
            places,
            labels,
        };
        rows.check_views()?;
        Ok(rows)
    }

    /// The same with further views of the same samples.
    pub(super) fn with_views(
        mut self,
        others: impl Iterator<Item = &'a FeatureReader>,
        split: &str,
        skip: bool,
    ) -> Result<Self, NodeError> {
        self.more_views = self.columns(others, split, skip)?;
        Ok(self)
    }

    /// The same with other features of the same samples behind each.
    pub(super) fn joining(
        mut self,
        others: impl Iterator<Item = &'a FeatureReader>,
        split: &str,
        skip: bool,
    ) -> Result<Self, NodeError> {
        self.joined = self.columns(others, split, skip)?;
        Ok(self)
    }

    /// Other features of these samples, in the order in which they are given.
    fn columns(
        &self,
        others: impl Iterator<Item = &'a FeatureReader>,
        split: &str,
        skip: bool,
    ) -> Result<Vec<Column<'a>>, NodeError> {
        let columns = others.map(|features| self.column(features, split, skip));
        columns.collect()
    }

    /// Other features of these samples.
    fn column(
        &self,
        features: &'a FeatureReader,
        split: &str,
        skip: bool,
    ) -> Result<Column<'a>, NodeError> {
        let (places, _) = places_of(features, split, skip)?;
        let id = |&(part, row): &Place| features.parts()[part as usize].id(row as usize);
        let alike = places.len() == self.places.len()
            && features.feature_type() == self.feature_type()
            && (0..self.len())
                .zip(&places)
                .all(|(row, place)| self.id(row) == id(place));
        if !alike {
            return Err(NodeError::bug(
                "features that are read as one do not have the same samples",
            ));
        }
        Ok(Column { features, places })
    }

    /// Whether other rows are of the same samples in the same order.
    pub(super) fn has_samples_of(&self, other: &Self) -> bool {
        self.len() == other.len() && (0..self.len()).all(|row| self.id(row) == other.id(row))
    }

    /// Views of one dataset list the same samples in the same order; if not, features of another dataset were meant.
    fn check_views(&self) -> Result<(), NodeError> {
        let Some((first, others)) = self.views.split_first() else {
            return Ok(());
        };
        let rows_of = |reader: &FeatureReader| -> Vec<usize> {
            reader.parts().iter().map(FeaturePartReader::rows).collect()
        };
        let alike = |other: &&FeatureReader| {
            rows_of(other) == rows_of(first)
                && other.width() == first.width()
                && other.feature_type() == first.feature_type()
        };
        if others.iter().all(alike) {
            Ok(())
        } else {
            Err(Bug::new("the views of these features do not have the same samples").into())
        }
    }

    /// Every artifact that is read.
    fn readers(&self) -> impl Iterator<Item = &FeatureReader> {
        self.views
            .iter()
            .copied()
            .chain(self.more_views.iter().map(|column| column.features))
            .chain(self.joined.iter().map(|column| column.features))
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
        self.views.len() + self.more_views.len()
    }

    fn feature_type(&self) -> FeatureType {
        self.views[0].feature_type()
    }

    fn copy(&self, view: usize, row: usize, out: &mut [u8]) -> Result<(), TrainError> {
        let (first, place) = match view.checked_sub(self.views.len()) {
            Some(more) => {
                let column = &self.more_views[more];
                (column.features, column.places[row])
            }
            None => (self.views[view], self.places[row]),
        };
        let room = out.len();
        let missing = || {
            Bug::new(format!(
                "view {view} has no feature of {room} bytes at row {row}"
            ))
        };
        let behind = self
            .joined
            .iter()
            .map(|column| (column.features, column.places[row]));
        let mut rest = out;
        for (reader, (part, row)) in std::iter::once((first, place)).chain(behind) {
            let bytes = reader.width() * reader.feature_type().bytes();
            let (own, others) = rest.split_at_mut_checked(bytes).ok_or_else(missing)?;
            let part = reader.parts().get(part as usize).ok_or_else(missing)?;
            if !part.copy_row(row as usize, own) {
                return Err(missing().into());
            }
            rest = others;
        }
        if rest.is_empty() {
            Ok(())
        } else {
            Err(missing().into())
        }
    }

    fn forget(&self) {
        for part in self.readers().flat_map(FeatureReader::parts) {
            part.forget();
        }
    }
}
