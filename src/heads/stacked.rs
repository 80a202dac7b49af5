//! Layers of M heads at once, each head with weights of its own.

use tch::Tensor;

/// With fewer columns than 12, MKL on x86-64 sums in another order; from there on, a column has the same bits however many
/// there are beside it. Zeros fill them up, so that a head has the same bits alone and in company.
const LEAST_COLUMNS: i64 = 16;

/// Columns that libtorch sums at once where it adds up the gradient of a bias; what is left of a row is summed in another
/// order. Zeros fill it up, for the same reason.
const SUMMED_AT_ONCE: i64 = 32;

/// One linear layer of each head on features that all heads share: a single matrix product.
///
/// # Shapes
/// - `features`: `[N, D]`
/// - `weight`: `[M, K, D]`, `bias`: `[M, K]`
/// - returns: `[N, M, K]`
pub(super) fn linear_shared(features: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
    let size = weight.size();
    let (heads, outputs, inputs) = (size[0], size[1], size[2]);
    let columns = heads * outputs;
    let (weight, bias) = (weight.reshape([columns, inputs]), bias.reshape([columns]));
    let multiplied = columns.max(LEAST_COLUMNS);
    let weight = if multiplied > columns {
        weight.constant_pad_nd([0, 0, 0, multiplied - columns])
    } else {
        weight
    };
    let product = features.matmul(&weight.transpose(0, 1));
    let summed = (columns + SUMMED_AT_ONCE - 1) / SUMMED_AT_ONCE * SUMMED_AT_ONCE;
    let sum = product.constant_pad_nd([0, summed - multiplied])
        + bias.constant_pad_nd([0, summed - columns]);
    sum.narrow(1, 0, columns).reshape([-1, heads, outputs])
}

/// One linear layer of each head on features of its own.
///
/// # Shapes
/// - `features`: `[M, N, D]`
/// - `weight`: `[M, K, D]`, `bias`: `[M, K]`
/// - returns: `[M, N, K]`
pub(super) fn linear_each(features: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
    bias.unsqueeze(1)
        .baddbmm(features, &weight.transpose(1, 2), 1, 1)
}

/// [`linear_each`] without a bias.
pub(super) fn product_each(features: &Tensor, weight: &Tensor) -> Tensor {
    features.bmm(&weight.transpose(1, 2))
}

/// The layer norm of each head over the last axis, with an ε of 1e-5.
///
/// # Shapes
/// - `features`: `[M, N, D]`
/// - `weight`, `bias`: `[M, D]`
/// - returns: `[M, N, D]`
pub(super) fn layer_norm_each(features: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
    let width = weight.size()[1];
    let normed = features.layer_norm([width], None::<&Tensor>, None::<&Tensor>, 1e-5, true);
    bias.unsqueeze(1).addcmul(&normed, &weight.unsqueeze(1))
}

/// Numbers between -1 and 1.
#[cfg(test)]
pub(super) fn spread(seed: u64, sizes: &[i64]) -> Tensor {
    let mut stream = crate::random::Stream::new(seed, "test");
    let count = sizes.iter().product::<i64>();
    let values: Vec<f32> = (0..count).map(|_| stream.next_unit() * 2.0 - 1.0).collect();
    Tensor::from_slice(&values).view(sizes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_head_gives_what_it_gives_alone() {
        let _guard = tch::no_grad_guard();
        let features = spread(1, &[50, 64]);
        let weight = spread(2, &[7, 10, 64]);
        let bias = spread(3, &[7, 10]);
        let together = linear_shared(&features, &weight, &bias);
        assert_eq!(together.size(), [50, 7, 10]);
        for head in 0..7 {
            let alone = linear_shared(
                &features,
                &weight.narrow(0, head, 1),
                &bias.narrow(0, head, 1),
            );
            let here = together.narrow(1, head, 1);
            assert!((alone - here).abs().max().double_value(&[]) < 1e-5);
            let plain = features.linear(&weight.select(0, head), Some(bias.select(0, head)));
            let here = together.select(1, head);
            assert!((plain - here).abs().max().double_value(&[]) < 1e-5);
        }
    }
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_gradient_of_a_bias_has_the_same_bits_alone_and_in_company() {
        let features = spread(1, &[50, 64]);
        let weight = spread(2, &[7, 10, 64]);
        let slopes = spread(4, &[50, 7, 10]);
        let gradient = |first: i64, heads: i64| -> Vec<f32> {
            let bias = spread(3, &[7, 10]).narrow(0, first, heads).copy();
            let bias = bias.set_requires_grad(true);
            let product = linear_shared(&features, &weight.narrow(0, first, heads), &bias);
            let sum = (product * slopes.narrow(1, first, heads)).sum(tch::Kind::Float);
            let found = Tensor::run_backward(&[sum], &[bias], false, false);
            Vec::try_from(found[0].view([-1])).unwrap()
        };
        let together = gradient(0, 7);
        for head in 0..7 {
            let place = usize::try_from(head).unwrap() * 10;
            assert_eq!(gradient(head, 1), together[place..place + 10]);
        }
    }
}
