//! SHA-256 of files: the digest that publishers give. (What this program names by itself, it names by BLAKE3.)

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;

use super::error::FetchError;
use super::event::{Emit, Event};

/// Read at once; the user can stop between two of them.
const BUFFER: usize = 1 << 20;

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; 32]);

/// A text that is not a SHA-256 digest.
#[derive(Debug, thiserror::Error)]
#[error("invalid SHA-256 digest `{0}`: expected 64 hexadecimal digits")]
pub struct NoDigest(String);

impl FromStr for Digest {
    type Err = NoDigest;

    fn from_str(text: &str) -> Result<Self, NoDigest> {
        let wrong = || NoDigest(text.to_owned());
        // Checked by hand, because numbers may also begin with a sign.
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut digest = [0; 32];
        for (index, byte) in digest.iter_mut().enumerate() {
            let pair = text.get(2 * index..2 * index + 2).ok_or_else(wrong)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
        }
        Ok(Self(digest))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Digest({self})")
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The digest of a whole file, as it is on disk.
pub(super) fn of_file(
    path: &Path,
    emit: Emit<'_>,
    stop: &dyn Fn() -> bool,
) -> Result<Digest, FetchError> {
    let failed = |error| FetchError::io("read", path, error);
    let mut file = File::open(path).map_err(failed)?;
    emit(Event::Checking {
        path: path.to_owned(),
        bytes: file.metadata().map_err(failed)?.len(),
    });
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; BUFFER];
    let mut done = 0;
    loop {
        if stop() {
            return Err(FetchError::Stopped { kept: None });
        }
        let read = match file.read(&mut buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            read => read.map_err(failed)?,
        };
        if read == 0 {
            return Ok(Digest(hasher.finalize().into()));
        }
        hasher.update(buffer.get(..read).unwrap_or_default());
        done += read as u64;
        emit(Event::Checked { bytes: done });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `abc`, from FIPS 180-4.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_digest_is_read_and_written_in_hexadecimal() {
        let digest: Digest = ABC.parse().unwrap();
        assert_eq!(digest.to_string(), ABC);
        assert_eq!(ABC.to_uppercase().parse::<Digest>().unwrap(), digest);
        assert_eq!(
            serde_json::to_string(&digest).unwrap(),
            format!("\"{ABC}\"")
        );
        for wrong in ["", "ba78", &ABC.replace('b', "g"), &ABC.replace("ba", "+1")] {
            let error = wrong.parse::<Digest>().unwrap_err().to_string();
            assert!(error.contains("64 hexadecimal digits"), "{error}");
        }
    }

    #[test]
    fn a_file_is_hashed_and_a_stop_is_heard() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        let digest = of_file(&path, &|_| {}, &|| false).unwrap();
        assert_eq!(digest.to_string(), ABC);
        let stopped = of_file(&path, &|_| {}, &|| true).unwrap_err();
        assert!(matches!(stopped, FetchError::Stopped { .. }));
        let missing = of_file(&folder.path().join("none"), &|_| {}, &|| false).unwrap_err();
        assert!(missing.to_string().contains("none"), "{missing}");
    }
}
