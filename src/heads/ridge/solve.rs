//! The normal equations of ridge regression, decomposed once for all penalties; of the features where there are more samples than
//! values, else of the samples.
//!
//! # Shapes
//! Features X `[N, D]` and targets Y `[N, T]`, both less their means: `XᵀX = V Λ Vᵀ` (primal), or `X Xᵀ = U Λ Uᵀ` (dual, N ≤ D). With
//! `Q = Vᵀ Xᵀ Y` the weights of a penalty λ are `V (Λ + λ)⁻¹ Q`; with `Q = Uᵀ Y` they are `Xᵀ U (Λ + λ)⁻¹ Q`.

use tch::{Device, Kind, Tensor};

use super::super::fitting::FitError;

/// Samples and their targets, block by block.
pub(super) trait Pairs {
    /// Samples, values of a feature, numbers of a target: N, D, T.
    fn sizes(&self) -> [i64; 3];

    /// Where the blocks are.
    fn device(&self) -> Device;

    /// Calls `visit` with each block: features `[B, D]` and targets `[B, T]`, f64.
    fn each(&self, visit: &mut dyn FnMut(&Tensor, &Tensor)) -> Result<(), FitError>;
}

/// Bytes that a fit takes beside a block: the matrix, its decomposition and what that needs meanwhile; beside it the samples
/// themselves (dual); weights and targets.
pub(super) fn bytes(samples: u64, width: u64, targets: u64) -> u64 {
    let side = samples.min(width);
    let kept = if samples <= width { samples * width } else { 0 };
    8 * (4 * side * side + 2 * kept + 4 * side * targets + 2 * width * targets)
}

/// The decomposition, from which each penalty's weights follow by two products.
#[derive(Debug)]
pub(super) struct Solved {
    /// Λ, `[R]`, none negative.
    values: Tensor,
    /// V or U, `[R, R]`.
    vectors: Tensor,
    /// Q, `[R, T]`.
    projected: Tensor,
    /// Means of features `[D]` and targets `[T]`.
    means: (Tensor, Tensor),
    samples: i64,
    /// The features less their means, `[N, D]`, and the targets `[N, T]`: in the dual form.
    dual: Option<(Tensor, Tensor)>,
}

impl Solved {
    /// One scan of the samples.
    pub(super) fn new(pairs: &dyn Pairs) -> Result<Self, FitError> {
        let [samples, width, _] = pairs.sizes();
        if samples <= width {
            Self::dual(pairs)
        } else {
            Self::primal(pairs)
        }
    }

    fn primal(pairs: &dyn Pairs) -> Result<Self, FitError> {
        let [samples, width, targets] = pairs.sizes();
        let zeros = |sizes: &[i64]| Tensor::zeros(sizes, (Kind::Double, pairs.device()));
        let (mut gram, mut product) = (zeros(&[width, width]), zeros(&[width, targets]));
        let (mut sum, mut target_sum) = (zeros(&[width]), zeros(&[targets]));
        // Less one sample, sums of squares lose no digits to the mean.
        let mut shift: Option<Tensor> = None;
        pairs.each(&mut |features, targets| {
            let shift = shift.get_or_insert_with(|| features.narrow(0, 0, 1).copy());
            let shifted = features - &*shift;
            let turned = shifted.transpose(0, 1);
            let _ = gram.addmm_(&turned, &shifted);
            let _ = product.addmm_(&turned, targets);
            sum += shifted.sum_dim_intlist(0, false, None);
            target_sum += targets.sum_dim_intlist(0, false, None);
        })?;
        let count = samples as f64;
        let (offset, target_mean) = (sum / count, target_sum / count);
        gram -= offset.outer(&offset) * count;
        product -= offset.outer(&target_mean) * count;
        let mean = shift.map_or_else(
            || offset.shallow_clone(),
            |shift| shift.select(0, 0) + &offset,
        );
        let (values, vectors) = decomposed(&gram)?;
        drop(gram);
        Ok(Self {
            projected: vectors.transpose(0, 1).matmul(&product),
            values,
            vectors,
            means: (mean, target_mean),
            samples,
            dual: None,
        })
    }

