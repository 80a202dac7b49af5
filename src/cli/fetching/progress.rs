//! Shows on stderr how a file comes: a bar on a terminal, a line now and then elsewhere.

use std::cell::RefCell;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::fetch::Event;
use crate::text::{bytes, duration};
use crate::visible::visible;

/// How often a plain line is printed.
const PLAIN: Duration = Duration::from_secs(10);

/// A display for this process's stderr.
pub(super) struct Display {
    bars: bool,
    state: RefCell<State>,
}

struct State {
    bar: Option<ProgressBar>,
    /// When the last plain line was printed.
    said: Instant,
    begun: Instant,
    /// Where the bytes begin that came since then.
    from: u64,
    total: Option<u64>,
    /// Whether a server was asked before.
    asked: bool,
}

impl Display {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            bars: std::io::stderr().is_terminal(),
            state: RefCell::new(State {
                bar: None,
                said: now,
                begun: now,
                from: 0,
                total: None,
                asked: false,
            }),
        }
    }

    /// Shows one event.
    pub(super) fn show(&self, event: Event) {
        match event {
            Event::Waiting { path, holder } => self.say(&format!(
                "waiting for {holder}, which fetches {}",
                path.display()
            )),
            Event::Asking { url, kept } => {
                let from = match kept {
                    0 => String::new(),
                    kept => format!(", from {} on", bytes(kept)),
                };
                let again = std::mem::replace(&mut self.state.borrow_mut().asked, true);
                match (again, kept) {
                    (false, _) => self.say(&format!("fetching {url}{from}")),
                    (true, 0) => {}
                    (true, _) => self.say(&format!("  again{from}")),
                }
            }
            Event::BeginsAnew { reason, lost } => self.say(&format!(
                "warning: starts over, without the {} that were there: {reason}",
                bytes(lost)
            )),
            Event::Receiving { kept, total } => self.begin("", kept, total),
            Event::Received { kept: done } | Event::Checked { bytes: done } => self.advance(done),
            Event::Retrying {
                reason,
                kept,
                pause,
                number,
                of,
            } => {
                self.clear();
                let at = match kept {
                    0 => String::new(),
                    kept => format!("broke off at {}: ", bytes(kept)),
                };
                self.say(&format!(
                    "warning: {at}{reason}; next attempt in {} (retry {number} of {of})",
                    duration(pause.as_secs_f64())
                ));
            }
            Event::Checking { path, bytes } => {
                let title = format!("checking the SHA-256 of {}", path.display());
                self.begin(&title, 0, Some(bytes));
            }
            Event::Warning(text) => self.say(&format!("warning: {text}")),
        }
    }

    /// Prints a line.
    pub(super) fn say(&self, line: &str) {
        let line = visible(line);
        match &self.state.borrow().bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    /// Takes the bar away, if there is one.
    pub(super) fn clear(&self) {
        if let Some(bar) = self.state.borrow_mut().bar.take() {
            bar.finish_and_clear();
        }
    }

    fn begin(&self, title: &str, from: u64, total: Option<u64>) {
        self.clear();
        let size = total.map_or_else(|| "of unknown size".to_owned(), bytes);
        match title {
            "" if self.bars => {}
            "" => self.say(&format!("  {size}")),
            title => self.say(title),
        }
        let now = Instant::now();
        let bar = self.bars.then(|| bar(from, total));
        {
            let mut state = self.state.borrow_mut();
            (state.bar, state.said, state.begun) = (bar, now, now);
            (state.from, state.total) = (from, total);
        }
    }

    fn advance(&self, done: u64) {
        let line = {
            let mut state = self.state.borrow_mut();
            if let Some(bar) = &state.bar {
                bar.set_position(done);
                return;
            }
            if state.said.elapsed() < PLAIN {
                return;
            }
            state.said = Instant::now();
            state.line(done)
        };
        self.say(&line);
    }
}

impl State {
    fn line(&self, done: u64) -> String {
        let seconds = self.begun.elapsed().as_secs_f64().max(1e-9);
        let rate = done.saturating_sub(self.from) as f64 / seconds;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "no network brings 2^63 bytes a second"
        )]
        let a_second = bytes(rate as u64);
        match self.total {
            Some(total) => format!(
                "  {} of {}, {a_second}/s, {} left",
                bytes(done),
                bytes(total),
                duration(total.saturating_sub(done) as f64 / rate.max(1.0))
            ),
            None => format!("  {}, {a_second}/s", bytes(done)),
        }
    }
}

fn bar(from: u64, total: Option<u64>) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
    let template = match total {
        Some(_) => {
            "  {bar:32} {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}  {eta} left"
        }
        None => "  {spinner} {binary_bytes}  {binary_bytes_per_sec}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
    }
    bar.set_position(from);
    // What was there before says nothing about the rate.
    bar.reset_eta();
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}
