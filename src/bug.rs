//! Errors that no input causes: where the program finds that it contradicts itself, it reports that instead of continuing with a
//! value that is made up.
//!
//! A [`Bug`] is a value like any other error, so that the rest of a run continues without what it hit, and no `unwrap` is needed
//! where a value "has to be there". It carries the place in the source, for the report that it asks for.

use std::panic::Location;

/// The program contradicts itself.
#[derive(Debug, Clone, thiserror::Error)]
#[error("internal error: {what} ({place}); this is a bug in repro, please report it")]
pub struct Bug {
    what: String,
    place: &'static Location<'static>,
}

impl Bug {
    /// `what` is a fragment that says what is wrong: "the features have two widths". The place is that of the caller.
    #[track_caller]
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            place: Location::caller(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bug_says_where_it_was_found() {
        let text = Bug::new("two and two are five").to_string();
        assert!(
            text.starts_with("internal error: two and two are five (src/bug.rs:"),
            "{text}"
        );
        assert!(
            text.ends_with("; this is a bug in repro, please report it"),
            "{text}"
        );
    }
}
