//! The header of a NumPy array file (`.npy`): type, order and shape of the numbers behind it. Reads no number and runs nothing.
//!
//! A file begins with `\x93NUMPY`, two bytes of version, the length of the header, and the header: a Python dict of three entries,
//! `descr`, `fortran_order` and `shape`, as text. The members of an `.npz` are such files in a zip archive:
//! `archived.rs`.
//!
//! # Reference
//! numpy/numpy v2.4.0: numpy/lib/_format_impl.py (`_read_array_header`, `descr_to_dtype`), versions 1.0, 2.0 and 3.0.
//!
//! # Deviations
//! - NumPy evaluates the header as a Python literal. Here only what `numpy.save` writes is read: one dict of three entries, whose values are
//!   a string, `True` or `False`, and a tuple of integers.
//! - Records, objects (which are pickles), complex numbers, dates and big-endian numbers are refused.

pub(crate) mod archived;

use thiserror::Error;

use crate::limits;
use crate::visible::on_one_line;

/// What every file begins with.
pub const MAGIC: &[u8] = b"\x93NUMPY";

/// Type of one element of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// One byte, 0 or 1.
    Bool,
    /// A signed integer.
    Signed {
        /// Bytes: 1, 2, 4 or 8.
        bytes: usize,
    },
    /// An unsigned integer.
    Unsigned {
        /// Bytes: 1, 2, 4 or 8.
        bytes: usize,
    },
    /// A floating-point number of IEEE 754.
    Float {
        /// Bytes: 2, 4 or 8.
        bytes: usize,
    },
    /// Bytes of a fixed length, filled up with zeros.
    Bytes {
        /// Bytes of one element.
        length: usize,
    },
    /// A text of a fixed length in code points of 4 bytes (UTF-32), filled up with zeros.
    Text {
        /// Code points of one element.
        length: usize,
    },
}

/// What a file says of its array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Type of an element; numbers of more than one byte are little-endian.
    pub element: Element,
    /// Length of every axis; empty for a single number.
    pub shape: Vec<usize>,
    /// Whether the first axis is the fastest in memory, as in Fortran; else the last one is.
    pub is_fortran_order: bool,
    /// Bytes before the first element.
    pub start: usize,
    /// Bytes of all elements.
    pub length: usize,
}

/// Why an array cannot be read. The text is a fragment that follows the name of the file or member.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NpyError {
    /// It begins otherwise.
    #[error("it does not begin as a NumPy array")]
    NotAnArray,
    /// It ends within the header, or before the last element.
    #[error("it ends after {found} bytes, and its array needs {needed}")]
    Truncated {
        /// Bytes that there are.
        found: usize,
        /// Bytes that there should be, as far as is known.
        needed: usize,
    },
    /// Something stands behind the last element.
    #[error("{extra} bytes stand behind its array")]
    TrailingBytes {
        /// Bytes between the last element and the end of the file.
        extra: usize,
    },
    /// The header does not follow the format.
    #[error("the header of its NumPy array is malformed: {0}")]
    Malformed(String),
    /// An array that is not read here.
    #[error("its NumPy array holds {0}, which is not read")]
    Unsupported(String),
}

impl Element {
    /// Bytes of one element.
    pub fn size(self) -> Option<usize> {
        match self {
            Self::Bool => Some(1),
            Self::Signed { bytes } | Self::Unsigned { bytes } | Self::Float { bytes } => {
                Some(bytes)
            }
            Self::Bytes { length } => Some(length),
            Self::Text { length } => length.checked_mul(4),
        }
    }
}

