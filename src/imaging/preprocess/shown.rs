//! Which square of an image is shown, and what random steps are a function of.

use serde::Serialize;

use crate::random::Stream;

/// What an extraction shows to the network of each image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, PartialOrd, Ord, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum View {
    /// The image as preprocessed.
    Center,
    /// The image as preprocessed, left and right exchanged.
    Flip,
}

impl View {
    /// The word that users type and that the store keeps.
    pub fn name(self) -> &'static str {
        match self {
            Self::Center => "center",
            Self::Flip => "flip",
        }
    }

    /// Every view by its word.
    pub const CHOICES: &[(&'static str, Self)] = &[("center", Self::Center), ("flip", Self::Flip)];
}

/// What a square is for. Random steps are a function of it.
#[derive(Debug, Clone, Copy)]
pub struct Draw<'a> {
    /// The experiment's seed.
    pub seed: u64,
    /// The sample's id in its dataset.
    pub sample: &'a str,
    /// The name of the view, or of the step of a training.
    pub view: &'a str,
    /// The number of the draw, from 0.
    pub draw: u32,
}

impl Draw<'_> {
    /// The random numbers of one step of a list.
    pub(super) fn stream(self, step: usize) -> Stream {
        let Self {
            seed,
            sample,
            view,
            draw,
        } = self;
        // The only text of unknown length stands last.
        Stream::new(seed, &format!("preprocess/{step}/{draw}/{view}/{sample}"))
    }
}
