//! Preparing batches: decode, make square, add noise. Runs beside the network and never waits for it to finish.

use std::sync::Arc;

use rayon::prelude::*;

use crate::datasets::{DatasetError, OpenDataset};
use crate::diffusion::Coefficients;
use crate::diffusion::noise::fill_noise;
use crate::imaging::preprocess::{Draw, View};
use crate::models::{InputSpec, Model};
use crate::plan::PassKey;

/// What a pass needs to prepare its images.
pub(super) struct Preparation<'a> {
    pub(super) dataset: Arc<OpenDataset>,
    pub(super) key: &'a PassKey,
    pub(super) input: InputSpec,
    /// `None` where the model has no noise.
    pub(super) coefficients: Option<Coefficients>,
    pub(super) skip_bad_images: bool,
}

/// One batch, ready for the network.
pub(super) struct Batch {
    /// Number of images.
    pub(super) images: usize,
    /// `[N, C, H, W]`, noisy (`x_t`) where the model has noise.
    pub(super) pixels: Vec<f32>,
    /// Images of the batch that did not decode: position and reason. Their pixels are zero.
    pub(super) skipped: Vec<(usize, String)>,
}

impl<'a> Preparation<'a> {
    /// `None` where the model has no such timestep.
    pub(super) fn new(
        dataset: Arc<OpenDataset>,
        key: &'a PassKey,
        model: &dyn Model,
        skip_bad_images: bool,
    ) -> Option<Self> {
        let coefficients = match key.timestep {
            Some(timestep) => Some(model.coefficients(timestep)?),
            None => None,
        };
        Some(Self {
            dataset,
            key,
            input: model.input(),
            coefficients,
            skip_bad_images,
        })
    }

    /// The batch of some rows, each image by itself, with the noise `x_t = sqrt(ᾱ_t) x_0 + sqrt(1 - ᾱ_t) ε` (Eq. 2 of the paper) where the
    /// model has noise; `draw` is which random draw.
    pub(super) fn batch(&self, rows: &[usize], draw: u32) -> Result<Batch, DatasetError> {
        let side = self.input.side as usize;
        let size = self.input.channels as usize * side * side;
        let mut pixels = vec![0f32; rows.len() * size];
        let outcomes: Vec<Result<Option<String>, DatasetError>> = pixels
            .par_chunks_mut(size)
            .zip(rows)
            .map(|(target, &row)| match self.image(row, draw, target) {
                Ok(()) => Ok(None),
                Err(error @ DatasetError::BadImage { .. }) if self.skip_bad_images => {
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
            skipped,
        })
    }

    fn image(&self, row: usize, draw: u32, target: &mut [f32]) -> Result<(), DatasetError> {
        let image = self.dataset.images.read(row)?;
        let sample = &self.dataset.manifest.samples[row].id;
        let (_, seed) = self.key.draw_and_seed();
        let drawn = Draw {
            seed,
            sample,
            view: self.key.view.name(),
            draw,
        };
        let square = self
            .key
            .preprocess
            .apply(&image, self.input.side as usize, drawn);
        let square = match self.key.view {
            View::Center => square,
            View::Flip => square.flip(),
        };
        let mut planes = square.to_planes(self.input.channels as usize, self.key.normalization);
        if let (Some(coefficients), Some(timestep)) = (&self.coefficients, self.key.timestep) {
            let view = self.key.view.name();
            fill_noise(seed, sample, view, timestep, draw, target);
            coefficients.add_noise(&mut planes, target);
        }
        target.copy_from_slice(&planes);
        Ok(())
    }
}
