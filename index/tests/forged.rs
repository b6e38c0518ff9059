//! Indexes whose checksums are right and whose words are lies: manifests that count wrongly or name
//! something twice, what is no file, token embeddings that are no numbers.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod golden_copy;

use std::fs;
use std::path::Path;

use golden_copy::{copy, edit_manifest, file_of, manifest_name, refusal};
use quarry_index::container::Part;
use quarry_index::folder::FolderWriter;
use quarry_index::tokens::{Centroids, Form, TokenStore, TokensOptions, TokensWriter};
use quarry_index::{IndexError, Verify};
use quarry_vectors::TokenEmbeddings;
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

#[test]
fn a_manifest_that_lies_is_refused() {
    type Edit = fn(&mut Value);
    let lies: [(&str, Edit); 11] = [
        ("another generation", |m| m["generation"] = 2.into()),
        ("a generation of 64 bits", |m| m["generation"] = u64::MAX.into()),
        ("documents 0", |m| m["segments"][0]["documents"] = 0.into()),
        ("documents 11", |m| m["segments"][0]["documents"] = 11.into()),
        ("documents of 64 bits", |m| m["segments"][0]["documents"] = u64::MAX.into()),
        ("rows of 64 bits", |m| m["segments"][0]["rows"] = u64::MAX.into()),
        ("a segment twice", |m| {
            let segment = m["segments"][0].clone();
            m["segments"].as_array_mut().unwrap().push(segment);
        }),
        ("a segment twice under another id", |m| {
            let mut segment = m["segments"][0].clone();
            segment["id"] = "00000000-0000-4000-8000-000000000000".into();
            m["segments"].as_array_mut().unwrap().push(segment);
        }),
        ("a part twice", |m| {
            let part = m["segments"][0]["parts"][0].clone();
            m["segments"][0]["parts"].as_array_mut().unwrap().push(part);
        }),
        ("a kind twice", |m| {
            let mut part = m["segments"][0]["parts"][1].clone();
            part["kind"] = "documents".into();
            m["segments"][0]["parts"].as_array_mut().unwrap().push(part);
        }),
        ("an asset twice", |m| {
            let asset = m["assets"][0].clone();
            m["assets"].as_array_mut().unwrap().push(asset);
        }),
    ];
    for (what, lie) in lies {
        let folder = copy();
        edit_manifest(folder.path(), lie);
        match refusal(folder.path()) {
            Some(IndexError::Corrupt { .. }) => {}
            other => panic!("{what}: {other:?}"),
        }
    }
}

#[test]
fn the_last_generation_has_no_next() {
    let folder = copy();
    let last = folder.path().join(format!("manifest-{}.json", u64::MAX));
    // A file of somebody else's has no generation, and its name is passed over.
    fs::write(&last, b"{}").unwrap();
    let current = manifest_name(folder.path());
    let next = |from: u64| folder.path().join(format!("manifest-{from}.json"));
    let mut writer = FolderWriter::open(folder.path()).unwrap();
    let manifest = writer.current().unwrap().clone();
    fs::write(next(manifest.generation + 1), b"thesis").unwrap();
    assert_eq!(writer.commit(manifest.clone()).unwrap().generation, manifest.generation + 2);
    assert_eq!(fs::read(&last).unwrap(), b"{}");
    fs::copy(folder.path().join(current), &last).unwrap();
    let error = writer.commit(manifest).unwrap_err();
    assert!(matches!(error, IndexError::Limit { .. }), "{error}");
}

#[test]
fn what_is_no_file_is_refused_at_once() {
    let names = [
        "CURRENT".to_owned(),
        manifest_name(copy().path()),
        file_of("lexicon"),
        file_of("forward"),
        file_of("text"),
        file_of("tokenizer"),
    ];
    for name in names {
        for how in ["folder", "pipe", "device", "pipe of no bytes"] {
            let folder = copy();
            let path = folder.path().join(&name);
            fs::remove_file(&path).unwrap();
            if how == "folder" {
                fs::create_dir(&path).unwrap();
            } else if !other_than_a_file(&path, how == "device") {
                continue;
            }
            if how == "pipe of no bytes" {
                // The length of a pipe is 0: with such a length in the manifest it would be opened.
                edit_length(folder.path(), &name);
            }
            match refusal(folder.path()) {
                Some(IndexError::NotAFile { .. }) => {}
                other => panic!("{name}, {how}: {other:?}"),
            }
        }
    }
    let folder = copy();
    if other_than_a_file(&folder.path().join("LOCK"), false) {
        let error = FolderWriter::open(folder.path()).unwrap_err();
        assert!(matches!(error, IndexError::NotAFile { .. }), "{error}");
    }
}

fn edit_length(folder: &Path, name: &str) {
    // Neither of these can be edited when it is no file, nor read.
    if !folder.join("CURRENT").is_file() || !folder.join(manifest_name(folder)).is_file() {
        return;
    }
    edit_manifest(folder, |manifest| {
        golden_copy::each_part(manifest, |part| {
            if part["file"] == name {
                part["bytes"] = 0.into();
            }
        });
    });
}

#[cfg(unix)]
fn other_than_a_file(path: &Path, device: bool) -> bool {
    if device {
        std::os::unix::fs::symlink("/dev/zero", path).unwrap();
        return true;
    }
    let made = std::process::Command::new("mkfifo").arg(path).status();
    made.is_ok_and(|status| status.success())
}

#[cfg(not(unix))]
fn other_than_a_file(_: &Path, _: bool) -> bool {
    false
}

#[test]
fn token_embeddings_that_are_no_numbers_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.qry");
    let options = TokensOptions {
        dims: 4,
        forms: Form::ALL.to_vec(),
        pool: 1,
        centroids: Centroids::default(),
        source: Value::Null,
    };
    let mut writer = TokensWriter::create(&path, options).unwrap();
    for n in 1..4u8 {
        let values = (0..8u8).map(|v| f32::from(v * n) / 9.0 + 0.1).collect();
        writer.push(&TokenEmbeddings::new(4, values).unwrap()).unwrap();
    }
    writer.finish().unwrap();
    let bytes = fs::read(&path).unwrap();
    TokenStore::open(&path, Verify::Full).unwrap();
    let part = Part::open(&path, "tokens", 0..9, Verify::Full).unwrap();
    let spoil = |section: &str, with: &[u8]| {
        let mut spoilt = bytes.clone();
        let place = part.section_range(section).unwrap();
        let last = place.end - with.len();
        spoilt[last..place.end].copy_from_slice(with);
        let end = spoilt.len() - 8;
        let checksum = xxh3_64(&spoilt[..end]);
        spoilt[end..].copy_from_slice(&checksum.to_le_bytes());
        let path = folder.path().join("spoilt.qry");
        fs::write(&path, spoilt).unwrap();
        TokenStore::open(&path, Verify::Full)
    };
    for section in ["i8.scale", "i8.error", "r4.scale", "r4.centroids", "b1.scale"] {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 3e38] {
            let error = spoil(section, &value.to_le_bytes()).unwrap_err();
            assert!(error.to_string().contains(section), "{section} {value}: {error}");
        }
        spoil(section, &0.5f32.to_le_bytes()).unwrap();
    }
    for bits in [0x7e00u16, 0x7c00, 0xfc00] {
        let error = spoil("f16.rows", &bits.to_le_bytes()).unwrap_err();
        assert!(error.to_string().contains("f16.rows"), "{bits:x}: {error}");
    }
    spoil("f16.rows", &0x7bffu16.to_le_bytes()).unwrap();
}
