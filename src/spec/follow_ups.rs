//! Errors that only follow from others, and so are not reported: what cannot be known of a file because a part of it could not be read.

use std::collections::{BTreeMap, BTreeSet};

use super::source::Span;

/// What could not be read of a file, although something stands there.
#[derive(Debug, Clone, Default)]
pub struct FollowUps {
    /// Begin and end of tables that hold an error of syntax: what is missing or strange in them may be due to it.
    broken: BTreeMap<usize, usize>,
    /// Sections that lost a name: `[head]` without one, or two of one name.
    sections: BTreeSet<String>,
    /// Names below a section that does not exist, such as `taps` of `[extractoin.taps]`.
    names: BTreeSet<String>,
    /// Whether any section may have lost any name.
    all: bool,
}

impl FollowUps {
    /// A table from its header to the next one holds an error of syntax.
    pub fn break_off(&mut self, table: Span) {
        let end = self.broken.entry(table.start).or_default();
        *end = table.end.max(*end);
    }

    /// Takes over what could not be read of one part of a source, which begins at `start`.
    pub(super) fn absorb(&mut self, found: &Self, start: usize) {
        for (&from, &to) in &found.broken {
            self.break_off(Span::from(from..to).moved(start));
        }
        self.sections.extend(found.sections.iter().cloned());
        self.names.extend(found.names.iter().cloned());
        self.all |= found.all;
    }

    /// A node of a section has no name of its own.
    pub fn lose_section(&mut self, section: &str) {
        self.sections.insert(section.to_owned());
    }

    /// A node of this name stands in a section that does not exist.
    pub fn lose_name(&mut self, name: &str) {
        self.names.insert(name.to_owned());
    }

    /// The header of a table could not be read.
    pub fn lose_all(&mut self) {
        self.all = true;
    }

    /// Whether a node may be there, although it is not found.
    pub fn may_hide(&self, section: &str, name: &str) -> bool {
        self.all || self.sections.contains(section) || self.names.contains(name)
    }

    /// Whether a section may have more nodes than were found.
    pub fn may_hide_any(&self, section: &str) -> bool {
        self.all || self.sections.contains(section) || !self.names.is_empty()
    }

    /// Whether an error at this place may be due to another one.
    pub fn is_broken(&self, place: usize) -> bool {
        let last = self.broken.range(..=place).next_back();
        last.is_some_and(|(_, end)| place < *end)
    }
}
