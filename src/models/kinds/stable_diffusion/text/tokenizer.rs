//! Token ids of a text, by CLIP's pairs of bytes and with the vocabulary that was published with it.
//!
//! A text is lower-cased and taken apart into words, numbers and signs. Each is written as units, one for a byte, of which the last ends the
//! word; then the pair that comes first in the list of merges becomes one unit, until no pair is in it.
//!
//! # Reference
//! openai/CLIP@a1d071733d7111c9c014f024669f959182114e33: clip/simple_tokenizer.py; huggingface/transformers v5.23.0:
//! models/clip/tokenization_clip.py; Sennrich et al. 2016 (arXiv 1508.07909).
//!
//! # Deviations
//! - A text of more tokens than the text encoder reads is refused; the references cut it off.
//! - Characters are not composed beforehand (NFC), and what is wrongly encoded is not repaired (ftfy).
//! - A combining mark that Unicode counts as alphabetic is a letter here, and a sign in the references.
//!
//! # Parity
//! `tests/suite/golden_tokenizer.rs`: ids equal to those of transformers.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use crate::limits;
use crate::message::Message;

/// The names of the files of a folder of transformers.
const VOCABULARY: &str = "vocab.json";
const MERGES: &str = "merges.txt";
/// The token that begins a text.
const START: &str = "<|startoftext|>";
/// The token that ends a text, and pads it.
const END: &str = "<|endoftext|>";
/// What the last unit of a word ends with.
const WORD_END: &str = "</w>";
/// So many merges of the published list are used.
const PUBLISHED_MERGES: usize = 49_152 - 256 - 2;
/// English endings that are words of their own.
const ENDINGS: [&str; 7] = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"];

/// A vocabulary, and how units of it are made of others.
#[derive(Debug)]
pub struct Tokenizer {
    ids: HashMap<String, u32>,
    /// The place of each pair in the list of merges.
    ranks: HashMap<(String, String), usize>,
    start: u32,
    end: u32,
}

impl Tokenizer {
    /// Reads a folder with `vocab.json` and `merges.txt`, as transformers and diffusers have it, or the list of merges that OpenAI published
    /// (`bpe_simple_vocab_16e6.txt.gz`), from which the vocabulary follows.
    ///
    /// # Errors
    /// Files that cannot be read, are longer than [`limits::VOCABULARY`] or are something else; a vocabulary without the tokens that begin and
    /// end a text.
    pub fn open(path: &Path) -> Result<Self, Message> {
        match Self::files(path).as_slice() {
            [vocabulary, merges] => Self::from_files(&text_of(vocabulary)?, &text_of(merges)?)
                .map_err(|problem| Message::new(format!("{}: {problem}", path.display()))),
            _ => Ok(Self::from_merges(&text_of(path)?)),
        }
    }

    /// The files of a vocabulary: those of a folder, or the list of merges, whose name ends in `.gz` or `.txt`.
    pub fn files(path: &Path) -> Vec<PathBuf> {
        let is_list = path
            .extension()
            .is_some_and(|ending| ending == "gz" || ending == "txt");
        if is_list {
            vec![path.to_owned()]
        } else {
            [VOCABULARY, MERGES].map(|name| path.join(name)).into()
        }
    }

    fn from_files(vocabulary: &str, merges: &str) -> Result<Self, String> {
        let ids: HashMap<String, u32> = serde_json::from_str(vocabulary)
            .map_err(|error| format!("`{VOCABULARY}` is not a table of ids: {error}"))?;
        let token = |name: &str| {
            let id = ids.get(name).copied();
            id.ok_or_else(|| format!("`{VOCABULARY}` has no token `{name}`"))
        };
        let (start, end) = (token(START)?, token(END)?);
        Ok(Self {
            start,
            end,
            ranks: pairs(merges).zip(0..).collect(),
            ids,
        })
    }

