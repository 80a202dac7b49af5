//! Conversions between number types that cannot lose anything, written once. What can be too large is converted with `try_from`
//! and is an error.

/// Sizes are indexed with 64 bits; what [`to_usize`] does rests on it.
const _: () = assert!(usize::BITS == 64, "repro needs a 64-bit machine");

/// A number as a size or an index.
#[expect(
    clippy::cast_possible_truncation,
    reason = "both have 64 bits, as is asserted above"
)]
pub(crate) const fn to_usize(number: u64) -> usize {
    number as usize
}

/// A size in memory as libtorch counts: no collection is longer than `isize::MAX`.
pub(crate) fn to_i64(count: usize) -> i64 {
    debug_assert!(i64::try_from(count).is_ok(), "{count}");
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A length of a tensor, or an index into one, which libtorch counts from 0.
#[cfg(feature = "torch")]
pub(crate) fn from_i64(length: i64) -> usize {
    debug_assert!(length >= 0, "{length}");
    usize::try_from(length).unwrap_or(0)
}

/// A count of things that an experiment declares and the parser bounds: blocks, epochs, classes, timesteps. Not for samples, rows or
/// bytes, of which there can be more than 2^32.
pub(crate) fn to_u32(count: usize) -> u32 {
    debug_assert!(u32::try_from(count).is_ok(), "{count}");
    u32::try_from(count).unwrap_or(u32::MAX)
}
