//! What a build makes of its documents, and which documents it refuses.
#![allow(clippy::unwrap_used, clippy::panic, dead_code, reason = "a panic fails the test")]

mod collection;

use collection::{
    FakeEncoder, VOCABULARY, assert_same, build_all, document, expected_names, names, open,
    options, setup, texts, vectors, with_terms, with_tokens,
};
use quarry_index::fields::{FieldRule, FieldType};
use quarry_index::forward::{LevelWidth, TermWidth};
use quarry_index::{IndexError, QUERY_TABLE, TOKENIZER};
use quarry_indexer::{BuildError, Event, LEAST_MEMORY, Levels, Lists, build};
use quarry_vectors::{DocId, Document, InputVector, TermId};
use serde_json::json;
use std::io;
use std::sync::Mutex;
use tempfile::tempdir;

#[test]
fn tokens_get_terms_in_order_of_appearance() {
    let out = tempdir().unwrap();
    let documents = vec![
        with_tokens(document("b", 1), &[("sea", 2.0), ("air", 1.0), ("sea", 1.0)]),
        with_tokens(document("a", 2), &[("earth", 255.0), ("air", 3.0), ("never", 0.0)]),
    ];
    let report = build_all(documents, None, &options(out.path())).unwrap();
    assert_eq!((report.documents, report.generation, report.mean_components), (2, 1, 2.0));
    let index = open(out.path());
    let lexicon = index.lexicon().unwrap();
    let tokens: Vec<String> = (0..lexicon.len()).map(|t| lexicon.token(TermId(t))).collect();
    assert_eq!(tokens, ["sea", "air", "earth", "never"]);
    let segment = &index.segments()[0];
    let forward = segment.forward().unwrap();
    assert_eq!(forward.record(DocId(0)).iter().collect::<Vec<_>>(), [(0, 3), (1, 1)]);
    assert_eq!(forward.record(DocId(1)).iter().collect::<Vec<_>>(), [(1, 3), (2, 255)]);
    assert_eq!(segment.documents().id(DocId(0)), "b");
    assert!(segment.text().is_none());
    assert_eq!(names(out.path()), expected_names(out.path()));
}

#[test]
fn an_encoder_sees_passages_and_leaves_its_files() {
    let out = tempdir().unwrap();
    let encoder = FakeEncoder::default();
    let report =
        build_all(texts(100), Some(&setup(&encoder, "fake")), &options(out.path())).unwrap();
    assert_eq!(*encoder.batches.lock().unwrap(), [16, 16, 16, 16, 16, 16, 4]);
    assert_eq!((report.documents, report.truncated), (100, 3));
    let index = open(out.path());
    assert_eq!(index.manifest().encoders["sparse"], json!({"name": "fake"}));
    assert_eq!(index.asset(TOKENIZER), Some(b"{\"tokenizer\": 1}".as_slice()));
    assert_eq!(index.asset(QUERY_TABLE), Some(b"{\"table\": 1}".as_slice()));
    assert_eq!(index.lexicon().unwrap().len(), VOCABULARY);
    let forward = index.segments()[0].forward().unwrap();
    assert_eq!(forward.meta().quantization.levels, LevelWidth::U16);
    let empty = (0..100).filter(|d| forward.record(DocId(*d)).is_empty()).count();
    assert_eq!(report.empty_vectors, empty as u64);
    assert!(empty > 0);
}

#[test]
fn encoders_that_fail() {
    for (encoder, want) in [
        (FakeEncoder { short_by: 1, ..FakeEncoder::default() }, "15 vectors for 16 passages"),
        (FakeEncoder { fails: true, ..FakeEncoder::default() }, "the model is tired"),
    ] {
        let out = tempdir().unwrap();
        let error =
            build_all(texts(20), Some(&setup(&encoder, "fake")), &options(out.path())).unwrap_err();
        assert!(error.to_string().contains(want), "{error}");
    }
    let out = tempdir().unwrap();
    let encoder = FakeEncoder::default();
    let mut few = setup(&encoder, "fake");
    few.tokens.truncate(3);
    let error = build_all(texts(20), Some(&few), &options(out.path())).unwrap_err();
    assert!(matches!(error, BuildError::Index(IndexError::Limit { .. })), "{error}");
}

