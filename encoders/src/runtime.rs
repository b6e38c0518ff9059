//! Finding and loading ONNX Runtime's shared library, once a process.
//!
//! Places, in order: `ORT_DYLIB_PATH`; beside the executable; `.onnxruntime/` in the current
//! folder; `.onnxruntime/` in each folder above the executable (`target/release/quarry` thus finds
//! the project's); `$XDG_CACHE_HOME` or `~/.cache`, then `quarry/onnxruntime/`. A library that is
//! unusable is passed over for a later one, except one named by `ORT_DYLIB_PATH`: what was asked
//! for by name is used or refused.
//!
//! `ort` panics or deadlocks when it is left to find a library itself and there is none, hence
//! the probe before it is told of one.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;

use crate::EncoderError;

/// Name of the project's folder of the library.
const FOLDER: &str = ".onnxruntime";

/// The oldest minor version of ONNX Runtime 1 that serves.
pub const OLDEST_RUNTIME_MINOR: u32 = ort::MINOR_VERSION;

/// `ort` knows one library and one environment a process.
static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);

/// The process's ONNX Runtime; the first call finds and loads it. Public for measurements, which run
/// a graph beside an encoder.
///
/// # Errors
/// As [`find_runtime`].
pub fn environment() -> Result<Environment, EncoderError> {
    let mut slot = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(environment) = &*slot {
        return Ok(environment.clone());
    }
    let path = find_runtime()?;
    let failed = |source| EncoderError::Runtime { doing: "starting", source };
    let environment = ort::init_from(&path)
        .map_err(|e| unusable(&path, e.to_string()))?
        .with_name("quarry")
        .with_telemetry(false)
        .build()
        .map_err(failed)?;
    // Its warnings (about devices, about unused initialisers) go to stderr and help nobody here;
    // its errors come back as errors.
    environment.set_log_level(LogLevel::Fatal);
    tracing::debug!(library = %path.display(), "ONNX Runtime loaded");
    *slot = Some(environment.clone());
    Ok(environment)
}

/// The library that would be loaded, checked to be ONNX Runtime of a version that serves.
///
/// # Errors
/// [`EncoderError::RuntimeMissing`] or [`EncoderError::RuntimeUnusable`].
pub fn find_runtime() -> Result<PathBuf, EncoderError> {
    if let Some(named) = env::var_os("ORT_DYLIB_PATH").filter(|v| !v.is_empty()) {
        let path = PathBuf::from(named);
        return usable(&path).map(|()| path);
    }
    let executable = env::current_exe().ok();
    let cache = env::var_os("XDG_CACHE_HOME")
        .filter(|v| !v.is_empty())
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    let folders =
        folders(executable.as_deref(), env::current_dir().ok().as_deref(), cache.as_deref());
    choose(&folders, usable)
}

/// The folders to look in, in order.
fn folders(
    executable: Option<&Path>,
    current: Option<&Path>,
    cache: Option<&Path>,
) -> Vec<PathBuf> {
    let above = executable.and_then(Path::parent);
    let mut folders: Vec<PathBuf> = above.map(Path::to_owned).into_iter().collect();
    folders.extend(current.map(|f| f.join(FOLDER)));
    folders.extend(above.into_iter().flat_map(Path::ancestors).map(|f| f.join(FOLDER)));
    folders.extend(cache.map(|f| f.join("quarry").join("onnxruntime")));
    folders.dedup();
    folders
}

/// The first usable library of `folders`.
fn choose(
    folders: &[PathBuf],
    usable: impl Fn(&Path) -> Result<(), EncoderError>,
) -> Result<PathBuf, EncoderError> {
    let mut refused = None;
    for path in folders.iter().flat_map(|folder| libraries(folder)) {
        match usable(&path) {
            Ok(()) => return Ok(path),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    Err(refused.unwrap_or_else(|| {
        let looked: Vec<String> = folders.iter().map(|f| f.display().to_string()).collect();
        EncoderError::RuntimeMissing { looked: looked.join(", ") }
    }))
}

/// ONNX Runtime's libraries in `folder` by name: none when there is no such folder. An
/// unversioned name comes first, then the highest.
fn libraries(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|path| path.file_name().and_then(OsStr::to_str).is_some_and(is_library))
        .collect();
    found.sort_by(|a, b| (a.as_os_str().len().cmp(&b.as_os_str().len())).then_with(|| b.cmp(a)));
    found
}

fn is_library(name: &str) -> bool {
    if cfg!(windows) {
        name == "onnxruntime.dll"
    } else if cfg!(target_os = "macos") {
        name.starts_with("libonnxruntime.") && name.ends_with(".dylib")
    } else {
        name == "libonnxruntime.so" || name.starts_with("libonnxruntime.so.")
    }
}

fn usable(path: &Path) -> Result<(), EncoderError> {
    match ort::util::probe(path) {
        Some(minor) if minor >= OLDEST_RUNTIME_MINOR => Ok(()),
        Some(minor) => Err(unusable(path, format!("is ONNX Runtime 1.{minor}"))),
        None if !path.exists() => Err(unusable(path, "there is no such file".to_owned())),
        None => Err(unusable(path, "cannot be loaded as ONNX Runtime".to_owned())),
    }
}

fn unusable(path: &Path, found: String) -> EncoderError {
    EncoderError::RuntimeUnusable { path: path.to_owned(), expected: OLDEST_RUNTIME_MINOR, found }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_in_order() {
        let found = folders(
            Some(Path::new("/p/target/release/quarry")),
            Some(Path::new("/here")),
            Some(Path::new("/cache")),
        );
        let want = [
            "/p/target/release",
            "/here/.onnxruntime",
            "/p/target/release/.onnxruntime",
            "/p/target/.onnxruntime",
            "/p/.onnxruntime",
            "/.onnxruntime",
            "/cache/quarry/onnxruntime",
        ];
        assert_eq!(found, want.map(PathBuf::from));
    }

    #[test]
    fn a_usable_library_is_preferred_and_a_refusal_reported() {
        let dir = tempfile::tempdir().unwrap();
        let name = if cfg!(target_os = "macos") {
            "libonnxruntime.1.2.dylib"
        } else if cfg!(windows) {
            "onnxruntime.dll"
        } else {
            "libonnxruntime.so.1.2"
        };
        let folders = ["none", "bad", "good"].map(|f| dir.path().join(f));
        assert!(matches!(choose(&folders, usable), Err(EncoderError::RuntimeMissing { .. })));
        for folder in &folders[1..] {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join(name), b"no library").unwrap();
        }
        let error = choose(&folders, usable).unwrap_err();
        assert!(
            matches!(&error, EncoderError::RuntimeUnusable { path, .. } if path.starts_with(&folders[1]))
        );
        assert!(error.to_string().contains("make build"), "{error}");
        let good = |p: &Path| {
            if p.starts_with(&folders[2]) { Ok(()) } else { Err(unusable(p, "bad".into())) }
        };
        assert_eq!(choose(&folders, good).unwrap(), folders[2].join(name));
    }

    #[test]
    fn the_providers_library_is_not_taken_for_the_runtime() {
        assert!(!is_library("libonnxruntime_providers_shared.so"));
    }
}
