//! What is under way, each with a bar of its own on a terminal, and a line of its own now and then elsewhere.

use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::exec::event::Working;
use crate::text::{count, duration};
use crate::visible::visible;

/// How often a plain line is printed of one piece of work.
const PLAIN: Duration = Duration::from_secs(10);

/// How often bars are drawn again where nothing happens.
const TICK: Duration = Duration::from_millis(500);

/// All that is under way, in the order in which it was begun.
pub(super) struct Bars {
    /// Draws bars on a terminal; `None` where stderr is none.
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
    /// What is counted, such as "images".
    unit: &'static str,
    bar: Option<ProgressBar>,
    done: usize,
    of: usize,
    begun: Instant,
    /// When the last plain line was printed.
    said: Instant,
}

impl Bars {
    /// Bars for stderr, which is a terminal or is not.
    pub(super) fn new(is_terminal: bool) -> Self {
        Self {
            terminal: is_terminal.then(MultiProgress::new),
            running: Vec::new(),
        }
    }

    /// Prints a line, above all bars.
    pub(super) fn say(&self, line: &str) {
        let line = visible(line);
        match &self.terminal {
            Some(terminal) => terminal.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    /// Work begins, of `of` units. Lines call it by `name`; `title` is all that is to be said of it.
    pub(super) fn begin(
        &mut self,
        work: Working,
        (name, title): (String, String),
        of: usize,
        unit: &'static str,
    ) {
        let bar = self.terminal.as_ref().map(|terminal| {
            let bar = terminal.add(ProgressBar::new(of as u64));
            let template = format!(
                "{{wide_msg}}\n  {{bar:32}} {{human_pos}}/{{human_len}} {unit}  {{per_sec}}  {{eta}} left"
            );
            if let Ok(style) = ProgressStyle::with_template(&template) {
                bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
            }
            bar.set_message(title.clone());
            bar.enable_steady_tick(TICK);
            bar
        });
        if bar.is_none() {
            self.say(&title);
        }
        let now = Instant::now();
        self.running.push(Running {
            work,
            name,
            title,
            unit,
            bar,
            done: 0,
            of,
            begun: now,
            said: now,
        });
    }

    /// Work went on by some units; `remark` stands behind its title, such as ", loss 0.1".
    pub(super) fn advance(&mut self, work: &Working, step: usize, remark: Option<&str>) {
        let Some(running) = self.running.iter_mut().find(|one| one.work == *work) else {
            return;
        };
        running.done += step;
        if let Some(bar) = &running.bar {
            if let Some(remark) = remark {
                bar.set_message(format!("{}{remark}", running.title));
            }
            bar.inc(step as u64);
            return;
        }
        if running.said.elapsed() >= PLAIN {
            running.said = Instant::now();
            let line = running.line(remark.unwrap_or_default());
            self.say(&line);
        }
    }

    /// Work has ended: its bar goes, and nothing is left of it.
    pub(super) fn end(&mut self, work: &Working) {
        let is_it = |one: &mut Running| one.work == *work;
        for ended in self.running.extract_if(.., is_it) {
            if let Some(bar) = ended.bar {
                bar.finish_and_clear();
            }
        }
    }

    /// Everything has ended.
    pub(super) fn end_all(&mut self) {
        while let Some(last) = self.running.last() {
            let work = last.work.clone();
            self.end(&work);
        }
    }
}

impl Running {
    /// How far it is, as a plain line.
    fn line(&self, remark: &str) -> String {
        let rate = self.done as f64 / self.begun.elapsed().as_secs_f64().max(1e-9);
        let left = self.of.saturating_sub(self.done) as f64 / rate.max(1e-9);
        let left = if self.done == 0 {
            String::new()
        } else {
            format!(", {rate:.1}/s, {} left", duration(left))
        };
        format!(
            "  {}: {} of {} {}{remark}{left}",
            self.name,
            count(self.done),
            count(self.of),
            self.unit
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_told_apart_by_what_it_is_and_gone_once_it_ended() {
        let mut bars = Bars::new(false);
        for pass in [1, 2] {
            let names = (format!("pass {pass}/2"), format!("pass {pass}/2 all of it"));
            bars.begin(Working::Pass(pass), names, 2000, "images");
        }
        bars.advance(&Working::Pass(2), 500, None);
        bars.advance(&Working::Pass(3), 500, None);
        let lines: Vec<String> = bars
            .running
            .iter()
            .map(|one| one.line(", 1 epoch"))
            .collect();
        assert_eq!(lines[0], "  pass 1/2: 0 of 2,000 images, 1 epoch");
        assert!(
            lines[1].starts_with("  pass 2/2: 500 of 2,000 images, 1 epoch, "),
            "{lines:?}"
        );
        bars.end(&Working::Pass(1));
        assert_eq!(bars.running.len(), 1);
        assert_eq!(bars.running[0].work, Working::Pass(2));
        bars.end_all();
        assert!(bars.running.is_empty());
    }
}
