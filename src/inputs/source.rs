//! From a row of a dataset to the numbers that a network reads: decoded, made square, mirrored, normalized. The one path, for
//! passes, trainings and pictures alike.

use std::sync::Arc;

use crate::datasets::{DatasetError, OpenDataset, Sample};
use crate::imaging::preprocess::Draw;
use crate::imaging::{Normalization, Preprocess, Room};
use crate::models::InputSpec;

/// The images of a dataset as a network reads them.
pub struct ImageSource<'a> {
    /// The opened dataset that rows refer to.
    pub dataset: Arc<OpenDataset>,
    /// How images become squares.
    pub preprocess: &'a Preprocess,
    /// How pixels become numbers.
    pub normalization: Normalization,
    /// What the network reads.
    pub input: InputSpec,
}

/// One showing of an image. What random steps draw is a function of it and of the image's id.
#[derive(Debug, Clone, Copy)]
pub struct Showing<'a> {
    /// Seed of what random steps draw.
    pub seed: u64,
    /// The name of the view, or of the step of a training.
    pub view: &'a str,
    /// The number of the draw, from 0.
    pub draw: u32,
    /// Whether left and right are exchanged.
    pub mirrored: bool,
}

impl ImageSource<'_> {
    /// What the dataset lists in a row.
    pub fn sample(&self, row: usize) -> &Sample {
        &self.dataset.manifest.samples[row]
    }

    /// The image of a row, `[C, H, W]`, without noise.
    ///
    /// # Errors
    /// An image that cannot be read, does not decode, or grows too large on its way to the square.
    pub fn planes(&self, row: usize, shown: Showing<'_>) -> Result<Vec<f32>, DatasetError> {
        // From the file to the square in one stay, so that the pixels of waiting threads are none.
        let _room = Room::enter();
        let image = self.dataset.image(row)?;
        let draw = Draw {
            seed: shown.seed,
            sample: &self.sample(row).id,
            view: shown.view,
            draw: shown.draw,
        };
        let side = self.input.side as usize;
        let values = (self.input.channels as usize, self.normalization);
        let planes = self
            .preprocess
            .planes(&image, side, draw, shown.mirrored, values);
        planes.map_err(|error| DatasetError::Oversized {
            id: self.sample(row).id.clone(),
            problem: error.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datasets::{Manifest, ReadImage};
    use crate::imaging::Image;

    /// One gray image, dark on the left.
    struct One;

    impl ReadImage for One {
        fn read(&self, _row: usize, _sample: &Sample) -> Result<Image, DatasetError> {
            Ok(Image::gray(2, 2, vec![0, 255, 0, 255]))
        }
    }

    #[test]
    fn a_mirrored_image_has_left_and_right_exchanged() {
        let ids = std::iter::once("image-0".to_owned());
        let preprocess = Preprocess::default();
        let source = ImageSource {
            dataset: Arc::new(OpenDataset::new(
                Manifest::generated(ids, "test", String::new()),
                Box::new(One),
            )),
            preprocess: &preprocess,
            normalization: Normalization::default(),
            input: InputSpec {
                channels: 1,
                side: 2,
                normalization: Normalization::default(),
                noise: None,
            },
        };
        let planes = |mirrored| {
            let shown = Showing {
                seed: 0,
                view: "center",
                draw: 0,
                mirrored,
            };
            source.planes(0, shown).unwrap()
        };
        assert_eq!(planes(false), [-1.0, 1.0, -1.0, 1.0]);
        assert_eq!(planes(true), [1.0, -1.0, 1.0, -1.0]);
    }
}
