//! What is known of a run under way: what it has done, what is ahead, and what that takes.

use std::collections::{BTreeMap, BTreeSet};

use super::bars::Bars;
use crate::cli::say::{self, Level};
use crate::exec::event::Working;
use crate::text::{count, duration};

/// Where the run stands.
pub(super) struct State {
    pub(super) bars: Bars,
    /// Passes of the run; none where one job runs by itself.
    pub(super) passes: usize,
    /// What the passes that have yet to begin cost, in multiply-adds, by their number.
    pub(super) ahead: BTreeMap<usize, u64>,
    /// What the passes cost that are done, in multiply-adds, and the seconds that they took.
    pub(super) behind: (f64, f64),
    /// Costs of those under way.
    pub(super) under_way: BTreeMap<usize, u64>,
    /// Who is waited for.
    pub(super) holders: BTreeSet<String>,
    pub(super) kept: Kept,
}

/// What a run has committed.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) shards: usize,
    pub(super) heads: usize,
    /// Whether a training that keeps checkpoints was under way.
    pub(super) trains: bool,
}

/// What is said where images of an earlier run are kept.
pub(super) fn committed_already(images: usize) -> String {
    match images {
        0 => String::new(),
        images => format!(", {} already committed", count(images)),
    }
}

impl State {
    /// `pass 2/3`; just `pass` where one job runs by itself.
    pub(super) fn name_of_pass(&self, pass: usize) -> String {
        match self.passes {
            0 => "pass".to_owned(),
            passes => format!("pass {pass}/{passes}"),
        }
    }

    pub(super) fn say(&self, line: &str) {
        self.bars.say(line);
    }

    /// Prints a line of an event that people do not wait for.
    pub(super) fn event(&self, line: &str) {
        if say::level() == Level::Verbose {
            self.say(line);
        }
    }

    /// How long all passes take still, by what those took that are done; `None` where this is the last one, or nothing is measured.
    pub(super) fn rest_of_passes(&self) -> Option<String> {
        let (cost, seconds) = self.behind;
        if self.ahead.is_empty() || cost <= 0.0 {
            return None;
        }
        let ahead: u64 = self.ahead.values().sum();
        let workers = self.under_way.len().max(1) as f64;
        let left = self.bars.seconds_left_of_passes()? + ahead as f64 * seconds / cost / workers;
        Some(format!("; {} left of all passes", duration(left)))
    }

    /// Work is done; what is said of it takes the place of its bar.
    pub(super) fn finish(&mut self, work: &Working, line: &str) {
        self.bars.end(work);
        self.say(line);
    }
}
