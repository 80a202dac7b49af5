//! An archive as its owner publishes it, opened to be read at any place.
//!
//! A tar archive is read where it is. A compressed one has no places to read from, so it is decompressed once: a small one into
//! memory, a large one into a plain tar in the scratch folder. What a file is, its content decides.

use std::fs::{File, Metadata};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use rayon::prelude::*;

use super::headers::{self, Allowance, Fault, Member, MemberKind};
use super::index::Index;
use super::links;
use super::source::Source;
use crate::checked_blocks::Damage;
use crate::datasets::unpacked::Unpacked;
use crate::datasets::{DatasetError, Environment};
use crate::message::Message;
use crate::recognized::{BEGINNING, recognized};
use crate::text;

/// An index of fewer members is made faster than it is found again.
const LEAST_KEPT: usize = 1000;

const REMEDY: &str = "download it again from its owner; data/README.md tells where, and which size and digest it has";

/// An archive whose members are known.
#[derive(Debug)]
pub(super) struct Archive {
    /// Where the owner's file is.
    pub(super) path: PathBuf,
    /// Its bytes, without compression.
    pub(super) source: Source,
    /// Names and byte ranges of its members.
    pub(super) index: Index,
}

impl Archive {
    /// Opens an archive. `nested` says that the tar archives in it are folders of their names.
    ///
    /// # Errors
    /// A file that is not an archive, is cut off or damaged, unpacks into far more than it should, or lists what it should not.
    pub(super) fn open(
        path: &Path,
        nested: bool,
        environment: &Environment<'_>,
    ) -> Result<Self, DatasetError> {
        let failed = |source| DatasetError::io(path, source, REMEDY);
        let file = File::open(path).map_err(failed)?;
        let before = file.metadata().map_err(failed)?;
        if !before.is_file() {
            return Err(malformed(path, "it is not a regular file".to_owned()));
        }
        let identity = Identity::new(path, &before).map_err(failed)?;
        let compressed = is_compressed(&file).map_err(failed)?;
        if !compressed {
            refuse_others(path, &file).map_err(failed)??;
        }
        let source = if compressed {
            decompress(path, file, &identity, environment)?
        } else {
            Source::open(path).map_err(failed)?
        };
        let index = remembered(&source, nested, &identity, environment);
        let index = match index {
            Some(index) => index,
            None => scan(path, &source, nested, compressed, &identity, environment)?,
        };
        let after = std::fs::metadata(path).map_err(failed)?;
        if Identity::new(path, &after).map_err(failed)? != identity {
            return Err(malformed(path, "it changed while it was read".to_owned()));
        }
        Ok(Self {
            path: path.to_owned(),
            source,
            index,
        })
    }
}

/// Distinguishes an archive from others, and from itself before it changed.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    path: String,
    state: String,
}

impl Identity {
    fn new(path: &Path, metadata: &Metadata) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let path = blake3::hash(path.as_os_str().as_encoded_bytes()).to_hex();
        let numbers = [
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.ctime(),
            metadata.ctime_nsec(),
        ];
        let state = format!("{} {} {numbers:?}", metadata.size(), metadata.ino());
        let state = blake3::hash(state.as_bytes()).to_hex();
        Ok(Self {
            path: path[..16].to_owned(),
            state: state[..16].to_owned(),
        })
    }

    /// The family and the name of what is kept of the archive.
    fn kept(&self, what: &str) -> (String, String) {
        (format!("{}-{what}", self.path), self.state.clone())
    }
}

fn malformed(path: &Path, problem: String) -> DatasetError {
    DatasetError::Malformed {
        path: path.to_owned(),
        problem,
        hint: REMEDY.to_owned(),
    }
}

