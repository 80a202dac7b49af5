//! The terminal that bars are drawn on: stderr, where a terminal that has gone ends no run.
//!
//! The library that draws bars panics where its terminal cannot be written to, as after the window was closed below `nohup`. What
//! cannot be drawn here is lost, and the work goes on.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use indicatif::{ProgressDrawTarget, TermLike};

use super::style::size_of_stderr;

/// stderr as a terminal for bars.
pub(super) fn bars() -> ProgressDrawTarget {
    ProgressDrawTarget::term_like(Box::new(Stderr))
}

#[derive(Debug)]
struct Stderr;

impl Stderr {
    fn send(text: &str) {
        let _ = io::stderr().write_all(text.as_bytes());
    }

    /// Moves the cursor; `direction` is the letter of the ANSI sequence.
    fn go(count: usize, direction: char) {
        if count > 0 {
            let mut text = String::new();
            let _ = write!(text, "\x1b[{count}{direction}");
            Self::send(&text);
        }
    }
}

impl TermLike for Stderr {
    fn width(&self) -> u16 {
        size_of_stderr().0.try_into().unwrap_or(u16::MAX)
    }

    fn height(&self) -> u16 {
        size_of_stderr().1.try_into().unwrap_or(u16::MAX)
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        Self::go(n, 'A');
        Ok(())
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        Self::go(n, 'B');
        Ok(())
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        Self::go(n, 'C');
        Ok(())
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        Self::go(n, 'D');
        Ok(())
    }

    fn write_line(&self, s: &str) -> io::Result<()> {
        Self::send(s);
        Self::send("\n");
        Ok(())
    }

    fn write_str(&self, s: &str) -> io::Result<()> {
        Self::send(s);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        Self::send("\r\x1b[2K");
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}
