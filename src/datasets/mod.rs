//! Datasets: one file a kind.
//!
//! A kind reads its own table into a [`Dataset`], which lists its samples as a [`Manifest`] and reads
//! one image at a time. The kinds are in `kinds/`; beside it is what they share.

mod digest;
mod environment;
mod kinds;
mod listed;
mod manifest;
mod matlab;
pub mod published;
pub mod survey;
mod tree;
mod unpacked;
pub mod warnings;

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::bug::Bug;
use crate::checked_blocks::damage_in;
use crate::imaging::Image;
use crate::message::{Hint, Message};
use crate::spec::fields::Spanned;
use crate::spec::{Key, Kind, Parse, Text};
use crate::warning::Warning;

pub use digest::{Digester, PlainDigester};
pub use environment::{Environment, NoScratch, Scratch, WriteContent};
pub use kinds::ALL;
pub(crate) use kinds::rows_at_once;
pub use manifest::{Manifest, Sample, SplitCount};

/// A kind of dataset.
pub type DatasetKind = Kind<Parse<Arc<dyn Dataset>>>;

/// Where a dataset's files are; each kind that has this key says what they are.
pub const ROOT: Key<Text> = Key::text("root", "a path");

/// The splits of most published datasets, as [`Dataset::splits`] has them.
fn train_and_test() -> Vec<String> {
    ["train", "test"].map(str::to_owned).to_vec()
}

/// A dataset as declared: cheap to hold, nothing is read yet.
pub trait Dataset: Send + Sync + Debug {
    /// The name of its kind, as it is typed.
    fn kind(&self) -> &'static str;

    /// Lists the samples.
    ///
    /// `environment` says how files are read, `upstream` is the opened dataset that this one is made from.
    ///
    /// # Errors
    /// A missing, truncated or malformed file, named with its remedy.
    fn open(
        &self,
        environment: &Environment<'_>,
        upstream: Option<Arc<OpenDataset>>,
    ) -> Result<OpenDataset, DatasetError>;

    /// The name of the dataset that this one is made from, for a kind with a key `of`.
    fn upstream(&self) -> Option<&Spanned<String>> {
        None
    }

    /// The samples whose images it has, for a kind whose images a run makes; such a dataset is never opened.
    fn generated(&self) -> Option<Generated<'_>> {
        None
    }

    /// What the owners' lists name, without reading or needing a single image; `None` for a kind without lists.
    fn listed(&self, _environment: &Environment<'_>) -> Option<Result<Listing, DatasetError>> {
        None
    }

    /// The splits that it has, or some of which it has, where the files do not decide that.
    fn splits(&self) -> Option<Vec<String>> {
        None
    }

    /// How many samples it has of each split, where the dataset that it is made from has so many of so many `classes`: what it keeps
    /// of equally large classes. `None` for a kind that is not made from another one.
    ///
    /// # Errors
    /// Keys that do not fit the other dataset, and a list that cannot be read.
    fn estimate(
        &self,
        _environment: &Environment<'_>,
        _classes: usize,
        _splits: &[SplitCount],
    ) -> Option<Result<Vec<SplitCount>, DatasetError>> {
        None
    }

    /// Files beside the dataset that it is made from, which choose among the samples of that; from the folder that relative paths
    /// start from.
    fn lists(&self) -> Vec<&Path> {
        Vec::new()
    }

    /// What the dataset settles that the paper leaves open; reports list it beside the deviations from the paper.
    fn open_questions(&self) -> Vec<OpenQuestion> {
        Vec::new()
    }
}

/// Where the images of a dataset come from that has no files.
#[derive(Debug, Clone, Copy)]
pub struct Generated<'a> {
    /// The name of the `[samples.NAME]`.
    pub samples: &'a Spanned<String>,
    /// The split that all of them are.
    pub split: &'a str,
}

/// Something that the paper does not say of a dataset or a head, and what is done here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenQuestion {
    /// What is left open, in a few words.
    pub topic: &'static str,
    /// What is done here.
    pub here: &'static str,
    /// Why it is done so.
    pub reason: &'static str,
}

/// What the owners' lists of a dataset name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// How many classes the lists have.
    pub classes: usize,
    /// Images of each split.
    pub splits: Vec<SplitCount>,
    /// Images that are named and are not there.
    pub missing: usize,
    /// The digest of all that the lists name, as [`Manifest::digest_of_names`] has it once the images are there.
    pub names: String,
}

/// A dataset whose samples are listed.
pub struct OpenDataset {
    /// Every sample, in the one order that everything downstream uses.
    pub manifest: Manifest,
    /// Reads images.
    images: Box<dyn ReadImage>,
    /// What looks wrong with its files, such as those that are left out.
    warnings: Vec<Warning>,
}

impl OpenDataset {
    /// A dataset with these samples, whose images are read by `images`.
    pub fn new(manifest: Manifest, images: Box<dyn ReadImage>) -> Self {
        Self {
            manifest,
            images,
            warnings: Vec::new(),
        }
    }

    /// The same dataset, with what looks wrong with its files.
    #[must_use]
    pub fn with_warnings(self, warnings: Vec<Warning>) -> Self {
        Self { warnings, ..self }
    }

    /// What looks wrong with its files, such as those that are left out.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The image of a manifest row, decoded, in its own size and colors.
    ///
    /// # Errors
    /// An image that cannot be read or does not decode; [`DatasetError::Changed`] for one that is not what the manifest lists.
    pub fn image(&self, row: usize) -> Result<Image, DatasetError> {
        self.images.read(row, self.sample(row)?)
    }

