//! NumPy's archives (`.npz`) as files of tensors.
//!
//! # Reference
//! `npy/archived.rs` has that of the format.
//!
//! # Deviations
//! Arrays of texts are listed and not read as tensors.

use safetensors::Dtype;

use super::fault::Fault;
use super::state_dict::StateDict;
use super::{Entry, OtherEntry};
use crate::npy::archived::{Array, arrays};
use crate::npy::{Element, Header};
use crate::zip_archive::Archive;

/// Reads the arrays as tensors, and gives the bytes that they are in where these are not the file's.
///
/// # Errors
/// As [`arrays`].
pub(super) fn read(
    file: &[u8],
    archive: &Archive<'_>,
) -> Result<(StateDict, Option<Vec<u8>>), Fault> {
    let (arrays, unpacked) = arrays(file, archive)?;
    let mut found = StateDict::default();
    for (name, Array { header, bytes }) in arrays {
        let Some(dtype) = dtype(header.element) else {
            found.others.push(OtherEntry {
                name,
                what: format!("an array of texts, of shape {:?}", header.shape),
            });
            continue;
        };
        let strides = strides(&header);
        let entry = Entry::new(dtype, header.shape, bytes, strides);
        found.tensors.insert(name, entry);
    }
    Ok((found, unpacked))
}

/// The distances of elements of an array that is in Fortran's order, unless they are in a row all the same.
fn strides(header: &Header) -> Option<Vec<usize>> {
    let longer = header.shape.iter().filter(|&&size| size > 1).count();
    if !header.is_fortran_order || longer < 2 || header.length == 0 {
        return None;
    }
    let mut distance = 1;
    let strides = header.shape.iter().map(|&size| {
        let own = distance;
        // Does not overflow: the header was compared with the file's length.
        distance *= size;
        own
    });
    Some(strides.collect())
}

/// The type of elements by safetensors' name; `None` of texts.
fn dtype(element: Element) -> Option<Dtype> {
    Some(match element {
        Element::Bool => Dtype::BOOL,
        Element::Signed { bytes: 1 } => Dtype::I8,
        Element::Signed { bytes: 2 } => Dtype::I16,
        Element::Signed { bytes: 4 } => Dtype::I32,
        Element::Signed { .. } => Dtype::I64,
        Element::Unsigned { bytes: 1 } => Dtype::U8,
        Element::Unsigned { bytes: 2 } => Dtype::U16,
        Element::Unsigned { bytes: 4 } => Dtype::U32,
        Element::Unsigned { .. } => Dtype::U64,
        Element::Float { bytes: 2 } => Dtype::F16,
        Element::Float { bytes: 4 } => Dtype::F32,
        Element::Float { .. } => Dtype::F64,
        Element::Bytes { .. } | Element::Text { .. } => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Container, StoredTensors};
    use crate::npy::archived::fixture::{archive, npy};
    use crate::random::Stream;

    fn open(bytes: Vec<u8>) -> Result<StoredTensors, String> {
        StoredTensors::from_bytes(Path::new("x.npz"), bytes).map_err(|error| error.to_string())
    }

    fn numbers(file: &StoredTensors, name: &str) -> Vec<f32> {
        let stored = file.get(name).unwrap();
        let words = stored.bytes.chunks_exact(4);
        words
            .map(|word| f32::from_le_bytes(word.try_into().unwrap()))
            .collect()
    }

    #[test]
    fn arrays_are_read_by_their_names_in_either_order() {
        let file = open(archive(&[
            ("a/b.npy", npy("(2, 3)", false, &[1., 2., 3., 4., 5., 6.])),
            ("c.npy", npy("(2, 3)", true, &[1., 4., 2., 5., 3., 6.])),
            ("d.npy", npy("()", false, &[7.])),
        ]))
        .unwrap();
        assert_eq!(file.container(), Container::Npz);
        assert_eq!(file.names().collect::<Vec<_>>(), ["a/b", "c", "d"]);
        assert_eq!(numbers(&file, "a/b"), numbers(&file, "c"));
        assert_eq!(numbers(&file, "c"), [1., 2., 3., 4., 5., 6.]);
        assert_eq!(numbers(&file, "d"), [7.]);
    }

    #[test]
    fn what_is_wrong_with_a_member_is_said_with_its_name() {
        let wrong = |member: Vec<u8>| open(archive(&[("x.npy", member)])).unwrap_err();
        let objects = npy("(1,)", false, &[0.0; 2]);
        let mut objects = String::from_utf8_lossy(&objects).replace("'<f4'", "'|O' ");
        objects = objects.replace('\u{fffd}', "");
        let bytes = [b"\x93".as_slice(), objects.as_bytes()].concat();
        let said = wrong(bytes);
        assert!(said.contains("`x.npy`") && said.contains("`|O`"), "{said}");
        let said = wrong(npy("(3,)", false, &[0.0; 2]));
        assert!(
            said.contains("`x.npy`") && said.contains("needs 140"),
            "{said}"
        );
        let said = wrong(b"rest".to_vec());
        assert!(said.contains("does not begin as a NumPy array"), "{said}");
        // An archive with anything else beside arrays is none of NumPy's.
        let said = open(archive(&[
            ("x.npy", npy("()", false, &[1.])),
            ("y", vec![]),
        ]));
        assert!(said.unwrap_err().contains("data.pkl"));
    }

    #[test]
    fn damaged_archives_never_panic_and_give_no_more_bytes_than_they_announce() {
        let sound = archive(&[
            ("a.npy", npy("(2, 3)", true, &[1., 4., 2., 5., 3., 6.])),
            ("b.npy", npy("(4,)", false, &[0.; 4])),
        ]);
        let mut stream = Stream::new(9, "npz");
        let (mut read_all, mut refused) = (0, 0);
        for _ in 0..20_000 {
            let mut bytes = sound.clone();
            for _ in 0..=stream.next_index(3) {
                let place = stream.next_index(bytes.len());
                bytes[place] = if stream.next_index(2) == 0 {
                    bytes[place].wrapping_add(1)
                } else {
                    u8::try_from(stream.next_below(256)).unwrap()
                };
            }
            if stream.next_index(8) == 0 {
                bytes.truncate(stream.next_index(sound.len()));
            }
            match open(bytes) {
                Ok(file) => {
                    for (name, dtype, shape) in file.descriptions() {
                        let count: usize = shape.iter().product();
                        let stored = file.get(name).unwrap();
                        assert_eq!(stored.bytes.len(), count * dtype.bitsize() / 8);
                    }
                    read_all += 1;
                }
                Err(_) => refused += 1,
            }
        }
        assert!(read_all > 1_000 && refused > 5_000, "{read_all} {refused}");
    }
}
