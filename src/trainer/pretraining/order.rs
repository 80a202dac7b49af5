//! Which images a step sees, and which of them are mirrored: functions of seed and step, so that nothing has to be kept.

use crate::numbers::to_usize;
use crate::random::Stream;

/// Endless passes over the images, each in an order of its own; a batch may begin in one pass and end in the next.
#[derive(Debug)]
pub(super) struct Order {
    seed: u64,
    count: usize,
    /// The pass whose order was used last, and that order.
    last: Option<(u64, Vec<usize>)>,
}

impl Order {
    /// The order of `count` images, at least one.
    pub(super) fn new(seed: u64, count: usize) -> Self {
        Self {
            seed,
            count,
            last: None,
        }
    }

    /// The images of a step, counted from 0: for each its number and whether it is mirrored where images are.
    pub(super) fn batch(&mut self, step: u32, size: u32) -> Vec<(usize, bool)> {
        let first = u64::from(step) * u64::from(size);
        let count = self.count.max(1) as u64;
        (first..first + u64::from(size))
            .map(|place| {
                let image = self.at(place / count, place % count);
                let mut coin = Stream::new(self.seed, &format!("pretrain/flip/{place}"));
                (image, coin.next_bits() >> 63 == 1)
            })
            .collect()
    }

    fn at(&mut self, pass: u64, place: u64) -> usize {
        let (seed, count) = (self.seed, self.count);
        let shuffled = || Stream::new(seed, &format!("pretrain/order/{pass}")).permutation(count);
        let last = match self.last.take() {
            Some(last) if last.0 == pass => last,
            _ => (pass, shuffled()),
        };
        let image = last.1[to_usize(place)];
        self.last = Some(last);
        image
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pass_shows_every_image_once_and_can_be_entered_anywhere() {
        let mut order = Order::new(3, 10);
        let batches: Vec<_> = (0..5).map(|step| order.batch(step, 4)).collect();
        let mut images: Vec<usize> = batches.concat().iter().map(|(image, _)| *image).collect();
        let (first, second) = images.split_at_mut(10);
        assert_ne!(first, second);
        for pass in [first, second] {
            pass.sort_unstable();
            assert_eq!(pass, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        }
        assert_eq!(Order::new(3, 10).batch(4, 4), batches[4]);
        assert_ne!(Order::new(4, 10).batch(4, 4), batches[4]);
    }

    #[test]
    fn half_of_the_images_are_mirrored() {
        let mirrored = Order::new(1, 7)
            .batch(0, 10_000)
            .iter()
            .filter(|(_, mirrored)| *mirrored)
            .count();
        // Five standard deviations of 10,000 tosses.
        assert!(mirrored.abs_diff(5000) < 250, "{mirrored}");
    }
}
