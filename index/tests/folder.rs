//! One writer, and readers that keep their generation.
#![allow(clippy::unwrap_used, clippy::panic, dead_code, reason = "a test fails by it")]

mod golden_copy;

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::time::Duration;

use golden_copy::{copy, edit_manifest, manifest_name};
use quarry_index::folder::{FolderWriter, Mark, read_current};
use quarry_index::{Index, IndexError, Verify};

fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// Commits the current manifest once more, without its optional lists.
fn commit_without_lists(writer: &mut FolderWriter) -> u64 {
    let mut manifest = writer.current().unwrap().clone();
    manifest.segments[0].parts.retain(|p| p.kind != "seismic");
    writer.commit(manifest).unwrap().generation
}

#[test]
fn a_held_generation_is_kept_and_then_collected() {
    let folder = copy();
    let reader = Index::open(folder.path(), Verify::Full).unwrap();
    let before = names(folder.path());
    let mut writer = FolderWriter::open(folder.path()).unwrap();
    assert_eq!(commit_without_lists(&mut writer), 4);
    writer.collect().unwrap();
    let held = names(folder.path());
    assert!(before.is_subset(&held));
    assert!(reader.segments()[0].seismic().unwrap().view().is_ok());
    assert!(Index::open(folder.path(), Verify::Full).unwrap().segments()[0].seismic().is_none());
    drop(reader);
    writer.collect().unwrap();
    let after = names(folder.path());
    assert!(!after.contains("manifest-3.json"));
    assert!(!after.iter().any(|n| n.ends_with("seismic.qry")));
    assert!(Index::open(folder.path(), Verify::Full).is_ok());
}

#[test]
fn generations_are_never_numbered_twice() {
    let folder = copy();
    let mut writer = FolderWriter::open(folder.path()).unwrap();
    // A writer that died between manifest and CURRENT; and a manifest of somebody else's.
    let ours = fs::read(folder.path().join(manifest_name(folder.path()))).unwrap();
    fs::write(folder.path().join("manifest-7.json"), ours).unwrap();
    fs::write(folder.path().join("manifest-8.json"), "{\"name\": \"an app\"}").unwrap();
    assert_eq!(commit_without_lists(&mut writer), 9);
    writer.collect().unwrap();
    let after = names(folder.path());
    assert!(!after.contains("manifest-7.json") && after.contains("manifest-8.json"), "{after:?}");
}

#[test]
fn collection_touches_our_names_only() {
    let folder = copy();
    let ours = [
        ".new-abcDE1.tmp",
        "0123456789abcdef0123456789abcdef-tokenizer.json",
        "0123456789abcdef0123456789abcdef-forward.qry",
        "0123456789abcdef0123456789abcdef-deleted-0123456789abcdef0123456789abcdef.qry",
    ];
    let theirs = [
        "notes.txt",
        "left.qry",
        ".new-abc.tmp",
        "0123-tokenizer.json",
        "0123456789abcdef0123456789abcdef-notes.qry",
        "0123456789ABCDEF0123456789ABCDEF-forward.qry",
        "manifest-x.json",
        "manifest-+3.json",
        "manifest-9.json",
        "new.tmp",
    ];
    for name in ours.iter().chain(&theirs) {
        fs::write(folder.path().join(name), "x").unwrap();
    }
    fs::create_dir(folder.path().join("build")).unwrap();
    FolderWriter::open(folder.path()).unwrap().collect().unwrap();
    let after = names(folder.path());
    assert!(ours.iter().all(|n| !after.contains(*n)), "{after:?}");
    assert!(theirs.iter().all(|n| after.contains(*n)), "{after:?}");
    assert!(after.contains("build"));
    // A folder or a link is no file of ours, whatever it is called.
    let id = "00112233445566778899aabbccddeeff";
    fs::create_dir(folder.path().join(format!("{id}-text.qry"))).unwrap();
    FolderWriter::open(folder.path()).unwrap().collect().unwrap();
    assert!(names(folder.path()).contains(&format!("{id}-text.qry")));
}

#[test]
fn one_writer() {
    let folder = copy();
    let first = FolderWriter::open(folder.path()).unwrap();
    assert!(matches!(FolderWriter::open(folder.path()), Err(IndexError::Locked { .. })));
    assert!(Index::open(folder.path(), Verify::Full).is_ok());
    drop(first);
    assert!(FolderWriter::open(folder.path()).is_ok());
}

