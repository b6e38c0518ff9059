//! ONNX Runtime's own telemetry stays off.
//!
//! Builds for Linux of 1.30 and later send events to Microsoft, and write to the user's cache and to the folder of
//! temporary files, unless this variable is set when their library is loaded; the runtime's own switch comes too late.
#![allow(unsafe_code, reason = "environment variables")]

const OFF: &str = "ORT_DISABLE_TELEMETRY";

/// To be called first in `main`.
pub(crate) fn off() {
    if std::env::var_os(OFF).is_none() {
        // SAFETY: `main` calls this before anything else, so that no other thread reads the environment.
        unsafe { std::env::set_var(OFF, "1") };
    }
}
