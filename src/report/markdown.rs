//! Text from outside on its way into Markdown.
//!
//! A dataset may be called `a|b` or `<script>`; whoever made it decides, not the report. Everything here gives text that shows
//! the same characters and cannot end a table cell, open a tag or start emphasis.

use std::fmt::Write as _;

use crate::visible::{as_words, visible};

/// What parts a text without a trace for the reader, so that GitHub sees neither an address nor a name in it.
const PART: &str = "<span></span>";

/// Text as one line of Markdown that is shown literally; safe within a table cell, a heading and a paragraph.
pub fn escape(text: &str) -> String {
    let words = as_words(text);
    let mut escaped = String::with_capacity(words.len());
    let mut previous = ' ';
    for (place, character) in words.char_indices() {
        let rest = &words[place + character.len_utf8()..];
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // GitHub takes a pair of dollar signs for mathematics, whatever is escaped in between.
            '$' => escaped.push_str("&#36;"),
            '\\' | '`' | '*' | '[' | ']' | '|' | '~' => {
                escaped.push('\\');
                escaped.push(character);
            }
            // An underscore within a word starts no emphasis, and names are full of them.
            '_' if previous.is_alphanumeric()
                && rest.chars().next().is_some_and(char::is_alphanumeric) =>
            {
                escaped.push('_');
            }
            '_' => escaped.push_str("\\_"),
            character => {
                escaped.push(character);
                if begins_link(&words[..place], character, rest) {
                    escaped.push_str(PART);
                }
            }
        }
        previous = character;
    }
    escaped
}

/// Text as it stands within an element of HTML that is written on a line of its own, such as `<summary>`: no Markdown is read there.
pub fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in as_words(text).chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            character => escaped.push(character),
        }
    }
    escaped
}

/// Whether GitHub would make a link of what is around a character: an address (`https://…`, `www.…`, `mail@host`), a mention (`@name`), an
/// issue (`#1`, `GH-1`).
fn begins_link(before: &str, character: char, rest: &str) -> bool {
    let ends_with = |word: &str| {
        let at = before.len().checked_sub(word.len());
        let parts = at.and_then(|at| before.split_at_checked(at));
        parts.is_some_and(|(front, end)| {
            end.eq_ignore_ascii_case(word) && !front.ends_with(char::is_alphanumeric)
        })
    };
    let next = rest.chars().next();
    match character {
        ':' => rest.starts_with("//"),
        '@' => next.is_some_and(char::is_alphanumeric),
        '#' => next.is_some_and(|next| next.is_ascii_digit()),
        '.' => ends_with("www"),
        '-' => ends_with("gh") && next.is_some_and(|next| next.is_ascii_digit()),
        _ => false,
    }
}

/// Text as inline code, safe within a table cell.
///
/// Within backticks a pipe still ends a cell and an entity is shown as it is typed, so that anything beyond plain names
/// becomes a `<code>` element with entities.
pub fn code(text: &str) -> String {
    let plain = |character: char| character.is_alphanumeric() || " ._-/:=,+()%".contains(character);
    if !text.is_empty() && text.trim() == text && text.chars().all(plain) {
        return format!("`{text}`");
    }
    let mut escaped = String::from("<code>");
    for character in as_words(text).chars() {
        if character.is_ascii_punctuation() {
            // Writing to a String does not fail.
            let _ = write!(escaped, "&#{};", u32::from(character));
        } else {
            escaped.push(character);
        }
    }
    escaped.push_str("</code>");
    escaped
}

/// Plain words with names in backticks: the names as inline code, the words escaped.
pub fn prose(text: &str) -> String {
    let parts = text.split('`').enumerate();
    let closed = text.matches('`').count().is_multiple_of(2);
    if !closed {
        return escape(text);
    }
    parts
        .map(|(number, part)| match number % 2 {
            0 => escape(part),
            _ => code(part),
        })
        .collect()
}

