//! Finding and loading ONNX Runtime's shared library, once a process.
//!
//! Places, in order: `ORT_DYLIB_PATH`; beside the program; `.onnxruntime/` in the workspace that the
//! program was built in, if it lies in its `target/`; `quarry/onnxruntime/` in the user's data folder
//! (`$XDG_DATA_HOME` or `~/.local/share`), then in the user's cache (`$XDG_CACHE_HOME` or `~/.cache`). Never the
//! current folder, nor others above the program: who may write there may be anybody, and loading a library
//! runs its code. A library that nobody named is loaded only with a checksum that is known, from the user's
//! folders only where nobody else may write (`trust`). One that is unusable
//! is passed over for a later one, except one named by `ORT_DYLIB_PATH`: what was asked for by name
//! is used or refused.
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
use crate::trust::{others_may_write, unknown};

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
/// [`EncoderError::RuntimeMissing`], [`EncoderError::RuntimeUntrusted`] or
/// [`EncoderError::RuntimeUnusable`].
pub fn find_runtime() -> Result<PathBuf, EncoderError> {
    if let Some(named) = env::var_os("ORT_DYLIB_PATH").filter(|v| !v.is_empty()) {
        let path = PathBuf::from(named);
        return usable(&path).map(|()| path);
    }
    let executable = env::current_exe().ok();
    let cache = user_folder(set("XDG_CACHE_HOME"), set("HOME"), ".cache");
    let users = [data_folder(), cache.map(|folder| folder.join("quarry"))];
    choose(&places(executable.as_deref(), users.into_iter().flatten()), trusted)
}

/// Where the user's installation keeps what belongs to the program: `quarry/` in `$XDG_DATA_HOME`, else in
/// `~/.local/share`. `None` if neither is an absolute path.
#[must_use]
pub fn data_folder() -> Option<PathBuf> {
    let data = user_folder(set("XDG_DATA_HOME"), set("HOME"), ".local/share")?;
    Some(data.join("quarry"))
}

fn set(name: &str) -> Option<PathBuf> {
    env::var_os(name).map(PathBuf::from)
}

/// A folder of the user's: `xdg`, else `below` in `home`. A relative path would be one below the current folder.
fn user_folder(xdg: Option<PathBuf>, home: Option<PathBuf>, below: &str) -> Option<PathBuf> {
    let absolute = |path: &PathBuf| path.is_absolute();
    xdg.filter(absolute).or_else(|| Some(home.filter(absolute)?.join(below)))
}

/// A folder to look in, and whether others must not be able to write to it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    folder: PathBuf,
    private: bool,
}

/// The folders to look in, in order; `users` are the user's own.
fn places(executable: Option<&Path>, users: impl Iterator<Item = PathBuf>) -> Vec<Place> {
    let beside = executable.and_then(Path::parent).map(Path::to_owned);
    let project = executable.and_then(workspace_of).map(|root| root.join(FOLDER));
    let shared = beside.into_iter().chain(project);
    let mut places: Vec<Place> = shared.map(|folder| Place { folder, private: false }).collect();
    places.extend(users.map(|f| Place { folder: f.join("onnxruntime"), private: true }));
    places
}

/// The workspace in whose `target/` a program lies: of `/p/target/release/quarry`, and of a test in
/// `/p/target/release/deps/`, it is `/p`.
#[must_use]
pub fn workspace_of(executable: &Path) -> Option<&Path> {
    let target = executable.ancestors().find(|f| f.file_name() == Some(OsStr::new("target")))?;
    target.parent().filter(|root| root.join("Cargo.toml").is_file())
}

/// Whether a library that nobody named may be loaded, and serves.
fn trusted(path: &Path, private: bool) -> Result<(), EncoderError> {
    if private && let Some(reason) = others_may_write(path) {
        return Err(untrusted(path, reason));
    }
    match unknown(path)? {
        Some(reason) => Err(untrusted(path, reason)),
        None => usable(path),
    }
}

