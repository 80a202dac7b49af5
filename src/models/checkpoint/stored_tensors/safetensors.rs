//! Safetensors files: a header that is checked completely before anything is read.
//!
//! A file is eight bytes with the header's length, a JSON header that gives each tensor's type, shape and byte range,
//! and the data.
//!
//! # Reference
//! The format description of huggingface/safetensors, README section "Format".
//!
//! # Deviations
//! None. The `safetensors` crate's own reader is not used for the header, because sums of byte ranges near 2^64
//! overflow there.

use std::collections::BTreeMap;
use std::fmt;

use ::safetensors::tensor::TensorInfo;
use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::Entry;
use super::fault::Fault;
use crate::limits::{CHECKPOINT_ENTRIES, SAFETENSORS_HEADER, TENSOR_AXES};
use crate::numbers::to_usize;

/// Bytes that hold the header's length.
const LENGTH_BYTES: u64 = 8;
/// The header's entry for free text, which is not a tensor.
pub(in crate::models) const METADATA: &str = "__metadata__";

/// Whether a file begins as a safetensors file does: with a length that can be, and the brace of an object.
pub(super) fn begins(file: &[u8]) -> bool {
    let Some((length, rest)) = file.split_first_chunk() else {
        return false;
    };
    u64::from_le_bytes(*length) <= SAFETENSORS_HEADER && rest.first() == Some(&b'{')
}

/// Reads and checks the header of the file whose bytes are `file`.
///
/// # Errors
/// The file is truncated, is not a safetensors file, or has a corrupt header.
pub(super) fn read(file: &[u8]) -> Result<BTreeMap<String, Entry>, Fault> {
    let found = file.len() as u64;
    let truncated =
        |expected: u64| Fault::Truncated(format!("it holds {found} bytes of {expected}"));
    let no_safetensors = Fault::NotACheckpoint;
    let corrupt = Fault::CorruptHeader;

    let Some((length, rest)) = file.split_first_chunk() else {
        return Err(truncated(LENGTH_BYTES));
    };
    let length = u64::from_le_bytes(*length);
    if length > SAFETENSORS_HEADER {
        return Err(no_safetensors(format!(
            "its first eight bytes announce a header of {length} bytes"
        )));
    }
    if length > 0 && rest.first().is_some_and(|&byte| byte != b'{') {
        return Err(no_safetensors("its header is not a JSON object".into()));
    }
    let Some((header, data)) = rest.split_at_checked(to_usize(length)) else {
        return Err(truncated(LENGTH_BYTES + length));
    };
    let Header(mut tensors) =
        serde_json::from_slice(header).map_err(|error| corrupt(error.to_string()))?;
    tensors.sort_by_key(|(_, info)| info.data_offsets);

    let mut entries = BTreeMap::new();
    let mut end_of_last = 0;
    for (
        name,
        TensorInfo {
            dtype,
            shape,
            data_offsets: (start, end),
        },
    ) in tensors
    {
        if shape.len() > TENSOR_AXES {
            let reason = format!(
                "tensor `{name}` has {} axes; at most {TENSOR_AXES} are read",
                shape.len()
            );
            return Err(corrupt(reason));
        }
        if start != end_of_last || end < start {
            let reason = format!(
                "tensor `{name}` lies at bytes {start} to {end}, but the one before it ends at {end_of_last}"
            );
            return Err(corrupt(reason));
        }
        let bits = shape
            .iter()
            .try_fold(dtype.bitsize(), |bits, &size| bits.checked_mul(size));
        if bits.is_none() || bits != (end - start).checked_mul(8) {
            let reason = format!(
                "tensor `{name}` of shape {shape:?} and type {dtype:?} has {} bytes",
                end - start
            );
            return Err(corrupt(reason));
        }
        end_of_last = end;
        let offset = LENGTH_BYTES.saturating_add(length);
        let offset = to_usize(offset);
        let bytes = offset.saturating_add(start)..offset.saturating_add(end);
        entries.insert(name, Entry::new(dtype, shape, bytes, None));
    }
    let expected = LENGTH_BYTES
        .saturating_add(length)
        .saturating_add(end_of_last as u64);
    match data.len().cmp(&end_of_last) {
        std::cmp::Ordering::Less => Err(truncated(expected)),
        std::cmp::Ordering::Greater => Err(corrupt(format!(
            "the file holds {found} bytes, but its tensors end at {expected}"
        ))),
        std::cmp::Ordering::Equal => Ok(entries),
    }
}

