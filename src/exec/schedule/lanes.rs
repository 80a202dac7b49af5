//! Workers, and the threads of this process that they are.

use crate::machine::device::Device;
use crate::machine::threads;

/// One worker: a device, and how many threads of the CPU it may use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Worker {
    /// Where its tensors live.
    pub device: Device,
    /// Threads of libtorch on the CPU.
    pub threads: usize,
    /// Bytes of memory that its GPU has for it, pretended or not; `None` for the CPU.
    pub memory: Option<u64>,
}

impl Worker {
    /// Jobs that it may do side by side.
    pub(super) fn lanes(&self) -> usize {
        match self.device {
            Device::Cpu if self.memory.is_none() => self.threads.max(1),
            _ => 1,
        }
    }

    /// Whether a job that wants to keep so many bytes at hand should wait for another worker: this one has no room for them, and that one
    /// has.
    pub(super) fn leaves(&self, wanted: u64, workers: &[Self]) -> bool {
        let has_room = |worker: &Self| worker.memory.is_some_and(|memory| memory >= wanted);
        self.memory.is_some() && !has_room(self) && workers.iter().any(has_room)
    }
}

/// Runs all of these, and is done when the last one is. The first one runs on this thread, which is the process's main thread where a
/// command runs a plan: the memory that a network's layers free and take again stays in the heap there, while the C library gives back
/// that of other threads, page by page, so that passes took a tenth longer.
pub(super) fn side_by_side<T: FnOnce() + Send>(mut tasks: impl Iterator<Item = T>) {
    let first = tasks.next();
    std::thread::scope(|scope| {
        for task in tasks {
            scope.spawn(task);
        }
        if let Some(first) = first {
            first();
        }
    });
}

/// Does something with the worker's number of threads, where several workers divide them.
pub(super) fn with_threads_of<T>(
    worker: &Worker,
    workers: &[Worker],
    act: impl FnOnce() -> T,
) -> T {
    let before = threads::current();
    if workers.len() > 1 {
        threads::set(worker.threads);
    }
    let outcome = act();
    threads::set(before);
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_left_to_a_worker_where_it_does() {
        let worker = |memory| Worker {
            device: Device::Cpu,
            threads: 2,
            memory,
        };
        let (none, small, large) = (worker(None), worker(Some(8)), worker(Some(16)));
        assert_eq!((none.lanes(), small.lanes()), (2, 1));
        let all = [none, small, large];
        assert!(small.leaves(9, &all) && !small.leaves(8, &all));
        assert!(!small.leaves(17, &all), "it fits nowhere");
        assert!(!large.leaves(9, &all) && !none.leaves(9, &all));
        assert!(!small.leaves(9, &[none, small]));
    }
}
