//! `subset`: a part of another dataset, chosen by a hash of the sample ids, or by a list of file names.
//!
//! The choice is a function of each sample's id and of the seed alone: it depends neither on the order of the files nor on the
//! other samples, and a larger limit, or a larger fraction, contains the smaller one's samples. Different seeds are independent
//! draws; a split of which nothing is left out is the same for all of them.
//!
//! # Reference
//! Lists of names, such as `1percent.txt` and `10percent.txt` of Chen et al., "A Simple Framework for Contrastive Learning of
//! Visual Representations" (2020), have a line `n01440764_10026.JPEG` for each image of ImageNet that is taken for training.

mod names;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::datasets::{
    Dataset, DatasetError, DatasetKind, Environment, Manifest, OpenDataset, ReadImage, Sample,
    SplitCount,
};
use crate::imaging::Image;
use crate::spec::fields::Spanned;
use crate::spec::{Count, Fields, Key, Kind, KindDoc, Map, Number, Seed, Text};

const OF: Key<Text> =
    Key::text("of", "the name of a dataset").doc("The dataset to take samples from.");
const LIMIT: Key<Map<Count>> = Key::map("limit", "split", Count::within(1..=u32::MAX))
    .optional("all")
    .doc("At most so many samples of each split, such as `{ train = 2000, test = 1000 }`.");
const PER_CLASS: Key<Map<Count>> = Key::map("per_class", "split", Count::within(1..=u32::MAX))
    .optional("all")
    .doc("At most so many samples of each class and split.");
const FRACTION: Key<Map<Number>> = Key::map("fraction", "split", Number::above(0.0).to(1.0))
    .optional("all")
    .doc("The share of each class of a split, such as `{ train = 0.01 }`; at least one sample of each class.");
const LIST: Key<Map<Text>> = Key::map("list", "split", Text("a path"))
    .optional("all")
    .doc("Only the samples of a split whose file names a list has, one a line, such as `{ train = \"1percent.txt\" }`; every line has to be the end of one sample's id.");
const SEED: Key<Seed> = Key::seed("seed").default(0).doc(
    "Which of many independent draws of the samples that are taken; a split that is taken whole is the same in all of them.",
);

/// `kind = "subset"`.
pub const KIND: DatasetKind = Kind::new(
    KindDoc {
        name: "subset",
        summary: "A part of another dataset: so many samples of each split or class, the same ones every time.",
        keys: &[&OF, &LIMIT, &PER_CLASS, &FRACTION, &LIST, &SEED],
        shared: &[],
    },
    parse,
);

fn parse(fields: &Fields<'_>) -> Option<Arc<dyn Dataset>> {
    let limits = |key: &Key<Map<Count>>| -> Vec<(String, usize)> {
        let limits = fields.get(key).unwrap_or_default().into_iter();
        limits
            .map(|(split, limit)| (split, limit as usize))
            .collect()
    };
    let lists = fields.get(&LIST).unwrap_or_default().into_iter();
    Some(Arc::new(Subset {
        of: fields.located(&OF)?,
        limit: limits(&LIMIT),
        per_class: limits(&PER_CLASS),
        fraction: fields.get(&FRACTION).unwrap_or_default(),
        list: lists.map(|(split, path)| (split, path.into())).collect(),
        seed: fields.get(&SEED)?,
    }))
}

#[derive(Debug)]
struct Subset {
    /// The dataset that it is a part of.
    of: Spanned<String>,
    limit: Vec<(String, usize)>,
    per_class: Vec<(String, usize)>,
    /// Shares of the classes of a split.
    fraction: Vec<(String, f64)>,
    /// Lists of file names.
    list: Vec<(String, PathBuf)>,
    seed: u64,
}

impl Dataset for Subset {
    fn kind(&self) -> &'static str {
        KIND.doc.name
    }

    fn upstream(&self) -> Option<&Spanned<String>> {
        Some(&self.of)
    }

    fn estimate(
        &self,
        environment: &Environment<'_>,
        classes: usize,
        splits: &[SplitCount],
    ) -> Option<Result<Vec<SplitCount>, DatasetError>> {
        let count = |count: &SplitCount| {
            let SplitCount { split, samples } = count;
            let list = self.list.iter().find(|(name, _)| name == split);
            let listed = list.map(|(_, path)| names::count(&environment.base.join(path)));
            let samples = listed
                .transpose()?
                .map_or(*samples, |listed| listed.min(*samples));
            Ok(SplitCount {
                split: split.clone(),
                samples: self.expected(split, samples, classes),
            })
        };
        let checked = self.check_splits(splits);
        Some(checked.and_then(|()| splits.iter().map(count).collect()))
    }

    fn lists(&self) -> Vec<&Path> {
        self.list.iter().map(|(_, path)| path.as_path()).collect()
    }

    fn open(
        &self,
        environment: &Environment<'_>,
        upstream: Option<Arc<OpenDataset>>,
    ) -> Result<OpenDataset, DatasetError> {
        let Some(upstream) = upstream else {
            return Err(DatasetError::Selection(
                "a subset without a dataset to take from".into(),
            ));
        };
        self.check_splits(&upstream.manifest.splits())?;
        let mut listed = HashMap::new();
        for (split, path) in &self.list {
            let rows = names::rows(
                &environment.base.join(path),
                split,
                &upstream.manifest.samples,
            )?;
            listed.insert(split.as_str(), rows);
        }
        let rows = self.choose(&upstream.manifest.samples, &listed);
        let samples = rows
            .iter()
            .map(|&row| upstream.manifest.samples[row].clone())
            .collect();
        Ok(OpenDataset::new(
            Manifest::new(upstream.manifest.classes.clone(), samples),
            Box::new(Rows { rows, upstream }),
        ))
    }
}

