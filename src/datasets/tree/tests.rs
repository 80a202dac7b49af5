//! Archives that are whole, spoilt or made to do harm, and what is kept of large ones.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::sync::Mutex;

use proptest::prelude::*;
use tar::{EntryType, Header};

use super::super::{NoScratch, PlainDigester, Scratch, WriteContent};
use super::*;
use crate::checked_blocks::CheckedBlocks;
use crate::message::Hint;

/// Puts an archive together, member by member.
#[derive(Default)]
struct Maker(RefCell<Vec<u8>>);

impl Maker {
    fn member(&self, kind: EntryType, name: &[u8], content: &[u8]) -> &Self {
        self.sized(kind, name, content.len() as u64, content)
    }

    /// A member whose header states a size of its own.
    fn sized(&self, kind: EntryType, name: &[u8], size: u64, content: &[u8]) -> &Self {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(0o644);
        header.set_cksum();
        let mut bytes = self.0.borrow_mut();
        bytes.extend(header.as_bytes());
        bytes.extend(content);
        let filled = bytes.len().next_multiple_of(512);
        bytes.resize(filled, 0);
        drop(bytes);
        self
    }

    fn file(&self, name: &str, content: &[u8]) -> &Self {
        self.member(EntryType::Regular, name.as_bytes(), content)
    }

    fn end(&self) -> Vec<u8> {
        let mut bytes = self.0.borrow().clone();
        bytes.resize(bytes.len() + 1024, 0);
        bytes
    }
}

fn pax(key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {key}={value}\n");
    let length =
        (1..10_000).find(|length: &usize| *length == rest.len() + length.to_string().len());
    format!("{}{rest}", length.unwrap()).into_bytes()
}

/// Puts bytes into `a.tar` and opens it.
fn tree(bytes: &[u8], nested: bool, scratch: &dyn Scratch) -> Result<Tree, String> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.tar"), bytes).unwrap();
    open_tree(folder.path(), nested, scratch)
}

fn open_tree(folder: &Path, nested: bool, scratch: &dyn Scratch) -> Result<Tree, String> {
    let known = [Packed {
        nested,
        ..Packed::new("a.tar", "unpacked")
    }];
    let environment = Environment {
        base: folder,
        digester: &PlainDigester,
        scratch,
    };
    Tree::open(Path::new(""), &known, &environment).map_err(|error| error.explain().to_string())
}

fn read(tree: &Tree, name: &str) -> Result<Vec<u8>, String> {
    let location = tree.root().file(name);
    let bytes = location.and_then(|location| location.read(1 << 20, "fix it"));
    bytes.map_err(|error| error.explain().to_string())
}

#[test]
fn long_names_and_sizes_of_pax_are_understood() {
    let (long, gnu) = ("d/".repeat(120) + "a.jpg", "e/".repeat(90) + "b.jpg");
    let maker = Maker::default();
    maker
        .member(EntryType::XGlobalHeader, b"pax", &pax("comment", "by hand"))
        .member(EntryType::XHeader, b"pax", &pax("path", &long))
        .file("short", b"one")
        .member(
            EntryType::GNULongName,
            b"././@LongLink",
            format!("{gnu}\0").as_bytes(),
        )
        .file("cut", b"two")
        .member(EntryType::XHeader, b"pax", &pax("size", "5"))
        .sized(EntryType::Regular, b"./f/c.jpg", 0, b"three")
        .member(EntryType::Directory, b"g/", b"")
        .file("f/.hidden.jpg", b"")
        .file("f/d.txt", b"four");
    for bytes in [maker.end(), fixture::gzip(&maker.end())] {
        let tree = tree(&bytes, false, &NoScratch).unwrap();
        assert_eq!(read(&tree, &long).unwrap(), b"one");
        assert_eq!(read(&tree, &gnu).unwrap(), b"two");
        assert_eq!(read(&tree, "f/c.jpg").unwrap(), b"three");
        let root = tree.root();
        assert_eq!(root.folders().unwrap(), ["d", "e", "f", "g"]);
        assert_eq!(root.join("f").images().unwrap(), ["c.jpg"]);
        assert!(root.join("g").exists() && !root.join("h").exists());
        assert!(root.join("g").images().unwrap().is_empty());
    }
}

