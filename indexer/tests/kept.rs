//! Additions and merges keep all features of an index, or are refused; an index without documents keeps
//! the features it was built with.
#![allow(clippy::unwrap_used, clippy::panic, dead_code, reason = "a panic fails the test")]

mod collection;
mod whole;

use std::path::Path;

use collection::{build_all, document, options, texts, vectors, with_tokens};
use proptest::prelude::*;
use quarry_index::features::Channels;
use quarry_index::seismic::TINY_SEGMENT;
use quarry_index::tokens::Form;
use quarry_index::{Index, Segment, Verify};
use quarry_indexer::{
    AddOptions, AddTokens, Adding, BuildError, BuildOptions, LEAST_MEMORY, Lists, MOST_SEGMENTS,
    Merge, Passages, TokenInput, TokenOptions, add, add_lists, add_tokens, build, default_clusters,
    default_seismic, delete, merge,
};
use quarry_vectors::{EncodeError, SplitText, TokenEmbeddings};
use serde_json::json;
use whole::{DIMS, Rows, add_more, bytes, more, read, setup, source, token_options, whole};

fn open(folder: &Path) -> Index {
    Index::open(folder, Verify::Full).unwrap()
}

fn merged(folder: &Path) -> Result<usize, BuildError> {
    merge(folder, Merge::All, LEAST_MEMORY, &|_| {}).map(|report| report.map_or(0, |r| r.merged))
}

/// The embeddings of each live document, by id, decoded from fp16.
fn embeddings(index: &Index) -> Vec<(String, Vec<f32>)> {
    let mut all: Vec<(String, Vec<f32>)> = Vec::new();
    for segment in index.segments() {
        let Some(store) = segment.tokens() else { continue };
        for row in 0..u32::try_from(segment.documents().len()).unwrap() {
            if segment.deleted().is_none_or(|gone| !gone.contains(row)) {
                let doc = quarry_vectors::DocId(row);
                let rows = store.document(doc).unwrap();
                all.push((segment.documents().id(doc).to_owned(), rows.values().to_vec()));
            }
        }
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

#[test]
fn added_documents_get_all_that_the_index_has() {
    for forms in [
        &[Form::Int8, Form::Fp16][..],
        &[Form::Fp16, Form::Residual],
        &[Form::Int8, Form::Fp16, Form::Residual, Form::Sign],
    ] {
        let folder = tempfile::tempdir().unwrap();
        whole(folder.path(), forms);
        // More than are tiny, which get no lists.
        add_more(folder.path(), more(100, TINY_SEGMENT + 1)).unwrap();
        add_more(folder.path(), more(100 + TINY_SEGMENT + 1, 5)).unwrap();
        let index = open(folder.path());
        let [first, second, tiny] = index.segments() else { panic!("{}", index.segments().len()) };
        let has = |s: &Segment| {
            [s.impact().is_some(), s.seismic().is_some(), s.clusters().is_some()]
                .into_iter()
                .chain([s.text().is_some(), s.provenance().is_some(), s.forward().is_some()])
                .all(|has| has)
        };
        assert!(has(first) && has(second));
        assert!(tiny.impact().is_none() && tiny.text().is_some() && tiny.forward().is_some());
        let (a, b) = (first.tokens().unwrap().meta(), second.tokens().unwrap().meta());
        assert_eq!((&a.forms, a.pool, a.dims, &a.source), (&b.forms, b.pool, b.dims, &b.source));
        assert!(index.has_tokens());
        let before = embeddings(&index);
        assert_eq!(before.len() as u64, 39 + TINY_SEGMENT + 1 + 5);
        drop(index);
        // A merge carries all of it over.
        assert_eq!(merged(folder.path()).unwrap(), 3);
        let index = open(folder.path());
        assert!(has(&index.segments()[0]) && index.has_tokens());
        assert_eq!(embeddings(&index), before);
    }
}

#[test]
fn token_embeddings_are_made_or_refused_and_gaps_filled() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    whole(path, &[Form::Int8, Form::Fp16]);
    let mut given = options(path);
    given.seal.lists = Lists::Auto;
    let plain = Adding::new(&given);
    let refused = |tokens: AddTokens<'_>| {
        let before = bytes(path);
        let adding = Adding { tokens, ..plain };
        let error = add(read(more(100, 3)), Some(&setup()), &adding, &|_| {}).unwrap_err();
        assert!(bytes(path) == before, "{error}");
        error
    };
    let error = refused(AddTokens::None);
    assert!(matches!(error, BuildError::NeedsTokens { .. }), "{error}");
    assert!(error.to_string().contains("--without-tokens"), "{error}");
    let other = json!({"model_name": "rows", "sha256": "of others"});
    let error = refused(AddTokens::Encoder(&Rows, &other));
    assert!(matches!(error, BuildError::OtherTokens { .. }), "{error}");
    // The same files under another name are the same model.
    let renamed = json!({"model_name": "org/rows", "sha256": "of rows"});
    let adding = Adding { tokens: AddTokens::Encoder(&Rows, &renamed), ..plain };
    add(read(more(100, 3)), Some(&setup()), &adding, &|_| {}).unwrap();
    assert!(open(path).has_tokens());
    let without = Adding { tokens: AddTokens::Without, ..plain };
    add(read(more(200, 3)), Some(&setup()), &without, &|_| {}).unwrap();
    let index = open(path);
    assert!(!index.has_tokens());
    assert_eq!(index.token_dims(), Some(DIMS));
    let lacks: Vec<String> = index.without_tokens().map(|s| s.entry().id.to_string()).collect();
    assert_eq!(lacks.len(), 1);
    drop(index);
    // A merge would lose the others' embeddings: it names the segments without, and changes nothing.
    let before = bytes(path);
    match merged(path) {
        Err(BuildError::TokensMissing { segments, none: true, .. }) => {
            assert!(segments[0].starts_with(&lacks[0]) && segments[0].contains("3 documents"));
        }
        other => panic!("{other:?}"),
    }
    assert!(bytes(path) == before);
    // Only documents without embeddings are encoded, and stored as the others are.
    let fill =
        |options: &TokenOptions| add_tokens(path, options, TokenInput::Encoder(&Rows), &|_| {});
    for wrong in [
        token_options(&[Form::Int8]),
        TokenOptions { pool: 2, ..token_options(&[Form::Int8, Form::Fp16]) },
        TokenOptions { source: other, ..token_options(&[Form::Int8, Form::Fp16]) },
    ] {
        let error = fill(&wrong).unwrap_err();
        assert!(matches!(error, BuildError::OtherTokens { .. }), "{error}");
    }
    let parts = || -> Vec<String> {
        let index = open(path);
        let tokens = index.manifest().parts().filter(|p| p.kind == "tokens");
        tokens.map(|p| p.file.clone()).collect()
    };
    let were = parts();
    fill(&token_options(&[Form::Fp16, Form::Int8])).unwrap();
    let now = parts();
    assert_eq!((were.len(), now.len()), (2, 3));
    assert!(were.iter().all(|file| now.contains(file)));
    let error = fill(&token_options(&[Form::Int8, Form::Fp16])).unwrap_err();
    assert!(matches!(error, BuildError::HasTokens { .. }), "{error}");
    assert_eq!(merged(path).unwrap(), 3);
    assert!(open(path).has_tokens());
}

