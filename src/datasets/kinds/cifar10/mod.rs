//! `cifar10`: color photographs of 32 × 32 pixels in ten classes, in the binary version that Alex Krizhevsky publishes.
//!
//! # Reference
//! The section "Binary version" of <https://www.cs.toronto.edu/~kriz/cifar.html>: five batches for training and one for
//! testing, each a row of records; a record is one byte of label, then 1024 bytes each of red, green and blue, row-major.
//! `batches.meta.txt` has the names of the classes, one a line. `files` finds and reads them.
//!
//! # Deviations
//! A published batch has 10,000 records. Here any number will do, as long as all six have the same, so that a small cut of
//! the archive is a dataset as well, and a batch that was cut off is not taken for one.

mod files;

use std::path::PathBuf;
use std::sync::Arc;

use crate::datasets::{
    Dataset, DatasetError, DatasetKind, Environment, Manifest, OpenDataset, ReadImage, Sample,
    train_and_test,
};
use crate::imaging::Image;
use crate::spec::{Fields, Key, Kind, KindDoc, Text};

use files::Member;

const ROOT: Key<Text> = Key::text("root", "a folder").doc(
    "Holds `cifar-10-binary.tar.gz`, or `cifar-10-batches-bin/` unpacked from it, which is read where both are there; relative to the folder that `repro` runs in.",
);

/// `kind = "cifar10"`.
pub const KIND: DatasetKind = Kind::new(
    KindDoc {
        name: "cifar10",
        summary: "CIFAR-10 from its binary version: `cifar-10-binary.tar.gz` as it is published, or unpacked.",
        keys: &[&ROOT],
        shared: &[],
    },
    parse,
);

/// The batches in the order of their samples, and the split of each.
const BATCHES: [(&str, &str); 6] = [
    ("train", "data_batch_1.bin"),
    ("train", "data_batch_2.bin"),
    ("train", "data_batch_3.bin"),
    ("train", "data_batch_4.bin"),
    ("train", "data_batch_5.bin"),
    ("test", "test_batch.bin"),
];
/// The file with the class names, one a line, by label.
const NAMES: &str = "batches.meta.txt";

const CLASSES: usize = 10;
const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;
/// A label and three planes.
const RECORD: usize = 1 + 3 * PLANE;
/// Records of a published batch; none is longer.
const MOST_RECORDS: usize = 10_000;

fn parse(fields: &Fields<'_>) -> Option<Arc<dyn Dataset>> {
    Some(Arc::new(Cifar10 {
        root: fields.get(&ROOT)?.into(),
    }))
}

#[derive(Debug)]
struct Cifar10 {
    root: PathBuf,
}

impl Dataset for Cifar10 {
    fn kind(&self) -> &'static str {
        KIND.doc.name
    }

    fn splits(&self) -> Option<Vec<String>> {
        Some(train_and_test())
    }

    fn open(
        &self,
        environment: &Environment<'_>,
        _upstream: Option<Arc<OpenDataset>>,
    ) -> Result<OpenDataset, DatasetError> {
        let (names, batches) = files::read(&environment.base.join(&self.root))?;
        let classes = class_names(&names)?;
        let mut samples = Vec::new();
        let mut split_before = None;
        let mut number = 0;
        for ((split, _), batch) in BATCHES.iter().zip(&batches) {
            if split_before != Some(split) {
                (split_before, number) = (Some(split), 0);
            }
            check_length(batch, batches.first())?;
            for (place, record) in batch.bytes.chunks_exact(RECORD).enumerate() {
                let label = record[0];
                if usize::from(label) >= CLASSES {
                    return Err(batch.malformed(&format!(
                        "has the label {label} at record {place}, which is not one of 0 to 9"
                    )));
                }
                samples.push(Sample {
                    id: format!("{split}/{number:05}"),
                    split: (*split).to_owned(),
                    label: u32::from(label),
                    content: blake3::hash(&record[1..]).to_hex().to_string(),
                });
                number += 1;
            }
        }
        Ok(OpenDataset::new(
            Manifest::new(classes, samples),
            Box::new(Records {
                a_batch: batches.first().map_or(0, Member::records),
                batches: batches.into_iter().map(|batch| batch.bytes).collect(),
            }),
        ))
    }
}

impl Member {
    fn records(&self) -> usize {
        self.bytes.len() / RECORD
    }
}

fn class_names(names: &Member) -> Result<Vec<String>, DatasetError> {
    let Ok(text) = std::str::from_utf8(&names.bytes) else {
        return Err(names.malformed("is not a text"));
    };
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let classes: Vec<String> = lines.map(str::to_owned).collect();
    if classes.len() == CLASSES {
        Ok(classes)
    } else {
        Err(names.malformed(&format!(
            "has the names of {} classes, not of {CLASSES}",
            classes.len()
        )))
    }
}

fn check_length(batch: &Member, first: Option<&Member>) -> Result<(), DatasetError> {
    let found = batch.bytes.len();
    if found == 0 || !found.is_multiple_of(RECORD) {
        return Err(batch.malformed(&format!(
            "has {found} bytes, which is not a number of records of {RECORD} bytes"
        )));
    }
    match first {
        Some(first) if first.records() != batch.records() => Err(batch.malformed(&format!(
            "has {} records, but `{}` has {}",
            batch.records(),
            first.name,
            first.records()
        ))),
        _ => Ok(()),
    }
}

/// The records as they are in the batches.
struct Records {
    batches: Vec<Vec<u8>>,
    /// Records in each batch.
    a_batch: usize,
}

impl Records {
    /// The planes of a row's image.
    fn planes(&self, row: usize) -> Option<&[u8]> {
        let batch = self.batches.get(row.checked_div(self.a_batch)?)?;
        let start = row.checked_rem(self.a_batch)? * RECORD;
        batch.get(start + 1..start + RECORD)
    }
}

impl ReadImage for Records {
    fn read(&self, row: usize, _sample: &Sample) -> Result<Image, DatasetError> {
        let Some(planes) = self.planes(row) else {
            return Err(DatasetError::Selection(
                format!("there is no image in row {row}").into(),
            ));
        };
        let (red, rest) = planes.split_at(PLANE);
        let (green, blue) = rest.split_at(PLANE);
        let pixels = red.iter().zip(green).zip(blue);
        let pixels = pixels.flat_map(|((&red, &green), &blue)| [red, green, blue]);
        Ok(Image::color(SIDE, SIDE, pixels.collect()))
    }
}

#[cfg(test)]
mod tests;
