//! Files that are often found in place of others, by what they begin with: packed archives, web pages, pointers of Git LFS.

/// How many bytes of a file are looked at.
pub const BEGINNING: usize = 512;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recognized {
    /// In a few words, such as "a zip archive".
    pub what: &'static str,
    /// Whether it holds other files and can be unpacked.
    pub is_packed: bool,
}

/// The beginnings of files, and what they are.
const MAGIC: [(&[u8], &str, bool); 17] = [
    (b"PK\x03\x04", "a zip archive", true),
    (b"PK\x05\x06", "an empty zip archive", true),
    (b"\x1f\x8b", "packed with gzip", true),
    (b"\xfd7zXZ\0", "packed with xz", true),
    (b"BZh", "packed with bzip2", true),
    (b"\x28\xb5\x2f\xfd", "packed with zstd", true),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", true),
    (b"Rar!\x1a\x07", "a rar archive", true),
    (b"PAR1", "a Parquet file", false),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", false),
    (b"\x93NUMPY", "a NumPy array", false),
    (b"\x89PNG\r\n\x1a\n", "a PNG image", false),
    (b"\xff\xd8\xff", "a JPEG image", false),
    (b"GIF8", "a GIF image", false),
    (b"%PDF-", "a PDF file", false),
    (b"\x7fELF", "a program", false),
    (b"#!", "a script", false),
];

/// What a file is that begins so; `None` for all else.
pub fn recognized(beginning: &[u8]) -> Option<Recognized> {
    let text = beginning.trim_ascii_start();
    let begins = |start: &[u8]| {
        let text = text.get(..start.len());
        text.is_some_and(|text| text.eq_ignore_ascii_case(start))
    };
    let plain = |what| Recognized {
        what,
        is_packed: false,
    };
    if begins(b"<!doctype") || begins(b"<html") || begins(b"<?xml") {
        return Some(plain(
            "a web page, as a server sends one instead of the file when something is wrong",
        ));
    }
    if begins(b"version https://git-lfs") {
        return Some(plain(
            "a pointer of Git LFS, which `git lfs pull` replaces by the file",
        ));
    }
    let mut known = MAGIC.iter();
    let found = known.find(|(magic, ..)| beginning.starts_with(magic));
    found.map(|&(_, what, is_packed)| Recognized { what, is_packed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_by_their_beginnings() {
        for (bytes, what) in [
            (b"PK\x03\x04rest".as_slice(), "a zip archive"),
            (b"\n <!DOCTYPE html>", "a web page"),
            (b"<HTML>", "a web page"),
            (
                b"version https://git-lfs.github.com/spec/v1\n",
                "a pointer of Git LFS",
            ),
            (b"BZh91AY", "packed with bzip2"),
        ] {
            let found = recognized(bytes).unwrap();
            assert!(found.what.starts_with(what), "{found:?}");
        }
        for bytes in [b"".as_slice(), b"PK", b"train/\0\0", b"name,label\n"] {
            assert_eq!(recognized(bytes), None);
        }
    }
}
