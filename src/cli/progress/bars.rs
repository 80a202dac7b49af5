//! What is under way, each with a bar of its own on a terminal, and a line of its own now and then elsewhere.

use indicatif::MultiProgress;

use crate::cli::meter::{self, Meter, Unit};
use crate::cli::terminal;
use crate::exec::event::Working;

/// All that is under way, in the order in which it was begun.
pub(super) struct Bars {
    /// Draws bars; `None` where stderr is not a terminal that can.
    terminal: Option<MultiProgress>,
    running: Vec<Running>,
}

/// Work that is under way.
struct Running {
    work: Working,
    /// What lines call it.
    name: String,
    /// What the bar says above itself.
    title: String,
    meter: Meter,
}

impl Bars {
    /// Bars for stderr, or lines where it has none.
    pub(super) fn new() -> Self {
        Self {
            terminal: meter::has_bars().then(|| MultiProgress::with_draw_target(terminal::bars())),
            running: Vec::new(),
        }
    }

    /// Prints a line, above all bars.
    pub(super) fn say(&self, line: &str) {
        self.above(|| say!("{line}"));
    }

    /// Prints something above all bars.
    pub(super) fn above(&self, print: impl FnOnce()) {
        match &self.terminal {
            Some(terminal) => terminal.suspend(print),
            None => print(),
        }
    }

    /// Work begins, of `of` units of which `from` are done. Lines call it by `name`; `title` is all that is to be said of it.
    pub(super) fn begin(
        &mut self,
        work: Working,
        (name, title): (String, String),
        (from, of): (usize, usize),
        unit: &'static str,
    ) {
        self.begin_by(work, (name, title), (from, of), Unit::Things(unit));
    }

    /// The same with any unit.
    pub(super) fn begin_by(
        &mut self,
        work: Working,
        (name, title): (String, String),
        (from, of): (usize, usize),
        unit: Unit,
    ) {
        if self.terminal.is_none() {
            self.say(&title);
        }
        let (from, of) = (from as u64, Some(of as u64));
        let meter = Meter::new(unit, from, of, &title, self.terminal.as_ref());
        self.running.push(Running {
            work,
            name,
            title,
            meter,
        });
    }

    /// Work advanced by some units; `remark` stands behind its title, such as ", loss 0.1".
    pub(super) fn advance(&mut self, work: &Working, step: usize, remark: Option<&str>) {
        let Some(running) = self.running.iter_mut().find(|one| one.work == *work) else {
            return;
        };
        if let Some(remark) = remark {
            running.meter.title(&format!("{}{remark}", running.title));
        }
        if let Some(numbers) = running.meter.advance(step as u64) {
            let line = format!(
                "  {}: {numbers}{}",
                running.name,
                remark.unwrap_or_default()
            );
            self.say(&line);
        }
    }

    /// Seconds until the longest of the passes under way is done; `None` before that can be told.
    pub(super) fn seconds_left_of_passes(&self) -> Option<f64> {
        let passes = self.running.iter();
        let passes = passes.filter(|one| matches!(one.work, Working::Pass(_)));
        let left: Option<Vec<f64>> = passes.map(|one| one.meter.seconds_left()).collect();
        left?.into_iter().reduce(f64::max)
    }

    /// Work has ended: its bar goes, and nothing is left of it.
    pub(super) fn end(&mut self, work: &Working) {
        self.running.retain(|one| one.work != *work);
    }

    /// Everything has ended.
    pub(super) fn end_all(&mut self) {
        self.running.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_told_apart_by_what_it_is_and_gone_once_it_ended() {
        let mut bars = Bars {
            terminal: None,
            running: Vec::new(),
        };
        for pass in [1, 2] {
            let names = (format!("pass {pass}/2"), format!("pass {pass}/2 all of it"));
            bars.begin(Working::Pass(pass), names, (24, 2000), "images");
        }
        bars.advance(&Working::Pass(2), 500, None);
        bars.advance(&Working::Pass(3), 500, None);
        let lines: Vec<String> = bars.running.iter().map(|one| one.meter.numbers()).collect();
        assert_eq!(lines, ["24 of 2,000 images", "524 of 2,000 images"]);
        assert_eq!(bars.seconds_left_of_passes(), None);
        bars.end(&Working::Pass(1));
        assert_eq!(bars.running.len(), 1);
        assert_eq!(bars.running[0].work, Working::Pass(2));
        bars.end_all();
        assert!(bars.running.is_empty());
    }
}
