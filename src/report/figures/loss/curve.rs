//! A loss over steps, and its mean over neighbors.

use crate::report::input::TrainingCurve;
use crate::report::number::significant;
use crate::text::count;

/// The mean is over one part in this many of what was recorded, to each side.
const PARTS: usize = 100;
/// More points than this are drawn as the lowest and the highest of each of half as many stretches.
const MOST_POINTS: usize = 1200;
/// So many points are described in words.
const IN_WORDS: usize = 8;

/// What is drawn: steps and losses.
pub(super) struct Curve {
    /// Every finite loss that was recorded.
    pub(super) points: Vec<(u64, f64)>,
    /// The mean around each of them; near the ends, over the neighbors that there are.
    pub(super) smooth: Vec<(u64, f64)>,
    /// The steps that were taken, recorded or not.
    pub(super) steps: u64,
    /// How many points a mean is over; 1 where nothing is averaged.
    pub(super) window: usize,
}

impl Curve {
    /// The curve of a training; `None` where no loss is a finite number.
    pub(super) fn of(training: &TrainingCurve) -> Option<Self> {
        let points: Vec<(u64, f64)> = training
            .points
            .iter()
            .filter(|point| point.loss.is_finite())
            .map(|point| (point.step, point.loss))
            .collect();
        if points.is_empty() {
            return None;
        }
        let reach = points.len() / PARTS;
        Some(Self {
            smooth: means(&points, reach),
            steps: training.steps,
            window: 2 * reach + 1,
            points,
        })
    }

    /// As much of the points as can be seen, in their order.
    pub(super) fn visible(&self) -> Vec<(u64, f64)> {
        thinned(&self.points)
    }

    /// As much of the means as can be seen, in their order.
    pub(super) fn visible_means(&self) -> Vec<(u64, f64)> {
        thinned(&self.smooth)
    }

    /// Some of the means in words, the first and the last among them.
    pub(super) fn in_words(&self) -> String {
        let last = self.smooth.len() - 1;
        let mut shown: Vec<usize> = (0..IN_WORDS)
            .map(|number| last * number / (IN_WORDS - 1))
            .collect();
        shown.dedup();
        let texts: Vec<String> = shown
            .into_iter()
            .filter_map(|index| self.smooth.get(index))
            .map(|(step, loss)| format!("{} at step {}", significant(*loss), count(*step)))
            .collect();
        format!("{}.", texts.join(", "))
    }
}

/// The mean of each point and of as many to each side of it as `reach` says.
fn means(points: &[(u64, f64)], reach: usize) -> Vec<(u64, f64)> {
    let around = |(index, (step, _)): (usize, &(u64, f64))| {
        let first = index.saturating_sub(reach);
        let neighbors = points.iter().take(index + reach + 1).skip(first);
        let losses: Vec<f64> = neighbors.map(|(_, loss)| *loss).collect();
        (*step, losses.iter().sum::<f64>() / losses.len() as f64)
    };
    points.iter().enumerate().map(around).collect()
}

/// The points, or the lowest and the highest of each stretch of them where they are more than can be seen.
fn thinned(points: &[(u64, f64)]) -> Vec<(u64, f64)> {
    if points.len() <= MOST_POINTS {
        return points.to_vec();
    }
    let stretch = points.len().div_ceil(MOST_POINTS / 2);
    let ends = |stretch: &[(u64, f64)]| {
        let by_loss = |left: &&(u64, f64), right: &&(u64, f64)| left.1.total_cmp(&right.1);
        let ends = [
            stretch.iter().min_by(by_loss).copied(),
            stretch.iter().max_by(by_loss).copied(),
        ];
        let mut ends: Vec<(u64, f64)> = ends.into_iter().flatten().collect();
        ends.sort_by_key(|(step, _)| *step);
        ends
    };
    points.chunks(stretch).flat_map(ends).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_is_over_the_neighbors_that_there_are() {
        let points = [(0, 1.0), (1, 2.0), (2, 6.0), (3, 1.0)];
        assert_eq!(means(&points, 1), [(0, 1.5), (1, 3.0), (2, 3.0), (3, 3.5)]);
        assert_eq!(means(&points, 0), points);
    }

    #[test]
    fn what_is_left_out_of_a_long_curve_does_not_change_its_reach() {
        let points: Vec<(u64, f64)> = (0..100_000)
            .map(|step| (step, if step == 77_777 { 9.0 } else { 1.0 }))
            .collect();
        let thinned = thinned(&points);
        assert!(thinned.len() <= MOST_POINTS);
        assert!(thinned.contains(&(77_777, 9.0)));
        assert!(thinned.is_sorted_by_key(|(step, _)| *step));
    }
}
