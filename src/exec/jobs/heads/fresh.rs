//! Images that go through a network while heads are trained: with fresh noise and fresh crops in every epoch.

use std::cell::RefCell;
use std::sync::{Mutex, PoisonError};

use super::features::FeatureRows;
use crate::bug::Bug;
use crate::datasets::DatasetError;
use crate::exec::NodeError;
use crate::exec::batches;
use crate::exec::context::Run;
use crate::exec::latents::LatentRows;
use crate::exec::prepare::Preparation;
use crate::feature_type::FeatureType;
use crate::message::{Hint, Message};
use crate::models::extractor::{Images, Network, TapRequest};
use crate::numbers::to_u32;
use crate::plan::{Extract, PassKey};
use crate::store::Store;
use crate::trainer::TrainError;
use crate::trainer::fine_tuning::{NoisyImages, walk};
use crate::trainer::heads::{Rows, Samples};

/// The images of one split, decoded and noised whenever they are read.
pub(super) struct FreshImages<'a> {
    preparation: Preparation<'a>,
    /// Their rows in the dataset, in the order in which features are kept.
    rows: Vec<usize>,
    store: Store,
}

impl<'a> FreshImages<'a> {
    pub(super) fn new(
        run: &Run<'_>,
        extract: &Extract,
        key: &'a PassKey,
        split: &str,
    ) -> Result<Self, NodeError> {
        let preparation = prepared(run, extract, key)?;
        let manifest = &preparation.images.dataset.manifest;
        Ok(Self {
            rows: manifest.reading_order(Some(split)),
            preparation,
            store: run.store.clone(),
        })
    }

    fn sample(&self, row: usize) -> &crate::datasets::Sample {
        self.preparation.images.sample(self.rows[row])
    }

    /// What the network is given with some images besides their pixels.
    fn classes(&self, rows: &[usize]) -> Result<Option<Vec<i64>>, TrainError> {
        let rows: Vec<usize> = rows.iter().map(|&row| self.rows[row]).collect();
        let classes = self.preparation.classes(&rows);
        classes.map_err(|error| TrainError::Features(error.explain()))
    }
}

/// What decodes the images of an extraction and adds their noise.
fn prepared<'a>(
    run: &Run<'_>,
    extract: &Extract,
    key: &'a PassKey,
) -> Result<Preparation<'a>, NodeError> {
    let images = &extract.images;
    let rows = match extract.latents {
        Some(_) => 0..0,
        None => 0..images.facts.samples,
    };
    let dataset = run.inputs.images(images, run.store, rows)?;
    let latents = extract.latents.as_deref();
    let latents = latents.map(|latents| LatentRows::open(run.store, latents, &dataset.manifest));
    let source = (dataset, latents.transpose()?);
    Preparation::new(source, key, &*extract.model.model, false)
        .ok_or_else(|| NodeError::bug("a head at a timestep that its model does not have"))
}

impl Samples for FreshImages<'_> {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn id(&self, row: usize) -> &str {
        &self.sample(row).id
    }

    fn label(&self, row: usize) -> u32 {
        self.sample(row).label
    }
}

impl NoisyImages for FreshImages<'_> {
    fn x_t(&self, rows: &[usize], draw: u32) -> Result<Vec<f32>, Message> {
        let preparation = &self.preparation;
        let rows: Vec<usize> = rows.iter().map(|&row| self.rows[row]).collect();
        let (first, _) = preparation.key.draw_and_seed();
        let batch = preparation.batch(&rows, first.saturating_add(draw));
        batch
            .map(|batch| batch.pixels)
            .map_err(|error| match error {
                DatasetError::Unpacked { path, reason } => {
                    let what = Message::new(format!("{} {reason}", path.display()));
                    match self.store.archives().set_aside(&path, &reason) {
                        Ok(_) => what
                            .hint("it was set aside; the same command unpacks the archive again"),
                        Err(error) => what.hint(format!("move it away: {error}")),
                    }
                }
                error => error.explain(),
            })
    }
}

/// Called with the epoch, from 1, how many images were seen, and how many there are.
type Seen<'a> = &'a (dyn Fn(u32, usize, usize) + Sync);

/// Features of which only the first view is cached; view v is computed when it is asked for, from draw v after the extraction's own.
pub(super) struct FreshRows<'a> {
    cached: &'a FeatureRows<'a>,
    images: FreshImages<'a>,
    network: Mutex<Box<dyn Network>>,
    tap: TapRequest,
    timestep: Option<u32>,
    views: u32,
    at_once: usize,
    seen: Option<Seen<'a>>,
    /// Images of a view that were seen.
    count: Mutex<(usize, usize)>,
}

