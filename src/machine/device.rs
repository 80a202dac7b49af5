//! Devices: which one was asked for, which devices there are, and how CUDA comes in.
//!
//! The binary links to the CPU half of libtorch only (`build.rs` says why). [`load_cuda_backend`] loads the CUDA
//! half while the program runs; libtorch registers it by itself. That has to happen before the first call of
//! libtorch, since libtorch settles on its backends then.
//!
//! Everything here compiles without the `torch` feature too, so that arguments can be checked and `repro doctor`
//! can say what is missing; then there are no devices.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// The device that was asked for, by `--device` or in an experiment file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// The first GPU where there is one, else the CPU. Written `auto`.
    #[default]
    Auto,
    /// The CPU. Written `cpu`.
    Cpu,
    /// The GPU with this index, counted from 0 among those that `CUDA_VISIBLE_DEVICES` leaves visible.
    /// Written `cuda:1`, or `cuda` for `cuda:0`.
    Cuda(usize),
}

/// Why a device is not available.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The text does not name a device.
    #[error(
        "unknown device `{text}`; write `auto`, `cpu`, `cuda` or `cuda:<index>`, as in `cuda:0`"
    )]
    Unknown {
        /// The device as it was typed.
        text: String,
    },
    /// GPUs are to be pretended, and nobody can tell which.
    #[error("{0}")]
    Pretended(String),
    /// A GPU was asked for, and CUDA did not come in.
    #[error(
        "device `{choice}` was asked for, but {reason}; use `cpu` or `auto`, or see `repro doctor`"
    )]
    NoCuda {
        /// The GPU that was asked for.
        choice: DeviceChoice,
        /// Why there is no CUDA.
        reason: CudaBackend,
    },
    /// A GPU was asked for that is not among the visible ones.
    #[error(
        "device `{choice}` was asked for, but {count} GPUs are visible, counted from 0; \
         check the index and the variable CUDA_VISIBLE_DEVICES"
    )]
    NoSuchGpu {
        /// The GPU that was asked for.
        choice: DeviceChoice,
        /// How many GPUs are visible.
        count: usize,
    },
}

/// What became of loading libtorch's CUDA half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CudaBackend {
    /// It is loaded. Whether a GPU is visible is another matter: see [`devices`].
    Loaded,
    /// This machine has no NVIDIA driver, so nothing was tried.
    NoDriver,
    /// There is a driver, but a library is missing or does not fit; the dynamic loader's own words.
    MissingLibrary(String),
    /// The program was built without the `torch` feature.
    NotBuiltIn,
}

/// A device that this process can compute on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceInfo {
    /// How to ask for it; never [`DeviceChoice::Auto`].
    pub choice: DeviceChoice,
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => write!(formatter, "auto"),
            Self::Cpu => write!(formatter, "cpu"),
            Self::Cuda(index) => write!(formatter, "cuda:{index}"),
        }
    }
}

impl fmt::Display for CudaBackend {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loaded => write!(formatter, "CUDA is loaded"),
            Self::NoDriver => write!(formatter, "this machine has no NVIDIA driver"),
            Self::MissingLibrary(message) => write!(
                formatter,
                "libtorch's CUDA libraries do not load ({message})"
            ),
            Self::NotBuiltIn => write!(
                formatter,
                "the program was built without the `torch` feature"
            ),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let unknown = || DeviceError::Unknown {
            text: text.to_owned(),
        };
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => {
                let index = text.strip_prefix("cuda:").ok_or_else(unknown)?;
                // `parse` alone would take `+1`.
                if !index.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(unknown());
                }
                index.parse().map(Self::Cuda).map_err(|_| unknown())
            }
        }
    }
}

/// Reads `auto`, `cpu`, `cuda` or `cuda:<index>`; fit to be a value parser of the command line.
///
/// # Errors
/// [`DeviceError::Unknown`] for any other text. Whether the device exists is only seen when it is resolved.
pub fn parse_device(text: &str) -> Result<DeviceChoice, DeviceError> {
    text.parse()
}

/// Whether this machine has an NVIDIA driver, whether or not libtorch can use it.
pub fn has_nvidia_driver() -> bool {
    Path::new("/proc/driver/nvidia/version").exists() || driver_library().is_ok()
}

/// A device as libtorch knows it.
#[cfg(feature = "torch")]
pub type Device = tch::Device;

#[cfg(feature = "torch")]
pub use with_torch::{devices, free_memory, libtorch_version, load_cuda_backend, name};

