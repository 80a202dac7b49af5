//! The one way to stderr: lines that nobody may be reading any more.
//!
//! The macro `eprintln!` panics where a line cannot be written, so that a full disk below a log, or a reader that has gone
//! (`2>&1 | head`), would end a run of days. What is said here is lost then, and the work goes on.

use std::fmt::Arguments;
use std::io::{self, Write};

use crate::visible::visible;

/// Prints a line for people on stderr, in one piece; what cannot be written is lost.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::cli::say::line(format_args!($($text)*))
    };
}

/// See [`say!`]. What a terminal would obey is escaped: names of files, classes and tensors may come from anybody.
pub(in crate::cli) fn line(text: Arguments<'_>) {
    let text = format!("{text}\n");
    colored(&visible(&text));
}

/// Prints what has colors, and whose parts from outside were made harmless before these came in; what cannot be written is lost.
pub(in crate::cli) fn colored(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
