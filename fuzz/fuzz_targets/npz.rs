//! Any bytes for the reader `npz` of `tests/suite/fuzz/readers.rs`.

#![no_main]

#[path = "../../tests/suite/fuzz/readers.rs"]
mod readers;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| readers::once("npz", bytes));
