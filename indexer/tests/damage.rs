//! Data is verified before it is copied: one changed byte, in any kind of part, stops every change that
//! would give it a valid checksum elsewhere, and nothing is changed.
#![allow(clippy::unwrap_used, clippy::panic, dead_code, reason = "a panic fails the test")]

mod collection;
mod whole;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use collection::{options, texts};
use quarry_index::tokens::Form;
use quarry_index::{Index, IndexError, Verify};
use quarry_indexer::{
    AddOptions, BuildError, JoinOptions, LEAST_MEMORY, MOST_SEGMENTS, Merge, Share, TokenInput,
    add_lists, add_tokens, build_share, default_clusters, default_seismic, delete, join, merge,
};
use whole::{Rows, add_more, all_lists, bytes, copied, more, read, setup, token_options, whole};

type Change = fn(&Path) -> Result<(), BuildError>;

/// All changes that copy data of an index.
const CHANGES: [(&str, Change); 5] = [
    ("merge", |folder| merge(folder, Merge::All, LEAST_MEMORY, &|_| {}).map(drop)),
    // The ninth segment triggers a merge, whose input is checked before the documents are added.
    ("add", |folder| add_more(folder, more(900, 2)).map(drop)),
    ("lists", |folder| {
        let (seismic, clusters) = (Some(default_seismic()), Some(default_clusters()));
        let lists =
            AddOptions { impact: true, words: false, seismic, clusters, memory: LEAST_MEMORY };
        add_lists(folder, &lists, &|_| {}).map(drop)
    }),
    ("tokens", |folder| {
        let options =
            quarry_indexer::TokenOptions { replace: true, ..token_options(&[Form::Int8]) };
        add_tokens(folder, &options, TokenInput::Encoder(&Rows), &|_| {}).map(drop)
    }),
    ("policy", |folder| merge(folder, Merge::Policy, LEAST_MEMORY, &|_| {}).map(drop)),
];

fn is_damage(error: &BuildError) -> bool {
    match error {
        BuildError::Index(error) => matches!(
            error,
            IndexError::Checksum { .. }
                | IndexError::Corrupt { .. }
                | IndexError::Foreign { .. }
                | IndexError::Swapped { .. }
                | IndexError::Version { .. }
        ),
        _ => false,
    }
}

#[test]
fn one_byte_in_any_part_stops_every_change() {
    let base = tempfile::tempdir().unwrap();
    whole(base.path(), &[Form::Int8, Form::Fp16, Form::Residual, Form::Sign]);
    // The most segments that trigger no merge.
    for batch in 1..MOST_SEGMENTS as u64 {
        add_more(base.path(), more(100 * batch, 2)).unwrap();
    }
    let index = Index::open(base.path(), Verify::Full).unwrap();
    assert_eq!(index.segments().len(), MOST_SEGMENTS);
    let kinds: BTreeSet<String> = index.manifest().parts().map(|p| p.kind.clone()).collect();
    assert_eq!(kinds.len(), 13, "{kinds:?}");
    let part = |kind: &String| {
        index.manifest().parts().find(|part| part.kind == *kind).unwrap().file.clone()
    };
    let files: Vec<(String, String)> =
        kinds.iter().map(|kind| (kind.clone(), part(kind))).collect();
    drop(index);
    for (kind, file) in &files {
        let length = fs::metadata(base.path().join(file)).unwrap().len();
        let length = usize::try_from(length).unwrap();
        // In the first section, in the middle, and in the checksum.
        for at in [70.min(length - 2), length / 2, length - 1] {
            for (name, change) in CHANGES {
                let folder = copied(base.path());
                let path = folder.path().join(file);
                let mut content = fs::read(&path).unwrap();
                content[at] ^= 1;
                fs::write(&path, content).unwrap();
                let before = bytes(folder.path());
                match change(folder.path()) {
                    // The policy copies nothing if there is nothing to merge.
                    Ok(()) if name == "policy" => {}
                    Err(error) if is_damage(&error) => {}
                    other => panic!("{name}, byte {at} of {kind}: {other:?}"),
                }
                assert!(bytes(folder.path()) == before, "{name}, byte {at} of {kind}: it changed");
            }
        }
    }
    // The parts that a deletion rewrites are checked; the others stay as they are.
    for (kind, file) in &files {
        let folder = copied(base.path());
        let path = folder.path().join(file);
        let mut content = fs::read(&path).unwrap();
        let middle = content.len() / 2;
        content[middle] ^= 1;
        fs::write(&path, &content).unwrap();
        let before = bytes(folder.path());
        let deleted = delete(folder.path(), ["doc-5"]);
        if ["documents", "deleted", "lexicon", "tokenizer", "query-table"].contains(&kind.as_str())
        {
            assert!(is_damage(&deleted.unwrap_err()), "{kind}");
            assert!(bytes(folder.path()) == before, "{kind}");
        } else {
            // Inconsistent offsets are detected all the same.
            assert!(deleted.as_ref().err().is_none_or(is_damage), "{kind}: {deleted:?}");
            assert!(fs::read(&path).unwrap() == content, "{kind}");
        }
    }
}