/// Imported rows cannot be made by a model: the error names the way to add them, which fills the gap.
#[test]
fn imported_rows_are_continued_by_further_imports() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    build_all(texts(20), Some(&setup()), &options(path)).unwrap();
    let imported =
        |file: &str| TokenOptions { source: json!({"file": file}), ..token_options(&[Form::Int8]) };
    let mut rows = |_: &str| Ok(TokenEmbeddings::new(2, vec![0.6, 0.8]).unwrap());
    add_tokens(path, &imported("a.npy"), TokenInput::Rows(2, &mut rows), &|_| {}).unwrap();
    let given = options(path);
    let source = source();
    let with = Adding { tokens: AddTokens::Encoder(&Rows, &source), ..Adding::new(&given) };
    let error = add(read(more(50, 2)), Some(&setup()), &with, &|_| {}).unwrap_err();
    assert!(matches!(error, BuildError::OtherTokens { .. }), "{error}");
    let without = Adding { tokens: AddTokens::Without, ..Adding::new(&given) };
    add(read(more(50, 2)), Some(&setup()), &without, &|_| {}).unwrap();
    assert!(!open(path).has_tokens());
    let mut asked = Vec::new();
    let mut rows = |id: &str| {
        asked.push(id.to_owned());
        Ok(TokenEmbeddings::new(2, vec![0.8, 0.6]).unwrap())
    };
    add_tokens(path, &imported("b.npy"), TokenInput::Rows(2, &mut rows), &|_| {}).unwrap();
    assert!(asked.iter().all(|id| id.starts_with("more-")), "{asked:?}");
    assert!(open(path).has_tokens());
    assert_eq!(merged(path).unwrap(), 2);
}

