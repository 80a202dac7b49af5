//! Saying once what holds of several values of one list.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::source::Span;
use crate::text;

/// So many other values are named of which an error holds as well.
const MOST_OTHERS: usize = 10;
/// The most characters that are shown of each.
const LONGEST_VALUE: usize = 40;

impl Diagnostics {
    /// Says once what is the same of several values of one list, such as three blocks that a network does not have, and what is
    /// the same at one place, such as a pool that is too large for each of several blocks.
    #[must_use]
    pub fn folded(mut self) -> Self {
        let sorted: Vec<Diagnostic> = self.sorted().into_iter().cloned().collect();
        let mut kept: Vec<(Diagnostic, Vec<String>)> = Vec::new();
        // What is alike by its words, with its number and the place of the last value.
        let mut alike: HashMap<(&'static str, String, Option<String>), (usize, Span)> =
            HashMap::new();
        let mut here: HashSet<(&'static str, String, Option<String>, Span)> = HashSet::new();
        for item in sorted {
            // At one place, messages that differ in numbers alone are about one value.
            let without_numbers = item
                .message
                .replace(|letter: char| letter.is_ascii_digit(), "");
            if !here.insert((item.code, without_numbers, item.hint.clone(), item.span)) {
                continue;
            }
            let value = self.source.slice(item.span);
            let words = match value {
                "" => item.message.clone(),
                value => item.message.replacen(value, "", 1),
            };
            let key = (item.code, words, item.hint.clone());
            let last = alike.get(&key).copied();
            let number = match last {
                Some((number, last)) if self.are_in_one_list(last, item.span) => {
                    kept[number]
                        .1
                        .push(format!("`{}`", text::shortened(value, LONGEST_VALUE)));
                    number
                }
                _ => {
                    kept.push((item.clone(), Vec::new()));
                    kept.len() - 1
                }
            };
            alike.insert(key, (number, item.span));
        }
        self.items = kept.into_iter().map(with_others).collect();
        self
    }

    /// Whether two places are those of values of one list: between them is nothing but other values.
    fn are_in_one_list(&self, first: Span, second: Span) -> bool {
        let between = self.source.text.get(first.end..second.start);
        between.is_some_and(|text| !text.contains(['=', '[', '{']))
    }
}

/// An error that names other values of which it holds as well.
fn with_others((mut item, others): (Diagnostic, Vec<String>)) -> Diagnostic {
    if !others.is_empty() {
        let shown = others[..others.len().min(MOST_OTHERS)].join(", ");
        let more = match others.len().saturating_sub(MOST_OTHERS) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let _ = write!(item.message, "; the same holds for {shown}{more}");
    }
    item
}
