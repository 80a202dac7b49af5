//! Little-endian numbers and pieces of a byte slice, read from front to back without ever going past its end.

/// A place in a byte slice.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'f> {
    bytes: &'f [u8],
    at: usize,
}

impl<'f> Reader<'f> {
    /// A reader of `bytes` that begins at `at`.
    pub fn new(bytes: &'f [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// Bytes read so far, from the beginning of the slice.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Bytes between the place and the end of the slice.
    pub fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    /// The next `count` bytes; `None`, and nothing is read, where fewer are left.
    pub fn take(&mut self, count: usize) -> Option<&'f [u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// The next byte; `None`, and nothing is read, at the end.
    pub fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    /// The next two bytes as a number; `None` where fewer are left.
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// The next four bytes as a number; `None` where fewer are left.
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// The next eight bytes as a number; `None` where fewer are left.
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// What stands before the next line feed, which is read too; `None` where none comes within `longest` bytes.
    pub fn line(&mut self, longest: usize) -> Option<&'f [u8]> {
        let rest = self.bytes.get(self.at..)?;
        let length = rest.iter().take(longest).position(|&byte| byte == b'\n')?;
        let line = self.take(length)?;
        self.take(1)?;
        Some(line)
    }
}
