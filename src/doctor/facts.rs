//! Looks at the machine and at this build. Gathers facts and judges none of them.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::disk::free_bytes;
use crate::lock_file::{Range, try_lock_range};
use crate::machine::cgroup;
use crate::machine::device::{self, CudaBackend, DeviceInfo};
use crate::machine::libtorch::{self, Libtorch};
use crate::machine::texts;
use crate::store::{Leftovers, Store};

/// All that `repro doctor` knows before it judges.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The libtorch that this process has loaded; `None` without the `torch` feature.
    pub libtorch: Option<Libtorch>,
    /// The CPU.
    pub processor: Processor,
    /// Main memory; `None` where `/proc/meminfo` cannot be read.
    pub memory: Option<Memory>,
    /// What became of loading CUDA.
    pub cuda: CudaBackend,
    /// The devices that can be computed on.
    pub devices: Vec<DeviceInfo>,
    /// The driver's names of the GPUs, in the order of their bus addresses; CUDA may count them in another.
    pub gpu_models: Vec<String>,
    /// The folder of the store, and its disk.
    pub cache: Folder,
    /// What killed runs left in the store; `None` where it is not a store that can be read.
    pub leftovers: Option<Leftovers>,
    /// The folder that the program was started in.
    pub working: Folder,
    /// The Python on `PATH`; `None` if there is none.
    pub python: Option<Python>,
}

/// The CPU and how much of it this process may use.
#[derive(Debug, Clone)]
pub struct Processor {
    /// As the kernel names it.
    pub model: String,
    /// How many threads can run at once, with limits on this process counted in.
    pub threads: usize,
    /// The kernel's names of what it can do, as in `avx2`.
    pub flags: Vec<String>,
}

/// Main memory, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// All of it.
    pub total: u64,
    /// What this process can have now without swapping.
    pub available: u64,
    /// What its control group leaves it; `None` where that has no limit.
    pub group: Option<u64>,
}

/// A folder, and the disk that it is on.
#[derive(Debug, Clone)]
pub struct Folder {
    /// The folder as it was given; it need not exist yet.
    pub path: PathBuf,
    /// Whether it exists.
    pub exists: bool,
    /// Free bytes for this user; `None` where the system does not report them.
    pub free: Option<u64>,
    /// Why a file in it, or the folder itself, cannot be made; `None` if it can.
    pub obstacle: Option<String>,
    /// Whether files in it can be locked; true where no file can be made.
    pub has_locks: bool,
}

/// The Python on `PATH` and the packages that read the cache.
#[derive(Debug, Clone)]
pub struct Python {
    /// As `platform.python_version()` gives it, such as `3.12.1`.
    pub version: String,
    /// The version of `polars`, if installed.
    pub polars: Option<String>,
    /// The version of `pyarrow`, if installed.
    pub pyarrow: Option<String>,
}

impl Facts {
    /// Gathers everything; `cache` need not exist, and is not made.
    ///
    /// Loads CUDA, and tries to write a nameless file to the cache. Takes a fraction of a second, most of it Python's.
    pub fn gather(cache: &Path) -> Self {
        // Before anything else of libtorch.
        let cuda = device::load_cuda_backend();
        Self {
            libtorch: libtorch::loaded(),
            processor: processor(),
            memory: memory(),
            cuda,
            devices: device::devices(),
            gpu_models: gpu_models(),
            cache: folder(cache),
            leftovers: Store::open_read_only(cache)
                .ok()
                .map(|store| store.leftovers()),
            working: folder(Path::new(".")),
            python: python(),
        }
    }
}

fn processor() -> Processor {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    // x86 and Arm differ in the names of the two fields; Arm often has no model.
    let model = texts::field(&cpuinfo, "model name").unwrap_or(std::env::consts::ARCH);
    let flags = texts::field(&cpuinfo, "flags").or_else(|| texts::field(&cpuinfo, "Features"));
    Processor {
        model: model.to_owned(),
        threads: {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            cgroup::processors().map_or(cores, |group| group.min(cores))
        },
        flags: flags
            .unwrap_or_default()
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
    }
}

fn memory() -> Option<Memory> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let available = texts::memory_bytes(&meminfo, "MemAvailable")?;
    Some(Memory {
        total: texts::memory_bytes(&meminfo, "MemTotal")?,
        available: cgroup::memory().map_or(available, |group| group.min(available)),
        group: cgroup::memory(),
    })
}

fn gpu_models() -> Vec<String> {
    let Ok(entries) = fs::read_dir("/proc/driver/nvidia/gpus") else {
        return Vec::new();
    };
    let mut folders: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    folders.sort();
    let model = |folder: &PathBuf| {
        let information = fs::read_to_string(folder.join("information")).ok()?;
        texts::field(&information, "Model").map(str::to_owned)
    };
    folders.iter().filter_map(model).collect()
}

fn folder(path: &Path) -> Folder {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    // A folder that is still to be made is on the disk of its nearest ancestor.
    let existing = path
        .ancestors()
        .find(|ancestor| ancestor.exists())
        .unwrap_or(&path);
    Folder {
        exists: path.exists(),
        free: free_bytes(existing),
        obstacle: try_writing(existing).err().map(|error| error.to_string()),
        has_locks: has_locks(existing),
        path,
    }
}

/// Permissions, quotas and read-only disks: only writing shows it. The file has no name, so nothing can stay behind.
fn try_writing(folder: &Path) -> std::io::Result<()> {
    tempfile::tempfile_in(folder)?.write_all(b"repro doctor")
}

/// Whether a file in the folder, which has no name, takes both kinds of locks that the cache uses.
fn has_locks(folder: &Path) -> bool {
    let Ok(file) = tempfile::tempfile_in(folder) else {
        return true;
    };
    let of_range = try_lock_range(&file, Range::of_this_process(0));
    of_range.is_ok() && file.try_lock().is_ok()
}

fn python() -> Option<Python> {
    const QUERY: &str = "
import platform
from importlib import metadata
print('python', platform.python_version())
for name in ('polars', 'pyarrow'):
    try:
        print(name, metadata.version(name))
    except metadata.PackageNotFoundError:
        print(name)
";
    let output = Command::new("python3").args(["-c", QUERY]).output().ok()?;
    let listing = String::from_utf8_lossy(&output.stdout);
    Some(Python {
        version: texts::package_version(&listing, "python")?,
        polars: texts::package_version(&listing, "polars"),
        pyarrow: texts::package_version(&listing, "pyarrow"),
    })
}

/// The most memory that this process has had, in bytes; `None` where the system does not report it.
pub fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_still_to_be_made_is_judged_by_its_ancestor_and_not_made() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let found = folder(&path);
        assert_eq!((found.exists, found.obstacle), (false, None));
        assert!(found.free.is_some());
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_in_the_way_is_an_obstacle() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("file");
        fs::File::create(&path).unwrap();
        assert!(folder(&path).obstacle.is_some());
        assert!(folder(&path.join("below")).obstacle.is_some());
    }

    #[test]
    fn this_machine_has_a_processor_and_memory() {
        assert!(processor().threads >= 1);
        let memory = memory().unwrap();
        assert!(0 < memory.available && memory.available <= memory.total);
    }
}
