//! The terminal that bars are drawn on: stderr, where a terminal that has gone ends no run.
//!
//! The library that draws bars panics where its terminal cannot be written to, as after the window was closed below `nohup`. What
//! cannot be drawn here is lost, and the work goes on.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use indicatif::{ProgressDrawTarget, TermLike};

/// Columns and rows where the terminal does not say.
const USUAL: (u16, u16) = (80, 24);

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

    /// Columns and rows.
    fn size() -> (u16, u16) {
        let mut size = libc::winsize {
            ws_row: 0,
            ws_col: 0,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        #[expect(unsafe_code, reason = "there is no safe way to ask a terminal")]
        // SAFETY: the pointer is to a value of the type that the request fills.
        let asked = unsafe { libc::ioctl(libc::STDERR_FILENO, libc::TIOCGWINSZ, &raw mut size) };
        if asked == 0 && size.ws_col > 0 && size.ws_row > 0 {
            (size.ws_col, size.ws_row)
        } else {
            USUAL
        }
    }
}

impl TermLike for Stderr {
    fn width(&self) -> u16 {
        Self::size().0
    }

    fn height(&self) -> u16 {
        Self::size().1
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
