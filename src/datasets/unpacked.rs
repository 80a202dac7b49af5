//! Reads what is compressed, and counts: what unpacks into far more than a file of its size holds was made to fill a machine.

use std::io::{self, Read};

use crate::limits;
use crate::text;

/// What comes out of a decompressor, up to a limit.
#[derive(Debug)]
pub(super) struct Unpacked<R> {
    inner: R,
    /// Bytes that have come out.
    pub(super) count: u64,
    most: u64,
    /// What is wrong, once reading has failed.
    pub(super) problem: Option<String>,
}

impl<R: Read> Unpacked<R> {
    /// What `inner` makes out of `packed` bytes, at most as much as [`limits::unpacked`] allows and `most`.
    pub(super) fn new(inner: R, packed: u64, most: u64) -> Self {
        Self {
            inner,
            count: 0,
            most: limits::unpacked(packed).min(most),
            problem: None,
        }
    }
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer).inspect_err(|error| {
            self.problem = Some(format!(
                "its compressed data is damaged or cut off after {} bytes of what it unpacks into ({error})",
                self.count
            ));
        })?;
        self.count += read as u64;
        if self.count > self.most {
            let problem = format!(
                "it unpacks into more than {}, the most that a file of its size may",
                text::bytes(self.most)
            );
            self.problem = Some(problem.clone());
            return Err(io::Error::other(problem));
        }
        Ok(read)
    }
}
