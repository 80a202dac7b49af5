//! GPUs that do not exist, to rehearse runs with several of them on a machine without.

/// The variable that names GPUs to pretend.
pub const PRETENDED: &str = "REPRO_PRETENDED_GPUS";

/// Bytes of memory of GPUs that do not exist, by the variable `REPRO_PRETENDED_GPUS`, such as `8G,16G`: `cuda:0`, `cuda:1` … are then workers
/// on the CPU that take jobs as GPUs do, so that runs with several can be rehearsed where there are none. `None` where it is not set.
///
/// # Errors
/// What is wrong with the variable.
pub fn pretended() -> Result<Option<Vec<u64>>, String> {
    let Some(value) = std::env::var_os(PRETENDED).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let text = value.to_string_lossy();
    let sizes: Result<Vec<u64>, String> = text.split(',').map(crate::text::parse_bytes).collect();
    sizes
        .map(Some)
        .map_err(|error| format!("the environment variable {PRETENDED} is `{text}`: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_the_variable_nothing_is_pretended() {
        assert_eq!(pretended(), Ok(None));
    }
}
