//! The headers of a tar archive, one after another, without what is between them.
//!
//! # Reference
//! POSIX.1-2001, `pax`, "ustar Interchange Format" and "pax Extended Header"; the manual of GNU tar, "Basic Tar Format". Single
//! headers and PAX records are decoded by the crate `tar`. Its iterator is not used, because it keeps a name of any length in
//! memory and takes an archive that was cut off for one that ends.
//!
//! # Deviations
//! Devices and the like are listed, so that whoever asks for one gets an error; links are followed within the archive (`links`). An archive with a
//! sparse file is refused: its bytes are not those of the file. So is one with names that lead outside, that are not UTF-8 or
//! that are there twice, and one without the mark of its end.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use tar::{EntryType, Header, PaxExtensions};

use super::source::Source;

/// The unit of an archive, in bytes.
const BLOCK: u64 = 512;
/// No name, and no set of PAX records, is longer.
const MOST_EXTENSION: u64 = 1 << 20;
/// No name of a file is longer than what Linux takes for a path.
const MOST_NAME: usize = 4096;

/// How much an archive may list: more than three times ImageNet.
#[derive(Debug)]
pub(super) struct Allowance {
    members: AtomicU64,
    names: AtomicU64,
}

impl Default for Allowance {
    fn default() -> Self {
        Self {
            members: AtomicU64::new(1 << 22),
            names: AtomicU64::new(1 << 28),
        }
    }
}

impl Allowance {
    /// Counts a name.
    ///
    /// # Errors
    /// More than there may be.
    pub(super) fn take(&self, name: &str) -> Result<(), String> {
        let less = |left: &AtomicU64, by: u64| {
            let less = |left: u64| left.checked_sub(by);
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
                .is_ok()
        };
        if less(&self.members, 1) && less(&self.names, name.len() as u64) {
            Ok(())
        } else {
            Err("lists more than any dataset has: 4,194,304 files, or 256 MiB of names".to_owned())
        }
    }
}

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MemberKind {
    /// A plain file.
    File,
    /// A folder; only there so that empty ones are known.
    Folder,
    /// A link that is not followed, or not yet.
    Link,
    /// A device, a pipe or something else that has no content.
    Other,
}

/// A member of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// Its path, with `/` between plain names.
    pub(super) name: String,
    /// A file, a folder, a link or something else.
    pub(super) kind: MemberKind,
    /// Where its header is, in bytes from the beginning of the outermost archive.
    pub(super) header: u64,
    /// Where its content is.
    pub(super) content: Range<u64>,
    /// The path in the archive that a link leads to; `None` for all else, and for a link that leads out of it.
    pub(super) target: Option<String>,
}

/// What is wrong with an archive, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Bytes from the beginning of the outermost archive.
    pub(super) at: u64,
    /// What is wrong, in words that follow "its header at byte N".
    pub(super) problem: String,
}

/// Walks through the headers of an archive.
struct Walk<'a> {
    source: &'a Source,
    within: Range<u64>,
    at: u64,
}

/// What a long name or PAX records state of the next member.
#[derive(Default)]
struct Extension {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

/// All members of the archive that is in a range of bytes, in its order.
///
/// # Errors
/// A header that is damaged, cut off, or leads outside of the archive.
pub(super) fn members(
    source: &Source,
    within: Range<u64>,
    allowance: &Allowance,
) -> Result<Vec<Member>, Fault> {
    let mut walk = Walk {
        source,
        at: within.start,
        within,
    };
    let mut members = Vec::new();
    let mut extension = Extension::default();
    loop {
        let at = walk.at;
        let fault = |problem: String| Fault { at, problem };
        let Some(header) = walk.header()? else {
            return Ok(members);
        };
        let kind = header.entry_type();
        let stated = header.entry_size();
        let stated = stated.map_err(|_| fault("states no size".to_owned()))?;
        match kind {
            EntryType::GNULongName => {
                let mut name = walk.extension(at, stated)?;
                while name.last() == Some(&0) {
                    name.pop();
                }
                extension.name = Some(name);
            }
            EntryType::XHeader => read_pax(&walk.extension(at, stated)?, &mut extension)
                .map_err(|problem| fault(problem.to_owned()))?,
            EntryType::GNULongLink => {
                let mut link = walk.extension(at, stated)?;
                while link.last() == Some(&0) {
                    link.pop();
                }
                extension.link = Some(link);
            }
            // What holds for all members, such as a comment.
            EntryType::XGlobalHeader => {
                walk.extension(at, stated)?;
            }
            EntryType::GNUSparse => {
                return Err(fault(
                    "is that of a sparse file, which is not read".to_owned(),
                ));
            }
            _ => {
                let extension = std::mem::take(&mut extension);
                let name = extension
                    .name
                    .unwrap_or_else(|| header.path_bytes().into_owned());
                let entry = kind;
                let (kind, has_content) = match kind {
                    // Archives older than POSIX mark a folder by the end of its name.
                    _ if name.last() == Some(&b'/') => (MemberKind::Folder, false),
                    EntryType::Regular | EntryType::Continuous => (MemberKind::File, true),
                    EntryType::Directory => (MemberKind::Folder, false),
                    EntryType::Symlink | EntryType::Link => (MemberKind::Link, false),
                    EntryType::Block | EntryType::Char | EntryType::Fifo => {
                        (MemberKind::Other, false)
                    }
                    _ => (MemberKind::Other, true),
                };
                let name = plain_name(&name).map_err(fault)?;
                let size = extension.size.unwrap_or(stated);
                let target = match kind {
                    MemberKind::Link => {
                        let link = extension
                            .link
                            .or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
                        link.and_then(|link| inside(&name, &link, entry == EntryType::Link))
                    }
                    _ => None,
                };
                let content = walk.skip(at, if has_content { size } else { 0 })?;
                // The folder that the archive was made from.
                if !name.is_empty() {
                    allowance.take(&name).map_err(fault)?;
                    members.push(Member {
                        name,
                        kind,
                        header: at,
                        content,
                        target,
                    });
                }
            }
        }
    }
}

impl Walk<'_> {
    /// The next header, or `None` at the mark of the end.
    fn header(&mut self) -> Result<Option<Header>, Fault> {
        let at = self.at;
        let fault = |problem: &str| Fault {
            at,
            problem: problem.to_owned(),
        };
        let mut header = Header::new_old();
        let end = self.skip(at, BLOCK)?.end;
        self.at = end;
        let read = self.source.fill(header.as_mut_bytes(), at);
        read.map_err(|error| fault(&unread(&error)))?;
        let bytes = header.as_bytes();
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let checksum = header.cksum().ok();
        // Those eight bytes are the checksum itself, and count as spaces.
        let sum: u32 = bytes
            .iter()
            .enumerate()
            .map(|(place, byte)| match place {
                148..156 => u32::from(b' '),
                _ => u32::from(*byte),
            })
            .sum();
        if checksum != Some(sum) {
            return Err(fault(
                "has another checksum than it states, or is not one of a tar archive",
            ));
        }
        Ok(Some(header))
    }