/// The merge policy loses nothing either: it merges segments without embeddings with each other.
#[test]
fn a_policy_merges_what_fits_together() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    whole(path, &[Form::Int8]);
    let mut given = options(path);
    given.seal.lists = Lists::Auto;
    for batch in 1..=MOST_SEGMENTS as u64 {
        if batch % 3 == 0 {
            let tokens = AddTokens::Without;
            let adding = Adding { tokens, merge: true, ..Adding::new(&given) };
            add(read(more(100 * batch, 2)), Some(&setup()), &adding, &|_| {}).unwrap();
        } else {
            add_more(path, more(100 * batch, 2)).unwrap();
        }
    }
    let index = open(path);
    assert!(index.segments().len() < MOST_SEGMENTS, "{}", index.segments().len());
    let without: u64 = index.without_tokens().map(|s| s.entry().documents).sum();
    assert_eq!(without, 4);
}

struct TwoWords;

impl SplitText for TwoWords {
    fn split(&self, _: &str, text: &str) -> Result<Vec<std::ops::Range<usize>>, EncodeError> {
        let mut cuts: Vec<usize> =
            text.match_indices(' ').map(|m| m.0 + 1).skip(1).step_by(2).collect();
        cuts.insert(0, 0);
        cuts.push(text.len());
        Ok(cuts.windows(2).map(|w| w[0]..w[1]).collect())
    }
}

/// Added texts are split into passages as the index has them.
#[test]
fn passages_are_cut_as_the_index_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let passages = |tokens, overlap| Some(Passages { splitter: &TwoWords, tokens, overlap });
    let with = |passages| quarry_indexer::EncoderSetup { passages, ..setup() };
    build_all(texts(20), Some(&with(passages(8, 2))), &options(path)).unwrap();
    let given = options(path);
    for wrong in [None, passages(8, 3), passages(9, 2)] {
        let setup = with(wrong);
        match add(read(more(50, 2)), Some(&setup), &Adding::new(&given), &|_| {}) {
            Err(BuildError::OtherRules { what: "passages", built, .. }) => {
                assert!(built.contains("8 tokens"), "{built}");
            }
            other => panic!("{other:?}"),
        }
    }
    let report =
        add(read(more(50, 2)), Some(&with(passages(8, 2))), &Adding::new(&given), &|_| {}).unwrap();
    assert_eq!(report.added, 2);
    let built = quarry_indexer::AsBuilt::of(&open(path));
    assert_eq!((built.passages, built.provenance), (Some([8, 2]), true));
}

/// After all documents are deleted and others added, the index has the same features.
#[test]
fn an_emptied_index_keeps_its_features() {
    for lists in [Lists::NONE, whole::ALL] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        whole(path, &[Form::Int8, Form::Fp16]);
        if lists == Lists::NONE {
            let mut options = options(path);
            options.seal.lists = lists;
            options.overwrite = true;
            build(read(texts(40)), Some(&setup()), &options, &|_| {}).unwrap();
        }
        let had = open(path).features().clone();
        let ids: Vec<String> = (0..40).map(|n| format!("doc-{n}")).collect();
        delete(path, ids.iter().map(String::as_str)).unwrap();
        assert_eq!(open(path).manifest().documents(), 0);
        assert_eq!(merged(path).unwrap(), 1);
        let index = open(path);
        assert!(index.segments().is_empty() && index.has_sparse() && index.has_text());
        assert_eq!(*index.features(), had);
        assert_eq!(collection::names(path), collection::expected_names(path));
        drop(index);
        let some = TINY_SEGMENT + 1;
        // Changes that affect no document are valid.
        assert_eq!(merged(path).unwrap(), 0);
        assert_eq!(delete(path, ["doc-1"]).unwrap().deleted, 0);
        if lists == Lists::NONE {
            let mut given = options(path);
            given.seal.lists = lists;
            add(read(texts(some)), Some(&setup()), &Adding::new(&given), &|_| {}).unwrap();
        } else {
            add_more(path, texts(some)).unwrap();
        }
        let index = open(path);
        let segment = &index.segments()[0];
        assert_eq!(
            (index.manifest().documents(), index.has_sparse(), index.has_text()),
            (some, true, true)
        );
        assert_eq!(segment.forward().unwrap().meta().dimension, index.lexicon().unwrap().len());
        assert_eq!(segment.impact().is_some(), lists != Lists::NONE);
        assert_eq!(segment.tokens().is_some(), had.tokens.is_some());
    }
}

