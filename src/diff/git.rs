//! Files of git revisions, and which revision a folder is at, read by `git` itself as a process of its own, without a shell.
//!
//! A revision is resolved to a commit once, and only its digest is handed on, so that nothing that was typed is read as an option. Nothing
//! is fetched: a partial clone that lacks a file fails. Neither hooks, filters nor drivers for showing text are run, and whatever git prints is
//! read up to a bound.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::limits;
use crate::message::Hint;
use crate::text;

/// Why a file of a revision cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no `git` to be started.
    #[error("git is not installed, so `{revision}` cannot be looked up as a revision")]
    Missing {
        /// The revision as it was typed.
        revision: String,
    },
    /// The folder is in no repository.
    #[error("{} is not in a git repository, so `{revision}` cannot be looked up as a revision", folder.display())]
    NoRepository {
        /// The revision as it was typed.
        revision: String,
        /// The folder of the project.
        folder: PathBuf,
    },
    /// The repository has no such commit.
    #[error("`{revision}` is neither a file nor a git revision")]
    Unknown {
        /// The revision as it was typed.
        revision: String,
    },
    /// Git printed more than is read.
    #[error("{what} is larger than {}, the most that is read of it", text::bytes(*most))]
    TooLarge {
        /// The file or list, as messages name it.
        what: String,
        /// The bound, in bytes.
        most: u64,
    },
    /// Git failed, and says how.
    #[error("git failed: {0}")]
    Failed(String),
}

impl Hint for GitError {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Missing { .. } => "install git, or name two files of results",
            Self::NoRepository { .. } => {
                "name two files of results, or the folder of the project with `-C`"
            }
            Self::Unknown { .. } => {
                "name a file of results, a report, or a revision such as `main`; a shallow clone lacks older commits (`fetch-depth: 0` in GitHub's checkout)"
            }
            Self::TooLarge { .. } | Self::Failed(_) => return None,
        };
        Some(hint.to_owned())
    }
}

/// A commit of the repository that a folder is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    folder: PathBuf,
    /// The revision as it was typed.
    pub revision: String,
    digest: String,
}

impl Commit {
    /// Looks a revision up in the repository that `folder` is in.
    ///
    /// # Errors
    /// No git, no repository, no such commit.
    pub fn find(folder: &Path, revision: &str) -> Result<Self, GitError> {
        let unknown = || GitError::Unknown {
            revision: revision.to_owned(),
        };
        // Neither is a revision of any kind, and git takes both for something else.
        if revision.is_empty() || revision.starts_with('-') {
            return Err(unknown());
        }
        let wanted = format!("{revision}^{{commit}}");
        let arguments = [
            "rev-parse",
            "--verify",
            "--quiet",
            "--end-of-options",
            &wanted,
        ];
        match run(folder, &arguments, limits::GIT_LINE) {
            Ok(digest) => Ok(Self {
                folder: folder.to_owned(),
                revision: revision.to_owned(),
                digest: String::from_utf8_lossy(&digest).trim().to_owned(),
            }),
            Err(Fault::NotStarted(error)) if error.kind() == ErrorKind::NotFound => {
                Err(GitError::Missing {
                    revision: revision.to_owned(),
                })
            }
            Err(Fault::Code(told)) if told.contains("not a git repository") => {
                Err(GitError::NoRepository {
                    revision: revision.to_owned(),
                    folder: std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned()),
                })
            }
            Err(Fault::Code(told)) if told.is_empty() => Err(unknown()),
            Err(fault) => Err(fault.into_error("the revision", limits::GIT_LINE)),
        }
    }

    /// The paths of all files of the commit below the folder whose names end in `ending`, from there, sorted.
    ///
    /// # Errors
    /// More files than are read, and whatever git says.
    pub fn files(&self, ending: &str) -> Result<Vec<String>, GitError> {
        let arguments = ["ls-tree", "-r", "-z", "--name-only", &self.digest];
        let listed = run(&self.folder, &arguments, limits::GIT_LIST)
            .map_err(|fault| fault.into_error("the list of files", limits::GIT_LIST))?;
        Ok(paths(&listed, ending))
    }

    /// The bytes of a file by its path from the folder; `None` where the commit lacks it.
    ///
    /// # Errors
    /// A file of more than `most` bytes, and whatever git says.
    pub fn read(&self, path: &str, most: u64) -> Result<Option<Vec<u8>>, GitError> {
        // With the `./` a path counts from the folder and not from the root of the repository.
        let object = format!("{}:./{path}", self.digest);
        let is_absent = |told: &str| {
            [
                "does not exist",
                "exists on disk, but not",
                "Not a valid object name",
            ]
            .iter()
            .any(|words| told.contains(words))
        };
        match run(&self.folder, &["cat-file", "blob", &object], most) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Fault::Code(told)) if is_absent(&told) => Ok(None),
            Err(fault) => Err(fault.into_error(&format!("`{}:{path}`", self.revision), most)),
        }
    }
}