#[test]
fn terms_by_number() {
    let out = tempdir().unwrap();
    let documents = vec![
        with_terms(document("1", 0), &[(2, 0.5), (70_000, 1.25)]),
        with_terms(document("2", 1), &[]),
    ];
    build_all(documents, None, &options(out.path())).unwrap();
    let index = open(out.path());
    let lexicon = index.lexicon().unwrap();
    assert_eq!((lexicon.len(), lexicon.is_named()), (70_001, false));
    assert_eq!(lexicon.term("70000"), Some(TermId(70_000)));
    let forward = index.segments()[0].forward().unwrap();
    assert_eq!(forward.meta().terms, TermWidth::U32);
    let vector = forward.vector(DocId(0)).unwrap();
    assert_eq!(
        (vector.terms(), vector.weights()),
        ([2, 70_000].as_slice(), [0.5, 1.25].as_slice())
    );
    assert!(forward.record(DocId(1)).is_empty());
}

#[test]
fn a_vocabulary_names_terms() {
    let vocabulary = Some(["x", "y", "z"].map(str::to_owned).to_vec());
    let out = tempdir().unwrap();
    let mut named = options(out.path());
    named.ingest.vocabulary = vocabulary;
    build_all(vec![with_terms(document("1", 0), &[(1, 2.0)])], None, &named).unwrap();
    let index = open(out.path());
    assert_eq!(index.lexicon().unwrap().term("z"), Some(TermId(2)));
    assert_eq!(index.segments()[0].forward().unwrap().meta().dimension, 3);
    drop(index);
    let again = quarry_indexer::BuildOptions { overwrite: true, ..named };
    for (bad, why) in [
        (with_terms(document("1", 0), &[(3, 2.0)]), "beyond the vocabulary of 3"),
        (with_tokens(document("1", 0), &[("y", 2.0)]), "a vocabulary names terms given by number"),
    ] {
        let error = build_all(vec![bad], None, &again).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[test]
fn empty_documents_are_kept() {
    let out = tempdir().unwrap();
    let mut documents = vec![
        with_tokens(document("nothing", 1), &[]),
        with_tokens(document("vector", 2), &[("a", 1.0)]),
        with_tokens(document("text", 3), &[]),
        with_tokens(document("last", 4), &[]),
    ];
    documents[2].text = "only words".into();
    for shard_documents in [1, 4] {
        let mut options = options(out.path());
        options.ingest.shard_documents = shard_documents;
        options.overwrite = true;
        let report = build_all(documents.clone(), None, &options).unwrap();
        assert_eq!((report.documents, report.empty_vectors), (4, 3));
        let index = open(out.path());
        let segment = &index.segments()[0];
        assert_eq!(segment.entry().rows, 4);
        let text = segment.text().unwrap();
        assert_eq!(text.reader().max_doc(), 4);
        assert_eq!(text.stored(DocId(2)).unwrap().text, "only words");
        assert_eq!(text.stored(DocId(3)).unwrap(), Default::default());
        assert_eq!(segment.documents().find("last").next(), Some(DocId(3)));
        assert!(segment.forward().unwrap().record(DocId(3)).is_empty());
    }
}

#[test]
fn collections_without_documents_vectors_or_texts() {
    let out = tempdir().unwrap();
    let options = quarry_indexer::BuildOptions { overwrite: true, ..options(out.path()) };
    let encoder = FakeEncoder::default();
    for encoder in [None, Some(setup(&encoder, "fake"))] {
        assert_eq!(build_all(vec![], encoder.as_ref(), &options).unwrap().documents, 0);
        let index = open(out.path());
        assert!(index.segments().is_empty());
        // With a model the channels are known; without one the first documents decide.
        let known = encoder.is_some();
        assert_eq!((index.has_sparse(), index.has_text()), (known, known));
        assert_eq!(index.lexicon().is_some(), known);
        assert_eq!(collection::names(out.path()), collection::expected_names(out.path()));
    }
    build_all(texts(30), None, &options).unwrap();
    let index = open(out.path());
    assert_eq!((index.has_sparse(), index.has_text()), (false, true));
    assert!(index.lexicon().is_none());
    build_all(vec![document("bare", 1)], None, &options).unwrap();
    let index = open(out.path());
    assert_eq!((index.has_sparse(), index.has_text()), (false, false));
}

#[test]
fn a_document_of_100_000_components() {
    let out = tempdir().unwrap();
    let heavy: Vec<(u32, f32)> =
        (0..100_000u32).map(|t| (t, 0.1 + f32::from(u8::try_from(t % 200).unwrap()))).collect();
    let documents = vec![
        with_terms(document("light", 0), &[(5, 1.0), (99_999, 2.0)]),
        with_terms(document("heavy", 1), &heavy),
        with_terms(document("other", 2), &[(5, 1.0)]),
    ];
    // Lists of such a document repeat it in every summary; they are tested with shorter documents.
    let mut options = options(out.path());
    options.seal.lists = quarry_indexer::Lists::NONE;
    build_all(documents, None, &options).unwrap();
    let index = open(out.path());
    let segment = &index.segments()[0];
    let forward = segment.forward().unwrap();
    assert_eq!(forward.record(DocId(1)).len(), 100_000);
    assert_eq!(forward.record(DocId(2)).iter().map(|c| c.0).collect::<Vec<_>>(), [5]);
    for (weight, want) in forward.vector(DocId(1)).unwrap().weights().iter().zip(&heavy) {
        assert!((weight - want.1).abs() < 0.01);
    }
}

#[test]
fn repeated_ids_are_refused_with_both_lines() {
    // Within a shard; in a finished shard; in a shard that is being written.
    for (shard_documents, first, again) in
        [(64, 3, 40), (4, 1, 60), (1, 1, 2), (1, 30, 31), (1, 10, 63), (2, 1, 3)]
    {
        let out = tempdir().unwrap();
        let mut documents = vectors(64);
        documents[again - 1].id = documents[first - 1].id.clone();
        let wanted = documents[first - 1].id.clone();
        let mut options = options(out.path());
        options.ingest.shard_documents = shard_documents;
        match build_all(documents, None, &options).unwrap_err() {
            BuildError::DuplicateId { id, first: a, line: b } => {
                assert_eq!((id, a, b), (wanted, first as u64, again as u64));
            }
            error => panic!("{shard_documents}: {error:?}"),
        }
        // Finished shards are kept; without any, nothing blocks the next attempt.
        match quarry_index::Index::open(out.path(), Default::default()) {
            Err(IndexError::NoIndex { interrupted, .. }) => {
                assert_eq!(interrupted, again > shard_documents);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn mixtures_are_refused() {
    let cases: [(Document, Document, &str); 4] = [
        (with_tokens(document("a", 1), &[]), document("b", 2), "has no vector, earlier"),
        (document("a", 1), with_tokens(document("b", 2), &[]), "has a vector, earlier"),
        (
            with_tokens(document("a", 1), &[("t", 1.0)]),
            with_terms(document("b", 2), &[(1, 1.0)]),
            "tokens and term numbers are mixed",
        ),
        (
            with_terms(document("a", 1), &[(1, 1.0)]),
            with_tokens(document("b", 2), &[("t", 1.0)]),
            "tokens and term numbers are mixed",
        ),
    ];
    for (first, second, why) in cases {
        for shard_documents in [1, 2] {
            let out = tempdir().unwrap();
            let mut options = options(out.path());
            options.ingest.shard_documents = shard_documents;
            let error = build_all(vec![first.clone(), second.clone()], None, &options).unwrap_err();
            match &error {
                BuildError::Document { id, line: 2, what } if id == "b" && what.contains(why) => {}
                _ => panic!("{error:?}"),
            }
        }
    }
}

#[test]
fn bad_documents_are_named() {
    let out = tempdir().unwrap();
    let error = build_all(vec![document("", 9)], None, &options(out.path())).unwrap_err();
    assert!(matches!(error, BuildError::Document { line: 9, .. }), "{error:?}");
    for weight in [-1.0, f32::NAN, f32::INFINITY] {
        let out = tempdir().unwrap();
        let bad = with_tokens(document("bad", 4), &[("t", weight)]);
        let error = build_all(vec![bad], None, &options(out.path())).unwrap_err();
        assert!(matches!(error, BuildError::Vector { line: 4, .. }), "{error:?}");
    }
}

#[test]
fn parameters_out_of_range() {
    let out = tempdir().unwrap();
    let good = options(out.path());
    let mut cases = vec![good.clone(); 7];
    cases[0].seal.memory = LEAST_MEMORY - 1;
    cases[1].ingest.shard_documents = 0;
    cases[2].seal.seismic.centroid_fraction = 0.0;
    cases[3].seal.seismic.summary_energy = 1.5;
    cases[4].seal.seismic.max_fraction = f32::NAN;
    cases[5].seal.seismic.summary_energy = f32::NAN;
    cases[6].seal.seismic.max_fraction = 0.5;
    for bad in cases {
        let error = build_all(vec![], None, &bad).unwrap_err();
        assert!(matches!(error, BuildError::Memory { .. } | BuildError::Param { .. }), "{error:?}");
    }
    assert!(names(out.path()).is_empty());
}

#[test]
fn other_fields_of_any_shape() {
    let out = tempdir().unwrap();
    let mut odd = document("odd", 1);
    odd.text = "text".into();
    let fields = json!({
        "": "empty key", "a.b": {"c.d": [1, [2, {"e": null}]]}, "nul\u{0}key": "x", "\u{1}": true,
        "long": "y".repeat(100_000), "int": i64::MIN, "uint": u64::MAX, "float": 0.1 + 0.2,
        "date": "2024-02-30T00:00:00Z", "none": null, "empty": {}, "list": [],
    });
    odd.fields = fields.as_object().unwrap().clone();
    let mut options = options(out.path());
    // Several kinds in one list are refused, unless the field has the type `any`.
    let error = build_all(vec![odd.clone()], None, &options).unwrap_err().to_string();
    assert!(error.contains("a.b.c.d") && error.contains("--field"), "{error}");
    options.seal.fields.insert("a.b.c.d".into(), FieldRule::Given(FieldType::Any));
    options.overwrite = true;
    build_all(vec![odd], None, &options).unwrap();
    let index = open(out.path());
    let stored = index.segments()[0].text().unwrap().stored(DocId(0)).unwrap();
    assert_eq!(serde_json::Value::Object(stored.fields), fields);
}

#[test]
fn lists_and_levels_as_requested() {
    let build_with = |lists, levels, documents| {
        let out = tempdir().unwrap();
        let mut options = options(out.path());
        options.seal.lists = lists;
        options.seal.levels = levels;
        build_all(documents, None, &options).unwrap();
        let index = open(out.path());
        let segment = &index.segments()[0];
        let quantization = segment.forward().unwrap().meta().quantization;
        (segment.seismic().is_some(), quantization.levels, quantization.lossless)
    };
    let floats = || -> Vec<Document> {
        (0u16..50)
            .map(|d| {
                with_terms(document(&d.to_string(), 0), &[(0, f32::from(d).sin().abs() + 0.1)])
            })
            .collect()
    };
    assert_eq!(build_with(Lists::Auto, Levels::Auto, floats()), (false, LevelWidth::U16, false));
    assert_eq!(build_with(Lists::SEISMIC, Levels::U8, floats()), (true, LevelWidth::U8, false));
    let whole = vec![with_terms(document("1", 0), &[(0, 7.0)])];
    assert_eq!(build_with(Lists::NONE, Levels::U16, whole.clone()), (false, LevelWidth::U16, true));
    assert_eq!(build_with(Lists::NONE, Levels::Auto, whole), (false, LevelWidth::U8, true));
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let (a, b, c) = (tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap());
    build_all(vectors(500), None, &options(a.path())).unwrap();
    build_all(vectors(500), None, &options(b.path())).unwrap();
    assert_same(a.path(), b.path());
    // How documents are cut into shards changes no part, as long as no encoder depends on it.
    let mut other = options(c.path());
    other.ingest.shard_documents = 77;
    build_all(vectors(500), None, &other).unwrap();
    assert_same(a.path(), c.path());
}

#[test]
fn an_unreadable_record_stops_the_build() {
    let out = tempdir().unwrap();
    let bad = std::iter::once(Err(io::Error::other("line 1 is not JSON")));
    let error = build(bad, None, &options(out.path()), &|_| {}).unwrap_err();
    assert_eq!(error.to_string(), "line 1 is not JSON");
}

#[test]
fn progress_is_reported() {
    let out = tempdir().unwrap();
    let events = Mutex::new(Vec::new());
    let documents = vectors(40).into_iter().map(Ok::<_, io::Error>);
    build(documents, None, &options(out.path()), &|e| events.lock().unwrap().push(e)).unwrap();
    let events = events.into_inner().unwrap();
    let read: Vec<u64> = events
        .iter()
        .filter_map(|e| {
            if let Event::Documents { documents, .. } = e { Some(*documents) } else { None }
        })
        .collect();
    assert_eq!(read, [16, 32, 40]);
    assert!(events.contains(&Event::Stage { name: "forward index", total: 40 }));
}

#[test]
fn term_vectors_and_token_vectors_rank_alike() {
    // The same vectors by number: both forward indexes hold the same levels.
    let (a, b) = (tempdir().unwrap(), tempdir().unwrap());
    build_all(vectors(60), None, &options(a.path())).unwrap();
    let by_token = open(a.path());
    let lexicon = by_token.lexicon().unwrap();
    let mut documents = vectors(60);
    for document in &mut documents {
        let Some(InputVector::Tokens(tokens)) = document.vector.take() else { unreachable!() };
        let terms: Vec<(u32, f32)> =
            tokens.iter().map(|(t, w)| (lexicon.term(t).unwrap().0, *w)).collect();
        *document = with_terms(std::mem::take(document), &terms);
    }
    build_all(documents, None, &options(b.path())).unwrap();
    let (a, b) = (collection::contents(a.path()), collection::contents(b.path()));
    assert!(a["forward"] == b["forward"] && a["seismic"] == b["seismic"]);
}
