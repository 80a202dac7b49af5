//! Names of artifacts: a fingerprint is the BLAKE3 digest of a [recipe](super::recipe).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// BLAKE3 digest (32 bytes) of all that decides an artifact's bytes. Written as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

/// A text that is not a fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a fingerprint: expected 64 hexadecimal digits")]
pub struct FingerprintError {
    /// What was given.
    pub text: String,
}

impl Fingerprint {
    /// BLAKE3 digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// First 12 hex digits: enough to tell artifacts apart in messages and in the names of SQL tables.
    pub fn short(&self) -> String {
        self.to_string().chars().take(12).collect()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        blake3::Hash::from_hex(text)
            .map(|hash| Self(*hash.as_bytes()))
            .map_err(|_| FingerprintError {
                text: text.to_owned(),
            })
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// What an artifact is. The lower-case name is a folder of the store and part of every recipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArtifactKind {
    /// A trained diffusion network: averaged weights and the loss on the way.
    Pretraining,
    /// Images that a network made out of noise: Arrow IPC parts.
    Samples,
    /// Vectors that a frozen network gave for the rows of a dataset: Arrow IPC parts.
    Features,
    /// A trained head: weights, learning curve, predictions.
    Head,
    /// Scores of one head: a table of [results](super::ResultRow).
    Metric,
    /// A rendered report.
    Report,
}

impl ArtifactKind {
    /// Every kind, in the order in which data passes through a run.
    pub const ALL: &[Self] = &[
        Self::Pretraining,
        Self::Samples,
        Self::Features,
        Self::Head,
        Self::Metric,
        Self::Report,
    ];

    /// Lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pretraining => "pretraining",
            Self::Samples => "samples",
            Self::Features => "features",
            Self::Head => "head",
            Self::Metric => "metric",
            Self::Report => "report",
        }
    }

    /// Whether it consists of parts, which several may write at the same time.
    pub const fn has_parts(self) -> bool {
        matches!(self, Self::Samples | Self::Features)
    }
}

impl fmt::Display for ArtifactKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_is_64_hex_digits_and_parses_back() {
        // The BLAKE3 digest of no bytes, as the BLAKE3 test vectors give it.
        let text = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        let fingerprint = Fingerprint::of(b"");
        assert_eq!(fingerprint.to_string(), text);
        assert_eq!(fingerprint.short(), "af1349b9f5f9");
        assert_eq!(text.parse(), Ok(fingerprint));
        assert_eq!(
            serde_json::to_string(&fingerprint).unwrap(),
            format!("\"{text}\"")
        );
        assert_eq!(
            serde_json::from_str::<Fingerprint>(&format!("\"{text}\"")).unwrap(),
            fingerprint
        );
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "af13", &"g".repeat(64), &"a".repeat(65)] {
            assert!(text.parse::<Fingerprint>().is_err(), "{text}");
        }
    }

    #[test]
    fn kinds_are_named_as_serde_names_them() {
        for kind in ArtifactKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }
}
