//! How many threads of the CPU libtorch computes with.

/// The number that libtorch computes with, on this thread and those that it starts later.
pub fn current() -> usize {
    usize::try_from(tch::get_num_threads()).unwrap_or(1).max(1)
}

/// Sets the number for this thread and those that it starts later. Others keep theirs: libtorch's threads are OpenMP's, whose number is a
/// matter of the thread that asks.
pub fn set(threads: usize) {
    tch::set_num_threads(i32::try_from(threads.max(1)).unwrap_or(1));
}

/// The number that is best on all of the machine that this process may use: libtorch's own, which is that of the cores or what
/// `OMP_NUM_THREADS` says, but not more than the processors whose time its control group leaves it.
pub fn allowed() -> usize {
    let own = current();
    if std::env::var_os("OMP_NUM_THREADS").is_some() {
        return own;
    }
    super::cgroup::processors().map_or(own, |group| group.min(own))
}
