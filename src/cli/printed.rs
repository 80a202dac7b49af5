//! stdout, with text from outside made harmless on its way, and fitted into a terminal.

use std::borrow::Cow;
use std::io::{self, StdoutLock, Write};

use super::style::{Stream, Style};
use crate::visible::{in_json, visible};

/// stdout for one subcommand; `json` says that JSON is written, in which hidden characters have escapes of their own.
pub(super) fn stdout(json: bool) -> Printed<StdoutLock<'static>> {
    let style = if json {
        Style::default()
    } else {
        Style::of(Stream::Out)
    };
    Printed {
        out: io::stdout().lock(),
        json,
        style,
        begun: Vec::new(),
        line: String::new(),
    }
}

/// stdout for text that is to be copied as it is, such as a page in Markdown: nothing is folded.
pub(super) fn unfolded() -> Printed<StdoutLock<'static>> {
    let mut printed = stdout(false);
    printed.style = Style::default();
    printed
}

/// A writer that escapes what a terminal would obey. See [`visible`].
pub(super) struct Printed<W: Write> {
    out: W,
    json: bool,
    style: Style,
    /// The first bytes of a character whose others have yet to come.
    begun: Vec<u8>,
    /// The line that has no end yet, on a terminal: lines are folded as a whole.
    line: String,
}

impl<W: Write> Printed<W> {
    /// Writes text that is harmless by now.
    fn send(&mut self, text: &str) -> io::Result<()> {
        if self.style.width.is_none() {
            return self.out.write_all(text.as_bytes());
        }
        self.line.push_str(text);
        let Some(end) = self.line.rfind('\n') else {
            return Ok(());
        };
        let rest = self.line.split_off(end + 1);
        let whole = std::mem::replace(&mut self.line, rest);
        self.out.write_all(self.style.shown(&whole).as_bytes())
    }

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
            let shown = self.shown(text).into_owned();
            self.send(&shown)?;
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
        let shown = self.shown(&text).into_owned();
        self.send(&shown)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let rest = std::mem::take(&mut self.line);
        self.out.write_all(self.style.shown(&rest).as_bytes())?;
        self.out.flush()
    }
}

impl<W: Write> Drop for Printed<W> {
    fn drop(&mut self) {
        // A last line without an end. Whoever has to know whether it was written asks by `flush`.
        let rest = std::mem::take(&mut self.line);
        let _ = self.out.write_all(self.style.shown(&rest).as_bytes());
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
                style: Style::default(),
                begun: Vec::new(),
                line: String::new(),
            };
            for byte in "é\u{1b}\u{202e}\n".bytes() {
                out.write_all(&[byte]).unwrap();
            }
            assert_eq!(String::from_utf8(out.out.clone()).unwrap(), expected);
        }
    }
}
