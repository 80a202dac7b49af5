//! What heads predicted of single images: on which images two heads disagree, and those images.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use super::http::{Request, Response};
use super::picture::png;
use super::url;
use crate::datasets::OpenDataset;
use crate::imaging::Room;
use crate::inputs::Inputs;
use crate::message::{Hint, Message};
use crate::metrics::{Prediction, Predictions};
use crate::plan::{DatasetUse, Plan, Train, Work};
use crate::store::names::PREDICTIONS;
use crate::store::{Fingerprint, Store};
use crate::text::count;

/// Images on one page.
const A_PAGE: usize = 60;

/// The experiment whose predictions are shown.
pub struct Samples {
    plan: Arc<Plan>,
    inputs: Arc<Inputs>,
    /// The rows of images by their ids, for each dataset that was asked for.
    rows: Mutex<BTreeMap<usize, Arc<BTreeMap<String, usize>>>>,
}

/// A head to choose.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Choice {
    /// The first digits of its fingerprint.
    pub(super) key: String,
    /// What the experiment calls it.
    label: String,
}

/// What one head predicted of an image.
#[derive(Debug, Clone, Serialize)]
struct Guess {
    class: String,
    is_right: bool,
}

/// An image on which two heads disagree.
#[derive(Debug, Clone, Serialize)]
struct Shown {
    id: String,
    /// Where its picture is; `None` where the dataset is not on disk.
    picture: Option<String>,
    class: String,
    first: Guess,
    second: Guess,
}

/// The images on which two heads disagree, and how many of which sort there are.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Disagreement {
    dataset: String,
    split: String,
    /// How many images both predicted, in words.
    common: String,
    /// On how many of them each is right.
    right: (String, String),
    /// On how many of them they disagree.
    differ: String,
    /// The sorts that can be shown: key, words and number.
    sorts: Vec<(&'static str, String, usize)>,
    /// The sort that is shown.
    sort: &'static str,
    shown: Vec<Shown>,
    /// The page, from 1, and how many there are.
    page: usize,
    pages: usize,
    /// Why there are no pictures.
    no_pictures: Option<String>,
}

/// The sorts of disagreement.
const SORTS: [&str; 4] = ["all", "first", "second", "neither"];

fn sort_of(first: &Prediction, second: &Prediction) -> &'static str {
    match (
        first.predicted == first.label,
        second.predicted == second.label,
    ) {
        (true, _) => "first",
        (_, true) => "second",
        _ => "neither",
    }
}

/// A head of the plan, with what it was trained for.
struct Head<'p> {
    fingerprint: Fingerprint,
    label: &'p str,
    train: &'p Train,
}

impl Samples {
    /// The predictions of a planned experiment.
    pub fn new(plan: Arc<Plan>, inputs: Arc<Inputs>) -> Self {
        Self {
            plan,
            inputs,
            rows: Mutex::new(BTreeMap::new()),
        }
    }

    /// The name of the experiment.
    pub(super) fn name(&self) -> &str {
        &self.plan.name
    }

