//! Downloads the bytes of one file, over as many connections as it takes.
//!
//! What breaks is tried again after a pause, each pause twice as long as the one before. The count begins again whenever
//! the file has come farther than ever before, so a long file over a bad line arrives, and a server that always breaks at
//! the same byte is given up.

use std::time::{Duration, Instant};

use super::Request;
use super::answer::{Action, judge};
use super::error::FetchError;
use super::event::{Emit, Event};
use super::files;
use super::http::{Answer, Http, Trouble, host};
use super::partial::Partial;

/// How long to wait, and how often.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For the next bytes, while a connection stands.
    pub silence: Duration,
    /// Before the first retry; each further one waits twice as long.
    pub pause: Duration,
    /// Retries in a row that receive nothing new.
    pub retries: u32,
    /// The same, as long as the server has not answered at all.
    pub retries_unanswered: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            silence: Duration::from_mins(1),
            pause: Duration::from_secs(1),
            retries: 5,
            retries_unanswered: 2,
        }
    }
}

/// What stays free on the disk, in bytes, where neither the server nor anybody else has stated the size of the file.
const ROOM_LEFT: u64 = 512 << 20;
/// How many bytes of such a file come between two looks at the room.
const LOOK_EVERY: u64 = 16 << 20;
/// How often a file may change on the server while it is fetched.
const MOST_CHANGES: u32 = 3;
/// How often a pause asks whether the user wants to stop.
const TICK: Duration = Duration::from_millis(50);

/// How one connection ended, when not with an error.
enum Ended {
    /// All bytes are there.
    Whole,
    /// The server has another file by now.
    Changed(String),
    /// It may go better in a while.
    Later {
        reason: String,
        /// Whether the server answered.
        answered: bool,
    },
}

/// Downloads what is missing of a file.
pub(super) fn complete(
    request: &Request<'_>,
    partial: &mut Partial,
    emit: Emit<'_>,
    stop: &dyn Fn() -> bool,
) -> Result<(), FetchError> {
    let patience = &request.patience;
    let http = Http::new(request.url, patience.connect, patience.silence, stop)?;
    let mut farthest = partial.kept();
    let (mut failures, mut changes, mut answered) = (0, 0, false);
    loop {
        let reason = match attempt(request, &http, partial, emit)? {
            Ended::Whole => return Ok(()),
            Ended::Changed(reason) => {
                changes += 1;
                if changes > MOST_CHANGES {
                    return Err(FetchError::Refused {
                        url: request.address(),
                        reason: format!("{reason}, for the {changes}th time"),
                        remedy: "wait until it rests, or fetch from another address".to_owned(),
                    });
                }
                emit(Event::BeginsAnew {
                    reason,
                    lost: partial.kept(),
                });
                partial.discard()?;
                farthest = 0;
                continue;
            }
            Ended::Later {
                reason,
                answered: now,
            } => {
                answered |= now;
                reason
            }
        };
        if partial.kept() > farthest {
            farthest = partial.kept();
            failures = 0;
        }
        let most = if answered {
            patience.retries
        } else {
            patience.retries_unanswered
        };
        failures += 1;
        if failures > most {
            let kept = partial.report();
            return Err(if answered {
                FetchError::Broken {
                    url: request.address(),
                    attempts: failures,
                    reason,
                    kept,
                }
            } else {
                FetchError::Unreachable {
                    host: host(request.url),
                    attempts: failures,
                    reason,
                    kept,
                    target: request.target.to_owned(),
                }
            });
        }
        let pause = patience.pause.saturating_mul(1 << (failures - 1).min(10));
        emit(Event::Retrying {
            reason,
            kept: partial.kept(),
            pause,
            number: failures,
            of: most,
        });
        rest(pause, stop, partial)?;
    }
}

