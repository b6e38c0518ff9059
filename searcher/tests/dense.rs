//! The search by dense vectors, against a plain twin in 64 bits: several segments, deletions, filters, documents
//! without a vector.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test fails by it")]

mod common;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use common::{Random, options, top, vector};
use proptest::prelude::*;
use quarry_index::dense::{DenseRows, DenseStorage};
use quarry_index::{Index, Verify};
use quarry_indexer::{
    AddDense, AddDenseOptions, Adding, BuildError, DenseInput, LEAST_MEMORY, Merge, add, add_dense,
    build, delete, merge,
};
use quarry_searcher::{ChannelQuery, Filter, Kernels, Method, Options, SearchError, Searcher};
use quarry_vectors::{DenseVector, DocId, Document, InputVector, better};
use serde_json::{Map, json};

const DIMS: usize = 37;

fn document(number: u32) -> Document {
    let mut fields = Map::new();
    fields.insert("even".into(), json!(number.is_multiple_of(2)));
    Document {
        id: format!("d{number}"),
        text: format!("rock {number}"),
        fields,
        vector: Some(InputVector::Terms(vector(&[(number % 7, 1.0)]))),
        line: u64::from(number) + 1,
        ..Document::default()
    }
}

fn values(random: &mut Random, dims: usize) -> Vec<f32> {
    // Few different values, so that scores tie.
    (0..dims).map(|_| random.below(5) as f32 / 2.0 - 1.0).collect()
}

type Given = BTreeMap<String, Option<DenseVector>>;

fn given(seed: u64, numbers: std::ops::Range<u32>) -> Given {
    let mut random = Random(seed);
    let one = |number: u32| {
        let values = if number % 11 == 3 { vec![0.0; DIMS] } else { values(&mut random, DIMS) };
        (format!("d{number}"), DenseVector::new(values).ok())
    };
    numbers.map(one).collect()
}

fn put(folder: &Path, storage: DenseStorage, given: &Given) -> Result<u64, BuildError> {
    let how = AddDenseOptions {
        storage,
        replace: false,
        source: json!({"file": "x.npy"}),
        model_from: None,
    };
    let mut read = |id: &str| Ok(given.get(id).cloned().unwrap());
    add_dense(folder, &how, DenseInput::Rows(DIMS, &mut read), &|_| {})
}

fn read(
    numbers: std::ops::Range<u32>,
) -> impl Iterator<Item = Result<Document, Infallible>> + Send {
    numbers.map(|number| Ok(document(number)))
}

/// An index of two segments with vectors, of which some documents are deleted.
fn made(folder: &Path, storage: DenseStorage, seed: u64) -> Given {
    let mut all = given(seed, 0..60);
    build(read(0..60), None, &options(folder), &|_| {}).unwrap();
    put(folder, storage, &all).unwrap();
    let with = options(folder);
    let plain = Adding::new(&with);
    let error = add(read(60..75), None, &plain, &|_| {}).unwrap_err();
    assert!(matches!(&error, BuildError::NeedsDense { .. }), "{error}");
    let without = Adding { dense: AddDense::Without, ..plain };
    add(read(55..75), None, &without, &|_| {}).unwrap();
    // Those that are in both are of the newer segment now.
    let more = given(seed ^ 99, 55..75);
    put(folder, storage, &more).unwrap();
    all.extend(more);
    delete(folder, ["d5", "d60", "d8"]).unwrap();
    for id in ["d5", "d60", "d8"] {
        all.remove(id);
    }
    all
}

fn open(folder: &Path) -> Searcher {
    Searcher::new(Arc::new(Index::open(folder, Verify::Full).unwrap()))
}

