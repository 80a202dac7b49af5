//! Opening parts: mapping, checking, and pointing Arrow at the mapping.

use std::fs::File;
use std::io;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Schema};
use arrow::ipc::convert::try_fb_to_schema;
use arrow::ipc::reader::{FileDecoder, read_footer_length};
use arrow::ipc::{Block, MetadataVersion, root_as_footer};
use memmap2::Mmap;

use super::fingerprint::Fingerprint;
use super::manifest::FileEntry;
use super::part::{BODY_KEY, DEVICE_KEY, FINGERPRINT_KEY, INSTRUCTIONS_KEY, PartForm, schema};
use super::recipe::Recipe;
use crate::checked_file::CheckedFile;
use crate::contained::contained;
use crate::feature_type::FeatureType;

/// Length of what ends an Arrow file: the length of the footer and the magic word.
const TRAILER_BYTES: usize = 10;

/// A part in memory: a batch whose buffers point into the mapping of its file.
#[derive(Debug, Clone)]
pub(super) struct MappedPart {
    pub(super) batch: RecordBatch,
    pub(super) form: PartForm,
    /// The mapping that the batch points into.
    pub(super) map: Arc<Mmap>,
}

/// The footer of a part, read.
struct Footer {
    schema: Schema,
    version: MetadataVersion,
    block: Block,
    /// Where the record batch starts in the file, and how many bytes it takes.
    start: usize,
    length: usize,
    /// Digest of all bytes up to the end of the record batch, as hexadecimal text.
    body_digest: Option<String>,
    /// What computed the part.
    device: Option<String>,
    /// The instructions of the CPU that computed it.
    instructions: Option<String>,
}

/// Why a part cannot be used.
#[derive(Debug)]
pub(super) enum Unusable {
    /// Its bytes are not those of such a part; a sentence about the file, to be read after its name.
    Damaged(String),
    /// It cannot be read now, and may be as good as it was.
    Unreadable(io::Error),
}

impl From<&str> for Unusable {
    fn from(reason: &str) -> Self {
        Self::Damaged(reason.to_owned())
    }
}

impl From<String> for Unusable {
    fn from(reason: String) -> Self {
        Self::Damaged(reason)
    }
}

/// Opens a part whose bytes were compared with the manifest; also gives the file that was mapped.
pub(super) fn open_checked(
    checked: CheckedFile,
    recipe: &Recipe,
) -> Result<(MappedPart, File), Unusable> {
    let map = checked.map().map_err(Unusable::Unreadable)?;
    let footer = read_footer(&map)?;
    Ok((decode(map, footer, recipe)?, checked.into_file()))
}

/// Opens a part that no manifest vouches for, checking it against the digest that it carries itself. Nothing is
/// decoded before, so that damaged bytes never reach the decoder. Also gives the entry for the manifest.
pub(super) fn open_unverified(
    path: &Path,
    name: &str,
    recipe: &Recipe,
) -> Result<(MappedPart, FileEntry), Unusable> {
    let map = map(path).map_err(Unusable::Unreadable)?;
    let footer = read_footer(&map)?;
    let (body, rest) = map
        .split_at_checked(footer.start + footer.length)
        .ok_or("ends within its record batch")?;
    let mut digest = blake3::Hasher::new();
    digest.update(body);
    if footer.body_digest.as_deref() != Some(digest.finalize().to_hex().as_str()) {
        return Err("does not have the digest that its footer states".into());
    }
    digest.update(rest);
    let bytes = map.len() as u64;
    let (device, instructions) = (footer.device.clone(), footer.instructions.clone());
    let part = decode(map, footer, recipe)?;
    let entry = FileEntry {
        name: name.to_owned(),
        bytes,
        blake3: Fingerprint(*digest.finalize().as_bytes()),
        rows: part.batch.num_rows() as u64,
        device,
        instructions,
    };
    Ok((part, entry))
}

fn map(path: &Path) -> io::Result<Mmap> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        // A folder opens, and cannot be mapped.
        return Err(io::ErrorKind::IsADirectory.into());
    }
    #[expect(unsafe_code, reason = "there is no safe way to map a file")]
    // SAFETY: committed files are never written to again; they are only ever renamed or unlinked, and neither changes
    // the bytes under a mapping. Whoever edits a store's files by hand is outside of what can be guarded against.
    unsafe {
        Mmap::map(&file)
    }
}

