//! A collection with a small index of vectors and texts: searched, changed and searched again.
#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use quarry_engine::write::{Add, Build, build_documents};
use quarry_engine::{
    Channel, Collection, Document, EncodeError, EngineError, InputVector, ModelSource, Models,
    OpenOptions, Query, QueryModel, RerankOptions, Search, SearchError, SearchOptions, SparseQuery,
    SparseVector, WarningKind, Writer,
};
use quarry_vectors::EncodeQuery;
use serde_json::json;

/// id, title, text, weights by token.
type Row = (&'static str, &'static str, &'static str, &'static [(&'static str, f32)]);

const ROWS: [Row; 3] = [
    ("d1", "Dogs", "Dogs sleep.", &[("dog", 2.5), ("sleep", 1.25)]),
    ("d2", "Cats", "Cats sleep and run.", &[("cat", 2.0), ("sleep", 0.5)]),
    ("d3", "Birds", "Birds run from dogs.", &[("bird", 3.0), ("dog", 0.5), ("run", 1.0)]),
];

fn documents(rows: &[Row]) -> Vec<Result<Document, Infallible>> {
    let of = |row: &Row| {
        let vector = row.3.iter().map(|(token, weight)| ((*token).to_owned(), *weight)).collect();
        Ok(Document {
            id: row.0.to_owned(),
            title: row.1.to_owned(),
            text: row.2.to_owned(),
            fields: json!({"kind": row.1.to_lowercase()}).as_object().unwrap().clone(),
            vector: Some(InputVector::Tokens(vector)),
            ..Document::default()
        })
    };
    rows.iter().map(of).collect()
}

fn built(folder: &Path) {
    let build = Build { out: folder.to_path_buf(), ..Build::default() };
    build_documents(documents(&ROWS), json!("rows"), &build, &Models::default(), &|_| {}).unwrap();
}

/// Encodes words as tokens of weight 1, with their positions in the list as numbers.
struct Words(Vec<String>);

impl EncodeQuery for Words {
    fn encode_query(&self, text: &str) -> Result<SparseVector, EncodeError> {
        if text == "fail" {
            return Err(EncodeError("asked to".into()));
        }
        let number = |word: &str| self.0.iter().position(|token| token == word);
        let pairs = text.split(' ').filter_map(number).map(|at| (u32::try_from(at).unwrap(), 1.0));
        Ok(SparseVector::from_pairs(pairs).unwrap())
    }
}

fn opened(folder: &Path) -> Collection {
    let index = quarry_engine::Index::open(folder, quarry_engine::Verify::Full).unwrap();
    let lexicon = index.lexicon().unwrap();
    let mut tokens: Vec<String> =
        (0..lexicon.len()).map(|term| lexicon.token(quarry_vectors::TermId(term))).collect();
    // One term more than the index has.
    tokens.push("alien".to_owned());
    let mut options = OpenOptions::default();
    options.queries = QueryModel::Encoder(Arc::new(Words(tokens)));
    Collection::open(folder, &options).unwrap()
}

fn k(k: usize) -> SearchOptions {
    SearchOptions::new(NonZeroUsize::new(k).unwrap())
}

fn tokens(pairs: &[(&str, f32)]) -> Query {
    let pairs = pairs.iter().map(|(token, weight)| ((*token).to_owned(), *weight)).collect();
    Query::sparse(SparseQuery::Tokens(pairs))
}

fn ids(answer: &quarry_engine::Answer) -> Vec<&str> {
    answer.hits.iter().map(|hit| hit.id.as_str()).collect()
}

#[test]
fn an_answer_has_the_fields_requested() {
    let folder = tempfile::tempdir().unwrap();
    built(folder.path());
    let collection = opened(folder.path());
    let mut options = k(10).with_fields(["title", "kind", "nothing"]);
    options.explain = true;
    let answer = collection.search(&Search::new(Query::text("dog sleep"), options)).unwrap();
    assert_eq!(ids(&answer), ["d1", "d3", "d2"]);
    let hit = &answer.hits[0];
    assert_eq!((hit.rank, hit.score), (1, 3.75));
    assert_eq!(hit.channels.sparse.map(|placed| (placed.rank, placed.score)), Some((1, 3.75)));
    assert_eq!(hit.channels.bm25, None);
    assert_eq!(
        serde_json::to_value(&hit.fields).unwrap(),
        json!({"title": "Dogs", "kind": "dogs"})
    );
    let matched: Vec<&str> =
        hit.matched.as_ref().unwrap().iter().map(|m| m.token.as_str()).collect();
    assert_eq!(matched, ["dog", "sleep"]);
    assert_eq!(answer.version.generation, 1);
    assert_eq!(answer.warnings.len(), 1);
    assert_eq!(answer.warnings[0].kind, WarningKind::UnknownFields);
    assert_eq!(answer.warnings[0].names, ["nothing"]);
}

#[test]
fn tokens_terms_and_text_give_the_same_vector() {
    let folder = tempfile::tempdir().unwrap();
    built(folder.path());
    let collection = opened(folder.path());
    let by_text = collection.search(&Search::new(Query::text("dog alien"), k(10))).unwrap();
    assert_eq!(ids(&by_text), ["d1", "d3"]);
    assert_eq!(by_text.warnings[0].kind, WarningKind::UnknownTerms);
    let by_token = Search::new(tokens(&[("dog", 0.5), ("dog", 0.5), ("wolf", 1.0)]), k(10));
    let by_token = collection.search(&by_token).unwrap();
    assert_eq!(by_token.hits, by_text.hits);
    assert_eq!(by_token.warnings[0].to_string(), "1 tokens the index does not know: wolf");
    let term = collection.snapshot().index().lexicon().unwrap().term("dog").unwrap().0;
    let vector = SparseVector::from_pairs([(term, 1.0), (4000, 1.0)]).unwrap();
    let by_term = Search::new(Query::sparse(SparseQuery::Terms(vector)), k(10));
    let by_term = collection.search(&by_term).unwrap();
    assert_eq!(by_term.hits, by_text.hits);
    assert_eq!(by_term.warnings[0].names, ["4000"]);
    // The index numbers its terms in order of occurrence, so a caller's term numbers mean nothing.
    let number = Search::new(Query::sparse(SparseQuery::Numbers(vec![(0, 1.0)])), k(10));
    let error = collection.search(&number).unwrap_err();
    let named = quarry_engine::IndexError::NamedTerms { path: folder.path().into(), number: 0 };
    assert_eq!(error.to_string(), named.to_string());
}

#[test]
fn a_batch_has_an_error_for_the_query_at_fault_alone() {
    let folder = tempfile::tempdir().unwrap();
    built(folder.path());
    let collection = opened(folder.path());
    let heavy = tokens(&[("dog", f32::MAX), ("dog", f32::MAX)]);
    let queries = [Query::text("dog"), Query::text("fail"), heavy, Query::default()];
    let found = collection.search_batch(&queries, &k(10)).unwrap();
    assert_eq!(ids(found[0].as_ref().unwrap()), ["d1", "d3"]);
    assert!(matches!(found[1], Err(EngineError::Encode(_))), "{found:?}");
    assert!(matches!(found[2], Err(EngineError::Weights { .. })), "{found:?}");
    assert!(matches!(found[3], Err(EngineError::NoQuery { channel: "sparse" })), "{found:?}");
    // An error that affects all queries is returned once.
    let bad = collection.search_batch(&queries, &k(10).filtered("colour:red"));
    assert!(matches!(bad, Err(EngineError::Search(SearchError::Filter { .. }))), "{bad:?}");
    let one_by_one = collection.search(&Search::new(Query::text("dog"), k(10))).unwrap();
    assert_eq!(found[0].as_ref().unwrap().hits, one_by_one.hits);
}

#[test]
fn words_and_filters() {
    let folder = tempfile::tempdir().unwrap();
    built(folder.path());
    let collection = opened(folder.path());
    let search = |text: &str, options: SearchOptions| {
        collection.search(&Search::new(Query::text(text), options)).unwrap()
    };
    let answer = search("sleeping dogs of wolves", k(1).on(Channel::Bm25));
    assert_eq!(ids(&answer), ["d1"]);
    assert_eq!(answer.hits[0].channels.bm25.unwrap().score, answer.hits[0].score);
    assert_eq!(answer.warnings[0].kind, WarningKind::UnknownWords);
    assert!(answer.warnings[0].names.contains(&"wolves".to_owned()), "{:?}", answer.warnings);
    let answer = search("wolves", k(1).on(Channel::Bm25));
    assert_eq!(answer.warnings.last().unwrap().kind, WarningKind::EmptyWords);
    for _ in 0..2 {
        assert_eq!(ids(&search("dog sleep", k(10).filtered("kind:birds"))), ["d3"]);
    }
}

#[test]
fn what_cannot_be_done_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    built(folder.path());
    let collection = opened(folder.path());
    let fails = |query: Query, options: SearchOptions| {
        collection.search(&Search::new(query, options)).unwrap_err()
    };
    let dog = || Query::text("dog");
    let error = fails(dog(), k(1).reranked(RerankOptions::default()));
    assert!(matches!(error, EngineError::Search(SearchError::NoTokens)), "{error}");
    let error = fails(dog(), k(1).on(Channel::Maxsim));
    assert!(matches!(error, EngineError::Search(SearchError::NoTokens)), "{error}");
    let error = fails(tokens(&[("dog", 1.0)]), k(1).on(Channel::Bm25));
    assert!(matches!(error, EngineError::NoQuery { channel: "bm25" }), "{error}");
    let mut two = k(1);
    two.channels.push(Channel::Sparse);
    assert!(matches!(fails(dog(), two), EngineError::RepeatedChannel { .. }));
    let mut late = k(1);
    late.deadline = Some(Instant::now() - Duration::from_millis(1));
    assert!(matches!(fails(dog(), late), EngineError::Search(SearchError::Timeout)));
    let mut cancelled = k(1);
    cancelled.cancel = Some(Arc::new(AtomicBool::new(true)));
    assert!(matches!(fails(dog(), cancelled), EngineError::Cancelled));
    let mut long = k(3).with_fields(["text"]);
    long.most_bytes = NonZeroUsize::new(40);
    assert!(matches!(
        fails(Query::text("dog sleep"), long.clone()),
        EngineError::AnswerTooLarge { .. }
    ));
    long.most_bytes = NonZeroUsize::new(4000);
    assert_eq!(collection.search(&Search::new(dog(), long)).unwrap().hits.len(), 2);
    // Without an encoder, a text cannot be searched on the sparse channel.
    let bare = Collection::open(folder.path(), &OpenOptions::default()).unwrap();
    let error = bare.search(&Search::text("dog", NonZeroUsize::MIN)).unwrap_err();
    assert!(matches!(error, EngineError::NoQueryEncoder), "{error}");
    assert_eq!(bare.describe().text_queries, [Channel::Bm25]);
    assert_eq!(collection.describe().text_queries, [Channel::Sparse, Channel::Bm25]);
    assert!(Collection::open(&folder.path().join("none"), &OpenOptions::default()).is_err());
}

#[test]
fn documents_by_id() {
    let folder = tempfile::tempdir().unwrap();
    built(folder.path());
    let collection = opened(folder.path());
    let document = collection.document("d1").unwrap();
    let fields = json!({"title": "Dogs", "text": "Dogs sleep.", "kind": "dogs"});
    assert_eq!(serde_json::to_value(&document.fields).unwrap(), fields);
    let found = collection.documents(&["d2", "none"]);
    assert_eq!(found[0].as_ref().unwrap().id, "d2");
    assert!(matches!(&found[1], Err(EngineError::UnknownDocument { id }) if id == "none"));
}

#[test]
fn a_newer_generation_is_seen_after_a_reload() {
    let folder = tempfile::tempdir().unwrap();
    built(folder.path());
    let collection = opened(folder.path());
    let search = Search::new(Query::text("dog"), k(10).filtered("kind:*"));
    let before = collection.snapshot();
    assert_eq!(ids(&collection.search(&search).unwrap()), ["d1", "d3"]);
    assert!(!collection.reload_if_newer().unwrap(), "nothing was written");
    let writer = Writer::open(folder.path(), Models::default()).unwrap();
    writer.delete(["d1"]).unwrap();
    let more: [Row; 1] = [("d4", "Packs", "Dogs and dogs.", &[("dog", 4.0)])];
    writer.add_documents(documents(&more), &Add::default(), &|_| {}).unwrap();
    assert_eq!(ids(&collection.search(&search).unwrap()), ["d1", "d3"], "not yet");
    assert!(collection.reload_if_newer().unwrap());
    let answer = collection.search(&search).unwrap();
    assert_eq!(ids(&answer), ["d4", "d3"], "the filter kept before is not used");
    assert_eq!(answer.version.generation, 3);
    assert!(!collection.reload_if_newer().unwrap());
    // A holder of the old snapshot still sees the old generation.
    assert_eq!(ids(&before.search(&search).unwrap()), ["d1", "d3"]);
    assert_eq!(before.version().generation, 1);
}

/// With the bundled model, if the checkout has it: encodes texts, and queries with the index's own copies.
#[test]
fn texts_by_the_bundled_model() {
    let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/quarry-mini");
    if !bundled.join("model.onnx").is_file() {
        println!("skipped: no bundled model");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let models = Models { bundled: Some(bundled), ..Models::default() };
    let build = Build { out: folder.path().to_path_buf(), ..Build::default() };
    let texts = documents(&ROWS)
        .into_iter()
        .map(|document| document.map(|document| Document { vector: None, ..document }));
    build_documents(texts, json!("texts"), &build, &models, &|_| {}).unwrap();
    let search = Search::text("a bird", NonZeroUsize::MIN);
    let copies = Collection::open(folder.path(), &OpenOptions::default()).unwrap();
    let by_copies = copies.search(&search).unwrap();
    assert_eq!(ids(&by_copies), ["d3"]);
    let given = OpenOptions::default().with_model(ModelSource::Bundled, models);
    let by_model = Collection::open(folder.path(), &given).unwrap().search(&search).unwrap();
    assert_eq!(by_model.hits, by_copies.hits);
    // Without a source for it, opening the model is an error.
    let nowhere = OpenOptions::default().with_model(ModelSource::Bundled, Models::default());
    let error = Collection::open(folder.path(), &nowhere).unwrap_err();
    assert!(matches!(error, EngineError::NoBundledModel), "{error}");
}
