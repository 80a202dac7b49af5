//! Text from outside, shown so that one sees what is there: names of files and classes, titles, lines of experiment files, names of
//! tensors, headers of servers.
//!
//! A terminal obeys control characters, and both terminals and browsers obey characters that turn the direction of writing around or
//! show nothing at all. Those are written as escapes, such as `\u{1b}`, so that a name neither moves the cursor nor reads as another.
//! What joins letters of a script (U+200C, U+200D) and what picks a glyph stays.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a character is obeyed, or hides, instead of being shown.
pub fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}'
                | '\u{200b}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// Text for a terminal: line ends and tabs stay, everything else that is hidden is escaped.
pub fn visible(text: &str) -> Cow<'_, str> {
    let stays = |character, next| {
        matches!(character, '\n' | '\t') || (character == '\r' && next == Some('\n'))
    };
    escaped(text, &stays, &|out, character| {
        out.extend(character.escape_default());
    })
}

/// The same on one line.
pub fn on_one_line(text: &str) -> Cow<'_, str> {
    escaped(text, &|_, _| false, &|out, character| {
        out.extend(character.escape_default());
    })
}

/// The same for a text that is read as words, as in a report: line ends and tabs become spaces.
pub fn as_words(text: &str) -> Cow<'_, str> {
    escaped(text, &|_, _| false, &|out, character| match character {
        '\n' | '\r' | '\t' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
            if !out.ends_with(' ') {
                out.push(' ');
            }
        }
        other => out.extend(other.escape_default()),
    })
}

/// The same for JSON, where hidden characters only stand in strings: the value stays the same.
pub fn in_json(text: &str) -> Cow<'_, str> {
    let stays = |character, _| matches!(character, '\n' | '\t' | '\r');
    escaped(text, &stays, &|out, character| {
        for unit in character.encode_utf16(&mut [0; 2]) {
            // Writing to a String does not fail.
            let _ = write!(out, "\\u{unit:04x}");
        }
    })
}

/// A text from a file for a message: cut to a length, without characters that a terminal obeys.
pub fn shown(text: &str) -> String {
    const LONGEST: usize = 80;
    let beginning: String = text.chars().take(LONGEST).collect();
    let mut shown = on_one_line(&beginning).into_owned();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

fn escaped<'t>(
    text: &'t str,
    stays: &dyn Fn(char, Option<char>) -> bool,
    escape: &dyn Fn(&mut String, char),
) -> Cow<'t, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if !is_hidden(character) || stays(character, characters.peek().copied()) {
            out.push(character);
        } else {
            escape(&mut out, character);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\u{1b}[2Jb\u{202e}c\u{2066}d\u{200f}e\u{7f}f\rg\nh\ti\u{9b}";

    #[test]
    fn what_is_obeyed_is_escaped_and_what_is_read_stays() {
        assert_eq!(
            visible(HOSTILE),
            "a\\u{1b}[2Jb\\u{202e}c\\u{2066}d\\u{200f}e\\u{7f}f\\rg\nh\ti\\u{9b}"
        );
        assert_eq!(on_one_line("a\nb\tc"), "a\\nb\\tc");
        assert_eq!(as_words("two\r\nlines\u{1b}"), "two lines\\u{1b}");
        assert_eq!(visible("dos\r\nlines\r\n"), "dos\r\nlines\r\n");
        for plain in ["naïve 中文 – 95 %", "می\u{200c}خواهم", "👩\u{200d}🔬"] {
            assert!(matches!(visible(plain), Cow::Borrowed(_)), "{plain}");
        }
    }

    #[test]
    fn texts_from_a_file_are_short_and_harmless() {
        assert_eq!(shown("input_blocks.0.wéight"), "input_blocks.0.wéight");
        assert_eq!(shown("a\u{1b}[2Jb\u{202e}c\n"), "a\\u{1b}[2Jb\\u{202e}c\\n");
        assert_eq!(shown(&"x".repeat(81)), "x".repeat(80) + "…");
    }

    #[test]
    fn json_means_the_same() {
        let hostile = format!("{HOSTILE}\u{e0041}");
        let text = serde_json::to_string_pretty(&[&hostile]).unwrap();
        let shown = in_json(&text);
        assert!(
            !shown
                .chars()
                .any(|character| is_hidden(character) && character != '\n')
        );
        let back: Vec<String> = serde_json::from_str(&shown).unwrap();
        assert_eq!(back, [hostile]);
    }
}
