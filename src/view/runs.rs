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

/// The most records that are listed, the newest first.
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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Run {
    /// The name of the record, without its ending.
    pub(super) name: String,
    /// The name of the experiment.
    pub(super) experiment: String,
    /// What it computes on.
    pub(super) device: String,
    /// When it began, in UTC.
    pub(super) began: String,
    /// When the last event was written, in UTC.
    pub(super) last: String,
    /// `running`, or how it ended.
    pub(super) state: String,
    /// Whether more may come.
    pub(super) is_running: bool,
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
pub(super) struct Runs {
    known: Mutex<BTreeMap<String, Run>>,
}

impl Runs {
    /// The newest runs, the newest first.
    pub(super) fn newest(&self, folder: &Path) -> Vec<Run> {
        let there = fs::read_dir(folder).into_iter().flatten();
        let names = there.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<String> = names
            .filter_map(|name| Some(name.strip_suffix(".jsonl")?.to_owned()))
            .filter(|name| is_name(name))
            .collect();
        names.sort_by(|left, right| right.cmp(left));
        names.truncate(MOST_LISTED);
        let runs = names.iter().filter_map(|name| self.run(folder, name).ok());
        runs.flatten().collect()
    }

    /// A run by the name of its record; `None` where there is none.
    ///
    /// # Errors
    /// A record that cannot be read.
    pub(super) fn run(&self, folder: &Path, name: &str) -> io::Result<Option<Run>> {
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
        let after = duration(event["seconds"].as_f64().unwrap_or(0.0));
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
mod tests {
    use super::*;
    use std::io::Write as _;

    const BEGUN: &str = r#"{"at":"2026-11-28T15:25:48Z","event":"run-started","experiment":"x","device":"cpu","passes":1,"images":20,"heads":2}
{"at":"2026-11-28T15:25:48Z","event":"pass-started","pass":1,"label":"a ← b","images":20,"committed":5,"taps":3}
{"at":"2026-11-28T15:25:49Z","event":"pass-advanced","pass":1,"images":10}
not an event
{"at":"2026-11-28T15:25:50Z","event":"pass-adv"#;
    const REST: &str = r#"anced","pass":1,"images":10}
{"at":"2026-11-28T15:25:51Z","event":"pass-finished","pass":1,"images":20,"seconds":3.0}
{"at":"2026-11-28T15:25:52Z","event":"head-finished","label":"h1","train_loss":0.5,"seconds":1.0}
{"at":"2026-11-28T15:25:53Z","event":"node-failed","label":"h2","fingerprint":"ab","error":"NaN"}
{"at":"2026-11-28T15:25:54Z","event":"run-finished","nothing_to_do":false,"stopped":false,"disk_full":false,"again":false,"failed":1,"unmade":0,"seconds":6.0}
"#;

    #[test]
    fn a_record_is_read_as_it_grows() {
        let folder = tempfile::tempdir().unwrap();
        let name = format!("2026-11-28T152548Z-{}", std::process::id());
        let mut file = File::create(folder.path().join(format!("{name}.jsonl"))).unwrap();
        file.write_all(BEGUN.as_bytes()).unwrap();
        let runs = Runs::default();
        let run = |name: &str| runs.run(folder.path(), name).unwrap();
        let begun = run(&name).unwrap();
        assert!(begun.is_running);
        assert_eq!(begun.state, "running");
        assert_eq!((begun.pieces[0].done, begun.pieces[0].of), (15, 25));
        assert_eq!(begun.last, "2026-11-28T15:25:49Z");
        file.write_all(REST.as_bytes()).unwrap();
        let ended = run(&name).unwrap();
        assert!(!ended.is_running);
        assert_eq!(ended.state, "ended after 6.0 s: 1 failed");
        assert_eq!(ended.pieces[0].state, "done");
        assert_eq!((ended.trained.len(), ended.failed.len()), (1, 1));
        assert_eq!(run(&name).unwrap(), ended);
        assert_eq!(runs.newest(folder.path()).len(), 1);
        for other in ["", "..", "../x", "nothing", "a/b"] {
            assert_eq!(run(other), None, "{other}");
        }
    }

    #[test]
    fn a_run_whose_process_is_gone_is_not_running() {
        let folder = tempfile::tempdir().unwrap();
        // No process has a number as large.
        let name = "2026-11-28T152548Z-4194305";
        fs::write(folder.path().join(format!("{name}.jsonl")), BEGUN).unwrap();
        let run = Runs::default().run(folder.path(), name).unwrap().unwrap();
        assert!(!run.is_running);
        assert!(run.state.starts_with("no end is recorded"), "{}", run.state);
    }
}