#[test]
fn what_would_do_harm_is_refused_with_its_place() {
    let outside = |name: &str| Maker::default().file(name, b"x").end();
    let with = |kind, name: &[u8], content: &[u8]| {
        let maker = Maker::default();
        maker.file("a.jpg", b"x").member(kind, name, content);
        maker.file("b.jpg", b"y").end()
    };
    let whole = Maker::default().file("a.jpg", &[7; 2000]).end();
    let mut checksum = with(EntryType::Regular, b"c.jpg", b"");
    checksum[1024 + 20] ^= 1;
    let huge = Maker::default()
        .sized(EntryType::Regular, b"a.jpg", u64::MAX / 2, b"x")
        .end();
    let name = Maker::default()
        .sized(EntryType::GNULongName, b"long", 1 << 40, b"x")
        .end();
    for (what, bytes, says) in [
        (
            "absolute",
            outside("/etc/passwd"),
            "header at byte 0 has the name `/etc/passwd`, which leads outside",
        ),
        (
            "above",
            outside("a/../../b.jpg"),
            "has the name `a/../../b.jpg`, which leads outside",
        ),
        (
            "above in PAX",
            with(EntryType::XHeader, b"pax", &pax("path", "../b.jpg")),
            "has the name `../b.jpg`, which leads outside",
        ),
        (
            "no UTF-8",
            with(EntryType::Regular, b"\xff.jpg", b""),
            "header at byte 1024 has a name that is not UTF-8",
        ),
        (
            "zero byte",
            with(EntryType::XHeader, b"pax", &pax("path", "a\0b")),
            "has a name with a zero byte: `a\\0b`",
        ),
        (
            "twice",
            with(EntryType::Regular, b"./a.jpg", b"z"),
            "header at byte 1024 has the name `a.jpg`, which the header at byte 0 has as well",
        ),
        (
            "sparse",
            with(EntryType::GNUSparse, b"s.jpg", b""),
            "header at byte 1024 is that of a sparse file",
        ),
        (
            "sparse in PAX",
            with(EntryType::XHeader, b"pax", &pax("GNU.sparse.major", "1")),
            "is that of a sparse file",
        ),
        (
            "bad PAX",
            with(EntryType::XHeader, b"pax", b"7 path\n"),
            "header at byte 1024 has malformed PAX records",
        ),
        (
            "bad size in PAX",
            with(EntryType::XHeader, b"pax", &pax("size", "-1")),
            "has a PAX record `size` that is not a number",
        ),
        (
            "checksum",
            checksum,
            "header at byte 1024 has another checksum than it states",
        ),
        (
            "no archive",
            b"404 ".repeat(400),
            "header at byte 0 has another checksum than it states, or is not one",
        ),
        (
            "a page",
            b"<html>404</html>".repeat(100),
            "it is a web page, as a server sends one",
        ),
        (
            "empty",
            Vec::new(),
            "header at byte 0 is missing: the archive is cut off after 0 bytes there",
        ),
        (
            "short",
            b"x".to_vec(),
            "header at byte 0 is missing: the archive is cut off after 1 bytes there",
        ),
        (
            "huge",
            huge,
            "header at byte 0 announces 9223372036854775807 bytes, but the archive ends after 1536",
        ),
        (
            "huge name",
            name,
            "header at byte 0 announces a name or records of 1099511627776 bytes",
        ),
        (
            "cut off in a file",
            whole[..1500].to_vec(),
            "header at byte 0 announces 2000 bytes, but the archive ends after 988",
        ),
        (
            "cut off after a file",
            whole[..2560].to_vec(),
            "header at byte 2560 is missing: the archive is cut off",
        ),
        (
            "damaged gzip",
            fixture::gzip(&whole)[..40].to_vec(),
            "its compressed data is damaged or cut off after",
        ),
        (
            "bomb",
            fixture::gzip(&vec![0; (1 << 26) + (1 << 24)]),
            "MiB, the most that a file of its size may",
        ),
    ] {
        let error = tree(&bytes, false, &Half).err();
        let error = error.unwrap_or_else(|| panic!("{what} is taken"));
        assert!(error.contains(says), "{what}: {error}");
        assert!(error.contains("a.tar is malformed: it"), "{what}: {error}");
        assert!(error.contains("hint: download it again"), "{what}: {error}");
    }
}

