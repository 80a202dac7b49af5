//! Addresses: paths and queries with their escapes.

use std::fmt::Write as _;

/// The path of a request's target, decoded, and the names and values behind its `?`.
pub(super) type Target = (String, Vec<(String, String)>);

/// Takes a request's target apart; `None` for one that is not a path from the root, or whose escapes are broken or no text.
pub(super) fn parse(target: &str) -> Option<Target> {
    if !target.starts_with('/') {
        return None;
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let words = |text: &str| decoded(&text.replace('+', " "));
        Some((words(name)?, words(value)?))
    });
    Some((decoded(path)?, pairs.collect::<Option<_>>()?))
}

/// A text without its escapes; `None` where one is broken, or the bytes are no text.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let value = digit()? * 16 + digit()?;
        bytes.push(u8::try_from(value).ok()?);
    }
    String::from_utf8(bytes).ok()
}

/// A text as a part of an address. Slashes stay, so that a path keeps its parts.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded_again() {
        for text in ["a/b c.md", "100 % é 中", "<script>", "a+b&c=d?e#f"] {
            assert_eq!(decoded(&encoded(text)).as_deref(), Some(text));
            let (path, query) = parse(&format!("/{}?x={0}", encoded(text))).unwrap();
            assert_eq!(path, format!("/{text}"));
            assert_eq!(query, [("x".to_owned(), text.to_owned())]);
        }
    }

    #[test]
    fn broken_targets_are_refused() {
        for target in ["", "x", "*", "/%", "/%2", "/%xy", "/%ff", "/?a=%"] {
            assert_eq!(parse(target), None, "{target}");
        }
        assert_eq!(
            parse("/?a=b+c&&d").unwrap().1,
            [
                ("a".to_owned(), "b c".to_owned()),
                ("d".to_owned(), String::new())
            ]
        );
    }
}