    /// The vocabulary that OpenAI's list of merges stands for: units of one byte, the same at the end of a word, what merges make, and the two
    /// tokens around a text.
    fn from_merges(merges: &str) -> Self {
        let pairs: Vec<(String, String)> = pairs(merges).take(PUBLISHED_MERGES).collect();
        let single = units().map(String::from);
        let last = units().map(|unit| format!("{unit}{WORD_END}"));
        let merged = pairs.iter().map(|(one, other)| format!("{one}{other}"));
        let around = [START, END].map(str::to_owned);
        let all = single.chain(last).chain(merged).chain(around);
        let ids: HashMap<String, u32> = all.zip(0..).collect();
        let id = |name: &str| ids.get(name).copied().unwrap_or(0);
        Self {
            start: id(START),
            end: id(END),
            ranks: pairs.into_iter().zip(0..).collect(),
            ids,
        }
    }

    /// The ids of a text with those that begin and end it, padded with ends to `positions`.
    ///
    /// # Errors
    /// A text of too many tokens.
    pub fn encode(&self, text: &str, positions: usize) -> Result<Vec<u32>, Message> {
        let mut ids = vec![self.start];
        for word in words(&cleaned(text)) {
            match word.as_str() {
                START => ids.push(self.start),
                END => ids.push(self.end),
                word => ids.extend(self.units_of(word).iter().map(|unit| {
                    // As the references do with what the vocabulary lacks.
                    self.ids.get(unit).copied().unwrap_or(self.end)
                })),
            }
        }
        let room = positions.saturating_sub(2);
        if ids.len() - 1 > room {
            return Err(Message::new(format!(
                "the prompt has {} tokens, and the text encoder reads at most {room}",
                ids.len() - 1
            ))
            .hint("shorten it"));
        }
        ids.resize(positions, self.end);
        Ok(ids)
    }

    /// A word as units of the vocabulary.
    fn units_of(&self, word: &str) -> Vec<String> {
        let mut parts: Vec<String> = word.bytes().map(|byte| unit(byte).to_string()).collect();
        if let Some(last) = parts.last_mut() {
            last.push_str(WORD_END);
        }
        loop {
            let rank = |pair: &[String]| match pair {
                [one, other] => self.ranks.get(&(one.clone(), other.clone())).copied(),
                _ => None,
            };
            let first = parts.windows(2).filter_map(rank).min();
            let Some(first) = first else {
                return parts;
            };
            let mut merged: Vec<String> = Vec::with_capacity(parts.len());
            let mut rest = parts.as_slice();
            while let Some((one, others)) = rest.split_first() {
                if let Some((other, behind)) = others.split_first()
                    && rank(&rest[..2]) == Some(first)
                {
                    merged.push(format!("{one}{other}"));
                    rest = behind;
                } else {
                    merged.push(one.clone());
                    rest = others;
                }
            }
            parts = merged;
        }
    }
}

/// The text of a file, unpacked where its name says that it is packed.
fn text_of(path: &Path) -> Result<String, Message> {
    let failed = |error: std::io::Error| Message::new(format!("{}: {error}", path.display()));
    if path.extension().is_none_or(|ending| ending != "gz") {
        return limits::read_text(path, limits::VOCABULARY).map_err(failed);
    }
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut text = String::new();
    let most = limits::VOCABULARY;
    let unpacked = GzDecoder::new(file).take(most + 1);
    std::io::BufReader::new(unpacked)
        .read_to_string(&mut text)
        .map_err(failed)?;
    if text.len() as u64 > most {
        let most = crate::text::bytes(most);
        let problem = format!("{}: it unpacks to more than {most}", path.display());
        return Err(Message::new(problem));
    }
    Ok(text)
}

/// The pairs of a list of merges, whose first line states its version.
fn pairs(merges: &str) -> impl Iterator<Item = (String, String)> {
    let lines = merges.lines().enumerate();
    let listed = lines.filter(|(number, line)| *number > 0 || !line.contains("#version"));
    listed.filter_map(|(_, line)| {
        let (one, other) = line.split_once(' ')?;
        Some((one.to_owned(), other.to_owned()))
    })
}

