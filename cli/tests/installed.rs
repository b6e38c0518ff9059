//! A binary that was installed works from anywhere: model and runtime are found in the user's data folder, where
//! `tools/install-data.sh` puts them.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use common::{collection, note, said};

#[test]
fn an_installed_binary_works_from_anywhere() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let runtime = project.join(".onnxruntime");
    if !runtime.is_dir() {
        return note("skipped: no ONNX Runtime in .onnxruntime/ (make runtime fetches it)");
    }
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let (home, work, program) = (root.join("home"), root.join("work"), root.join("bin/quarry"));
    for folder in [&work, &root.join("bin")] {
        fs::create_dir_all(folder).unwrap();
    }
    fs::copy(env!("CARGO_BIN_EXE_quarry"), &program).unwrap();
    let input = collection(&dir);
    let run = |command: &mut Command| -> Output {
        for name in ["ORT_DYLIB_PATH", "XDG_DATA_HOME", "XDG_CACHE_HOME"] {
            command.env_remove(name);
        }
        command.current_dir(&work).env("HOME", &home).output().unwrap()
    };
    let index = || {
        let mut command = Command::new(&program);
        command.arg("index").arg(&input).arg("--out").arg(root.join("index"));
        run(command.args(["--overwrite", "--no-tune"]))
    };
    let before = index();
    assert!(
        !before.status.success() && said(&before).contains("make install"),
        "{}",
        said(&before)
    );

    // The script keeps a library that is there and has the right checksum, so nothing is fetched.
    let libraries = home.join(".local/share/quarry/onnxruntime");
    fs::create_dir_all(&libraries).unwrap();
    for entry in fs::read_dir(&runtime).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_file() {
            fs::copy(entry.path(), libraries.join(entry.file_name())).unwrap();
        }
    }
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    for folder in [".", ".local", ".local/share", ".local/share/quarry"] {
        mode(&home.join(folder), 0o755);
    }
    mode(&libraries, 0o755);
    for entry in fs::read_dir(&libraries).unwrap() {
        mode(&entry.unwrap().path(), 0o755);
    }
    for _ in 0..2 {
        let installed = run(&mut Command::new(project.join("tools/install-data.sh")));
        assert!(installed.status.success(), "{}", said(&installed));
        let done = index();
        assert!(done.status.success(), "{}", said(&done));
    }
    mode(&libraries, 0o777);
    let refused = index();
    assert!(!refused.status.success(), "a folder that anybody may write to is not trusted");
    assert!(said(&refused).contains("others may write"), "{}", said(&refused));
}
