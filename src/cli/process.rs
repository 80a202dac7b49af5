//! What subcommands that work for long take from the process that they run in: the clock, and the wish to stop.

use crate::exec::StopSignal;

/// The time now, as RFC 3339 in UTC.
#[expect(
    clippy::disallowed_methods,
    reason = "the one clock, for when things were made"
)]
pub(super) fn clock() -> String {
    let now = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now());
    now.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// The signal that Ctrl-C, and a polite kill, give; `when` says when it takes effect. A second Ctrl-C ends the process at
/// once; what is on the disk bears that.
pub(super) fn stop_signal(when: &'static str) -> &'static StopSignal {
    static STOP: StopSignal = StopSignal::new();
    let handler = move || {
        if STOP.is_given() {
            std::process::abort();
        }
        STOP.give();
        eprintln!("stopping {when}; press Ctrl-C again to stop at once");
    };
    // A handler that cannot be set leaves the default: the process ends at once, and what was written is kept.
    let _ = ctrlc::set_handler(handler);
    &STOP
}
