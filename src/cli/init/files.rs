//! Writing files into a folder of the user's: all of them or, where one would replace another file, none.

use std::ffi::OsString;
use std::fs::{self, File as OsFile};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::template::{Content, File, MARK};
use crate::atomic_file::AtomicFile;
use crate::cli::exit::Failure;
use crate::limits;
use crate::message::Message;

/// Names the share folder where the program does not find it by itself.
const SHARE: &str = "REPRO_SHARE";

/// What became of the files, each by its path from the folder.
#[derive(Debug)]
pub(in crate::cli) struct Written {
    pub(in crate::cli) new: Vec<&'static str>,
    /// Were there with another content, and may be.
    pub(in crate::cli) kept: Vec<&'static str>,
}

/// Writes the files into the folder, which is made if it is not there. A file that is there with the same bytes is left alone.
///
/// # Errors
/// Another file under one of the names, unless `force`; then nothing is written. A share folder that is not found, and what the file
/// system says.
pub(in crate::cli) fn write(
    folder: &Path,
    files: &[&'static File],
    force: bool,
) -> Result<Written, Failure> {
    let needs_share = files
        .iter()
        .any(|file| matches!(file.content, Content::Shared));
    let share = needs_share.then(share).transpose()?;
    let mut written = Written {
        new: Vec::new(),
        kept: Vec::new(),
    };
    let mut taken = Vec::new();
    let mut contents = Vec::new();
    for &file in files {
        let bytes = content(file, share.as_deref())?;
        match presence(&folder.join(file.path), &bytes) {
            Presence::Same => {}
            Presence::Other if file.may_differ => written.kept.push(file.path),
            Presence::Other if !force => taken.push(file.path),
            Presence::Absent | Presence::Other => contents.push((file, bytes)),
        }
    }
    if !taken.is_empty() {
        return Err(Failure::Usage(
            Message::new(format!(
                "nothing was written: {} already has other files named {}",
                folder.display(),
                taken.join(", ")
            ))
            .hint("choose another folder, or replace these files with --force"),
        ));
    }
    for (file, bytes) in contents {
        let target = folder.join(file.path);
        put(&target, &bytes, force).map_err(|error| {
            Failure::Input(format!("cannot write {}: {error}", target.display()).into())
        })?;
        written.new.push(file.path);
    }
    Ok(written)
}

/// What has a file's name.
enum Presence {
    Absent,
    /// A file of these very bytes.
    Same,
    Other,
}

fn presence(target: &Path, bytes: &[u8]) -> Presence {
    let Ok(there) = target.symlink_metadata() else {
        return Presence::Absent;
    };
    // Of the same length, lest something endless is read.
    let same = there.is_file()
        && there.len() == bytes.len() as u64
        && fs::read(target).is_ok_and(|present| present == bytes);
    if same {
        Presence::Same
    } else {
        Presence::Other
    }
}

fn put(target: &Path, bytes: &[u8], force: bool) -> io::Result<()> {
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = AtomicFile::create(target)?;
    file.write_all(bytes)?;
    if force {
        return file.commit();
    }
    if file.commit_if_absent()? {
        Ok(())
    } else {
        Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "another process has just written a file of this name",
        ))
    }
}

fn content(file: &File, share: Option<&Path>) -> Result<Vec<u8>, Failure> {
    match (&file.content, share) {
        (Content::Text(text), _) => Ok(text.as_bytes().to_vec()),
        (Content::Shared, Some(share)) => {
            let path = share.join(file.path);
            read(&path).map_err(|error| {
                Failure::Input(
                    Message::new(format!("cannot read {}: {error}", path.display())).hint(format!(
                        "it comes with repro; install repro again, or set {SHARE} to a checkout"
                    )),
                )
            })
        }
        (Content::Shared, None) => Err(no_share()),
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    OsFile::open(path)?
        .take(limits::WHOLE_FILE + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limits::WHOLE_FILE {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

/// The folder with the quickstart's images and weights: the one that is named, the one that is installed with the program, or the
/// checkout that the program was built in.
fn share() -> Result<PathBuf, Failure> {
    let program = std::env::current_exe().unwrap_or_default();
    find_share(std::env::var_os(SHARE), &program)
}

fn find_share(named: Option<OsString>, program: &Path) -> Result<PathBuf, Failure> {
    let has_mark = |folder: &PathBuf| folder.join(MARK).is_file();
    if let Some(named) = named.filter(|named| !named.is_empty()) {
        let folder = PathBuf::from(named);
        return if has_mark(&folder) {
            Ok(folder)
        } else {
            Err(Failure::Input(
                Message::new(format!(
                    "{SHARE} names {}, which has no {MARK}",
                    folder.display()
                ))
                .hint("set it to a checkout of repro, or unset it"),
            ))
        };
    }
    let installed = program.ancestors().nth(2);
    let installed = installed.map(|prefix| prefix.join("share/repro"));
    let checkouts = program.ancestors().skip(1).map(Path::to_path_buf);
    let mut candidates = installed.into_iter().chain(checkouts);
    candidates.find(has_mark).ok_or_else(no_share)
}

fn no_share() -> Failure {
    Failure::Input(
        Message::new("the quickstart's images and weights, which come with repro, were not found")
            .hint(format!("set {SHARE} to a checkout of repro")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_folder_is_found_from_the_program() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let with_mark = |share: &str| {
            let file = root.join(share).join(MARK);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        };
        let found = |named: Option<&str>, program: &str| {
            let named = named.map(|named| root.join(named).into_os_string());
            find_share(named, &root.join(program)).ok()
        };
        assert_eq!(found(None, "repro/bin/repro"), None);
        with_mark("checkout");
        with_mark("repro/share/repro");
        for (named, program, expected) in [
            (None, "checkout/target/release/repro", Some("checkout")),
            (None, "repro/bin/repro", Some("repro/share/repro")),
            (None, "elsewhere/repro", None),
            (Some("checkout"), "repro/bin/repro", Some("checkout")),
            // What was named and is wrong is not replaced by another.
            (Some("elsewhere"), "repro/bin/repro", None),
        ] {
            let expected = expected.map(|expected| root.join(expected));
            assert_eq!(found(named, program), expected, "{named:?} {program}");
        }
    }
}