    /// Goes past the content of a member whose header is at `header`; gives where the content is.
    fn skip(&mut self, header: u64, size: u64) -> Result<Range<u64>, Fault> {
        let content = self.at..self.at.saturating_add(size);
        let left = self.within.end.saturating_sub(self.at);
        if size > left {
            let problem = if self.at == header {
                // A member may end the archive, but for the mark.
                format!("is missing: the archive is cut off after {left} bytes there")
            } else {
                format!("announces {size} bytes, but the archive ends after {left}")
            };
            return Err(Fault {
                at: header,
                problem,
            });
        }
        self.at = content.end.next_multiple_of(BLOCK);
        Ok(content)
    }

    /// The content of a member that describes the next one.
    fn extension(&mut self, header: u64, size: u64) -> Result<Vec<u8>, Fault> {
        let fault = |problem: String| Fault {
            at: header,
            problem,
        };
        if size > MOST_EXTENSION {
            let problem = format!("announces a name or records of {size} bytes");
            return Err(fault(problem));
        }
        let content = self.skip(header, size)?;
        let read = self.source.read(&content);
        read.map_err(|error| fault(unread(&error)))
    }
}

fn unread(error: &io::Error) -> String {
    format!("cannot be read ({error})")
}

/// Takes name and size out of PAX records.
fn read_pax(records: &[u8], extension: &mut Extension) -> Result<(), &'static str> {
    for record in PaxExtensions::new(records) {
        let record = record.map_err(|_| "has malformed PAX records")?;
        match record.key_bytes() {
            b"path" => extension.name = Some(record.value_bytes().to_vec()),
            b"linkpath" => extension.link = Some(record.value_bytes().to_vec()),
            b"size" => {
                let size = record.value().ok().and_then(|size| size.parse().ok());
                extension.size = Some(size.ok_or("has a PAX record `size` that is not a number")?);
            }
            key if key.starts_with(b"GNU.sparse.") => {
                return Err("is that of a sparse file, which is not read");
            }
            _ => {}
        }
    }
    Ok(())
}

/// The path in the archive that the link `name` leads to; `None` where it leads out of it. A hard link counts from the archive's root.
fn inside(name: &str, link: &[u8], is_hard: bool) -> Option<String> {
    let link = std::str::from_utf8(link).ok()?;
    if link.is_empty() || link.starts_with('/') || link.len() > MOST_NAME || link.contains('\0') {
        return None;
    }
    let mut path: Vec<&str> = match name.rsplit_once('/') {
        Some((folder, _)) if !is_hard => folder.split('/').collect(),
        _ => Vec::new(),
    };
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                path.pop()?;
            }
            part => path.push(part),
        }
    }
    Some(path.join("/"))
}

/// A name as a path inside the archive, without `./` at its beginning and `/` at its end; empty for the archive's own folder.
fn plain_name(bytes: &[u8]) -> Result<String, String> {
    let name = std::str::from_utf8(bytes).map_err(|_| {
        let name = String::from_utf8_lossy(bytes).escape_debug().to_string();
        format!("has a name that is not UTF-8: `{name}`")
    })?;
    let shown = || name.escape_debug().to_string().chars().take(100).collect();
    if name.len() > MOST_NAME {
        let begins: String = shown();
        return Err(format!("has a name of {} bytes: `{begins}…`", name.len()));
    }
    if name.contains('\0') {
        let shown: String = shown();
        return Err(format!("has a name with a zero byte: `{shown}`"));
    }
    let parts: Vec<&str> = name
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if name.starts_with('/') || parts.contains(&"..") {
        let shown: String = shown();
        return Err(format!(
            "has the name `{shown}`, which leads outside of the archive"
        ));
    }
    Ok(parts.join("/"))
}
