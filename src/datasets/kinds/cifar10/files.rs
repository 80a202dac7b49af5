//! The files of CIFAR-10's binary version: from the folder that they were unpacked into, or out of the archive, which is
//! read once from its beginning to its end and never unpacked on the disk.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use super::{BATCHES, MOST_RECORDS, NAMES, RECORD};
use crate::datasets::DatasetError;
use crate::datasets::unpacked::Unpacked;
use crate::limits::WHOLE_FILE;

/// The archive as it is published.
const ARCHIVE: &str = "cifar-10-binary.tar.gz";
/// The folder that it unpacks into.
const FOLDER: &str = "cifar-10-batches-bin";

/// No list of names is longer.
const MOST_NAMES: usize = 1 << 16;
/// What may follow the last file of an archive: zeros that fill up a block of a tape.
const MOST_FILLING: u64 = 1 << 20;

/// One of the files, whole.
pub(super) struct Member {
    pub(super) name: &'static str,
    /// The file on the disk: itself, or the archive that it is in.
    path: PathBuf,
    packed: bool,
    pub(super) bytes: Vec<u8>,
}

impl Member {
    /// The error of a file with this problem, in words that follow its name.
    pub(super) fn malformed(&self, problem: &str) -> DatasetError {
        let (name, path) = (self.name, self.path.clone());
        if self.packed {
            DatasetError::Malformed {
                path,
                problem: format!("`{name}` in it {problem}"),
                hint: "is this the published archive? Download it again if in doubt".to_owned(),
            }
        } else {
            DatasetError::Malformed {
                path,
                problem: format!("it {problem}"),
                hint: format!("unpack `{ARCHIVE}` again; it is read as it is, too"),
            }
        }
    }

    /// The most bytes that a file of this name has.
    fn most(name: &str) -> usize {
        if name == NAMES {
            MOST_NAMES
        } else {
            MOST_RECORDS * RECORD
        }
    }

    /// Takes the bytes from a reader; a file that is too long is refused before it fills the memory.
    fn fill(&mut self, reader: impl Read) -> io::Result<Result<(), DatasetError>> {
        let most = Self::most(self.name);
        reader.take(most as u64 + 1).read_to_end(&mut self.bytes)?;
        self.bytes.shrink_to_fit();
        Ok(if self.bytes.len() > most {
            Err(self.malformed(&format!(
                "has more than the {most} bytes that it has at most"
            )))
        } else {
            Ok(())
        })
    }
}

/// The names of all files that are needed: that of the classes, then the batches.
fn wanted() -> impl Iterator<Item = &'static str> {
    std::iter::once(NAMES).chain(BATCHES.iter().map(|(_, name)| *name))
}

/// Reads the list of classes, and the batches in their order.
pub(super) fn read(root: &Path) -> Result<(Member, Vec<Member>), DatasetError> {
    let (folder, archive) = (root.join(FOLDER), root.join(ARCHIVE));
    refuse_others(root)?;
    let mut members = if folder.exists() {
        wanted()
            .map(|name| from_folder(&folder, name))
            .collect::<Result<Vec<_>, _>>()?
    } else {
        from_archive(&archive)?
    };
    let batches = members.split_off(1);
    match members.pop() {
        Some(names) => Ok((names, batches)),
        None => Err(lacks(&archive, NAMES)),
    }
}

/// An error for a folder with another version of the files, or that is one level too deep.
fn refuse_others(root: &Path) -> Result<(), DatasetError> {
    if root.join(FOLDER).exists() || root.join(ARCHIVE).exists() {
        return Ok(());
    }
    let malformed = |problem: String, hint: String| DatasetError::Malformed {
        path: root.to_owned(),
        problem,
        hint,
    };
    if root.join("data_batch_1.bin").exists() {
        return Err(malformed(
            "it holds the files themselves".to_owned(),
            format!("`root` is the folder above: the one that holds `{FOLDER}`"),
        ));
    }
    let python = [
        "cifar-10-python.tar.gz",
        "cifar-10-batches-py",
        "data_batch_1",
    ];
    match python.iter().find(|name| root.join(name).exists()) {
        None => Ok(()),
        Some(name) => Err(malformed(
            format!(
                "it holds the version of CIFAR-10 for Python, `{name}`, and the binary version is read"
            ),
            format!("`repro data fetch cifar10` downloads `{ARCHIVE}`"),
        )),
    }
}

