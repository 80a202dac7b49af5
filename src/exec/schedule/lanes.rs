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
}

impl Worker {
    /// Jobs that it may do side by side.
    pub(super) fn lanes(&self) -> usize {
        match self.device {
            Device::Cpu => self.threads.max(1),
            _ => 1,
        }
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
