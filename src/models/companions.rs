//! Files that a model reads beside those of its weights, such as those of a text encoder.

use std::path::PathBuf;

/// One such file. Its digest is part of the identity of the model's weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Companion {
    /// The key of the model that names it.
    pub key: &'static str,
    /// Where it is; relative to the folder that `repro` runs in.
    pub path: PathBuf,
}

/// What stands between the key of a companion and its digest.
const DIGEST: &str = ":blake3:";

impl Companion {
    /// The identity of weights with that of this file behind it.
    pub fn beside(&self, weights: &str, digest: &str) -> String {
        format!("{weights} {}{DIGEST}{digest}", self.key)
    }
}

/// The digests of the companions in an identity that [`Companion::beside`] made, in their order.
pub fn digests(identity: &str) -> impl Iterator<Item = &str> {
    let parts = identity.split(' ');
    parts.filter_map(|part| part.split_once(DIGEST).map(|(_, digest)| digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_read_where_they_were_put() {
        let companion = |key| Companion {
            key,
            path: PathBuf::new(),
        };
        let identity = companion("text_encoder").beside("blake3:aa", "bb");
        let identity = companion("tokenizer").beside(&identity, "cc");
        assert_eq!(
            identity,
            "blake3:aa text_encoder:blake3:bb tokenizer:blake3:cc"
        );
        assert_eq!(digests(&identity).collect::<Vec<_>>(), ["bb", "cc"]);
        assert_eq!(digests("synthetic:3").count(), 0);
    }
}
