//! The libtorch that this process has loaded, found by where its library is mapped.

use std::fs;
use std::path::PathBuf;

use super::texts;

/// A loaded libtorch.
#[derive(Debug, Clone)]
pub struct Libtorch {
    /// The folder of `libtorch_cpu.so`.
    pub folder: PathBuf,
    /// Its version, as in `2.11.0+cu130`, if a file beside it says so.
    pub version: Option<String>,
}

/// The libtorch that this process has loaded; `None` without the `torch` feature.
pub fn loaded() -> Option<Libtorch> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let folder = texts::folder_of_library(&maps, "libtorch_cpu.so")?;
    // PyTorch's packages carry `version.py`; the archives of libtorch alone carry `build-version`.
    let beside = |name: &str| fs::read_to_string(folder.join("..").join(name)).ok();
    let version = beside("version.py")
        .and_then(|text| texts::torch_version(&text).map(str::to_owned))
        .or_else(|| beside("build-version").map(|text| text.trim().to_owned()));
    Some(Libtorch { folder, version })
}

#[cfg(all(test, feature = "torch"))]
mod tests {
    use super::*;
    use crate::machine::device;

    #[test]
    fn the_loaded_libtorch_says_where_it_lies() {
        // A call, so that the linker keeps the library.
        assert!(!device::devices().is_empty());
        let libtorch = loaded().unwrap();
        assert!(libtorch.folder.join("libtorch_cpu.so").exists());
    }
}
