//! The elements of a file, and the arrays that they make.

use std::io::Read;

use flate2::read::ZlibDecoder;

use super::Array;

/// Everything that is compressed in a file unpacks into less than this; the largest list that is published, into 4 MiB.
const MOST_UNPACKED: usize = 1 << 25;
/// Arrays are nested less deeply than this.
const MOST_DEPTH: usize = 16;

const HEADER: usize = 128;

// Types of elements.
const INT8: u32 = 1;
const UINT8: u32 = 2;
const INT16: u32 = 3;
const UINT16: u32 = 4;
const INT32: u32 = 5;
const UINT32: u32 = 6;
const SINGLE: u32 = 7;
const DOUBLE: u32 = 9;
const INT64: u32 = 12;
const UINT64: u32 = 13;
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;
const UTF8: u32 = 16;
const UTF16: u32 = 17;

// Classes of arrays.
const CELL_CLASS: u32 = 1;
const STRUCTURE_CLASS: u32 = 2;
const CHARACTER_CLASS: u32 = 4;
const NUMBER_CLASSES: std::ops::RangeInclusive<u32> = 6..=15;

/// The variables of a file with their names.
///
/// # Errors
/// In words that follow the name of the file.
pub(super) fn variables(bytes: &[u8]) -> Result<Vec<(String, Array)>, String> {
    let big = match bytes.get(124..HEADER) {
        Some([0, 1, b'I', b'M']) => false,
        Some([1, 0, b'M', b'I']) => true,
        _ => return Err("it is not a MATLAB 5 file".to_owned()),
    };
    let mut variables = Vec::new();
    let mut left = MOST_UNPACKED;
    let mut reader = Reader {
        bytes: bytes.get(HEADER..).unwrap_or_default(),
        big,
    };
    while let Some(element) = reader.next()? {
        match element.kind {
            MATRIX => variables.push(array(element.data(big), 0)?),
            COMPRESSED => {
                let unpacked = unpack(element.bytes, &mut left)?;
                let mut inside = Reader {
                    bytes: &unpacked,
                    big,
                };
                while let Some(element) = inside.next()? {
                    if element.kind == MATRIX {
                        variables.push(array(element.data(big), 0)?);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(variables)
}

/// Unpacks an element, and takes what comes out from what may still come out.
fn unpack(packed: &[u8], left: &mut usize) -> Result<Vec<u8>, String> {
    let mut unpacked = Vec::new();
    let mut decoder = ZlibDecoder::new(packed).take(*left as u64 + 1);
    decoder
        .read_to_end(&mut unpacked)
        .map_err(|error| format!("what is compressed in it is damaged: {error}"))?;
    *left = left
        .checked_sub(unpacked.len())
        .ok_or_else(|| format!("it unpacks into more than {MOST_UNPACKED} bytes"))?;
    Ok(unpacked)
}

/// The type and the data of an element.
#[derive(Clone, Copy)]
struct Element<'a> {
    kind: u32,
    bytes: &'a [u8],
}

impl<'a> Element<'a> {
    /// A reader over the elements inside.
    fn data(self, big: bool) -> Reader<'a> {
        Reader {
            bytes: self.bytes,
            big,
        }
    }
}

/// Takes one element after the other.
struct Reader<'a> {
    bytes: &'a [u8],
    /// Whether the most significant byte comes first.
    big: bool,
}

impl<'a> Reader<'a> {
    /// The next element, if there is one.
    fn next(&mut self) -> Result<Option<Element<'a>>, String> {
        let cut_off = || "it ends within an element".to_owned();
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let (tag, rest) = self.bytes.split_at_checked(8).ok_or_else(cut_off)?;
        let words: Vec<u32> = self.words(tag).collect();
        let (Some(&first), Some(&second)) = (words.first(), words.get(1)) else {
            return Err(cut_off());
        };
        // A short element: its length stands beside its type, its data in place of the length.
        if first >> 16 != 0 {
            let length = (first >> 16) as usize;
            let bytes = tag.get(4..4 + length).ok_or_else(|| {
                format!("an element of it that has room for 4 bytes says it has {length}")
            })?;
            self.bytes = rest;
            let kind = first & 0xffff;
            return Ok(Some(Element { kind, bytes }));
        }
        let length = second as usize;
        let bytes = rest.get(..length).ok_or_else(cut_off)?;
        // What is compressed is not filled up; what stands last may not be.
        let filled = if first == COMPRESSED {
            length
        } else {
            length.next_multiple_of(8)
        };
        self.bytes = rest.get(filled..).unwrap_or_default();
        Ok(Some(Element { kind: first, bytes }))
    }

    /// The next element, which has to be there.
    fn expect(&mut self) -> Result<Element<'a>, String> {
        self.next()?
            .ok_or_else(|| "an array in it lacks one of its elements".to_owned())
    }

    fn words(&self, bytes: &'a [u8]) -> impl Iterator<Item = u32> + use<'a> {
        let big = self.big;
        numbers_of(bytes, move |bytes| {
            if big {
                u32::from_be_bytes(bytes)
            } else {
                u32::from_le_bytes(bytes)
            }
        })
    }
}

/// Numbers of some width, one after the other; a rest that is too short for one is left out.
fn numbers_of<const WIDTH: usize, T>(
    bytes: &[u8],
    read: impl Fn([u8; WIDTH]) -> T,
) -> impl Iterator<Item = T> {
    bytes
        .as_chunks::<WIDTH>()
        .0
        .iter()
        .map(move |bytes| read(*bytes))
}

/// An array and its name, from the elements that it consists of.
fn array(mut reader: Reader<'_>, depth: usize) -> Result<(String, Array), String> {
    if depth >= MOST_DEPTH {
        return Err(format!(
            "arrays lie within each other in it, more than {MOST_DEPTH} deep"
        ));
    }
    let big = reader.big;
    // An empty array may be nothing at all.
    let Some(flags) = reader.next()? else {
        return Ok((String::new(), Array::Numbers(Vec::new())));
    };
    let class = reader.words(flags.bytes).next().unwrap_or_default() & 0xff;
    let dimensions = reader.expect()?;
    let count = reader
        .words(dimensions.bytes)
        .try_fold(1usize, |count, side| count.checked_mul(side as usize))
        .ok_or("an array in it has more values than can be counted")?;
    let name = latin(reader.expect()?.bytes);
    let value = match class {
        CELL_CLASS => Array::Cells(arrays(&mut reader, count, depth)?),
        STRUCTURE_CLASS => {
            let length = reader.expect()?;
            let length = reader.words(length.bytes).next().unwrap_or_default() as usize;
            let names = reader.expect()?.bytes;
            if length == 0 && !names.is_empty() {
                return Err("the names of fields in it have no length".to_owned());
            }
            let names = names.chunks_exact(length.max(1));
            let fields: Vec<String> = names.map(latin).collect();
            let count = count.checked_mul(fields.len());
            let count = count.ok_or("an array in it has more values than can be counted")?;
            let values = arrays(&mut reader, count, depth)?;
            Array::Structures { fields, values }
        }
        CHARACTER_CLASS => Array::Text(characters(reader.expect()?, big)?),
        class if NUMBER_CLASSES.contains(&class) => {
            let numbers = numbers(reader.expect()?, big)?;
            if numbers.len() != count {
                return Err(format!(
                    "`{name}` in it has {} numbers, not {count}",
                    numbers.len()
                ));
            }
            Array::Numbers(numbers)
        }
        _ => Array::Other,
    };
    Ok((name, value))
}

/// So many arrays. Nothing is set aside for them beforehand: their number is what the file says.
fn arrays(reader: &mut Reader<'_>, count: usize, depth: usize) -> Result<Vec<Array>, String> {
    let mut arrays = Vec::new();
    for _ in 0..count {
        let element = reader.expect()?;
        if element.kind != MATRIX {
            return Err("an array of it holds something else than an array".to_owned());
        }
        arrays.push(array(element.data(reader.big), depth + 1)?.1);
    }
    Ok(arrays)
}

/// A name: bytes up to the first zero.
fn latin(bytes: &[u8]) -> String {
    let name = bytes.iter().take_while(|byte| **byte != 0);
    name.map(|byte| char::from(*byte)).collect()
}

fn characters(element: Element<'_>, big: bool) -> Result<String, String> {
    let bytes = element.bytes;
    match element.kind {
        UTF8 => String::from_utf8(bytes.to_vec()).map_err(|_| "a text in it is not UTF-8".into()),
        INT8 | UINT8 => Ok(bytes.iter().map(|byte| char::from(*byte)).collect()),
        UINT16 | UTF16 => {
            let units = numbers_of(bytes, |bytes| {
                if big {
                    u16::from_be_bytes(bytes)
                } else {
                    u16::from_le_bytes(bytes)
                }
            });
            let units: Vec<u16> = units.collect();
            String::from_utf16(&units).map_err(|_| "a text in it is not UTF-16".into())
        }
        kind => Err(format!("a text in it has characters of type {kind}")),
    }
}

/// The numbers of an element; smaller types are used for what they can hold, whatever the class of the array is.
fn numbers(element: Element<'_>, big: bool) -> Result<Vec<f64>, String> {
    let bytes = element.bytes;
    // Reads one type in the order of bytes that the file has.
    macro_rules! read {
        ($type:ty, $convert:expr) => {
            numbers_of(bytes, |bytes| {
                let number = if big {
                    <$type>::from_be_bytes(bytes)
                } else {
                    <$type>::from_le_bytes(bytes)
                };
                $convert(number)
            })
            .collect()
        };
    }
    Ok(match element.kind {
        INT8 => read!(i8, f64::from),
        UINT8 => read!(u8, f64::from),
        INT16 => read!(i16, f64::from),
        UINT16 => read!(u16, f64::from),
        INT32 => read!(i32, f64::from),
        UINT32 => read!(u32, f64::from),
        SINGLE => read!(f32, f64::from),
        DOUBLE => read!(f64, |number| number),
        INT64 => read!(i64, |number| number as f64),
        UINT64 => read!(u64, |number| number as f64),
        kind => return Err(format!("an array in it has numbers of type {kind}")),
    })
}
