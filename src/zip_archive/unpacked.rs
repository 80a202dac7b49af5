//! Compressed members of an archive, unpacked into memory: for archives of arrays, which are read in place elsewhere.
//!
//! # Reference
//! PKWARE, APPNOTE.TXT 6.3.10, sections 4.4.5 (method 8, deflate) and 4.4.7 (CRC-32).
//!
//! # Deviations
//! Of other methods of compression nothing is read. Unlike those of stored members, checksums are compared, since every byte is read
//! anyway.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;

use flate2::Crc;
use flate2::read::DeflateDecoder;

use super::{Archive, ArchiveFault, DEFLATE, ENCRYPTED, Member, STORED, damaged};
use crate::limits;
use crate::numbers::to_usize;
use crate::text;
use crate::visible::shown;

impl Archive<'_> {
    /// The archive with its compressed members unpacked: the bytes of all members one after the other, and where each is in them. `None`
    /// where no member is compressed, so that all can be read in place. `file` are the bytes of the archive itself.
    ///
    /// # Errors
    /// A member that does not unpack into what the directory announces, and members that would unpack into more than
    /// [`limits::unpacked`] of the file's length. An encrypted member and another method stay as they are, and are refused by
    /// [`find`](Self::find).
    pub(crate) fn unpacked(&self, file: &[u8]) -> Result<Option<(Vec<u8>, Self)>, ArchiveFault> {
        let is_packed = |member: &Member| member.method == DEFLATE && member.flags & ENCRYPTED == 0;
        if !self.members.values().any(is_packed) {
            return Ok(None);
        }
        let sizes = self.members.values().map(|member| member.size);
        let announced = sizes.fold(0, u64::saturating_add);
        let most = limits::unpacked(file.len() as u64);
        if announced > most {
            return Err(ArchiveFault::Unsupported {
                reason: format!(
                    "its members unpack into {}, and at most {} are unpacked of a file of {}",
                    text::bytes(announced),
                    text::bytes(most),
                    text::bytes(file.len() as u64)
                ),
                remedy: "write the file with `numpy.savez`, whose members are read in place",
            });
        }
        let mut bytes = Vec::new();
        let mut members = BTreeMap::new();
        for (&name, member) in &self.members {
            let start = bytes.len();
            let packed = file.get(member.bytes.clone()).unwrap_or_default();
            if is_packed(member) {
                unpack(name, member, packed, &mut bytes)?;
            } else {
                bytes.extend_from_slice(packed);
            }
            let method = if is_packed(member) {
                STORED
            } else {
                member.method
            };
            let member = Member {
                method,
                bytes: start..bytes.len(),
                ..*member
            };
            members.insert(name, member);
        }
        Ok(Some((bytes, Self { members })))
    }
}

impl<'f> Archive<'f> {
    /// The content of one member alone, unpacked where it is compressed; `None` where there is no member of that name.
    ///
    /// # Errors
    /// A member of more than `most` bytes, one that does not unpack into what the directory announces, and what
    /// [`find`](Self::find) refuses.
    pub(crate) fn unpacked_member(
        &self,
        file: &'f [u8],
        name: &str,
        most: u64,
    ) -> Result<Option<Cow<'f, [u8]>>, ArchiveFault> {
        let Some(member) = self.members.get(name) else {
            return Ok(None);
        };
        if member.size > most {
            return Err(damaged(format!(
                "its member `{}` has {}, and at most {} of it are read",
                shown(name),
                text::bytes(member.size),
                text::bytes(most)
            )));
        }
        let bytes = file.get(member.bytes.clone()).unwrap_or_default();
        if member.method == DEFLATE && member.flags & ENCRYPTED == 0 {
            let mut content = Vec::new();
            unpack(name, member, bytes, &mut content)?;
            return Ok(Some(Cow::Owned(content)));
        }
        self.find(name)?;
        Ok(Some(Cow::Borrowed(bytes)))
    }
}

/// Appends the content of a compressed member.
fn unpack(
    name: &str,
    member: &Member,
    packed: &[u8],
    bytes: &mut Vec<u8>,
) -> Result<(), ArchiveFault> {
    let start = bytes.len();
    let mut decoder = DeflateDecoder::new(packed).take(member.size.saturating_add(1));
    let unpacked = decoder.read_to_end(bytes);
    let broken = |how: &str| damaged(format!("its member `{}` {how}", shown(name)));
    if let Err(error) = unpacked {
        return Err(broken(&format!("cannot be unpacked: {error}")));
    }
    let content = bytes.get(start..).unwrap_or_default();
    if content.len() != to_usize(member.size) {
        return Err(broken(&format!(
            "does not unpack into the {} that the directory announces",
            text::bytes(member.size)
        )));
    }
    let mut checksum = Crc::new();
    checksum.update(content);
    if checksum.sum() != member.checksum {
        return Err(broken("has another checksum than the directory says"));
    }
    Ok(())
}
