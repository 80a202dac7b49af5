//! ONNX Runtime: a library that is looked for when the first network of an ONNX file is loaded, and that nothing is linked to.
//!
//! The wheel `onnxruntime` has it as `onnxruntime/capi/libonnxruntime.so.VERSION`. The launchers name that file in `ORT_DYLIB_PATH`, the
//! variable that other programs that load ONNX Runtime read, too.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;

use super::OnnxError;
use crate::message::Message;

/// The variable that names the library.
pub const VARIABLE: &str = "ORT_DYLIB_PATH";

/// The library where the variable is not set, which the system's loader looks for.
const LIBRARY: &str = "libonnxruntime.so";

/// The one environment of this process.
static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);

/// The environment in which sessions are made. It tells nobody what is run.
///
/// # Errors
/// The library is not there, is not ONNX Runtime, or is older than 1.24.
pub fn environment() -> Result<Environment, OnnxError> {
    let mut kept = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(environment) = &*kept {
        return Ok(environment.clone());
    }
    let path = std::env::var_os(VARIABLE)
        .filter(|path| !path.is_empty())
        .map_or_else(|| PathBuf::from(LIBRARY), PathBuf::from);
    let builder = ort::init_from(&path).map_err(|error| {
        let message = format!("ONNX Runtime cannot be loaded: {error}");
        let hint = format!(
            "`pip install onnxruntime` has it (1.24 or newer; `onnxruntime-gpu` for CUDA); {VARIABLE} names its `onnxruntime/capi/libonnxruntime.so.…`"
        );
        OnnxError::Runtime(Message::new(message).hint(hint))
    })?;
    let environment = builder
        .with_name("repro")
        .with_telemetry(false)
        .build()
        .map_err(|error| super::network::refused(&error))?;
    *kept = Some(environment.clone());
    Ok(environment)
}
