//! Which native code is loaded: never what lies in the current folder, or in a folder above the program;
//! elsewhere a known library only, and in the user's cache only where nobody else may write.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{collection, note, said};

/// The project's own library, if it was fetched.
fn library() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.onnxruntime");
    let found = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let mut found = found.filter(|path| path.to_string_lossy().contains("libonnxruntime."));
    found.next()
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn only_trusted_places_are_looked_at() {
    let Some(library) = library() else {
        return note("skipped: no ONNX Runtime in .onnxruntime/ (make runtime fetches it)");
    };
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let name = library.file_name().unwrap().to_owned();
    let place = |folder: PathBuf| {
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(&name);
        fs::copy(&library, &path).unwrap();
        path
    };
    // As a download may be unpacked: a program in a folder, and work in another.
    fs::create_dir_all(root.join("app/target/bin")).unwrap();
    let program = root.join("app/target/bin/quarry");
    fs::copy(env!("CARGO_BIN_EXE_quarry"), &program).unwrap();
    let here = root.join("work");
    place(here.join(".onnxruntime"));
    place(root.join(".onnxruntime"));
    place(root.join("app/.onnxruntime"));
    place(root.join("app/target/.onnxruntime"));
    place(root.join("app/target/bin/.onnxruntime"));
    let input = collection(&dir);
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/quarry-mini");
    let index = |home: &Path| {
        let mut command = Command::new(&program);
        command.arg("index").arg(&input).arg("--out").arg(root.join("index"));
        command.args(["--overwrite", "--no-tune", "--model"]).arg(&model).current_dir(&here);
        command.env_remove("ORT_DYLIB_PATH").env_remove("XDG_CACHE_HOME");
        command.env_remove("XDG_DATA_HOME").env("HOME", home);
        let output = command.output().unwrap();
        (output.status.success(), said(&output))
    };
    let nobody = root.join("nobody");
    let (done, words) = index(&nobody);
    assert!(!done && words.contains("ONNX Runtime was not found"), "{words}");
    assert!(!words.contains("work"), "the current folder is no place: {words}");
    // A home that hangs on the current folder is none.
    place(here.join(".cache/quarry/onnxruntime"));
    let (done, words) = index(Path::new("."));
    assert!(!done && words.contains("ONNX Runtime was not found"), "{words}");

    // The user's cache, as long as nobody else may write there.
    let home = root.join("home");
    let cached = place(home.join(".cache/quarry/onnxruntime"));
    for folder in [".", ".cache", ".cache/quarry", ".cache/quarry/onnxruntime"] {
        mode(&home.join(folder), 0o755);
    }
    mode(&cached, 0o755);
    let (done, words) = index(&home);
    assert!(done, "{words}");
    for (path, open) in [(home.join(".cache/quarry"), 0o777), (cached.clone(), 0o757)] {
        mode(&path, open);
        let (done, words) = index(&home);
        assert!(!done && words.contains("others may write"), "{words}");
        mode(&path, 0o755);
    }
    // Another file of that name.
    fs::write(&cached, b"\x7fELF another library").unwrap();
    let (done, words) = index(&home);
    assert!(!done && words.contains("not that of a known library"), "{words}");
    assert!(words.contains("ORT_DYLIB_PATH"), "{words}");

    // Beside the program, and in the workspace that it was built in.
    let beside = place(root.join("app/target/bin"));
    assert!(index(&nobody).0);
    fs::remove_file(beside).unwrap();
    fs::write(root.join("app/Cargo.toml"), b"").unwrap();
    assert!(index(&nobody).0);
}
