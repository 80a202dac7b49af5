//! How far work is, how fast it goes and how long it takes still: one form for all commands, in bars and in lines.
//!
//! A rate is that of what was done since the work began; what an earlier run has done counts as done, and says nothing about the rate.

use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::say::{self, Level};
use super::style::{Stream, Style, in_ascii, size_of_stderr};
use super::terminal;
use crate::text::{bytes, count, duration, rate};

/// How often a plain line is printed of one piece of work.
const PLAIN: Duration = Duration::from_secs(10);
/// How often bars are drawn again where nothing happens.
const TICK: Duration = Duration::from_millis(500);
/// Before so much time has passed a rate says nothing.
const SETTLED: Duration = Duration::from_secs(2);
/// The columns of a bar, where the terminal has room for more than its numbers.
const BAR: usize = 32;
/// The columns of the numbers behind a bar.
const NUMBERS: usize = 50;

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unit {
    /// Things of a name, such as "images".
    Things(&'static str),
    /// Things of a name that take so many pieces of work each; pieces are counted, and whole things are told.
    #[cfg(feature = "torch")]
    Pieces(&'static str, u64),
    /// Bytes.
    Bytes,
}

/// Whether work is shown by bars: on a terminal whose cursor can be moved, unless the program is to be quiet.
pub(super) fn has_bars() -> bool {
    say::level() > Level::Quiet && Style::of(Stream::Err).moves
}

/// One piece of work under way.
pub(super) struct Meter {
    unit: Unit,
    bar: Option<ProgressBar>,
    from: u64,
    done: u64,
    of: Option<u64>,
    begun: Instant,
    /// When the last plain line was printed.
    said: Instant,
}

impl Meter {
    /// Work on `of` units begins, of which `from` are done already. With a bar where stderr has bars; `among` are others beside it.
    pub(super) fn new(
        unit: Unit,
        from: u64,
        of: Option<u64>,
        title: &str,
        among: Option<&MultiProgress>,
    ) -> Self {
        let now = Instant::now();
        Self {
            unit,
            bar: has_bars().then(|| bar(unit, from, of, title, among)),
            from,
            done: from,
            of,
            begun: now,
            said: now,
        }
    }

    /// More was done. Gives the numbers for a plain line where there is no bar, and it is time for one.
    pub(super) fn advance(&mut self, step: u64) -> Option<String> {
        self.reach(self.done + step)
    }

    /// So much is done now. As [`Self::advance`].
    pub(super) fn reach(&mut self, done: u64) -> Option<String> {
        self.done = done;
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            return None;
        }
        if self.said.elapsed() < PLAIN {
            return None;
        }
        self.said = Instant::now();
        Some(self.numbers())
    }

    /// Says something else above the bar.
    #[cfg(feature = "torch")]
    pub(super) fn title(&self, title: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(shown(title));
        }
    }

    /// Prints a line above the bar.
    pub(super) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say!("{line}")),
            None => say!("{line}"),
        }
    }

    /// Whether there is a bar.
    pub(super) fn has_bar(&self) -> bool {
        self.bar.is_some()
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// How much is done, how fast, and how long the rest takes.
    pub(super) fn numbers(&self) -> String {
        numbers(
            self.unit,
            (self.from, self.done, self.of),
            self.begun.elapsed(),
        )
    }

    /// Seconds until all is done, at the rate until now; `None` before there is one.
    #[cfg(feature = "torch")]
    pub(super) fn seconds_left(&self) -> Option<f64> {
        let rate = a_second(self.from, self.done, self.begun.elapsed())?;
        Some(self.of?.saturating_sub(self.done) as f64 / rate)
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.end();
    }
}

/// Units a second; `None` before enough was done to tell.
fn a_second(from: u64, done: u64, elapsed: Duration) -> Option<f64> {
    (elapsed >= SETTLED && done > from).then(|| (done - from) as f64 / elapsed.as_secs_f64())
}

