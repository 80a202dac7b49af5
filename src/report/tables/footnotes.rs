//! Footnotes of a table, and what stands in cells that have no value.

use std::collections::BTreeMap;

use crate::report::markdown;

/// The most characters of a reason that stands in a cell.
const LONGEST: usize = 32;

/// Footnotes of one table: equal reasons share one mark.
#[derive(Debug, Default)]
pub(super) struct Footnotes {
    marks: BTreeMap<String, usize>,
    reasons: Vec<String>,
}

impl Footnotes {
    /// The mark of a reason, as it stands in a cell.
    pub(super) fn mark(&mut self, reason: &str) -> String {
        let number = *self.marks.entry(reason.to_owned()).or_insert_with(|| {
            self.reasons.push(reason.to_owned());
            self.reasons.len()
        });
        format!("<sup>{number}</sup>")
    }

    /// A cell that has no value: why, in a few words. A reason with a colon has its details behind it, and these go into a footnote, as does
    /// a reason that is too long for a cell.
    pub(super) fn absent(&mut self, reason: &str) -> String {
        let short = reason.split(": ").next().unwrap_or(reason);
        let short = if short.chars().count() > LONGEST {
            "no value"
        } else {
            short
        };
        if short == reason {
            markdown::escape(reason)
        } else {
            format!("{}{}", markdown::escape(short), self.mark(reason))
        }
    }

    /// The reasons, with their marks.
    pub(super) fn lines(&self) -> Vec<String> {
        let line = |(index, reason): (usize, &String)| {
            format!("<sup>{}</sup> {}.", index + 1, markdown::escape(reason))
        };
        self.reasons.iter().enumerate().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_has_the_reason_and_the_footnote_its_details() {
        let mut footnotes = Footnotes::default();
        assert_eq!(footnotes.absent("not trained yet"), "not trained yet");
        assert_eq!(
            footnotes.absent("failed: the loss of step 3 is NaN"),
            "failed<sup>1</sup>"
        );
        let long = "there is one run only, and nothing to compare images with";
        assert_eq!(footnotes.absent(long), "no value<sup>2</sup>");
        assert_eq!(footnotes.lines().len(), 2);
    }

    #[test]
    fn equal_reasons_share_a_mark() {
        let mut footnotes = Footnotes::default();
        assert_eq!(footnotes.mark("not run"), "<sup>1</sup>");
        assert_eq!(footnotes.mark("a|b"), "<sup>2</sup>");
        assert_eq!(footnotes.mark("not run"), "<sup>1</sup>");
        assert_eq!(
            footnotes.lines(),
            ["<sup>1</sup> not run.", "<sup>2</sup> a\\|b."]
        );
    }
}
