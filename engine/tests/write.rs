//! The write API as another program uses it, with documents that bring vectors, so that no model is needed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic fails the test")]

use std::convert::Infallible;
use std::path::Path;

use quarry_engine::write::{
    Add, Build, Calibrate, Calibration, Encoding, Input, NewTokens, WriteError, Writer, build,
    build_documents,
};
use quarry_engine::{EngineError, Models};
use quarry_index::{Index, Verify};
use quarry_indexer::AddOptions;
use quarry_vectors::{Document, InputVector};
use serde_json::json;

fn document(number: usize) -> Document {
    Document {
        id: format!("d{number}"),
        vector: Some(InputVector::Tokens(vec![
            ("rock".into(), 1.0),
            (format!("t{}", number % 7), 0.5),
        ])),
        ..Document::default()
    }
}

fn documents(
    numbers: std::ops::Range<usize>,
) -> impl Iterator<Item = Result<Document, Infallible>> + Send {
    numbers.map(|number| Ok(document(number)))
}

fn built(out: &Path) -> Writer {
    let how = Build { out: out.to_path_buf(), ..Build::default() };
    let built = build_documents(documents(0..20), json!("test"), &how, &Models::default(), &|_| {});
    let built = built.unwrap();
    assert_eq!((built.report.generation, built.report.documents), (1, 20));
    assert!(matches!(built.calibration, Calibration::Skipped));
    Writer::open(out, Models::default()).unwrap()
}

#[test]
fn each_change_is_a_generation() {
    let folder = tempfile::tempdir().unwrap();
    let writer = built(folder.path());
    let generation = || Index::open(folder.path(), Verify::Full).unwrap().manifest().generation;
    let add = Add { merge: false, ..Add::default() };
    let added = writer.add_documents(documents(15..25), &add, &|_| {}).unwrap();
    assert_eq!((added.added, added.replaced, added.generation), (10, 5, 2));
    assert_eq!(generation(), 2);
    let deleted = writer.delete(["d1", "d1", "x"]).unwrap();
    assert_eq!((deleted.deleted, deleted.generation), (1, 3));
    assert_eq!(deleted.unknown, ["x"]);
    let merged = writer.merge(None, &|_| {}).unwrap().unwrap();
    assert_eq!((merged.merged, merged.generation), (2, 4));
    assert!(writer.merge(None, &|_| {}).unwrap().is_none());
    let lists = AddOptions { impact: true, words: false, seismic: None, clusters: None, memory: 0 };
    assert_eq!(writer.add_lists(&lists, &|_| {}).unwrap(), Some(5));
    assert_eq!(writer.add_lists(&lists, &|_| {}).unwrap(), None);
    // Such a small segment is always searched exactly: nothing is calibrated, and no generation written.
    let measured = writer.calibrate(&Calibrate::default(), &|_| {}).unwrap();
    assert_eq!((measured.generation, measured.lacks_network), (None, false));
    assert_eq!(generation(), 5);
    let index = Index::open(folder.path(), Verify::Full).unwrap();
    assert_eq!(index.manifest().documents(), 24);
}

#[test]
fn incompatible_options_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |how: Build| {
        let built = build_documents(documents(0..3), json!(1), &how, &Models::default(), &|_| {});
        match built {
            Err(EngineError::Write(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    let how = |encoding| Build { out: folder.path().join("ix"), encoding, ..Build::default() };
    let error = refused(how(Encoding { model: Some("m".parse().unwrap()), ..Encoding::default() }));
    assert!(matches!(error, WriteError::ModelWithoutTexts), "{error}");
    let error = refused(how(Encoding { top_k: Some(3), ..Encoding::default() }));
    assert!(matches!(error, WriteError::DoesNothing { .. }), "{error}");
    assert!(!folder.path().join("ix").exists());
    // An index without token embeddings gets none with documents.
    let writer = built(&folder.path().join("other"));
    for tokens in [NewTokens::Without, NewTokens::By("x/y".parse().unwrap())] {
        let add = Add { tokens, ..Add::default() };
        match writer.add_documents(documents(0..1), &add, &|_| {}) {
            Err(EngineError::Write(WriteError::NoTokensThere { .. })) => {}
            other => panic!("{other:?}"),
        }
    }
    match writer.delete([]) {
        Err(EngineError::Write(WriteError::NoIds)) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_collection_on_disk_is_resumed_and_added_to() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("docs.jsonl");
    let line = |id: &str| format!("{{\"id\": \"{id}\", \"vector\": {{\"rock\": 1.0}}}}\n");
    std::fs::write(&file, line("a") + &line("b c")).unwrap();
    let input = Input::new(&file);
    let how = Build { out: folder.path().join("ix"), ..Build::default() };
    let first = build(&input, &how, &Models::default(), &|_, _| {}).unwrap();
    assert_eq!(first.report.documents, 2);
    assert_eq!((first.input.spaced, first.input.first_spaced.as_deref()), (1, Some("\"b c\"")));
    let again = Build { resume: true, ..how.clone() };
    let again = build(&input, &again, &Models::default(), &|_, _| {}).unwrap();
    assert!(again.report.already_complete);
    std::fs::write(&file, line("a") + &line("d")).unwrap();
    let writer = Writer::open(&how.out, Models::default()).unwrap();
    let added = writer.add(&input, &Add::default(), &|_, _| {}).unwrap();
    assert_eq!((added.report.added, added.report.replaced), (2, 1));
}
