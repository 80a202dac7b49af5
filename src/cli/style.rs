//! What a stream that people read can show: how many columns, colors, and which characters.
//!
//! Only a terminal is adapted to. What goes into a file or a pipe is the same whatever the locale is and however wide a terminal is.

use std::borrow::Cow;
use std::io::IsTerminal;

use unicode_width::UnicodeWidthStr;

/// Columns where a terminal does not say.
const USUAL_WIDTH: usize = 80;
/// Narrower terminals are taken for this wide: text in fewer columns cannot be read.
const LEAST_WIDTH: usize = 40;

/// A stream of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    /// stdout.
    Out,
    /// stderr.
    Err,
}

/// What a stream can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Style {
    /// Columns; `None` for a stream that is not a terminal, into which nothing is fitted.
    pub(super) width: Option<usize>,
    /// Whether text may carry colors.
    pub(super) color: bool,
    /// Whether only ASCII is shown of what is drawn: bars, frames, arrows, marks.
    pub(super) ascii: bool,
    /// Whether the cursor can be moved, as bars do.
    pub(super) moves: bool,
}

impl Style {
    /// That of a stream now.
    pub(super) fn of(stream: Stream) -> Self {
        let (is_terminal, descriptor) = match stream {
            Stream::Out => (std::io::stdout().is_terminal(), libc::STDOUT_FILENO),
            Stream::Err => (std::io::stderr().is_terminal(), libc::STDERR_FILENO),
        };
        if !is_terminal {
            return Self::default();
        }
        let environment = |name: &str| {
            let value = std::env::var_os(name).unwrap_or_default();
            value.to_string_lossy().into_owned()
        };
        let columns = size(descriptor).map(|(columns, _)| columns);
        Self::of_terminal(columns, &environment)
    }

    /// That of a terminal of so many columns in an environment.
    fn of_terminal(columns: Option<usize>, environment: &dyn Fn(&str) -> String) -> Self {
        let is_dumb = environment("TERM") == "dumb";
        let ascii = is_dumb || !is_utf8(environment);
        let asked = environment("COLUMNS").parse().ok();
        Self {
            width: Some(columns.or(asked).unwrap_or(USUAL_WIDTH).max(LEAST_WIDTH)),
            color: !ascii && environment("NO_COLOR").is_empty(),
            ascii,
            moves: !is_dumb,
        }
    }

    /// Text as the stream shows it: lines folded at its width, and in ASCII where it is to be.
    pub(super) fn shown<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(text);
        if self.ascii && !text.is_ascii() {
            text = Cow::Owned(in_ascii(&text));
        }
        match self.width {
            Some(width) if text.lines().any(|line| line.width() > width) => {
                Cow::Owned(folded(&text, width))
            }
            _ => text,
        }
    }

    /// A message with its label, `error` or `warning`, and those of its hints in color.
    pub(super) fn labeled<'t>(&self, text: &'t str) -> Cow<'t, str> {
        const LABELS: [(&str, &str); 2] = [("error", "\x1b[1;31m"), ("warning", "\x1b[1;33m")];
        if !self.color {
            return Cow::Borrowed(text);
        }
        let mut labeled = String::with_capacity(text.len() + 32);
        for (number, line) in text.split_inclusive('\n').enumerate() {
            let found = LABELS.iter().find_map(|(label, color)| {
                let behind = line.strip_prefix(label).filter(|_| number == 0)?;
                let end = match behind.strip_prefix('[') {
                    Some(_) => behind.find("]:")? + 1,
                    None if behind.starts_with(':') => 0,
                    None => return None,
                };
                Some((label.len() + end, *color))
            });
            match (found, line.strip_prefix("  hint: ")) {
                (Some((end, color)), _) => {
                    labeled.extend([color, &line[..end], "\x1b[0m", &line[end..]]);
                }
                (None, Some(hint)) => labeled.extend(["  \x1b[36mhint:\x1b[0m ", hint]),
                (None, None) => labeled.push_str(line),
            }
        }
        Cow::Owned(labeled)
    }
}

