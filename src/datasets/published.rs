//! The datasets that their owners publish. They are data, in `data/datasets.toml`, built into the program. Most can be fetched; of
//! the others it lists what has to be downloaded by hand, and from where.

use serde::Deserialize;

use crate::fetch::{Published, StatedDigest};

const TOML: &str = include_str!("../../data/datasets.toml");

/// A dataset, and where its files are published.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedDataset {
    /// What `repro data fetch` calls it.
    pub name: String,
    /// Name, size and content in one line, for people.
    pub title: String,
    /// The kind of dataset that reads it.
    pub kind: String,
    /// The owner's page about it.
    pub page: String,
    /// What the owner states of its license.
    pub license: String,
    /// Where its files go unless something else is asked for, from the folder that relative paths start from.
    pub folder: String,
    /// Its files, where everybody may fetch them.
    #[serde(default, rename = "file")]
    pub files: Vec<Published>,
    /// What has to be downloaded by hand, where not.
    #[serde(default)]
    pub by_hand: Option<ByHand>,
}

/// Files that no program may or can fetch.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ByHand {
    /// Why they cannot be fetched, and where to get them, as a sentence that follows "it cannot be fetched:".
    pub why: String,
    /// The files to download by hand.
    #[serde(rename = "file")]
    pub files: Vec<HandFile>,
}

/// A file that is downloaded by hand.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandFile {
    /// The file's name in [`PublishedDataset::folder`].
    pub name: String,
    /// Its size, where somebody has stated it.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// Its SHA-256, where somebody has stated it.
    #[serde(default)]
    pub sha256: Option<StatedDigest>,
    /// Its MD5 with the word of whoever states it, where no SHA-256 is stated.
    #[serde(default)]
    pub md5: Option<String>,
}

impl PublishedDataset {
    /// The size of all files, where all sizes are known.
    pub fn bytes(&self) -> Option<u64> {
        let fetched = self.files.iter().map(|file| file.bytes);
        let by_hand = self.by_hand.iter().flat_map(|by_hand| &by_hand.files);
        fetched.chain(by_hand.map(|file| file.bytes)).sum()
    }

    /// How many files it has, those to download by hand included.
    pub fn count(&self) -> usize {
        let by_hand = self.by_hand.as_ref();
        self.files.len() + by_hand.map_or(0, |by_hand| by_hand.files.len())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    dataset: Vec<PublishedDataset>,
}

/// The datasets of the list that is built in.
///
/// # Errors
/// Only if the program was built from a broken file.
pub fn all() -> Result<Vec<PublishedDataset>, toml::de::Error> {
    parse(TOML)
}

/// Parses a list in the format of `data/datasets.toml`.
///
/// # Errors
/// A text that is not such a list.
pub fn parse(text: &str) -> Result<Vec<PublishedDataset>, toml::de::Error> {
    Ok(toml::from_str::<List>(text)?.dataset)
}

#[cfg(test)]
mod tests {
    use sha2::Digest;

    use super::*;

    #[test]
    fn every_dataset_can_be_fetched_or_brought_and_is_read_by_a_kind() {
        let datasets = all().unwrap();
        for (place, dataset) in datasets.iter().enumerate() {
            let others = &datasets[..place];
            assert!(
                others
                    .iter()
                    .all(|other| other.name != dataset.name && other.folder != dataset.folder),
                "{} twice",
                dataset.name
            );
            let kinds: Vec<_> = crate::datasets::ALL
                .iter()
                .map(|kind| kind.doc.name)
                .collect();
            assert!(kinds.contains(&dataset.kind.as_str()), "{}", dataset.kind);
            assert!(dataset.page.starts_with("http"), "{}", dataset.page);
            assert!(!dataset.license.is_empty());
            // One way for all files of a dataset.
            assert_ne!(dataset.files.is_empty(), dataset.by_hand.is_none());
            let mut names: Vec<_> = dataset.files.iter().map(Published::file_name).collect();
            assert!(names.iter().all(Option::is_some), "{names:?}");
            names.sort();
            names.dedup();
            assert_eq!(names.len(), dataset.files.len());
            for file in &dataset.files {
                let digest = file.stated("the list").unwrap().sha256;
                // What comes over a line that anybody can write to has to be known beforehand.
                assert!(
                    file.url.starts_with("https://") || digest.is_some(),
                    "{}",
                    file.url
                );
                if let Some(known) = &file.sha256 {
                    assert!(known.who.len() > 20, "{}", file.url);
                }
            }
        }
    }

    #[test]
    fn the_test_images_in_the_checkout_are_the_published_ones() {
        let datasets = all().unwrap();
        let files = datasets.iter().flat_map(|dataset| &dataset.files);
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("data/fashion-mnist");
        let mut seen = 0;
        for file in files {
            let name = file.file_name().unwrap();
            if !name.starts_with("t10k-") {
                continue;
            }
            let bytes = std::fs::read(folder.join(name)).unwrap();
            let digest = format!("{:x}", sha2::Sha256::digest(&bytes));
            assert_eq!(file.sha256.as_ref().unwrap().digest, digest);
            seen += 1;
        }
        assert_eq!(seen, 2);
    }
}
