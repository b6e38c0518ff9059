//! Builds that are interrupted and resumed, and builds that must not be resumed.
#![allow(clippy::unwrap_used, clippy::panic, dead_code, reason = "a panic fails the test")]

mod collection;

use std::fs;
use std::io;
use std::path::Path;

use collection::{
    FakeEncoder, assert_same, build_all, contents, expected_names, names, open, options, setup,
    texts, vectors,
};
use quarry_index::folder::FolderWriter;
use quarry_index::{Index, IndexError, Verify};
use quarry_indexer::{BuildError, BuildOptions, BuildReport, EncoderSetup, build};
use quarry_vectors::Document;
use serde_json::json;
use tempfile::tempdir;

/// Builds until the input fails after `readable` documents.
fn interrupt(
    documents: &[Document],
    readable: usize,
    encoder: Option<&EncoderSetup<'_>>,
    options: &BuildOptions,
) {
    let input = documents[..readable].iter().cloned().map(Ok);
    let input = input.chain([Err(io::Error::other("the power went"))]);
    let error = build(input, encoder, options, &|_| {}).unwrap_err();
    assert!(matches!(error, BuildError::Input(_)), "{error:?}");
}

fn resume(
    documents: &[Document],
    encoder: Option<&EncoderSetup<'_>>,
    options: &BuildOptions,
) -> Result<BuildReport, BuildError> {
    let options = BuildOptions { resume: true, ..options.clone() };
    build_all(documents.to_vec(), encoder, &options)
}

/// Wherever a build is cut, the result is the same but for `CURRENT`, manifests, `LOCK` and file names.
#[test]
fn resumed_builds_equal_uninterrupted_ones() {
    let documents = vectors(200);
    let whole = tempdir().unwrap();
    build_all(documents.clone(), None, &options(whole.path())).unwrap();
    for cut in [0, 1, 15, 16, 17, 100, 192, 199, 200] {
        let out = tempdir().unwrap();
        let options = options(out.path());
        interrupt(&documents, cut, None, &options);
        let report = resume(&documents, None, &options).unwrap();
        assert_eq!(report.resumed_documents, cut as u64 / 16 * 16, "cut at {cut}");
        assert_eq!((report.documents, report.already_complete), (200, false));
        assert_same(whole.path(), out.path());
        assert_eq!(names(out.path()), expected_names(out.path()));
    }
}

/// An encoder whose vectors depend on the batch gets the same batches, and no batch twice.
#[test]
fn finished_shards_are_not_encoded_again() {
    let documents = texts(150);
    let whole = tempdir().unwrap();
    let encoder = FakeEncoder::default();
    build_all(documents.clone(), Some(&setup(&encoder, "fake")), &options(whole.path())).unwrap();
    let out = tempdir().unwrap();
    let options = options(out.path());
    interrupt(&documents, 40, Some(&setup(&FakeEncoder::default(), "fake")), &options);
    // A second interruption, later on.
    let again = BuildOptions { resume: true, ..options.clone() };
    interrupt(&documents, 101, Some(&setup(&FakeEncoder::default(), "fake")), &again);
    let encoder = FakeEncoder::default();
    let report = resume(&documents, Some(&setup(&encoder, "fake")), &options).unwrap();
    assert_eq!(report.resumed_documents, 96);
    assert_eq!(*encoder.batches.lock().unwrap(), [16, 16, 16, 6]);
    assert_same(whole.path(), out.path());
}

/// The input has the same length and path, but other documents than the shards were made of.
#[test]
fn a_build_is_not_resumed_with_other_documents() {
    let documents = vectors(100);
    let out = tempdir().unwrap();
    let options = options(out.path());
    interrupt(&documents, 70, None, &options);
    for at in [0, 15, 16, 63] {
        let mut changed = documents.clone();
        changed[at].vector = documents[at + 1].vector.clone();
        match resume(&changed, None, &options) {
            Err(BuildError::ResumeMismatch { what, .. }) => {
                assert!(what.contains(&format!("shard {},", at / 16 + 1)), "{at}: {what}");
            }
            other => panic!("{at}: {other:?}"),
        }
    }
    assert_eq!(resume(&documents, None, &options).unwrap().resumed_documents, 64);
}