    fn dual(pairs: &dyn Pairs) -> Result<Self, FitError> {
        let [samples, width, targets] = pairs.sizes();
        let zeros = |sizes: &[i64]| Tensor::zeros(sizes, (Kind::Double, pairs.device()));
        let (all, wanted) = (zeros(&[samples, width]), zeros(&[samples, targets]));
        let mut start = 0;
        pairs.each(&mut |features, targets| {
            let count = features.size()[0];
            all.narrow(0, start, count).copy_(features);
            wanted.narrow(0, start, count).copy_(targets);
            start += count;
        })?;
        let mean = all.mean_dim(0, false, None);
        let target_mean = wanted.mean_dim(0, false, None);
        let centered = all - &mean;
        let gram = centered.matmul(&centered.transpose(0, 1));
        let (values, vectors) = decomposed(&gram)?;
        let projected = vectors.transpose(0, 1).matmul(&(&wanted - &target_mean));
        Ok(Self {
            values,
            vectors,
            projected,
            means: (mean, target_mean),
            samples,
            dual: Some((centered, wanted)),
        })
    }

    /// The weight `[T, D]` and the bias `[T]` of a penalty, on features as they are.
    pub(super) fn layer(&self, penalty: f64) -> (Tensor, Tensor) {
        let coefficients = self
            .vectors
            .matmul(&(&self.projected / (&self.values + penalty).unsqueeze(1)));
        let weight = match &self.dual {
            None => coefficients,
            Some((centered, _)) => centered.transpose(0, 1).matmul(&coefficients),
        };
        let weight = weight.transpose(0, 1).contiguous();
        let bias = &self.means.1 - weight.mv(&self.means.0);
        (weight, bias)
    }

    /// Calls `visit` with the place of each penalty, the leave-one-out errors of a block, and its targets, `[B, T]` both: the error
    /// of each sample under a fit to all others. A second scan, but for the dual form.
    pub(super) fn each_left_out(
        &self,
        pairs: &dyn Pairs,
        penalties: &[f64],
        visit: &mut dyn FnMut(usize, &Tensor, &Tensor),
    ) -> Result<(), FitError> {
        let share = 1.0 / self.samples as f64;
        if let Some((_, wanted)) = &self.dual {
            let squares = self.vectors.square();
            for (index, &penalty) in penalties.iter().enumerate() {
                // 1 less λ/(Λ + λ) is what the fit takes of each direction.
                let left = (&self.values + penalty).reciprocal() * penalty;
                let residuals = self.vectors.matmul(&(&self.projected * left.unsqueeze(1)));
                let lacks = squares.mv(&left) - share;
                visit(index, &(residuals / lacks.unsqueeze(1)), wanted);
            }
            return Ok(());
        }
        pairs.each(&mut |features, targets| {
            let turned = (features - &self.means.0).matmul(&self.vectors);
            let squares = turned.square();
            let centered = targets - &self.means.1;
            for (index, &penalty) in penalties.iter().enumerate() {
                let inverse = (&self.values + penalty).reciprocal();
                let fit = turned.matmul(&(&self.projected * inverse.unsqueeze(1)));
                let lacks: Tensor = 1.0 - share - squares.mv(&inverse);
                visit(index, &((&centered - fit) / lacks.unsqueeze(1)), targets);
            }
        })
    }
}

/// Eigenvalues `[R]` and eigenvectors `[R, R]` of a matrix that has no negative ones but by rounding.
fn decomposed(gram: &Tensor) -> Result<(Tensor, Tensor), FitError> {
    if !gram.sum(Kind::Double).double_value(&[]).is_finite() {
        return Err(FitError::NotFinite);
    }
    let (values, vectors) = gram.linalg_eigh("L");
    Ok((values.clamp_min(0.0), vectors))
}
