//! What happens while a file is fetched, as one typed stream.

use std::path::PathBuf;
use std::time::Duration;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Another process fetches the same file; this one waits for it.
    Waiting {
        /// Where the file goes.
        path: PathBuf,
        /// Who fetches it: "process 4711 on node03", or "another process".
        holder: String,
    },
    /// The server is being asked.
    Asking {
        /// For what.
        url: String,
        /// How much is there from before, and is not asked for again.
        kept: u64,
    },
    /// What was there from before cannot be used, and the file is fetched from its beginning.
    BeginsAnew {
        /// Why what was kept cannot be used.
        reason: String,
        /// How much is fetched once more.
        lost: u64,
    },
    /// Bytes are coming.
    Receiving {
        /// The bytes that are there already.
        kept: u64,
        /// The bytes of the whole file, if the server states them.
        total: Option<u64>,
    },
    /// More bytes are there.
    Received {
        /// How many in all, with what was there from before.
        kept: u64,
    },
    /// It broke, and is tried again after a pause.
    Retrying {
        /// The error of the attempt, as a fragment.
        reason: String,
        /// Bytes received so far, those of earlier attempts included.
        kept: u64,
        /// How long until the next attempt.
        pause: Duration,
        /// Which of the retries this is, from 1.
        number: u32,
        /// How many there will be, if nothing more arrives.
        of: u32,
    },
    /// A file's digest is being computed.
    Checking {
        /// The file whose digest is computed.
        path: PathBuf,
        /// The file's size in bytes.
        bytes: u64,
    },
    /// More of it is computed.
    Checked {
        /// Bytes hashed so far.
        bytes: u64,
    },
    /// Something that is not a failure, but that somebody should know.
    Warning(String),
}

/// Takes every event, in the order in which they happen.
pub type Emit<'a> = &'a dyn Fn(Event);