    /// All heads of the plan.
    fn heads(&self) -> impl Iterator<Item = Head<'_>> {
        self.plan.steps.iter().filter_map(|step| {
            let train = match &step.work {
                Work::Train(train) => train,
                // What is chosen among has the same dataset and split.
                Work::Refit(refit) => &refit.choice.heads.first()?.train,
                _ => return None,
            };
            Some(Head {
                fingerprint: step.artifact.fingerprint,
                label: &step.artifact.label,
                train,
            })
        })
    }

    /// The heads that are trained by now, by what the experiment calls them.
    pub(super) fn choices(&self, store: &Store) -> Vec<Choice> {
        let trained = self.heads().filter(|head| {
            // One whose manifest cannot be read has no predictions to show.
            matches!(store.manifest(&head.fingerprint), Ok(Some(_)))
        });
        let mut choices: Vec<Choice> = trained
            .map(|head| Choice {
                key: head.fingerprint.short(),
                label: head.label.to_owned(),
            })
            .collect();
        choices.sort_by(|left, right| left.label.cmp(&right.label));
        choices
    }

    fn head(&self, key: &str) -> Result<Head<'_>, Message> {
        let mut heads = self.heads();
        let found = heads.find(|head| head.fingerprint.short() == key);
        found.ok_or_else(|| {
            Message::new(format!("the experiment has no head {key}"))
                .hint("choose two of the heads that are listed")
        })
    }

    /// The images on which two heads disagree, as a request asks for them.
    ///
    /// # Errors
    /// Heads that are not there, cannot be read, or predict other images.
    pub(super) fn disagreement(
        &self,
        store: &Store,
        (first, second): (&str, &str),
        request: &Request,
    ) -> Result<Disagreement, Message> {
        let (first, second) = (self.head(first)?, self.head(second)?);
        let (images, split) = place(&first);
        let (other_images, other_split) = place(&second);
        if (images.index, split) != (other_images.index, other_split) {
            return Err(Message::new(format!(
                "the heads predict different images: split `{split}` of `{}`, and split `{other_split}` of `{}`",
                images.name, other_images.name
            ))
            .hint("choose two heads of one dataset and split"));
        }
        let predicted = predictions(store, &second)?;
        let predicted: BTreeMap<&str, &Prediction> = predicted
            .rows
            .iter()
            .map(|row| (row.id.as_str(), row))
            .collect();
        let of_first = predictions(store, &first)?;
        let pairs = of_first.rows.iter().filter_map(|row| {
            let other = *predicted.get(row.id.as_str())?;
            Some((row, other))
        });
        let pairs: Vec<(&Prediction, &Prediction)> = pairs.collect();
        let common = count(pairs.len());
        let is_right = |row: &Prediction| row.predicted == row.label;
        let right = (
            count(pairs.iter().filter(|(left, _)| is_right(left)).count()),
            count(pairs.iter().filter(|(_, right)| is_right(right)).count()),
        );
        let differ: Vec<_> = pairs
            .into_iter()
            .filter(|(left, right)| left.predicted != right.predicted)
            .collect();
        let asked = request.value("show").unwrap_or_default();
        let sort = SORTS
            .into_iter()
            .find(|sort| *sort == asked)
            .unwrap_or("all");
        let is_of = |sort: &str, (left, right): &(&Prediction, &Prediction)| {
            sort == "all" || sort_of(left, right) == sort
        };
        let words = |sort: &str| match sort {
            "first" => "only A is right".to_owned(),
            "second" => "only B is right".to_owned(),
            "neither" => "neither is right".to_owned(),
            _ => "all that differ".to_owned(),
        };
        let sorts = SORTS.into_iter().map(|sort| {
            let number = differ.iter().filter(|pair| is_of(sort, pair)).count();
            (sort, words(sort), number)
        });
        let sorts = sorts.collect();
        let of_sort: Vec<_> = differ.iter().filter(|pair| is_of(sort, pair)).collect();
        let pages = of_sort.len().div_ceil(A_PAGE).max(1);
        let page = request.value("page").and_then(|page| page.parse().ok());
        let page: usize = page.unwrap_or(1).clamp(1, pages);
        let dataset = self.key_of(images);
        let is_absent = self.inputs.is_absent(images);
        let class = |label: u32| {
            let classes = &images.facts.classes;
            let name = classes.get(label as usize);
            name.map_or_else(|| label.to_string(), |name| format!("{label} {name}"))
        };
        let guess = |row: &Prediction| Guess {
            class: class(row.predicted),
            is_right: is_right(row),
        };
        let shown = of_sort.iter().skip((page - 1) * A_PAGE).take(A_PAGE);
        let shown = shown.map(|(left, right)| Shown {
            id: left.id.clone(),
            picture: (!is_absent).then(|| {
                format!(
                    "/image/{}/{}",
                    url::encoded(&dataset),
                    url::encoded(&left.id)
                )
            }),
            class: class(left.label),
            first: guess(left),
            second: guess(right),
        });
        Ok(Disagreement {
            dataset: images.name.clone(),
            split: split.to_owned(),
            common,
            right,
            differ: count(differ.len()),
            sorts,
            sort,
            shown: shown.collect(),
            page,
            pages,
            no_pictures: is_absent.then(|| {
                format!(
                    "dataset `{}` is not on disk, so its images cannot be shown",
                    images.name
                )
            }),
        })
    }

    /// What a dataset is called in addresses: its name, and its number where the file sweeps over it.
    fn key_of(&self, images: &DatasetUse) -> String {
        let datasets = self.plan.datasets.iter();
        match datasets.filter(|other| other.name == images.name).count() {
            1 => images.name.clone(),
            _ => format!("{}.{}", images.name, images.index),
        }
    }

    /// The picture behind `/image/DATASET/ID`, as PNG.
    pub(super) fn picture(&self, store: &Store, address: &str) -> Response {
        let image = address
            .split_once('/')
            .ok_or_else(|| Message::new("an image is /image/DATASET/ID"))
            .and_then(|(dataset, id)| self.image(store, dataset, id));
        match image {
            Ok(body) => Response {
                status: 200,
                kind: "image/png",
                body,
            },
            Err(message) => Response::text(404, &message.to_string()),
        }
    }

    fn image(&self, store: &Store, key: &str, id: &str) -> Result<Vec<u8>, Message> {
        let mut datasets = self.plan.datasets.iter();
        let images = datasets.find(|images| self.key_of(images) == key);
        let images = images.ok_or_else(|| format!("the experiment has no dataset `{key}`"))?;
        if self.inputs.is_absent(images) {
            return Err(format!("dataset `{key}` is not on disk").into());
        }
        let all = 0..images.facts.samples;
        let open = self.inputs.images(images, store, all);
        let open = open.map_err(|error| error.to_string())?;
        let row = self.row(images.index, &open, id);
        let row = row.ok_or_else(|| format!("dataset `{key}` has no image `{id}`"))?;
        let _room = Room::enter();
        let image = open.image(row).map_err(|error| error.explain())?;
        png(&image).map_err(|error| format!("image `{id}` cannot be encoded: {error}").into())
    }

    /// The row of an image of a dataset.
    fn row(&self, index: usize, open: &OpenDataset, id: &str) -> Option<usize> {
        let mut known = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = known.entry(index).or_insert_with(|| {
            let samples = open.manifest.samples.iter().enumerate();
            Arc::new(
                samples
                    .map(|(row, sample)| (sample.id.clone(), row))
                    .collect(),
            )
        });
        rows.get(id).copied()
    }
}

/// The dataset and the split that a head predicts.
fn place<'p>(head: &Head<'p>) -> (&'p DatasetUse, &'p str) {
    let train: &'p Train = head.train;
    let images: &'p DatasetUse = &train.features.images;
    (images, train.node.training.test_split.as_str())
}

fn predictions(store: &Store, head: &Head<'_>) -> Result<Predictions, Message> {
    let short = head.fingerprint.short();
    let table = store.table(&head.fingerprint, PREDICTIONS);
    let table = table.map_err(|error| {
        Message::new(format!("the predictions of head {short}: {error}"))
            .hint("`repro run` trains heads that are not in the cache")
    })?;
    Predictions::from_batch(&table)
        .ok_or_else(|| format!("the predictions of head {short} lack a column").into())
}
