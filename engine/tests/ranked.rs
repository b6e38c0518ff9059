//! Rankings of a batch are those of its answers, a batch can be ended, and words alone go on being words alone.
#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use quarry_engine::write::{Add, Build, TextsAs, build_documents};
use quarry_engine::{
    Channel, Collection, EngineError, Models, OpenOptions, Query, SearchOptions, SparseQuery,
    Writer,
};
use quarry_vectors::{Document, InputVector};
use serde_json::Value;

fn document(number: usize) -> Result<Document, Infallible> {
    let tokens = vec![("rock".to_owned(), 1.0), (format!("t{}", number % 7), 0.5)];
    let vector = Some(InputVector::Tokens(tokens));
    Ok(Document { id: format!("d{number}"), vector, ..Document::default() })
}

fn opened(folder: &Path) -> Collection {
    let how = Build { out: folder.to_path_buf(), ..Build::default() };
    build_documents((0..50).map(document), Value::Null, &how, &Models::default(), &|_| {}).unwrap();
    Collection::open(folder, &OpenOptions::default()).unwrap()
}

fn queries() -> Vec<Query> {
    let one = |n: usize| vec![("rock".to_owned(), 1.0), (format!("t{n}"), 2.0)];
    (0..9).map(|n| Query::sparse(SparseQuery::Tokens(one(n)))).collect()
}

#[test]
fn rankings_are_those_of_answers() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = opened(folder.path()).snapshot();
    let options = SearchOptions::new(NonZeroUsize::new(5).unwrap());
    let answers = snapshot.search_batch(&queries(), &options).unwrap();
    let ranked = snapshot.rank_batch(&queries(), &options).unwrap();
    assert_eq!((answers.len(), ranked.len()), (9, 9));
    for (number, (answer, ranked)) in answers.into_iter().zip(ranked).enumerate() {
        let (answer, ranked) = (answer.unwrap(), ranked.unwrap());
        let wanted: Vec<_> = answer.hits.into_iter().map(|hit| (hit.id, hit.score)).collect();
        let found = snapshot.searcher().ranking(&ranked.hits);
        assert_eq!(found.into_iter().map(|hit| (hit.id, hit.score)).collect::<Vec<_>>(), wanted);
        assert_eq!(ranked.unknown.is_empty(), number < 7, "{number}: {:?}", ranked.unknown);
        for hit in &ranked.hits {
            assert_eq!(format!("d{}", snapshot.row(hit)), snapshot.searcher().id(hit));
        }
    }
}

#[test]
fn a_batch_that_is_cancelled_ends() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = opened(folder.path()).snapshot();
    let mut options = SearchOptions::new(NonZeroUsize::MIN);
    options.cancel = Some(Arc::new(AtomicBool::new(true)));
    let ended = snapshot.rank_batch(&queries(), &options).unwrap();
    assert!(ended.iter().all(|found| matches!(found, Err(EngineError::Cancelled))), "{ended:?}");
}

#[test]
fn documents_added_to_words_alone_need_no_model() {
    let folder = tempfile::tempdir().unwrap();
    let note = |id: &str| {
        let text = "the tide turns the mill".into();
        Ok::<_, Infallible>(Document { id: id.into(), text, ..Document::default() })
    };
    let how =
        Build { out: folder.path().to_path_buf(), texts_as: TextsAs::Bm25, ..Build::default() };
    build_documents([note("a")], Value::Null, &how, &Models::default(), &|_| {}).unwrap();
    let writer = Writer::open(folder.path(), Models::default()).unwrap();
    writer.add_documents([note("b")], &Add::default(), &|_| {}).unwrap();
    let opened = Collection::open(folder.path(), &OpenOptions::default()).unwrap();
    let options = SearchOptions::new(NonZeroUsize::new(9).unwrap()).on(Channel::Bm25);
    let found = opened.search_batch(&[Query::text("tide")], &options).unwrap();
    assert_eq!(found[0].as_ref().unwrap().hits.len(), 2);
}
