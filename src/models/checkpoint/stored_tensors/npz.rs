//! NumPy's archives (`.npz`): a zip archive whose members are arrays, each named as it is with `.npy` behind it.
//!
//! # Reference
//! numpy/numpy v2.4.0: numpy/lib/_npyio_impl.py (`_savez`, `NpzFile`); the arrays themselves: `npy.rs`.
//!
//! # Deviations
//! Arrays are read where they lie; those of `numpy.savez_compressed` are unpacked into memory first. Arrays of texts are listed and not
//! read as tensors.

use std::collections::BTreeMap;
use std::ops::Range;

use safetensors::Dtype;

use super::archive::Archive;
use super::fault::{Fault, shown};
use super::state_dict::StateDict;
use super::{Entry, OtherEntry};
use crate::limits::CHECKPOINT_ENTRIES;
use crate::npy::{Element, Header, NpyError};

/// What is behind the name of every array.
pub(in crate::models) const ENDING: &str = ".npy";

/// Whether all members of an archive are named as arrays, one at least.
pub(super) fn is_npz(archive: &Archive<'_>) -> bool {
    let mut names = archive.names().peekable();
    names.peek().is_some() && names.all(|name| name.ends_with(ENDING))
}

/// An array of an archive.
#[derive(Debug)]
pub(in crate::models) struct Array {
    pub(in crate::models) header: Header,
    /// The elements, among all bytes.
    pub(in crate::models) bytes: Range<usize>,
}

/// The arrays of an archive by their names.
pub(in crate::models) type Arrays = BTreeMap<String, Array>;

/// Arrays, and the bytes that they are in where these are not the file's.
pub(in crate::models) type Opened = (Arrays, Option<Vec<u8>>);

/// The arrays of the archive whose bytes are `file`, and, where some of them are compressed, the bytes that they are in instead.
///
/// # Errors
/// A member that is damaged, no array, or an array of what is not read; too many of them.
pub(in crate::models) fn arrays(file: &[u8], archive: &Archive<'_>) -> Result<Opened, Fault> {
    if archive.names().nth(CHECKPOINT_ENTRIES).is_some() {
        let reason = format!("it has more than {CHECKPOINT_ENTRIES} members");
        return Err(Fault::CorruptContainer(reason));
    }
    if let Some((unpacked, archive)) = archive.unpacked(file)? {
        let arrays = in_place(&unpacked, &archive)?;
        return Ok((arrays, Some(unpacked)));
    }
    Ok((in_place(file, archive)?, None))
}

fn in_place(file: &[u8], archive: &Archive<'_>) -> Result<Arrays, Fault> {
    let mut arrays = Arrays::new();
    for member in archive.names() {
        let name = member.strip_suffix(ENDING).ok_or_else(|| {
            let reason = format!("its member `{}` is not a NumPy array", shown(member));
            Fault::CorruptContainer(reason)
        })?;
        let bytes = archive.find(member)?.unwrap_or_default();
        let content = file.get(bytes.clone()).unwrap_or_default();
        let header = Header::read(content, content.len()).map_err(|error| fault(member, &error))?;
        let start = bytes.start.saturating_add(header.start);
        let bytes = start..start.saturating_add(header.length);
        arrays.insert(name.to_owned(), Array { header, bytes });
    }
    Ok(arrays)
}

/// Reads the arrays as tensors, and gives the bytes that they are in where these are not the file's.
///
/// # Errors
/// See [`arrays`].
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

fn fault(member: &str, error: &NpyError) -> Fault {
    let reason = format!("of its member `{}`, {error}", shown(member));
    match error {
        NpyError::Unsupported(_) => Fault::Unsupported {
            reason,
            remedy: "save arrays of plain little-endian numbers with `numpy.savez`",
        },
        _ => Fault::CorruptContainer(reason),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write as _;
    use std::path::Path;

    use super::super::{Container, StoredTensors};
    use crate::random::Stream;

    /// A `.npy` file of f32 numbers.
    pub(in super::super) fn npy(shape: &str, is_fortran: bool, numbers: &[f32]) -> Vec<u8> {
        let order = if is_fortran { "True" } else { "False" };
        let mut text = format!("{{'descr': '<f4', 'fortran_order': {order}, 'shape': {shape}, }}");
        while !(11 + text.len()).is_multiple_of(64) {
            text.push(' ');
        }
        text.push('\n');
        let length = u16::try_from(text.len()).unwrap().to_le_bytes();
        let mut bytes = [b"\x93NUMPY\x01\0".as_slice(), &length, text.as_bytes()].concat();
        bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        bytes
    }

    /// A zip archive of stored members, as Python's `zipfile` writes it.
    pub(in super::super) fn archive(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let (mut file, mut directory) = (Vec::new(), Vec::new());
        for (name, content) in members {
            let at = u32::try_from(file.len()).unwrap();
            let size = u32::try_from(content.len()).unwrap().to_le_bytes();
            let name_length = u16::try_from(name.len()).unwrap().to_le_bytes();
            // Version, flags, method, time, checksum, sizes, and the lengths of name and extra field.
            let about = [
                [20, 0, 0, 0, 0, 0].as_slice(),
                &[0; 8],
                &size,
                &size,
                &name_length,
                &[0, 0],
            ]
            .concat();
            file.write_all(b"PK\x03\x04").unwrap();
            file.extend(about.iter().chain(name.as_bytes()).chain(content));
            directory.extend(b"PK\x01\x02\x14\0");
            directory.extend(about.iter().chain(&[0; 10]).chain(&at.to_le_bytes()));
            directory.extend(name.as_bytes());
        }
        let start = u32::try_from(file.len()).unwrap().to_le_bytes();
        let length = u32::try_from(directory.len()).unwrap().to_le_bytes();
        let count = u16::try_from(members.len()).unwrap().to_le_bytes();
        file.extend(&directory);
        file.extend([b"PK\x05\x06\0\0\0\0".as_slice(), &count, &count].concat());
        file.extend([length.as_slice(), &start, &[0, 0]].concat());
        file
    }

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
