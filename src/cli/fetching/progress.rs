//! Shows on stderr how a file comes: a bar on a terminal, a line now and then elsewhere.

use std::cell::RefCell;

use crate::cli::meter::{Meter, Unit};
use crate::fetch::Event;
use crate::text::{bytes, duration};

/// A display for this process's stderr.
#[derive(Default)]
pub(super) struct Display {
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    /// What comes now.
    meter: Option<Meter>,
    /// Whether a server was asked before.
    asked: bool,
}

impl Display {
    pub(super) fn new() -> Self {
        Self::default()
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
        match &self.state.borrow().meter {
            Some(meter) => meter.say(line),
            None => say!("{line}"),
        }
    }

    /// Takes the bar away, if there is one.
    pub(super) fn clear(&self) {
        self.state.borrow_mut().meter = None;
    }

    fn begin(&self, title: &str, from: u64, total: Option<u64>) {
        self.clear();
        let meter = Meter::new(Unit::Bytes, from, total, "", None);
        let size = total.map_or_else(|| "of unknown size".to_owned(), bytes);
        match title {
            "" if meter.has_bar() => {}
            "" => say!("  {size}"),
            title => meter.say(title),
        }
        self.state.borrow_mut().meter = Some(meter);
    }

    fn advance(&self, done: u64) {
        let mut state = self.state.borrow_mut();
        let Some(meter) = &mut state.meter else {
            return;
        };
        if let Some(numbers) = meter.reach(done) {
            say!("  {numbers}");
        }
    }
}
