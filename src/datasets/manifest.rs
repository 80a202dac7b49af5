//! The list of a dataset's samples: its identity.

use serde::{Deserialize, Serialize};

/// One sample.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// Stable name, unique within the dataset, such as `train/00017` or `test/cat/7.jpg`. Noise is a function of it.
    pub id: String,
    /// `train`, `test` or whatever the dataset calls its parts.
    pub split: String,
    /// Class number, from 0; without meaning where there are no classes.
    pub label: u32,
    /// BLAKE3 of the image's bytes, in hexadecimal; empty for images that a run made.
    pub content: String,
}

/// How many samples one split has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitCount {
    /// The split's name, as the dataset's owner has it.
    pub split: String,
    /// How many samples the split has.
    pub samples: usize,
}

/// Every sample of a dataset, in its one order.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// Class names, by label.
    pub classes: Vec<String>,
    /// One for each image, in the order of the dataset; features are kept in that of [`Manifest::reading_order`].
    pub samples: Vec<Sample>,
    digest: String,
}

impl Manifest {
    /// A manifest over samples; computes its digest.
    pub fn new(classes: Vec<String>, samples: Vec<Sample>) -> Self {
        let fields = samples.iter().map(|sample| Fields {
            content: &sample.content,
            ..Fields::of(sample)
        });
        let digest = digest_of(&classes, fields);
        Self {
            classes,
            samples,
            digest,
        }
    }

    /// The manifest of images that a run made: all of one split, without classes and without contents of their own. What made them is
    /// their identity, `digest`.
    pub fn generated(ids: impl Iterator<Item = String>, split: &str, digest: String) -> Self {
        let sample = |id| Sample {
            id,
            split: split.to_owned(),
            label: 0,
            content: String::new(),
        };
        Self {
            classes: Vec::new(),
            samples: ids.map(sample).collect(),
            digest,
        }
    }

    /// BLAKE3 over ids, splits, labels, contents and class names, in hexadecimal: the dataset's identity, independent of where it
    /// is. Of images that a run made, `samples:FINGERPRINT`.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// BLAKE3 over all but the contents, in hexadecimal: what the lists of a dataset state without its images.
    pub fn digest_of_names(&self) -> String {
        digest_of(&self.classes, self.samples.iter().map(Fields::of))
    }

    /// The splits in order of appearance, with their sizes.
    pub fn splits(&self) -> Vec<SplitCount> {
        let mut counts: Vec<SplitCount> = Vec::new();
        for sample in &self.samples {
            match counts.iter_mut().find(|count| count.split == sample.split) {
                Some(count) => count.samples += 1,
                None => counts.push(SplitCount {
                    split: sample.split.clone(),
                    samples: 1,
                }),
            }
        }
        counts
    }

    /// The positions of the samples of a split, or of all splits one behind the other, in the order in which features are kept: by a
    /// hash of the id, so that whoever reads some of them in sequence reads a random sample of the classes, however the dataset sorts
    /// them. Where there are no classes, as they are listed.
    pub fn reading_order(&self, split: Option<&str>) -> Vec<usize> {
        let is_of = |&row: &usize| split.is_none_or(|split| self.samples[row].split == split);
        let mut rows: Vec<usize> = (0..self.samples.len()).filter(is_of).collect();
        if self.classes.is_empty() {
            return rows;
        }
        let splits = self.splits();
        let place = |row: usize| {
            let split = &self.samples[row].split;
            splits.iter().position(|count| count.split == *split)
        };
        rows.sort_by_cached_key(|&row| {
            let hash = blake3::hash(format!("order/{}", self.samples[row].id).as_bytes());
            (place(row), *hash.as_bytes())
        });
        rows
    }

    /// The number of samples in a split.
    pub fn count(&self, split: &str) -> usize {
        self.samples
            .iter()
            .filter(|sample| sample.split == split)
            .count()
    }
}

/// What is hashed of a sample.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a> {
    pub(super) id: &'a str,
    pub(super) split: &'a str,
    pub(super) label: u32,
    /// Nothing where the image does not matter.
    pub(super) content: &'a str,
}

impl<'a> Fields<'a> {
    /// All but the content.
    fn of(sample: &'a Sample) -> Self {
        Self {
            id: &sample.id,
            split: &sample.split,
            label: sample.label,
            content: "",
        }
    }
}

/// Bytes that are hashed at once.
const GATHERED: usize = 1 << 16;

