//! A zip archive whose members are stored as they are: where each is, so that it can be read in place. Those of archives of arrays may be
//! compressed: [`Archive::unpacked`].
//!
//! Only the directory at the archive's end is trusted, and only after it was checked: it must end where the archive's end
//! record begins, list as many members as that record says, and each member's own header must agree with it. Members may
//! not overlap, share a name, or have a name that is not a plain path inside the archive.
//!
//! # Reference
//! PKWARE, APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12, 4.3.14 to 4.3.16 and 4.5.3.
//!
//! # Deviations
//! Written here rather than taken from a library: what is needed are checked places of stored members, and libraries for
//! zip give streams, look for an archive behind anything else in the file, and take the last of two members of one name.
//! An archive with a comment, with anything before or behind it, or in several pieces is refused. Checksums are not
//! compared: that would read every byte of a file that is mapped in order not to, PyTorch may leave them out, and what a
//! file was is recorded by the digest of the whole.

mod fault;
mod unpacked;

use std::collections::BTreeMap;
use std::ops::Range;

use crate::byte_reader::Reader;
use crate::numbers::to_usize;
use crate::text::plural;
use crate::visible::shown;

use fault::damaged;

pub(crate) use fault::ArchiveFault;

/// What a zip archive begins with.
pub(crate) const MAGIC: &[u8] = b"PK\x03\x04";
const DIRECTORY_MAGIC: &[u8] = b"PK\x01\x02";
const END_MAGIC: &[u8] = b"PK\x05\x06";
const END_LENGTH: usize = 22;
const LARGE_END_MAGIC: &[u8] = b"PK\x06\x06";
const LARGE_END_LENGTH: usize = 56;
const LOCATOR_MAGIC: &[u8] = b"PK\x06\x07";
const LOCATOR_LENGTH: usize = 20;
/// The extra field that holds numbers of 64 bits.
const LARGE_NUMBERS: u16 = 1;
/// Flags of encryption: the old one, the strong one, and a directory that is encrypted itself.
const ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;
/// The method of members that are stored as they are.
const STORED: u16 = 0;
/// The method of compression that is unpacked.
const DEFLATE: u16 = 8;
/// The flag that sizes stand behind a member instead of before it.
const SIZES_BEHIND: u16 = 1 << 3;

/// An archive.
#[derive(Debug)]
pub(crate) struct Archive<'f> {
    members: BTreeMap<&'f str, Member>,
}

#[derive(Debug)]
struct Member {
    flags: u16,
    method: u16,
    /// CRC-32 of the content.
    checksum: u32,
    /// The size of the content, in bytes.
    size: u64,
    /// Where the member is in the archive.
    bytes: Range<usize>,
}

/// One line of the directory.
struct Line<'f> {
    name: &'f str,
    flags: u16,
    method: u16,
    checksum: u32,
    /// The size of the content, in bytes.
    size: u64,
    /// The size in the archive, in bytes.
    packed: u64,
    /// Where the member's header stands.
    header: u64,
}

impl<'f> Archive<'f> {
    /// Reads and checks the directory of the archive whose bytes are `file`.
    ///
    /// # Errors
    /// The archive is truncated, or contradicts itself.
    pub fn open(file: &'f [u8]) -> Result<Self, ArchiveFault> {
        let (count, directory) = find_directory(file)?;
        let mut reader = Reader::new(
            file.get(..directory.end).unwrap_or_default(),
            directory.start,
        );
        let mut members = BTreeMap::new();
        let mut taken = Vec::new();
        let mut found = 0_u64;
        while reader.left() > 0 {
            let line = read_line(&mut reader)?;
            let (start, bytes) = find_member(file, directory.start, &line)?;
            taken.push((start, bytes.end, line.name));
            let member = Member {
                flags: line.flags,
                method: line.method,
                checksum: line.checksum,
                size: line.size,
                bytes,
            };
            if members.insert(line.name, member).is_some() {
                return Err(damaged(format!(
                    "two members are called `{}`",
                    shown(line.name)
                )));
            }
            found += 1;
        }
        if found != count {
            return Err(damaged(format!(
                "its end announces {}, and its directory lists {found}",
                plural(to_usize(count), "member")
            )));
        }
        taken.sort_unstable();
        for (&(_, end, first), &(start, _, second)) in taken.iter().zip(taken.iter().skip(1)) {
            if start < end {
                let reason = format!(
                    "its members `{}` and `{}` overlap",
                    shown(first),
                    shown(second)
                );
                return Err(damaged(reason));
            }
        }
        Ok(Self { members })
    }

