//! The arrays of an archive: where the images lie, and what the labels are.
//!
//! # Reference
//! openai/guided-diffusion@22e0df8: scripts/image_sample.py (`np.savez(out_path, arr, label_arr)`), evaluations/evaluator.py
//! (`open_npz_array(path, "arr_0")`).
//!
//! # Deviations
//! The evaluator scales floats from 0 to 1 and from -1 to 1 as well; here pixels are bytes, as the scripts save them.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use rayon::prelude::*;

use super::labels::labels_of;
use super::{HINT, Wrong};
use crate::bug::Bug;
use crate::datasets::{DatasetError, ReadImage, Sample};
use crate::imaging::Image;
use crate::limits::{self, ARRAY_IMAGES, MOST_PIXELS};
use crate::npy::archived::{ENDING, fault};
use crate::npy::{Element, Header};
use crate::recognized::{BEGINNING, recognized};
use crate::visible::shown;
use crate::zip_archive::{Archive, ArchiveFault, MAGIC};

/// The images and labels of a file.
pub(super) struct Arrays {
    pub(super) images: Images,
    /// One for each image; `None` where the file has none.
    pub(super) labels: Option<Vec<u32>>,
}

/// The images of an array.
pub(super) struct Images {
    path: PathBuf,
    place: Place,
    pub(super) count: usize,
    height: usize,
    width: usize,
    /// 3, or 1 where they are gray.
    channels: usize,
}

/// Where the elements of the array are.
enum Place {
    /// In the file, from this byte on.
    File(File, u64),
    /// In memory, from this byte on: what was compressed in the file.
    Memory(Vec<u8>, usize),
}

/// An array whose header was read.
struct Found<'f> {
    header: Header,
    /// All bytes of the member, header and elements.
    content: Cow<'f, [u8]>,
    /// Where the member begins in the file, unless it was compressed.
    start: Option<usize>,
}

/// Reads the headers of the arrays, and the labels. `labels` is `None` where `default` may be the array of them.
///
/// # Errors
/// A file that is missing, something else or damaged, an array that is missing or of another type or shape.
pub(super) fn open(
    path: &Path,
    images: &str,
    labels: Option<&str>,
    default: &str,
) -> Result<Arrays, DatasetError> {
    let opened = |source| DatasetError::io(path, source, HINT);
    let file = File::open(path).map_err(opened)?;
    if file.metadata().map_err(opened)?.is_dir() {
        let problem = "it is a folder".to_owned();
        let hint = "`file` is one archive; `kind = \"image-folder\"` reads a folder of images";
        return Err(malformed(path, problem, hint));
    }
    #[expect(unsafe_code, reason = "there is no safe way to map a file")]
    // SAFETY: the map is only read, and only in this function. If another process shortened the file meanwhile, reading would end this
    // process with a signal; no memory becomes invalid otherwise.
    let map = unsafe { Mmap::map(&file) };
    let map = map.map_err(opened)?;
    if !map.starts_with(MAGIC) {
        return Err(something_else(path, &map));
    }
    let archive = Archive::open(&map).map_err(|fault| damaged(path, fault))?;
    let find = |name: &str| find(path, (&map[..], &archive), name);
    let Some(found) = find(images)? else {
        return Err(missing(path, images, "images", &archive));
    };
    let shape = image_shape(&found.header)
        .map_err(|(problem, hint)| malformed(path, of(images, &problem), hint))?;
    let found_labels = match labels {
        None => find(default)?,
        Some(name) => {
            let found = find(name)?;
            Some(found.ok_or_else(|| missing(path, name, "labels", &archive))?)
        }
    };
    let labels = match found_labels {
        None => None,
        Some(found) => {
            let elements = found.content.get(found.header.start..).unwrap_or_default();
            let read = labels_of(&found.header, elements, shape.count);
            let name = labels.unwrap_or(default);
            let read = read.map_err(|(problem, hint)| malformed(path, of(name, &problem), hint));
            Some(read?)
        }
    };
    let Found {
        header,
        content,
        start,
    } = found;
    let place = match (start, content) {
        (None, content) => Place::Memory(content.into_owned(), header.start),
        (Some(start), _) => Place::File(file, (start + header.start) as u64),
    };
    let Shape {
        count,
        height,
        width,
        channels,
    } = shape;
    Ok(Arrays {
        images: Images {
            path: path.to_owned(),
            place,
            count,
            height,
            width,
            channels,
        },
        labels,
    })
}