/// The paths of the files below a folder whose names end in `ending`, as they are on disk: those that git has or would add.
///
/// # Errors
/// More files than are read, and whatever git says.
pub fn working_files(folder: &Path, ending: &str) -> Result<Vec<String>, GitError> {
    let pattern = format!("*{ending}");
    let arguments = [
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
        "--",
        &pattern,
    ];
    let listed = run(folder, &arguments, limits::GIT_LIST)
        .map_err(|fault| fault.into_error("the list of files", limits::GIT_LIST))?;
    let mut found = paths(&listed, ending);
    found.retain(|path| folder.join(path).is_file());
    Ok(found)
}

/// Paths that zeros end; one that is not text cannot be named and is left out.
fn paths(listed: &[u8], ending: &str) -> Vec<String> {
    let paths = listed.split(|byte| *byte == 0);
    let mut paths: Vec<String> = paths
        .filter_map(|path| std::str::from_utf8(path).ok())
        .filter(|path| path.ends_with(ending))
        .map(str::to_owned)
        .collect();
    paths.sort_unstable();
    paths.dedup();
    paths
}

/// Why git gave nothing.
#[derive(Debug)]
enum Fault {
    NotStarted(std::io::Error),
    Unreadable(std::io::Error),
    TooLarge,
    /// It ended with an error, and said this.
    Code(String),
}

impl Fault {
    fn into_error(self, what: &str, most: u64) -> GitError {
        match self {
            Self::TooLarge => GitError::TooLarge {
                what: what.to_owned(),
                most,
            },
            Self::NotStarted(error) => GitError::Failed(format!("it cannot be started: {error}")),
            Self::Unreadable(error) => GitError::Failed(format!("{what} cannot be read: {error}")),
            Self::Code(told) if told.is_empty() => GitError::Failed(format!("no {what}")),
            Self::Code(told) => GitError::Failed(told),
        }
    }
}

/// The state of the repository that a folder is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The commit that is checked out.
    pub commit: String,
    /// Whether files that git tracks differ from it.
    pub is_changed: bool,
}

/// The state of the repository that a folder is in; `None` where there is no git, no repository or no commit.
pub fn state(folder: &Path) -> Option<State> {
    let commit = Commit::find(folder, "HEAD").ok()?.digest;
    let status = ["status", "--porcelain", "--untracked-files=no"];
    let is_changed = match run(folder, &status, limits::GIT_LINE) {
        Ok(lines) => !lines.is_empty(),
        // More than is read.
        Err(Fault::TooLarge) => true,
        Err(_) => return None,
    };
    Some(State { commit, is_changed })
}

/// What `git` prints, which is at most so many bytes.
fn run(folder: &Path, arguments: &[&str], most: u64) -> Result<Vec<u8>, Fault> {
    let mut child = Command::new("git")
        .args(["--no-pager", "-c", "core.fsmonitor=false"])
        .args(arguments)
        .current_dir(folder)
        // Nothing is asked, nothing is fetched, nothing is written; messages are those that are looked for above.
        .envs([
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("LC_ALL", "C"),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Fault::NotStarted)?;
    let read = output(&mut child, most);
    if read.is_err() {
        // It may still be writing; what it would say is of no use any more.
        let _ = child.kill();
    }
    let ended = child.wait();
    let (out, told) = read?;
    match ended {
        Ok(status) if status.success() => Ok(out),
        Ok(_) => {
            let told = String::from_utf8_lossy(&told);
            Err(Fault::Code(told.trim().to_owned()))
        }
        Err(error) => Err(Fault::Unreadable(error)),
    }
}

/// Both streams of a process, read at the same time, so that it waits for neither.
fn output(child: &mut Child, most: u64) -> Result<(Vec<u8>, Vec<u8>), Fault> {
    let (out, errors) = (child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        let told = scope.spawn(move || {
            let mut told = Vec::new();
            if let Some(mut errors) = errors {
                // What cannot be read is a message that is lost.
                let _ = errors
                    .by_ref()
                    .take(limits::GIT_LINE)
                    .read_to_end(&mut told);
                let _ = std::io::copy(&mut errors, &mut std::io::sink());
            }
            told
        });
        let mut bytes = Vec::new();
        let read = match out {
            Some(mut out) => out.by_ref().take(most + 1).read_to_end(&mut bytes),
            None => Ok(0),
        };
        let too_large = bytes.len() as u64 > most;
        if too_large {
            // Its other end is closed by now, so that the thread comes to its end as well.
            let _ = child.kill();
        }
        let told = told.join().unwrap_or_default();
        match read {
            Err(error) => Err(Fault::Unreadable(error)),
            Ok(_) if too_large => Err(Fault::TooLarge),
            Ok(_) => Ok((bytes, told)),
        }
    })
}
