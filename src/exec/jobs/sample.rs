//! Samples: images out of noise, into the store in parts, as PNG or as bare bytes.
//!
//! The noise of an image and its class are by its number, and batches stay within a shard, so that neither the other shards nor who
//! makes them matters. Shards are claimed, committed and resumed as those of a pass.

use std::io::Cursor;
use std::ops::Range;
use std::time::Instant;

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use rayon::prelude::*;

use super::claimed::{Claimed, Cut};
use crate::diffusion::from_noise::{Conditions, FromNoise};
use crate::diffusion::noise::image_id;
use crate::diffusion::reverse::{ReverseError, Variance};
use crate::diffusion::sampling::{Method, Sampling};
use crate::exec::NodeError;
use crate::exec::batches::{self, BackOff};
use crate::exec::context::Run;
use crate::exec::event::Event;
use crate::exec::weights::loadable;
use crate::graph::{ImageFormat, SampleMethod};
use crate::models::autoencoding::{Decoding, bytes_by};
use crate::models::extractor::Network;
use crate::models::guidance::Guidance;
use crate::models::{ClassInput, InputSpec};
use crate::plan::{PlannedArtifact, Sample};
use crate::store::ImagePart;

/// Makes samples, or some shards of them, and commits them once all parts are in place.
///
/// - `name`: the job's
/// - `shards`: those that are asked for; all where there is none
/// - `joins`: whether another worker of this process has begun it, and reports it
/// - `network`, `classifier`: what the images are taken from, and what leads them
pub(super) fn run_samples(
    run: &Run<'_>,
    name: &str,
    (artifact, work): (&PlannedArtifact, &Sample),
    shards: Option<Range<usize>>,
    joins: bool,
    (network, classifier): (&dyn Network, Option<&dyn Network>),
) -> Result<(), NodeError> {
    let started = Instant::now();
    let cut = Cut {
        name,
        label: artifact.label.clone(),
        shards: work.shards,
        wanted: shards,
        joins,
    };
    let claimed = Claimed::begin(run, cut, &[artifact])?;
    let images = claimed.missing_images();
    let sampling = sampling(work)?;
    let label = artifact.label.as_str();
    let steps = sampling.diffusion.steps() as usize;
    if !joins {
        (run.emit)(Event::SamplesStarted {
            label: artifact.label.clone(),
            images,
            committed: claimed.committed_images(),
            forwards: images * steps,
        });
    }
    let model = &*work.model.model;
    let decode = decoder(run, work)?;
    let known = classes_of(work);
    let class_of = |number: usize| class_of(work, known, number);
    let source = FromNoise {
        sampling: &sampling,
        network,
        input: model.input(),
        device: run.device,
        seed: work.node.seed,
        conditions: conditions(work, classifier, &class_of)?,
        decode: decode.as_deref(),
    };
    let batch_size = batches::choose(run.device, model, None, work.node.precision);
    // With guidance without a classifier each image is in a batch twice.
    let batch_size = match work.node.guidance {
        Some(_) => (batch_size / 2).max(1),
        None => batch_size,
    };
    let to = Kept {
        run,
        name,
        label,
        format: work.node.format,
        made: work.model.reader().model.input(),
    };
    let mut back_off = BackOff::new();
    while let Some(shard) = claimed.next()? {
        let rows = work.shards.rows_of(shard);
        let mut made = Vec::with_capacity(rows.len());
        for first in rows.clone().step_by(batch_size) {
            let numbers = first..(first + batch_size).min(rows.end);
            made.extend(batch(&to, &source, &numbers, &mut back_off)?);
        }
        let ids: Vec<String> = rows.map(image_id).collect();
        claimed.write(shard, &mut |_, part, writer| {
            let content = ImagePart {
                ids: &ids,
                images: &made,
            };
            Ok(writer.write_images(part, content)?)
        })?;
    }
    if run.stop.is_given() {
        return Err(NodeError::Stopped);
    }
    let seconds = started.elapsed().as_secs_f64();
    claimed.finish(seconds)?;
    if !joins {
        (run.emit)(Event::SamplesFinished {
            label: artifact.label.clone(),
            images,
            seconds,
        });
    }
    Ok(())
}

/// The decoder of the autoencoder whose latents are sampled; `None` where images are.
fn decoder(run: &Run<'_>, work: &Sample) -> Result<Option<Decoding>, NodeError> {
    let Some(autoencoder) = &work.model.autoencoder else {
        return Ok(None);
    };
    let model = loadable(run, autoencoder)?;
    let autoencoding = model.autoencoding();
    let autoencoding = autoencoding.ok_or_else(|| NodeError::bug("latents of no autoencoder"))?;
    let precision = autoencoding.latent_precision();
    let decoder = autoencoding.load_decoder(run.base, run.device, precision)?;
    Ok(Some(bytes_by(decoder)))
}