/// An invalid record in a part with a valid checksum is an error, not an empty document.
#[test]
fn a_record_that_is_not_a_vector_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    whole(folder.path(), &[Form::Int8]);
    let index = Index::open(folder.path(), Verify::Full).unwrap();
    let part = index.manifest().parts().find(|p| p.kind == "forward").unwrap().clone();
    drop(index);
    let path = folder.path().join(&part.file);
    let mut content = fs::read(&path).unwrap();
    // The first record is at the start of the section: make its first two terms equal.
    let (first, second) = content.split_at_mut(66);
    second[..2].copy_from_slice(&first[64..66]);
    let end = content.len() - 8;
    let checksum = xxhash_rust::xxh3::xxh3_64(&content[..end]);
    content[end..].copy_from_slice(&checksum.to_le_bytes());
    fs::write(&path, &content).unwrap();
    let manifest = fs::read_dir(folder.path())
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.file_name().unwrap().to_str().unwrap().starts_with("manifest-"))
        .unwrap();
    let text = fs::read_to_string(&manifest).unwrap();
    let text = text.replace(&part.checksum, &format!("{checksum:016x}"));
    fs::write(&manifest, &text).unwrap();
    let current = format!(
        "{{\"magic\": \"quarry-index\", \"manifest\": \"{}\", \"bytes\": {}, \"checksum\": \"{:016x}\"}}",
        manifest.file_name().unwrap().to_str().unwrap(),
        text.len(),
        xxhash_rust::xxh3::xxh3_64(text.as_bytes())
    );
    fs::write(folder.path().join("CURRENT"), current).unwrap();
    Index::open(folder.path(), Verify::Full).unwrap();
    let before = bytes(folder.path());
    let error = merge(folder.path(), Merge::All, LEAST_MEMORY, &|_| {}).unwrap_err();
    assert!(error.to_string().contains("is not a vector"), "{error}");
    // Files of the failed change are removed by the next writer; committed files stay.
    let after = bytes(folder.path());
    assert!(before.iter().all(|(name, content)| after.get(name) == Some(content)));
}

/// Shares of a build are verified before they are joined.
#[test]
fn one_byte_in_any_file_of_a_share_stops_the_merge() {
    let base = tempfile::tempdir().unwrap();
    let share = Share::new(1, 1).unwrap();
    let wanted = token_options(&[Form::Int8]);
    let tokens = Some((&Rows as &dyn quarry_vectors::EncodeTokens, &wanted));
    let given = all_lists(base.path());
    build_share(read(texts(40)), Some(&setup()), (&given, share), tokens, &|_| {}).unwrap();
    for name in bytes(base.path()).keys().filter(|name| *name != "LOCK") {
        let folder = copied(base.path());
        let path = folder.path().join(name);
        let mut content = fs::read(&path).unwrap();
        let middle = content.len() / 2;
        content[middle] ^= 1;
        fs::write(&path, &content).unwrap();
        let out = tempfile::tempdir().unwrap();
        let to = JoinOptions { out: out.path().to_path_buf(), overwrite: false, memory: None };
        let joined = join(&[folder.path().to_path_buf()], &to, &|_| {});
        assert!(is_damage(&joined.unwrap_err()), "{name}");
        assert!(!out.path().join("CURRENT").exists(), "{name}");
    }
    let _ = options;
}
