//! Footnotes of a table.

use std::collections::BTreeMap;

use crate::report::markdown;

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
