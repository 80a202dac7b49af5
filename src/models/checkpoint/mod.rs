//! Weights: read from files without trusting them ([`stored_tensors`]), made by a rule ([`synthetic`]), handed to the layers of a
//! network by name ([`weights`](crate::models::checkpoint)), written and converted.

pub mod comparison;
pub mod conversion;
pub mod file_names;
#[cfg(feature = "torch")]
pub mod parameters;
pub mod stored_tensors;
pub mod synthetic;
pub mod weight_mismatch;
#[cfg(feature = "torch")]
pub mod weights;
