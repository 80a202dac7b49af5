//! How much memory there is, and keeping that of feature maps between batches.
//!
//! Every layer of a network allocates feature maps of tens to hundreds of megabytes. By default the C library asks the operating
//! system for each of them and gives it back at once, and each of its pages has to be cleared and mapped again. Freed
//! feature maps are kept for the next layer instead while passes run on the CPU: see docs/reference/performance.md for what that saves.

use std::sync::{Mutex, PoisonError};

/// What is assumed where the system does not report it.
const UNKNOWN: u64 = 4 << 30;

/// Bytes of memory that this process may still take: what the machine has left, or less where its control group leaves it less.
pub fn available() -> u64 {
    let told = std::fs::read_to_string("/proc/meminfo").ok();
    let machine = told
        .and_then(|text| crate::machine::texts::memory_bytes(&text, "MemAvailable"))
        .unwrap_or(UNKNOWN);
    crate::machine::cgroup::memory().map_or(machine, |group| group.min(machine))
}

/// While this exists, the C library keeps large freed blocks. Created after the weights are loaded, so that what is kept
/// is not scattered among them.
#[derive(Debug)]
pub struct RetainFreedMemory(());

/// How many there are: the setting is the process's, and several workers may want it.
static KEPT: Mutex<usize> = Mutex::new(0);

impl RetainFreedMemory {
    /// From now on.
    #[must_use = "what is kept goes back when this is dropped"]
    pub fn begin() -> Self {
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        if *kept == 0 {
            // Blocks of their own for nothing; and nothing goes back from the end of the heap.
            set(libc::M_MMAP_MAX, 0);
            set(libc::M_TRIM_THRESHOLD, i32::MAX);
        }
        *kept += 1;
        Self(())
    }
}

impl Drop for RetainFreedMemory {
    fn drop(&mut self) {
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = kept.saturating_sub(1);
        if *kept > 0 {
            return;
        }
        // The documented defaults of glibc.
        set(libc::M_MMAP_MAX, 65_536);
        set(libc::M_TRIM_THRESHOLD, 128 * 1024);
        #[expect(unsafe_code, reason = "there is no safe way to call the C library")]
        // SAFETY: may be called at any time; it gives free pages back to the system.
        unsafe {
            libc::malloc_trim(0);
        }
    }
}

fn set(parameter: i32, value: i32) {
    #[expect(unsafe_code, reason = "there is no safe way to call the C library")]
    // SAFETY: may be called at any time and only changes how later allocations are served. A parameter that is
    // not understood is refused by the return value, and then all stays as it was.
    let _ = unsafe { libc::mallopt(parameter, value) };
}
