//! In which order an epoch sees its samples, how it is cut into batches, and which samples are the validation split.
//!
//! All of it follows the seed of a head, and the number and size of features: never how much memory there is. Up to
//! [`WINDOW_BYTES`] of features are one window, and each head shuffles all of it. Beyond, an epoch first shuffles pieces of
//! [`PIECE_BYTES`], which is what a disk likes to read at once, and cuts them into windows; each head shuffles within them.
//!
//! # Deviations
//! An epoch is cut into as many batches as the largest batch size asks for, as equal as they can be. PyTorch's loader fills each
//! batch but the last, which holds what is left: with Adam, three samples then move the weights as far as 256 do.
//! soumik-kanad/diffssl@cc2ac30 drops that batch.

use std::collections::BTreeMap;
use std::ops::Range;

use super::rows::Samples;
use crate::random::Stream;

/// Features that are shuffled as a whole, counted as 32-bit floats; few in unit tests, so that they see several windows.
const WINDOW_BYTES: usize = if cfg!(test) { 64 << 10 } else { 256 << 20 };

/// Features that are behind one another and are read together.
const PIECE_BYTES: usize = if cfg!(test) { 1 << 10 } else { 256 << 10 };

/// Cuts `count` samples into as few parts of at most `most` as there can be; their sizes differ by one at most.
pub(in crate::trainer) fn equal_parts(count: usize, most: usize) -> Vec<Range<usize>> {
    let parts = count.div_ceil(most.max(1));
    let end = |part: usize| part * count / parts;
    (0..parts).map(|part| end(part)..end(part + 1)).collect()
}

/// The sizes of batches, windows and pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    /// Samples of a batch, at most.
    batch: usize,
    /// Batches of a window, at most.
    batches: usize,
    /// Samples of a piece.
    piece: usize,
}

/// Samples that are read together and shuffled together, in whole batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    /// The samples, as positions among those to train on.
    pub(super) positions: Vec<usize>,
    /// The number of its first batch in the epoch, from 0.
    pub(super) first: usize,
    /// Where each of its batches is in the window.
    pub(super) batches: Vec<Range<usize>>,
}

impl Sizes {
    /// For features of so many values, and batches of at most so many samples.
    pub(super) fn new(width: usize, batch: usize) -> Self {
        let row_bytes = (width * 4).max(1);
        let batch = batch.max(1);
        Self {
            batch,
            batches: (WINDOW_BYTES / row_bytes / batch).max(1),
            piece: (PIECE_BYTES / row_bytes).max(1),
        }
    }

    /// Samples of a window, at most.
    pub(super) fn window(self) -> usize {
        self.batches * self.batch
    }

    /// The windows of an epoch over `count` samples. One that holds all of them has them in their own order, whatever the seed is.
    pub(super) fn windows(self, count: usize, seed: u64, epoch: u32) -> Vec<Window> {
        let batches = equal_parts(count, self.batch);
        let windows = equal_parts(batches.len(), self.batches);
        let order: Vec<usize> = if windows.len() <= 1 {
            (0..count).collect()
        } else {
            let pieces = count.div_ceil(self.piece);
            let order = Stream::new(seed, &format!("pieces/epoch-{epoch}")).permutation(pieces);
            let samples = order.into_iter().flat_map(|piece| {
                let start = piece * self.piece;
                start..(start + self.piece).min(count)
            });
            samples.collect()
        };
        let of_window = |window: Range<usize>| {
            let own = &batches[window.clone()];
            let start = own.first().map_or(0, |batch| batch.start);
            let end = own.last().map_or(start, |batch| batch.end);
            Window {
                positions: order[start..end].to_vec(),
                first: window.start,
                batches: own
                    .iter()
                    .map(|batch| batch.start - start..batch.end - start)
                    .collect(),
            }
        };
        windows.into_iter().map(of_window).collect()
    }
}

/// The order in which a head sees the samples of a window.
pub(in crate::trainer) fn within(seed: u64, epoch: u32, window: usize, count: usize) -> Vec<usize> {
    let purpose = match window {
        0 => format!("shuffle/epoch-{epoch}"),
        window => format!("shuffle/epoch-{epoch}/window-{window}"),
    };
    Stream::new(seed, &purpose).permutation(count)
}

/// Which view an epoch sees of each sample, by chance.
pub(super) fn mixed_views(views: usize, count: usize, seed: u64, epoch: u32) -> Vec<usize> {
    let mut stream = Stream::new(seed, &format!("view/epoch-{epoch}"));
    (0..count)
        .map(|_| stream.next_index(views.max(1)))
        .collect()
}

/// The rows to train on, and those of the validation split: of each class the share `holdout`, rounded up where that leaves some
/// to train on. A sample's side depends on the seed, on its id and on how many its class has, so all heads of one seed hold out the
/// same ones, whatever they read.
pub fn hold_out(rows: &dyn Samples, holdout: f64, seed: u64) -> (Vec<usize>, Vec<usize>) {
    if holdout <= 0.0 {
        return ((0..rows.len()).collect(), Vec::new());
    }
    let mut by_class: BTreeMap<u32, Vec<([u8; 32], usize)>> = BTreeMap::new();
    for row in 0..rows.len() {
        let rank = blake3::hash(format!("holdout/{seed}/{}", rows.id(row)).as_bytes());
        let class = by_class.entry(rows.label(row)).or_default();
        class.push((*rank.as_bytes(), row));
    }
    let (mut fit, mut held) = (Vec::new(), Vec::new());
    for samples in by_class.values_mut() {
        samples.sort_unstable();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a number of samples"
        )]
        let count = (samples.len() as f64 * holdout).ceil() as usize;
        let count = count.min(samples.len().saturating_sub(1));
        held.extend(samples[..count].iter().map(|(_, row)| *row));
        fit.extend(samples[count..].iter().map(|(_, row)| *row));
    }
    fit.sort_unstable();
    held.sort_unstable();
    (fit, held)
}

