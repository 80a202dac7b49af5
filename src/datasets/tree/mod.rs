//! The files of a dataset as one tree of folders, whether they are unpacked on disk, in the owner's archives, or in both.
//!
//! A kind says which archives its owner publishes, and where the content of each belongs ([`Packed`]). It then asks the tree instead
//! of the disk: [`Folder`] finds, lists and locates; a [`Location`] is read. Nothing is unpacked: a member of an archive is a range of
//! bytes in it. What is unpacked already is taken in place of its archive, which is not even opened then.
//!
//! Archives are not trusted; `headers` and `archive` describe what is refused.

mod archive;
mod headers;
mod index;
mod links;
mod listing;
mod location;
mod source;

#[cfg(test)]
pub(super) mod fixture;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{DatasetError, Environment};
use archive::Archive;
use headers::MemberKind;

pub(super) use listing::Contents;
pub(super) use location::Location;

/// What a link in an archive is that was not followed.
const UNFOLLOWED: &str = "a link that leads out of the archive, to nothing in it, or in a circle";

/// An archive that the owner of a dataset publishes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packed {
    /// The archive's file name, as its owner publishes it.
    pub(super) archive: &'static str,
    /// The folder of the tree that its content belongs into; `""` is the root.
    pub(super) at: &'static str,
    /// What is there once it was unpacked; the archive is left alone then.
    pub(super) makes: &'static str,
    /// Whether the tar archives in it are folders of their names.
    pub(super) nested: bool,
}

impl Packed {
    /// An archive whose content belongs into the root.
    pub(super) const fn new(archive: &'static str, makes: &'static str) -> Self {
        Self {
            archive,
            at: "",
            makes,
            nested: false,
        }
    }
}

/// A root with the archives that belong into it.
#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
    packed: Vec<(String, Arc<Archive>)>,
}

impl Tree {
    /// Opens a root: a folder that holds files, archives of them or both, or one archive alone.
    ///
    /// # Errors
    /// An archive that cannot be read or is refused; a file that is none of several archives.
    pub(super) fn open(
        root: &Path,
        known: &[Packed],
        environment: &Environment<'_>,
    ) -> Result<Self, DatasetError> {
        let root = environment.base.join(root);
        let mut packed = Vec::new();
        if root.is_file() {
            let one = the_one(&root, known)?;
            let archive = Archive::open(&root, one.nested, environment)?;
            packed.push((one.at.to_owned(), Arc::new(archive)));
        } else {
            for one in known {
                let path = root.join(one.archive);
                if path.exists() && !root.join(one.makes).exists() {
                    let archive = Archive::open(&path, one.nested, environment)?;
                    packed.push((one.at.to_owned(), Arc::new(archive)));
                }
            }
        }
        Ok(Self { root, packed })
    }

    /// The root as a folder of the tree.
    pub(super) fn root(&self) -> Folder<'_> {
        Folder {
            tree: self,
            inside: String::new(),
        }
    }

    /// The archives that hold a path, each with the path inside.
    fn archives<'a>(&'a self, path: &'a str) -> impl Iterator<Item = (&'a Arc<Archive>, &'a str)> {
        self.packed.iter().filter_map(move |(at, archive)| {
            let inside = match at.as_str() {
                "" => path,
                at if path == at => "",
                at => path.strip_prefix(at)?.strip_prefix('/')?,
            };
            Some((archive, inside))
        })
    }

    /// The path of the disk, whether there is something or not.
    fn on_disk(&self, path: &str) -> PathBuf {
        match path {
            "" => self.root.clone(),
            path => self.root.join(path),
        }
    }
}

/// Which of the archives a file is: the one of its name, or the only one that there is.
fn the_one(path: &Path, known: &[Packed]) -> Result<Packed, DatasetError> {
    let name = path.file_name().unwrap_or_default();
    match known {
        [] => Ok(Packed::new("", "")),
        [one] => Ok(*one),
        several => {
            let found = several.iter().find(|one| name == one.archive);
            found.copied().ok_or_else(|| {
                let names: Vec<_> = several
                    .iter()
                    .map(|one| format!("`{}`", one.archive))
                    .collect();
                DatasetError::Malformed {
                    path: path.to_owned(),
                    problem:
                        "it is a file, but does not have the name of an archive of this dataset"
                            .to_owned(),
                    hint: format!(
                        "set `root` to the folder that holds {}, or what they unpack into",
                        names.join(", ")
                    ),
                }
            })
        }
    }
}

/// A folder of the tree, whether it is there or not.
#[derive(Debug, Clone)]
pub(super) struct Folder<'t> {
    tree: &'t Tree,
    inside: String,
}

impl<'t> Folder<'t> {
    /// Where it is or would be on disk, for messages.
    pub(super) fn path(&self) -> PathBuf {
        self.tree.on_disk(&self.inside)
    }

