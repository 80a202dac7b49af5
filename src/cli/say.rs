//! The one way to stderr: lines that nobody may be reading any more.
//!
//! The macro `eprintln!` panics where a line cannot be written, so that a full disk below a log, or a reader that has gone
//! (`2>&1 | head`), would end a run of days. What is said here is lost then, and the work goes on.
//!
//! With `--quiet` only errors, and what [`always`] prints, are left of it.

use std::fmt::Arguments;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU8, Ordering};

use super::style::{Stream, Style};
use crate::visible::visible;

/// How much is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(in crate::cli) enum Level {
    /// Errors, and the paths of what was written.
    Quiet,
    /// What people want to know while they wait.
    Usual,
    /// Every event.
    Verbose,
}

static LEVEL: AtomicU8 = AtomicU8::new(Level::Usual as u8);

/// Sets how much is printed from now on.
pub(in crate::cli) fn set(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// How much is printed.
pub(in crate::cli) fn level() -> Level {
    match LEVEL.load(Ordering::Relaxed) {
        0 => Level::Quiet,
        1 => Level::Usual,
        _ => Level::Verbose,
    }
}

/// Prints a line for people on stderr, in one piece; what cannot be written is lost.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::cli::say::line(format_args!($($text)*))
    };
}

/// See [`say!`]. What a terminal would obey is escaped: names of files, classes and tensors may come from anybody.
pub(in crate::cli) fn line(text: Arguments<'_>) {
    let text = text.to_string();
    if level() > Level::Quiet || text.starts_with("error") {
        always(&text);
    }
}

/// Prints a line however quiet the program is to be: what was written, and how it ended.
pub(in crate::cli) fn always(text: &str) {
    let style = Style::of(Stream::Err);
    let text = visible(text);
    let text = style.shown(&text);
    colored(&format!("{}\n", style.labeled(&text)));
}

/// Prints what has colors, and whose parts from outside were made harmless before these came in; what cannot be written is lost.
pub(in crate::cli) fn colored(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