/// Whether the locale's characters are UTF-8. Where no locale is set at all, as in containers, terminals nearly always show it.
fn is_utf8(environment: &dyn Fn(&str) -> String) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .map(environment)
        .find(|value| !value.is_empty());
    locale.is_none_or(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

/// The columns and rows of stderr's terminal; 80 and 24 where it does not say.
pub(super) fn size_of_stderr() -> (usize, usize) {
    size(libc::STDERR_FILENO).unwrap_or((USUAL_WIDTH, 24))
}

/// The columns and rows of a terminal; `None` where it does not say.
fn size(descriptor: libc::c_int) -> Option<(usize, usize)> {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    #[expect(unsafe_code, reason = "only the C library can ask a terminal")]
    // SAFETY: the pointer is to a value of the type that the request fills.
    let asked = unsafe { libc::ioctl(descriptor, libc::TIOCGWINSZ, &raw mut size) };
    let is_known = asked == 0 && size.ws_col > 0 && size.ws_row > 0;
    is_known.then(|| (usize::from(size.ws_col), usize::from(size.ws_row)))
}

/// Text with what this program draws in ASCII. Other characters are from outside, such as names, and stay.
pub(super) fn in_ascii(text: &str) -> String {
    let mut ascii = String::with_capacity(text.len());
    for character in text.chars() {
        let drawn = match character {
            '─' | '━' | '╌' | '┄' | '–' | '—' | '−' => "-",
            '│' | '┃' | '┆' | '╎' | '┊' => "|",
            '╭' | '┌' | '╔' => ",",
            '╰' | '└' | '╚' => "`",
            '┬' | '┴' | '┼' | '├' | '┤' | '╞' | '╪' | '╡' | '┐' | '┘' | '╮' | '╯' | '✓' | '✔' => {
                "+"
            }
            '←' => "<-",
            '→' => "->",
            '▶' | '▸' => ">",
            '×' | '✗' | '✘' => "x",
            '…' => "...",
            '⚠' => "!",
            '•' => "*",
            '·' => ".",
            '≥' => ">=",
            '≤' => "<=",
            '±' => "+-",
            '█' | '▉' | '▊' | '▋' | '▌' | '▍' | '▎' | '▏' => "#",
            'é' => "e",
            '²' => "^2",
            '⁹' => "^9",
            '“' | '”' => "\"",
            '‘' | '’' => "'",
            other => {
                ascii.push(other);
                continue;
            }
        };
        ascii.push_str(drawn);
    }
    ascii
}

/// Text with its long lines folded between words; what continues in the next line is indented.
pub(super) fn folded(text: &str, width: usize) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for line in text.split_inclusive('\n') {
        let (line, end) = match line.strip_suffix('\n') {
            Some(line) => (line, "\n"),
            None => (line, ""),
        };
        fold_line(&mut out, line, width);
        out.push_str(end);
    }
    out
}

fn fold_line(out: &mut String, line: &str, width: usize) {
    // A row of a table is as wide as it was made.
    if line.width() <= width || line.starts_with('|') {
        out.push_str(line);
        return;
    }
    let indent = line.len() - line.trim_start().len();
    let next = (indent + 4).min(width / 2);
    let mut used = 0;
    let mut rest = line;
    while !rest.is_empty() {
        let blank = rest.len() - rest.trim_start().len();
        let end = rest[blank..]
            .find(char::is_whitespace)
            .map_or(rest.len(), |end| blank + end);
        let (gap, word) = rest[..end].split_at(blank);
        rest = &rest[end..];
        if used > indent && used + gap.width() + word.width() > width && !word.is_empty() {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', next));
            used = next;
        } else {
            out.push_str(gap);
            used += gap.width();
        }
        out.push_str(word);
        used += word.width();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terminal(variables: &[(&str, &str)]) -> Style {
        Style::of_terminal(Some(80), &|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map_or_else(String::new, |(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_environment_says_what_a_terminal_shows() {
        let whole = terminal(&[("TERM", "xterm"), ("LANG", "en_US.UTF-8")]);
        assert!(whole.color && !whole.ascii && whole.moves && whole.width == Some(80));
        assert_eq!(terminal(&[("TERM", "xterm")]), whole);
        assert_eq!(terminal(&[("LANG", "C.utf8"), ("LC_ALL", "")]), whole);
        let plain = terminal(&[("LANG", "en_US.UTF-8"), ("LC_ALL", "C")]);
        assert!(!plain.color && plain.ascii && plain.moves);
        assert!(terminal(&[("LC_CTYPE", "de_DE.ISO-8859-1")]).ascii);
        let dumb = terminal(&[("TERM", "dumb"), ("LANG", "en_US.UTF-8")]);
        assert!(!dumb.color && dumb.ascii && !dumb.moves);
        let colorless = terminal(&[("NO_COLOR", "1")]);
        assert!(!colorless.color && !colorless.ascii);
        let unsized_one = Style::of_terminal(None, &|_| String::new());
        assert_eq!(unsized_one.width, Some(80));
    }

    #[test]
    fn lines_are_folded_between_words() {
        let text = "  a line of several words  that is long\nshort\n| a row of a table that is as wide as it is |\n";
        assert_eq!(
            folded(text, 20),
            "  a line of several\n      words  that is\n      long\nshort\n| a row of a table that is as wide as it is |\n"
        );
        let word = "averyveryverylongword stays";
        assert_eq!(folded(word, 10), "averyveryverylongword\n    stays");
        let plain = Style::default();
        assert!(matches!(plain.shown("x → y, and so on"), Cow::Borrowed(_)));
    }

    #[test]
    fn what_is_drawn_has_a_form_in_ascii_and_names_stay() {
        assert_eq!(
            in_ascii("a ← b … ✓ × 1–3 naïve"),
            "a <- b ... + x 1-3 naïve"
        );
    }

    #[test]
    fn labels_have_colors_where_there_are_any() {
        let style = Style {
            color: true,
            ..Style::default()
        };
        assert_eq!(
            style.labeled("error: no room\n  hint: free some\n"),
            "\x1b[1;31merror\x1b[0m: no room\n  \x1b[36mhint:\x1b[0m free some\n"
        );
        assert_eq!(
            style.labeled("warning[data::left-out]: x: y\n"),
            "\x1b[1;33mwarning[data::left-out]\x1b[0m: x: y\n"
        );
        assert_eq!(style.labeled("errors are rare: x"), "errors are rare: x");
        assert_eq!(Style::default().labeled("error: x"), "error: x");
    }
}
