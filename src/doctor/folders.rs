//! Judges the folders: whether the cache can be worked in, what was left in it, and the room of its disk. Pure, as `judge.rs` is.

use super::Check;
use super::facts::Folder;
use crate::store::Leftovers;

/// Below this much free disk a warning: one split's features of a large dataset can take gigabytes.
const LOW_DISK: u64 = 5_000_000_000;

/// Whether the cache can be worked in.
pub(super) fn cache(folder: &Folder) -> Check {
    const TOPIC: &str = "cache";
    let place = folder.path.display();
    match (&folder.obstacle, folder.exists) {
        (Some(obstacle), _) => Check::problem(
            TOPIC,
            format!("{place} cannot be written to: {obstacle}"),
            "choose another cache folder, or change its permissions",
        ),
        (None, _) if !folder.has_locks => Check::warning(
            TOPIC,
            format!("{place} can be written to, but its file system has no locks"),
            "start no two runs there at a time, and remove things by hand; or mount it with locks, as Lustre is with `flock`",
        ),
        (None, true) => Check::ok(TOPIC, format!("{place} can be written to")),
        (None, false) => Check::ok(TOPIC, format!("{place} does not exist yet and can be made")),
    }
}

/// What killed runs left in it.
pub(super) fn leftovers(left: Leftovers) -> Check {
    const TOPIC: &str = "leftovers";
    if left.files == 0 {
        return Check::ok(TOPIC, "none of runs that were killed");
    }
    let files = crate::text::plural(crate::numbers::to_usize(left.files), "file");
    let size = crate::text::bytes(left.bytes);
    Check::warning(
        TOPIC,
        format!("{files} ({size}) of runs that were killed, or that are under way"),
        "the next `repro run` removes them if no other process has the cache open",
    )
}

/// The room on the disk of a folder.
pub(super) fn disk(topic: &'static str, folder: &Folder) -> Check {
    let place = folder.path.display();
    match folder.free {
        None => Check::warning(
            topic,
            format!("free space at {place} is unknown"),
            "see for yourself with df",
        ),
        Some(free) if free < LOW_DISK => Check::warning(
            topic,
            format!("{} free at {place}", gigabytes(free)),
            "free some space: features of a large dataset take gigabytes",
        ),
        Some(free) => Check::ok(topic, format!("{} free at {place}", gigabytes(free))),
    }
}

/// Bytes in units of 10⁹, as disks are sold and as the texts above count.
pub(super) fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}
