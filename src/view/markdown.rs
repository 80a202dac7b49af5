//! A report's Markdown as HTML, as GitHub shows it: tables, anchors of headings, folded parts.
//!
//! A report is text from outside, however it came into the folder. What becomes HTML is what the Markdown says by its own marks; of HTML
//! within it, few tags that reports use pass (`tags`), and all else is shown as the text that it is. Links lead to the web, within the
//! page, to files beside it and to other pages that are shown; pictures are files beside it.

use std::collections::BTreeMap;

use pulldown_cmark::{
    CodeBlockKind, CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html,
};

use super::tags::passed;
use super::url;

/// Longer queries have no link to be run by: they would not fit into an address.
const LONGEST_QUERY: usize = 6_000;
/// The most characters of a headline.
const LONGEST_HEADLINE: usize = 280;

/// A heading of a page.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(super) struct Heading {
    /// 2 or more; the title is not listed.
    pub(super) level: u8,
    /// Its anchor.
    pub(super) anchor: String,
    /// Its words, without Markdown.
    pub(super) text: String,
}

/// A report as a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    /// The text of its first heading, where it has one.
    pub(super) title: Option<String>,
    /// The other headings, down to the third level.
    pub(super) headings: Vec<Heading>,
    /// The HTML.
    pub(super) html: String,
    /// The addresses of the pictures beside the page.
    pub(super) pictures: Vec<String>,
}

fn parser(text: &str) -> Parser<'_> {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_TASKLISTS;
    Parser::new_ext(text, options)
}

/// The title of a report and its first sentence or two, as text.
pub(super) fn headline(text: &str) -> (Option<String>, String) {
    let (mut title, mut headline) = (None, String::new());
    let (mut gathered, mut is_gathering) = (String::new(), false);
    for event in parser(text) {
        match event {
            Event::Start(Tag::Heading { .. } | Tag::Paragraph) => {
                (gathered, is_gathering) = (String::new(), true);
            }
            Event::End(TagEnd::Heading(_)) if title.is_none() => {
                title = Some(std::mem::take(&mut gathered));
                is_gathering = false;
            }
            Event::End(TagEnd::Paragraph) if !gathered.trim().is_empty() => {
                headline = gathered;
                break;
            }
            other if is_gathering => gather(&other, &mut gathered),
            _ => {}
        }
    }
    let headline = crate::text::shortened(headline.trim(), LONGEST_HEADLINE).into_owned();
    (title, headline)
}

/// Adds what an event says as text.
fn gather(event: &Event<'_>, text: &mut String) {
    match event {
        Event::Text(words) | Event::Code(words) => text.push_str(words),
        Event::SoftBreak | Event::HardBreak => text.push(' '),
        _ => {}
    }
}

/// A report as a page. `elsewhere` gives the address of what a relative link leads to outside of the folder; `None` for what is not shown.
pub(super) fn page(text: &str, elsewhere: &dyn Fn(&str) -> Option<String>) -> Page {
    let events: Vec<Event<'_>> = parser(text).collect();
    let mut out = Out {
        elsewhere,
        events: Vec::new(),
        title: None,
        headings: Vec::new(),
        anchors: BTreeMap::new(),
        links: Vec::new(),
        pictures: Vec::new(),
    };
    let mut rest = events.as_slice();
    while let Some((event, behind)) = rest.split_first() {
        rest = out.event(event, behind);
    }
    let mut html = String::with_capacity(text.len() * 2);
    html::push_html(&mut html, out.events.into_iter());
    // Columns are aligned by styles in their cells, which the policy of the pages does not let pass. No text has such a tag.
    for cell in ["th", "td"] {
        for (side, class) in [
            ("left", ""),
            ("center", " class=\"center\""),
            ("right", " class=\"number\""),
        ] {
            let styled = format!("<{cell} style=\"text-align: {side}\">");
            html = html.replace(&styled, &format!("<{cell}{class}>"));
        }
    }
    Page {
        title: out.title,
        headings: out.headings,
        html,
        pictures: out.pictures,
    }
}

/// The page so far.
struct Out<'e> {
    elsewhere: &'e dyn Fn(&str) -> Option<String>,
    events: Vec<Event<'e>>,
    title: Option<String>,
    headings: Vec<Heading>,
    /// How often each anchor was wanted.
    anchors: BTreeMap<String, usize>,
    /// For each open link, whether it is one on the page.
    links: Vec<bool>,
    pictures: Vec<String>,
}

