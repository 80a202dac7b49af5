//! `repro doctor`: says what this machine and this build are fit for, and what to do about the rest.

use std::io::{self, Write};
use std::path::Path;

use super::exit;
use crate::doctor::facts::Facts;
use crate::doctor::{self, judge};

/// Examines the machine and writes the findings to `out`: as text, or with `json` as one JSON document.
///
/// `cache` is the cache folder that a run would use; it need not exist, and is not made. Returns exit code 1 if one
/// of the findings is a problem, else 0; warnings do not count.
///
/// Must be called before anything else uses libtorch, because it loads CUDA.
///
/// # Errors
/// Only those of writing to `out`.
pub fn run(out: &mut dyn Write, cache: &Path, json: bool) -> io::Result<u8> {
    let checks = judge::judge(&Facts::gather(cache));
    if json {
        doctor::write_json(out, &checks)?;
    } else {
        doctor::write_text(out, &checks)?;
    }
    Ok(if doctor::is_healthy(&checks) {
        exit::DONE
    } else {
        exit::STEP_FAILED
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_that_cannot_be_made_is_a_problem_in_both_formats() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let cache = file.path().join("cache");
        for json in [false, true] {
            let mut out = Vec::new();
            assert_eq!(run(&mut out, &cache, json).unwrap(), exit::STEP_FAILED);
            assert!(
                String::from_utf8(out)
                    .unwrap()
                    .contains("cannot be written to")
            );
        }
    }
}