impl Subset {
    /// Refuses keys that name a split which the other dataset does not have.
    fn check_splits(&self, splits: &[SplitCount]) -> Result<(), DatasetError> {
        let limits = self.limit.iter().chain(&self.per_class);
        let named = limits.map(|(split, _)| split);
        let named = named.chain(self.fraction.iter().map(|(split, _)| split));
        for split in named.chain(self.list.iter().map(|(split, _)| split)) {
            if !splits.iter().any(|count| count.split == *split) {
                let known: Vec<_> = splits
                    .iter()
                    .map(|count| format!("`{}`", count.split))
                    .collect();
                return Err(DatasetError::Selection(
                    format!(
                        "the subset limits split `{split}`, but the dataset has {}",
                        known.join(", ")
                    )
                    .into(),
                ));
            }
        }
        Ok(())
    }

    /// How many samples of a split are taken if `classes` are equally large and `samples` are there to choose from.
    fn expected(&self, split: &str, samples: usize, classes: usize) -> usize {
        let classes = classes.max(1);
        // The first classes have one more where they cannot be equally large.
        let taken = |size: usize| {
            let share = self.share(split, Some(size));
            size.min(share).min(limit_of(&self.per_class, split))
        };
        let (size, larger) = (samples / classes, samples % classes);
        let rest = if size == 0 {
            0
        } else {
            (classes - larger) * taken(size)
        };
        (larger * taken(size + 1) + rest).min(limit_of(&self.limit, split))
    }

    /// The chosen rows, in the order of the dataset; of a split in `listed`, only rows that it has are there to choose from.
    fn choose(&self, samples: &[Sample], listed: &HashMap<&str, HashSet<usize>>) -> Vec<usize> {
        let is_listed = |row: &usize| {
            let rows = listed.get(samples[*row].split.as_str());
            rows.is_none_or(|rows| rows.contains(row))
        };
        let mut ranked: Vec<usize> = (0..samples.len()).filter(is_listed).collect();
        ranked.sort_by_cached_key(|&row| self.rank(&samples[row].id));
        let mut of_class = BTreeMap::<(&str, u32), usize>::new();
        for &row in &ranked {
            *of_class
                .entry((&samples[row].split, samples[row].label))
                .or_default() += 1;
        }
        let mut taken_of_split = BTreeMap::<&str, usize>::new();
        let mut taken_of_class = BTreeMap::<(&str, u32), usize>::new();
        let mut rows: Vec<usize> = ranked
            .into_iter()
            .filter(|&row| {
                let Sample { split, label, .. } = &samples[row];
                let most = limit_of(&self.per_class, split)
                    .min(self.share(split, of_class.get(&(split.as_str(), *label)).copied()));
                let taken = taken_of_split.entry(split).or_default();
                let of_class = taken_of_class.entry((split, *label)).or_default();
                let take = *taken < limit_of(&self.limit, split) && *of_class < most;
                *taken += usize::from(take);
                *of_class += usize::from(take);
                take
            })
            .collect();
        rows.sort_unstable();
        rows
    }

    /// What a sample is sorted by before the first ones are taken. The first seed is the id alone, as it was before there were seeds.
    fn rank(&self, id: &str) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        if self.seed > 0 {
            hasher.update(&self.seed.to_le_bytes());
        }
        *hasher.update(id.as_bytes()).finalize().as_bytes()
    }

    /// How many samples of a class of a split are taken by its fraction: the share of them, rounded, and at least one. It never
    /// falls when the fraction grows, so that smaller fractions are within larger ones.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a count is none that is greater"
    )]
    fn share(&self, split: &str, samples: Option<usize>) -> usize {
        let fraction = self.fraction.iter().find(|(name, _)| name == split);
        fraction.map_or(usize::MAX, |(_, fraction)| {
            let share = (fraction * samples.unwrap_or_default() as f64).round() as usize;
            share.max(1)
        })
    }
}

