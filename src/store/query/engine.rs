//! Calls of the SQL engine, whose panics are errors of the query: it panics at functions that this build does not have.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use polars::prelude::{PolarsError, PolarsResult};

/// How the engine's own threads are called.
const THREADS: &str = "polars-";

/// Carries out something of the engine's.
pub(super) fn attempt<T>(work: impl FnOnce() -> PolarsResult<T>) -> PolarsResult<T> {
    static QUIET: Once = Once::new();
    // What its threads say of a panic is said again below, in a sentence.
    QUIET.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |panicked| {
            let thread = std::thread::current();
            if !thread.name().is_some_and(|name| name.starts_with(THREADS)) {
                others(panicked);
            }
        }));
    });
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        let text = payload
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| payload.downcast_ref::<&str>().copied())
            .unwrap_or("it gave no reason");
        let reason = format!("the SQL engine cannot do this: {}", text.trim());
        Err(PolarsError::SQLInterface(reason.into()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_engine_is_an_error_with_its_reason() {
        let reason = |work: fn() -> PolarsResult<()>| attempt(work).unwrap_err().to_string();
        let text = reason(|| panic!("activate '{}' feature", "rank"));
        assert_eq!(
            text,
            "the SQL engine cannot do this: activate 'rank' feature"
        );
        assert!(reason(|| panic!("no more")).ends_with("cannot do this: no more"));
        assert!(attempt(|| Ok(())).is_ok());
    }
}