/// Holds little in memory, and keeps nothing but says that it does.
struct Half;

impl Scratch for Half {
    fn find(&self, _family: &str, _name: &str) -> Option<PathBuf> {
        None
    }

    fn keep(&self, _family: &str, _name: &str, write: WriteContent<'_>) -> io::Result<PathBuf> {
        write(&mut io::sink()).map(|()| PathBuf::new())
    }

    fn find_blocks(&self, _family: &str, _name: &str) -> io::Result<Option<CheckedBlocks>> {
        Ok(None)
    }

    fn keep_blocks(
        &self,
        _family: &str,
        _name: &str,
        write: WriteContent<'_>,
    ) -> io::Result<CheckedBlocks> {
        write(&mut io::sink())?;
        Err(io::Error::other("nothing is kept"))
    }

    fn set_aside(&self, _path: &Path, _reason: &str) -> io::Result<()> {
        Err(io::Error::other("nothing is kept"))
    }

    fn tell(&self, _message: &str) {}

    fn most_in_memory(&self) -> u64 {
        1 << 20
    }
}

#[test]
fn links_and_devices_are_never_followed() {
    let maker = Maker::default();
    let kinds = [
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Fifo,
        EntryType::Char,
    ];
    for (kind, name) in kinds
        .into_iter()
        .zip(["f/a.jpg", "f/b.jpg", "f/c.jpg", "f/d.jpg"])
    {
        // A size without content, as some programs write it.
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_link_name("/etc/passwd").unwrap();
        header.set_size(3);
        header.set_cksum();
        maker.0.borrow_mut().extend(header.as_bytes());
    }
    let tree = tree(&maker.file("f/e.jpg", b"x").end(), false, &NoScratch).unwrap();
    assert_eq!(read(&tree, "f/e.jpg").unwrap(), b"x");
    for (name, says) in [
        (
            "f/a.jpg",
            "`f/a.jpg` in it is a link that leads out of the archive",
        ),
        (
            "f/b.jpg",
            "`f/b.jpg` in it is a link that leads out of the archive",
        ),
        ("f/c.jpg", "`f/c.jpg` in it is neither a file nor a folder"),
        ("f/d.jpg", "`f/d.jpg` in it is neither a file nor a folder"),
    ] {
        let error = read(&tree, name).unwrap_err();
        assert!(
            error.contains("a.tar is malformed") && error.contains(says),
            "{error}"
        );
    }
}

