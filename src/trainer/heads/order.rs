//! In which order an epoch sees its samples, and which of them are the validation split.
//!
//! The order is a function of the seed, the epoch and the number and size of features: never of how much memory there is.
//! Up to [`WINDOW_BYTES`] of features are one window, and each head shuffles all of it. Beyond, an epoch first shuffles
//! pieces of [`PIECE_BYTES`], which is what a disk likes to read at once, and cuts them into windows; all heads walk through
//! the same windows, and each shuffles within them.

use std::collections::BTreeMap;

use super::rows::Samples;
use crate::random::Stream;

/// Features that are shuffled as a whole, counted as 32-bit floats; few in unit tests, so that they see several windows.
const WINDOW_BYTES: usize = if cfg!(test) { 64 << 10 } else { 256 << 20 };

/// Features that are behind one another and are read together.
const PIECE_BYTES: usize = if cfg!(test) { 1 << 10 } else { 256 << 10 };

/// The sizes of windows and pieces, in samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) window: usize,
    pub(super) piece: usize,
}

impl Sizes {
    /// For features of so many values. Windows hold whole batches, so that only the last step of an epoch is short.
    pub(super) fn new(width: usize, batch: usize) -> Self {
        let row_bytes = (width * 4).max(1);
        let batches = (WINDOW_BYTES / row_bytes / batch.max(1)).max(1);
        Self {
            window: batches * batch.max(1),
            piece: (PIECE_BYTES / row_bytes).max(1),
        }
    }

    /// The windows of an epoch over `count` samples, each as positions from 0.
    pub(super) fn windows(self, count: usize, epoch: u32) -> Vec<Vec<usize>> {
        if count <= self.window {
            return vec![(0..count).collect()];
        }
        let pieces = count.div_ceil(self.piece);
        // The same for all heads, whatever their seeds are: they share what is read.
        let order = Stream::new(0, &format!("pieces/epoch-{epoch}")).permutation(pieces);
        let mut positions = order.into_iter().flat_map(|piece| {
            let start = piece * self.piece;
            start..(start + self.piece).min(count)
        });
        let mut windows = Vec::new();
        loop {
            let window: Vec<usize> = positions.by_ref().take(self.window).collect();
            if window.is_empty() {
                return windows;
            }
            windows.push(window);
        }
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
pub(super) fn mixed_views(views: usize, count: usize, epoch: u32) -> Vec<usize> {
    let mut stream = Stream::new(0, &format!("view/epoch-{epoch}"));
    (0..count)
        .map(|_| stream.next_index(views.max(1)))
        .collect()
}

/// The rows to train on, and those of the validation split: of each class the share `holdout`, rounded up where that leaves some
/// to train on. A sample's side depends on its id and on how many its class has, so all heads hold out the same ones.
pub fn hold_out(rows: &dyn Samples, holdout: f64) -> (Vec<usize>, Vec<usize>) {
    if holdout <= 0.0 {
        return ((0..rows.len()).collect(), Vec::new());
    }
    let mut by_class: BTreeMap<u32, Vec<([u8; 32], usize)>> = BTreeMap::new();
    for row in 0..rows.len() {
        let rank = blake3::hash(format!("holdout/{}", rows.id(row)).as_bytes());
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
    fn windows_hold_every_sample_once_and_whole_batches() {
        let sizes = Sizes {
            window: 40,
            piece: 7,
        };
        assert_eq!(sizes.windows(40, 3), [(0..40).collect::<Vec<_>>()]);
        let windows = sizes.windows(101, 3);
        let lengths: Vec<_> = windows.iter().map(Vec::len).collect();
        assert_eq!(lengths, [40, 40, 21]);
        let mut all = windows.concat();
        all.sort_unstable();
        assert_eq!(all, (0..101).collect::<Vec<_>>());
        assert_ne!(windows, sizes.windows(101, 4));
        assert_eq!(windows, sizes.windows(101, 3));
    }

    #[test]
    fn a_window_is_what_is_stated() {
        // 8 values are 32 bytes: 2,048 samples a window, whole batches of 100 of them, and 32 to a piece.
        let sizes = Sizes::new(8, 100);
        assert_eq!((sizes.window, sizes.piece), (2_000, 32));
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
        let (fit, held) = hold_out(&rows, 0.1);
        assert_eq!((fit.len(), held.len()), (101 - 12, 12));
        for class in 0..3 {
            let of_class = held.iter().filter(|&&row| rows.label(row) == class);
            assert_eq!(of_class.count(), 4);
        }
        // The only sample of its class is trained on.
        assert!(fit.contains(&100));
        assert_eq!(hold_out(&rows, 0.0).0.len(), 101);
    }

    #[test]
    fn views_are_equally_likely() {
        let views = mixed_views(4, 4000, 1);
        for view in 0..4 {
            let count = views.iter().filter(|&&one| one == view).count();
            // 1,000 are expected, with a standard deviation of 27; five of them.
            assert!(count.abs_diff(1000) < 137, "{count}");
        }
        assert_ne!(views, mixed_views(4, 4000, 2));
    }
}
