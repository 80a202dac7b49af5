//! What subcommands that work for long take from the process that they run in: the clock, and the wish to stop.

use super::exit::Failure;
use crate::exec::StopSignal;
use crate::message::Message;

/// The time now, as RFC 3339 in UTC.
#[expect(
    clippy::disallowed_methods,
    reason = "the one clock, for when things were made"
)]
pub(super) fn clock() -> String {
    rfc3339(std::time::SystemTime::now())
}

/// The time so long ago, as [`clock`] has it; `None` before all times.
#[expect(
    clippy::disallowed_methods,
    reason = "the one clock, for when things were wanted last"
)]
pub(super) fn ago(age: std::time::Duration) -> Option<String> {
    std::time::SystemTime::now().checked_sub(age).map(rfc3339)
}

/// A moment as [`clock`] has it.
pub(super) fn rfc3339(moment: std::time::SystemTime) -> String {
    let moment = chrono::DateTime::<chrono::Utc>::from(moment);
    moment.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// More threads than any machine has use for; libraries start as many as they are told, and hang.
const MOST_THREADS: usize = 1024;

/// Refuses numbers of threads in the environment with which libraries hang or panic. What says nothing to them is left alone.
///
/// # Errors
/// The variable, and what it may be.
pub(super) fn check_threads() -> Result<(), Failure> {
    // Nought is a choice of its own for the one library, and nonsense for the other.
    for (name, least) in [("RAYON_NUM_THREADS", 0), ("POLARS_MAX_THREADS", 1)] {
        let Some(value) = std::env::var_os(name) else {
            continue;
        };
        let threads = value.to_str().and_then(|text| text.parse::<usize>().ok());
        if !threads.is_some_and(|threads| (least..=MOST_THREADS).contains(&threads)) {
            return Err(Failure::Usage(
                Message::new(format!(
                    "the environment variable {name} is `{}`, but has to be a number of threads from {least} to {MOST_THREADS}",
                    value.display()
                ))
                .hint(format!("leave {name} unset for as many threads as there are cores")),
            ));
        }
    }
    Ok(())
}

/// What the handler of `ctrlc` takes.
const HANDLED: [libc::c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// The signal that Ctrl-C, and a polite kill, give; `when` says when it takes effect. A second Ctrl-C ends the process at
/// once; what is on the disk bears that. Signals that whoever started the process has set to be ignored, as `nohup` does, stay
/// ignored.
pub(super) fn stop_signal(when: &'static str) -> &'static StopSignal {
    static STOP: StopSignal = StopSignal::new();
    let ignored: Vec<libc::c_int> = HANDLED.into_iter().filter(|&one| is_ignored(one)).collect();
    let handler = move || {
        if STOP.is_wanted() {
            end_at_once();
        }
        STOP.give();
        say!("stopping {when}; press Ctrl-C again to stop at once");
    };
    // A handler that cannot be set leaves the default: the process ends at once, and what was written is kept.
    let _ = ctrlc::set_handler(handler);
    ignored.into_iter().for_each(ignore);
    &STOP
}

/// Whether a signal is set to be ignored.
fn is_ignored(signal: libc::c_int) -> bool {
    #[expect(unsafe_code, reason = "there is no safe way to ask for a handler")]
    // SAFETY: all bits zero are a value of this type, and the call without a new action only fills it.
    let (asked, action) = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        let asked = libc::sigaction(signal, std::ptr::null(), &raw mut action);
        (asked, action)
    };
    asked == 0 && action.sa_sigaction == libc::SIG_IGN
}

/// Sets a signal to be ignored.
fn ignore(signal: libc::c_int) {
    #[expect(unsafe_code, reason = "there is no safe way to set a handler")]
    // SAFETY: no code of this program is named as the handler.
    unsafe {
        libc::signal(signal, libc::SIG_IGN);
    }
}

/// Ends the process as one that Ctrl-C stopped, with nothing run any more: other threads are in the middle of their work, and
/// libraries that are taken down below them would abort the process and leave a core file.
fn end_at_once() -> ! {
    #[expect(unsafe_code, reason = "there is no safe way that runs no handlers")]
    // SAFETY: may be called at any time and does not return.
    unsafe {
        libc::_exit(i32::from(super::exit::STOPPED))
    }
}