/// Each field is preceded by its length, so that no two lists give the same bytes.
pub(super) fn digest_of<'a>(
    classes: &[String],
    samples: impl Iterator<Item = Fields<'a>>,
) -> String {
    let mut hasher = blake3::Hasher::new();
    // Fields are a few bytes each; the hash is several times as quick on many at once.
    let mut waiting = Vec::with_capacity(2 * GATHERED);
    let mut feed = |bytes: &[u8]| {
        waiting.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        waiting.extend_from_slice(bytes);
        if waiting.len() >= GATHERED {
            hasher.update(&waiting);
            waiting.clear();
        }
    };
    feed(b"repro manifest 1");
    feed(&(classes.len() as u64).to_le_bytes());
    for class in classes {
        feed(class.as_bytes());
    }
    for sample in samples {
        feed(sample.id.as_bytes());
        feed(sample.split.as_bytes());
        feed(&sample.label.to_le_bytes());
        feed(sample.content.as_bytes());
    }
    hasher.update(&waiting);
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(id: &str, split: &str, label: u32) -> Sample {
        Sample {
            id: id.to_owned(),
            split: split.to_owned(),
            label,
            content: "00".to_owned(),
        }
    }

    #[test]
    fn the_digest_follows_every_field() {
        let classes = vec!["a".to_owned(), "b".to_owned()];
        let base = Manifest::new(
            classes.clone(),
            vec![sample("1", "train", 0), sample("2", "test", 1)],
        );
        let same = Manifest::new(
            classes.clone(),
            vec![sample("1", "train", 0), sample("2", "test", 1)],
        );
        assert_eq!(base.digest(), same.digest());
        for changed in [
            Manifest::new(
                classes.clone(),
                vec![sample("1x", "train", 0), sample("2", "test", 1)],
            ),
            Manifest::new(
                classes.clone(),
                vec![sample("1", "test", 0), sample("2", "test", 1)],
            ),
            Manifest::new(
                classes.clone(),
                vec![sample("1", "train", 1), sample("2", "test", 1)],
            ),
            Manifest::new(
                classes,
                vec![sample("2", "test", 1), sample("1", "train", 0)],
            ),
            Manifest::new(
                vec!["a".to_owned()],
                vec![sample("1", "train", 0), sample("2", "test", 1)],
            ),
        ] {
            assert_ne!(base.digest(), changed.digest());
        }
        assert_eq!(base.count("train"), 1);
        assert_eq!(base.splits().len(), 2);
    }

    #[test]
    fn images_that_a_run_made_are_one_split_without_classes() {
        let ids = ["image-0", "image-1"].map(str::to_owned);
        let manifest = Manifest::generated(ids.into_iter(), "made", "samples:00".to_owned());
        assert_eq!(manifest.digest(), "samples:00");
        assert!(manifest.classes.is_empty());
        assert_eq!(manifest.count("made"), 2);
        assert_eq!(manifest.splits().len(), 1);
    }

    #[test]
    fn features_are_read_in_an_order_that_does_not_know_the_classes() {
        let classes = vec!["a".to_owned(), "b".to_owned()];
        // Class by class, as folders list them.
        let of_split = |split: &'static str| {
            let one = move |number: u32| {
                sample(&format!("{split}/{number}"), split, u32::from(number >= 50))
            };
            (0..100).map(one)
        };
        let samples: Vec<Sample> = of_split("train").chain(of_split("test")).collect();
        let manifest = Manifest::new(classes.clone(), samples.clone());
        let order = manifest.reading_order(None);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..200).collect::<Vec<_>>());
        // One split behind the other, and each as it is by itself.
        assert_eq!(order[..100], manifest.reading_order(Some("train")));
        assert_eq!(order[100..], manifest.reading_order(Some("test")));
        // Of 20 samples of a window 10 of a class are expected, with a standard deviation of 2 without replacement; four of them.
        for window in order.chunks(20) {
            let of_class = window
                .iter()
                .filter(|&&row| manifest.samples[row].label == 0);
            assert!(of_class.count().abs_diff(10) <= 8, "{window:?}");
        }
        // The place of a sample depends on its id, and not on where the dataset lists it.
        let reversed = Manifest::new(classes, samples.into_iter().rev().collect());
        let ids = |manifest: &Manifest| -> Vec<String> {
            let rows = manifest.reading_order(Some("test")).into_iter();
            rows.map(|row| manifest.samples[row].id.clone()).collect()
        };
        assert_eq!(ids(&manifest), ids(&reversed));
        // Without classes nothing is sorted by them.
        let made = Manifest::generated(
            (0..5).map(|number| number.to_string()),
            "made",
            String::new(),
        );
        assert_eq!(made.reading_order(None), [0, 1, 2, 3, 4]);
    }
}
