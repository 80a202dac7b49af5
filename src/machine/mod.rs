//! The machine: devices, memory, and what Linux reports of them. Ground floor: nothing here knows an experiment.

pub mod cgroup;
pub mod device;
pub mod files;
pub mod instructions;
pub mod libtorch;
#[cfg(feature = "torch")]
pub mod memory;
pub mod pretended;
pub mod texts;
#[cfg(feature = "torch")]
pub mod threads;