fn numbers(unit: Unit, (from, done, of): (u64, u64, Option<u64>), elapsed: Duration) -> String {
    let amount = |amount: u64| match unit {
        Unit::Things(_) => count(amount),
        #[cfg(feature = "torch")]
        Unit::Pieces(_, pieces) => count(amount / pieces.max(1)),
        Unit::Bytes => bytes(amount),
    };
    let mut text = amount(done);
    if let Some(of) = of {
        text.extend([" of ", &amount(of)]);
    }
    match unit {
        Unit::Things(name) => text.extend([" ", name]),
        #[cfg(feature = "torch")]
        Unit::Pieces(name, _) => text.extend([" ", name]),
        Unit::Bytes => {}
    }
    let Some(a_second) = a_second(from, done, elapsed) else {
        return text;
    };
    let speed = match unit {
        Unit::Things(_) => rate(a_second),
        #[cfg(feature = "torch")]
        Unit::Pieces(_, pieces) => rate(a_second / pieces.max(1) as f64),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "no work does 2^63 things a second"
        )]
        Unit::Bytes => bytes(a_second as u64),
    };
    text.extend([", ", &speed, "/s"]);
    if let Some(of) = of.filter(|of| *of > done) {
        let left = (of - done) as f64 / a_second;
        text.extend([", ", &duration(left), " left"]);
    }
    text
}

/// A title as the terminal shows it.
fn shown(title: &str) -> String {
    if Style::of(Stream::Err).ascii {
        in_ascii(title)
    } else {
        title.to_owned()
    }
}

fn bar(
    unit: Unit,
    from: u64,
    of: Option<u64>,
    title: &str,
    among: Option<&MultiProgress>,
) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(of, ProgressDrawTarget::hidden());
    let bar = if let Some(others) = among {
        others.add(bar)
    } else {
        bar.set_draw_target(terminal::bars());
        bar
    };
    let columns = size_of_stderr().0.saturating_sub(NUMBERS).clamp(6, BAR);
    let drawn = match of {
        Some(_) => format!("{{bar:{columns}}}"),
        None => "{spinner}".to_owned(),
    };
    let template = if title.is_empty() {
        format!("  {drawn} {{numbers}}")
    } else {
        format!("{{wide_msg}}\n  {drawn} {{numbers}}")
    };
    if let Ok(style) = ProgressStyle::with_template(&template) {
        let told = move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = out.write_str(&numbers(unit, (from, state.pos(), of), state.elapsed()));
        };
        let style = style.with_key("numbers", told);
        bar.set_style(if Style::of(Stream::Err).ascii {
            style.progress_chars("#- ").tick_chars("|/-\\ ")
        } else {
            style.progress_chars("█▉▊▋▌▍▎▏ ")
        });
    }
    bar.set_message(shown(title));
    bar.set_position(from);
    bar.enable_steady_tick(TICK);
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_begin_once_there_is_something_to_tell() {
        let images = Unit::Things("images");
        let after = Duration::from_secs;
        for (done, seconds, expected) in [
            (0, 0, "0 of 3,000 images"),
            (0, 60, "0 of 3,000 images"),
            (128, 1, "128 of 3,000 images"),
            (256, 8, "256 of 3,000 images, 32.0/s, 1 min 26 s left"),
            (3000, 100, "3,000 of 3,000 images, 30.0/s"),
        ] {
            assert_eq!(
                numbers(images, (0, done, Some(3000)), after(seconds)),
                expected
            );
        }
        // Images of 50 steps each: half a step a second is a hundredth of an image.
        #[cfg(feature = "torch")]
        assert_eq!(
            numbers(Unit::Pieces("images", 50), (0, 120, Some(500)), after(60)),
            "2 of 10 images, 0.040/s, 3 min 10 s left"
        );
        // What was there before is done, and was not done now.
        assert_eq!(
            numbers(images, (1024, 1024, Some(3000)), after(60)),
            "1,024 of 3,000 images"
        );
        assert_eq!(
            numbers(images, (1024, 1124, Some(3000)), after(10)),
            "1,124 of 3,000 images, 10.0/s, 3 min 08 s left"
        );
        assert_eq!(
            numbers(Unit::Bytes, (0, 3 << 20, None), after(2)),
            "3.0 MiB, 1.5 MiB/s"
        );
    }
}