#[cfg(feature = "torch")]
use with_torch::driver_library;

#[cfg(feature = "torch")]
mod with_torch {
    use std::sync::OnceLock;

    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_LOCAL, RTLD_NOW};

    use super::{CudaBackend, DeviceChoice, DeviceError, DeviceInfo, has_nvidia_driver};
    use crate::machine::pretended::pretended;

    /// Loads libtorch's CUDA half if there is an NVIDIA driver; does it once and remembers what came of it.
    ///
    /// To be called before anything else of libtorch. Takes no time without a driver.
    pub fn load_cuda_backend() -> CudaBackend {
        static BACKEND: OnceLock<CudaBackend> = OnceLock::new();
        let load = || {
            if !has_nvidia_driver() {
                return CudaBackend::NoDriver;
            }
            // Asked first: a container often sees the driver's /proc entry without its library, and the name of
            // that library says more than the name of the one that needs it.
            match driver_library().and_then(|_| load_for_good("libtorch_cuda.so")) {
                Ok(()) => CudaBackend::Loaded,
                Err(message) => CudaBackend::MissingLibrary(message),
            }
        };
        BACKEND.get_or_init(load).clone()
    }

    /// The devices that this process can compute on: the CPU first, then the visible GPUs.
    pub fn devices() -> Vec<DeviceInfo> {
        let gpus = (0..visible_gpus()).map(DeviceChoice::Cuda);
        std::iter::once(DeviceChoice::Cpu)
            .chain(gpus)
            .map(|choice| DeviceInfo { choice })
            .collect()
    }

    impl DeviceChoice {
        /// The device to hand to libtorch. Loads the CUDA half if need be.
        ///
        /// # Errors
        /// [`DeviceError::NoCuda`] or [`DeviceError::NoSuchGpu`] if a GPU was asked for that is not available. A
        /// choice of `auto` always works.
        pub fn resolve(self) -> Result<tch::Device, DeviceError> {
            if let Some(sizes) = pretended().map_err(DeviceError::Pretended)? {
                return match self {
                    Self::Cuda(index) if index >= sizes.len() => Err(DeviceError::NoSuchGpu {
                        choice: self,
                        count: sizes.len(),
                    }),
                    _ => Ok(tch::Device::Cpu),
                };
            }
            let backend = load_cuda_backend();
            let count = visible_gpus();
            match self {
                Self::Cpu => Ok(tch::Device::Cpu),
                Self::Auto if count == 0 => Ok(tch::Device::Cpu),
                Self::Auto => Ok(tch::Device::Cuda(0)),
                Self::Cuda(_) if backend != CudaBackend::Loaded => Err(DeviceError::NoCuda {
                    choice: self,
                    reason: backend,
                }),
                Self::Cuda(index) if index >= count => Err(DeviceError::NoSuchGpu {
                    choice: self,
                    count,
                }),
                Self::Cuda(index) => Ok(tch::Device::Cuda(index)),
            }
        }
    }

    impl DeviceChoice {
        /// Bytes of memory that its GPU has left, pretended or not; `None` for the CPU. `device` is what it was resolved to.
        pub fn memory(self, device: tch::Device) -> Option<u64> {
            match (self, pretended()) {
                (Self::Cuda(index), Ok(Some(sizes))) => sizes.get(index).copied(),
                _ => free_memory(device),
            }
        }
    }

    /// What artifacts and reports call a device: `cpu` or `cuda:0`.
    pub fn name(device: tch::Device) -> String {
        match device {
            tch::Device::Cuda(index) => format!("cuda:{index}"),
            _ => "cpu".to_owned(),
        }
    }

    /// Bytes of memory that a GPU has left; `None` for the CPU, and where CUDA's runtime does not report it.
    pub fn free_memory(device: tch::Device) -> Option<u64> {
        type MemGetInfo = unsafe extern "C" fn(*mut usize, *mut usize) -> std::ffi::c_int;
        let tch::Device::Cuda(index) = device else {
            return None;
        };
        // Makes the GPU that is asked about this thread's current one, as any tensor on it does.
        let _ = tch::Tensor::zeros([1], (tch::Kind::Float, tch::Device::Cuda(index)));
        let process = Library::this();
        let (mut free, mut total) = (0, 0);
        #[expect(unsafe_code, reason = "there is no safe way to call a loaded library")]
        // SAFETY: `cudaMemGetInfo` of libcudart has this signature and only writes the two sizes.
        let status = unsafe {
            let get_info = process.get::<MemGetInfo>(b"cudaMemGetInfo\0").ok()?;
            get_info(&raw mut free, &raw mut total)
        };
        (status == 0).then(|| u64::try_from(free).unwrap_or(u64::MAX))
    }

    /// The version of libtorch as its own folder states it; `unknown` where it does not.
    pub fn libtorch_version() -> String {
        crate::machine::libtorch::loaded()
            .and_then(|libtorch| libtorch.version)
            .unwrap_or_else(|| "unknown".to_owned())
    }

    fn visible_gpus() -> usize {
        if load_cuda_backend() != CudaBackend::Loaded || !tch::Cuda::is_available() {
            return 0;
        }
        crate::numbers::from_i64(tch::Cuda::device_count())
    }

    /// The driver's own library, or the dynamic loader's words on why it does not load.
    pub(super) fn driver_library() -> Result<Library, String> {
        open("libcuda.so.1", RTLD_NOW | RTLD_LOCAL)
    }

    /// Loads a library with its symbols visible to all others, and never unloads it.
    pub(super) fn load_for_good(name: &str) -> Result<(), String> {
        let library = open(name, RTLD_NOW | RTLD_GLOBAL)?;
        // What it registers with libtorch while loading has to stay valid until the process ends.
        std::mem::forget(library);
        Ok(())
    }

    #[expect(unsafe_code, reason = "there is no safe way to load a library")]
    fn open(name: &str, flags: std::ffi::c_int) -> Result<Library, String> {
        // SAFETY: loading runs the library's constructors. Those of libcuda and libtorch_cuda are made to run at
        // any time in a process that links to libtorch_cpu, and ask nothing of their caller.
        unsafe { Library::open(Some(name), flags) }.map_err(|error| {
            // The error itself only says that loading failed; its source names the library that is missing.
            std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string)
        })
    }
}

