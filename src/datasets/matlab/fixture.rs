//! Writes small files of MATLAB 5 for tests; `tests/suite` has it by its path as well, so it names nothing of the crate.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

fn element(kind: u32, bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap();
    // As MATLAB does, what fits into 4 bytes is a short element.
    let mut element = if (1..=4).contains(&length) {
        (kind | (length << 16)).to_le_bytes().to_vec()
    } else {
        [kind.to_le_bytes(), length.to_le_bytes()].concat()
    };
    element.extend(bytes);
    element.resize(element.len().next_multiple_of(8), 0);
    element
}

/// An array of so many values in one row.
fn array(class: u32, count: usize, name: &str, rest: &[Vec<u8>]) -> Vec<u8> {
    let side = u32::try_from(count).unwrap();
    let parts = [
        element(6, &[class.to_le_bytes(), [0; 4]].concat()),
        element(5, &[1u32.to_le_bytes(), side.to_le_bytes()].concat()),
        element(1, name.as_bytes()),
        rest.concat(),
    ];
    element(14, &parts.concat())
}

/// An array of numbers; whole ones from 0 to 255 are stored as bytes, as MATLAB does.
pub fn numbers(name: &str, numbers: &[f64]) -> Vec<u8> {
    let byte = |number: &f64| (0..=u8::MAX).find(|byte| f64::from(*byte).total_cmp(number).is_eq());
    let small: Option<Vec<u8>> = numbers.iter().map(byte).collect();
    let data = if let Some(bytes) = small {
        element(2, &bytes)
    } else {
        let bytes = numbers.iter().flat_map(|number| number.to_le_bytes());
        element(9, &bytes.collect::<Vec<_>>())
    };
    array(6, numbers.len(), name, &[data])
}

/// A variable of characters.
pub fn text(name: &str, text: &str) -> Vec<u8> {
    array(4, text.len(), name, &[element(16, text.as_bytes())])
}

/// Arrays in cells.
pub fn cells(name: &str, cells: &[Vec<u8>]) -> Vec<u8> {
    array(1, cells.len(), name, cells)
}

/// Structures with these fields, the values of the first one first.
pub fn structures(name: &str, fields: &[&str], values: &[Vec<u8>]) -> Vec<u8> {
    let mut names = Vec::new();
    for field in fields {
        names.extend(field.as_bytes());
        names.resize(names.len().next_multiple_of(32), 0);
    }
    let mut rest = vec![element(5, &32u32.to_le_bytes()), element(1, &names)];
    rest.extend_from_slice(values);
    array(2, values.len() / fields.len(), name, &rest)
}

/// The same element, compressed.
pub fn compress(element: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(element).unwrap();
    let packed = encoder.finish().unwrap();
    let length = u32::try_from(packed.len()).unwrap();
    [&15u32.to_le_bytes()[..], &length.to_le_bytes(), &packed].concat()
}

/// A file of these elements.
pub fn file(elements: &[Vec<u8>]) -> Vec<u8> {
    let mut file = b"MATLAB 5.0 MAT-file, written by a test".to_vec();
    file.resize(124, b' ');
    file.extend([0, 1, b'I', b'M']);
    file.extend(elements.concat());
    file
}