impl<'e> Out<'e> {
    /// Takes one event, and of those behind it the ones that belong to it; gives the rest.
    fn event(&mut self, event: &Event<'e>, behind: &'e [Event<'e>]) -> &'e [Event<'e>] {
        match event {
            Event::Start(Tag::Heading { level, .. }) => return self.heading(*level, behind),
            Event::Start(Tag::HtmlBlock) => {
                let (inner, rest) = until(behind, TagEnd::HtmlBlock);
                let html: String = inner.iter().map(raw).collect();
                self.html(passed(&html));
                return rest;
            }
            Event::Html(text) | Event::InlineHtml(text) => self.html(passed(text)),
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                let (inner, rest) = until(behind, TagEnd::CodeBlock);
                self.events.push(event.clone());
                self.events.extend(inner.iter().cloned());
                self.events.push(Event::End(TagEnd::CodeBlock));
                if &**info == "sql" {
                    let sql: String = inner.iter().map(raw).collect();
                    self.query(&sql);
                }
                return rest;
            }
            Event::Start(Tag::Image { dest_url, .. }) => {
                let (inner, rest) = until(behind, TagEnd::Image);
                if is_picture(dest_url) {
                    if is_beside(dest_url) {
                        self.pictures.push(dest_url.to_string());
                    }
                    self.events.push(event.clone());
                    self.events.extend(inner.iter().cloned());
                    self.events.push(Event::End(TagEnd::Image));
                } else {
                    // A picture of somebody else's is its description.
                    let mut words = String::new();
                    for event in inner {
                        gather(event, &mut words);
                    }
                    self.events.push(Event::Text(words.into()));
                }
                return rest;
            }
            Event::Start(Tag::Link {
                link_type,
                dest_url,
                title,
                id,
            }) => {
                let to = if is_link(dest_url) {
                    Some(dest_url.clone())
                } else {
                    let elsewhere = is_relative(dest_url).then(|| (self.elsewhere)(dest_url));
                    elsewhere.flatten().map(CowStr::from)
                };
                self.links.push(to.is_some());
                if let Some(dest_url) = to {
                    self.events.push(Event::Start(Tag::Link {
                        link_type: *link_type,
                        dest_url,
                        title: title.clone(),
                        id: id.clone(),
                    }));
                }
            }
            Event::End(TagEnd::Link) => {
                if self.links.pop() == Some(true) {
                    self.events.push(event.clone());
                }
            }
            Event::Start(Tag::Table(_)) => {
                self.html("<div class=\"scroll\" tabindex=\"0\">\n".to_owned());
                self.events.push(event.clone());
            }
            Event::End(TagEnd::Table) => {
                self.events.push(event.clone());
                self.html("</div>\n".to_owned());
            }
            other => self.events.push(other.clone()),
        }
        behind
    }

    fn html(&mut self, text: String) {
        self.events.push(Event::Html(text.into()));
    }

    /// A heading with its anchor: the first is the title of the page.
    fn heading(&mut self, level: HeadingLevel, behind: &'e [Event<'e>]) -> &'e [Event<'e>] {
        let (inner, rest) = until(behind, TagEnd::Heading(level));
        let mut text = String::new();
        for event in inner {
            gather(event, &mut text);
        }
        let anchor = self.anchor(&text);
        let number = level as u8;
        if self.title.is_none() && number == 1 {
            self.title = Some(text);
        } else if number <= 3 {
            self.headings.push(Heading {
                level: number,
                anchor: anchor.clone(),
                text,
            });
        }
        self.events.push(Event::Start(Tag::Heading {
            level,
            id: Some(anchor.into()),
            classes: Vec::new(),
            attrs: Vec::new(),
        }));
        let mut inner = inner;
        while let Some((event, behind)) = inner.split_first() {
            inner = self.event(event, behind);
        }
        self.events.push(Event::End(TagEnd::Heading(level)));
        rest
    }

    /// The anchor of a heading as GitHub makes it: small letters, digits, hyphens for blanks, and a number where it is there already.
    fn anchor(&mut self, text: &str) -> String {
        let kept = text.trim().chars().filter_map(|character| match character {
            ' ' | '-' => Some('-'),
            '_' => Some('_'),
            other => other.is_alphanumeric().then_some(other),
        });
        let anchor: String = kept.flat_map(char::to_lowercase).collect();
        let wanted = self.anchors.entry(anchor.clone()).or_default();
        *wanted += 1;
        match *wanted {
            1 => anchor,
            more => format!("{anchor}-{}", more - 1),
        }
    }

    /// A link that runs a query.
    fn query(&mut self, sql: &str) {
        let encoded = url::encoded(sql.trim());
        if encoded.len() <= LONGEST_QUERY {
            self.html(format!(
                "<p class=\"run\"><a href=\"/query?sql={encoded}\">Run this query</a></p>\n"
            ));
        }
    }
}