/// How images are made.
fn sampling(work: &Sample) -> Result<Sampling, NodeError> {
    let node = &work.node;
    let Some(denoising) = work.model.model.denoising() else {
        return Err(NodeError::bug("samples of a model that predicts no noise"));
    };
    Ok(Sampling {
        diffusion: denoising
            .process(&node.respacing)
            .map_err(|error| NodeError::Values(error.to_string().into()))?,
        method: match node.method {
            SampleMethod::Ancestral => Method::Ancestral,
            SampleMethod::Ddim { eta } => Method::Ddim { eta },
        },
        variance: if denoising.learns_variance() {
            Variance::Learned
        } else {
            Variance::FixedLarge
        },
        clip: denoising.clips(),
    })
}

/// The classes that the images have; `None` where they have none.
fn classes_of(work: &Sample) -> Option<ClassInput> {
    let of_classifier = || {
        let classifier = work.classifier.as_ref()?;
        let count = classifier.model.guides()?;
        Some(ClassInput { count, null: None })
    };
    work.model.model.classes().or_else(of_classifier)
}

/// The class of an image. The reader of experiments has seen to it that there is one.
fn class_of(work: &Sample, known: Option<ClassInput>, number: usize) -> i64 {
    let of_image = work.node.classes.as_ref().zip(known);
    let class = of_image.map(|(classes, known)| classes.number(known, work.node.seed, number));
    class.and_then(Result::ok).unwrap_or(UNKNOWN)
}

/// No class of any network: a network refuses it.
const UNKNOWN: i64 = -1;

/// The classes of the images, and what leads them there.
fn conditions<'a>(
    work: &Sample,
    classifier: Option<&'a dyn Network>,
    class_of: &'a (dyn Fn(usize) -> i64 + Sync),
) -> Result<Option<Conditions<'a>>, NodeError> {
    let node = &work.node;
    if node.classes.is_none() {
        return Ok(None);
    }
    let own = work.model.model.classes();
    let guidance = match (node.guidance, own.and_then(|classes| classes.null)) {
        (None, _) => None,
        (Some(scale), Some(null)) => Some(Guidance {
            scale,
            null: null.into(),
        }),
        (Some(_), None) => {
            return Err(NodeError::bug(
                "guidance of a network that always needs a class",
            ));
        }
    };
    Ok(Some(Conditions {
        class_of,
        is_given: own.is_some(),
        guidance,
        classifier: classifier.zip(node.classifier.map(|one| one.scale)),
    }))
}

/// Whose images are made, and how they are kept.
struct Kept<'a> {
    run: &'a Run<'a>,
    /// The job's name.
    name: &'a str,
    /// What the artifact is called.
    label: &'a str,
    format: ImageFormat,
    /// Channels and side of the images, which are not those of what is sampled where that are latents.
    made: InputSpec,
}

/// The images with these numbers, each as it is kept.
fn batch(
    &Kept {
        run,
        name,
        label,
        format,
        made,
    }: &Kept<'_>,
    source: &FromNoise<'_>,
    numbers: &Range<usize>,
    back_off: &mut BackOff,
) -> Result<Vec<Vec<u8>>, NodeError> {
    let mut make = |piece: Range<usize>| -> Result<Option<Vec<u8>>, ReverseError> {
        let images = piece.len();
        let numbers = numbers.start + piece.start..numbers.start + piece.end;
        source.make(numbers, &|| run.stop.is_given(), &mut || {
            (run.emit)(Event::SamplesAdvanced {
                label: label.to_owned(),
                images,
            });
        })
    };
    let mut told = |images| {
        (run.emit)(Event::BatchHalved {
            job: name.to_owned(),
            images,
        });
    };
    let pieces = back_off.pieces(numbers.len(), &mut make, &mut told);
    let pieces = pieces.map_err(|error| NodeError::Values(error.to_string().into()))?;
    let mut files = Vec::with_capacity(numbers.len());
    for piece in pieces {
        let pixels = piece.ok_or(NodeError::Stopped)?;
        let InputSpec { channels, side, .. } = made;
        let size = (channels * side * side).max(1) as usize;
        let encoded = pixels.par_chunks_exact(size);
        let encoded: Result<Vec<_>, _> = encoded
            .map(|pixels| match format {
                ImageFormat::Png => png(pixels, channels, side),
                ImageFormat::Raw => Ok(pixels.to_vec()),
            })
            .collect();
        files.extend(encoded?);
    }
    Ok(files)
}

/// One image as a PNG file. The settings are written down, so that equal pixels stay equal bytes.
fn png(pixels: &[u8], channels: u32, side: u32) -> Result<Vec<u8>, NodeError> {
    let mut file = Cursor::new(Vec::new());
    let colors = if channels == 1 {
        ExtendedColorType::L8
    } else {
        ExtendedColorType::Rgb8
    };
    PngEncoder::new_with_quality(&mut file, CompressionType::Fast, FilterType::Adaptive)
        .write_image(pixels, side, side, colors)
        .map_err(|error| {
            NodeError::Values(format!("a sample cannot be encoded: {error}").into())
        })?;
    Ok(file.into_inner())
}