fn limit_of(limits: &[(String, usize)], split: &str) -> usize {
    let limit = limits.iter().find(|(name, _)| name == split);
    limit.map_or(usize::MAX, |(_, count)| *count)
}

/// The chosen rows of the upstream dataset.
struct Rows {
    rows: Vec<usize>,
    upstream: Arc<OpenDataset>,
}

impl Rows {
    fn upstream_row(&self, row: usize) -> Result<usize, DatasetError> {
        let found = self.rows.get(row).copied();
        found.ok_or_else(|| {
            DatasetError::Selection(format!("there is no image in row {row}").into())
        })
    }
}

impl ReadImage for Rows {
    fn read(&self, row: usize, _sample: &Sample) -> Result<Image, DatasetError> {
        self.upstream.image(self.upstream_row(row)?)
    }

    fn encoded(&self, row: usize, _sample: &Sample) -> Result<Option<Vec<u8>>, DatasetError> {
        self.upstream.encoded(self.upstream_row(row)?)
    }
}

#[cfg(test)]
mod tests {
    use crate::spec::Span;

    use super::*;

    /// All of another dataset.
    fn whole() -> Subset {
        Subset {
            of: Spanned {
                value: "photos".to_owned(),
                span: Span::default(),
            },
            limit: Vec::new(),
            per_class: Vec::new(),
            fraction: Vec::new(),
            list: Vec::new(),
            seed: 0,
        }
    }

    fn samples() -> Vec<Sample> {
        (0..300)
            .map(|index| Sample {
                id: format!("{index}"),
                split: if index % 3 == 0 { "test" } else { "train" }.to_owned(),
                label: index % 5,
                content: String::new(),
            })
            .collect()
    }

    #[test]
    fn larger_limits_contain_smaller_ones_and_order_does_not_matter() {
        let samples = samples();
        let subset = |train| Subset {
            limit: vec![("train".to_owned(), train)],
            per_class: vec![("test".to_owned(), 2)],
            ..whole()
        };
        let ids = |subset: &Subset, samples: &[Sample]| {
            let mut ids: Vec<String> = subset
                .choose(samples, &HashMap::new())
                .iter()
                .map(|&row| samples[row].id.clone())
                .collect();
            ids.sort();
            ids
        };
        let (small, large) = (ids(&subset(20), &samples), ids(&subset(50), &samples));
        assert_eq!((small.len(), large.len()), (20 + 10, 50 + 10));
        assert!(small.iter().all(|id| large.contains(id)));
        let mut reversed = samples.clone();
        reversed.reverse();
        assert_eq!(small, ids(&subset(20), &reversed));
    }

    #[test]
    fn seeds_are_independent_draws_of_what_is_not_taken_whole() {
        let samples = samples();
        let chosen = |seed, train| -> HashSet<usize> {
            let subset = Subset {
                limit: vec![("train".to_owned(), train)],
                seed,
                ..whole()
            };
            subset
                .choose(&samples, &HashMap::new())
                .into_iter()
                .collect()
        };
        let is_for_test = |row: &&usize| samples[**row].split == "test";
        let draws: Vec<HashSet<usize>> = (0..20).map(|seed| chosen(seed, 100)).collect();
        for (seed, draw) in (0..).zip(&draws) {
            assert_eq!(draw.len(), 100 + 100);
            assert_eq!(draw.iter().filter(is_for_test).count(), 100);
            assert!(chosen(seed, 30).is_subset(draw));
        }
        // Two draws of 100 of 200 share 50 ± 3.5 of them, by the hypergeometric distribution; 190 pairs are within 5 deviations.
        for (index, one) in draws.iter().enumerate() {
            for other in &draws[index + 1..] {
                let shared = one.intersection(other).count() - 100;
                assert!((32..=68).contains(&shared), "{shared}");
            }
        }
    }

    #[test]
    fn fractions_are_shares_of_classes_within_one_another() {
        let samples = samples();
        let chosen = |fraction| {
            let subset = Subset {
                fraction: vec![("train".to_owned(), fraction)],
                limit: vec![("test".to_owned(), 1)],
                ..whole()
            };
            subset.choose(&samples, &HashMap::new())
        };
        // Two hundred samples for training in five classes, and one for testing.
        let [few, tenth, half, all] = [0.001, 0.1, 0.5, 1.0].map(chosen);
        assert_eq!(
            [few.len(), tenth.len(), half.len(), all.len()],
            [6, 21, 101, 201]
        );
        assert!(few.iter().all(|row| tenth.contains(row)));
        assert!(tenth.iter().all(|row| half.contains(row)));
        for label in 0..5 {
            let of_class = |rows: &[usize]| {
                let is_it =
                    |row: &&usize| samples[**row].label == label && samples[**row].split == "train";
                rows.iter().filter(is_it).count()
            };
            assert_eq!(
                (of_class(&few), of_class(&tenth), of_class(&half)),
                (1, 4, 20)
            );
        }
    }
}
