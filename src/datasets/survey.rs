//! A look at a whole dataset: how its classes are spread, what is there twice, which images do not decode, and what the images
//! are like. Nothing is held in memory but counts and what is reported.

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::Serialize;

use super::{DatasetError, Manifest, OpenDataset};
use crate::imaging::preprocess::{Draw, View};
use crate::imaging::{Image, Preprocess, Room};

/// How the samples of one split are spread over the classes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SplitSpread {
    /// The split's name.
    pub split: String,
    /// Samples of the split, over all classes.
    pub samples: usize,
    /// The classes that have any.
    pub classes: usize,
    /// The class with the fewest samples among these.
    pub smallest: ClassCount,
    /// The number of samples of the class in the middle; of two, the smaller.
    pub median: usize,
    /// The class with the most samples.
    pub largest: ClassCount,
}

/// A class of a split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClassCount {
    /// The class's name, or its number where it has no name.
    pub class: String,
    /// Samples of the class in the split; at least 1.
    pub samples: usize,
}

/// Counts per split and class, in the order of the splits.
pub fn spreads(manifest: &Manifest) -> Vec<SplitSpread> {
    let mut counts: BTreeMap<(&str, u32), usize> = BTreeMap::new();
    for sample in &manifest.samples {
        *counts.entry((&sample.split, sample.label)).or_default() += 1;
    }
    let spread = |split: super::SplitCount| {
        let of_split = counts.iter().filter(|((name, _), _)| *name == split.split);
        let mut classes: Vec<(usize, u32)> = of_split
            .map(|((_, label), samples)| (*samples, *label))
            .collect();
        classes.sort_unstable();
        let class = |(samples, label): (usize, u32)| ClassCount {
            class: manifest
                .classes
                .get(label as usize)
                .cloned()
                .unwrap_or_else(|| label.to_string()),
            samples,
        };
        Some(SplitSpread {
            smallest: class(*classes.first()?),
            median: classes.get((classes.len() - 1) / 2)?.0,
            largest: class(*classes.last()?),
            classes: classes.len(),
            samples: split.samples,
            split: split.split,
        })
    };
    manifest.splits().into_iter().filter_map(spread).collect()
}

/// The rows whose images have the same bytes as another's: one list a content, in the order of the first row of each.
pub fn duplicates(manifest: &Manifest) -> Vec<Vec<usize>> {
    let samples = manifest.samples.par_iter().enumerate();
    let mut keys: Vec<_> = samples
        .map(|(row, sample)| (beginning(&sample.content), sample.content.as_str(), row))
        .collect();
    keys.par_sort_unstable();
    let groups = keys.chunk_by(|left, right| (left.0, left.1) == (right.0, right.1));
    let groups = groups.filter(|group| group.len() > 1);
    let mut groups: Vec<Vec<usize>> = groups
        .map(|group| group.iter().map(|(_, _, row)| *row).collect())
        .collect();
    groups.sort_unstable();
    groups
}

/// The first bytes of a digest, which nearly always tell two apart without looking up either's text.
fn beginning(content: &str) -> u128 {
    let mut beginning = [0; 16];
    for (to, from) in beginning.iter_mut().zip(content.bytes()) {
        *to = from;
    }
    u128::from_be_bytes(beginning)
}

/// Whether rows are of more than one split.
pub fn crosses_splits(manifest: &Manifest, rows: &[usize]) -> bool {
    let mut splits = rows.iter().map(|row| &manifest.samples[*row].split);
    let first = splits.next();
    splits.any(|split| Some(split) != first)
}

/// The rows whose images cannot be read, do not decode, or cannot be made square in one of the ways that they are shown; and why.
/// `shown` has each way with the side of the square in pixels; `done` is called for each image, from several threads.
pub fn unreadable(
    dataset: &OpenDataset,
    shown: &[(Preprocess, usize)],
    done: &(dyn Fn() + Sync),
) -> Vec<(usize, DatasetError)> {
    let rows = (0..dataset.manifest.samples.len()).into_par_iter();
    rows.filter_map(|row| {
        let looked = look(dataset, row, shown);
        done();
        looked.err().map(|error| (row, error))
    })
    .collect()
}

