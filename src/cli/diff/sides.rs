//! The two sides of a comparison: from what was typed to rows of results.

use std::collections::BTreeSet;
use std::path::Path;

use crate::cli::Context;
use crate::cli::exit::Failure;
use crate::cli::project::from_base;
use crate::diff::git::{Commit, GitError, working_files};
use crate::limits;
use crate::message::{Hint, Message};
use crate::report::results_csv;
use crate::store::ResultRow;

/// What the name of a file of results ends in.
const RESULTS: &str = ".results.csv";
/// What the name of any table ends in, also of a file of results that somebody has renamed.
const TABLE: &str = ".csv";
/// What the name of a report ends in.
const REPORT: &str = ".md";
/// What the files on disk are called.
const WORKING: &str = "the working tree";

/// What is compared.
#[derive(Debug)]
pub(in crate::cli) struct Compared {
    /// The first side, as it was typed.
    pub(in crate::cli) base: String,
    /// The second side.
    pub(in crate::cli) head: String,
    /// Whether the files are those of the project, and not of paths that were typed.
    pub(in crate::cli) is_of_project: bool,
    /// The files of results of either side, by name.
    pub(in crate::cli) files: Vec<File>,
}

/// A file of results on both sides; one that a side lacks has no rows there.
#[derive(Debug)]
pub(in crate::cli) struct File {
    /// Its path.
    pub(in crate::cli) name: String,
    pub(in crate::cli) base: Vec<ResultRow>,
    pub(in crate::cli) head: Vec<ResultRow>,
}

/// A side, before anything of it is read.
enum Side {
    /// A file of results on disk.
    File(String),
    /// A file of results of a revision, by its path from the project.
    Blob(Commit, String),
    /// All files of results of a revision.
    Revision(Commit),
    /// All files of results of the project on disk.
    Working,
}

/// Reads both sides.
///
/// # Errors
/// A file that cannot be read or is not one of results, and a revision that git does not know.
pub(in crate::cli) fn read(
    context: &Context,
    base: &str,
    head: Option<&str>,
) -> Result<Compared, Failure> {
    let first = Side::find(context, base)?;
    let second = match head {
        Some(head) => Side::find(context, head)?,
        None if matches!(first, Side::Revision(_)) => Side::Working,
        None => {
            if let Side::File(path) = &first {
                // One that is not there is a slip of another kind.
                on_disk(Path::new(path))?;
            }
            let text = format!("`{base}` is a file, and there is none to compare it with");
            return Err(Failure::Usage(Message::new(text).hint(
                "name a second file of results or report; with a revision alone, the files on disk are compared",
            )));
        }
    };
    let is_whole = |side: &Side| matches!(side, Side::Revision(_) | Side::Working);
    let is_of_project = is_whole(&first) && is_whole(&second);
    let files = if is_of_project {
        let mut names: BTreeSet<String> = first.names(context)?.into_iter().collect();
        let of_second: BTreeSet<String> = second.names(context)?.into_iter().collect();
        let rows = |side: &Side, has: bool, name: &str| {
            if has {
                side.required(context, name)
            } else {
                Ok(Vec::new())
            }
        };
        let of_first = names.clone();
        names.extend(of_second.iter().cloned());
        let read = names.into_iter().map(|name| {
            Ok(File {
                base: rows(&first, of_first.contains(&name), &name)?,
                head: rows(&second, of_second.contains(&name), &name)?,
                name,
            })
        });
        read.collect::<Result<_, Failure>>()?
    } else {
        // Of a revision it is the file that the other side names.
        let name = second.path(context).or_else(|| first.path(context));
        let name = name.unwrap_or_default();
        let other = first.path(context).unwrap_or_else(|| name.clone());
        vec![File {
            base: first.required(context, &other)?,
            head: second.required(context, &name)?,
            name,
        }]
    };
    Ok(Compared {
        base: base.to_owned(),
        head: head.unwrap_or(WORKING).to_owned(),
        is_of_project,
        files,
    })
}

/// Reads the file of results of a report on disk, and the same of `base`; where that is a revision without the file, there are no rows.
///
/// # Errors
/// As [`read`].
pub(in crate::cli) fn read_for(
    context: &Context,
    base: &str,
    results: &str,
) -> Result<Compared, Failure> {
    let (first, second) = (Side::find(context, base)?, Side::File(results.to_owned()));
    let name = second.path(context).unwrap_or_default();
    let other = first.path(context).unwrap_or_else(|| name.clone());
    Ok(Compared {
        base: base.to_owned(),
        head: results.to_owned(),
        is_of_project: false,
        files: vec![File {
            base: first.rows(context, &other)?.unwrap_or_default(),
            head: second.required(context, &name)?,
            name,
        }],
    })
}

