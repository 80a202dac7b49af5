//! Heads that are not trained in steps: what they read as a whole, and what they leave.

use tch::Tensor;

/// How the parameters of a head are found.
pub enum Fitting<'a> {
    /// By steps of an optimizer on batches.
    Steps,
    /// From all samples at once.
    Whole(&'a dyn FitWhole),
}

/// All samples of a split.
#[derive(Debug, Clone, Copy)]
pub struct Whole<'a> {
    /// `[N, D]`, f32.
    pub features: &'a Tensor,
    /// `[N]`, i64, each below `classes`; on the device of the features.
    pub labels: &'a Tensor,
    /// How many classes there are: K.
    pub classes: usize,
}

/// What a fit leaves.
#[derive(Debug)]
pub struct Fitted {
    /// Of the test split: `[T, K]`, f32.
    pub logits: Tensor,
    /// The parameters by name, f32; none where the training split itself is what predicts.
    pub weights: Vec<(String, Tensor)>,
    /// The objective before the first iteration and after each one; empty where nothing is minimized.
    pub curve: Vec<f64>,
}

/// A head that is fitted full-batch.
pub trait FitWhole {
    /// Fits to the training split, and predicts features `[T, D]`, f32, on the same device. Both splits have samples.
    ///
    /// The result depends on nothing but these arguments. Memory beyond them is bounded, whatever N and T are, but for the
    /// logits.
    ///
    /// # Panics
    /// libtorch panics if the device is out of memory.
    fn fit(&self, train: Whole<'_>, test: &Tensor) -> Fitted;
}

/// Consecutive ranges of `rows` rows, `(start, count)`, each of at most `most` elements if a row has `width`.
pub(super) fn blocks(rows: i64, width: i64, most: i64) -> impl Iterator<Item = (i64, i64)> {
    let count = (most / width.max(1)).clamp(1, rows.max(1));
    let starts = (0..rows).step_by(usize::try_from(count).unwrap_or(1));
    starts.map(move |start| (start, count.min(rows - start)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_every_row_once() {
        let all: Vec<_> = blocks(10, 5, 20).collect();
        assert_eq!(all, [(0, 4), (4, 4), (8, 2)]);
        assert_eq!(blocks(3, 100, 20).count(), 3);
        assert_eq!(blocks(3, 1, 20).collect::<Vec<_>>(), [(0, 3)]);
        assert_eq!(blocks(0, 1, 20).count(), 0);
    }
}