/// Whether a byte is written as the character of its number: those that can be seen.
fn is_shown(byte: u8) -> bool {
    matches!(byte, 33..=126 | 161..=172 | 174..=255)
}

/// The character that a byte is written as; those that cannot be seen have characters from 256 on, in their order.
fn unit(byte: u8) -> char {
    if is_shown(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|&other| !is_shown(other)).count();
    // There are 68 such bytes, and all of these are characters.
    let number = u32::try_from(before).unwrap_or_default() + 256;
    char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The characters of all bytes in the order of the vocabulary: those of bytes that can be seen, then the others.
fn units() -> impl Iterator<Item = char> {
    let of = |shown: bool| (0..=255).filter(move |&byte| is_shown(byte) == shown);
    of(true).chain(of(false)).map(unit)
}

/// A text in lower case, with one space wherever it has white space.
fn cleaned(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    // Character by character: no letter depends on those beside it.
    words
        .join(" ")
        .chars()
        .flat_map(char::to_lowercase)
        .collect()
}

/// What kind of word a character belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Space,
    Letter,
    Number,
    Sign,
}

fn class(character: char) -> Class {
    if character.is_whitespace() {
        Class::Space
    } else if character.is_numeric() {
        Class::Number
    } else if character.is_alphabetic() {
        Class::Letter
    } else {
        Class::Sign
    }
}

/// The words of a cleaned text: the two tokens around a text, English endings, runs of letters, single numerals, and runs of signs.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let whole = [START, END].into_iter().chain(ENDINGS);
        let whole = whole.into_iter().find(|word| rest.starts_with(word));
        let length = match (whole, class(first)) {
            (Some(word), _) => word.len(),
            (None, Class::Number | Class::Space) => first.len_utf8(),
            (None, of_first) => rest
                .find(|character| class(character) != of_first)
                .unwrap_or(rest.len()),
        };
        let (word, behind) = rest.split_at(length);
        if class(first) != Class::Space {
            words.push(word.to_owned());
        }
        rest = behind;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_becomes_words_numerals_signs_and_endings() {
        let found = words(&cleaned("  It's A\tphoto,\n of 12 CATS!?'s <|endoftext|>x"));
        let expected = [
            "it",
            "'s",
            "a",
            "photo",
            ",",
            "of",
            "1",
            "2",
            "cats",
            "!?'",
            "s",
            "<|endoftext|>",
            "x",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn every_byte_is_a_character_of_its_own_and_those_that_can_be_seen_are_themselves() {
        let all: std::collections::BTreeSet<char> = units().collect();
        assert_eq!(all.len(), 256);
        assert_eq!(units().next(), Some('!'));
        assert_eq!(
            (unit(b'a'), unit(b' '), unit(0)),
            ('a', '\u{120}', '\u{100}')
        );
        assert_eq!((unit(127), unit(173)), ('\u{121}', '\u{143}'));
    }

    #[test]
    fn pairs_are_merged_in_the_order_of_the_list() {
        let tokenizer = Tokenizer::from_merges("#version: 0.2\nb c\na b\nbc d</w>\n");
        assert_eq!(tokenizer.units_of("abcd"), ["a", "bcd</w>"]);
        assert_eq!(tokenizer.units_of("abb"), ["ab", "b</w>"]);
        // 256 bytes, 256 at the end of a word, three merges.
        assert_eq!((tokenizer.start, tokenizer.end), (515, 516));
        let ids = tokenizer.encode("abcd", 5).unwrap();
        assert_eq!(ids, [515, 64, 514, 516, 516]);
        let long = tokenizer.encode("abcd abcd", 5).unwrap_err();
        assert!(long.text.contains("has 4 tokens"), "{}", long.text);
    }

    #[test]
    fn a_vocabulary_needs_the_tokens_around_a_text() {
        let error = Tokenizer::from_files("{\"a\": 0}", "").unwrap_err();
        assert!(error.contains("<|startoftext|>"), "{error}");
        let error = Tokenizer::from_files("[]", "").unwrap_err();
        assert!(error.contains("not a table of ids"), "{error}");
    }
}