impl<'a> FreshRows<'a> {
    /// - `views`: how many there are, and how many images go through the network at once
    pub(super) fn new(
        cached: &'a FeatureRows<'a>,
        images: FreshImages<'a>,
        network: Box<dyn Network>,
        (timestep, tap): (Option<u32>, TapRequest),
        (views, at_once): (u32, usize),
    ) -> Self {
        Self {
            cached,
            images,
            network: Mutex::new(network),
            tap,
            timestep,
            views,
            at_once,
            seen: None,
            count: Mutex::new((0, 0)),
        }
    }

    /// Reports every batch.
    pub(super) fn telling(self, seen: Seen<'a>) -> Self {
        Self {
            seen: Some(seen),
            ..self
        }
    }

    /// Computes one view of some rows.
    fn compute(&self, view: usize, rows: &[usize], out: &mut [u8]) -> Result<(), TrainError> {
        let network = self.network.lock().unwrap_or_else(PoisonError::into_inner);
        let batches: Vec<Vec<usize>> = rows.chunks(self.at_once).map(<[usize]>::to_vec).collect();
        let bytes = out.len() / rows.len().max(1);
        let out = RefCell::new(out.chunks_mut(bytes * self.at_once));
        let draw = to_u32(view);
        walk(&self.images, &batches, draw, &mut |number, x_t| {
            let count = batches[number].len();
            let classes = self.images.classes(&batches[number])?;
            let images = Images {
                pixels: x_t,
                count,
                timestep: self.timestep,
                classes: classes.as_deref(),
            };
            let features = network
                .features(images, &[self.tap])
                .map_err(|error| TrainError::Features(error.to_string().into()))?;
            let features = features.read().pop().unwrap_or_default();
            let mut out = out.borrow_mut();
            let out = out.next().unwrap_or_default();
            // What is not written would be whatever was in that memory before.
            if features.len() * self.cached.feature_type().bytes() != out.len() {
                return Err(Bug::new("the network gave features of another size").into());
            }
            write(&features, self.cached.feature_type(), out);
            self.tell(view, count);
            Ok(())
        })
    }

    fn tell(&self, view: usize, images: usize) {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        if count.0 != view {
            *count = (view, 0);
        }
        count.1 += images;
        if let Some(seen) = self.seen {
            let epoch = to_u32(view + 1);
            seen(epoch, count.1, self.len());
        }
    }
}

/// Features in the number type of the cache, in the machine's byte order.
fn write(features: &[f32], values: FeatureType, out: &mut [u8]) {
    match values {
        FeatureType::F32 => {
            for (out, value) in out.chunks_exact_mut(4).zip(features) {
                out.copy_from_slice(&value.to_ne_bytes());
            }
        }
        FeatureType::F16 => {
            for (out, value) in out.chunks_exact_mut(2).zip(features) {
                out.copy_from_slice(&half::f16::from_f32(*value).to_ne_bytes());
            }
        }
    }
}

impl Samples for FreshRows<'_> {
    fn len(&self) -> usize {
        self.cached.len()
    }

    fn id(&self, row: usize) -> &str {
        self.cached.id(row)
    }

    fn label(&self, row: usize) -> u32 {
        self.cached.label(row)
    }
}

impl Rows for FreshRows<'_> {
    fn views(&self) -> usize {
        self.views as usize
    }

    fn is_fresh(&self) -> bool {
        true
    }

    fn feature_type(&self) -> FeatureType {
        self.cached.feature_type()
    }

    fn copy(&self, view: usize, row: usize, out: &mut [u8]) -> Result<(), TrainError> {
        match view {
            0 => self.cached.copy(0, row, out),
            view => self.compute(view, &[row], out),
        }
    }

    fn fill(&self, which: &[(usize, usize)], out: &mut [u8]) -> Result<(), TrainError> {
        if which.iter().all(|(view, _)| *view == 0) {
            return self.cached.fill(which, out);
        }
        let bytes = out.len() / which.len().max(1);
        let mut rest = out;
        for of_view in which.chunk_by(|left, right| left.0 == right.0) {
            let (these, others) = rest.split_at_mut(of_view.len() * bytes);
            let rows: Vec<usize> = of_view.iter().map(|(_, row)| *row).collect();
            let view = of_view.first().map_or(0, |(view, _)| *view);
            self.compute(view, &rows, these)?;
            rest = others;
        }
        Ok(())
    }

    fn forget(&self) {
        self.cached.forget();
    }
}

/// How many images of an extraction go through its network at once.
pub(super) fn images_at_once(run: &Run<'_>, extract: &Extract) -> usize {
    let node = &extract.node;
    let (block, precision) = (Some(node.block), node.precision);
    node.batch_size.map_or_else(
        || batches::choose(run.device, &*extract.model.model, block, precision),
        |size| size as usize,
    )
}
