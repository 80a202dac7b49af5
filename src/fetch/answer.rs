//! What an answer of a server means for the bytes that are there. Nothing here touches network or disk.
//!
//! # Reference
//! RFC 9110: 13.1.5 (`If-Range`), 14 (ranges), 15 (status codes).

use super::partial::Description;

/// What of an answer matters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// The HTTP status code, such as 206.
    pub(super) status: u16,
    /// `Content-Length`: the bytes that follow.
    pub(super) length: Option<u64>,
    /// `Content-Range`.
    pub(super) range: Option<String>,
    /// `ETag`.
    pub(super) etag: Option<String>,
    /// `Last-Modified`.
    pub(super) last_modified: Option<String>,
    /// `Content-Type`.
    pub(super) kind: Option<String>,
    /// `Content-Encoding`.
    pub(super) encoding: Option<String>,
}

/// What is to be done with an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// The whole file follows, from its beginning.
    Whole {
        /// What the headers state of the file.
        description: Description,
        /// Why it is the whole, where the rest was asked for.
        again: Option<String>,
    },
    /// What is missing follows.
    Rest {
        /// The bytes of the whole file, if the server states them.
        total: Option<u64>,
    },
    /// Nothing is missing.
    Complete,
    /// The server's file is another one by now: ask for the whole.
    Changed(String),
    /// It may go better in a while.
    Later(String),
    /// It will not go better by itself.
    Never {
        /// What the server answered.
        reason: String,
        /// The hint of the error.
        remedy: &'static str,
    },
}

/// `Content-Range`, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ContentRange {
    /// `bytes FIRST-LAST/TOTAL`, the total `*` where it is not known.
    Part {
        first: u64,
        last: u64,
        total: Option<u64>,
    },
    /// `bytes */TOTAL`.
    Unsatisfied { total: u64 },
}

impl ContentRange {
    fn parse(text: &str) -> Option<Self> {
        let (unit, rest) = text.trim().split_once(' ')?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (range, total) = rest.trim().split_once('/')?;
        if range == "*" {
            let total = total.parse().ok()?;
            return Some(Self::Unsatisfied { total });
        }
        let (first, last) = range.split_once('-')?;
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        let total = match total {
            "*" => None,
            total => Some(total.parse::<u64>().ok()?),
        };
        let sound = first <= last && total.is_none_or(|total| last < total);
        sound.then_some(Self::Part { first, last, total })
    }
}

const OTHER_ADDRESS: &str = "look at the address, or fetch the same file from another one";

/// What an answer means, after `kept` bytes of the described file were there and the rest was asked for; with `kept` zero,
/// after the whole was asked for.
pub(super) fn judge(url: &str, kept: u64, there: &Description, head: &Head) -> Action {
    let never = |reason: String| Action::Never {
        reason,
        remedy: OTHER_ADDRESS,
    };
    let range = head.range.as_deref().and_then(ContentRange::parse);
    match head.status {
        200 | 206 if is_encoded(head) => never(format!(
            "the server sends the file compressed (`{}`), so its bytes are not those of the file",
            head.encoding.as_deref().unwrap_or_default()
        )),
        200 | 206 if is_page(head) => never(
            "the server sends a web page in place of the file; a network that asks for a login does so too"
                .to_owned(),
        ),
        200 => Action::Whole {
            description: Description {
                url: url.to_owned(),
                total: head.length,
                etag: head.etag.clone(),
                last_modified: head.last_modified.clone(),
            },
            again: (kept > 0).then(|| {
                changed(there, head, head.length).unwrap_or_else(|| {
                    "the server sends the whole file, not the rest of it".to_owned()
                })
            }),
        },
        206 => match range {
            _ if kept == 0 => never("the server sends a part, but the whole was asked for".to_owned()),
            Some(ContentRange::Part { first, last, total })
                if first == kept && total.is_none_or(|total| last + 1 == total) =>
            {
                match changed(there, head, total) {
                    Some(reason) => Action::Changed(reason),
                    None => Action::Rest { total },
                }
            }
            _ => Action::Never {
                reason: format!(
                    "the server was asked for the bytes from {kept} on and sends others (`Content-Range: {}`); they were not taken",
                    head.range.as_deref().unwrap_or("none")
                ),
                remedy: "give the same command again; if it says the same, remove the file that ends in `.partial`, \
                         or fetch from another address",
            },
        },
        416 if kept > 0 => match range {
            Some(ContentRange::Unsatisfied { total })
                if total == kept && there.total.is_none_or(|known| known == total) =>
            {
                Action::Complete
            }
            _ => Action::Changed("the server's file ends before what is there".to_owned()),
        },
        408 | 425 | 429 | 500..=599 => Action::Later(format!("the server answers {}", status(head))),
        _ => never(format!("the server answers {}", status(head))),
    }
}

/// How an answer with the rest shows that the file is not the one whose beginning is there.
fn changed(there: &Description, head: &Head, total: Option<u64>) -> Option<String> {
    fn differs<T: PartialEq>(one: Option<&T>, other: Option<&T>) -> bool {
        matches!((one, other), (Some(one), Some(other)) if one != other)
    }
    if differs(there.total.as_ref(), total.as_ref()) {
        return Some("the server's file has another size by now".to_owned());
    }
    let changed = differs(there.etag.as_ref(), head.etag.as_ref())
        || differs(there.last_modified.as_ref(), head.last_modified.as_ref());
    changed.then(|| "the server has another version of the file by now".to_owned())
}

