//! What is known of a file that somebody publishes, without having it: as the lists in `data/` state it.

use serde::Deserialize;

use super::Stated;
use super::digest::{Digest, NoDigest};
use super::http;

/// A file that somebody has published, and what is known of it without having it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// Where it is published.
    pub url: String,
    /// Its size, where somebody has stated it.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// Its digest, where somebody has stated it.
    #[serde(default)]
    pub sha256: Option<StatedDigest>,
}

/// A digest, and who vouches for it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatedDigest {
    /// SHA-256, 64 hexadecimal digits.
    pub digest: String,
    /// Whether it is the publisher's own word.
    pub from: Origin,
    /// Who vouches for it, and where, in a sentence.
    pub who: String,
}

/// Who states a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Origin {
    /// Whoever published the file.
    #[serde(rename = "owner")]
    Owner,
    /// Others who vouch for it.
    #[serde(rename = "third parties")]
    ThirdParties,
}

impl Origin {
    /// As the lists spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::ThirdParties => "third parties",
        }
    }
}

impl Published {
    /// The name of the file: the end of its address.
    pub fn file_name(&self) -> Option<String> {
        http::file_name(&self.url)
    }

    /// What a request for it states. `list` says which list is meant where that names no digest.
    ///
    /// # Errors
    /// A digest in the list that is none.
    pub fn stated(&self, list: &str) -> Result<Stated, NoDigest> {
        let (sha256, by) = match &self.sha256 {
            Some(known) => (
                Some(known.digest.parse::<Digest>()?),
                format!("by {}: {}", known.from.name(), known.who),
            ),
            None => (None, format!("by {list}")),
        };
        Ok(Stated {
            bytes: self.bytes,
            sha256,
            by,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_list_says_is_what_is_stated() {
        let digest = "0".repeat(64);
        let text = format!(
            "url = 'https://example.org/a/b.gz'\nbytes = 3\n[sha256]\ndigest = '{digest}'\nfrom = 'owner'\nwho = 'its README'\n"
        );
        let mut published: Published = toml::from_str(&text).unwrap();
        assert_eq!(published.file_name().as_deref(), Some("b.gz"));
        let stated = published.stated("the list").unwrap();
        assert_eq!(
            (stated.bytes, stated.by.as_str()),
            (Some(3), "by owner: its README")
        );
        assert_eq!(stated.sha256.unwrap().to_string(), digest);
        if let Some(known) = &mut published.sha256 {
            known.digest.push('0');
        }
        assert!(published.stated("the list").is_err());
        published.sha256 = None;
        let stated = published.stated("the list").unwrap();
        assert_eq!((stated.sha256, stated.by.as_str()), (None, "by the list"));
    }
}