#[test]
fn an_interrupted_build_is_not_lost_by_mistake() {
    let documents = vectors(100);
    let out = tempdir().unwrap();
    let options = options(out.path());
    interrupt(&documents, 70, None, &options);
    match build_all(documents.clone(), None, &options) {
        Err(BuildError::Interrupted { documents: 64, path }) => assert_eq!(path, out.path()),
        other => panic!("{other:?}"),
    }
    // It is still there; `overwrite` discards it.
    assert_eq!(resume(&documents, None, &options).unwrap().resumed_documents, 64);
    let out = tempdir().unwrap();
    let options = collection::options(out.path());
    interrupt(&documents, 70, None, &options);
    let afresh = BuildOptions { overwrite: true, ..options };
    assert_eq!(build_all(documents, None, &afresh).unwrap().resumed_documents, 0);
}

#[test]
fn another_build_is_not_continued() {
    let documents = texts(60);
    let encoder = FakeEncoder::default();
    let out = tempdir().unwrap();
    let good = options(out.path());
    interrupt(&documents, 40, Some(&setup(&encoder, "fake")), &good);
    let other_source = BuildOptions { source: json!({"input": "another"}), ..good.clone() };
    let mut other_shards = good.clone();
    other_shards.ingest.shard_documents = 17;
    let vocabulary = Some(vec!["t".to_owned()]);
    let mut other_vocabulary = good.clone();
    other_vocabulary.ingest.vocabulary = vocabulary;
    let cases = [
        (&other_source, "fake", "source", "another"),
        (&other_shards, "fake", "shard_documents", "17"),
        (&other_vocabulary, "fake", "vocabulary_terms", "1"),
        (&good, "another model", "encoder", "another model"),
    ];
    for (options, model, differs, value) in cases {
        match resume(&documents, Some(&setup(&encoder, model)), options) {
            Err(BuildError::ResumeMismatch { what, was, now, .. }) => {
                assert_eq!(what, differs);
                assert!(now.contains(value) && was != now, "{was}, {now}");
            }
            other => panic!("{differs}: {other:?}"),
        }
    }
    let error = resume(&documents, None, &good).unwrap_err();
    assert!(matches!(&error, BuildError::ResumeMismatch { what, .. } if what == "encoder"));
    // None of these attempts damaged it.
    let report = resume(&documents, Some(&setup(&encoder, "fake")), &good).unwrap();
    assert_eq!(report.resumed_documents, 32);
}