#[cfg(test)]
mod tests {
    use super::super::rows::RowsInMemory;
    use super::*;

    #[test]
    fn parts_are_equal_but_for_one_sample() {
        for (count, most) in [(1, 256), (256, 256), (257, 256), (1795, 256), (6667, 256)] {
            let parts = equal_parts(count, most);
            assert_eq!(parts.len(), count.div_ceil(most));
            let lengths: Vec<usize> = parts.iter().map(Range::len).collect();
            let (least, largest) = (lengths.iter().min(), lengths.iter().max());
            assert!(largest.unwrap() - least.unwrap() <= 1, "{lengths:?}");
            assert!(*largest.unwrap() <= most);
            assert_eq!(lengths.iter().sum::<usize>(), count);
            assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start));
        }
        assert!(equal_parts(0, 256).is_empty());
    }

    /// A tenth of 2,000 images in ten classes leaves 7 × 256 + 3 of them: three samples that took a whole step of Adam cost 1.3 points
    /// of a pixel probe's 81.8.
    #[test]
    fn a_tenth_held_out_leaves_batches_of_one_size() {
        let counts = [[195, 205]; 5].concat();
        let labels: Vec<u32> = (0u32..)
            .zip(counts)
            .flat_map(|(class, count)| std::iter::repeat_n(class, count))
            .collect();
        let rows = RowsInMemory {
            ids: (0..2000).map(|row| format!("train/{row}")).collect(),
            labels,
            views: vec![Vec::new()],
        };
        let (fit, held) = hold_out(&rows, 0.1, 0);
        assert_eq!((fit.len(), held.len()), (1795, 205));
        let windows = Sizes::new(49, 256).windows(fit.len(), 0, 0);
        let lengths: Vec<usize> = windows
            .iter()
            .flat_map(|window| window.batches.iter().map(Range::len))
            .collect();
        assert_eq!(lengths.len(), 8);
        assert!(
            lengths.iter().all(|length| [224, 225].contains(length)),
            "{lengths:?}"
        );
    }

    #[test]
    fn windows_hold_every_sample_once_and_whole_batches() {
        let sizes = Sizes {
            batch: 10,
            batches: 4,
            piece: 7,
        };
        let whole = sizes.windows(40, 9, 3);
        assert_eq!(whole.len(), 1);
        assert_eq!(whole[0].positions, (0..40).collect::<Vec<_>>());
        let windows = sizes.windows(101, 9, 3);
        // 11 batches of 9 or 10 in three windows.
        let shape: Vec<_> = windows
            .iter()
            .map(|window| (window.first, window.batches.len()))
            .collect();
        assert_eq!(shape, [(0, 3), (3, 4), (7, 4)]);
        for window in &windows {
            assert!(window.positions.len() <= sizes.window());
            let covered: usize = window.batches.iter().map(Range::len).sum();
            assert_eq!(covered, window.positions.len());
            assert!(
                window
                    .batches
                    .iter()
                    .all(|one| [9, 10].contains(&one.len()))
            );
        }
        let mut all: Vec<usize> = windows
            .iter()
            .flat_map(|window| window.positions.clone())
            .collect();
        all.sort_unstable();
        assert_eq!(all, (0..101).collect::<Vec<_>>());
        assert_ne!(windows, sizes.windows(101, 9, 4));
        assert_ne!(windows, sizes.windows(101, 8, 3));
        assert_eq!(windows, sizes.windows(101, 9, 3));
    }

    #[test]
    fn a_window_is_what_is_stated() {
        // 8 values are 32 bytes: 2,048 samples a window, whole batches of 100 of them, and 32 to a piece.
        let sizes = Sizes::new(8, 100);
        assert_eq!((sizes.window(), sizes.piece), (2_000, 32));
        // A single sample may be larger than a piece.
        assert_eq!(Sizes::new(1 << 17, 256).piece, 1);
    }

    #[test]
    fn every_class_keeps_a_share_and_loses_one() {
        let labels: Vec<u32> = (0..100).map(|row| row % 3).chain([7]).collect();
        let rows = RowsInMemory {
            ids: (0..labels.len())
                .map(|row| format!("train/{row}"))
                .collect(),
            labels,
            views: vec![Vec::new()],
        };
        let (fit, held) = hold_out(&rows, 0.1, 0);
        assert_eq!((fit.len(), held.len()), (101 - 12, 12));
        let (other_fit, other) = hold_out(&rows, 0.1, 1);
        assert_ne!(held, other);
        assert_eq!(fit.len(), other_fit.len());
        for class in 0..3 {
            let of_class = held.iter().filter(|&&row| rows.label(row) == class);
            assert_eq!(of_class.count(), 4);
        }
        // The only sample of its class is trained on.
        assert!(fit.contains(&100));
        assert_eq!(hold_out(&rows, 0.0, 0).0.len(), 101);
    }

    #[test]
    fn views_are_equally_likely() {
        let views = mixed_views(4, 4000, 0, 1);
        for view in 0..4 {
            let count = views.iter().filter(|&&one| one == view).count();
            // 1,000 are expected, with a standard deviation of 27; five of them.
            assert!(count.abs_diff(1000) < 137, "{count}");
        }
        assert_ne!(views, mixed_views(4, 4000, 0, 2));
        assert_ne!(views, mixed_views(4, 4000, 1, 1));
    }
}
