//! The golden index, copies of it to be spoilt, and ways to spoil them so that checksums still fit.
#![allow(clippy::unwrap_used, clippy::panic, dead_code, reason = "a test fails by it")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use quarry_index::container::hex;
use quarry_index::{Index, IndexError, Verify};
use serde_json::Value;
use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_64;

/// The committed golden index of format 1.
pub(crate) fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/golden-v1")
}

/// The committed index with every kind of part, of the versions written now.
pub(crate) fn whole() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/golden-all")
}

/// A copy of [`golden`] that lives as long as the value.
pub(crate) fn copy() -> TempDir {
    copy_of(&golden())
}

/// The same of [`whole`].
pub(crate) fn copy_whole() -> TempDir {
    copy_of(&whole())
}

/// A copy of an index.
pub(crate) fn copy_of(from: &Path) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in names_in(from) {
        fs::copy(from.join(&name), folder.path().join(&name)).unwrap();
    }
    folder
}

/// All files of an index.
pub(crate) fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The file of a kind of part of [`golden`].
pub(crate) fn file_of(kind: &str) -> String {
    file_in(&golden(), kind)
}

/// The file of a kind of part of an index.
pub(crate) fn file_in(folder: &Path, kind: &str) -> String {
    let index = Index::open(folder, Verify::Envelope).unwrap();
    index.manifest().parts().find(|p| p.kind == kind).unwrap().file.clone()
}

/// The kinds of parts that an index has.
pub(crate) fn kinds(folder: &Path) -> BTreeSet<String> {
    let index = Index::open(folder, Verify::Envelope).unwrap();
    index.manifest().parts().map(|part| part.kind.clone()).collect()
}

/// Opens with every byte checked; the error if that is refused.
pub(crate) fn refusal(folder: &Path) -> Option<IndexError> {
    Index::open(folder, Verify::Full).err()
}

/// Rewrites the manifest and the lines of CURRENT that describe it.
pub(crate) fn edit_manifest(folder: &Path, edit: impl FnOnce(&mut Value)) {
    let path = folder.join(manifest_name(folder));
    let mut manifest = json(&path);
    edit(&mut manifest);
    let bytes = serde_json::to_vec_pretty(&manifest).unwrap();
    fs::write(&path, &bytes).unwrap();
    let current = folder.join("CURRENT");
    let mut value = json(&current);
    value["bytes"] = bytes.len().into();
    value["checksum"] = hex(xxh3_64(&bytes)).into();
    fs::write(current, serde_json::to_vec_pretty(&value).unwrap()).unwrap();
}

/// Visits every entry of a part in a manifest.
pub(crate) fn each_part(manifest: &mut Value, mut visit: impl FnMut(&mut Value)) {
    manifest["assets"].as_array_mut().unwrap().iter_mut().for_each(&mut visit);
    for segment in manifest["segments"].as_array_mut().unwrap() {
        segment["parts"].as_array_mut().unwrap().iter_mut().for_each(&mut visit);
    }
}

/// Gives a part other bytes; its checksum, the manifest and CURRENT are made to fit.
pub(crate) fn replace_part(folder: &Path, kind: &str, bytes: &mut [u8]) {
    let end = bytes.len() - 8;
    let checksum = xxh3_64(&bytes[..end]);
    bytes[end..].copy_from_slice(&checksum.to_le_bytes());
    edit_manifest(folder, |manifest| {
        each_part(manifest, |part| {
            if part["kind"] == kind {
                part["bytes"] = bytes.len().into();
                part["checksum"] = hex(checksum).into();
                fs::write(folder.join(part["file"].as_str().unwrap()), &bytes).unwrap();
            }
        });
    });
}

pub(crate) fn manifest_name(folder: &Path) -> String {
    json(&folder.join("CURRENT"))["manifest"].as_str().unwrap().to_owned()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}