/// What the scan computes, in plain arithmetic: whole numbers for int8, 64 bits for the others.
fn twin(searcher: &Searcher, query: &DenseVector, filter: Option<&Filter>) -> Vec<(f64, String)> {
    let largest = query.values().iter().fold(0f32, |most, v| most.max(v.abs()));
    let scale = f64::from(largest) / 4095.0;
    let mut hits = Vec::new();
    for segment in searcher.index().segments() {
        let store = segment.dense().unwrap();
        for row in 0..segment.documents().len() {
            let doc = DocId(row as u32);
            let id = segment.documents().id(doc).to_owned();
            let gone = segment.deleted().is_some_and(|gone| gone.contains(doc.0));
            let number: u32 = id[1..].parse().unwrap();
            if gone || !store.has(doc) || (filter.is_some() && !number.is_multiple_of(2)) {
                continue;
            }
            let score = match store.rows() {
                DenseRows::Int8 { rows, scales } => {
                    let row = &rows[row * store.meta().stride..];
                    let dot: i64 = query
                        .values()
                        .iter()
                        .zip(row)
                        .map(|(q, v)| (f64::from(*q) / scale).round() as i64 * i64::from(*v))
                        .sum();
                    dot as f64 * (f64::from(scales[doc.index()]) * scale)
                }
                _ => {
                    let row = store.vector(doc).unwrap();
                    let pairs = query.values().iter().zip(row);
                    pairs.map(|(q, v)| f64::from(*q) * f64::from(v)).sum()
                }
            };
            hits.push((score, id));
        }
    }
    hits.sort_by(|a, b| better((a.0, a.1.as_bytes()), (b.0, b.1.as_bytes())));
    hits
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn hits_are_those_of_the_twin(
        seed in 1u64..1 << 40,
        storage in prop::sample::select(&DenseStorage::ALL[..]),
        k in prop_oneof![Just(1usize), 2usize..20, Just(100)],
    ) {
        let folder = tempfile::tempdir().unwrap();
        let all = made(folder.path(), storage, seed);
        let mut random = Random(seed + 1);
        let query = DenseVector::new(values(&mut random, DIMS)).unwrap();
        let check = |searcher: &Searcher| {
            let filter = searcher.filter("even:true").unwrap();
            for filter in [None, Some(&filter)] {
                let wanted = twin(searcher, &query, filter);
                let options = Options { filter, ..Options::new(top(k)) };
                let asked = ChannelQuery::Dense(&query);
                let found = searcher.search(&asked, &options).unwrap();
                assert_eq!(found.method, Method::Scan);
                let ids: Vec<&str> = found.hits.iter().map(|hit| searcher.id(hit)).collect();
                let want: Vec<&str> = wanted.iter().take(k).map(|hit| hit.1.as_str()).collect();
                assert_eq!(ids, want, "{storage:?}");
                for (hit, want) in found.hits.iter().zip(&wanted) {
                    // Halves and their products are exact in every form but int8's.
                    assert_eq!(hit.score, want.0);
                    let given = all[searcher.id(hit)].as_ref().unwrap();
                    let pairs = given.values().iter().zip(query.values());
                    let exact: f64 = pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                    let loss = if storage == DenseStorage::Int8 {
                        DIMS as f64 * (1.0 / 254.0 + 1.0 / 8190.0 + 1e-4)
                    } else {
                        1e-9
                    };
                    assert!((hit.score - exact).abs() <= loss, "{} {exact}", hit.score);
                }
                let mut backwards = found.hits.clone();
                backwards.reverse();
                let scores = searcher.scores_of(&asked, &backwards, &options).unwrap();
                assert!(scores.iter().zip(&backwards).all(|(s, hit)| *s == Some(hit.score)));
                let batch = searcher.search_batch(&[asked, asked], &options).unwrap();
                assert_eq!(&batch, &[found.clone(), found.clone()]);
            }
        };
        let searcher = open(folder.path());
        prop_assert_eq!(searcher.index().segments().len(), 2);
        check(&searcher);
        for kernels in [Kernels::Scalar, Kernels::Avx2] {
            check(&open(folder.path()).with_kernels(kernels));
        }
        let vectors = |searcher: &Searcher| {
            let mut all = BTreeMap::new();
            for segment in searcher.index().segments() {
                for row in 0..segment.documents().len() {
                    let doc = DocId(row as u32);
                    if segment.deleted().is_none_or(|gone| !gone.contains(doc.0)) {
                        let vector = segment.dense().unwrap().vector(doc);
                        all.insert(segment.documents().id(doc).to_owned(), vector);
                    }
                }
            }
            all
        };
        let before = vectors(&searcher);
        prop_assert_eq!(before.len(), all.len());
        drop(searcher);
        merge(folder.path(), Merge::All, LEAST_MEMORY, &|_| {}).unwrap().unwrap();
        let searcher = open(folder.path());
        prop_assert_eq!(searcher.index().segments().len(), 1);
        prop_assert_eq!(vectors(&searcher), before);
        check(&searcher);
    }
}

