//! Panics of libraries as errors: libtorch, Polars, Arrow and Parquet panic where a tensor, a query or a file is not what they expect.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

/// How Polars calls its threads; what they report of a panic comes back as the panic of the thread that asked.
const POLARS: &str = "polars-";

thread_local! {
    static CONTAINING: Cell<bool> = const { Cell::new(false) };
}

/// Carries out some work of a library. A panic becomes its message, which is then printed nowhere else.
///
/// # Errors
/// The message of the panic, on one line.
pub(crate) fn contained<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = take_hook();
        set_hook(Box::new(move |panic| {
            let thread = std::thread::current();
            let is_of_polars = thread.name().is_some_and(|name| name.starts_with(POLARS));
            if !CONTAINING.get() && !is_of_polars {
                loud(panic);
            }
        }));
    });
    let nested = CONTAINING.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    CONTAINING.set(nested);
    outcome.map_err(|panic| text_of(&*panic))
}

/// A panic's message. libtorch appends its own call stack; its first lines say what is wrong.
pub(crate) fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    let text = text.unwrap_or("it gave no reason");
    // Where an error is quoted within another, its lines are escaped.
    let text = text.split("\\n").next().unwrap_or(text);
    text.lines().take(3).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_its_message() {
        let reason = |work: fn()| contained(work).unwrap_err();
        assert_eq!(
            reason(|| panic!("activate '{}' feature", "rank")),
            "activate 'rank' feature"
        );
        assert_eq!(reason(|| panic!("no more")), "no more");
        assert_eq!(reason(|| panic!("one\ntwo\nthree\nfour")), "one two three");
        assert_eq!(contained(|| 3), Ok(3));
    }
}
