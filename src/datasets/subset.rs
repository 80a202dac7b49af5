//! `subset`: a part of another dataset, chosen by a hash of the sample ids.
//!
//! The choice is a function of each sample's id alone: it depends neither on the order of the files nor on the other
//! samples, and a larger limit contains the smaller one's samples.

use std::path::Path;
use std::sync::Arc;

use super::{
    Dataset, DatasetError, DatasetKind, Digester, Manifest, OpenDataset, ReadImage, Sample,
};
use crate::imaging::Image;
use crate::spec::fields::Located;
use crate::spec::{Fields, Key, KindDoc};

/// The kind.
pub const KIND: Kind = Kind;

/// See the module.
#[derive(Debug)]
pub struct Kind;

const DOC: KindDoc = KindDoc {
    name: "subset",
    summary: "A part of another dataset: so many samples of each split or class, the same ones every time.",
    keys: &[
        Key::required(
            "of",
            "the name of a dataset",
            "The dataset to take samples from.",
        ),
        Key::optional(
            "limit",
            "a table of split = count",
            "all",
            "At most so many samples of each split, such as `{ train = 2000, test = 1000 }`.",
        ),
        Key::optional(
            "per_class",
            "a table of split = count",
            "all",
            "At most so many samples of each class and split.",
        ),
    ],
};

impl DatasetKind for Kind {
    fn doc(&self) -> &'static KindDoc {
        &DOC
    }

    fn upstream(&self, fields: &Fields<'_>) -> Option<Located<String>> {
        fields.text("of")
    }

    fn parse(&self, fields: &Fields<'_>) -> Option<Arc<dyn Dataset>> {
        let limits = |key: &str| -> Vec<(String, usize)> {
            let Some(table) = fields.table(key) else {
                return Vec::new();
            };
            let entries = table.entries().iter();
            entries
                .filter_map(|entry| {
                    Some((
                        entry.key.clone(),
                        table.count(&entry.key, 1..=u32::MAX)? as usize,
                    ))
                })
                .collect()
        };
        Some(Arc::new(Subset {
            limit: limits("limit"),
            per_class: limits("per_class"),
        }))
    }
}

#[derive(Debug)]
struct Subset {
    limit: Vec<(String, usize)>,
    per_class: Vec<(String, usize)>,
}

impl Dataset for Subset {
    fn kind(&self) -> &'static str {
        DOC.name
    }

    fn open(
        &self,
        _base: &Path,
        upstream: Option<Arc<OpenDataset>>,
        _digester: &dyn Digester,
    ) -> Result<OpenDataset, DatasetError> {
        let Some(upstream) = upstream else {
            return Err(DatasetError::Selection(
                "a subset without a dataset to take from".to_owned(),
            ));
        };
        let splits = upstream.manifest.splits();
        for (split, _) in self.limit.iter().chain(&self.per_class) {
            if !splits.iter().any(|count| count.split == *split) {
                let known: Vec<_> = splits
                    .iter()
                    .map(|count| format!("`{}`", count.split))
                    .collect();
                return Err(DatasetError::Selection(format!(
                    "the subset limits split `{split}`, but the dataset has {}",
                    known.join(", ")
                )));
            }
        }
        let rows = self.choose(&upstream.manifest.samples);
        let samples = rows
            .iter()
            .map(|&row| upstream.manifest.samples[row].clone())
            .collect();
        Ok(OpenDataset {
            manifest: Manifest::new(upstream.manifest.classes.clone(), samples),
            images: Box::new(Rows { rows, upstream }),
        })
    }
}

impl Subset {
    /// The chosen rows, in the order of the dataset.
    fn choose(&self, samples: &[Sample]) -> Vec<usize> {
        let mut ranked: Vec<usize> = (0..samples.len()).collect();
        ranked.sort_by_cached_key(|&row| *blake3::hash(samples[row].id.as_bytes()).as_bytes());
        let limit_of = |limits: &[(String, usize)], split: &str| {
            limits
                .iter()
                .find(|(name, _)| name == split)
                .map_or(usize::MAX, |(_, count)| *count)
        };
        let mut taken_of_split = std::collections::BTreeMap::<&str, usize>::new();
        let mut taken_of_class = std::collections::BTreeMap::<(&str, u32), usize>::new();
        let mut rows: Vec<usize> = ranked
            .into_iter()
            .filter(|&row| {
                let sample = &samples[row];
                let of_split = taken_of_split.entry(&sample.split).or_default();
                let of_class = taken_of_class
                    .entry((&sample.split, sample.label))
                    .or_default();
                let take = *of_split < limit_of(&self.limit, &sample.split)
                    && *of_class < limit_of(&self.per_class, &sample.split);
                *of_split += usize::from(take);
                *of_class += usize::from(take);
                take
            })
            .collect();
        rows.sort_unstable();
        rows
    }
}

/// The chosen rows of the upstream dataset.
struct Rows {
    rows: Vec<usize>,
    upstream: Arc<OpenDataset>,
}

impl Rows {
    fn upstream_row(&self, row: usize) -> Result<usize, DatasetError> {
        let found = self.rows.get(row).copied();
        found.ok_or_else(|| DatasetError::Selection(format!("there is no image in row {row}")))
    }
}

impl ReadImage for Rows {
    fn read(&self, row: usize) -> Result<Image, DatasetError> {
        self.upstream.images.read(self.upstream_row(row)?)
    }

    fn encoded(&self, row: usize) -> Result<Option<Vec<u8>>, DatasetError> {
        self.upstream.images.encoded(self.upstream_row(row)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        };
        let ids = |subset: &Subset, samples: &[Sample]| {
            let mut ids: Vec<String> = subset
                .choose(samples)
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
}
