//! The HTML within Markdown that passes: tags that reports use, without attributes but `id` and `open`. All else is text.

/// The tags that pass.
const PASSED: [&str; 6] = ["a", "br", "details", "sub", "summary", "sup"];

/// HTML of which the tags in [`PASSED`] are left, comments are removed, and everything else is escaped.
pub(super) fn passed(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(at) = rest.find(['<', '>', '&', '"']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let taken = if rest.starts_with("<!--") {
            // A comment without an end hides what is behind it, as in every browser.
            rest.find("-->").map_or(rest.len(), |end| end + 3)
        } else if let Some((tag, length)) = tag(rest) {
            out.push_str(&tag);
            length
        } else if let Some(length) = entity(rest) {
            out.push_str(&rest[..length]);
            length
        } else {
            out.push_str(match rest.as_bytes().first() {
                Some(b'<') => "&lt;",
                Some(b'>') => "&gt;",
                Some(b'"') => "&quot;",
                _ => "&amp;",
            });
            1
        };
        rest = &rest[taken..];
    }
    out.push_str(rest);
    out
}

/// The tag that a text begins with, written out again, and its length; `None` where it is not one that passes.
fn tag(text: &str) -> Option<(String, usize)> {
    let end = text.find('>')?;
    let inner = text[..end].strip_prefix('<')?;
    let (slash, inner) = match inner.strip_prefix('/') {
        Some(inner) => ("/", inner),
        None => ("", inner),
    };
    let inner = inner.strip_suffix('/').unwrap_or(inner).trim_end();
    let (name, attributes) = inner.split_once(char::is_whitespace).unwrap_or((inner, ""));
    let name = name.to_ascii_lowercase();
    if !PASSED.contains(&name.as_str()) {
        return None;
    }
    let attributes = match (slash, attributes.trim()) {
        (_, "") => String::new(),
        ("", "open") if name == "details" => " open".to_owned(),
        ("", attribute) if name == "a" => {
            let id = attribute.strip_prefix("id=\"")?.strip_suffix('"')?;
            let is_plain =
                |character: char| character.is_ascii_alphanumeric() || "-_.:".contains(character);
            if !id.chars().all(is_plain) {
                return None;
            }
            format!(" id=\"{id}\"")
        }
        _ => return None,
    };
    Some((format!("<{slash}{name}{attributes}>"), end + 1))
}

/// The length of the character reference that a text begins with, such as `&lt;`.
fn entity(text: &str) -> Option<usize> {
    let name = text.strip_prefix('&')?;
    let end = name.find(';').filter(|end| (1..32).contains(end))?;
    let name = &name[..end];
    let number = name.strip_prefix('#').unwrap_or(name);
    let is_plain = !number.is_empty() && number.chars().all(|one| one.is_ascii_alphanumeric());
    is_plain.then_some(end + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_tags_pass_and_everything_else_is_text() {
        for (html, expected) in [
            (
                "<details>\n<summary>More</summary>",
                "<details>\n<summary>More</summary>",
            ),
            ("<DETAILS open>x</details>", "<details open>x</details>"),
            ("a<br>b<br/>c<br />", "a<br>b<br>c<br>"),
            ("<a id=\"r-12\"></a>", "<a id=\"r-12\"></a>"),
            ("a<!-- hidden <script> -->b<!-- open", "ab"),
            ("3 &lt; 4 &amp; &#60; & x", "3 &lt; 4 &amp; &#60; &amp; x"),
            ("<script>x</script>", "&lt;script&gt;x&lt;/script&gt;"),
            (
                "<details ontoggle=alert(1) open>",
                "&lt;details ontoggle=alert(1) open&gt;",
            ),
            ("<details open onclick=x>", "&lt;details open onclick=x&gt;"),
            (
                "<a href=\"javascript:x\">",
                "&lt;a href=&quot;javascript:x&quot;&gt;",
            ),
            (
                "<a id=\"x\" onclick=\"y\">",
                "&lt;a id=&quot;x&quot; onclick=&quot;y&quot;&gt;",
            ),
            ("<br <script>", "&lt;br &lt;script&gt;"),
            ("<b", "&lt;b"),
            ("<", "&lt;"),
        ] {
            assert_eq!(passed(html), expected, "{html}");
        }
    }
}
