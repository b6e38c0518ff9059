//! An index that is changed while it is read, checked at every step against a map of documents.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test fails by it")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

use common::{exact_query, options, thorough, top, vector};
use proptest::prelude::*;
use quarry_index::{Index, Verify};
use quarry_indexer::{
    Adding, BuildError, LEAST_MEMORY, Lists, MOST_SEGMENTS, Merge, add, build, delete, merge,
};
use quarry_searcher::{ChannelQuery, Method, Options, Searcher};
use quarry_vectors::{Document, InputVector, SparseVector, better};

type Model = BTreeMap<String, (SparseVector, String)>;

#[derive(Debug, Clone)]
enum Step {
    Add(Vec<(u8, Vec<(u32, u8)>)>),
    Delete(Vec<u8>),
    Merge(Merge),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let terms = prop::collection::vec((0u32..20, 1u8..9), 0..6);
    let step = prop_oneof![
        4 => prop::collection::vec((0u8..40, terms), 0..12).prop_map(Step::Add),
        2 => prop::collection::vec(0u8..50, 0..6).prop_map(Step::Delete),
        1 => prop_oneof![Just(Merge::All), Just(Merge::Policy)].prop_map(Step::Merge),
    ];
    prop::collection::vec(step, 1..14)
}

fn document((id, terms): &(u8, Vec<(u32, u8)>), line: u64) -> Document {
    let mut pairs: Vec<(u32, f32)> = terms.iter().map(|(t, w)| (*t, f32::from(*w))).collect();
    pairs.sort_by_key(|p| p.0);
    pairs.dedup_by_key(|p| p.0);
    Document {
        id: format!("d{id}"),
        text: if id % 3 == 0 { String::new() } else { format!("rock {line}") },
        vector: Some(InputVector::Terms(vector(&pairs))),
        line,
        ..Document::default()
    }
}

fn read(documents: Vec<Document>) -> impl Iterator<Item = Result<Document, io::Error>> + Send {
    documents.into_iter().map(Ok)
}

fn entered(model: &mut Model, documents: &[Document]) {
    for document in documents {
        let Some(InputVector::Terms(vector)) = &document.vector else { unreachable!() };
        model.insert(document.id.clone(), (vector.clone(), document.text.clone()));
    }
}

