//! Events as lines of JSON: the log that was asked for, and the record of a run in the cache.
//!
//! A log that is there is continued, if its first line is one of ours; whatever else is there is left alone. A log that cannot be
//! written does not stop the work: the first failure is kept, and told when the work is done.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::atomic_file::share_file;
use crate::exec::event::Event;

/// The longest first line that is looked at, in bytes.
const LONGEST_LINE: u64 = 1 << 20;

/// One event and its time, one JSON object a line.
pub(in crate::cli) struct JsonLog {
    path: PathBuf,
    state: Mutex<State>,
    clock: fn() -> String,
}

struct State {
    file: BufWriter<File>,
    /// Why it ends early, where it does.
    failure: Option<io::Error>,
}

#[derive(Serialize)]
struct Entry<'a> {
    at: String,
    #[serde(flatten)]
    event: &'a Event,
}

/// Why a log cannot be written.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum LogError {
    /// Something else has the name.
    #[error("{} is there, and {what}", path.display())]
    Taken {
        /// The file that was named.
        path: PathBuf,
        /// What speaks against it.
        what: &'static str,
    },
    /// It cannot be opened.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// The file that was named.
        path: PathBuf,
        /// What the operating system reported.
        source: io::Error,
    },
}

impl JsonLog {
    /// A log in a file that is not there yet.
    pub(in crate::cli) fn create(path: &Path, clock: fn() -> String) -> io::Result<Self> {
        // Does not follow a link that has the name.
        let file = File::options().write(true).create_new(true).open(path)?;
        share_file(&file, path);
        Ok(Self::of(path, file, clock))
    }

    /// A log that continues where the one in the file ends, or begins a new file. With `force` it replaces whatever file is there.
    ///
    /// # Errors
    /// Another kind of file, or one that cannot be opened.
    pub(in crate::cli) fn continued(
        path: &Path,
        force: bool,
        clock: fn() -> String,
    ) -> Result<Self, LogError> {
        let failed = |source| LogError::Io {
            path: path.to_owned(),
            source,
        };
        let taken = |what| LogError::Taken {
            path: path.to_owned(),
            what,
        };
        let there = match fs::metadata(path) {
            Ok(there) => there,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if path.symlink_metadata().is_ok() {
                    return Err(taken("is a link to nothing"));
                }
                return Self::create(path, clock).map_err(failed);
            }
            Err(error) => return Err(failed(error)),
        };
        if !there.is_file() || force {
            // A device or a pipe holds nothing that could be lost.
            let file = File::options()
                .write(true)
                .truncate(there.is_file())
                .open(path)
                .map_err(failed)?;
            return Ok(Self::of(path, file, clock));
        }
        let mut file = File::options()
            .read(true)
            .append(true)
            .open(path)
            .map_err(failed)?;
        if !is_log(&file).map_err(failed)? {
            return Err(taken("is not a log of repro"));
        }
        end_last_line(&mut file).map_err(failed)?;
        Ok(Self::of(path, file, clock))
    }

    fn of(path: &Path, file: File, clock: fn() -> String) -> Self {
        Self {
            path: path.to_owned(),
            state: Mutex::new(State {
                file: BufWriter::new(file),
                failure: None,
            }),
            clock,
        }
    }

    /// Writes one event, unless the log has failed before.
    pub(in crate::cli) fn write(&self, event: &Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.failure.is_some() {
            return;
        }
        let entry = Entry {
            at: (self.clock)(),
            event,
        };
        let line = serde_json::to_string(&entry).map_err(io::Error::from);
        let written = line.and_then(|line| {
            writeln!(state.file, "{line}")?;
            state.file.flush()
        });
        state.failure = written.err();
    }

    /// Why the log ends early, where it does, as the end of a sentence.
    pub(in crate::cli) fn failure(&self) -> Option<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let failure = state.failure.as_ref()?;
        Some(format!(
            "the JSON log {} ends early: {failure}",
            self.path.display()
        ))
    }
}

/// Whether a file is empty, or begins with a line of a log.
fn is_log(file: &File) -> io::Result<bool> {
    #[derive(Deserialize)]
    struct Line {
        #[serde(rename = "at")]
        _at: String,
        #[serde(rename = "event")]
        _event: String,
    }
    let mut line = Vec::new();
    BufReader::new(file)
        .take(LONGEST_LINE)
        .read_until(b'\n', &mut line)?;
    Ok(line.is_empty() || serde_json::from_slice::<Line>(&line).is_ok())
}

/// Ends a line that a run which was killed, or a full disk, has left unfinished.
fn end_last_line(file: &mut File) -> io::Result<()> {
    let mut last = [b'\n'];
    if file.metadata()?.len() > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    if last == *b"\n" {
        Ok(())
    } else {
        file.write_all(b"\n")
    }
}
