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
