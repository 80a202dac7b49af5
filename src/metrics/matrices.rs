//! Products of matrices in f64. Each adds up in one order, whatever the number of threads.

use std::ops::Range;

/// A Bᵀ `[m, n]` of row-major matrices A `[m, depth]` and B `[n, depth]`; added to what is there with `add`. `into` has the size of the
/// product.
pub(super) fn multiply(a: &[f64], b: &[f64], depth: usize, into: &mut [f64], add: bool) {
    let (m, n) = (a.len() / depth, b.len() / depth);
    assert_eq!(
        (m * depth, n * depth, m * n),
        (a.len(), b.len(), into.len()),
        "sizes of a product"
    );
    let (row, wide) = (depth.cast_signed(), n.cast_signed());
    let beta = if add { 1.0 } else { 0.0 };
    #[expect(
        unsafe_code,
        reason = "the kernels of matrixmultiply have no safe entry"
    )]
    // SAFETY: the pointers are those of slices that have exactly as many values as the sizes and strides name, as was just asserted, and
    // `into` overlaps neither of the others because it is borrowed mutably.
    unsafe {
        matrixmultiply::dgemm(
            m,
            depth,
            n,
            1.0,
            a.as_ptr(),
            row,
            1,
            b.as_ptr(),
            1,
            row,
            beta,
            into.as_mut_ptr(),
            wide,
            1,
        );
    }
}

/// Adds XᵀX of some rows, its part at some rows and columns `[m, n]`, to what is there. `x` is `[rows, width]`, row-major.
pub(super) fn add_products(
    x: &[f64],
    width: usize,
    (rows, columns): (&Range<usize>, &Range<usize>),
    into: &mut [f64],
) {
    let (m, n, depth) = (rows.len(), columns.len(), x.len() / width);
    assert_eq!(
        (depth * width, m * n),
        (x.len(), into.len()),
        "sizes of a product"
    );
    let (Some(left), Some(right)) = (x.get(rows.start..), x.get(columns.start..)) else {
        return;
    };
    assert!(
        rows.end <= width && columns.end <= width,
        "columns of a product"
    );
    let (row, wide) = (width.cast_signed(), n.cast_signed());
    #[expect(
        unsafe_code,
        reason = "the kernels of matrixmultiply have no safe entry"
    )]
    // SAFETY: what is read of row r are values from r · width + start to r · width + end, where `end` is at most the width, as was just
    // asserted, so all lie within `x`; `into` has m · n values, and is borrowed mutably.
    unsafe {
        matrixmultiply::dgemm(
            m,
            depth,
            n,
            1.0,
            left.as_ptr(),
            1,
            row,
            right.as_ptr(),
            row,
            1,
            1.0,
            into.as_mut_ptr(),
            wide,
            1,
        );
    }
}

/// The sum of the products of two vectors, in eight partial sums.
pub(super) fn dot(left: &[f64], right: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (left, rest_left) = left.as_chunks::<8>();
    let (right, rest_right) = right.as_chunks::<8>();
    for (left, right) in left.iter().zip(right) {
        for ((sum, left), right) in sums.iter_mut().zip(left).zip(right) {
            *sum += left * right;
        }
    }
    let rest: f64 = rest_left
        .iter()
        .zip(rest_right)
        .map(|(left, right)| left * right)
        .sum();
    sums.iter().sum::<f64>() + rest
}

/// Adds a multiple of a vector to another one.
pub(super) fn add_multiple(into: &mut [f64], factor: f64, of: &[f64]) {
    for (sum, value) in into.iter_mut().zip(of) {
        *sum += factor * value;
    }
}
