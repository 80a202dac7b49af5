//! Tensors as views of a storage: where their elements are, checked, and put into a row if they are not in one.
//!
//! # Reference
//! The strided layout of PyTorch: element `[i, j, …]` is number `offset + i * stride₀ + j * stride₁ + …` of the storage.
//!
//! # Deviations
//! A view with more elements than its storage (a tensor that was expanded) is refused: a small file could otherwise ask
//! for any amount of memory. Strides below zero do not exist in PyTorch either.

use std::ops::Range;

/// More axes than this are refused, as PyTorch refuses them.
pub(super) const MOST_AXES: usize = 64;

/// A checked view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CheckedView {
    /// First and one past the last element that the view touches, as numbers of the storage's elements.
    pub elements: Range<usize>,
    /// Whether the elements are in a row, in row-major order.
    pub is_contiguous: bool,
}

/// Checks a view of a storage that holds `stored` elements.
pub(super) fn check(
    offset: usize,
    shape: &[usize],
    strides: &[usize],
    stored: usize,
) -> Result<CheckedView, String> {
    if shape.len() != strides.len() {
        return Err(format!(
            "a tensor has {} sizes and {} strides",
            shape.len(),
            strides.len()
        ));
    }
    if shape.len() > MOST_AXES {
        return Err(format!(
            "a tensor has {} axes, more than {MOST_AXES}",
            shape.len()
        ));
    }
    let outside = || {
        format!(
            "a tensor of shape {shape:?} with strides {strides:?} from element {offset} goes past its storage of {stored} elements"
        )
    };
    if offset > stored {
        return Err(outside());
    }
    if shape.contains(&0) {
        return Ok(CheckedView {
            elements: offset..offset,
            is_contiguous: true,
        });
    }
    let mut count = 1_usize;
    let mut last = offset;
    let mut is_contiguous = true;
    for (&size, &stride) in shape.iter().zip(strides).rev() {
        is_contiguous &= size == 1 || stride == count;
        count = count.checked_mul(size).ok_or_else(outside)?;
        let span = (size - 1).checked_mul(stride).ok_or_else(outside)?;
        last = last.checked_add(span).ok_or_else(outside)?;
    }
    if last >= stored {
        return Err(outside());
    }
    if count > stored {
        return Err(format!(
            "a tensor of shape {shape:?} has more elements than its storage, which holds {stored}, as if it were expanded: save its `.clone()`"
        ));
    }
    Ok(CheckedView {
        elements: offset..last + 1,
        is_contiguous,
    })
}

/// The elements of a view in row-major order. `bytes` begins at the view's first element and holds whole elements of
/// `width` bytes; the view was checked against it.
pub(super) fn gather(bytes: &[u8], width: usize, shape: &[usize], strides: &[usize]) -> Vec<u8> {
    let count: usize = shape.iter().product();
    let mut gathered = Vec::with_capacity(count.saturating_mul(width));
    let mut index = vec![0_usize; shape.len()];
    let mut element = 0_usize;
    for _ in 0..count {
        let start = element.saturating_mul(width);
        // Never outside: the view was checked. Without it the length would show.
        gathered.extend_from_slice(
            bytes
                .get(start..start.saturating_add(width))
                .unwrap_or_default(),
        );
        // One further on the last axis, or back to its beginning and one further on the axis before it.
        for ((position, &size), &stride) in index.iter_mut().zip(shape).zip(strides).rev() {
            *position += 1;
            // Strides of axes of size 1 may be anything, so this goes past the end of numbers and comes back.
            element = element.wrapping_add(stride);
            if *position < size {
                break;
            }
            element = element.wrapping_sub(stride.wrapping_mul(size));
            *position = 0;
        }
    }
    gathered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_told_from_other_views() {
        let contiguous = |shape: &[usize], strides: &[usize]| {
            check(1, shape, strides, 100).unwrap().is_contiguous
        };
        assert!(contiguous(&[2, 3], &[3, 1]));
        assert!(contiguous(&[2, 1, 3], &[3, 77, 1]));
        assert!(contiguous(&[], &[]));
        assert!(!contiguous(&[3, 2], &[1, 3]));
        assert!(!contiguous(&[2, 3], &[6, 2]));
        assert!(!contiguous(&[2, 2], &[0, 1]));
    }

    #[test]
    fn a_transposed_view_is_put_into_a_row() {
        let layout = check(0, &[3, 2], &[1, 3], 6).unwrap();
        assert_eq!(layout.elements, 0..6);
        assert_eq!(
            gather(&[0, 1, 2, 3, 4, 5], 1, &[3, 2], &[1, 3]),
            [0, 3, 1, 4, 2, 5]
        );
        assert_eq!(
            gather(&[0, 1, 2, 3, 4, 5, 6, 7], 2, &[2], &[3]),
            [0, 1, 6, 7]
        );
        assert_eq!(gather(&[7, 8], 1, &[], &[]), [7]);
        assert_eq!(gather(&[0, 1, 2], 1, &[2, 1], &[2, usize::MAX]), [0, 2]);
    }

    #[test]
    fn what_goes_past_the_storage_is_refused() {
        for (offset, shape, strides) in [
            (0, &[7][..], &[1][..]),
            (1, &[6], &[1]),
            (7, &[0], &[1]),
            (0, &[2, 2], &[5, 1]),
            (0, &[usize::MAX, 2], &[0, 0]),
            (0, &[3], &[usize::MAX]),
            (usize::MAX, &[1], &[1]),
            (0, &[7], &[0]),
            (0, &[1], &[]),
        ] {
            assert!(
                check(offset, shape, strides, 6).is_err(),
                "{offset} {shape:?} {strides:?}"
            );
        }
        assert!(check(0, &[1; 65], &[1; 65], 6).is_err());
        assert!(check(6, &[0, 5], &[usize::MAX, 1], 6).is_ok());
    }

    proptest::proptest! {
        /// Against the definition: every element by its number.
        #[test]
        fn gathering_follows_the_definition(shape in proptest::collection::vec(1_usize..4, 0..4), seed: u64) {
            let strides: Vec<usize> = (0..shape.len()).map(|axis| usize::try_from((seed >> (axis * 4)) % 5).unwrap()).collect();
            let Ok(layout) = check(0, &shape, &strides, 64) else { return Ok(()); };
            let bytes: Vec<u8> = (0..64).collect();
            let mut expected = Vec::new();
            for flat in 0..shape.iter().product::<usize>() {
                let (mut rest, mut element) = (flat, 0);
                for (&size, &stride) in shape.iter().zip(&strides).rev() {
                    element += rest % size * stride;
                    rest /= size;
                }
                expected.push(bytes[element]);
            }
            proptest::prop_assert_eq!(gather(&bytes[layout.elements], 1, &shape, &strides), expected);
        }
    }
}