impl Header {
    /// Reads the header of an array whose file has `file_length` bytes and begins with `beginning`, which has all of the file or at least
    /// [`limits::NPY_HEADER`] bytes of it.
    ///
    /// # Errors
    /// The header is malformed or describes what is not read; the file is shorter or longer than the header says.
    pub fn read(beginning: &[u8], file_length: usize) -> Result<Self, NpyError> {
        let truncated = |needed| NpyError::Truncated {
            found: file_length,
            needed,
        };
        if !beginning.starts_with(MAGIC) {
            let is_cut_off = !beginning.is_empty() && MAGIC.starts_with(beginning);
            return Err(if is_cut_off {
                truncated(MAGIC.len())
            } else {
                NpyError::NotAnArray
            });
        }
        let at = |place: usize| beginning.get(place).copied().map(usize::from);
        let fixed = || truncated(MAGIC.len() + 4);
        let (major, minor) = (at(6).ok_or_else(fixed)?, at(7).ok_or_else(fixed)?);
        let count = match (major, minor) {
            (1, 0) => 2,
            (2 | 3, 0) => 4,
            _ => {
                return Err(NpyError::Unsupported(format!(
                    "version {major}.{minor} of the format"
                )));
            }
        };
        let first = MAGIC.len() + 2;
        let mut header_length = 0_usize;
        for place in (first..first + count).rev() {
            // At most 4 bytes.
            header_length = header_length << 8 | at(place).ok_or_else(fixed)?;
        }
        if header_length > limits::NPY_HEADER {
            return Err(NpyError::Malformed(format!(
                "it has {header_length} bytes, and {} are read",
                limits::NPY_HEADER
            )));
        }
        let text_start = first + count;
        let start = text_start + header_length;
        let text = beginning
            .get(text_start..start)
            .ok_or_else(|| truncated(start))?;
        // Version 3 is UTF-8, older ones are Latin-1; what is read here is ASCII.
        let text = std::str::from_utf8(text)
            .ok()
            .filter(|text| text.is_ascii())
            .ok_or_else(|| NpyError::Malformed("it is not plain text".to_owned()))?;
        let entries = Entries::parse(text)?;
        let element = element(entries.descr)?;
        let too_large = || {
            NpyError::Malformed(format!(
                "an array of shape {:?} is larger than any memory",
                entries.shape
            ))
        };
        let size = element.size().ok_or_else(too_large)?;
        // Zeros are left out, so that what overflows is found beside them too.
        let product = |sizes: &[usize]| {
            let mut sizes = sizes.iter().filter(|&&size| size != 0);
            sizes.try_fold(size, |product, &size| product.checked_mul(size))
        };
        let all = product(&entries.shape).ok_or_else(too_large)?;
        let length = if entries.shape.contains(&0) { 0 } else { all };
        let needed = start.checked_add(length).ok_or_else(too_large)?;
        if file_length < needed {
            return Err(truncated(needed));
        }
        if file_length > needed {
            return Err(NpyError::TrailingBytes {
                extra: file_length - needed,
            });
        }
        Ok(Self {
            element,
            shape: entries.shape,
            is_fortran_order: entries.is_fortran_order,
            start,
            length,
        })
    }
}

/// Type of an element by NumPy's short name of it, such as `<f4`.
fn element(descr: &str) -> Result<Element, NpyError> {
    let shown = || format!("elements of type `{}`", on_one_line(descr));
    let unsupported = || NpyError::Unsupported(shown());
    let mut characters = descr.chars();
    let (order, kind) = (characters.next(), characters.next());
    let digits = characters.as_str();
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    let size: usize = match digits.parse() {
        Ok(size) if is_number => size,
        _ => return Err(unsupported()),
    };
    let found = match (kind, size) {
        (Some('b'), 1) => Element::Bool,
        (Some('i'), 1 | 2 | 4 | 8) => Element::Signed { bytes: size },
        (Some('u'), 1 | 2 | 4 | 8) => Element::Unsigned { bytes: size },
        (Some('f'), 2 | 4 | 8) => Element::Float { bytes: size },
        (Some('S'), _) => Element::Bytes { length: size },
        (Some('U'), _) => Element::Text { length: size },
        _ => return Err(unsupported()),
    };
    let has_order = match found {
        Element::Bool | Element::Bytes { .. } => false,
        Element::Text { .. } => true,
        Element::Signed { bytes } | Element::Unsigned { bytes } | Element::Float { bytes } => {
            bytes > 1
        }
    };
    match order {
        Some('<') => Ok(found),
        Some('|' | '>') if !has_order => Ok(found),
        Some('>') => Err(NpyError::Unsupported(format!("{}, big-endian", shown()))),
        _ => Err(unsupported()),
    }
}

/// The three entries of a header.
#[derive(Debug, PartialEq, Eq)]
struct Entries<'text> {
    descr: &'text str,
    is_fortran_order: bool,
    shape: Vec<usize>,
}

