//! How many files this process may have open at once.

/// No limit is set higher: some programs that a process starts go through every number up to it.
const HIGHEST: libc::rlim_t = 1 << 20;

/// Raises the limit on open files (`ulimit -n`) to the highest that this process may set: the default of most systems, 1,024, is
/// made for programs that use `select`. Where that is refused, all stays as it was.
pub fn raise_limit() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    #[expect(unsafe_code, reason = "there is no safe way to ask for a limit")]
    // SAFETY: the pointer is to a value of the type that the call fills.
    let asked = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    let wanted = limit.rlim_max.min(HIGHEST);
    if asked != 0 || limit.rlim_cur >= wanted {
        return;
    }
    limit.rlim_cur = wanted;
    #[expect(unsafe_code, reason = "there is no safe way to set a limit")]
    // SAFETY: the pointer is to a value of the type that the call reads.
    let _ = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_the_highest_afterwards() {
        raise_limit();
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
        let line = limits
            .lines()
            .find(|line| line.starts_with("Max open files"));
        let numbers: Vec<&str> = line.unwrap().split_whitespace().skip(3).take(2).collect();
        let number = |text: &str| text.parse::<u64>().unwrap_or(u64::MAX);
        assert!(
            number(numbers[0]) >= number(numbers[1]).min(HIGHEST),
            "{line:?}"
        );
    }
}
