//! Puts small archives of arrays together for tests.

use std::io::Write as _;

/// A `.npy` file: `descr` and `shape` as its header has them, and the bytes of the elements.
pub(crate) fn array(descr: &str, shape: &str, is_fortran: bool, elements: &[u8]) -> Vec<u8> {
    let order = if is_fortran { "True" } else { "False" };
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}");
    while !(11 + text.len()).is_multiple_of(64) {
        text.push(' ');
    }
    text.push('\n');
    let length = u16::try_from(text.len()).unwrap().to_le_bytes();
    [
        b"\x93NUMPY\x01\0".as_slice(),
        &length,
        text.as_bytes(),
        elements,
    ]
    .concat()
}

/// A `.npy` file of f32 numbers.
pub(crate) fn npy(shape: &str, is_fortran: bool, numbers: &[f32]) -> Vec<u8> {
    let words = numbers.iter().flat_map(|number| number.to_le_bytes());
    array("<f4", shape, is_fortran, &words.collect::<Vec<u8>>())
}

/// A zip archive of stored members, as Python's `zipfile` writes it.
pub(crate) fn archive(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
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