fn look(
    dataset: &OpenDataset,
    row: usize,
    shown: &[(Preprocess, usize)],
) -> Result<(), DatasetError> {
    let _room = Room::enter();
    let image = dataset.image(row)?;
    let id = &dataset.manifest.samples[row].id;
    for (preprocess, side) in shown {
        let draw = Draw {
            seed: 0,
            sample: id,
            view: View::Center.name(),
            draw: 0,
        };
        let square = preprocess.apply(&image, *side, draw);
        square.map_err(|error| DatasetError::Oversized {
            id: id.clone(),
            problem: error.to_string(),
        })?;
    }
    Ok(())
}

/// What the images of a dataset are like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Appearance {
    /// Images that were looked at and decode.
    pub images: usize,
    /// Images that were looked at and do not.
    pub unreadable: usize,
    /// Images in which red, green and blue are the same everywhere.
    pub gray: usize,
    /// How many images have each width, in pixels.
    pub widths: BTreeMap<usize, usize>,
    /// How many images have each height, in pixels.
    pub heights: BTreeMap<usize, usize>,
    /// How many images are stored in each format, by their content.
    pub formats: BTreeMap<&'static str, usize>,
    /// Pixels of all images.
    pixels: u64,
    /// The sum over red, green and blue, of values from 0 to 255, and that of their squares. A gray image counts in all three.
    sums: [(u64, u128); 3],
}

impl Appearance {
    /// Looks at some rows; `done` is called for each, from several threads. Memory is needed for one image a thread.
    pub fn of(dataset: &OpenDataset, rows: &[usize], done: &(dyn Fn() + Sync)) -> Self {
        let looked = rows.par_iter().fold(Self::default, |mut all, &row| {
            let _room = Room::enter();
            match dataset.image(row) {
                Ok(image) => all.add(&image, format_of(dataset, row)),
                Err(_) => all.unreadable += 1,
            }
            done();
            all
        });
        looked.reduce(Self::default, Self::merge)
    }

    fn add(&mut self, image: &Image, format: &'static str) {
        let (width, height) = image.size();
        self.images += 1;
        *self.widths.entry(width).or_default() += 1;
        *self.heights.entry(height).or_default() += 1;
        *self.formats.entry(format).or_default() += 1;
        self.pixels += (width * height) as u64;
        let mut is_gray = true;
        // An image has less than 2^32 pixels, so these cannot overflow.
        let mut sums = [(0u64, 0u64); 3];
        for pixel in image.pixels().chunks_exact(image.channels()) {
            let colors = match *pixel {
                [red, green, blue] => [red, green, blue],
                [gray, ..] => [gray; 3],
                [] => continue,
            };
            is_gray &= colors[0] == colors[1] && colors[1] == colors[2];
            for ((sum, squares), value) in sums.iter_mut().zip(colors) {
                *sum += u64::from(value);
                *squares += u64::from(value) * u64::from(value);
            }
        }
        self.gray += usize::from(is_gray);
        for ((sum, squares), (more, more_squares)) in self.sums.iter_mut().zip(sums) {
            *sum += more;
            *squares += u128::from(more_squares);
        }
    }

    fn merge(mut self, other: Self) -> Self {
        fn add<K: Ord>(counts: &mut BTreeMap<K, usize>, more: BTreeMap<K, usize>) {
            for (key, count) in more {
                *counts.entry(key).or_default() += count;
            }
        }
        self.images += other.images;
        self.unreadable += other.unreadable;
        self.gray += other.gray;
        self.pixels += other.pixels;
        add(&mut self.widths, other.widths);
        add(&mut self.heights, other.heights);
        add(&mut self.formats, other.formats);
        for ((sum, squares), (more, more_squares)) in self.sums.iter_mut().zip(other.sums) {
            *sum += more;
            *squares += more_squares;
        }
        self
    }

    /// Mean and standard deviation of red, green and blue over all pixels of all images, as fractions of the brightest value.
    pub fn channels(&self) -> [(f64, f64); 3] {
        let pixels = self.pixels.max(1) as f64;
        self.sums.map(|(sum, squares)| {
            let mean = sum as f64 / pixels;
            let variance = (squares as f64 / pixels - mean * mean).max(0.0);
            (mean / 255.0, variance.sqrt() / 255.0)
        })
    }
}

/// The smallest, the median (of two, the smaller) and the largest of some counted values.
pub fn range(counts: &BTreeMap<usize, usize>) -> Option<(usize, usize, usize)> {
    let all: usize = counts.values().sum();
    let mut seen = 0;
    let median = counts.iter().find(|(_, count)| {
        seen += **count;
        2 * seen >= all
    });
    Some((
        *counts.keys().next()?,
        *median?.0,
        *counts.keys().next_back()?,
    ))
}