#[test]
fn what_is_not_there_is_an_error_and_gaps_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    build(read(0..20), None, &options(path), &|_| {}).unwrap();
    let query = DenseVector::new(vec![1.0; DIMS]).unwrap();
    let asked = ChannelQuery::Dense(&query);
    let error = open(path).search(&asked, &Options::new(top(3))).unwrap_err();
    assert!(matches!(error, SearchError::NoDense), "{error}");
    let with = options(path);
    let without = Adding { dense: AddDense::Without, ..Adding::new(&with) };
    let error = add(read(20..22), None, &without, &|_| {}).unwrap_err();
    assert!(matches!(error, BuildError::NoDenseThere { .. }), "{error}");
    put(path, DenseStorage::Int8, &given(1, 0..30)).unwrap();
    let short = DenseVector::new(vec![1.0; DIMS - 1]).unwrap();
    let error = open(path).search(&ChannelQuery::Dense(&short), &Options::new(top(3))).unwrap_err();
    let dims = (DIMS - 1, DIMS);
    assert!(
        matches!(error, SearchError::DenseDims { found, expected } if (found, expected) == dims)
    );
    let late = Options { deadline: Some(Instant::now()), ..Options::new(top(3)) };
    assert!(matches!(open(path).search(&asked, &late), Err(SearchError::Timeout)));
    let error = put(path, DenseStorage::Int8, &given(1, 0..30)).unwrap_err();
    assert!(matches!(error, BuildError::HasDense { .. }), "{error}");
    add(read(20..30), None, &without, &|_| {}).unwrap();
    let searcher = open(path);
    assert_eq!(searcher.index().without_dense().count(), 1);
    let found = searcher.search(&asked, &Options::new(top(100))).unwrap();
    assert!(found.hits.iter().all(|hit| hit.segment == 0));
    drop(searcher);
    let error = merge(path, Merge::All, LEAST_MEMORY, &|_| {}).unwrap_err();
    assert!(matches!(error, BuildError::DenseMissing { none: true, .. }), "{error}");
    let error = put(path, DenseStorage::Fp16, &given(1, 0..30)).unwrap_err();
    assert!(matches!(error, BuildError::OtherDense { .. }), "{error}");
    put(path, DenseStorage::Int8, &given(1, 0..30)).unwrap();
    let replaced = AddDenseOptions {
        storage: DenseStorage::Fp16,
        replace: true,
        source: json!({"model_name": "m"}),
        model_from: None,
    };
    let mut one = |_: &str| Ok(DenseVector::new(vec![0.5, 0.25]).ok());
    add_dense(path, &replaced, DenseInput::Rows(2, &mut one), &|_| {}).unwrap();
    let kept = open(path).index().features().dense.clone().unwrap();
    assert_eq!((kept.dims, kept.storage), (2, DenseStorage::Fp16));
    merge(path, Merge::All, LEAST_MEMORY, &|_| {}).unwrap().unwrap();
    let searcher = open(path);
    let query = DenseVector::new(vec![1.0, 2.0]).unwrap();
    let found = searcher.search(&ChannelQuery::Dense(&query), &Options::new(top(100))).unwrap();
    assert_eq!(found.hits.len(), 30);
    // All equal: by id, bytewise descending.
    let ids: Vec<&str> = found.hits.iter().map(|hit| searcher.id(hit)).collect();
    assert!(ids.windows(2).all(|pair| pair[0] > pair[1]), "{ids:?}");
    let wrong = DenseVector::new(vec![1.0]).unwrap();
    let mut wrong = |_: &str| Ok(Some(wrong.clone()));
    let again = AddDenseOptions { replace: true, ..replaced };
    let error = add_dense(path, &again, DenseInput::Rows(2, &mut wrong), &|_| {}).unwrap_err();
    assert!(matches!(error, BuildError::Dense { .. }), "{error}");
}

/// Pyserini's formulas: alpha q + beta mean(d), and the average of query and documents, which is alpha 1 / (n + 1).
#[test]
fn feedback_moves_a_query_towards_the_mean_of_documents() {
    let folder = tempfile::tempdir().unwrap();
    let all = made(folder.path(), DenseStorage::Fp32, 5);
    let searcher = open(folder.path());
    let query = DenseVector::new(values(&mut Random(77), DIMS)).unwrap();
    let hits = searcher
        .search(&ChannelQuery::Dense(&query), &Options::new(3.try_into().unwrap()))
        .unwrap()
        .hits;
    let mean = |n: usize, at: usize| -> f64 {
        let of = |hit: &quarry_searcher::Hit| {
            f64::from(all[searcher.id(hit)].as_ref().unwrap().values()[at])
        };
        hits[..n].iter().map(of).sum::<f64>() / n as f64
    };
    for (documents, beta) in [(3usize, 0.6), (2, 0.4), (3, 3.0 / 4.0), (1, 1.0)] {
        let moved = searcher.vector_prf(&query, &hits[..documents], beta).unwrap();
        for (at, value) in moved.values().iter().enumerate() {
            let own = f64::from(query.values()[at]);
            let wanted = (1.0 - beta) * own + beta * mean(documents, at);
            assert!((f64::from(*value) - wanted).abs() < 1e-6, "{at}: {value} {wanted}");
        }
    }
    assert_eq!(searcher.vector_prf(&query, &hits, 0.0).unwrap(), query);
    assert_eq!(searcher.vector_prf(&query, &[], 0.4).unwrap(), query);
    for weight in [-0.1, 1.1, f64::NAN] {
        let error = searcher.vector_prf(&query, &hits, weight).unwrap_err();
        assert!(matches!(error, SearchError::Param { name: "weight", .. }), "{error}");
    }
    let short = DenseVector::new(vec![1.0]).unwrap();
    assert!(matches!(
        searcher.vector_prf(&short, &hits, 0.4),
        Err(SearchError::DenseDims { found: 1, expected: DIMS })
    ));
}
