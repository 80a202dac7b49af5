//! What networks are built of: layers, their initial parameters, and what they compute in.

#[cfg(feature = "torch")]
pub mod attention;
#[cfg(feature = "torch")]
pub mod initial;
#[cfg(feature = "torch")]
pub mod layers;
pub mod precision;
#[cfg(feature = "torch")]
pub mod transformer;