    /// All names, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &'f str> {
        self.members.keys().copied()
    }

    /// Where the content of a member is in the file; `None` where there is no member of that name.
    ///
    /// # Errors
    /// The member is encrypted or compressed.
    pub fn find(&self, name: &str) -> Result<Option<Range<usize>>, ArchiveFault> {
        let Some(member) = self.members.get(name) else {
            return Ok(None);
        };
        let unsupported = |how: String| ArchiveFault::Unsupported {
            reason: format!("its member `{}` is {how}", shown(name)),
            remedy: "write the file with `torch.save` or `numpy.savez`, which store members as they are",
        };
        if member.flags & ENCRYPTED != 0 {
            return Err(unsupported("encrypted".to_owned()));
        }
        match member.method {
            STORED => Ok(Some(member.bytes.clone())),
            DEFLATE => Err(unsupported("compressed (deflate)".to_owned())),
            other => Err(unsupported(format!("compressed (method {other})"))),
        }
    }
}

/// How many members the archive has, and where its directory is.
fn find_directory(file: &[u8]) -> Result<(u64, Range<usize>), ArchiveFault> {
    let end = file.len().checked_sub(END_LENGTH);
    let end = end.filter(|&end| {
        file.get(end..)
            .is_some_and(|rest| rest.starts_with(END_MAGIC))
    });
    let Some(end) = end else {
        return Err(without_end(file));
    };
    let broken = || damaged("its end record makes no sense".to_owned());
    let mut reader = Reader::new(file, end + END_MAGIC.len());
    let disks = reader.u32().ok_or_else(broken)?;
    let (here, count) = (
        reader.u16().ok_or_else(broken)?,
        reader.u16().ok_or_else(broken)?,
    );
    let (size, start) = (
        reader.u32().ok_or_else(broken)?,
        reader.u32().ok_or_else(broken)?,
    );
    let comment = reader.u16().ok_or_else(broken)?;
    if disks != 0 || here != count || comment != 0 {
        return Err(damaged(
            "it has a comment, or is one piece of several".to_owned(),
        ));
    }

    let locator = end.checked_sub(LOCATOR_LENGTH);
    let locator = locator.filter(|&locator| {
        file.get(locator..)
            .is_some_and(|rest| rest.starts_with(LOCATOR_MAGIC))
    });
    let (count, size, start, end) = match locator {
        None => (count.into(), size.into(), start.into(), end),
        Some(locator) => {
            let record = locator.checked_sub(LARGE_END_LENGTH);
            let large = record.and_then(|record| read_large_end(file, record, locator));
            let Some((record, large)) = record.zip(large) else {
                return Err(damaged("its 64-bit end record makes no sense".to_owned()));
            };
            let agrees = |small: u64, most: u64, large: u64| small == most || small == large;
            if !agrees(count.into(), u16::MAX.into(), large[0])
                || !agrees(size.into(), u32::MAX.into(), large[1])
                || !agrees(start.into(), u32::MAX.into(), large[2])
            {
                return Err(damaged(
                    "its two end records contradict each other".to_owned(),
                ));
            }
            (large[0], large[1], large[2], record)
        }
    };
    if start.checked_add(size) != Some(end as u64) {
        let reason =
            format!("its directory of {size} bytes from byte {start} does not end at byte {end}");
        return Err(damaged(reason));
    }
    // Cannot fail: both are at most the file's length.
    let start = usize::try_from(start).unwrap_or(end);
    Ok((count, start..end))
}

/// The number of members, the directory's size and where it begins, from the end record for large archives.
fn read_large_end(file: &[u8], record: usize, locator: usize) -> Option<[u64; 3]> {
    let mut reader = Reader::new(file, locator + LOCATOR_MAGIC.len());
    let (disk, at, disks) = (reader.u32()?, reader.u64()?, reader.u32()?);
    if disk != 0 || disks > 1 || at != record as u64 {
        return None;
    }
    let mut reader = Reader::new(file, record);
    if reader.take(LARGE_END_MAGIC.len())? != LARGE_END_MAGIC {
        return None;
    }
    let (length, _versions, disks) = (reader.u64()?, reader.u32()?, reader.u64()?);
    let (here, count) = (reader.u64()?, reader.u64()?);
    let is_whole = length == (LARGE_END_LENGTH - 12) as u64 && disks == 0 && here == count;
    is_whole.then_some([count, reader.u64()?, reader.u64()?])
}

/// Distinguishes a file that was cut off from one with something behind it.
fn without_end(file: &[u8]) -> ArchiveFault {
    let longest = END_LENGTH + usize::from(u16::MAX);
    let tail = file
        .get(file.len().saturating_sub(longest)..)
        .unwrap_or_default();
    let behind = tail
        .windows(END_MAGIC.len())
        .rposition(|window| window == END_MAGIC);
    match behind.map(|at| tail.len() - at) {
        Some(length) if length > END_LENGTH => damaged(format!(
            "{} behind the end of its zip archive",
            plural(length - END_LENGTH, "byte")
        )),
        _ => ArchiveFault::Truncated(format!(
            "it begins as a zip archive, and after {} bytes it ends without the directory of one",
            file.len()
        )),
    }
}