fn is_encoded(head: &Head) -> bool {
    head.encoding
        .as_deref()
        .is_some_and(|encoding| !encoding.trim().eq_ignore_ascii_case("identity"))
}

fn is_page(head: &Head) -> bool {
    head.kind.as_deref().is_some_and(|kind| {
        kind.trim_start()
            .to_ascii_lowercase()
            .starts_with("text/html")
    })
}

fn status(head: &Head) -> String {
    let words = match head.status {
        401 => " (it requires a login)",
        403 => " (forbidden)",
        404 => " (there is no such file)",
        407 => " (the proxy wants a login)",
        410 => " (the file is gone)",
        429 => " (too many requests)",
        500 => " (an error of its own)",
        502..=504 => " (out of order)",
        _ => "",
    };
    format!("{}{words}", head.status)
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "http://example.org/a.pt";

    fn there() -> Description {
        Description {
            url: URL.to_owned(),
            total: Some(10),
            etag: Some("\"one\"".to_owned()),
            last_modified: None,
        }
    }

    fn answer(status: u16, range: &str) -> Head {
        Head {
            status,
            range: (!range.is_empty()).then(|| range.to_owned()),
            etag: Some("\"one\"".to_owned()),
            ..Head::default()
        }
    }

    fn verdict(kept: u64, head: &Head) -> Action {
        judge(URL, kept, &there(), head)
    }

    #[test]
    fn ranges_are_taken_apart_or_refused() {
        let part = |first, last, total| Some(ContentRange::Part { first, last, total });
        assert_eq!(
            ContentRange::parse("bytes 4-9/10"),
            part(4, 9, Some(10)),
            "usual"
        );
        assert_eq!(ContentRange::parse(" Bytes 4-9/* "), part(4, 9, None));
        assert_eq!(
            ContentRange::parse("bytes */10"),
            Some(ContentRange::Unsatisfied { total: 10 })
        );
        for wrong in [
            "",
            "bytes",
            "bytes 4",
            "bytes 4-9",
            "bytes 9-4/10",
            "bytes 4-10/10",
            "bytes -4-9/10",
            "rows 4-9/10",
            "bytes 4-9/99999999999999999999999",
            "bytes */*",
        ] {
            assert_eq!(ContentRange::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_rest_is_taken_only_where_it_fits() {
        let rest = Action::Rest { total: Some(10) };
        assert_eq!(verdict(4, &answer(206, "bytes 4-9/10")), rest);
        assert_eq!(
            verdict(4, &answer(206, "bytes 4-9/*")),
            Action::Rest { total: None }
        );
        for wrong in ["", "bytes 0-9/10", "bytes 5-9/10", "bytes 4-8/10", "junk"] {
            let Action::Never { reason, .. } = verdict(4, &answer(206, wrong)) else {
                panic!("{wrong}")
            };
            assert!(reason.contains("from 4 on"), "{reason}");
        }
        assert!(matches!(
            verdict(0, &answer(206, "bytes 0-9/10")),
            Action::Never { .. }
        ));
    }

    #[test]
    fn the_whole_in_place_of_the_rest_says_why() {
        let why = |kept, head: &Head| match verdict(kept, head) {
            Action::Whole { again, .. } => again,
            other => panic!("{other:?}"),
        };
        let same = answer(200, "");
        assert_eq!(why(0, &same), None);
        assert!(why(4, &same).unwrap().contains("not the rest"));
        let mut other = same;
        other.etag = Some("\"two\"".to_owned());
        assert!(why(4, &other).unwrap().contains("another version"));
    }

    #[test]
    fn another_version_is_noticed_even_by_servers_that_do_not() {
        let mut other = answer(206, "bytes 4-9/10");
        other.etag = Some("\"two\"".to_owned());
        assert!(matches!(verdict(4, &other), Action::Changed(_)));
        assert!(matches!(
            verdict(4, &answer(206, "bytes 4-11/12")),
            Action::Changed(_)
        ));
        let mut silent = answer(206, "bytes 4-9/10");
        silent.etag = None;
        assert!(matches!(verdict(4, &silent), Action::Rest { .. }));
    }

    #[test]
    fn beyond_the_end_is_the_end_or_another_file() {
        assert_eq!(verdict(10, &answer(416, "bytes */10")), Action::Complete);
        for other in ["bytes */9", "bytes */12", ""] {
            assert!(
                matches!(verdict(10, &answer(416, other)), Action::Changed(_)),
                "{other}"
            );
        }
        assert!(matches!(
            verdict(0, &answer(416, "bytes */0")),
            Action::Never { .. }
        ));
    }

    #[test]
    fn what_is_not_the_file_is_refused() {
        let mut page = answer(200, "");
        page.kind = Some("Text/HTML; charset=utf-8".to_owned());
        let mut packed = answer(200, "");
        packed.encoding = Some("gzip".to_owned());
        let mut plain = answer(200, "");
        plain.encoding = Some("identity".to_owned());
        assert!(matches!(verdict(0, &page), Action::Never { .. }));
        assert!(matches!(verdict(0, &packed), Action::Never { .. }));
        assert!(matches!(verdict(0, &plain), Action::Whole { .. }));
        for status in [401, 403, 404, 410, 204, 304] {
            let verdict = verdict(0, &answer(status, ""));
            assert!(matches!(verdict, Action::Never { .. }), "{status}");
        }
        for status in [408, 429, 500, 503] {
            let verdict = verdict(0, &answer(status, ""));
            assert!(matches!(verdict, Action::Later(_)), "{status}");
        }
    }
}
