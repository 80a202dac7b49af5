//! Events as lines of JSON: the log that was asked for, and the record of a run in the cache.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Mutex;

use serde::Serialize;

use crate::exec::event::Event;

/// One event and its time, one JSON object a line.
pub(in crate::cli) struct JsonLog {
    file: Mutex<BufWriter<File>>,
    clock: fn() -> String,
}

#[derive(Serialize)]
struct Entry<'a> {
    at: String,
    #[serde(flatten)]
    event: &'a Event,
}

impl JsonLog {
    /// A log that begins anew in a file.
    pub(in crate::cli) fn create(path: &Path, clock: fn() -> String) -> std::io::Result<Self> {
        Ok(Self {
            file: Mutex::new(BufWriter::new(File::create(path)?)),
            clock,
        })
    }

    /// Writes one event. A log that cannot be written does not stop the work.
    pub(in crate::cli) fn write(&self, event: &Event) {
        let Ok(mut file) = self.file.lock() else {
            return;
        };
        let entry = Entry {
            at: (self.clock)(),
            event,
        };
        if let Ok(line) = serde_json::to_string(&entry) {
            let _ = writeln!(file, "{line}").and_then(|()| file.flush());
        }
    }
}
