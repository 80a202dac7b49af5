//! Golden checkpoints that stand in the checkout without their values, which the rule for synthetic weights gives
//! (`tests/golden/hollow.py`). They are whole, byte for byte, where a test reads them.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use repro::models::checkpoint::synthetic;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::fixture::root;

/// What was taken out of a checkpoint.
#[derive(Deserialize)]
struct Taken {
    /// Of the whole file.
    sha256: String,
    seed: u64,
    /// The first byte, the name by which the rule makes the values, and the shape.
    tensors: Vec<(usize, String, Vec<usize>)>,
}

/// The checkpoint `name` of a folder of `tests/golden` as its program wrote it.
pub fn whole(folder: &str, name: &str) -> PathBuf {
    let golden = root().join("tests/golden").join(folder);
    let taken = fs::read(golden.join(format!("{name}.json"))).unwrap();
    let taken: Taken = serde_json::from_slice(&taken).unwrap();
    let mut bytes = Vec::new();
    let packed = fs::File::open(golden.join(format!("{name}.gz"))).unwrap();
    GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
    for (first, tensor, shape) in &taken.tensors {
        let values = synthetic::fill(tensor, shape, taken.seed);
        let values = values.iter().flat_map(|value| value.to_le_bytes());
        for (byte, value) in bytes[*first..].iter_mut().zip(values) {
            *byte = value;
        }
    }
    let digest: [u8; 32] = Sha256::digest(&bytes).into();
    let stated = (0..taken.sha256.len()).step_by(2).map(|at| {
        let digits = &taken.sha256[at..at + 2];
        u8::from_str_radix(digits, 16).unwrap()
    });
    let stated: Vec<u8> = stated.collect();
    assert_eq!(digest[..], stated, "{name} is not the file that was kept");
    // Tests at the same time write the same bytes, and each sees a whole file.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let mut file = tempfile::NamedTempFile::new_in(folder).unwrap();
    file.write_all(&bytes).unwrap();
    let path = folder.join(name);
    file.persist(&path).unwrap();
    path
}