/// The format that an image is stored in, by its first bytes.
fn format_of(dataset: &OpenDataset, row: usize) -> &'static str {
    match dataset.encoded(row) {
        Ok(Some(bytes)) => match image::guess_format(&bytes) {
            Ok(image::ImageFormat::Jpeg) => "JPEG",
            Ok(image::ImageFormat::Png) => "PNG",
            _ => "other",
        },
        Ok(None) => "pixels",
        Err(_) => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ReadImage, Sample};
    use super::*;

    struct Images(Vec<Option<Image>>);

    impl ReadImage for Images {
        fn read(&self, row: usize, _sample: &Sample) -> Result<Image, DatasetError> {
            let image = self.0[row].clone();
            image.ok_or_else(|| DatasetError::Selection("no image".into()))
        }
    }

    fn dataset(rows: &[(&str, u32, &str, Option<Image>)]) -> OpenDataset {
        let samples = rows
            .iter()
            .enumerate()
            .map(|(row, (split, label, content, _))| Sample {
                id: format!("{row}"),
                split: (*split).to_owned(),
                label: *label,
                content: (*content).to_owned(),
            });
        let classes = ["cat", "dog"].map(str::to_owned).to_vec();
        OpenDataset::new(
            Manifest::new(classes, samples.collect()),
            Box::new(Images(rows.iter().map(|row| row.3.clone()).collect())),
        )
    }

    fn five() -> OpenDataset {
        let color = Image::color(2, 1, vec![0, 51, 255, 255, 51, 255]);
        let gray = Image::gray(4, 3, vec![102; 12]);
        dataset(&[
            ("train", 0, "a", Some(color.clone())),
            ("train", 1, "b", Some(gray)),
            ("train", 1, "a", Some(color)),
            ("test", 1, "b", None),
            ("test", 1, "c", None),
        ])
    }

    #[test]
    fn classes_are_counted_in_each_split() {
        let spreads = spreads(&five().manifest);
        assert_eq!(spreads.len(), 2);
        let train = &spreads[0];
        assert_eq!((train.samples, train.classes, train.median), (3, 2, 1));
        assert_eq!(train.smallest.class, "cat");
        assert_eq!(
            (train.largest.class.as_str(), train.largest.samples),
            ("dog", 2)
        );
        assert_eq!((spreads[1].classes, spreads[1].median), (1, 2));
    }

    #[test]
    fn what_is_there_twice_is_found_within_and_across_splits() {
        let dataset = five();
        let found = duplicates(&dataset.manifest);
        assert_eq!(found, [vec![0, 2], vec![1, 3]]);
        assert!(!crosses_splits(&dataset.manifest, &found[0]));
        assert!(crosses_splits(&dataset.manifest, &found[1]));
        let bad: Vec<_> = unreadable(&dataset, &[], &|| ())
            .into_iter()
            .map(|(row, _)| row)
            .collect();
        assert_eq!(bad, [3, 4]);
    }

    #[test]
    fn means_and_deviations_are_over_all_pixels() {
        let dataset = five();
        let seen = Appearance::of(&dataset, &[0, 1, 2, 3], &|| ());
        assert_eq!((seen.images, seen.unreadable, seen.gray), (3, 1, 1));
        assert_eq!(range(&seen.widths), Some((2, 2, 4)));
        assert_eq!(range(&seen.heights), Some((1, 1, 3)));
        assert_eq!(seen.formats, BTreeMap::from([("pixels", 3)]));
        let [red, green, blue] = seen.channels();
        // Red: 0 and 255 twice each, and twelve times 102, of sixteen pixels.
        let mean = (2.0 + 12.0 * 0.4) / 16.0;
        let variance = (2.0 + 12.0 * 0.16) / 16.0 - mean * mean;
        assert!((red.0 - mean).abs() < 1e-12 && (red.1 - variance.sqrt()).abs() < 1e-12);
        assert!((green.0 - (4.0 * 0.2 + 12.0 * 0.4) / 16.0).abs() < 1e-12);
        assert!((blue.0 - (4.0 + 12.0 * 0.4) / 16.0).abs() < 1e-12);
        assert_eq!(range(&BTreeMap::new()), None);
    }
}
