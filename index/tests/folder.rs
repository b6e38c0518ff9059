//! One writer, and readers that keep their generation.
#![allow(clippy::unwrap_used, clippy::panic, dead_code, reason = "a test fails by it")]

mod golden_copy;

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::time::Duration;

use golden_copy::{copy, edit_manifest, manifest_name};
use quarry_index::folder::{FolderWriter, read_current};
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
    // A writer that died between manifest and CURRENT.
    fs::write(folder.path().join("manifest-7.json"), "{}").unwrap();
    assert_eq!(commit_without_lists(&mut writer), 8);
    writer.collect().unwrap();
    assert!(!names(folder.path()).contains("manifest-7.json"));
}

#[test]
fn collection_touches_our_names_only() {
    let folder = copy();
    let ours = [".new-abc.tmp", "0123456789abcdef0123456789abcdef-tokenizer.json", "left.qry"];
    let theirs = ["notes.txt", "0123-tokenizer.json", "manifest-x.json", "new.tmp"];
    for name in ours.iter().chain(&theirs) {
        fs::write(folder.path().join(name), "x").unwrap();
    }
    fs::create_dir(folder.path().join("build")).unwrap();
    FolderWriter::open(folder.path()).unwrap().collect().unwrap();
    let after = names(folder.path());
    assert!(ours.iter().all(|n| !after.contains(*n)), "{after:?}");
    assert!(theirs.iter().all(|n| after.contains(*n)), "{after:?}");
    assert!(after.contains("build"));
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

#[test]
fn folders_of_something_else() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("thesis.tex"), "x").unwrap();
    assert!(matches!(FolderWriter::open(folder.path()), Err(IndexError::NotAnIndexFolder { .. })));
    assert_eq!(names(folder.path()).len(), 1);
    let file = folder.path().join("thesis.tex");
    assert!(matches!(FolderWriter::open(&file), Err(IndexError::Io { .. })));
    let new = folder.path().join("deep/er");
    assert!(FolderWriter::open(&new).unwrap().current().is_none());
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