    /// What is in it under a relative path without `..`.
    pub(super) fn join(&self, name: &str) -> Folder<'t> {
        let inside = match (self.inside.as_str(), name) {
            ("", name) => name.to_owned(),
            (inside, "") => inside.to_owned(),
            (inside, name) => format!("{inside}/{name}"),
        };
        Folder {
            tree: self.tree,
            inside,
        }
    }

    /// The first of some folders below it that holds a file; `""` is the folder itself.
    ///
    /// # Errors
    /// None of them does.
    pub(super) fn find(
        &self,
        below: &[&str],
        marker: &str,
        remedy: &str,
    ) -> Result<Folder<'t>, DatasetError> {
        for folder in below {
            let folder = self.join(folder);
            if folder.has(marker)? {
                return Ok(folder);
            }
        }
        Err(DatasetError::Missing {
            path: self.join(marker).path(),
            hint: remedy.to_owned(),
        })
    }

    /// Whether it holds a file.
    ///
    /// # Errors
    /// As of [`Folder::file`].
    pub(super) fn has(&self, name: &str) -> Result<bool, DatasetError> {
        Ok(self.file(name)?.is_file())
    }

    /// Where a file of it is. What no archive has is on the disk, where it may be missing.
    ///
    /// # Errors
    /// A member of an archive that is a link, a device or another thing without content.
    pub(super) fn file(&self, name: &str) -> Result<Location, DatasetError> {
        let path = self.join(name).inside;
        for (archive, inside) in self.tree.archives(&path) {
            let Some(place) = archive.index.find(inside) else {
                continue;
            };
            let kind = match archive.index.member(place).1 {
                MemberKind::File => return Ok(Location::member(archive, place)),
                MemberKind::Folder => continue,
                MemberKind::Link => UNFOLLOWED,
                MemberKind::Other => "neither a file nor a folder",
            };
            return Err(DatasetError::Malformed {
                path: archive.path.clone(),
                problem: format!("`{inside}` in it is {kind}"),
                hint: "download the archive again from its owner, or unpack it and look".to_owned(),
            });
        }
        Ok(Location::file(self.tree.on_disk(&path)))
    }

    /// Whether it is there.
    pub(super) fn exists(&self) -> bool {
        let mut archives = self.tree.archives(&self.inside);
        archives.any(|(archive, inside)| archive.index.has_folder(inside)) || self.path().is_dir()
    }

    /// Where it is on the disk, without links; `None` in an archive, whose links were followed when it was opened.
    pub(super) fn without_links(&self) -> Option<PathBuf> {
        self.path().canonicalize().ok()
    }

    /// The names of the folders in it, sorted; hidden ones are left out.
    ///
    /// # Errors
    /// A folder that cannot be read, the name of a folder or an image that is not UTF-8, and a link that leads nowhere and may have led to
    /// a folder.
    pub(super) fn folders(&self) -> Result<Vec<String>, DatasetError> {
        let contents = self.contents()?;
        if let Some((name, what)) = contents.broken.iter().next() {
            return Err(DatasetError::Malformed {
                path: self.join(name).path(),
                problem: format!("it is {what}"),
                hint: "put back what it leads to, or remove it".to_owned(),
            });
        }
        Ok(contents.folders.into_iter().collect())
    }

    /// The names of the files in it that are taken for images, sorted; hidden ones are left out.
    ///
    /// # Errors
    /// A folder that cannot be read, the name of a folder or an image that is not UTF-8.
    pub(super) fn images(&self) -> Result<Vec<String>, DatasetError> {
        Ok(self.contents()?.images.into_iter().collect())
    }

    /// All that lies in it.
    ///
    /// # Errors
    /// As of [`Folder::images`].
    pub(super) fn contents(&self) -> Result<Contents, DatasetError> {
        let mut contents = Contents::default();
        let mut packed = false;
        for (archive, inside) in self.tree.archives(&self.inside) {
            packed = true;
            let mut last = "";
            for (path, kind) in archive.index.below(inside) {
                let (name, is_folder) = match path.split_once('/') {
                    Some((name, _)) => (name, true),
                    None => (path, kind == MemberKind::Folder),
                };
                if name == last || name.starts_with('.') {
                    continue;
                }
                last = name;
                let of_its_kind = if is_folder {
                    &mut contents.folders
                } else if listing::is_image(name) {
                    &mut contents.images
                } else if kind == MemberKind::Link {
                    contents
                        .broken
                        .insert(name.to_owned(), UNFOLLOWED.to_owned());
                    continue;
                } else {
                    &mut contents.others
                };
                of_its_kind.insert(name.to_owned());
            }
        }
        let on_disk = self.path();
        // Of a root that is an archive there is no folder.
        if !packed || on_disk.is_dir() {
            contents.add_of_disk(&on_disk)?;
        }
        // An archive may belong into this folder itself.
        for (at, _) in &self.tree.packed {
            let below = match self.inside.as_str() {
                "" => Some(at.as_str()),
                inside => at.strip_prefix(inside).and_then(|at| at.strip_prefix('/')),
            };
            let name = below.and_then(|below| below.split('/').next());
            let name = name.filter(|name| !name.is_empty());
            contents.folders.extend(name.map(str::to_owned));
        }
        Ok(contents)
    }
}