/// The tensors of a header. Read one at a time: as a tree of values, a header takes sixteen times its own size.
struct Header(Vec<(String, TensorInfo)>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut tensors = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == METADATA {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    if tensors.len() == CHECKPOINT_ENTRIES {
                        return Err(A::Error::custom(format!(
                            "it has more than {CHECKPOINT_ENTRIES} tensors"
                        )));
                    }
                    let info = map.next_value::<TensorInfo>();
                    let info = info
                        .map_err(|error| A::Error::custom(format!("tensor `{name}`: {error}")))?;
                    tensors.push((name, info));
                }
                Ok(Header(tensors))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        [
            &(header.len() as u64).to_le_bytes(),
            header.as_bytes(),
            data,
        ]
        .concat()
    }

    fn message(bytes: &[u8]) -> String {
        read(bytes).unwrap_err().to_string()
    }

    const GOOD: &str = r#"{"__metadata__":{"by":"hand"},"b":{"dtype":"F16","shape":[2,1],"data_offsets":[8,12]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;

    #[test]
    fn truncation_is_told_apart_at_every_length() {
        let whole = file(GOOD, &[0; 12]);
        assert_eq!(read(&whole).unwrap().len(), 2);
        for length in 0..whole.len() {
            let error = read(&whole[..length]).unwrap_err();
            assert!(
                matches!(error, Fault::Truncated(_)),
                "{length} bytes: {error}"
            );
        }
    }

    #[test]
    fn other_files_are_told_apart() {
        for bytes in [
            &b"PK\x03\x04 a zip archive of some length"[..],
            b"\x80\x02\x8a\x0al\xfc\x9cF pickle",
            &[9; 64],
        ] {
            assert!(
                matches!(read(bytes), Err(Fault::NotACheckpoint(_))),
                "{bytes:?}"
            );
        }
        assert!(message(&file("[1, 2]", &[])).contains("not a JSON object"));
    }

    #[test]
    fn hostile_headers_are_corrupt_and_name_the_tensor() {
        for (header, data, expected) in [
            ("{\"a\":", 0, "EOF"),
            (
                r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,7]}}"#,
                7,
                "`a`",
            ),
            (
                r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#,
                8,
                "`a`",
            ),
            (
                r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#,
                12,
                "`a`",
            ),
            (
                r#"{"a":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}}"#,
                8,
                "`a`",
            ),
            (
                r#"{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#,
                8,
                "`a`",
            ),
            (
                r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}"#,
                8,
                "`a`",
            ),
            (
                r#"{"a":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,18446744073709551615]}}"#,
                8,
                "`a`",
            ),
            (
                r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#,
                9,
                "end at",
            ),
            (r#"{"a":7}"#, 0, "`a`"),
        ] {
            let error = read(&file(header, &vec![0; data])).unwrap_err();
            assert!(
                matches!(error, Fault::CorruptHeader(_)),
                "{header}: {error}"
            );
            assert!(error.to_string().contains(expected), "{header}: {error}");
        }
        let deep = format!("{{\"a\":{}", "[".repeat(10_000));
        assert!(matches!(
            read(&file(&deep, &[])),
            Err(Fault::CorruptHeader(_))
        ));
    }

    proptest::proptest! {
        /// Any change of any byte gives tensors inside the file or an error, never a panic.
        #[test]
        fn damaged_files_never_panic(position in 0_usize..300, byte: u8, length in 0_usize..300) {
            let mut bytes = file(GOOD, &[0; 12]);
            let count = bytes.len();
            bytes[position % count] = byte;
            bytes.truncate(length);
            if let Ok(entries) = read(&bytes) {
                for entry in entries.values() {
                    proptest::prop_assert!(entry.pieces.iter().all(|piece| bytes.get(piece.bytes.clone()).is_some()));
                }
            }
        }
    }
}