/// The events up to the end of what has begun, and those behind it.
fn until<'e>(events: &'e [Event<'e>], end: TagEnd) -> (&'e [Event<'e>], &'e [Event<'e>]) {
    let mut open = 0_usize;
    for (at, event) in events.iter().enumerate() {
        match event {
            Event::Start(tag) if tag.to_end() == end => open += 1,
            Event::End(found) if *found == end => {
                if open == 0 {
                    return (&events[..at], &events[at + 1..]);
                }
                open -= 1;
            }
            _ => {}
        }
    }
    (events, &[])
}

/// The text of an event of a block that is text alone.
fn raw<'e>(event: &'e Event<'_>) -> &'e str {
    match event {
        Event::Html(text) | Event::InlineHtml(text) | Event::Text(text) => text,
        _ => "",
    }
}

/// Whether an address names a file by a path from the page.
fn is_relative(address: &str) -> bool {
    let path = address.split(['#', '?']).next().unwrap_or_default();
    !path.is_empty() && !path.contains([':', '\\']) && !path.starts_with('/')
}

/// Whether an address names a file beside the page, or below it.
fn is_beside(address: &str) -> bool {
    let path = address.split(['#', '?']).next().unwrap_or_default();
    is_relative(address) && path.split('/').all(|part| part != "..")
}

/// Whether a link is kept as it is: to the web, within the page, or to a file beside it.
fn is_link(address: &CowStr<'_>) -> bool {
    let small = address.to_ascii_lowercase();
    small.starts_with("https://")
        || small.starts_with("http://")
        || small.starts_with('#')
        || is_beside(&small)
}

/// Whether a picture is one beside the page, or within it.
fn is_picture(address: &CowStr<'_>) -> bool {
    is_beside(address) || address.starts_with("data:image/png;base64,")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_becomes_a_page() {
        let text = "<!-- repro: the report of x -->\n\n# The `top1` of x\n\nWhat was *asked*,\nand how.\n\n## Results\n\n### A & B\n\n\
            | a | b |\n| :--- | ---: |\n| x | 1 |\n\n![a figure](x.svg)\n\n## Results\n\n```sql\nSELECT 1\n```\n";
        let page = page(text, &|_| None);
        assert_eq!(page.title.as_deref(), Some("The top1 of x"));
        let anchors: Vec<_> = page
            .headings
            .iter()
            .map(|heading| heading.anchor.as_str())
            .collect();
        assert_eq!(anchors, ["results", "a--b", "results-1"]);
        for part in [
            "<h1 id=\"the-top1-of-x\">The <code>top1</code> of x</h1>",
            "<div class=\"scroll\" tabindex=\"0\">",
            "<img src=\"x.svg\" alt=\"a figure\" />",
            "<a href=\"/query?sql=SELECT%201\">",
            "<h3 id=\"a--b\">A &amp; B</h3>",
            "<th>a</th><th class=\"number\">b</th>",
        ] {
            assert!(page.html.contains(part), "{part}: {}", page.html);
        }
        assert!(!page.html.contains("<!--"), "{}", page.html);
        let (title, asked) = headline(text);
        assert_eq!(title.as_deref(), Some("The top1 of x"));
        assert_eq!(asked, "What was asked, and how.");
    }

    #[test]
    fn links_to_other_pages_that_are_shown_are_kept() {
        let text = "[a](../b.md#c) [d](../e.md) [f](g.md) [h](/runs) ![i](j.svg)";
        let shown = |link: &str| (link == "../b.md#c").then(|| "/other/b.md#c".to_owned());
        let page = page(text, &shown);
        assert!(
            page.html
                .contains("<a href=\"/other/b.md#c\">a</a> d <a href=\"g.md\">f</a> h "),
            "{}",
            page.html
        );
        assert_eq!(page.pictures, ["j.svg"]);
    }

    #[test]
    fn what_a_report_cannot_do_is_shown_as_text() {
        let text = "# <script>alert(1)</script>\n\n<script>alert(2)</script>\n\nx <img src=x onerror=alert(3)> y\n\n\
            [a](javascript:alert(4)) [b](../secret.md) [c](/query) [d](JaVaScRiPt:x) [e](data:text/html,x)\n\n\
            ![f](https://example.org/pixel.png) ![g](../h.svg) ![k](//example.org/l.png)\n\n\
            | <script>alert(5)</script> |\n| --- |\n| `<script>` |\n";
        let page = page(text, &|_| None);
        for part in ["<script", "<img", "javascript:", "href=", "example.org"] {
            let found = page.html.to_lowercase().contains(part);
            assert!(!found, "{part}: {}", page.html);
        }
        assert!(
            page.html.contains("&lt;script&gt;alert(2)"),
            "{}",
            page.html
        );
    }
}