/// Text as a fenced block; the fence is longer than any run of backticks within.
pub fn fenced(text: &str, language: &str) -> String {
    let longest = text
        .split(|character| character != '`')
        .map(str::len)
        .max()
        .unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}{language}\n{}\n{fence}", visible(text.trim_end()))
}

/// A table whose cells are Markdown already: a heading per column, columns with numbers to the right.
pub fn table(heads: &[String], numeric: &[bool], rows: &[Vec<String>]) -> String {
    let mut text = format!("| {} |\n|", heads.join(" | "));
    for (index, _) in heads.iter().enumerate() {
        let right = numeric.get(index).copied().unwrap_or(false);
        text.push_str(if right { " ---: |" } else { " :--- |" });
    }
    text.push('\n');
    for row in rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_stay_text() {
        assert_eq!(escape("a|b"), "a\\|b");
        assert_eq!(
            escape("<script>alert(1)</script>"),
            "&lt;script&gt;alert(1)&lt;/script&gt;"
        );
        assert_eq!(
            html("<b>a_b*</b>\r\n`&`"),
            "&lt;b&gt;a_b*&lt;/b&gt; `&amp;`"
        );
        assert_eq!(escape("two\r\nlines"), "two lines");
        assert_eq!(escape("`*[x](y)~"), "\\`\\*\\[x\\](y)\\~");
        assert_eq!(escape("&lt;"), "&amp;lt;");
        assert_eq!(escape("$x$"), "&#36;x&#36;");
    }

    #[test]
    fn what_is_hidden_is_shown() {
        assert_eq!(escape("a\u{202e}b\u{1b}[2J"), "a\\\\u{202e}b\\\\u{1b}\\[2J");
        assert_eq!(code("a\u{202e}b"), "<code>a&#92;u&#123;202e&#125;b</code>");
        assert_eq!(fenced("a\u{1b}\nb", ""), "```\na\\u{1b}\nb\n```");
    }

    #[test]
    fn nothing_becomes_a_link() {
        assert_eq!(escape("https://a.b"), "https:<span></span>//a.b");
        assert_eq!(
            escape("@octocat, a@b.c"),
            "@<span></span>octocat, a@<span></span>b.c"
        );
        assert_eq!(
            escape("o/r#12 and GH-3"),
            "o/r#<span></span>12 and GH-<span></span>3"
        );
        assert_eq!(escape("WWW.a.b"), "WWW.<span></span>a.b");
        // What makes no link stays as it is.
        for plain in ["a: b", "a @ b", "C# and #a", "high-3", "www a.b", "é-1"] {
            assert_eq!(escape(plain), plain);
        }
    }

    #[test]
    fn names_stay_readable() {
        assert_eq!(escape("learning_rate"), "learning_rate");
        assert_eq!(escape("_init_"), "\\_init\\_");
    }

    #[test]
    fn code_holds_what_backticks_cannot() {
        assert_eq!(code("adm-256/uncond"), "`adm-256/uncond`");
        assert_eq!(code("a|b`c\nd"), "<code>a&#124;b&#96;c d</code>");
        assert_eq!(code(""), "<code></code>");
    }

    #[test]
    fn prose_shows_names_as_code() {
        assert_eq!(
            prose("4 samples of `a|b`, <fast>"),
            "4 samples of <code>a&#124;b</code>, &lt;fast&gt;"
        );
        assert_eq!(prose("a ` b"), "a \\` b");
    }

    #[test]
    fn fences_outgrow_their_content() {
        assert_eq!(fenced("a", "sh"), "```sh\na\n```");
        assert_eq!(fenced("````", ""), "`````\n````\n`````");
    }

    #[test]
    fn tables_align_numbers_to_the_right() {
        let text = table(
            &["a".to_owned(), "b".to_owned()],
            &[false, true],
            &[vec!["x".to_owned(), "1".to_owned()]],
        );
        assert_eq!(text, "| a | b |\n| :--- | ---: |\n| x | 1 |\n");
    }
}
