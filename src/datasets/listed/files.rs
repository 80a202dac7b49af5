//! Reading images that are files of their own, unpacked or not, whole or without some rows at their bottom.

use crate::datasets::tree::Location;
use crate::datasets::{DatasetError, ReadImage, Sample};
use crate::imaging::{Image, Rectangle};
use crate::limits::IMAGE_FILE;

/// What is cut off an image before anything else looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::datasets) struct Trim {
    /// Rows at the bottom.
    pub(in crate::datasets) bottom: usize,
}

impl Trim {
    /// Nothing is cut off.
    pub(in crate::datasets) const NONE: Self = Self { bottom: 0 };

    /// The digest of a sample, from that of its file. What is cut is part of it, and so of everything that is computed from
    /// the image.
    pub(super) fn content(self, file: String) -> String {
        if self == Self::NONE {
            return file;
        }
        let text = format!("{} rows cut from the bottom of {file}", self.bottom);
        blake3::hash(text.as_bytes()).to_hex().to_string()
    }

    /// The image without what is cut.
    fn apply(self, image: Image) -> Result<Image, String> {
        let (width, height) = image.size();
        match height.checked_sub(self.bottom) {
            Some(_) if self == Self::NONE => Ok(image),
            Some(rest) if rest > 0 => Ok(image.crop(Rectangle {
                left: 0,
                top: 0,
                width,
                height: rest,
            })),
            _ => Err(format!(
                "it has {height} rows, and the {} at its bottom are to be cut off",
                self.bottom
            )),
        }
    }
}

/// Files in the order of a manifest, each with the id of its sample.
pub(in crate::datasets) struct Files {
    files: Vec<(String, Location)>,
    trim: Trim,
}

impl Files {
    /// A reader of these files.
    pub(in crate::datasets) fn new(files: Vec<(String, Location)>, trim: Trim) -> Self {
        Self { files, trim }
    }

    fn file(&self, row: usize) -> Result<&(String, Location), DatasetError> {
        self.files.get(row).ok_or_else(|| {
            DatasetError::Selection(format!("there is no image in row {row}").into())
        })
    }

    /// The bytes of a file, if they are those that were listed.
    fn bytes_of(&self, location: &Location, sample: &Sample) -> Result<Vec<u8>, DatasetError> {
        let bytes = location.read(IMAGE_FILE, "it was there when the folder was listed")?;
        let digest = blake3::hash(&bytes).to_hex().to_string();
        if self.trim.content(digest) == sample.content {
            Ok(bytes)
        } else {
            Err(DatasetError::Changed {
                path: location.path(),
            })
        }
    }
}

impl ReadImage for Files {
    fn read(&self, row: usize, sample: &Sample) -> Result<Image, DatasetError> {
        let (id, location) = self.file(row)?;
        let bad = |problem| DatasetError::BadImage {
            id: id.clone(),
            path: location.path(),
            problem,
        };
        let bytes =
            self.bytes_of(location, sample)
                .map_err(|error| match location.broken_link() {
                    Some(problem) => bad(format!("it is {problem}")),
                    None => error,
                })?;
        let image = Image::decode(&bytes).map_err(|error| error.to_string());
        let image = image.and_then(|image| self.trim.apply(image));
        image.map_err(bad)
    }

    fn encoded(&self, row: usize, sample: &Sample) -> Result<Option<Vec<u8>>, DatasetError> {
        let (_, location) = self.file(row)?;
        self.bytes_of(location, sample).map(Some)
    }
}