/// Without the `torch` feature there is nothing to load.
#[cfg(not(feature = "torch"))]
pub fn load_cuda_backend() -> CudaBackend {
    CudaBackend::NotBuiltIn
}

/// Without the `torch` feature nothing can be computed, so there are no devices.
#[cfg(not(feature = "torch"))]
pub fn devices() -> Vec<DeviceInfo> {
    Vec::new()
}

/// Without the loader of libraries only the driver's entry under /proc shows it.
#[cfg(not(feature = "torch"))]
fn driver_library() -> Result<(), String> {
    Err(CudaBackend::NotBuiltIn.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_device_reads_back_as_written() {
        for choice in [
            DeviceChoice::Auto,
            DeviceChoice::Cpu,
            DeviceChoice::Cuda(0),
            DeviceChoice::Cuda(12),
        ] {
            assert_eq!(parse_device(&choice.to_string()), Ok(choice));
        }
        assert_eq!(parse_device("cuda"), Ok(DeviceChoice::Cuda(0)));
    }

    #[test]
    fn other_texts_are_refused_with_the_text_and_a_remedy() {
        for text in [
            "",
            "gpu",
            "CPU",
            " cpu",
            "cuda:",
            "cuda:-1",
            "cuda:+1",
            "cuda:1a",
            "cuda0",
            "cuda:99999999999999999999",
        ] {
            let error = parse_device(text).unwrap_err();
            assert_eq!(
                error,
                DeviceError::Unknown {
                    text: text.to_owned()
                }
            );
            assert!(error.to_string().contains("cuda:0"), "{error}");
        }
    }

    #[cfg(feature = "torch")]
    #[test]
    fn the_cpu_is_always_there_and_comes_first() {
        assert_eq!(devices()[0].choice, DeviceChoice::Cpu);
        assert_eq!(DeviceChoice::Cpu.resolve(), Ok(tch::Device::Cpu));
        assert!(DeviceChoice::Auto.resolve().is_ok());
    }

    #[cfg(feature = "torch")]
    #[test]
    fn a_gpu_beyond_the_visible_ones_is_an_error() {
        let choice = DeviceChoice::Cuda(1000);
        let message = choice.resolve().unwrap_err().to_string();
        assert!(message.contains("cuda:1000"), "{message}");
        let expected = match load_cuda_backend() {
            CudaBackend::Loaded => "CUDA_VISIBLE_DEVICES",
            _ => "repro doctor",
        };
        assert!(message.contains(expected), "{message}");
    }

    #[cfg(feature = "torch")]
    #[test]
    fn a_missing_library_is_named() {
        let message = with_torch::load_for_good("libno_such_library.so").unwrap_err();
        assert!(message.contains("libno_such_library.so"), "{message}");
    }
}