/// One request and its answer, as far as it comes.
fn attempt(
    request: &Request<'_>,
    http: &Http<'_>,
    partial: &mut Partial,
    emit: Emit<'_>,
) -> Result<Ended, FetchError> {
    let kept = partial.kept();
    emit(Event::Asking {
        url: request.address(),
        kept,
    });
    let there = partial.description().clone();
    let asked = (kept > 0).then(|| (kept, there.validator()));
    let mut answer = match http.get(request.url, asked) {
        Ok(answer) => answer,
        Err(trouble) => return ended(request, partial, trouble),
    };
    let total = match judge(&request.address(), kept, &there, &answer.head) {
        Action::Whole { description, again } => {
            let total = description.total;
            check_size(request, total)?;
            if let Some(reason) = again {
                emit(Event::BeginsAnew { reason, lost: kept });
            }
            partial.begin(description)?;
            total
        }
        Action::Rest { total } => {
            let total = total.or(there.total);
            check_size(request, total)?;
            total
        }
        Action::Complete => return Ok(Ended::Whole),
        Action::Changed(reason) => return Ok(Ended::Changed(reason)),
        Action::Later(reason) => {
            return Ok(Ended::Later {
                reason,
                answered: true,
            });
        }
        Action::Never { reason, remedy } => {
            return Err(FetchError::Refused {
                url: request.address(),
                reason,
                remedy: remedy.to_owned(),
            });
        }
    };
    if let Some(total) = total {
        files::need_room(partial.path(), total.saturating_sub(partial.kept()))?;
    }
    emit(Event::Receiving {
        kept: partial.kept(),
        total,
    });
    receive(request, http, partial, &mut answer, total, emit)
}

/// Takes the bytes of an answer.
fn receive(
    request: &Request<'_>,
    http: &Http<'_>,
    partial: &mut Partial,
    answer: &mut Answer,
    total: Option<u64>,
    emit: Emit<'_>,
) -> Result<Ended, FetchError> {
    let mut looked = partial.kept();
    if total.or(request.stated.bytes).is_none() {
        files::leave_room(partial.path(), LOOK_EVERY, ROOM_LEFT)?;
    }
    loop {
        let bytes = match http.next(answer) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => break,
            Err(trouble) => return ended(request, partial, trouble),
        };
        let bytes = bytes.as_ref();
        // Without a size from the server, the size that is known bounds what a wrong address can fill the disk with.
        let most = total.or(request.stated.bytes);
        let after = partial.kept() + bytes.len() as u64;
        if let Some(most) = most.filter(|most| after > *most) {
            return Err(FetchError::Refused {
                url: request.address(),
                reason: format!("the server sends more than the {most} bytes of the file"),
                remedy: "remove the file that ends in `.partial`, and fetch from another address"
                    .to_owned(),
            });
        }
        if most.is_none() && after >= looked + LOOK_EVERY {
            // Nobody knows how much is to come, so that the disk is left some room for everybody else.
            looked = after;
            files::leave_room(partial.path(), LOOK_EVERY, ROOM_LEFT)?;
        }
        partial.append(bytes)?;
        emit(Event::Received {
            kept: partial.kept(),
        });
    }
    match total {
        Some(total) if partial.kept() < total => Ok(Ended::Later {
            reason: "the connection was closed before the end".to_owned(),
            answered: true,
        }),
        _ => Ok(Ended::Whole),
    }
}

/// What trouble with a connection means for the whole.
fn ended(request: &Request<'_>, partial: &Partial, trouble: Trouble) -> Result<Ended, FetchError> {
    match trouble {
        Trouble::Stopped => Err(FetchError::Stopped {
            kept: partial.report(),
        }),
        Trouble::Impossible(reason) => Err(FetchError::BadAddress {
            url: request.address(),
            reason,
        }),
        Trouble::Unreachable(reason) => Ok(Ended::Later {
            reason,
            answered: false,
        }),
        Trouble::Broken(reason) => Ok(Ended::Later {
            reason,
            answered: true,
        }),
    }
}

/// Refuses a file of another size before its first byte is taken.
fn check_size(request: &Request<'_>, total: Option<u64>) -> Result<(), FetchError> {
    match (total, request.stated.bytes) {
        (Some(found), Some(expected)) if found != expected => Err(request.wrong_size(found, None)),
        _ => Ok(()),
    }
}

/// Waits, as long as the user does not stop it.
fn rest(pause: Duration, stop: &dyn Fn() -> bool, partial: &Partial) -> Result<(), FetchError> {
    let begun = Instant::now();
    loop {
        if stop() {
            return Err(FetchError::Stopped {
                kept: partial.report(),
            });
        }
        let left = pause.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(TICK.min(left));
    }
}
