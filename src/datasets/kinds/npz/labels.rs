//! The labels of the images.

use super::Wrong;
use super::arrays::words;
use crate::limits;
use crate::npy::{Element, Header};

/// The labels of so many images.
pub(super) fn labels_of(
    header: &Header,
    elements: &[u8],
    images: usize,
) -> Result<Vec<u32>, Wrong> {
    const HINT: &str = "labels are integers from 0, one for each image; `labels` of the dataset names another array";
    match *header.shape.as_slice() {
        [count] if count == images => {}
        [count] => {
            let problem = format!("has {count} labels, but there are {images} images");
            return Err((problem, HINT));
        }
        [count, _] if count == images => {
            let problem = format!("has the shape {:?}, and labels are `[N]`", header.shape);
            let hint = "save the number of the class in place of one value a class: `labels.argmax(axis=1)`";
            return Err((problem, hint));
        }
        _ => {
            let problem = format!("has the shape {:?}, and labels are `[N]`", header.shape);
            return Err((problem, HINT));
        }
    }
    let (size, signed) = match header.element {
        Element::Signed { bytes } => (bytes, true),
        Element::Unsigned { bytes } => (bytes, false),
        other => {
            let problem = format!("holds {}, and labels are integers", words(other));
            return Err((problem, HINT));
        }
    };
    let labels = elements.chunks_exact(size).enumerate().map(|(row, bytes)| {
        let label = integer(bytes, signed);
        let known = u32::try_from(label).ok();
        let known = known.filter(|label| (*label as usize) < limits::CLASSES);
        known.ok_or_else(|| {
            let problem = format!(
                "has the label {label} for image {row}, which is not one of 0 to {}",
                limits::CLASSES - 1
            );
            (problem, HINT)
        })
    });
    labels.collect()
}

/// A little-endian integer of at most 8 bytes.
fn integer(bytes: &[u8], signed: bool) -> i128 {
    let is_negative = signed && bytes.last().is_some_and(|last| last & 0x80 != 0);
    let filling = if is_negative { 0xff } else { 0 };
    let mut wide = [filling; 16];
    for (to, from) in wide.iter_mut().zip(bytes) {
        *to = *from;
    }
    i128::from_le_bytes(wide)
}