fn check(folder: &Path, model: &Model, query: &SparseVector) {
    let index = Arc::new(Index::open(folder, Verify::Full).unwrap());
    let searcher = Searcher::new(Arc::clone(&index));
    assert_eq!(index.manifest().documents(), model.len() as u64);
    let mut want: Vec<(f64, &str)> =
        model.iter().map(|(id, (v, _))| (v.dot(query), id.as_str())).collect();
    want.retain(|hit| hit.0 > 0.0);
    want.sort_by(|a, b| better((a.0, a.1.as_bytes()), (b.0, b.1.as_bytes())));
    want.truncate(7);
    for method in [Method::Exact, Method::Scan] {
        let found = searcher.search(&ChannelQuery::Sparse(query), &thorough(7, method)).unwrap();
        let hits: Vec<(f64, &str)> = found.hits.iter().map(|h| (h.score, searcher.id(h))).collect();
        assert_eq!(hits, want, "{method:?}");
    }
    for (id, (_, text)) in model {
        let hit = searcher.find(id).unwrap();
        assert_eq!(&searcher.stored(&hit).unwrap().unwrap().text, text, "{id}");
    }
    assert!(
        (0..50)
            .map(|n| format!("d{n}"))
            .all(|id| searcher.find(&id).is_some() == model.contains_key(&id))
    );
    let words = searcher.search(&ChannelQuery::Words("rock"), &Options::new(top(100))).unwrap();
    let found: BTreeSet<&str> = words.hits.iter().map(|h| searcher.id(h)).collect();
    let wanted: BTreeSet<&str> =
        model.iter().filter(|(_, (_, t))| !t.is_empty()).map(|(id, _)| id.as_str()).collect();
    assert_eq!(found, wanted);
    let filter = searcher.filter("*").unwrap();
    assert_eq!(filter.rows(), model.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn changes_are_those_of_a_map(
        first in prop::collection::vec((0u8..40, prop::collection::vec((0u32..20, 1u8..9), 1..6)), 1..30),
        steps in steps(),
        query in exact_query(20),
        lists in prop_oneof![
            Just(Lists::NONE),
            Just(Lists::IMPACT),
            Just(Lists::These { impact: true, seismic: true, clusters: true }),
        ],
    ) {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let mut built = options(folder);
        built.seal.lists = lists;
        let mut model = Model::new();
        let mut seen = BTreeSet::new();
        let first: Vec<Document> = first
            .iter()
            .filter(|d| seen.insert(d.0))
            .zip(1..)
            .map(|(d, line)| Document { text: "rock 0".into(), ..document(d, line) })
            .collect();
        entered(&mut model, &first);
        build(read(first), None, &built, &|_| {}).unwrap();
        check(folder, &model, &query);
        for step in &steps {
            let before = Arc::new(Index::open(folder, Verify::Envelope).unwrap());
            let old = before.manifest().clone();
            match step {
                Step::Add(batch) => {
                    let batch: Vec<Document> = batch.iter().zip(1..).map(|(d, line)| document(d, line)).collect();
                    let known = batch.iter().map(|d| d.id.clone()).collect::<BTreeSet<_>>();
                    let replaced = known.iter().filter(|id| model.contains_key(*id)).count();
                    entered(&mut model, &batch);
                    let count = batch.len();
                    let report = add(read(batch), None, &Adding::new(&built), &|_| {}).unwrap();
                    prop_assert_eq!(report.added, known.len() as u64);
                    prop_assert_eq!(report.repeated, (count - known.len()) as u64);
                    prop_assert_eq!(report.replaced, replaced as u64);
                }
                Step::Delete(ids) => {
                    let ids: Vec<String> = ids.iter().map(|n| format!("d{n}")).collect();
                    let report = delete(folder, ids.iter().map(String::as_str)).unwrap();
                    let unique: BTreeSet<&String> = ids.iter().collect();
                    let there = unique.iter().filter(|id| model.remove(**id).is_some()).count();
                    prop_assert_eq!(report.deleted, there as u64);
                    prop_assert_eq!(report.unknown.len(), ids.len() - there);
                }
                Step::Merge(which) => {
                    let report = merge(folder, *which, LEAST_MEMORY, &|_| {}).unwrap();
                    let now = Index::open(folder, Verify::Envelope).unwrap().segments().len();
                    if *which == Merge::All {
                        prop_assert_eq!(now, usize::from(!model.is_empty()));
                    }
                    prop_assert!(now <= MOST_SEGMENTS || *which == Merge::All);
                    if let Some(report) = report {
                        prop_assert_eq!(report.segments, now);
                    }
                }
            }
            check(folder, &model, &query);
            // Who reads the old generation still can.
            prop_assert_eq!(before.manifest(), &old);
            prop_assert!(Searcher::new(before).search(&ChannelQuery::Sparse(&query), &thorough(3, Method::Scan)).is_ok());
        }
    }
}

#[test]
fn a_second_writer_is_refused_and_kinds_are_not_mixed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let given = options(folder);
    let one = |id: u8| vec![document(&(id, vec![(1, 2)]), 1)];
    build(read(one(1)), None, &given, &|_| {}).unwrap();
    let writer = quarry_index::folder::FolderWriter::open(folder).unwrap();
    assert!(
        add(read(one(2)), None, &Adding::new(&given), &|_| {})
            .unwrap_err()
            .to_string()
            .contains("writ")
    );
    assert!(delete(folder, ["d1"]).is_err());
    assert!(merge(folder, Merge::All, LEAST_MEMORY, &|_| {}).is_err());
    drop(writer);
    let words = vec![Document { id: "w".into(), text: "rock".into(), ..Document::default() }];
    let error = add(read(words), None, &Adding::new(&given), &|_| {}).unwrap_err();
    assert!(matches!(error, BuildError::OtherKind { has_vectors: true, .. }), "{error}");
    let bad = [Ok(one(3).remove(0)), Err(io::Error::other("cut"))];
    assert!(matches!(add(bad, None, &Adding::new(&given), &|_| {}), Err(BuildError::Input(_))));
    let index = Index::open(folder, Verify::Full).unwrap();
    assert_eq!((index.manifest().generation, index.manifest().documents()), (1, 1));
}

/// Rows of one generation are other documents in the next, also where their number is the same.
#[test]
fn a_filter_is_of_one_generation() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let given = options(folder);
    let ids: Vec<Document> = (1..9u8).map(|id| document(&(id, vec![(1, 2)]), 1)).collect();
    build(read(ids), None, &given, &|_| {}).unwrap();
    let open = || Searcher::new(Arc::new(Index::open(folder, Verify::Full).unwrap()));
    let before = open();
    let filter = before.filter_of_ids(["d1", "d2"]).unwrap();
    let query = vector(&[(1, 1.0)]);
    let find = |searcher: &Searcher| {
        let found = searcher.search(
            &ChannelQuery::Sparse(&query),
            &Options { filter: Some(&filter), ..thorough(9, Method::Exact) },
        );
        found.map(|found| found.hits.iter().map(|h| searcher.id(h).to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(find(&before).unwrap(), ["d2", "d1"]);
    assert_eq!(find(&open()).unwrap(), ["d2", "d1"], "the same generation opened again");
    assert_eq!(delete(folder, ["d1"]).unwrap().deleted, 1);
    let after = open();
    assert_eq!(after.index().segments().len(), before.index().segments().len());
    let error = find(&after).unwrap_err();
    assert!(error.to_string().contains("generation 1"), "{error}");
    assert_eq!(find(&before).unwrap(), ["d2", "d1"], "who reads the old one still can");
}
