//! The one way to stderr: lines that nobody may be reading any more.
//!
//! The macro `eprintln!` panics where a line cannot be written, so that a full disk below a log, or a reader that has gone
//! (`2>&1 | head`), would end a run of days. What is said here is lost then, and the work goes on.

use std::fmt::Arguments;
use std::io::{self, Write};

/// Prints a line for people on stderr, in one piece; what cannot be written is lost.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::cli::say::line(format_args!($($text)*))
    };
}

/// See [`say!`].
pub(in crate::cli) fn line(text: Arguments<'_>) {
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}
