//! Any bytes as a checkpoint: tensors that fit into them or an error, and never a panic, a crash or more memory.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use repro::models::checkpoint::stored_tensors::StoredTensors;

fuzz_target!(|bytes: &[u8]| {
    match StoredTensors::from_bytes(Path::new("fuzzed"), bytes.to_vec()) {
        Ok(tensors) => {
            for name in tensors.names() {
                let tensor = tensors.get(name);
                assert!(tensor.is_some_and(|tensor| tensor.bytes.len() <= bytes.len()));
            }
        }
        Err(error) => assert!(error.to_string().starts_with("fuzzed ")),
    }
});