#[test]
fn archives_in_an_archive_are_folders_and_no_deeper() {
    let inner = Maker::default().file("a.jpg", b"one").end();
    let bytes = Maker::default()
        .file("n01.tar", &inner)
        .file("b.jpg", b"two")
        .end();
    let nested = tree(&bytes, true, &NoScratch).unwrap();
    assert_eq!(nested.root().folders().unwrap(), ["n01"]);
    assert_eq!(read(&nested, "n01/a.jpg").unwrap(), b"one");
    let location = nested.root().file("n01/a.jpg").unwrap();
    assert!(location.path().ends_with("a.tar/n01/a.jpg"));
    let digest = location.digest(&Refusing).unwrap_err().to_string();
    assert!(digest.contains("1024..1027"), "{digest}");

    let deeper = Maker::default().file("n02.tar", &bytes).end();
    let error = tree(&deeper, true, &NoScratch).err().unwrap();
    assert!(
        error.contains("header at byte 512 is that of `n01.tar`, an archive in an archive in"),
        "{error}"
    );
    let cut = Maker::default().file("n01.tar", &inner[..1024]).end();
    let error = tree(&cut, true, &NoScratch).err().unwrap();
    assert!(error.contains("header at byte 1536 is missing"), "{error}");
    // Two of one name in two archives are two; a folder and an archive of one name are not.
    let twice = Maker::default()
        .file("n01.tar", &inner)
        .file("n01/a.jpg", b"")
        .end();
    let error = tree(&twice, true, &NoScratch).err().unwrap();
    assert!(
        error.contains("has the name `n01/a.jpg`, which the header at byte 512 has"),
        "{error}"
    );
}

/// Records which range was asked for.
struct Refusing;

impl super::super::Digester for Refusing {
    fn digest_file(&self, path: &Path) -> Result<String, DatasetError> {
        Err(DatasetError::Selection(path.display().to_string().into()))
    }

    fn digest_range(
        &self,
        _path: &Path,
        range: std::ops::Range<u64>,
    ) -> Result<String, DatasetError> {
        Err(DatasetError::Selection(format!("{range:?}").into()))
    }

    fn digest_parts(
        &self,
        _path: &Path,
        question: &str,
        _parts: usize,
        _compute: &mut dyn FnMut() -> Result<Vec<[u8; 32]>, DatasetError>,
    ) -> Result<Vec<[u8; 32]>, DatasetError> {
        Err(DatasetError::Selection(question.to_owned().into()))
    }
}

/// Keeps files in a folder, and little in memory.
struct Kept {
    files: crate::store::Scratch,
    told: Mutex<Vec<String>>,
}

impl Kept {
    fn new(folder: &Path) -> Self {
        Self {
            files: crate::store::Scratch::new(folder),
            told: Mutex::default(),
        }
    }
}

impl Scratch for Kept {
    fn find(&self, family: &str, name: &str) -> Option<PathBuf> {
        self.files.find(family, name)
    }

    fn keep(&self, family: &str, name: &str, write: WriteContent<'_>) -> io::Result<PathBuf> {
        self.files.keep(family, name, write)
    }

    fn find_blocks(&self, family: &str, name: &str) -> io::Result<Option<CheckedBlocks>> {
        self.files.find_blocks(family, name)
    }

    fn keep_blocks(
        &self,
        family: &str,
        name: &str,
        write: WriteContent<'_>,
    ) -> io::Result<CheckedBlocks> {
        self.files.keep_blocks(family, name, write)
    }

    fn set_aside(&self, path: &Path, reason: &str) -> io::Result<()> {
        let aside = self.files.set_aside(path, reason);
        aside.map(|_| ()).map_err(io::Error::other)
    }

    fn tell(&self, message: &str) {
        self.told.lock().unwrap().push(message.to_owned());
    }

    fn most_in_memory(&self) -> u64 {
        1024
    }
}

#[test]
fn a_large_archive_is_decompressed_once() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("a.tar");
    fs::write(
        &archive,
        fixture::gzip(&Maker::default().file("a.jpg", b"one").end()),
    )
    .unwrap();
    let cache = folder.path().join("cache");
    let scratch = Kept::new(&cache);
    for _ in 0..2 {
        let tree = open_tree(folder.path(), false, &scratch).unwrap();
        assert_eq!(read(&tree, "a.jpg").unwrap(), b"one");
        let location = tree.root().file("a.jpg").unwrap();
        let digest = blake3::hash(b"one").to_hex().to_string();
        assert_eq!(location.digest(&PlainDigester).unwrap(), digest);
        // The archive, and the digests of its blocks.
        assert_eq!(fs::read_dir(&cache).unwrap().count(), 2);
    }
    let told = scratch.told.lock().unwrap().clone();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("a.tar: decompressing"), "{told:?}");
    // Another archive in its place, and room for one alone.
    fs::write(
        &archive,
        fixture::gzip(&Maker::default().file("b.jpg", b"two!").end()),
    )
    .unwrap();
    let tree = open_tree(folder.path(), false, &scratch).unwrap();
    assert_eq!(read(&tree, "b.jpg").unwrap(), b"two!");
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 2);

    let nowhere = Kept::new(&archive.join("below a file"));
    let error = open_tree(folder.path(), false, &nowhere).err().unwrap();
    assert!(
        error.contains("cannot be kept without its compression"),
        "{error}"
    );
    assert!(error.contains("`--cache`"), "{error}");
}

