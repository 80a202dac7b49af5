//! Headers as NumPy writes them, and as nobody should.

use super::*;
use crate::random::Stream;

/// A file of version 1.0 with this header, filled up as NumPy does it, and so many bytes of elements.
fn file(header: &str, elements: usize) -> Vec<u8> {
    let mut text = header.to_owned();
    while !(MAGIC.len() + 4 + text.len() + 1).is_multiple_of(64) {
        text.push(' ');
    }
    text.push('\n');
    let length = u16::try_from(text.len()).unwrap();
    let mut bytes = [MAGIC, &[1, 0], &length.to_le_bytes(), text.as_bytes()].concat();
    bytes.resize(bytes.len() + elements, 7);
    bytes
}

fn read(bytes: &[u8]) -> Result<Header, NpyError> {
    Header::read(bytes, bytes.len())
}

#[test]
fn headers_as_numpy_writes_them_are_read() {
    let three = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
    let header = read(&file(three, 24)).unwrap();
    assert_eq!(header.element, Element::Float { bytes: 4 });
    assert_eq!((header.shape, header.is_fortran_order), (vec![2, 3], false));
    assert_eq!((header.start, header.length), (128, 24));
    let single = "{'descr': '|b1', 'fortran_order': True, 'shape': ()}";
    let header = read(&file(single, 1)).unwrap();
    assert_eq!((header.element, header.shape), (Element::Bool, vec![]));
    assert!(header.is_fortran_order);
    for (descr, element, size) in [
        ("<i8", Element::Signed { bytes: 8 }, 8),
        ("|u1", Element::Unsigned { bytes: 1 }, 1),
        ("<f2", Element::Float { bytes: 2 }, 2),
        ("|S7", Element::Bytes { length: 7 }, 7),
        ("<U3", Element::Text { length: 3 }, 12),
    ] {
        let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (5L,), }}");
        let header = read(&file(&text, 5 * size)).unwrap();
        assert_eq!((header.element, header.shape), (element, vec![5]));
    }
}

#[test]
fn versions_2_and_3_have_longer_lengths() {
    let old = file("{'descr':\"<f8\",'fortran_order':False,'shape':(1,0)}", 0);
    let text = &old[10..];
    for version in [2, 3] {
        let length = u32::try_from(text.len()).unwrap().to_le_bytes();
        let bytes = [MAGIC, &[version, 0], &length, text].concat();
        let header = read(&bytes).unwrap();
        assert_eq!((header.shape, header.length), (vec![1, 0], 0));
        assert_eq!(header.start, bytes.len());
    }
    let unknown = [MAGIC, &[4, 0], &[0; 4]].concat();
    let error = read(&unknown).unwrap_err();
    assert!(error.to_string().contains("version 4.0"), "{error}");
}

#[test]
fn what_is_not_read_is_named() {
    let header = |descr: &str| {
        let text = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': (1,)}}");
        read(&file(&text, 16)).unwrap_err().to_string()
    };
    for (descr, says) in [
        ("'|O'", "`|O`"),
        ("'<c8'", "`<c8`"),
        ("'>f4'", "`>f4`, big-endian"),
        ("'|V2'", "`|V2`"),
        ("'<f16'", "`<f16`"),
        ("'<f+4'", "`<f+4`"),
        ("'=f4'", "`=f4`"),
        ("'|f4'", "`|f4`"),
        ("''", "``"),
        ("[('x', '<f4')]", "records"),
    ] {
        let said = header(descr);
        assert!(
            said.contains(says) && said.contains("not read"),
            "{descr}: {said}"
        );
    }
}

#[test]
fn what_does_not_follow_the_format_is_refused() {
    for (header, says) in [
        ("", "expected `{`"),
        ("{}", "`descr` is missing"),
        (
            "{'descr': '<f4', 'shape': ()}",
            "`fortran_order` is missing",
        ),
        (
            "{'descr': '<f4', 'fortran_order': False}",
            "`shape` is missing",
        ),
        ("{'descr': '<f4', 'descr': '<f4'}", "`descr` twice"),
        ("{'rm': 1}", "unknown entry `rm`"),
        ("{'descr': __import__('os')}", "expected a string"),
        ("{'descr': '<\\x664'}", "without escapes"),
        ("{'fortran_order': 0}", "`True` or `False`"),
        ("{'shape': (-1,)}", "expected a length"),
        ("{'shape': (99999999999999999999,)}", "expected a length"),
        ("{'shape': [1]}", "expected `(`"),
        ("{'shape': (1 2)}", "expected `)`"),
        (
            "{'descr': '<f4', 'fortran_order': False, 'shape': ()} 1",
            "behind its dict",
        ),
        (
            "{'descr': '<f8', 'fortran_order': False, 'shape': (0, 4611686018427387904)}",
            "larger than any memory",
        ),
    ] {
        let said = read(&file(header, 0)).unwrap_err().to_string();
        assert!(said.contains(says), "{header}: {said}");
    }
    let many = format!(
        "{{'descr': '<f4', 'fortran_order': False, 'shape': ({})}}",
        "1,".repeat(65)
    );
    let said = read(&file(&many, 4)).unwrap_err().to_string();
    assert!(said.contains("more than 64 axes"), "{said}");
}

#[test]
fn lengths_have_to_be_those_of_the_file() {
    let bytes = file("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 8);
    for length in 1..bytes.len() {
        let error = read(&bytes[..length]).unwrap_err();
        assert!(
            matches!(error, NpyError::Truncated { .. }),
            "{length}: {error}"
        );
    }
    assert_eq!(read(&[]), Err(NpyError::NotAnArray));
    assert_eq!(read(b"PK\x03\x04"), Err(NpyError::NotAnArray));
    let more = [bytes.as_slice(), &[0]].concat();
    assert_eq!(read(&more), Err(NpyError::TrailingBytes { extra: 1 }));
    // Of a long file the beginning is enough.
    let long = file(
        "{'descr': '|u1', 'fortran_order': False, 'shape': (900,)}",
        0,
    );
    assert_eq!(Header::read(&long, long.len() + 900).unwrap().length, 900);
    let huge = [MAGIC, &[2, 0], &u32::MAX.to_le_bytes()].concat();
    assert!(
        read(&huge)
            .unwrap_err()
            .to_string()
            .contains("4294967295 bytes")
    );
}

#[test]
fn damaged_headers_never_panic_and_never_promise_more_than_there_is() {
    let sound = file(
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }",
        24,
    );
    let mut stream = Stream::new(5, "npy");
    let mut below = |bound: usize| stream.next_index(bound);
    let alphabet = b"0123456789{}()[],:'\"<>|fiUSTrueFalse \n\\L\xff\x00";
    let (mut read_all, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let mut bytes = sound.clone();
        for _ in 0..=below(4) {
            let place = below(80);
            bytes[place] = alphabet[below(alphabet.len())];
        }
        if below(4) == 0 {
            bytes.truncate(below(sound.len()));
        }
        match read(&bytes) {
            Ok(header) => {
                assert_eq!(header.start + header.length, bytes.len());
                read_all += 1;
            }
            Err(error) => {
                assert!(error.to_string().len() < 300, "{error}");
                refused += 1;
            }
        }
    }
    assert!(read_all > 100 && refused > 10_000, "{read_all} {refused}");
}