/// Reads the next line of the directory.
fn read_line<'f>(reader: &mut Reader<'f>) -> Result<Line<'f>, ArchiveFault> {
    let at = reader.at();
    let broken = || {
        damaged(format!(
            "the line of its directory at byte {at} makes no sense"
        ))
    };
    if reader.take(DIRECTORY_MAGIC.len()) != Some(DIRECTORY_MAGIC) {
        return Err(broken());
    }
    let _versions = reader.u32().ok_or_else(broken)?;
    let (flags, method) = (
        reader.u16().ok_or_else(broken)?,
        reader.u16().ok_or_else(broken)?,
    );
    let _time = reader.u32().ok_or_else(broken)?;
    let checksum = reader.u32().ok_or_else(broken)?;
    let (packed, size) = (
        reader.u32().ok_or_else(broken)?,
        reader.u32().ok_or_else(broken)?,
    );
    let name_length = reader.u16().ok_or_else(broken)?;
    let (extra_length, comment_length) = (
        reader.u16().ok_or_else(broken)?,
        reader.u16().ok_or_else(broken)?,
    );
    let disk = reader.u16().ok_or_else(broken)?;
    let _attributes = reader.take(6).ok_or_else(broken)?;
    let header = reader.u32().ok_or_else(broken)?;
    let name = reader.take(name_length.into()).ok_or_else(broken)?;
    let extra = reader.take(extra_length.into()).ok_or_else(broken)?;
    let _comment = reader.take(comment_length.into()).ok_or_else(broken)?;

    // Numbers that do not fit stand in an extra field, in this order, and only those.
    let mut large = large_numbers(extra);
    let mut widen = |small: u32| match (small, &mut large) {
        (u32::MAX, Some(large)) => large.u64().ok_or_else(broken),
        (small, _) => Ok(small.into()),
    };
    let (size, packed, header) = (widen(size)?, widen(packed)?, widen(header)?);
    let name = std::str::from_utf8(name).map_err(|_| broken())?;
    if !stays_inside(name) {
        return Err(damaged(format!(
            "a member is called `{}`, which is not a plain path inside the archive",
            shown(name)
        )));
    }
    // Of a compressed member they differ; whoever asks for it gets the error that it is compressed.
    if (disk != 0 && disk != u16::MAX)
        || (method == STORED && flags & ENCRYPTED == 0 && packed != size)
    {
        return Err(broken());
    }
    Ok(Line {
        name,
        flags,
        method,
        checksum,
        size,
        packed,
        header,
    })
}

/// The content of the extra field with numbers of 64 bits.
fn large_numbers(extra: &[u8]) -> Option<Reader<'_>> {
    let mut reader = Reader::new(extra, 0);
    loop {
        let (kind, length) = (reader.u16()?, reader.u16()?);
        let content = reader.take(length.into())?;
        if kind == LARGE_NUMBERS {
            return Some(Reader::new(content, 0));
        }
    }
}

/// Whether a name is a path inside the archive, written the one way that it can be.
fn stays_inside(name: &str) -> bool {
    let path = name.strip_suffix('/').unwrap_or(name);
    let is_plain = |part: &str| !matches!(part, "" | "." | "..");
    path.split('/').all(is_plain) && !name.contains(['\\', '\0'])
}

/// Where a member's header begins, and where its content is, as its own header has it.
fn find_member(
    file: &[u8],
    directory: usize,
    line: &Line<'_>,
) -> Result<(usize, Range<usize>), ArchiveFault> {
    let name = shown(line.name);
    let contradiction = || {
        damaged(format!(
            "the directory and the header of member `{name}` contradict each other"
        ))
    };
    let outside = || damaged(format!("member `{name}` does not lie before the directory"));
    let start = usize::try_from(line.header).map_err(|_| outside())?;
    let before = file.get(..directory).unwrap_or_default();
    if start >= before.len() {
        return Err(outside());
    }
    let mut reader = Reader::new(before, start);
    if reader.take(MAGIC.len()) != Some(MAGIC) {
        return Err(contradiction());
    }
    let _version = reader.u16().ok_or_else(outside)?;
    let (flags, method) = (
        reader.u16().ok_or_else(outside)?,
        reader.u16().ok_or_else(outside)?,
    );
    let _time_and_checksum = reader.u64().ok_or_else(outside)?;
    let packed = reader.u32().ok_or_else(outside)?;
    let _size = reader.u32().ok_or_else(outside)?;
    let (name_length, extra_length) = (
        reader.u16().ok_or_else(outside)?,
        reader.u16().ok_or_else(outside)?,
    );
    let own_name = reader.take(name_length.into()).ok_or_else(outside)?;
    let _extra = reader.take(extra_length.into()).ok_or_else(outside)?;
    let has_size = packed != u32::MAX && flags & SIZES_BEHIND == 0;
    if own_name != line.name.as_bytes()
        || method != line.method
        || (flags ^ line.flags) & ENCRYPTED != 0
        || (has_size && u64::from(packed) != line.packed)
    {
        return Err(contradiction());
    }
    let from = reader.at();
    let size = usize::try_from(line.packed).map_err(|_| outside())?;
    let content = reader.take(size).ok_or_else(outside)?;
    Ok((start, from..from + content.len()))
}