impl<'text> Entries<'text> {
    fn parse(text: &'text str) -> Result<Self, NpyError> {
        let mut rest = Rest(text);
        let (mut descr, mut order, mut shape) = (None, None, None);
        rest.expect('{')?;
        while !rest.skip('}') {
            let key = rest.string()?;
            rest.expect(':')?;
            let is_first = match key {
                "descr" => descr.replace(rest.descr()?).is_none(),
                "fortran_order" => order.replace(rest.boolean()?).is_none(),
                "shape" => shape.replace(rest.tuple()?).is_none(),
                other => {
                    return Err(NpyError::Malformed(format!(
                        "unknown entry `{}`",
                        on_one_line(other)
                    )));
                }
            };
            if !is_first {
                return Err(NpyError::Malformed(format!("it has `{key}` twice")));
            }
            if !rest.skip(',') {
                rest.expect('}')?;
                break;
            }
        }
        if !rest.0.trim().is_empty() {
            return Err(NpyError::Malformed(
                "something stands behind its dict".to_owned(),
            ));
        }
        let missing = |key: &str| NpyError::Malformed(format!("`{key}` is missing"));
        Ok(Self {
            descr: descr.ok_or_else(|| missing("descr"))?,
            is_fortran_order: order.ok_or_else(|| missing("fortran_order"))?,
            shape: shape.ok_or_else(|| missing("shape"))?,
        })
    }
}

/// What is left of a header.
struct Rest<'text>(&'text str);

impl<'text> Rest<'text> {
    fn malformed(&self, expected: &str) -> NpyError {
        let found: String = self.0.chars().take(20).collect();
        NpyError::Malformed(format!(
            "expected {expected}, found `{}`",
            on_one_line(found.trim_end())
        ))
    }

    /// Passes over a character, and blanks before it; whether it was there.
    fn skip(&mut self, character: char) -> bool {
        self.0 = self.0.trim_start();
        match self.0.strip_prefix(character) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, character: char) -> Result<(), NpyError> {
        if self.skip(character) {
            Ok(())
        } else {
            Err(self.malformed(&format!("`{character}`")))
        }
    }

    /// A string without escapes, in quotation marks of either form.
    fn string(&mut self) -> Result<&'text str, NpyError> {
        let quote = if self.skip('\'') {
            '\''
        } else if self.skip('"') {
            '"'
        } else {
            return Err(self.malformed("a string"));
        };
        let (string, rest) = self
            .0
            .split_once(quote)
            .filter(|(string, _)| !string.contains('\\'))
            .ok_or_else(|| self.malformed("a string without escapes"))?;
        self.0 = rest;
        Ok(string)
    }

    /// The type of an element, which is a list where elements are records.
    fn descr(&mut self) -> Result<&'text str, NpyError> {
        if self.skip('[') {
            return Err(NpyError::Unsupported("records".to_owned()));
        }
        self.string()
    }

    fn boolean(&mut self) -> Result<bool, NpyError> {
        self.0 = self.0.trim_start();
        for (word, value) in [("True", true), ("False", false)] {
            if let Some(rest) = self.0.strip_prefix(word) {
                self.0 = rest;
                return Ok(value);
            }
        }
        Err(self.malformed("`True` or `False`"))
    }

    /// A tuple of lengths. Python 2 wrote an `L` behind them.
    fn tuple(&mut self) -> Result<Vec<usize>, NpyError> {
        let mut lengths = Vec::new();
        self.expect('(')?;
        while !self.skip(')') {
            self.0 = self.0.trim_start();
            let digits = self.0.bytes().take_while(u8::is_ascii_digit).count();
            let (number, rest) = self.0.split_at(digits);
            let length = number.parse().map_err(|_| self.malformed("a length"))?;
            self.0 = rest.strip_prefix('L').unwrap_or(rest);
            if lengths.len() == limits::TENSOR_AXES {
                return Err(NpyError::Malformed(format!(
                    "it has more than {} axes",
                    limits::TENSOR_AXES
                )));
            }
            lengths.push(length);
            if !self.skip(',') {
                self.expect(')')?;
                break;
            }
        }
        Ok(lengths)
    }
}

#[cfg(test)]
mod tests;
