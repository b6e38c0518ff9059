//! Shares of a build that come from another machine: the record, or a shard forged with a checksum that
//! fits its envelope, joined into an index.
#![no_main]

use std::convert::Infallible;
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use quarry_indexer::{
    BuildOptions, IngestOptions, JoinOptions, LEAST_MEMORY, Lists, SealOptions, build_share, join,
};
use quarry_vectors::{Document, InputVector};
use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_64;

/// A share of one, and its files.
static SHARE: LazyLock<(TempDir, Vec<(PathBuf, Vec<u8>)>)> = LazyLock::new(|| {
    let room = quarry_fuzz::room();
    let out = room.path().join("share");
    let documents = (0..20).map(|at| {
        Ok::<_, Infallible>(Document {
            id: format!("d{at}"),
            title: "Rock".into(),
            text: format!("Granite is rock number {at}."),
            vector: Some(InputVector::Tokens(vec![("rock".into(), 1.5), (format!("t{at}"), 2.0)])),
            ..Document::default()
        })
    });
    let options = BuildOptions {
        out: out.clone(),
        ingest: IngestOptions { shard_documents: 8, ..IngestOptions::default() },
        seal: SealOptions {
            memory: LEAST_MEMORY,
            seed: 7,
            lists: Lists::NONE,
            ..SealOptions::default()
        },
        ..BuildOptions::default()
    };
    build_share(documents, None, (&options, "1/1".parse().expect("a share")), None, &|_| {})
        .expect("a share");
    let files = fs::read_dir(&out).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<_> =
        files.map(|path| (path.clone(), fs::read(path).expect("a file"))).collect();
    files.sort();
    (room, files)
});

fuzz_target!(init: quarry_fuzz::begin(), |data: &[u8]| {
    let Some((choice, edits)) = data.split_first() else { return };
    let (room, files) = &*SHARE;
    let (path, whole) = &files[usize::from(*choice) % files.len()];
    let mut bytes = whole.clone();
    for edit in edits.chunks_exact(4).take(16) {
        let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % bytes.len().max(1);
        if let Some(byte) = bytes.get_mut(at) {
            *byte = edit[2];
        }
    }
    if path.extension().is_some_and(|ending| ending == "qry") && bytes.len() > 8 {
        let end = bytes.len() - 8;
        let checksum = xxh3_64(&bytes[..end]);
        bytes[end..].copy_from_slice(&checksum.to_le_bytes());
        // The record has every shard's checksum.
        for (record, content) in files.iter().filter(|file| file.0.ends_with("shard-of-build.json"))
        {
            let before =
                format!("{:016x}", u64::from_le_bytes(whole[end..].try_into().expect("eight")));
            let text =
                String::from_utf8_lossy(content).replace(&before, &format!("{checksum:016x}"));
            fs::write(record, text).expect("a record");
        }
    }
    fs::write(path, &bytes).expect("a file");
    let out = room.path().join("out");
    let options = JoinOptions { out: out.clone(), overwrite: true, memory: None };
    let _ = join(&[room.path().join("share")], &options, &|_| {});
    let _ = fs::remove_dir_all(&out);
    for (path, whole) in files {
        fs::write(path, whole).expect("a file");
    }
});
