//! Full disks, limited file sizes and read-only folders.
//!
//! The limits apply to a whole process, so each build runs in its own: this test binary again, with the
//! test `child` and its task in the environment.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, dead_code, reason = "a panic fails the test")]

mod collection;

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::{Command, Output};

use collection::{assert_same, build_all, contents, expected_names, names, options, vectors};
use quarry_index::{Index, IndexError, Verify};
use quarry_indexer::{BuildError, BuildOptions};
use serde_json::json;
use tempfile::tempdir;

/// The child's task: `replace` or `replace-and-compare`.
const TASK: &str = "QUARRY_TEST_TASK";
const FOLDER: &str = "QUARRY_TEST_FOLDER";
/// Documents of the old index; the next constant is those of the new one.
const OLD: u64 = 60;
const NEW: u64 = 3_000;

fn note(text: &str) {
    // Directly to stderr, since the test harness hides the output of passing tests.
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn old_options(out: &Path) -> BuildOptions {
    BuildOptions { source: json!("old"), ..options(out) }
}

fn new_options(out: &Path) -> BuildOptions {
    {
        let mut built = options(out);
        built.overwrite = true;
        built.ingest.shard_documents = 1_000;
        built
    }
}

#[test]
#[ignore = "run by the others, in a process of its own"]
fn child() {
    let Some(task) = std::env::var_os(TASK) else { return };
    let folder = std::env::var_os(FOLDER).unwrap();
    let folder = Path::new(&folder);
    let compare = task == "replace-and-compare";
    if compare {
        build_all(vectors(OLD), None, &old_options(folder)).unwrap();
    }
    let before = contents(folder);
    match build_all(vectors(NEW), None, &new_options(folder)) {
        Ok(report) => println!("built {} documents", report.documents),
        Err(error) => {
            println!("refused: {error}; {error:?}");
            assert!(contents(folder) == before, "the old index changed");
            println!("the old index is whole");
        }
    }
}

/// Runs the child through `sh -c SCRIPT`, which ends with `exec "$@"`; `namespace` gives it its own mount
/// namespace.
fn run_child(task: &str, folder: &Path, script: &str, namespace: bool) -> Output {
    let mut command = Command::new(if namespace { "unshare" } else { "sh" });
    if namespace {
        command.args(["-rm", "sh"]);
    }
    command.arg("-c").arg(script).arg("sh").arg(std::env::current_exe().unwrap());
    command.args(["child", "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(TASK, task).env(FOLDER, folder).env("TMPDIR", folder);
    command.output().unwrap()
}

/// The child's output; fails if the child ended other than with a result or an error.
#[track_caller]
fn told(output: &Output, what: &str) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {:?}\n{text}\n{errors}", output.status);
    text
}

/// Whether this system allows mounting in a new namespace.
fn may_mount(folder: &Path) -> bool {
    let script = "mount -t tmpfs -o size=64k tmpfs \"$0\"";
    let made = Command::new("unshare").args(["-rm", "sh", "-c", script]).arg(folder).output();
    made.is_ok_and(|o| o.status.success())
}

/// Files may not exceed a size, so a write is refused. Whichever file it is, the build fails with the
/// path and the system's message, the old index is intact, and the build can be resumed.
#[test]
fn files_that_may_not_grow() {
    let whole = tempdir().unwrap();
    build_all(vectors(NEW), None, &new_options(whole.path())).unwrap();
    let mut refused = 0;
    let mut files = std::collections::BTreeSet::new();
    for blocks in (0u32..).map(|step| if step < 4 { step } else { 1 << (step - 2) }) {
        let out = tempdir().unwrap();
        build_all(vectors(OLD), None, &old_options(out.path())).unwrap();
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
        let text = told(&run_child("replace", out.path(), &script, false), &blocks.to_string());
        if text.contains("built 3000 documents") {
            break;
        }
        refused += 1;
        assert!(text.contains("refused: ") && text.contains("File too large"), "{blocks}: {text}");
        assert!(text.contains("the old index is whole"), "{blocks}: {text}");
        let named = text.split("refused: ").nth(1).unwrap().split(": ").next().unwrap();
        assert!(named.starts_with(out.path().to_str().unwrap()), "{blocks}: {text}");
        files.insert(named.rsplit(['-', '/']).next().unwrap().to_owned());
        let resume = BuildOptions { resume: true, ..new_options(out.path()) };
        let report = build_all(vectors(NEW), None, &resume).unwrap();
        assert_eq!(report.documents, NEW);
        assert_same(whole.path(), out.path());
        assert_eq!(names(out.path()), expected_names(out.path()));
    }
    assert!(refused > 5, "{refused} builds were refused");
    assert!(files.len() > 2, "the limit met few files: {files:?}");
}

/// A file system that becomes full, at many sizes.
#[test]
fn a_disk_that_fills_up() {
    let folder = tempdir().unwrap();
    if !may_mount(folder.path()) {
        note("skipped: a_disk_that_fills_up needs `unshare -rm` to mount a small tmpfs");
        return;
    }
    let mut refused = 0;
    for step in 0.. {
        let kib = 320 + 96 * step;
        let script = format!("mount -t tmpfs -o size={kib}k tmpfs \"${FOLDER}\" && exec \"$@\"");
        let text = told(
            &run_child("replace-and-compare", folder.path(), &script, true),
            &format!("{kib} KiB"),
        );
        if text.contains("built 3000 documents") {
            break;
        }
        refused += 1;
        assert!(text.contains("No space left on device"), "{kib} KiB: {text}");
        assert!(text.contains("the old index is whole"), "{kib} KiB: {text}");
    }
    assert!(refused > 5, "{refused} builds were refused");
}

/// In a folder that can be read but not written, an index is searched and a build says why it fails.
#[test]
fn a_read_only_folder() {
    use std::os::unix::fs::PermissionsExt;
    let out = tempdir().unwrap();
    build_all(vectors(OLD), None, &old_options(out.path())).unwrap();
    let before = contents(out.path());
    let set = |mode| fs::set_permissions(out.path(), fs::Permissions::from_mode(mode)).unwrap();
    set(0o555);
    let binds = fs::write(out.path().join("probe"), "x").is_err();
    if binds {
        let error = build_all(vectors(OLD), None, &new_options(out.path())).unwrap_err();
        assert_eq!(io_kind(&error), ErrorKind::PermissionDenied, "{error:?}");
        assert!(contents(out.path()) == before);
    } else {
        fs::remove_file(out.path().join("probe")).unwrap();
    }
    set(0o755);
    if binds {
        return;
    }
    // Root ignores permissions, but not a file system mounted read-only.
    let script = format!(
        "mount --bind \"${FOLDER}\" \"${FOLDER}\" && mount -o remount,ro,bind \"${FOLDER}\" && exec \"$@\""
    );
    if !may_mount(out.path()) {
        note("skipped: a_read_only_folder needs a user other than root, or `unshare -rm`");
        return;
    }
    let text = told(&run_child("replace", out.path(), &script, true), "read-only");
    assert!(text.contains("refused: ") && text.contains("Read-only file system"), "{text}");
    assert!(text.contains("the old index is whole"), "{text}");
}

/// Paths at which no folder can be created.
#[test]
fn folders_that_cannot_be_made() {
    let folder = tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "mine").unwrap();
    for out in [file.clone(), file.join("below")] {
        let error = build_all(vectors(OLD), None, &options(&out)).unwrap_err();
        assert!(
            matches!(io_kind(&error), ErrorKind::NotADirectory | ErrorKind::AlreadyExists),
            "{error:?}"
        );
        assert!(Index::open(&out, Verify::Full).is_err());
    }
    assert_eq!(fs::read(&file).unwrap(), b"mine");
}

fn io_kind(error: &BuildError) -> ErrorKind {
    match error {
        BuildError::Index(IndexError::Io { source, .. }) => source.kind(),
        other => panic!("{other:?}"),
    }
}