fn is_compressed(file: &File) -> io::Result<bool> {
    let mut magic = [0; 2];
    match file.read_exact_at(&mut magic, 0) {
        Ok(()) => Ok(magic == [0x1f, 0x8b]),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// An error for a file that begins as one of another kind does.
fn refuse_others(path: &Path, file: &File) -> io::Result<Result<(), DatasetError>> {
    let mut beginning = [0; BEGINNING];
    let length = file.read_at(&mut beginning, 0)?;
    // The name of a member may begin as another file does.
    let is_tar = beginning.get(257..262) == Some(b"ustar");
    let found = recognized(&beginning[..length]).filter(|_| !is_tar);
    let Some(found) = found else {
        return Ok(Ok(()));
    };
    let (then, hint) = if found.is_packed {
        (
            "which is not read",
            "unpack it, or pack what is in it again as .tar or .tar.gz",
        )
    } else {
        ("and not a tar archive", REMEDY)
    };
    Ok(Err(DatasetError::Malformed {
        path: path.to_owned(),
        problem: format!("it is {}, {then}", found.what),
        hint: hint.to_owned(),
    }))
}

/// The archive without its compression.
fn decompress(
    path: &Path,
    file: File,
    identity: &Identity,
    environment: &Environment<'_>,
) -> Result<Source, DatasetError> {
    let failed = |source| DatasetError::io(path, source, REMEDY);
    let scratch = environment.scratch;
    let (family, name) = identity.kept("tar");
    if let Some(kept) = scratch.find_blocks(&family, &name).map_err(failed)? {
        return Ok(Source::Unpacked(kept));
    }
    let packed = file.metadata().map_err(failed)?.len();
    let inner = MultiGzDecoder::new(BufReader::with_capacity(1 << 20, file));
    let mut content = Unpacked::new(inner, packed, u64::MAX);
    // Its beginning, at least.
    let mut small = Vec::new();
    let most = scratch.most_in_memory();
    let read = (&mut content).take(most + 1).read_to_end(&mut small);
    match (read, content.problem.take()) {
        (_, Some(problem)) => return Err(malformed(path, problem)),
        (Err(error), None) => return Err(failed(error)),
        (Ok(_), None) if small.len() as u64 <= most => return Ok(Source::Memory(small)),
        (Ok(_), None) => {}
    }
    scratch.tell(&format!(
        "{}: decompressing {} once, to read it in place from now on",
        path.display(),
        text::bytes(packed)
    ));
    let kept = scratch.keep_blocks(&family, &name, &mut |out| {
        out.write_all(&small)?;
        io::copy(&mut content, out).map(|_| ())
    });
    match (kept, content.problem) {
        (_, Some(problem)) => Err(malformed(path, problem)),
        (Ok(kept), None) => {
            scratch.tell(&format!(
                "{}: {} in {}",
                path.display(),
                text::bytes(content.count),
                kept.path().display()
            ));
            Ok(Source::Unpacked(kept))
        }
        (Err(error), None) => Err(DatasetError::Selection(
            Message::new(format!(
                "{} is compressed, and cannot be kept without its compression in the cache ({error})",
                path.display()
            ))
            .hint(match error.kind() {
                io::ErrorKind::StorageFull => format!(
                    "free {} there, name another cache with `--cache`, or unpack the archive into its folder",
                    text::bytes(packed.saturating_mul(2))
                ),
                _ => "name another cache with `--cache`, or unpack the archive into its folder".to_owned(),
            }),
        )),
    }
}

fn index_of(nested: bool) -> &'static str {
    if nested { "nested-index" } else { "index" }
}

fn remembered(
    source: &Source,
    nested: bool,
    identity: &Identity,
    environment: &Environment<'_>,
) -> Option<Index> {
    let (family, name) = identity.kept(index_of(nested));
    let kept = environment.scratch.find(&family, &name)?;
    Index::load(&std::fs::read(kept).ok()?, source.length())
}

/// Reads all headers, and keeps their content.
fn scan(
    path: &Path,
    source: &Source,
    nested: bool,
    compressed: bool,
    identity: &Identity,
    environment: &Environment<'_>,
) -> Result<Index, DatasetError> {
    let found = all_members(source, nested).and_then(Index::new);
    let index = found.map_err(|Fault { at, problem }| {
        // A damaged copy in the cache says nothing about the archive.
        if let Source::Unpacked(blocks) = source
            && let Some(damage) = blocks.damage()
        {
            let Damage { path, reason } = damage.clone();
            return DatasetError::Unpacked { path, reason };
        }
        let of = if compressed {
            " of what it unpacks into"
        } else {
            ""
        };
        malformed(path, format!("its header at byte {at}{of} {problem}"))
    })?;
    if index.len() >= LEAST_KEPT {
        let (family, name) = identity.kept(index_of(nested));
        let kept = environment
            .scratch
            .keep(&family, &name, &mut |out| index.save(out));
        // Without it the headers are read again.
        let _ = kept;
    }
    Ok(index)
}

fn all_members(source: &Source, nested: bool) -> Result<Vec<Member>, Fault> {
    let allowance = Allowance::default();
    let outer = headers::members(source, 0..source.length(), &allowance)?;
    if !nested {
        return links::follow(outer, &allowance);
    }
    // The archives are far from each other, so a disk serves several readers better than one.
    let parts = outer.into_par_iter().map(|member| {
        let Some(folder) = member.name.strip_suffix(".tar") else {
            return Ok(vec![member]);
        };
        if member.kind != MemberKind::File {
            return Ok(vec![member]);
        }
        let mut inner = headers::members(source, member.content, &allowance)?;
        for file in &mut inner {
            if file.kind == MemberKind::File && file.name.strip_suffix(".tar").is_some() {
                return Err(Fault {
                    at: file.header,
                    problem: format!(
                        "is that of `{}`, an archive in an archive in an archive, which is not read",
                        file.name
                    ),
                });
            }
            file.name = format!("{folder}/{}", file.name);
            let target = file.target.take();
            file.target = target.map(|target| format!("{folder}/{target}"));
        }
        Ok(inner)
    });
    let parts: Vec<Vec<Member>> = parts.collect::<Result<_, Fault>>()?;
    links::follow(parts.into_iter().flatten().collect(), &allowance)
}