/// The array of a name; `None` where there is none.
fn find<'f>(
    path: &Path,
    (file, archive): (&'f [u8], &Archive<'f>),
    name: &str,
) -> Result<Option<Found<'f>>, DatasetError> {
    let member = format!("{name}{ENDING}");
    let most = limits::unpacked(file.len() as u64);
    let content = archive.unpacked_member(file, &member, most);
    let Some(content) = content.map_err(|fault| damaged(path, fault))? else {
        return Ok(None);
    };
    let start = if let Cow::Borrowed(_) = &content {
        let bytes = archive.find(&member);
        let bytes = bytes.map_err(|fault| damaged(path, fault))?;
        bytes.map(|bytes| bytes.start)
    } else {
        None
    };
    let header = Header::read(&content, content.len());
    let header = header.map_err(|error| damaged(path, fault(&member, &error)))?;
    Ok(Some(Found {
        header,
        content,
        start,
    }))
}

/// What the shape of an array of images says.
struct Shape {
    count: usize,
    height: usize,
    width: usize,
    channels: usize,
}

fn image_shape(header: &Header) -> Result<Shape, Wrong> {
    if header.element != (Element::Unsigned { bytes: 1 }) {
        let problem = format!(
            "holds {}, and pixels are unsigned bytes",
            words(header.element)
        );
        let hint = "save pixels from 0 to 255 as `uint8`, as scripts/image_sample.py of guided-diffusion does";
        return Err((problem, hint));
    }
    let (count, height, width, channels) = match *header.shape.as_slice() {
        [count, height, width, channels @ (1 | 3)] => (count, height, width, channels),
        [_, _, _, 4] => {
            let problem = shape_problem(header);
            return Err((problem, "leave the fourth channel out: `images[..., :3]`"));
        }
        [_, 1 | 3, _, _] => {
            let hint = "put the channels last: `images.transpose(0, 2, 3, 1)`";
            return Err((shape_problem(header), hint));
        }
        // Gray images three pixels wide are taken for one image in color, whose first axis is missing.
        [_, _, 1 | 3] => {
            let hint = "an array of one image has an axis before it: `image[None]`; of gray images so narrow, one behind it";
            return Err((shape_problem(header), hint));
        }
        [count, height, width] => (count, height, width, 1),
        _ => {
            let hint = "the axes of images are number, height, width and channels";
            return Err((shape_problem(header), hint));
        }
    };
    if header.is_fortran_order {
        let problem = "is in Fortran's order".to_owned();
        return Err((problem, "save `numpy.ascontiguousarray(images)`"));
    }
    if count == 0 || height == 0 || width == 0 {
        let problem = format!("has no images: its shape is {:?}", header.shape);
        return Err((problem, "save one image at least"));
    }
    if count > ARRAY_IMAGES {
        let problem = format!("has {count} images, and at most {ARRAY_IMAGES} are read");
        return Err((problem, "divide it into several files"));
    }
    if (height as u64).saturating_mul(width as u64) > MOST_PIXELS {
        let problem =
            format!("has images of {height} × {width} pixels, and at most {MOST_PIXELS} are read");
        return Err((problem, "make them smaller"));
    }
    Ok(Shape {
        count,
        height,
        width,
        channels,
    })
}

fn shape_problem(header: &Header) -> String {
    format!(
        "has the shape {:?}, and images are `[N, H, W, 3]`, or `[N, H, W, 1]` or `[N, H, W]` where they are gray",
        header.shape
    )
}

/// What elements are, in words.
pub(super) fn words(element: Element) -> String {
    match element {
        Element::Bool => "truth values".to_owned(),
        Element::Signed { bytes } => format!("signed integers of {} bits", 8 * bytes),
        Element::Unsigned { bytes } => format!("unsigned integers of {} bits", 8 * bytes),
        Element::Float { bytes } => format!("floats of {} bits", 8 * bytes),
        Element::Bytes { .. } | Element::Text { .. } => "texts".to_owned(),
    }
}

