//! What changed, in numbers and in one sentence.

use serde::Serialize;

use super::{Difference, Direction};
use crate::text::{count, plural};

/// How many cells are what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Summary {
    /// Cells that both sets have.
    pub common: usize,
    /// Cells of both whose values differ.
    pub changed: usize,
    /// Changed cells that are better than before.
    pub better: usize,
    /// Changed cells that are worse than before.
    pub worse: usize,
    /// Changed cells that were tested.
    pub tested: usize,
    /// Tested cells that changed significantly, by Holm's method.
    pub significant: usize,
    /// Cells of both with equal values and other intervals or counts.
    pub recounted: usize,
    /// Cells of both with equal values of other artifacts.
    pub refitted: usize,
    /// Cells of both under other names, with equal values of the same artifacts.
    pub renamed: usize,
    /// Cells of the second set alone.
    pub new: usize,
    /// Cells of the first set alone.
    pub lost: usize,
    /// Axes that changed for all results of a metric.
    pub configuration: usize,
}

impl Summary {
    /// Of a comparison.
    pub fn of(compared: &Difference<'_>) -> Self {
        let changed = &compared.changed;
        let of = |direction| {
            let cells = changed.iter();
            cells.filter(|cell| cell.direction == direction).count()
        };
        let tested = changed
            .iter()
            .filter(|cell| matches!(cell.test, Some(Ok(_))));
        Self {
            common: changed.len()
                + compared.recounted.len()
                + compared.refitted.len()
                + compared.renamed.len()
                + compared.equal,
            changed: changed.len(),
            better: of(Direction::Better),
            worse: of(Direction::Worse),
            tested: tested.count(),
            significant: changed.iter().filter(|cell| cell.is_significant()).count(),
            recounted: compared.recounted.len(),
            refitted: compared.refitted.len(),
            renamed: compared.renamed.len(),
            new: compared.new.len(),
            lost: compared.lost.len(),
            configuration: compared.configuration.len(),
        }
    }

    /// Whether nothing differs at all.
    pub fn is_equal(&self) -> bool {
        let Self {
            common: _,
            changed,
            better: _,
            worse: _,
            tested: _,
            significant: _,
            recounted,
            refitted,
            renamed,
            new,
            lost,
            configuration,
        } = *self;
        changed + recounted + refitted + renamed + new + lost + configuration == 0
    }

    /// In one sentence, without its end: "12 of 312 cells changed (3 better, 9 worse), 2 new".
    pub fn sentence(&self) -> String {
        if self.is_equal() {
            return format!("no change in {}", plural(self.common, "cell"));
        }
        let mut parts = Vec::new();
        let cells = format!("{} of {}", count(self.changed), plural(self.common, "cell"));
        let mut directions = Vec::new();
        for (number, word) in [(self.better, "better"), (self.worse, "worse")] {
            if number > 0 {
                directions.push(format!("{} {word}", count(number)));
            }
        }
        if self.tested > 0 {
            directions.push(format!(
                "{} of {} tested significant",
                count(self.significant),
                count(self.tested)
            ));
        }
        let directions = if directions.is_empty() {
            String::new()
        } else {
            format!(" ({})", directions.join(", "))
        };
        parts.push(if self.common == 0 {
            "no cell in common".to_owned()
        } else {
            format!("{cells} changed{directions}")
        });
        for (number, what) in [
            (self.new, "new"),
            (self.lost, "lost"),
            (self.renamed, "renamed"),
            (
                self.recounted,
                "with equal values and other intervals or counts",
            ),
            (self.refitted, "with equal values of other artifacts"),
        ] {
            if number > 0 {
                parts.push(format!("{} {what}", count(number)));
            }
        }
        parts.join(", ")
    }
}