/// An index built without documents takes those that it was built for.
#[test]
fn an_index_without_documents_takes_documents() {
    let words = Some(Channels { sparse: false, bm25: true });
    for (encoded, channels) in [(true, None), (false, words), (false, None)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let encoder = encoded.then(setup);
        let given = BuildOptions { channels, ..options(path) };
        let report = build_all(vec![], encoder.as_ref(), &given).unwrap();
        assert_eq!(report.documents, 0);
        let index = open(path);
        assert_eq!(index.has_sparse(), encoded);
        assert_eq!(index.has_text(), encoded || channels.is_some());
        drop(index);
        let adding = Adding::new(&given);
        if encoded {
            // Another model or none is refused, since the command's model is recorded.
            let error = add(read(vectors(3)), None, &adding, &|_| {}).unwrap_err();
            assert!(matches!(error, BuildError::OtherEncoder { .. }), "{error}");
        }
        if channels.is_some() {
            let error = add(read(vectors(3)), None, &adding, &|_| {}).unwrap_err();
            assert!(matches!(error, BuildError::OtherKind { has_vectors: false, .. }), "{error}");
        }
        add(read(texts(5)), encoder.as_ref(), &adding, &|_| {}).unwrap();
        let index = open(path);
        assert_eq!((index.manifest().documents(), index.has_text()), (5, true));
        assert_eq!(index.has_sparse(), encoded);
    }
    // If nothing was specified the first documents decide: here vectors by token, without texts.
    let folder = tempfile::tempdir().unwrap();
    let given = options(folder.path());
    build_all(vec![], None, &given).unwrap();
    let one = with_tokens(document("a", 1), &[("rock", 1.5), ("sea", 2.0)]);
    add(read(vec![one]), None, &Adding::new(&given), &|_| {}).unwrap();
    let index = open(folder.path());
    assert_eq!((index.has_sparse(), index.has_text()), (true, false));
    assert_eq!(index.lexicon().unwrap().term("sea").map(|t| t.0), Some(1));
}

/// Lists added to an index without documents are built for documents added later.
#[test]
fn lists_of_an_empty_index() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    build_all(vec![], Some(&setup()), &{
        let mut built = options(path);
        built.seal.lists = Lists::NONE;
        built
    })
    .unwrap();
    let lists = AddOptions {
        words: false,
        impact: true,
        seismic: Some(default_seismic()),
        clusters: Some(default_clusters()),
        memory: LEAST_MEMORY,
    };
    assert!(add_lists(path, &lists, &|_| {}).unwrap().is_some());
    assert!(add_lists(path, &lists, &|_| {}).unwrap().is_none());
    let mut given = options(path);
    given.seal.lists = Lists::Auto;
    add(read(texts(TINY_SEGMENT + 1)), Some(&setup()), &Adding::new(&given), &|_| {}).unwrap();
    let index = open(path);
    let segment = &index.segments()[0];
    assert!(
        segment.impact().is_some() && segment.seismic().is_some() && segment.clusters().is_some()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// After any sequence of changes the index has its features, and every live document its embeddings.
    #[test]
    fn features_outlive_every_change(steps in prop::collection::vec(0u8..5, 1..8)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        whole(path, &[Form::Int8, Form::Fp16]);
        let had = open(path).features().clone();
        let mut live: std::collections::BTreeSet<String> =
            (0..40).filter(|n| *n != 3).map(|n| format!("doc-{n}")).collect();
        for (at, step) in (0u64..).zip(&steps) {
            match step {
                0 | 1 => {
                    let batch = more(60 + 5 * at, 4);
                    live.extend(batch.iter().map(|d| d.id.clone()));
                    add_more(path, batch).unwrap();
                }
                2 => {
                    let gone: Vec<String> = live.iter().take(15).cloned().collect();
                    delete(path, gone.iter().map(String::as_str)).unwrap();
                    gone.iter().for_each(|id| { live.remove(id); });
                }
                3 => {
                    delete(path, live.iter().map(String::as_str)).unwrap();
                    live.clear();
                }
                _ => { merged(path).unwrap(); }
            }
            let index = open(path);
            prop_assert_eq!(index.features(), &had);
            prop_assert_eq!(index.manifest().documents(), live.len() as u64);
            prop_assert!(index.has_sparse() && index.has_text());
            prop_assert!(index.without_tokens().next().is_none());
            let found: Vec<String> = embeddings(&index).into_iter().map(|e| e.0).collect();
            prop_assert!(found.iter().eq(live.iter()), "{:?}", steps);
        }
    }
}
