//! How wide text is, and text that fits.

use std::collections::BTreeSet;

use super::canvas::rounded;
use crate::visible::as_words;

/// About how wide a text is, in CSS pixels. No font is at hand, so that this errs on the wide side.
pub fn width_of(text: &str, size: f64) -> i32 {
    let ems: f64 = text
        .chars()
        .map(|character| match character {
            'i' | 'j' | 'l' | 't' | 'f' | 'r' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | ' '
            | '-' | '(' | ')' => 0.36,
            'm' | 'w' | 'M' | 'W' | '%' | '±' => 0.9,
            character if character.is_uppercase() => 0.70,
            character if character.is_ascii() => 0.58,
            _ => 1.0,
        })
        .sum();
    rounded(ems * size)
}

/// A text that fits into some pixels: its middle gives way to an ellipsis.
pub fn shortened(text: &str, size: f64, room: i32) -> String {
    let characters: Vec<char> = as_words(text).chars().collect();
    let mut kept = characters.len();
    loop {
        let shown: String = if kept == characters.len() {
            characters.iter().collect()
        } else {
            let (head, tail) = (kept.div_ceil(2), kept / 2);
            let ends = characters.iter().take(head).chain(std::iter::once(&'…'));
            ends.chain(characters.iter().skip(characters.len() - tail))
                .collect()
        };
        if width_of(&shown, size) <= room || kept == 0 {
            return shown;
        }
        kept -= 1;
    }
}

/// Names that fit into some pixels each. Where plain shortening would make two of them equal, what all of them share at
/// their ends gives way instead, as much of it as has to.
pub fn told_apart(names: &[&str], size: f64, room: i32) -> Vec<String> {
    let plain: Vec<String> = names
        .iter()
        .map(|name| shortened(name, size, room))
        .collect();
    let distinct = |names: &[String]| names.iter().collect::<BTreeSet<_>>().len();
    let whole: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    if distinct(&plain) == distinct(&whole) {
        return plain;
    }
    let letters = |name: &&str| name.chars().collect::<Vec<char>>();
    let mut head = shared(names.iter().map(letters));
    let mut tail = shared(names.iter().map(|name| {
        name.chars()
            .skip(head)
            .collect::<Vec<char>>()
            .into_iter()
            .rev()
            .collect()
    }));
    let cut = |head: usize, tail: usize| -> Vec<String> {
        let cut = |name: &&str| {
            let length = name.chars().count().saturating_sub(tail);
            let kept: String = name.chars().take(length).skip(head).collect();
            let (before, after) = (
                if head > 0 { "…" } else { "" },
                if tail > 0 { "…" } else { "" },
            );
            format!("{before}{kept}{after}")
        };
        names.iter().map(cut).collect()
    };
    let fits = |names: &[String]| names.iter().all(|name| width_of(name, size) <= room);
    while head > 0 && fits(&cut(head - 1, tail)) {
        head -= 1;
    }
    while tail > 0 && fits(&cut(head, tail - 1)) {
        tail -= 1;
    }
    cut(head, tail)
        .iter()
        .map(|name| shortened(name, size, room))
        .collect()
}

/// How many characters all texts begin with alike.
fn shared(mut texts: impl Iterator<Item = Vec<char>>) -> usize {
    let first = texts.next().unwrap_or_default();
    let alike = |text: Vec<char>| {
        first
            .iter()
            .zip(&text)
            .take_while(|(left, right)| left == right)
            .count()
    };
    texts.map(alike).min().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_loses_its_middle() {
        assert_eq!(shortened("short", 12.0, 200), "short");
        let cut = shortened("guided-diffusion-adm-256-unconditional", 12.0, 120);
        assert!(
            cut.starts_with("guided") && cut.ends_with("onal") && cut.contains('…'),
            "{cut}"
        );
        assert!(width_of(&cut, 12.0) <= 120);
    }

    #[test]
    fn names_that_differ_in_their_middle_still_differ_when_shortened() {
        let names = [
            "a model with number 1 of its kind",
            "a model with number 23 of its kind",
        ];
        assert_eq!(
            told_apart(&names, 12.0, 90),
            ["… number 1…", "… number 23…"]
        );
        assert_eq!(told_apart(&["gd", "tiny"], 12.0, 90), ["gd", "tiny"]);
    }
}
