//! Calls of the SQL engine, whose panics are errors of the query: it panics at functions that this build does not have.

use polars::prelude::{PolarsError, PolarsResult};

use crate::contained::contained;

/// Carries out something of the engine's.
pub(super) fn attempt<T>(work: impl FnOnce() -> PolarsResult<T>) -> PolarsResult<T> {
    contained(work).unwrap_or_else(|panic| {
        let reason = format!("the SQL engine cannot do this: {}", panic.trim());
        Err(PolarsError::SQLInterface(reason.into()))
    })
}

/// Bytes of the stack that a query is read and carried out on. Of an expression each operator takes some 40 KiB of it, one inside the other;
/// what is not used takes no memory.
const STACK: usize = 256 << 20;

/// Does something of the engine's on a stack that has room for all that `bounds` lets pass.
///
/// # Errors
/// The system gives no thread.
pub(super) fn with_room<T: Send>(work: impl FnOnce() -> T + Send) -> std::io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK);
        let done = thread.spawn_scoped(scope, work)?.join();
        Ok(done.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
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
