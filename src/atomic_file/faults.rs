//! Errors of the disk, made at will in tests: the n-th operation on files of this thread fails, or each from there on.
//!
//! Elsewhere nothing ever fails here, and nothing is compiled of it.

use std::io;

/// What is done to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// A file is created.
    Create,
    /// Bytes are written to it.
    Write,
    /// Its bytes are to last.
    Sync,
    /// It is given a name.
    Rename,
    /// Names in a folder are to last.
    SyncFolder,
}

/// Fails where a test wants this operation to fail.
#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "the same function fails in tests")]
pub(super) const fn at(_: Operation) -> io::Result<()> {
    Ok(())
}

/// How many of so many bytes are written at once: fewer where a test wants that.
#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "the same function fails in tests")]
pub(super) const fn at_write(bytes: usize) -> io::Result<usize> {
    Ok(bytes)
}

#[cfg(test)]
pub(crate) use made::{Fault, Plan, counted, during};
#[cfg(test)]
pub(super) use made::{at, at_write};

#[cfg(test)]
mod made {
    use std::cell::{Cell, RefCell};

    use super::{Operation, io};

    /// What happens to an operation.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Fault {
        /// It fails with this error number.
        Error(i32),
        /// This one and all behind it fail, as of a disk that was pulled out.
        Gone,
        /// A write takes half of the bytes, and the next one fails with this error number.
        Half(i32),
        /// A write takes one byte, after which the writer goes on.
        Short,
        /// A write is interrupted by a signal, after which the writer goes on.
        Interrupted,
    }

    /// The operation that a fault happens to, counted from 0.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) struct Plan {
        pub(crate) at: usize,
        pub(crate) fault: Fault,
    }

    const INPUT_OUTPUT: i32 = 5;

    thread_local! {
        static PLAN: Cell<Option<Plan>> = const { Cell::new(None) };
        static SEEN: RefCell<Vec<Operation>> = const { RefCell::new(Vec::new()) };
    }

    /// Runs `work` with a fault, on this thread.
    pub(crate) fn during<T>(plan: Plan, work: impl FnOnce() -> T) -> T {
        SEEN.take();
        PLAN.set(Some(plan));
        let done = work();
        PLAN.set(None);
        done
    }

    /// Runs `work` without a fault; the operations that it made.
    pub(crate) fn counted(work: impl FnOnce()) -> Vec<Operation> {
        SEEN.take();
        work();
        SEEN.take()
    }

    /// What is to happen to the next operation.
    fn next(operation: Operation) -> Option<Fault> {
        let number = SEEN.with_borrow_mut(|seen| {
            seen.push(operation);
            seen.len() - 1
        });
        let plan = PLAN.get()?;
        match plan.fault {
            Fault::Gone if number >= plan.at => Some(Fault::Gone),
            Fault::Half(error) if number == plan.at + 1 => Some(Fault::Error(error)),
            fault if number == plan.at => Some(fault),
            _ => None,
        }
    }

    pub(in super::super) fn at(operation: Operation) -> io::Result<()> {
        match next(operation) {
            Some(Fault::Error(error) | Fault::Half(error)) => {
                Err(io::Error::from_raw_os_error(error))
            }
            Some(Fault::Gone) => Err(io::Error::from_raw_os_error(INPUT_OUTPUT)),
            Some(Fault::Short | Fault::Interrupted) | None => Ok(()),
        }
    }

    pub(in super::super) fn at_write(bytes: usize) -> io::Result<usize> {
        match next(Operation::Write) {
            Some(Fault::Error(error)) => Err(io::Error::from_raw_os_error(error)),
            Some(Fault::Gone) => Err(io::Error::from_raw_os_error(INPUT_OUTPUT)),
            Some(Fault::Half(_)) => Ok(bytes / 2),
            Some(Fault::Short) => Ok(bytes.min(1)),
            Some(Fault::Interrupted) => Err(io::ErrorKind::Interrupted.into()),
            None => Ok(bytes),
        }
    }
}