#[test]
fn the_index_of_a_large_archive_is_remembered_and_damage_to_it_shows() {
    let folder = tempfile::tempdir().unwrap();
    let maker = Maker::default();
    for number in 0..1200 {
        maker.file(
            &format!("{}/{number}.jpg", number % 7),
            number.to_string().as_bytes(),
        );
    }
    fs::write(folder.path().join("a.tar"), maker.end()).unwrap();
    let cache = folder.path().join("cache");
    let scratch = Kept::new(&cache);
    let first = open_tree(folder.path(), false, &scratch).unwrap();
    let names = first.root().join("3").images().unwrap();
    assert_eq!(names.len(), 171);
    let entries: Vec<_> = fs::read_dir(&cache).unwrap().collect();
    let [Ok(kept)] = entries.as_slice() else {
        panic!("one file is kept: {entries:?}");
    };
    // Believed where it is whole: an index of another archive comes back, which shows that it was read.
    let path = kept.path();
    let right = fs::read(&path).unwrap();
    let other = headers::members(
        &source::Source::Memory(Maker::default().file("other.jpg", b"").end()),
        0..1536,
        &headers::Allowance::default(),
    );
    let mut wrong = Vec::new();
    index::Index::new(other.unwrap())
        .unwrap()
        .save(&mut wrong)
        .unwrap();
    fs::write(&path, &wrong).unwrap();
    let lied = open_tree(folder.path(), false, &scratch).unwrap();
    assert_eq!(lied.root().images().unwrap(), ["other.jpg"]);
    for place in [0, right.len() / 2, right.len() - 1] {
        let mut damaged = right.clone();
        damaged[place] ^= 1;
        fs::write(&path, damaged).unwrap();
        let again = open_tree(folder.path(), false, &scratch).unwrap();
        assert_eq!(again.root().join("3").images().unwrap(), names);
        assert_eq!(read(&again, "3/1200.jpg").ok(), None);
        assert_eq!(read(&again, "3/10.jpg").unwrap(), b"10");
    }
}

proptest! {
    #[test]
    fn damaged_archives_are_read_or_refused(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        repair: bool,
        end in any::<prop::sample::Index>(),
    ) {
        let inner = Maker::default().file("a.jpg", b"one").end();
        let maker = Maker::default();
        maker
            .file("n01.tar", &inner)
            .member(EntryType::XHeader, b"pax", &[pax("path", "b"), pax("size", "3")].concat())
            .file("b.jpg", b"two");
        let mut bytes = maker.end();
        for (place, value) in &changes {
            let place = place.index(bytes.len());
            bytes[place] = *value;
        }
        if repair {
            // So that the damage gets past the checksums.
            for block in bytes.chunks_exact_mut(512) {
                let mut header = Header::from_byte_slice(block).clone();
                header.set_cksum();
                if block[257..262] == *b"ustar" {
                    block.copy_from_slice(header.as_bytes());
                }
            }
        }
        let length = bytes.len();
        for part in [&bytes[..], &bytes[..end.index(length)]] {
            if let Ok(tree) = tree(part, true, &NoScratch) {
                let _ = read(&tree, "b");
                let _ = read(&tree, "n01/a.jpg");
            }
        }
    }
}
