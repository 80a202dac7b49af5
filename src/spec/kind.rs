//! What a kind says of itself: the one source of help, listings, the reference page and the check for unknown keys.

use serde::Serialize;

/// One key that a kind understands.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Key {
    /// The key as it is typed.
    pub name: &'static str,
    /// The type and range of its value, in words.
    pub value: &'static str,
    /// The default as it would be typed; `None` where the key is required.
    pub default: Option<&'static str>,
    /// What it does.
    pub doc: &'static str,
    /// Whether one value is itself a list. A list under any other key sweeps over its items.
    pub is_list: bool,
    /// Whether a list of tables is one value. Every other list under the key sweeps.
    pub is_steps: bool,
}

impl Key {
    /// A key that must be given.
    pub const fn required(name: &'static str, value: &'static str, doc: &'static str) -> Self {
        Self {
            name,
            value,
            default: None,
            doc,
            is_list: false,
            is_steps: false,
        }
    }

    /// A key with a default.
    pub const fn optional(
        name: &'static str,
        value: &'static str,
        default: &'static str,
        doc: &'static str,
    ) -> Self {
        Self {
            name,
            value,
            default: Some(default),
            doc,
            is_list: false,
            is_steps: false,
        }
    }

    /// The same key, whose value is a list by nature.
    #[must_use]
    pub const fn list(self) -> Self {
        Self {
            is_list: true,
            ..self
        }
    }

    /// The same key, whose value may be a list of tables.
    #[must_use]
    pub const fn steps(self) -> Self {
        Self {
            is_steps: true,
            ..self
        }
    }
}

/// The documentation of one kind.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct KindDoc {
    /// The name as it is typed after `kind =`.
    pub name: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// Every key it understands besides `kind`, `zip` and `cases`.
    pub keys: &'static [Key],
}
