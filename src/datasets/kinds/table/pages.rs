//! The headers of a Parquet file's pages: what each says it unpacks into, looked at before anything is unpacked.
//!
//! The library takes as much memory as a header asks for, and what is compressed well (zeros, one image a thousand times) can be made to
//! give a thousand times its size.
//!
//! # Reference
//! apache/parquet-format, `parquet.thrift` (`PageHeader`); apache/thrift, `doc/specs/thrift-compact-protocol.md`.

use std::fs::File;
use std::os::unix::fs::FileExt;

use parquet::file::metadata::ColumnChunkMetaData;

use crate::limits::PARQUET_PAGE;
use crate::text;

/// `PageType` of a dictionary.
const DICTIONARY: i64 = 2;
/// Bytes of a header that are read at first. It has a few dozen, and more where it holds the least and the largest value of its page.
const FIRST_READ: usize = 512;
/// No header is longer, in bytes.
const LONGEST_HEADER: usize = 1 << 24;
/// Structures lie within each other no deeper.
const DEEPEST: u32 = 16;

/// What the pages of a column in one row group unpack into.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Largest {
    /// The dictionary, in bytes: none of its values is longer, and one may stand in any number of rows.
    pub(super) dictionary: u64,
    /// The largest of the other pages, in bytes.
    pub(super) page: u64,
}

/// What the pages of a column unpack into, by their headers.
///
/// # Errors
/// A page that unpacks into more than [`PARQUET_PAGE`], and a header that cannot be read, in words.
pub(super) fn largest(file: &File, chunk: &ColumnChunkMetaData) -> Result<Largest, String> {
    let (mut at, length) = chunk.byte_range();
    let end = at.saturating_add(length);
    let mut largest = Largest::default();
    let name = chunk.column_path().string();
    while at < end {
        let header = read_header(file, at, end)
            .ok_or_else(|| format!("the header of a page of `{name}` at byte {at} is damaged"))?;
        if header.unpacked > PARQUET_PAGE {
            return Err(format!(
                "a page of `{name}` at byte {at} unpacks into {}; at most {} are unpacked at once",
                text::bytes(header.unpacked),
                text::bytes(PARQUET_PAGE)
            ));
        }
        let of_kind = if header.is_dictionary {
            &mut largest.dictionary
        } else {
            &mut largest.page
        };
        *of_kind = header.unpacked.max(*of_kind);
        at = at
            .saturating_add(header.length as u64)
            .saturating_add(header.packed);
    }
    Ok(largest)
}

struct Header {
    /// Of the header itself, in bytes.
    length: usize,
    packed: u64,
    unpacked: u64,
    is_dictionary: bool,
}

fn read_header(file: &File, at: u64, end: u64) -> Option<Header> {
    let most = usize::try_from(end - at)
        .unwrap_or(usize::MAX)
        .min(LONGEST_HEADER);
    let mut wanted = FIRST_READ.min(most);
    loop {
        let mut bytes = vec![0; wanted];
        file.read_exact_at(&mut bytes, at).ok()?;
        let mut reader = Compact {
            bytes: &bytes,
            at: 0,
        };
        if let Some(header) = reader.page_header() {
            return Some(header);
        }
        if wanted == most {
            return None;
        }
        wanted = wanted.saturating_mul(8).min(most);
    }
}

