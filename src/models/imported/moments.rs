//! Means and covariances of features in NumPy's archives, as programs for FID keep them: `mu` and `sigma`, and for sFID `mu_s` and
//! `sigma_s`.
//!
//! # Reference
//! mseitzer/pytorch-fid@b9c1811: src/pytorch_fid/fid_score.py, `save_fid_stats` (`numpy.savez_compressed`);
//! openai/guided-diffusion@22e0df8: evaluations/evaluator.py, `read_statistics`.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use memmap2::Mmap;

use super::malformed;
use crate::datasets::DatasetError;
use crate::limits::{NPY_HEADER, STATISTICS};
use crate::npy::{Element, Header};
use crate::zip_archive::Archive;

/// The arrays that are read.
const NAMES: [&str; 4] = ["mu", "sigma", "mu_s", "sigma_s"];

/// What a file holds, and the digest of all of it.
#[derive(Debug)]
pub struct StoredMoments {
    /// The arrays that are there, row-major.
    pub arrays: BTreeMap<&'static str, Vec<f64>>,
    /// BLAKE3, in hexadecimal.
    pub digest: String,
}

/// Reads a file; images that lie beside the arrays are not unpacked.
///
/// # Errors
/// A file that is missing or damaged, or has none of the arrays.
pub fn read(path: &Path) -> Result<StoredMoments, DatasetError> {
    let opened = |source| DatasetError::io(path, source, "check the path");
    let file = File::open(path).map_err(opened)?;
    #[expect(unsafe_code, reason = "there is no safe way to map a file")]
    // SAFETY: the map is only read. If another process shortened the file meanwhile, reading would end this process with a signal;
    // no memory becomes invalid otherwise.
    let map = unsafe { Mmap::map(&file) };
    let map = map.map_err(opened)?;
    let arrays = arrays(&map).map_err(|problem| malformed(path, problem))?;
    if arrays.is_empty() {
        let problem = "it has no arrays `mu` and `sigma`".to_owned();
        return Err(malformed(path, problem));
    }
    Ok(StoredMoments {
        arrays,
        digest: blake3::hash(&map).to_hex().to_string(),
    })
}

fn arrays(file: &[u8]) -> Result<BTreeMap<&'static str, Vec<f64>>, String> {
    let archive = Archive::open(file).map_err(|fault| format!("it {fault}"))?;
    let mut arrays = BTreeMap::new();
    for name in NAMES {
        let member = format!("{name}.npy");
        let content = archive
            .unpacked_member(file, &member, STATISTICS)
            .map_err(|fault| format!("it {fault}"))?;
        let Some(content) = content else {
            continue;
        };
        let wrong = |problem: String| format!("`{name}`: {problem}");
        let beginning = &content[..content.len().min(NPY_HEADER + 16)];
        let header =
            Header::read(beginning, content.len()).map_err(|error| wrong(error.to_string()))?;
        let bytes = content.get(header.start..).unwrap_or_default();
        let values: Vec<f64> = match header.element {
            Element::Float { bytes: 8 } => {
                let words = bytes.as_chunks::<8>().0.iter();
                words.map(|word| f64::from_le_bytes(*word)).collect()
            }
            Element::Float { bytes: 4 } => {
                let words = bytes.as_chunks::<4>().0.iter();
                words
                    .map(|word| f64::from(f32::from_le_bytes(*word)))
                    .collect()
            }
            _ => return Err(wrong("it is not of 32 or 64-bit floats".to_owned())),
        };
        if values.iter().any(|value| !value.is_finite()) {
            return Err(wrong("it has values that are not finite".to_owned()));
        }
        arrays.insert(name, values);
    }
    Ok(arrays)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden(name: &str) -> std::path::PathBuf {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        folder.join("tests/golden/generative").join(name)
    }

    #[test]
    fn what_numpy_compressed_is_read() {
        let stored = read(&golden("moments.npz")).unwrap();
        let bytes = std::fs::read(golden("values.safetensors")).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        for name in ["mu", "sigma"] {
            let view = tensors.tensor(&format!("curve.{name}")).unwrap();
            let words = view.data().as_chunks::<8>().0.iter();
            let expected: Vec<f64> = words.map(|word| f64::from_le_bytes(*word)).collect();
            assert_eq!(stored.arrays[name], expected);
        }
        assert_eq!(stored.arrays.len(), 2);
    }

    #[test]
    fn other_files_are_refused() {
        let refused = |path: &Path| read(path).unwrap_err().to_string();
        assert!(refused(&golden("values.json")).contains("malformed"));
        assert!(refused(&golden("missing.npz")).contains("missing.npz"));
        let bytes = std::fs::read(golden("moments.npz")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cut.npz");
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert!(refused(&path).contains("malformed"));
    }
}