impl Images {
    /// The digest of every image: BLAKE3 of height, width and channels, each in eight bytes, and of the pixels.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(super) fn digests(&self) -> Result<Vec<[u8; 32]>, DatasetError> {
        let rows = (0..self.count).into_par_iter();
        rows.map(|row| Ok(*self.digest(&self.pixels(row)?).as_bytes()))
            .collect()
    }

    fn digest(&self, pixels: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        for size in [self.height, self.width, self.channels] {
            hasher.update(&(size as u64).to_le_bytes());
        }
        hasher.update(pixels).finalize()
    }

    /// The pixels of an image, row by row.
    fn pixels(&self, row: usize) -> Result<Cow<'_, [u8]>, DatasetError> {
        if row >= self.count {
            let text = format!("there is no image in row {row}");
            return Err(DatasetError::Selection(text.into()));
        }
        let size = self.height * self.width * self.channels;
        match &self.place {
            Place::Memory(bytes, start) => {
                let from = start + row * size;
                let pixels = bytes.get(from..from + size);
                let pixels = pixels.ok_or_else(|| Bug::new("an array ends before its shape"))?;
                Ok(Cow::Borrowed(pixels))
            }
            Place::File(file, start) => {
                let mut pixels = vec![0; size];
                let from = start + (row as u64) * (size as u64);
                let read = file.read_exact_at(&mut pixels, from);
                read.map_err(|source| match source.kind() {
                    io::ErrorKind::UnexpectedEof => DatasetError::Changed {
                        path: self.path.clone(),
                    },
                    _ => DatasetError::io(&self.path, source, HINT),
                })?;
                Ok(Cow::Owned(pixels))
            }
        }
    }
}

impl ReadImage for Images {
    fn read(&self, row: usize, sample: &Sample) -> Result<Image, DatasetError> {
        let pixels = self.pixels(row)?;
        // What is in memory is what was listed.
        if let Place::File(..) = self.place
            && self.digest(&pixels).to_hex().as_str() != sample.content
        {
            return Err(DatasetError::Changed {
                path: self.path.clone(),
            });
        }
        let pixels = pixels.into_owned();
        Ok(if self.channels == 1 {
            Image::gray(self.width, self.height, pixels)
        } else {
            Image::color(self.width, self.height, pixels)
        })
    }
}

fn malformed(path: &Path, problem: String, hint: &str) -> DatasetError {
    DatasetError::Malformed {
        path: path.to_owned(),
        problem,
        hint: hint.to_owned(),
    }
}

/// A problem of an array.
fn of(name: &str, problem: &str) -> String {
    format!("its array `{}` {problem}", shown(name))
}

fn damaged(path: &Path, fault: ArchiveFault) -> DatasetError {
    match fault {
        ArchiveFault::Unsupported { reason, .. } => malformed(path, reason, HINT),
        ArchiveFault::Damaged(reason) => malformed(
            path,
            format!("it is damaged: {reason}"),
            "download or write the file again",
        ),
        ArchiveFault::Truncated(reason) => malformed(
            path,
            format!("it is cut off: {reason}"),
            "download or write the file again",
        ),
    }
}

/// That there is no array of a name, with those that there are.
fn missing(path: &Path, name: &str, key: &str, archive: &Archive<'_>) -> DatasetError {
    /// So many names are shown.
    const SHOWN: usize = 10;
    let names: Vec<String> = archive
        .names()
        .map(|member| format!("`{}`", shown(member.strip_suffix(ENDING).unwrap_or(member))))
        .collect();
    let more = match names.len().checked_sub(SHOWN) {
        None | Some(0) => String::new(),
        Some(more) => format!(" and {more} more"),
    };
    let there = names.iter().take(SHOWN).cloned().collect::<Vec<_>>();
    let there = match there.as_slice() {
        [] => "it holds nothing".to_owned(),
        there => format!("it holds {}{more}", there.join(", ")),
    };
    malformed(
        path,
        format!("it has no array `{}`: {there}", shown(name)),
        &format!("`{key}` of the dataset says what the array is called"),
    )
}

/// What a file is that is no archive.
fn something_else(path: &Path, file: &[u8]) -> DatasetError {
    let problem = match recognized(&file[..file.len().min(BEGINNING)]) {
        _ if file.is_empty() => "it is empty".to_owned(),
        Some(found) => format!(
            "it is {}, and an archive of arrays was expected",
            found.what
        ),
        None => "it does not begin as an archive of arrays does".to_owned(),
    };
    malformed(path, problem, HINT)
}