/// A reader of Thrift's compact protocol; `None` stands for a text that ends too early, or is none.
struct Compact<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Compact<'_> {
    fn page_header(&mut self) -> Option<Header> {
        let (mut kind, mut unpacked, mut packed) = (None, None, None);
        let mut field = 0;
        while let Some(form) = self.field(&mut field)? {
            let number = if matches!(form, 3..=6) {
                Some(self.zigzag()?)
            } else {
                self.skip(form, DEEPEST)?;
                None
            };
            match field {
                1 => kind = number,
                2 => unpacked = number,
                3 => packed = number,
                _ => {}
            }
        }
        Some(Header {
            length: self.at,
            packed: packed?.try_into().ok()?,
            unpacked: unpacked?.try_into().ok()?,
            is_dictionary: kind? == DICTIONARY,
        })
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn zigzag(&mut self) -> Option<i64> {
        let number = self.varint()?;
        Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    /// The form of the next field, and its number; nothing at the end of a structure.
    #[expect(
        clippy::option_option,
        reason = "the outer one is of the reader, the inner one of the structure"
    )]
    fn field(&mut self, field: &mut i64) -> Option<Option<u8>> {
        let head = self.byte()?;
        if head == 0 {
            return Some(None);
        }
        *field = match head >> 4 {
            0 => self.zigzag()?,
            step => field.checked_add(i64::from(step))?,
        };
        Some(Some(head & 0x0f))
    }

    fn skip(&mut self, form: u8, deeper: u32) -> Option<()> {
        let deeper = deeper.checked_sub(1)?;
        match form {
            // Of a field, the form itself is the value.
            1 | 2 => {}
            3 => {
                self.byte()?;
            }
            4..=6 => {
                self.varint()?;
            }
            7 => self.jump(8)?,
            8 => {
                let length = self.varint()?;
                self.jump(length)?;
            }
            9 | 10 => {
                let head = self.byte()?;
                let count = match head >> 4 {
                    15 => self.varint()?,
                    count => u64::from(count),
                };
                for _ in 0..count {
                    self.skip_element(head & 0x0f, deeper)?;
                }
            }
            11 => {
                let count = self.varint()?;
                let forms = if count == 0 { 0 } else { self.byte()? };
                for _ in 0..count {
                    self.skip_element(forms >> 4, deeper)?;
                    self.skip_element(forms & 0x0f, deeper)?;
                }
            }
            12 => {
                let mut field = 0;
                while let Some(form) = self.field(&mut field)? {
                    self.skip(form, deeper)?;
                }
            }
            _ => return None,
        }
        Some(())
    }

    /// Booleans in a list have a byte each; other elements are as fields are.
    fn skip_element(&mut self, form: u8, deeper: u32) -> Option<()> {
        match form {
            1 | 2 => self.byte().map(|_| ()),
            form => self.skip(form, deeper),
        }
    }

    fn jump(&mut self, bytes: u64) -> Option<()> {
        let at = self.at.checked_add(usize::try_from(bytes).ok()?)?;
        self.at = at;
        (at <= self.bytes.len()).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BinaryArray, Int32Array, RecordBatch};
    use parquet::arrow::ArrowWriter;
    use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
    use parquet::basic::{Compression, ZstdLevel};
    use parquet::file::metadata::RowGroupMetaData;
    use parquet::file::properties::{EnabledStatistics, WriterProperties};

    use super::*;

    fn written(values: &[Vec<u8>], properties: WriterProperties) -> Vec<Result<Largest, String>> {
        let column: ArrayRef = Arc::new(BinaryArray::from_iter_values(values));
        let numbers: ArrayRef = Arc::new(Int32Array::from_iter_values((0..).take(values.len())));
        let batch = RecordBatch::try_from_iter([("image", column), ("label", numbers)]).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let about = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).unwrap();
        let groups = about.metadata().row_groups();
        let chunks = groups.iter().flat_map(RowGroupMetaData::columns);
        chunks.map(|chunk| largest(&file, chunk)).collect()
    }

    #[test]
    fn headers_of_all_forms_are_walked() {
        let values: Vec<Vec<u8>> = (0..1000u32)
            .map(|row| vec![(row % 7) as u8; 2000])
            .collect();
        for version in [
            parquet::file::properties::WriterVersion::PARQUET_1_0,
            parquet::file::properties::WriterVersion::PARQUET_2_0,
        ] {
            for statistics in [EnabledStatistics::None, EnabledStatistics::Page] {
                for compression in [
                    Compression::UNCOMPRESSED,
                    Compression::SNAPPY,
                    Compression::ZSTD(ZstdLevel::default()),
                ] {
                    let properties = WriterProperties::builder()
                        .set_writer_version(version)
                        .set_statistics_enabled(statistics)
                        .set_statistics_truncate_length(None)
                        .set_compression(compression)
                        .set_data_page_row_count_limit(100)
                        .set_write_batch_size(50)
                        .build();
                    let found = written(&values, properties);
                    // Seven values of 2,000 bytes, each with its length.
                    let dictionary = found[0].as_ref().unwrap().dictionary;
                    assert_eq!(dictionary, 7 * 2004, "{version:?} {compression:?}");
                    assert!(found[1].is_ok(), "{:?}", found[1]);
                }
            }
        }
    }

    #[test]
    fn a_page_that_unpacks_into_too_much_is_refused() {
        let properties = WriterProperties::builder()
            .set_dictionary_enabled(false)
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_data_page_size_limit(1 << 30)
            .set_write_batch_size(1 << 20)
            .set_statistics_enabled(EnabledStatistics::None)
            .build();
        let long = vec![0; (PARQUET_PAGE / 8) as usize];
        let found = written(&vec![long; 9], properties);
        let error = found[0].clone().unwrap_err();
        assert!(error.contains("unpacks into 288.0 MiB"), "{error}");
        assert!(error.contains("at most 256.0 MiB"), "{error}");
    }
}