impl Side {
    fn find(context: &Context, typed: &str) -> Result<Self, Failure> {
        let path = Path::new(typed);
        if path.is_file() || path.is_absolute() {
            return Ok(Self::File(results_of(typed)?));
        }
        if let Some((revision, file)) = typed.split_once(':')
            && !revision.is_empty()
        {
            let commit = Commit::find(&context.base, revision)?;
            return Ok(Self::Blob(commit, results_of(file)?));
        }
        if typed.ends_with(TABLE) || typed.ends_with(REPORT) {
            return Ok(Self::File(results_of(typed)?));
        }
        Ok(Self::Revision(Commit::find(&context.base, typed)?))
    }

    /// The path of the one file, from the project; `None` for all files of a side.
    fn path(&self, context: &Context) -> Option<String> {
        match self {
            Self::File(path) => {
                let path = from_base(&context.base, Path::new(path));
                Some(path.display().to_string())
            }
            Self::Blob(_, path) => Some(path.clone()),
            Self::Revision(_) | Self::Working => None,
        }
    }

    /// The names of all files of results, from the project.
    fn names(&self, context: &Context) -> Result<Vec<String>, Failure> {
        match self {
            Self::Revision(commit) => Ok(commit.files(RESULTS)?),
            Self::Working => Ok(working_files(&context.base, RESULTS)?),
            Self::File(_) | Self::Blob(..) => Ok(Vec::new()),
        }
    }

    /// The rows of a file by its path from the project; a side that is one file has those of that one. `None` where a revision lacks it.
    fn rows(&self, context: &Context, name: &str) -> Result<Option<Vec<ResultRow>>, Failure> {
        let of_commit = |commit: &Commit, path: &str| {
            let text = text_of(commit, path)?;
            Ok::<_, Failure>(text.map(|text| (format!("{}:{path}", commit.revision), text)))
        };
        let read = match self {
            Self::File(path) => Some((path.clone(), on_disk(Path::new(path))?)),
            Self::Working => Some((name.to_owned(), on_disk(&context.base.join(name))?)),
            Self::Blob(commit, path) => of_commit(commit, path)?,
            Self::Revision(commit) => of_commit(commit, name)?,
        };
        let Some((place, text)) = read else {
            return Ok(None);
        };
        let rows = results_csv::read(&place, &text);
        rows.map(Some)
            .map_err(|error| Failure::Input(error.explain()))
    }

    /// [`Self::rows`] of a file that has to be there.
    fn required(&self, context: &Context, name: &str) -> Result<Vec<ResultRow>, Failure> {
        let (revision, path) = match self {
            Self::Blob(commit, path) => (commit.revision.as_str(), path.as_str()),
            Self::Revision(commit) => (commit.revision.as_str(), name),
            Self::File(_) | Self::Working => (WORKING, name),
        };
        self.rows(context, name)?.ok_or_else(|| {
            let text = format!("the revision `{revision}` has no file `{path}`");
            Failure::Usage(
                Message::new(text).hint("`git ls-tree -r --name-only REVISION` lists its files"),
            )
        })
    }
}

/// The text of a file of a commit; `None` where the commit lacks it.
fn text_of(commit: &Commit, path: &str) -> Result<Option<String>, Failure> {
    let Some(bytes) = commit.read(path, limits::RESULTS)? else {
        return Ok(None);
    };
    let text = String::from_utf8(bytes).map_err(|_| {
        let place = format!("{}:{path}", commit.revision);
        Failure::Input(Message::new(format!("{place} is not text in UTF-8")))
    })?;
    Ok(Some(text))
}

fn on_disk(path: &Path) -> Result<String, Failure> {
    limits::read_text(path, limits::RESULTS).map_err(|error| {
        let path = path.display();
        Failure::Input(
            Message::new(format!("cannot read the results {path}: {error}")).hint(
                "name a file that `repro run` wrote beside a report, the report, or a git revision",
            ),
        )
    })
}

/// The file of results that was named, or that is beside the report that was.
fn results_of(typed: &str) -> Result<String, Failure> {
    if let Some(stem) = typed.strip_suffix(REPORT) {
        return Ok(format!("{stem}{RESULTS}"));
    }
    if typed.ends_with(TABLE) {
        return Ok(typed.to_owned());
    }
    Err(Failure::Usage(
        Message::new(format!(
            "`{typed}` is neither a file of results nor a report"
        ))
        .hint("their names end in `.results.csv` and `.md`"),
    ))
}

impl From<GitError> for Failure {
    fn from(error: GitError) -> Self {
        match error {
            GitError::Unknown { .. } | GitError::NoRepository { .. } => {
                Self::Usage(error.explain())
            }
            GitError::Missing { .. } | GitError::TooLarge { .. } | GitError::Failed(_) => {
                Self::Input(error.explain())
            }
        }
    }
}
