//! stdout, with text from outside made harmless on its way.

use std::borrow::Cow;
use std::io::{self, StdoutLock, Write};

use crate::visible::{in_json, visible};

/// stdout for one subcommand; `json` says that JSON is written, in which hidden characters have escapes of their own.
pub(super) fn stdout(json: bool) -> Printed<StdoutLock<'static>> {
    Printed {
        out: io::stdout().lock(),
        json,
        begun: Vec::new(),
    }
}

/// A writer that escapes what a terminal would obey. See [`visible`].
pub(super) struct Printed<W: Write> {
    out: W,
    json: bool,
    /// The first bytes of a character whose others have yet to come.
    begun: Vec<u8>,
}

impl<W: Write> Printed<W> {
    fn shown<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.json {
            in_json(text)
        } else {
            visible(text)
        }
    }
}

impl<W: Write> Write for Printed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.begun.is_empty()
            && let Ok(text) = std::str::from_utf8(bytes)
        {
            let shown = self.shown(text);
            self.out.write_all(shown.as_bytes())?;
            return Ok(bytes.len());
        }
        self.begun.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&self.begun) {
            Ok(text) => text.len(),
            // What can never become text is passed on as it is, with a sign in its place.
            Err(error) if error.error_len().is_some() => self.begun.len(),
            Err(error) => error.valid_up_to(),
        };
        let text = String::from_utf8_lossy(&self.begun[..whole]).into_owned();
        self.begun.drain(..whole);
        let shown = self.shown(&text);
        self.out.write_all(shown.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_come_in_pieces_are_whole() {
        for (json, expected) in [(false, "é\\u{1b}\\u{202e}\n"), (true, "é\\u001b\\u202e\n")] {
            let mut out = Printed {
                out: Vec::new(),
                json,
                begun: Vec::new(),
            };
            for byte in "é\u{1b}\u{202e}\n".bytes() {
                out.write_all(&[byte]).unwrap();
            }
            assert_eq!(String::from_utf8(out.out).unwrap(), expected);
        }
    }
}
