//! The records of runs, as far as they are written: what a run is doing, and what it has done.
//!
//! A record is read once: what is new of it is read when a page asks again. It may be of a run on another machine that shares the cache.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use serde_json::Value;

use crate::limits;
use crate::text::duration;

/// The most records that a page lists, the newest first.
pub(super) const MOST_LISTED: usize = 50;
/// The most finished heads, failures and metrics that are kept by name.
const MOST_NAMED: usize = 20_000;

/// A piece of work with an amount: a pass, samples, a training of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Piece {
    /// What it is, such as `pass 2`.
    pub(super) name: String,
    /// What it works on.
    label: String,
    /// How much is done.
    done: u64,
    /// Of how much; at least `done` where nothing else is known.
    of: u64,
    /// What is counted.
    unit: &'static str,
    /// Where it stands: `running`, `done` or `given up`.
    pub(super) state: &'static str,
}

/// Something that was made, or failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Made {
    label: String,
    /// A remark, such as the loss of a head or an error.
    remark: String,
}

/// What is known of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Run {
    /// The name of the record, without its ending.
    pub name: String,
    /// The name of the experiment.
    pub experiment: String,
    /// The command, as it is typed in the folder of the project; empty in records of older releases.
    pub command: String,
    /// The commit that the project was at; `None` where there was none.
    pub revision: Option<String>,
    /// Whether files that git tracks differed from it.
    pub is_changed: bool,
    /// The user and the machine, such as `ada@node3`; empty where neither is known.
    pub by: String,
    /// The version of the program.
    pub version: String,
    /// Seconds that it took, all attempts together; `None` where no end is recorded.
    pub seconds: Option<f64>,
    /// The first digits of the artifacts that it wanted, whether it made or found them.
    #[serde(skip)]
    pub wanted: Vec<String>,
    /// What it computes on.
    pub device: String,
    /// When it began, in UTC.
    pub began: String,
    /// When the last event was written, in UTC.
    pub last: String,
    /// `running`, or how it ended.
    pub state: String,
    /// Whether more may come.
    pub is_running: bool,
    /// Passes and other pieces of work, in the order in which they began.
    pub(super) pieces: Vec<Piece>,
    /// Passes that are planned.
    pub(super) passes: u64,
    /// Heads that are planned.
    pub(super) heads: u64,
    /// Heads that are trained, in the order in which they were.
    pub(super) trained: Vec<Made>,
    /// How far the heads are that train now, in words.
    training: String,
    /// Metrics that are computed.
    metrics: Vec<Made>,
    /// What failed.
    failed: Vec<Made>,
    /// Reports that were written.
    reports: Vec<String>,
    /// What is read of the record, in bytes.
    #[serde(skip)]
    read: u64,
    /// Whether the end of the run is recorded.
    #[serde(skip)]
    has_ended: bool,
    /// The piece of each pass, samples and training.
    #[serde(skip)]
    by_key: BTreeMap<String, usize>,
}

/// The records of a cache, as far as they were read.
#[derive(Debug, Default)]
pub struct Runs {
    known: Mutex<BTreeMap<String, Run>>,
}

impl Runs {
    /// The newest runs, at most so many, the newest first.
    pub fn newest(&self, folder: &Path, most: usize) -> Vec<Run> {
        let there = fs::read_dir(folder).into_iter().flatten();
        let names = there.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<String> = names
            .filter_map(|name| Some(name.strip_suffix(".jsonl")?.to_owned()))
            .filter(|name| is_name(name))
            .collect();
        names.sort_by(|left, right| right.cmp(left));
        names.truncate(most);
        let runs = names.iter().filter_map(|name| self.run(folder, name).ok());
        runs.flatten().collect()
    }

    /// A run by the name of its record; `None` where there is none.
    ///
    /// # Errors
    /// A record that cannot be read.
    pub fn run(&self, folder: &Path, name: &str) -> io::Result<Option<Run>> {
        if !is_name(name) {
            return Ok(None);
        }
        let path = folder.join(format!("{name}.jsonl"));
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_file() => {}
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let run = known.entry(name.to_owned()).or_insert_with(|| Run {
            name: name.to_owned(),
            ..Run::default()
        });
        run.read_on(&path)?;
        run.conclude();
        Ok(Some(run.clone()))
    }
}