#[test]
fn an_input_that_shrank() {
    let documents = vectors(100);
    let out = tempdir().unwrap();
    interrupt(&documents, 70, None, &options(out.path()));
    match resume(&documents[..50], None, &options(out.path())) {
        Err(BuildError::InputShrank { found: 50, done: 64, .. }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_finished_build_is_recognised() {
    let documents = vectors(50);
    let out = tempdir().unwrap();
    let options = options(out.path());
    // Resuming without an unfinished build is an ordinary build.
    assert!(!resume(&documents, None, &options).unwrap().already_complete);
    let before = names(out.path());
    let report = resume(&documents, None, &options).unwrap();
    assert_eq!((report.already_complete, report.documents, report.generation), (true, 50, 1));
    assert_eq!(names(out.path()), before);
    let other = BuildOptions { source: json!("another"), ..options.clone() };
    assert!(matches!(resume(&documents, None, &other), Err(BuildError::Exists { .. })));
    let error = build_all(documents, None, &options).unwrap_err();
    assert!(matches!(error, BuildError::Exists { generation: 1, documents: 50, .. }), "{error:?}");
}

#[test]
fn a_damaged_shard_is_refused() {
    let documents = vectors(100);
    let out = tempdir().unwrap();
    let options = options(out.path());
    interrupt(&documents, 70, None, &options);
    let shard = out.path().join("build/shard-000002.qry");
    let mut bytes = fs::read(&shard).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&shard, bytes).unwrap();
    match resume(&documents, None, &options) {
        Err(BuildError::Index(IndexError::Checksum { path, .. })) => assert_eq!(path, shard),
        other => panic!("{other:?}"),
    }
}

/// Files that were incomplete at a crash, shards or parts, are neither used nor kept.
#[test]
fn leftovers_of_a_crash_are_collected() {
    let documents = vectors(100);
    let whole = tempdir().unwrap();
    build_all(documents.clone(), None, &options(whole.path())).unwrap();
    let out = tempdir().unwrap();
    let options = options(out.path());
    interrupt(&documents, 70, None, &options);
    let part = "0123456789abcdef0123456789abcdef-forward.qry";
    for left in ["build/.new-abcdef.tmp", ".new-ghijkl.tmp", part] {
        fs::write(out.path().join(left), "torn").unwrap();
    }
    fs::create_dir_all(out.path().join("build/text/0")).unwrap();
    fs::write(out.path().join("build/text/0/meta.json"), "torn").unwrap();
    resume(&documents, None, &options).unwrap();
    assert_same(whole.path(), out.path());
    assert_eq!(names(out.path()), expected_names(out.path()));
}

/// The old index is there and intact until the new one is committed.
#[test]
fn the_old_index_stays_until_the_commit() {
    let out = tempdir().unwrap();
    let options = options(out.path());
    build_all(vectors(30), None, &options).unwrap();
    let before = contents(out.path());
    let replace = BuildOptions { overwrite: true, source: json!("new"), ..options };
    interrupt(&vectors(100), 70, None, &replace);
    assert!(contents(out.path()) == before);
    let reader = open(out.path());
    resume(&vectors(100), None, &replace).unwrap();
    assert_eq!(reader.manifest().documents(), 30);
    assert_eq!(reader.segments()[0].text().unwrap().reader().max_doc(), 30);
    assert_eq!(open(out.path()).manifest().documents(), 100);
    assert!(Path::new(&out.path().join("manifest-1.json")).exists(), "a reader holds it");
    drop(reader);
    FolderWriter::open(out.path()).unwrap().collect().unwrap();
    assert_eq!(names(out.path()), expected_names(out.path()));
}

#[test]
fn a_second_writer_is_refused() {
    let out = tempdir().unwrap();
    let options = options(out.path());
    build_all(vectors(30), None, &options).unwrap();
    let before = contents(out.path());
    let again = BuildOptions { overwrite: true, ..options };
    let first = FolderWriter::open(out.path()).unwrap();
    for resume in [false, true] {
        let second = BuildOptions { resume, ..again.clone() };
        match build_all(vectors(40), None, &second) {
            Err(BuildError::Index(IndexError::Locked { path })) => assert_eq!(path, out.path()),
            other => panic!("{other:?}"),
        }
    }
    assert!(contents(out.path()) == before);
    drop(first);
    build_all(vectors(40), None, &again).unwrap();
    assert_eq!(Index::open(out.path(), Verify::Full).unwrap().manifest().documents(), 40);
}

/// Two builds at once: one commits, the other gets an error, in either order.
#[test]
fn two_builds_at_once() {
    let out = tempdir().unwrap();
    let options = BuildOptions { overwrite: true, ..options(out.path()) };
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let builds: Vec<_> =
            (0..4).map(|_| scope.spawn(|| build_all(vectors(300), None, &options))).collect();
        builds.into_iter().map(|b| b.join().unwrap()).collect()
    });
    assert!(outcomes.iter().any(Result::is_ok));
    for error in outcomes.iter().filter_map(|o| o.as_ref().err()) {
        assert!(matches!(error, BuildError::Index(IndexError::Locked { .. })), "{error:?}");
    }
    assert_eq!(open(out.path()).manifest().documents(), 300);
    assert_eq!(names(out.path()), expected_names(out.path()));
}
