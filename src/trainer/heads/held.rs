//! Where the features of the training split are while heads train: all in memory, window by window, or batch by batch.
//!
//! What is computed on a GPU has to fit into its memory, and only what is on its way there into the host's.

use tch::Tensor;

use super::{Limits, TrainError};
use crate::text;

/// Of a GPU's free memory, what features and weights may take. The rest is for the scratch space of the kernels.
const SHARE_OF_FREE_MEMORY: u64 = 80;

/// Features of the training split in memory.
pub(super) enum Held {
    /// All of them, `[views × n, D]`, with those of the validation split.
    All(Tensor),
    /// One window at a time, and the next one beside it.
    Windows,
    /// One batch at a time.
    Batches,
}

/// What may be in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// All features.
    All,
    /// Two windows.
    Windows,
    /// A batch.
    Batches,
}

/// Bytes that a training would like to have, or has to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// All features.
    pub(super) all: u64,
    /// The largest window.
    pub(super) window: u64,
    /// Weights and what belongs to them, and a batch.
    pub(super) beside: u64,
    /// Whether features are computed while they are read, window by window and never twice.
    pub(super) fresh: bool,
}

/// Bytes of memory that is computed in: the host's, or what a GPU has free of its own.
pub(super) fn computing_memory(limits: &Limits<'_>) -> u64 {
    let of_gpu = |free: u64| free / 100 * SHARE_OF_FREE_MEMORY;
    limits.device_memory.map_or(limits.memory, of_gpu)
}

/// Where features are, by the memory that there is.
///
/// # Errors
/// Features that are computed while they are read need two windows: the network would see other batches, and so round
/// differently.
pub(super) fn place(wanted: Wanted, limits: &Limits<'_>) -> Result<Place, TrainError> {
    let Wanted {
        all,
        window,
        beside,
        fresh,
    } = wanted;
    let memory = computing_memory(limits);
    if !fresh && all.saturating_add(beside) <= memory {
        return Ok(Place::All);
    }
    // On a GPU the two windows are the host's, and the one that is used is on the GPU as well.
    let windows = match limits.device_memory {
        None => 2 * window + beside <= memory,
        Some(_) => 2 * window <= limits.memory && window + beside <= memory,
    };
    match windows {
        true => Ok(Place::Windows),
        false if fresh => Err(TrainError::Memory {
            needed: text::bytes(2 * window + beside),
            allowed: text::bytes(limits.memory.min(memory)),
        }),
        false => Ok(Place::Batches),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn placed(wanted: Wanted, memory: u64, device_memory: Option<u64>) -> Option<Place> {
        let limits = Limits {
            memory,
            device_memory,
            keep_going: &|| true,
            epoch_done: &|_| {},
            checkpoint_seconds: 1.0,
        };
        place(wanted, &limits).ok()
    }

    #[test]
    fn a_gpu_is_asked_for_its_own_memory() {
        // Two views of ImageNet at 4,096 values in half precision.
        let wanted = Wanted {
            all: 21 * GIB,
            window: GIB / 8,
            beside: GIB,
            fresh: false,
        };
        assert_eq!(placed(wanted, 64 * GIB, None), Some(Place::All));
        assert_eq!(placed(wanted, 16 * GIB, None), Some(Place::Windows));
        assert_eq!(placed(wanted, GIB, None), Some(Place::Batches));
        // A GPU of 24 GB beside much memory of the host, and a large one beside little.
        assert_eq!(
            placed(wanted, 64 * GIB, Some(23 * GIB)),
            Some(Place::Windows)
        );
        assert_eq!(placed(wanted, 2 * GIB, Some(80 * GIB)), Some(Place::All));
        // Windows are on both sides.
        assert_eq!(
            placed(wanted, GIB / 8, Some(23 * GIB)),
            Some(Place::Batches)
        );
        assert_eq!(placed(wanted, 64 * GIB, Some(GIB)), Some(Place::Batches));
    }

    #[test]
    fn what_is_computed_meanwhile_is_never_held_as_a_whole() {
        let wanted = Wanted {
            all: GIB,
            window: GIB / 8,
            beside: 1 << 20,
            fresh: true,
        };
        assert_eq!(placed(wanted, 64 * GIB, None), Some(Place::Windows));
        assert_eq!(placed(wanted, GIB / 8, None), None);
    }
}