fn untrusted(path: &Path, reason: String) -> EncoderError {
    EncoderError::RuntimeUntrusted { path: path.to_owned(), reason }
}

/// The first usable library of `places`.
fn choose(
    places: &[Place],
    usable: impl Fn(&Path, bool) -> Result<(), EncoderError>,
) -> Result<PathBuf, EncoderError> {
    let mut refused = None;
    for place in places {
        for path in libraries(&place.folder) {
            match usable(&path, place.private) {
                Ok(()) => return Ok(path),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
    }
    Err(refused.unwrap_or_else(|| {
        let looked: Vec<String> = places.iter().map(|p| p.folder.display().to_string()).collect();
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
    fn places_come_in_order_and_none_hangs_on_the_current_folder() {
        let project = tempfile::tempdir().unwrap();
        let root = project.path();
        let shared = |folder: PathBuf| Place { folder, private: false };
        let users = || ["/data/quarry", "/cache/quarry"].map(PathBuf::from).into_iter();
        let own = |folder: &str| Place { folder: folder.into(), private: true };
        let (data, cache) = (own("/data/quarry/onnxruntime"), own("/cache/quarry/onnxruntime"));
        for inner in ["target/release", "target/x86_64-unknown-linux-gnu/debug/deps"] {
            let program = root.join(inner).join("quarry");
            let without = [shared(root.join(inner)), data.clone(), cache.clone()];
            assert_eq!(places(Some(&program), users()), without);
        }
        // A folder that is merely called target is nobody's workspace.
        std::fs::write(root.join("Cargo.toml"), "").unwrap();
        for inner in ["target/release", "target/x86_64-unknown-linux-gnu/debug/deps"] {
            let program = root.join(inner).join("quarry");
            let project = shared(root.join(FOLDER));
            let want = [shared(root.join(inner)), project, data.clone(), cache.clone()];
            assert_eq!(places(Some(&program), users()), want);
        }
        let none = std::iter::empty();
        assert_eq!(places(Some(Path::new("/usr/bin/quarry")), none), [shared("/usr/bin".into())]);
    }

    #[test]
    fn a_relative_folder_is_none() {
        let path = |text: &str| Some(PathBuf::from(text));
        let cache = |xdg, home| user_folder(xdg, home, ".cache");
        assert_eq!(cache(path("/x"), path("/home/a")), path("/x"));
        assert_eq!(cache(None, path("/home/a")), path("/home/a/.cache"));
        assert_eq!(cache(path("x"), path("/home/a")), path("/home/a/.cache"));
        assert_eq!(cache(path(""), path(".")), None);
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
        let places =
            ["none", "bad", "good"].map(|f| Place { folder: dir.path().join(f), private: false });
        assert!(matches!(choose(&places, trusted), Err(EncoderError::RuntimeMissing { .. })));
        for place in &places[1..] {
            std::fs::create_dir(&place.folder).unwrap();
            std::fs::write(place.folder.join(name), b"no library").unwrap();
        }
        // Its checksum is looked at, not what loading it would do.
        let error = choose(&places, trusted).unwrap_err();
        assert!(
            matches!(&error, EncoderError::RuntimeUntrusted { path, .. } if path.starts_with(&places[1].folder)),
            "{error}"
        );
        assert!(error.to_string().contains("ORT_DYLIB_PATH"), "{error}");
        let error = usable(&places[1].folder.join(name)).unwrap_err();
        assert!(matches!(&error, EncoderError::RuntimeUnusable { .. }), "{error}");
        let good = |p: &Path, _| {
            if p.starts_with(&places[2].folder) { Ok(()) } else { Err(unusable(p, "bad".into())) }
        };
        assert_eq!(choose(&places, good).unwrap(), places[2].folder.join(name));
    }

    #[test]
    fn the_providers_library_is_not_taken_for_the_runtime() {
        assert!(!is_library("libonnxruntime_providers_shared.so"));
    }
}