fn from_folder(folder: &Path, name: &'static str) -> Result<Member, DatasetError> {
    let path = folder.join(name);
    let failed = |source| {
        let hint = format!(
            "unpack `{ARCHIVE}` again, or put it beside `{FOLDER}` and take that away: it is read as it is"
        );
        DatasetError::io(&path, source, &hint)
    };
    let mut member = Member {
        name,
        path: path.clone(),
        packed: false,
        bytes: Vec::new(),
    };
    let file = File::open(&path).map_err(failed)?;
    member.fill(file).map_err(failed)??;
    Ok(member)
}

fn from_archive(path: &Path) -> Result<Vec<Member>, DatasetError> {
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(DatasetError::Malformed {
            path: path.to_owned(),
            problem: "it is not a regular file".to_owned(),
            hint: format!("`root` must be the folder that holds `{ARCHIVE}`"),
        });
    }
    let file = File::open(path).map_err(|source| {
        let hint = format!(
            "`root` must be a folder that holds `{ARCHIVE}` or `{FOLDER}`; `repro data fetch cifar10` downloads the archive"
        );
        DatasetError::io(path, source, &hint)
    })?;
    let damaged = |source: io::Error| DatasetError::Malformed {
        path: path.to_owned(),
        problem: format!("its data is damaged or cut off ({source})"),
        hint: "download the file again".to_owned(),
    };
    let packed = file.metadata().map_err(damaged)?.len();
    let content = Unpacked::new(GzDecoder::new(BufReader::new(file)), packed, WHOLE_FILE);
    let mut archive = tar::Archive::new(content);
    let mut found: Vec<Member> = Vec::new();
    for entry in archive.entries().map_err(damaged)? {
        let entry = entry.map_err(damaged)?;
        let inside = entry.path_bytes();
        let Some(name) = wanted().find(|name| names_file(&inside, name)) else {
            continue;
        };
        // A link of that name is not followed: it may lead anywhere.
        if !entry.header().entry_type().is_file() || found.iter().any(|there| there.name == name) {
            continue;
        }
        let mut member = Member {
            name,
            path: path.to_owned(),
            packed: true,
            bytes: Vec::new(),
        };
        member.fill(entry).map_err(damaged)??;
        found.push(member);
    }
    // The checksum of the compressed data stands behind the end of the archive.
    io::copy(
        &mut archive.into_inner().take(MOST_FILLING),
        &mut io::sink(),
    )
    .map_err(damaged)?;
    let in_order = wanted().map(|name| {
        let place = found.iter().position(|member| member.name == name);
        let place = place.ok_or_else(|| lacks(path, name))?;
        Ok(found.swap_remove(place))
    });
    in_order.collect()
}

/// Whether a path of the archive is `cifar-10-batches-bin/NAME`.
fn names_file(path: &[u8], name: &str) -> bool {
    let path = path.strip_prefix(b"./").unwrap_or(path);
    let rest = path.strip_prefix(FOLDER.as_bytes());
    rest.and_then(|rest| rest.strip_prefix(b"/")) == Some(name.as_bytes())
}

fn lacks(archive: &Path, name: &str) -> DatasetError {
    DatasetError::Malformed {
        path: archive.to_owned(),
        problem: format!("there is no `{FOLDER}/{name}` in it"),
        hint: "is this the binary version of CIFAR-10? Download it again if in doubt".to_owned(),
    }
}