/// Without an index a folder is taken if it is empty, or carries the mark of an unfinished build.
#[test]
fn folders_of_something_else() {
    let nothing = |_: &Path| Mark::Nothing;
    let foreign = |error: Result<FolderWriter, IndexError>| match error {
        Err(IndexError::NotAnIndexFolder { found, .. }) => found,
        other => panic!("{other:?}"),
    };
    for name in
        ["thesis.tex", "x.qry", "manifest-7.json", "0123456789abcdef0123456789abcdef-forward.qry"]
    {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), "x").unwrap();
        assert_eq!(foreign(FolderWriter::create(folder.path(), &nothing)), name);
        assert_eq!(names(folder.path()).len(), 1, "nothing is left there");
        let file = folder.path().join(name);
        assert!(matches!(FolderWriter::create(&file, &nothing), Err(IndexError::Io { .. })));
        // What an unfinished build marks is ours, whatever lies beside it.
        fs::create_dir(folder.path().join("build")).unwrap();
        assert_eq!(foreign(FolderWriter::create(folder.path(), &nothing)), name);
        let marked = |_: &Path| Mark::Foreign;
        assert!(matches!(
            FolderWriter::create(folder.path(), &marked),
            Err(IndexError::NotAnIndexFolder { .. })
        ));
        assert!(FolderWriter::create(folder.path(), &|_| Mark::Ours).is_ok());
    }
    // A lock that says something is no lock of ours.
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("LOCK"), "db").unwrap();
    assert_eq!(foreign(FolderWriter::create(folder.path(), &nothing)), "LOCK");
    fs::write(folder.path().join("LOCK"), "").unwrap();
    assert!(FolderWriter::create(folder.path(), &nothing).is_ok());
    let new = folder.path().join("deep/er");
    assert!(FolderWriter::create(&new, &nothing).unwrap().current().is_none());
    // The CURRENT of another program is not ours to read, and nothing is made beside it.
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("CURRENT"), "MANIFEST-000001\n").unwrap();
    for opened in [FolderWriter::open(folder.path()), FolderWriter::create(folder.path(), &nothing)]
    {
        assert!(matches!(opened, Err(IndexError::Foreign { .. })), "{opened:?}");
    }
    assert_eq!(names(folder.path()).len(), 1);
}

/// Who changes an index makes none, nor a folder.
#[test]
fn only_a_build_makes_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let lacking = folder.path().join("lacking");
    assert!(matches!(FolderWriter::open(&lacking), Err(IndexError::NoFolder { .. })));
    assert!(matches!(read_current(&lacking), Err(IndexError::NoFolder { .. })));
    assert!(matches!(FolderWriter::open(folder.path()), Err(IndexError::NoIndex { .. })));
    assert!(names(folder.path()).is_empty());
}

#[cfg(unix)]
#[test]
fn files_follow_the_umask() {
    use std::os::unix::fs::PermissionsExt;
    let folder = copy();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    // A file made plainly shows what the umask leaves.
    let plain = folder.path().join("plain");
    fs::write(&plain, "").unwrap();
    let mut writer = FolderWriter::open(folder.path()).unwrap();
    commit_without_lists(&mut writer);
    for name in ["CURRENT", "manifest-4.json"] {
        assert_eq!(mode(&folder.path().join(name)), mode(&plain), "{name}");
    }
    let part = folder.path().join("part");
    quarry_index::container::PartWriter::create(&part, "documents", 1).unwrap().finish(0).unwrap();
    assert_eq!(mode(&part), mode(&plain));
}

#[test]
fn a_damaged_index_is_not_written_over() {
    let folder = copy();
    let path = folder.path().join(manifest_name(folder.path()));
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert!(matches!(FolderWriter::open(folder.path()), Err(IndexError::Checksum { .. })));
    let folder = copy();
    edit_manifest(folder.path(), |manifest| manifest["format"] = 2.into());
    assert!(matches!(FolderWriter::open(folder.path()), Err(IndexError::Version { .. })));
}

/// A collector looks at a manifest by locking it. A reader that comes at that moment waits and has
/// its lease afterwards.
#[test]
fn a_reader_waits_for_a_collector() {
    let folder = copy();
    let manifest = folder.path().join(manifest_name(folder.path()));
    let collector = File::open(&manifest).unwrap();
    collector.try_lock().unwrap();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| read_current(folder.path()).unwrap());
        std::thread::sleep(Duration::from_millis(100));
        collector.unlock().unwrap();
        let (_, lease) = reader.join().unwrap();
        let other = File::open(&manifest).unwrap();
        assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
        drop(lease);
        other.try_lock().unwrap();
    });
}

/// Readers that open while generations come and go always get a whole one.
#[test]
fn readers_beside_a_busy_writer() {
    let folder = copy();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut writer = FolderWriter::open(folder.path()).unwrap();
            for _ in 0..40 {
                let manifest = writer.current().unwrap().clone();
                writer.commit(manifest).unwrap();
                writer.collect().unwrap();
            }
            done.store(true, std::sync::atomic::Ordering::Release);
        });
        while !done.load(std::sync::atomic::Ordering::Acquire) {
            let index = Index::open(folder.path(), Verify::Envelope).unwrap();
            assert_eq!(index.manifest().documents(), 12);
        }
    });
    assert!(Index::open(folder.path(), Verify::Full).is_ok());
}
