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

/// Adds `factor` times XᵀX of some rows, its part at some rows and columns `[m, n]`, to what is there. `x` is `[rows, width]`, row-major.
pub(super) fn add_products(
    factor: f64,
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
            factor,
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

/// The sum of the products of two vectors, in partial sums.
pub(super) fn dot(left: &[f64], right: &[f64]) -> f64 {
    #[cfg(target_arch = "x86_64")]
    if wide::are_there() {
        #[expect(unsafe_code, reason = "calls a function for processors that have it")]
        // SAFETY: this processor has the instructions, as was just asked.
        return unsafe { wide::dot(left, right) };
    }
    narrow::dot(left, right)
}

/// Adds a multiple of a vector to another one.
pub(super) fn add_multiple(into: &mut [f64], factor: f64, of: &[f64]) {
    #[cfg(target_arch = "x86_64")]
    if wide::are_there() {
        #[expect(unsafe_code, reason = "calls a function for processors that have it")]
        // SAFETY: this processor has the instructions, as was just asked.
        return unsafe { wide::add_multiple(into, factor, of) };
    }
    narrow::add_multiple(into, factor, of);
}

/// For any processor.
mod narrow {
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

    pub(super) fn add_multiple(into: &mut [f64], factor: f64, of: &[f64]) {
        for (sum, value) in into.iter_mut().zip(of) {
            *sum += factor * value;
        }
    }
}

/// For processors with AVX2 and FMA. This crate is compiled without vectorization (see `Cargo.toml`), and a distance of 2,048 values is
/// some 40 billion of these operations.
#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::{
        __m256d, _mm256_fmadd_pd, _mm256_loadu_pd, _mm256_set1_pd, _mm256_setzero_pd,
        _mm256_storeu_pd,
    };

    /// Values that are worked on at once: four registers of four.
    const BLOCK: usize = 16;

    /// Whether this processor has the instructions.
    pub(super) fn are_there() -> bool {
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn dot(left: &[f64], right: &[f64]) -> f64 {
        let (left, rest_left) = left.as_chunks::<BLOCK>();
        let (right, rest_right) = right.as_chunks::<BLOCK>();
        let mut sums: [__m256d; 4] = [_mm256_setzero_pd(); 4];
        for (left, right) in left.iter().zip(right) {
            let (left, right) = (left.as_ptr(), right.as_ptr());
            #[expect(unsafe_code, reason = "reads registers from memory")]
            // SAFETY: both pointers are those of 16 values, of which the first 16 are read.
            unsafe {
                let product = |place: usize, sum: __m256d| {
                    let left = _mm256_loadu_pd(left.add(4 * place));
                    let right = _mm256_loadu_pd(right.add(4 * place));
                    _mm256_fmadd_pd(left, right, sum)
                };
                sums = [
                    product(0, sums[0]),
                    product(1, sums[1]),
                    product(2, sums[2]),
                    product(3, sums[3]),
                ];
            }
        }
        let mut parts = [0.0; BLOCK];
        for (part, sum) in parts.as_chunks_mut::<4>().0.iter_mut().zip(sums) {
            #[expect(unsafe_code, reason = "writes a register to memory")]
            // SAFETY: the pointer is that of 4 values, and 4 are written.
            unsafe {
                _mm256_storeu_pd(part.as_mut_ptr(), sum);
            }
        }
        parts.iter().sum::<f64>() + super::narrow::dot(rest_left, rest_right)
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn add_multiple(into: &mut [f64], factor: f64, of: &[f64]) {
        let (into, rest_into) = into.as_chunks_mut::<BLOCK>();
        let (of, rest_of) = of.as_chunks::<BLOCK>();
        let factors = _mm256_set1_pd(factor);
        for (into, of) in into.iter_mut().zip(of) {
            let (into, of) = (into.as_mut_ptr(), of.as_ptr());
            #[expect(unsafe_code, reason = "reads registers from memory and writes them")]
            // SAFETY: both pointers are those of 16 values, of which the first 16 are read or written.
            unsafe {
                let add = |place: usize| {
                    let sum = _mm256_loadu_pd(into.add(place));
                    let value = _mm256_loadu_pd(of.add(place));
                    _mm256_storeu_pd(into.add(place), _mm256_fmadd_pd(factors, value, sum));
                };
                // Not in a loop: at this level of optimization its iterator is a call, which takes as long as all the rest.
                add(0);
                add(4);
                add(8);
                add(12);
            }
        }
        super::narrow::add_multiple(rest_into, factor, rest_of);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_and_narrow_agree_at_every_length() {
        for length in 0..70 {
            let left: Vec<f64> = (0..length).map(|place| f64::from(place) - 7.0).collect();
            let right: Vec<f64> = (0..length)
                .map(|place| 0.5 * f64::from(place * place % 11))
                .collect();
            // Sums of small multiples of a half are exact, in whatever order.
            let expected: f64 = left.iter().zip(&right).map(|(a, b)| a * b).sum();
            // An empty sum is -0 by some routes.
            let found = dot(&left, &right) + 0.0;
            assert_eq!(found.to_bits(), (expected + 0.0).to_bits(), "{length}");
            let mut sums = left.clone();
            add_multiple(&mut sums, -2.0, &right);
            let expected = left.iter().zip(&right).map(|(a, b)| a - 2.0 * b);
            assert!(sums.iter().copied().eq(expected), "{length}");
        }
    }
}