fn read_footer(file: &[u8]) -> Result<Footer, String> {
    let (rest, trailer) = file
        .split_last_chunk::<TRAILER_BYTES>()
        .ok_or("is too short for an Arrow file")?;
    let length =
        read_footer_length(*trailer).map_err(|error| format!("has no Arrow footer: {error}"))?;
    let footer_start = rest
        .len()
        .checked_sub(length)
        .ok_or("has a footer longer than itself")?;
    let footer = rest
        .get(footer_start..)
        .and_then(|bytes| root_as_footer(bytes).ok())
        .ok_or("has a damaged Arrow footer")?;
    let block = match footer.recordBatches() {
        Some(blocks) if blocks.len() == 1 => *blocks.get(0),
        _ => return Err("does not have exactly one record batch".to_owned()),
    };
    let (start, length) = extent(&block)
        .filter(|(start, length)| {
            start
                .checked_add(*length)
                .is_some_and(|end| end <= footer_start)
        })
        .ok_or("has a record batch beyond its end")?;
    let schema = footer
        .schema()
        .ok_or("has no schema")
        .map(try_fb_to_schema)?;
    let schema = schema.map_err(|error| format!("has a damaged schema: {error}"))?;
    let stated = |key: &str| {
        let pairs = footer.custom_metadata()?;
        let pair = pairs.iter().find(|pair| pair.key() == Some(key))?;
        pair.value().map(str::to_owned)
    };
    let (body_digest, device) = (stated(BODY_KEY), stated(DEVICE_KEY));
    let instructions = stated(INSTRUCTIONS_KEY);
    Ok(Footer {
        schema,
        version: footer.version(),
        block,
        start,
        length,
        body_digest,
        device,
        instructions,
    })
}

fn extent(block: &Block) -> Option<(usize, usize)> {
    let start = usize::try_from(block.offset()).ok()?;
    let header = usize::try_from(block.metaDataLength()).ok()?;
    let body = usize::try_from(block.bodyLength()).ok()?;
    Some((start, header.checked_add(body)?))
}

/// Checks that the part belongs to `recipe`'s artifact, and makes a batch of it without copying its buffers.
fn decode(map: Mmap, footer: Footer, recipe: &Recipe) -> Result<MappedPart, String> {
    let Footer {
        schema: found,
        version,
        block,
        start,
        length,
        ..
    } = footer;
    if found.metadata().get(FINGERPRINT_KEY) != Some(&recipe.fingerprint().to_string()) {
        return Err("belongs to another artifact".to_owned());
    }
    let form = form_of(&found).ok_or("does not have the columns of a part")?;
    if schema(recipe, form).is_none_or(|schema| schema != found) {
        return Err("does not have the columns or the metadata of a part".to_owned());
    }
    // Alignment is required, because the decoder would otherwise copy what it finds unaligned.
    let decoder = FileDecoder::new(Arc::new(found), version).with_require_alignment(true);
    let map = Arc::new(map);
    let buffer = buffer_over(&map)?.slice_with_length(start, length);
    let batch = contained(|| decoder.read_record_batch(&block, &buffer))
        .map_err(|panic| format!("cannot be decoded: {panic}"))?
        .map_err(|error| format!("cannot be decoded: {error}"))?
        .ok_or("has no record batch")?;
    Ok(MappedPart { batch, form, map })
}

/// What the rows are that a schema speaks of.
fn form_of(schema: &Schema) -> Option<PartForm> {
    if schema.column_with_name("image").is_some() {
        return Some(PartForm::Images);
    }
    let (_, feature) = schema.column_with_name("feature")?;
    let (_, label) = schema.column_with_name("label")?;
    let DataType::FixedSizeList(item, width) = feature.data_type() else {
        return None;
    };
    let values = match item.data_type() {
        DataType::Float32 => FeatureType::F32,
        DataType::Float16 => FeatureType::F16,
        _ => return None,
    };
    Some(PartForm::Features {
        width: usize::try_from(*width).ok()?,
        values,
        labeled: !label.is_nullable(),
    })
}

/// An Arrow buffer over a mapping, which it keeps alive.
#[expect(
    unsafe_code,
    reason = "there is no safe way to lend a mapping to Arrow"
)]
fn buffer_over(map: &Arc<Mmap>) -> Result<Buffer, String> {
    let length = map.len();
    let start = NonNull::new(map.as_ptr().cast_mut()).ok_or("is mapped nowhere")?;
    // SAFETY: `start` and `length` are those of the mapping, and the buffer owns the mapping, so the memory lives as
    // long as anything that points into it. Arrow never writes through a buffer that it did not allocate.
    Ok(unsafe { Buffer::from_custom_allocation(start, length, Arc::<Mmap>::clone(map)) })
}
