//! What `submit`, `status` and `cancel` share: the folders of submissions, and how their tasks are doing.
//!
//! A submission is a folder of the cache, `cluster/N`, with its record, its scripts and its logs.

pub(super) mod slurm;
pub(super) mod standing;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::Context;
use super::exit::Failure;
use super::overrides::{ExperimentFile, Overrides};
use super::project::Project;
use crate::atomic_file;
use crate::cluster::Submission;
use crate::limits;
use crate::message::Message;

/// Submissions of a cache.
const FOLDER: &str = "cluster";
/// The record of a submission.
const RECORD: &str = "submission.json";
/// Its presence says that a submission was canceled.
const CANCELED: &str = "canceled";

/// A submission with its folder, as an absolute path.
#[derive(Debug)]
pub(super) struct Submitted {
    pub(super) folder: PathBuf,
    pub(super) submission: Submission,
}

/// The folder of all submissions of a cache, as an absolute path.
fn all(cache: &Path) -> Result<PathBuf, Failure> {
    let folder = cache.join(FOLDER);
    std::path::absolute(&folder).map_err(|error| cannot("find", &folder, &error))
}

/// The numbers of all submissions of a cache, from the first; none where nothing was submitted.
fn numbers(cache: &Path) -> Result<Vec<u32>, Failure> {
    let folder = all(cache)?;
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(cannot("read", &folder, &error)),
    };
    let names = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    let mut numbers: Vec<u32> = names.filter_map(|name| name.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Makes the folder of a new submission; two that begin at the same time get different ones.
pub(super) fn make(cache: &Path) -> Result<(u32, PathBuf), Failure> {
    let folder = all(cache)?;
    fs::create_dir_all(&folder).map_err(|error| cannot("make", &folder, &error))?;
    atomic_file::share(&folder);
    let mut number = numbers(cache)?.last().map_or(1, |last| last + 1);
    loop {
        let own = folder.join(number.to_string());
        match fs::create_dir(&own) {
            Ok(()) => {
                atomic_file::share(&own);
                return Ok((number, own));
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(cannot("make", &own, &error)),
        }
    }
}

impl Submitted {
    /// Opens a submission, or where none is named the newest of the cache.
    ///
    /// # Errors
    /// A number that no submission has, and a record that cannot be read.
    pub(super) fn open(context: &Context, number: Option<u32>) -> Result<Self, Failure> {
        let known = numbers(&context.cache)?;
        let number = match (number, known.last()) {
            (Some(number), _) if known.contains(&number) => number,
            (None, Some(&newest)) => newest,
            (_, None) => {
                return Err(Failure::Usage(
                    Message::new(format!(
                        "nothing was submitted with the cache {}",
                        context.cache.display()
                    ))
                    .hint("`repro submit FILE --slurm` submits an experiment"),
                ));
            }
            (Some(number), Some(newest)) => {
                return Err(Failure::Usage(
                    Message::new(format!("there is no submission {number}"))
                        .hint(format!("the newest of this cache is {newest}")),
                ));
            }
        };
        let folder = all(&context.cache)?.join(number.to_string());
        let path = folder.join(RECORD);
        let text = limits::read_text(&path, limits::SUBMISSION)
            .map_err(|error| cannot("read", &path, &error))?;
        let submission = Submission::read(&text).map_err(|message| {
            Failure::Cache(Message {
                text: format!("{} {}", path.display(), message.text),
                ..message
            })
        })?;
        Ok(Self { folder, submission })
    }

    /// Writes the record.
    pub(super) fn save(&self) -> Result<(), Failure> {
        let text = self
            .submission
            .text()
            .map_err(|error| crate::bug::Bug::new(format!("a submission is not JSON: {error}")))?;
        self.write(RECORD, &text)
    }

    /// Writes a file of the submission.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.folder.join(name);
        atomic_file::write(&path, text.as_bytes()).map_err(|error| cannot("write", &path, &error))
    }

    /// The folder of a round.
    pub(super) fn round(&self, number: u32) -> PathBuf {
        self.folder.join(format!("round-{number}"))
    }

    /// Whether it was canceled.
    pub(super) fn is_canceled(&self) -> bool {
        self.folder.join(CANCELED).exists()
    }

    /// Writes down that it is canceled, or that it is not any more.
    pub(super) fn set_canceled(&self, canceled: bool) -> Result<(), Failure> {
        if canceled {
            return self.write(CANCELED, "");
        }
        let path = self.folder.join(CANCELED);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(cannot("remove", &path, &error))
            }
            _ => Ok(()),
        }
    }

    /// The project and the experiment file that were submitted, wherever this command was given.
    pub(super) fn experiment(&self, context: &Context) -> (Project, ExperimentFile) {
        let submission = &self.submission;
        let project = Project {
            base: PathBuf::from(&submission.base),
            cache: PathBuf::from(&submission.cache),
            is_above: false,
            remote: context.remote.clone(),
            run: context.run.clone(),
            executor: submission.settings.clone(),
        };
        let file = ExperimentFile {
            file: Path::new(&submission.folder).join(&submission.file),
            overrides: Overrides {
                profile: submission.profile.clone(),
                set: submission.set.clone(),
            },
        };
        (project, file)
    }
}

/// The failure of a file or folder.
pub(super) fn cannot(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::Cache(format!("cannot {what} {}: {error}", path.display()).into())
}

/// An absolute path as text, which is what scripts are made of.
pub(super) fn text_of(path: &Path) -> Result<String, Failure> {
    let path = std::path::absolute(path).map_err(|error| cannot("find", path, &error))?;
    match path.to_str() {
        Some(text) if !text.contains(['\n', '"']) => Ok(text.to_owned()),
        _ => Err(Failure::Usage(
            Message::new(format!(
                "the path {} has characters that a script cannot hold",
                path.display()
            ))
            .hint("use a folder without quotation marks and line breaks in its name"),
        )),
    }
}
