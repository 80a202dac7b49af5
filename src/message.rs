//! The message of an error, and what to do about it, separately.
//!
//! An error's `Display` says what is wrong and no more. What to do about it is its [`Hint`]. The two come together in a [`Message`],
//! whose `Display` is the one place that lays them out: in what the program prints, in events, and in lists of errors.

use std::error::Error;
use std::fmt;

/// What is wrong, and what to do about it where that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What is wrong, as a lower-case fragment.
    pub text: String,
    /// What to do about it, as a lower-case fragment.
    pub hint: Option<String>,
}

impl Message {
    /// A message without a hint.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            hint: None,
        }
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        self.maybe_hint(Some(hint.into()))
    }

    /// Adds a hint where there is one.
    #[must_use]
    pub fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    /// Both on one line.
    pub fn in_one_line(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{}; {hint}", self.text),
            None => self.text.clone(),
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.text.trim_end())?;
        match &self.hint {
            Some(hint) => write!(formatter, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

/// An error that may know what to do about it. One that wraps another passes its hint on.
pub trait Hint: Error {
    /// What to do about it, as a lower-case fragment.
    fn hint(&self) -> Option<String>;

    /// The error together with its hint.
    fn explain(&self) -> Message {
        Message::new(self.to_string()).maybe_hint(self.hint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_stands_below_the_message() {
        let message = Message::new("no room for x").hint("free some space");
        assert_eq!(
            message.to_string(),
            "no room for x\n  hint: free some space"
        );
        assert_eq!(message.in_one_line(), "no room for x; free some space");
        let bare = Message::from("stopped");
        assert_eq!(bare.to_string(), "stopped");
        assert_eq!(bare.in_one_line(), "stopped");
    }
}
