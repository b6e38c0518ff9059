//! A long run of mixed operations on one index, every step checked against documents kept in a map.
//!
//! `QUARRY_OPERATIONS=3600 cargo test --release -p quarry-searcher --test mixed -- --nocapture` runs as
//! many as an hour has seconds; without it fewer.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test fails by it")]

mod common;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use common::{options, thorough, top, vector};
use quarry_index::{Index, Verify};
use quarry_indexer::{
    Adding, LEAST_MEMORY, Lists, MOST_SEGMENTS, Merge, add, build, delete, merge,
};
use quarry_searcher::{ChannelQuery, Method, Options, Searcher, SparseOptions};
use quarry_vectors::{Document, InputVector, SparseVector, better};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

const IDS: u32 = 4000;
const TERMS: u32 = 300;

type Model = BTreeMap<String, SparseVector>;

fn some_vector(random: &mut SmallRng, terms: std::ops::Range<usize>) -> SparseVector {
    let count = random.random_range(terms);
    let pairs: BTreeMap<u32, f32> = (0..count)
        .map(|_| (random.random_range(0..TERMS), f32::from(random.random_range(1u8..9))))
        .collect();
    vector(&pairs.into_iter().collect::<Vec<_>>())
}

fn some_documents(random: &mut SmallRng, most: u32) -> Vec<Document> {
    let count = random.random_range(1..=most);
    (0..count)
        .map(|line| Document {
            id: format!("d{}", random.random_range(0..IDS)),
            text: "rock".into(),
            vector: Some(InputVector::Terms(some_vector(random, 1..16))),
            line: u64::from(line),
            ..Document::default()
        })
        .collect()
}

fn entered(model: &mut Model, documents: &[Document]) {
    for document in documents {
        let Some(InputVector::Terms(vector)) = &document.vector else { unreachable!() };
        model.insert(document.id.clone(), vector.clone());
    }
}

fn open(folder: &Path) -> Searcher {
    Searcher::new(Arc::new(Index::open(folder, Verify::Envelope).unwrap()))
}

/// The exact search against the map, and an approximate one for what it must not get wrong.
fn check(searcher: &Searcher, model: &Model, query: &SparseVector, k: usize) {
    assert_eq!(searcher.index().manifest().documents(), model.len() as u64);
    let mut want: Vec<(f64, &str)> =
        model.iter().map(|(id, v)| (v.dot(query), id.as_str())).collect();
    want.retain(|hit| hit.0 > 0.0);
    want.sort_by(|a, b| better((a.0, a.1.as_bytes()), (b.0, b.1.as_bytes())));
    want.truncate(k);
    let hits = |params: &Options<'_>| {
        let found = searcher.search(&ChannelQuery::Sparse(query), params).unwrap();
        found.hits.iter().map(|h| (h.score, searcher.id(h).to_owned())).collect::<Vec<_>>()
    };
    let found = hits(&thorough(k, Method::Exact));
    assert!(found.iter().map(|(s, id)| (*s, id.as_str())).eq(want.iter().copied()), "{found:?}");
    for (score, id) in hits(&Options {
        sparse: SparseOptions { method: Method::Impact, ..SparseOptions::default() },
        ..Options::new(top(k))
    }) {
        assert_eq!(score, model[&id].dot(query), "{id}");
    }
    let words =
        searcher.search(&ChannelQuery::Words("rock"), &Options::new(top(IDS as usize))).unwrap();
    assert_eq!(words.hits.len(), model.len());
}

#[test]
fn an_hour_of_changes_and_searches() {
    let operations = std::env::var("QUARRY_OPERATIONS").map_or(150, |n| n.parse().unwrap());
    let random = &mut SmallRng::seed_from_u64(17);
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut built = options(folder);
    built.seal.lists = Lists::IMPACT;
    let mut model = Model::new();
    let first: Vec<Document> = (0..2000)
        .map(|n| Document {
            id: format!("d{n}"),
            text: "rock".into(),
            vector: Some(InputVector::Terms(some_vector(random, 1..16))),
            line: n,
            ..Document::default()
        })
        .collect();
    entered(&mut model, &first);
    build(first.into_iter().map(Ok::<_, Infallible>), None, &built, &|_| {}).unwrap();
    // Someone who opened the index some time ago.
    let mut reader = (open(folder), model.clone());
    let mut counts = BTreeMap::<&str, u32>::new();
    for step in 0..operations {
        let query = some_vector(random, 1..8);
        let k = random.random_range(1..30);
        let name = match random.random_range(0..100) {
            0..50 => {
                check(&open(folder), &model, &query, k);
                "searches"
            }
            50..75 => {
                let most = if random.random_range(0..20) == 0 { 400 } else { 12 };
                let batch = some_documents(random, most);
                entered(&mut model, &batch);
                add(
                    batch.into_iter().map(Ok::<_, Infallible>),
                    None,
                    &Adding::new(&built),
                    &|_| {},
                )
                .unwrap();
                "adds"
            }
            75..94 => {
                let count = random.random_range(1..12);
                let ids: Vec<String> =
                    (0..count).map(|_| format!("d{}", random.random_range(0..IDS))).collect();
                delete(folder, ids.iter().map(String::as_str)).unwrap();
                ids.iter().for_each(|id| drop(model.remove(id)));
                "deletes"
            }
            94..99 => {
                merge(folder, Merge::Policy, LEAST_MEMORY, &|_| {}).unwrap();
                assert!(
                    Index::open(folder, Verify::Envelope).unwrap().segments().len()
                        <= MOST_SEGMENTS
                );
                "merges"
            }
            _ => {
                merge(folder, Merge::All, LEAST_MEMORY, &|_| {}).unwrap();
                assert_eq!(Index::open(folder, Verify::Full).unwrap().segments().len(), 1);
                "merges of all"
            }
        };
        *counts.entry(name).or_default() += 1;
        check(&open(folder), &model, &query, k);
        check(&reader.0, &reader.1, &query, k);
        if step % 40 == 39 {
            reader = (open(folder), model.clone());
        }
    }
    eprintln!("{operations} operations: {counts:?}; {} documents in the end", model.len());
}