/// Whether a name is one of a record: the time of the run and the process, nothing that leads elsewhere.
fn is_name(name: &str) -> bool {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || character == '-';
    !name.is_empty() && name.len() < 100 && name.chars().all(is_plain)
}

fn text(event: &Value, key: &str) -> String {
    event[key].as_str().unwrap_or_default().to_owned()
}

fn number(event: &Value, key: &str) -> u64 {
    event[key].as_u64().unwrap_or(0)
}

impl Run {
    /// Reads what is new of the record. A line without an end is left for the next time.
    fn read_on(&mut self, path: &Path) -> io::Result<()> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(self.read))?;
        let mut lines = BufReader::new(file.take(limits::RUN_RECORD));
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = (&mut lines)
                .take(limits::RUN_LINE)
                .read_until(b'\n', &mut line)?;
            if line.last() != Some(&b'\n') && read as u64 != limits::RUN_LINE {
                return Ok(());
            }
            self.read += read as u64;
            // A line that is not an event says nothing; the next one may be.
            if let Ok(event) = serde_json::from_slice::<Value>(&line) {
                self.take(&event);
            }
        }
    }

    /// Says how the run stands.
    fn conclude(&mut self) {
        let mut parts = self.name.rsplit('-');
        let process = parts.next().and_then(|process| process.parse::<u32>().ok());
        if self.has_ended {
            self.is_running = false;
            return;
        }
        // A run that was killed records no end. Only on Linux, and only on the machine of the run, can one see that the process is gone.
        let folder = PathBuf::from("/proc");
        let is_gone = process
            .is_some_and(|process| folder.is_dir() && !folder.join(process.to_string()).is_dir());
        self.is_running = !is_gone;
        self.state = if is_gone {
            "no end is recorded, and its process is not on this machine".to_owned()
        } else {
            "running".to_owned()
        };
    }

    /// Begins a piece of work, or finds it where another attempt begins it again.
    fn begin(&mut self, key: String, piece: Piece) {
        if let Some(&at) = self.by_key.get(&key) {
            self.pieces[at] = piece;
        } else if self.pieces.len() < MOST_NAMED {
            self.by_key.insert(key, self.pieces.len());
            self.pieces.push(piece);
        }
    }

    fn piece(&mut self, key: &str) -> Option<&mut Piece> {
        let at = self.by_key.get(key)?;
        self.pieces.get_mut(*at)
    }

    /// Counts work of a piece.
    fn advance(&mut self, key: &str, done: impl Fn(u64) -> u64) {
        if let Some(piece) = self.piece(key) {
            piece.done = done(piece.done);
            piece.of = piece.of.max(piece.done);
        }
    }

    fn finish(&mut self, key: &str) {
        if let Some(piece) = self.piece(key) {
            piece.done = piece.of;
            piece.state = "done";
        }
    }

    /// Takes one event, as `exec/event.rs` has them. Those of other releases are left out where they are not known.
    fn take(&mut self, event: &Value) {
        let at = text(event, "at");
        if !at.is_empty() {
            self.last.clone_from(&at);
        }
        let label = text(event, "label");
        let running = |name: String, label: String, (done, of): (u64, u64), unit| Piece {
            name,
            label,
            done,
            of: of.max(done),
            unit,
            state: "running",
        };
        let pass = format!("pass {}", number(event, "pass"));
        let samples = format!("samples {label}");
        let pretrain = format!("pretrain {label}");
        match event["event"].as_str().unwrap_or_default() {
            "run-started" => {
                if self.began.is_empty() {
                    self.began = at;
                }
                self.experiment = text(event, "experiment");
                self.device = text(event, "device");
                self.passes = number(event, "passes");
                self.heads = number(event, "heads") + self.trained.len() as u64;
                self.has_ended = false;
            }
            "run-origin" => {
                self.experiment = text(event, "experiment");
                self.command = text(event, "command");
                self.revision = event["revision"].as_str().map(str::to_owned);
                self.is_changed = event["is_changed"].as_bool().unwrap_or(false);
                self.version = text(event, "version");
                let (user, host) = (text(event, "user"), text(event, "host"));
                self.by = match (user.as_str(), host.as_str()) {
                    (_, "") => user,
                    ("", _) => host,
                    _ => format!("{user}@{host}"),
                };
                if self.began.is_empty() {
                    self.began = at;
                }
            }
            "wanted" => {
                let named = event["artifacts"].as_array().into_iter().flatten();
                let named = named.filter_map(|digits| digits.as_str().map(str::to_owned));
                self.wanted.extend(named);
            }
            "pass-started" => {
                let committed = number(event, "committed");
                let amounts = (committed, committed + number(event, "images"));
                self.begin(pass.clone(), running(pass, label, amounts, "images"));
            }
            "pass-advanced" => {
                let images = number(event, "images");
                self.advance(&pass, |done| done + images);
            }
            "pass-finished" => self.finish(&pass),
            "samples-started" => {
                let amounts = (0, number(event, "forwards"));
                let piece = running("samples".to_owned(), label, amounts, "forwards");
                self.begin(samples, piece);
            }
            "samples-advanced" => {
                let images = number(event, "images");
                self.advance(&samples, |done| done + images);
            }
            "samples-finished" => self.finish(&samples),
            "pretrain-started" => {
                let amounts = (number(event, "done"), number(event, "steps"));
                let piece = running("training".to_owned(), label, amounts, "steps");
                self.begin(pretrain, piece);
            }
            "pretrain-advanced" => {
                let step = number(event, "step");
                self.advance(&pretrain, |_| step);
            }
            "pretrain-finished" => self.finish(&pretrain),
            "abandoned" => {
                let work = &event["work"];
                let key = match (&work["pass"], &work["samples"], &work["pretrain"]) {
                    (Value::Number(pass), _, _) => format!("pass {pass}"),
                    (_, Value::String(label), _) => format!("samples {label}"),
                    (_, _, Value::String(label)) => format!("pretrain {label}"),
                    _ => return,
                };
                if let Some(piece) = self.piece(&key) {
                    piece.state = "given up";
                }
            }
            "heads-advanced" => {
                let (epoch, epochs) = (number(event, "epoch"), number(event, "epochs"));
                self.training = format!("epoch {epoch} of {epochs}: {label}");
            }
            "head-finished" => {
                let loss = event["train_loss"].as_f64();
                let loss = loss.map_or_else(String::new, |loss| format!("loss {loss:.4}"));
                push(&mut self.trained, label, loss);
            }
            "heads-finished" => self.training.clear(),
            "metric-finished" => {
                let results = number(event, "results");
                push(&mut self.metrics, label, format!("{results} results"));
            }
            "node-failed" => push(&mut self.failed, label, text(event, "error")),
            "report-written" => self.reports.push(text(event, "path")),
            "run-finished" => self.end(event),
            _ => {}
        }
    }

    /// Takes the end of the run.
    fn end(&mut self, event: &Value) {
        let is = |key: &str| event[key].as_bool().unwrap_or(false);
        let failed = number(event, "failed");
        // What was damaged is made again by another attempt, which the same record continues with.
        self.has_ended = !is("again");
        self.training.clear();
        let seconds = event["seconds"].as_f64().unwrap_or(0.0);
        self.seconds = Some(self.seconds.unwrap_or(0.0) + seconds);
        let after = duration(seconds);
        self.state = if is("disk_full") {
            format!("ended after {after}: the disk is full")
        } else if is("stopped") {
            format!("stopped after {after}")
        } else if failed > 0 {
            format!("ended after {after}: {failed} failed")
        } else {
            format!("done in {after}")
        };
    }
}

fn push(list: &mut Vec<Made>, label: String, remark: String) {
    if list.len() < MOST_NAMED {
        list.push(Made { label, remark });
    }
}

#[cfg(test)]
mod tests;
