//! What one file may take: every bound on what is read from outside, in one place. `docs/concepts/limits.md` lists them with what they cost.
//!
//! A bound is far above what is published, and far below what fills a machine. Whoever refuses something names what was found and the
//! bound.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::text;

/// Memory in which all threads together decode and resize images, in bytes. An image that needs more by itself is refused as one that does
/// not decode; others wait until there is room.
pub const IMAGE_MEMORY: u64 = 1 << 31;

/// Memory that an image is taken to need for each of its pixels while it is decoded and resized, in bytes: 8 for four channels of 16 bits, 3
/// for the result, rounded up.
pub const IMAGE_BYTES_PER_PIXEL: u64 = 12;

/// More pixels than this are not decoded. It is where Pillow refuses, too.
pub const MOST_PIXELS: u64 = IMAGE_MEMORY / IMAGE_BYTES_PER_PIXEL;

/// No file with an image is longer, in bytes; the largest of `ImageNet` has 15 MB.
pub const IMAGE_FILE: u64 = 1 << 30;

/// What an archive or an IDX file may unpack into for each of its bytes: compressed photographs hardly shrink, and texts by less than this.
pub const UNPACKED_TIMES: u64 = 20;

/// What an archive may unpack into whatever its own size, in bytes.
pub const UNPACKED_ALWAYS: u64 = 1 << 26;

/// No archive unpacks into more, in bytes.
pub const UNPACKED_MOST: u64 = 1 << 40;

/// No file of a dataset that is read as a whole (an IDX file, a table as CSV) is longer, in bytes.
pub const WHOLE_FILE: u64 = 1 << 30;

/// What a page of a Parquet file may unpack into, in bytes. Writers aim at 1 MiB; pages of photographs have some hundred of them.
pub const PARQUET_PAGE: u64 = 1 << 28;

/// The most that columns of a table hold which are read as a whole (labels, splits, ids and paths), in bytes.
pub const TABLE_COLUMNS: u64 = 1 << 30;

/// No list of names, labels or splits is longer, in bytes; the longest that is published has less than 8 MiB.
pub const LIST_FILE: u64 = 1 << 26;

/// What a block of rows of a Parquet file may take in memory, in bytes: as many rows are read at once as fit if each has the longest value
/// of a dictionary. Two blocks a thread are kept.
pub const PARQUET_BLOCK: u64 = 1 << 25;

/// The most rows of a table.
pub const TABLE_ROWS: u64 = 1 << 26;

/// More classes than any set has; a number that is far off is not taken for one.
pub const CLASSES: usize = 1_000_000;

/// The most images of an archive of NumPy arrays.
pub const ARRAY_IMAGES: usize = 1 << 22;

/// The most memory that imported features in a table take, in bytes of 32-bit numbers: 4 million rows of 1,024 values. Arrays are read in
/// place, and have no such bound.
pub const IMPORTED_TABLE: u64 = 1 << 34;

/// The most that an array of means or covariances unpacks into, in bytes: 11,000 values in 64 bits.
pub const STATISTICS: u64 = 1 << 30;

/// The longest header of a safetensors file, in bytes; other readers of the format refuse longer ones, too.
pub const SAFETENSORS_HEADER: u64 = 100_000_000;

/// The most tensors, and other entries, of a checkpoint.
pub const CHECKPOINT_ENTRIES: usize = 1 << 19;

/// The longest header of a NumPy array, in bytes; those that `numpy.save` writes for numbers have less than 1 KiB.
pub const NPY_HEADER: usize = 1 << 16;

/// The most axes of a tensor; libtorch has no more.
pub const TENSOR_AXES: usize = 64;

/// The most graphs inside one another in an ONNX file, as those of loops and branches are.
pub const ONNX_DEPTH: usize = 32;

/// The longest name of an input, an output, an operator or a tensor of an ONNX file, in bytes.
pub const ONNX_NAME: usize = 4_096;

/// The most bytes of a manifest that a remote gives: some 200,000 files of an artifact.
pub const MANIFEST: u64 = 1 << 26;

/// The most bytes of a template.
pub const TEMPLATE: u64 = 1 << 20;

/// The most bytes of a report.
pub const REPORT: usize = 64 << 20;

/// The most steps that a template takes, each about a name, a value or an operator that is met, or 64 bytes of text that are made: the
/// strings of a template take 1 GB at most.
pub const TEMPLATE_STEPS: u64 = 16_000_000;

/// The most different queries of the cache that a template asks.
pub const QUERIES: usize = 64;

/// The most rows of an answer that a report shows.
pub const QUERIED_ROWS: usize = 200;

/// The most bytes of an experiment file, with all that it includes.
pub const EXPERIMENT_FILE: u64 = 1 << 24;

/// The most files that an experiment file includes, those included that others of them do.
pub const MOST_INCLUDED: usize = 64;

/// The most bytes of a `repro.toml`.
pub const SETTINGS: u64 = 1 << 20;

/// The most bytes of the record of a submission to a cluster, and of the numbers that its jobs were given.
pub const SUBMISSION: u64 = 1 << 28;

/// The most bytes of a file with a query.
pub const QUERY: u64 = 1 << 20;

/// The most bytes of a file of results or comparisons that is compared.
pub const RESULTS: u64 = 1 << 28;

/// The most bytes of a line that git prints, and of what it says of an error.
pub const GIT_LINE: u64 = 1 << 16;

/// The most bytes of a list of files that git prints.
pub const GIT_LIST: u64 = 1 << 26;

/// The most bytes of a file of a vocabulary of texts, unpacked.
pub const VOCABULARY: u64 = 1 << 24;

/// The most bytes of the head of a request to `repro view`: its first line, which holds a query, and its headers.
pub const REQUEST_HEAD: usize = 1 << 15;

/// The most rows of an answer that a page of `repro view` shows.
pub const SHOWN_ROWS: usize = 1_000;

/// The most bytes of a file beside a report that `repro view` serves, and of a figure that `--png` draws.
pub const SERVED_FILE: u64 = 1 << 26;

/// The most bytes of the record of a run that `repro view` reads for one page; the next page reads on from there.
pub const RUN_RECORD: u64 = 1 << 26;

/// The longest line of the record of a run, in bytes.
pub const RUN_LINE: u64 = 1 << 20;

/// The most nodes of an experiment, over all of its tables and after all sweeps. More are taken for a slip.
pub const MOST_NODES: usize = 100_000;

/// What may be unpacked out of `packed` bytes, in bytes.
pub fn unpacked(packed: u64) -> u64 {
    packed
        .saturating_mul(UNPACKED_TIMES)
        .saturating_add(UNPACKED_ALWAYS)
        .min(UNPACKED_MOST)
}

/// Reads a file of text of at most `most` bytes. What stands under the name may have no end.
///
/// # Errors
/// A file that cannot be read, is longer, or is not text.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    text_of(File::open(path)?, most)
}

/// [`read_text`] of a file that is open.
///
/// # Errors
/// As [`read_text`].
pub fn text_of(file: File, most: u64) -> io::Result<String> {
    let mut text = String::new();
    file.take(most + 1).read_to_string(&mut text)?;
    if text.len() as u64 > most {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!(
                "it has more than {}, the most that is read of such a file",
                text::bytes(most)
            ),
        ));
    }
    Ok(text)
}
