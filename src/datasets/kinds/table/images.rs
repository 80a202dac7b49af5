//! The images of a table, one row at a time.
//!
//! Images in Parquet files are read a block of rows at a time, and the last blocks are kept: whoever goes through a dataset in
//! order decodes every block once, from as many threads as there are. Memory is bounded whatever the row groups are like.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::parquet::{Block, ImageFile};
use crate::datasets::tree::Location;
use crate::datasets::{DatasetError, ReadImage, Sample};
use crate::imaging::Image;
use crate::limits::IMAGE_FILE;
use crate::message::{Hint, Message};

/// Where an image is.
pub(super) enum Place {
    /// A row, from 0, of one of the Parquet files.
    Row(usize, usize),
    /// A file of its own.
    File(PathBuf),
}

/// Blocks that are kept take about so many bytes at most, or are two.
const KEPT_BYTES: usize = 1 << 28;

/// A block that is kept: which it is, and what it holds once somebody has read it.
type Kept = ((usize, usize), Arc<OnceLock<Result<Block, Message>>>);

/// The rows of all files; the blocks of Parquet files that were read last are kept.
pub(super) struct Images {
    ids: Vec<String>,
    places: Vec<Place>,
    files: Vec<ImageFile>,
    /// Blocks that were read, the most recently used at the end.
    kept: Mutex<Vec<Kept>>,
}

impl Images {
    /// The images of samples with these ids at these places.
    pub(super) fn new(ids: Vec<String>, places: Vec<Place>, files: Vec<ImageFile>) -> Self {
        Self {
            ids,
            places,
            files,
            kept: Mutex::default(),
        }
    }

    /// The bytes of an image, if they are those that were listed, and the file that has them.
    fn bytes(&self, row: usize, sample: &Sample) -> Result<(Vec<u8>, PathBuf), DatasetError> {
        let (bytes, path) = self.found(row)?;
        if blake3::hash(&bytes).to_hex().as_str() == sample.content {
            Ok((bytes, path))
        } else {
            Err(DatasetError::Changed { path })
        }
    }

    fn found(&self, row: usize) -> Result<(Vec<u8>, PathBuf), DatasetError> {
        match self.places.get(row) {
            None => Err(DatasetError::Selection(
                format!("there is no image in row {row}").into(),
            )),
            Some(Place::File(path)) => {
                let hint = "it was there when the table was read";
                let bytes = Location::file(path).read(IMAGE_FILE, hint)?;
                Ok((bytes, path.clone()))
            }
            Some(Place::Row(file_number, row)) => {
                let file = self.files.get(*file_number);
                let file =
                    file.ok_or_else(|| DatasetError::Selection("there is no such file".into()))?;
                let (block, place) = file.block_of(*row);
                let kept = self.kept(*file_number, block);
                let read = kept.get_or_init(|| file.read(block).map_err(|error| error.explain()));
                match read {
                    Ok(images) => images
                        .image(place)
                        .map(|bytes| (bytes.to_vec(), file.path().to_owned()))
                        .ok_or_else(|| {
                            super::malformed(file.path(), format!("row {} has no image", row + 1))
                        }),
                    Err(error) => Err(DatasetError::Selection(error.clone())),
                }
            }
        }
    }

    /// The place of a block among those that are kept, made if it has none.
    fn kept(&self, file: usize, block: usize) -> Arc<OnceLock<Result<Block, Message>>> {
        // Two for each thread that may read in parallel, each at a place of its own; fewer of large ones.
        let threads = 2 * rayon::current_num_threads() + 2;
        let largest = self.files.iter().map(ImageFile::block_bytes).max();
        let most = (KEPT_BYTES / largest.unwrap_or(1).max(1)).clamp(2, threads);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.iter().position(|(key, _)| *key == (file, block));
        let entry = match found {
            Some(at) => kept.remove(at),
            None => ((file, block), Arc::default()),
        };
        if kept.len() >= most {
            kept.remove(0);
        }
        let block = Arc::clone(&entry.1);
        kept.push(entry);
        block
    }
}

impl ReadImage for Images {
    fn read(&self, row: usize, sample: &Sample) -> Result<Image, DatasetError> {
        let (bytes, path) = self.bytes(row, sample)?;
        Image::decode(&bytes).map_err(|error| DatasetError::BadImage {
            id: self.ids[row].clone(),
            path,
            problem: error.to_string(),
        })
    }

    fn encoded(&self, row: usize, sample: &Sample) -> Result<Option<Vec<u8>>, DatasetError> {
        self.bytes(row, sample).map(|(bytes, _)| Some(bytes))
    }
}