    /// The image of a manifest row as it is stored, such as the bytes of a JPEG file; `None` where bare pixels are stored.
    ///
    /// # Errors
    /// As [`OpenDataset::image`], but for the decoding.
    pub fn encoded(&self, row: usize) -> Result<Option<Vec<u8>>, DatasetError> {
        self.images.encoded(row, self.sample(row)?)
    }

    fn sample(&self, row: usize) -> Result<&Sample, DatasetError> {
        self.manifest.samples.get(row).ok_or_else(|| {
            DatasetError::Selection(format!("there is no image in row {row}").into())
        })
    }
}

/// Reads one image of a dataset. Bytes that are read from the disk only now are compared with the digest that the manifest has for
/// the sample: the file may be another one than when it was listed.
pub trait ReadImage: Send + Sync {
    /// The image of a manifest row, which is that of `sample`, decoded, in its own size and colors.
    ///
    /// # Errors
    /// An image that cannot be read or does not decode; [`DatasetError::Changed`] for one whose bytes are not those of `sample`.
    fn read(&self, row: usize, sample: &Sample) -> Result<Image, DatasetError>;

    /// The image of a manifest row as it is stored, such as the bytes of a JPEG file; `None` where bare pixels are stored.
    ///
    /// # Errors
    /// As [`ReadImage::read`], but for the decoding.
    fn encoded(&self, _row: usize, _sample: &Sample) -> Result<Option<Vec<u8>>, DatasetError> {
        Ok(None)
    }
}

/// What can be wrong with a dataset's files.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// A file or folder that should be there.
    #[error("{} is missing", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
        /// Where to get it.
        hint: String,
    },
    /// Images that a list names.
    #[error("{} is missing: {place} names it; {missing} of the {named} images that are named are missing", path.display())]
    MissingImages {
        /// The first of the missing images.
        path: PathBuf,
        /// What names it, such as "line 3 of images.txt".
        place: String,
        /// How many of the named images are missing.
        missing: usize,
        /// How many images the list names in all.
        named: usize,
        /// Where to get them.
        hint: String,
    },
    /// A file that is not what it should be.
    #[error("{} is malformed: {problem}", path.display())]
    Malformed {
        /// The malformed file or folder.
        path: PathBuf,
        /// A lower-case fragment.
        problem: String,
        /// A lower-case fragment.
        hint: String,
    },
    /// An image that does not decode.
    #[error("image `{id}` ({}) does not decode: {problem}", path.display())]
    BadImage {
        /// The sample's id.
        id: String,
        /// The image's file, or the file or archive that holds it.
        path: PathBuf,
        /// What the decoder reported.
        problem: String,
    },
    /// A file whose bytes are not those that were listed.
    #[error("{} changed: its bytes are not those that the experiment was planned with", path.display())]
    Changed {
        /// The file, or the place in an archive or a table.
        path: PathBuf,
    },
    /// What was unpacked of an archive into the cache, and is not any more what was written there.
    #[error("{} {reason}", path.display())]
    Unpacked {
        /// The file in the cache.
        path: PathBuf,
        /// How it is damaged, to be read after its name.
        reason: String,
    },
    /// An image that decodes, and cannot be made square.
    #[error("image `{id}` cannot be made square: {problem}")]
    Oversized {
        /// The sample's id.
        id: String,
        /// What is too large.
        problem: String,
    },
    /// An image without a latent.
    #[error("image `{id}` has no latent: it did not decode when the latents were made")]
    NoLatent {
        /// The sample's id.
        id: String,
    },
    /// A file that cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file or folder that cannot be read.
        path: PathBuf,
        /// What the operating system reported.
        source: std::io::Error,
    },
    /// A selection that leaves nothing, or asks for more than there is.
    #[error("{}", .0.text)]
    Selection(Message),
    /// The program contradicts itself.
    #[error(transparent)]
    Bug(#[from] Bug),
}

impl Hint for DatasetError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { hint, .. }
            | Self::MissingImages { hint, .. }
            | Self::Malformed { hint, .. } => Some(hint.clone()),
            Self::BadImage { .. } | Self::Oversized { .. } | Self::NoLatent { .. } => Some(
                "fix or remove it, or set `on_bad_image = \"skip\"` in the extraction".to_owned(),
            ),
            Self::Changed { .. } => Some(
                "leave the files of a dataset alone until a run has ended; the same command plans again, with the files as they are now"
                    .to_owned(),
            ),
            Self::Unpacked { .. } => Some(
                "the archive itself is not what is damaged: `repro run` and `repro plan` set this file aside and unpack the archive again"
                    .to_owned(),
            ),
            Self::Selection(message) => message.hint.clone(),
            Self::Io { .. } | Self::Bug(_) => None,
        }
    }
}

impl DatasetError {
    /// Whether it is the fault of one image, which `on_bad_image` says what to do about.
    pub fn is_of_one_image(&self) -> bool {
        matches!(
            self,
            Self::BadImage { .. } | Self::Oversized { .. } | Self::NoLatent { .. }
        )
    }

    /// An I/O error, with "not found" and damage in the cache told apart.
    pub fn io(path: &Path, source: std::io::Error, hint: &str) -> Self {
        if let Some(damage) = damage_in(&source) {
            return Self::Unpacked {
                path: damage.path.clone(),
                reason: damage.reason.clone(),
            };
        }
        if source.kind() == std::io::ErrorKind::NotFound {
            Self::Missing {
                path: path.to_owned(),
                hint: hint.to_owned(),
            }
        } else {
            Self::Io {
                path: path.to_owned(),
                source,
            }
        }
    }
}
