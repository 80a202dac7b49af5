//! Preparing batches: decode and make square, or read a latent; add noise. Runs beside the network and never waits for it to finish.

use std::sync::Arc;

use rayon::prelude::*;

use super::latents::LatentRows;
use crate::datasets::{DatasetError, OpenDataset};
use crate::diffusion::{Coefficients, NoiseOf};
use crate::imaging::preprocess::View;
use crate::inputs::{ImageSource, Showing};
use crate::models::{ClassCondition, ClassInput, Model};
use crate::plan::PassKey;

/// What a pass needs to prepare its images.
pub(super) struct Preparation<'a> {
    pub(super) images: ImageSource<'a>,
    /// What the network reads in place of images; `None` where it reads images.
    latents: Option<LatentRows>,
    pub(super) key: &'a PassKey,
    /// `None` where the model has no noise.
    pub(super) coefficients: Option<Coefficients>,
    /// Which class the network is given with each image, and those that it has; `None` where it is given none.
    pub(super) class: Option<(ClassCondition, ClassInput)>,
    pub(super) skip_bad_images: bool,
}

/// One batch, ready for the network.
pub(super) struct Batch {
    /// Number of images.
    pub(super) images: usize,
    /// `[N, C, H, W]`, images or latents, noisy (`x_t`) where the model has noise.
    pub(super) pixels: Vec<f32>,
    /// What the network is given with each image, `[N]`; `None` where it is given no class.
    pub(super) classes: Option<Vec<i64>>,
    /// Images of the batch that did not decode: position and reason. Their pixels are zero.
    pub(super) skipped: Vec<(usize, String)>,
}

impl<'a> Preparation<'a> {
    /// `None` where the model has no such timestep.
    pub(super) fn new(
        (dataset, latents): (Arc<OpenDataset>, Option<LatentRows>),
        key: &'a PassKey,
        model: &dyn Model,
        skip_bad_images: bool,
    ) -> Option<Self> {
        let coefficients = match key.timestep {
            Some(timestep) => Some(model.coefficients(timestep)?),
            None => None,
        };
        Some(Self {
            images: ImageSource {
                dataset,
                preprocess: &key.shown.preprocess,
                normalization: key.normalization,
                input: model.input(),
            },
            latents,
            key,
            coefficients,
            class: key.class.zip(model.classes()),
            skip_bad_images,
        })
    }

    /// The batch of some rows, each image by itself, with the noise `x_t = sqrt(ᾱ_t) x_0 + sqrt(1 - ᾱ_t) ε` (Eq. 2 of the paper) where the
    /// model has noise; `draw` is which random draw.
    pub(super) fn batch(&self, rows: &[usize], draw: u32) -> Result<Batch, DatasetError> {
        let input = self.images.input;
        let side = input.side as usize;
        let size = input.channels as usize * side * side;
        let mut pixels = vec![0f32; rows.len() * size];
        let outcomes: Vec<Result<Option<String>, DatasetError>> = pixels
            .par_chunks_mut(size)
            .zip(rows)
            .map(|(target, &row)| match self.image(row, draw, target) {
                Ok(()) => Ok(None),
                Err(error) if self.skip_bad_images && error.is_of_one_image() => {
                    target.fill(0.0);
                    Ok(Some(error.to_string()))
                }
                Err(error) => Err(error),
            })
            .collect();
        let mut skipped = Vec::new();
        for (position, outcome) in outcomes.into_iter().enumerate() {
            if let Some(reason) = outcome? {
                skipped.push((position, reason));
            }
        }
        Ok(Batch {
            images: rows.len(),
            pixels,
            classes: self.classes(rows)?,
            skipped,
        })
    }

    /// What the network is given with the images of some rows besides their pixels, `[N]`; `None` where it is given no class.
    pub(super) fn classes(&self, rows: &[usize]) -> Result<Option<Vec<i64>>, DatasetError> {
        let Some((condition, classes)) = self.class else {
            return Ok(None);
        };
        let number = |&row: &usize| {
            let sample = self.images.sample(row);
            condition.number(classes, sample.label).map_err(|error| {
                DatasetError::Selection(format!("image `{}`: {error}", sample.id).into())
            })
        };
        rows.iter().map(number).collect::<Result<_, _>>().map(Some)
    }

    fn image(&self, row: usize, draw: u32, target: &mut [f32]) -> Result<(), DatasetError> {
        let (_, seed) = self.key.draw_and_seed();
        let view = self.key.view.name();
        let shown = Showing {
            seed,
            view,
            draw,
            mirrored: self.key.view == View::Flip,
        };
        let mut planes = match &self.latents {
            Some(latents) => latents.read(row, &self.images.sample(row).id)?,
            None => self.images.planes(row, shown)?,
        };
        if let (Some(coefficients), Some(timestep)) = (self.coefficients, self.key.timestep) {
            let of = NoiseOf {
                seed,
                sample: &self.images.sample(row).id,
                view,
                timestep,
                draw,
            };
            coefficients.add_noise_of(of, &mut planes, target);
        }
        target.copy_from_slice(&planes);
        Ok(())
    }
}
