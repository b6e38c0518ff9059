//! Every kernel against the naive oracle, and against its twins to the bit.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests")]

use half::f16;
use proptest::prelude::*;
use quarry_index::Verify;
use quarry_index::tokens::{Centroids, Form, TokenStore, TokensOptions, TokensWriter};
use quarry_reranker::{Kernels, QueryRows, Scratch, oracle};
use quarry_vectors::{DocId, TokenEmbeddings};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

fn embeddings(rng: &mut SmallRng, rows: usize, dims: usize) -> TokenEmbeddings {
    let mut values = Vec::new();
    for _ in 0..rows {
        let row: Vec<f32> = (0..dims).map(|_| rng.random_range(-1.0..1.0)).collect();
        let norm = row.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-3);
        values.extend(row.into_iter().map(|v| v / norm));
        // A row of one large value now and then.
        if rng.random_range(0..10) == 0 {
            let start = values.len() - dims;
            values[start..].fill(0.0);
            let at = start + rng.random_range(0..dims);
            values[at] = if rng.random() { 1.0 } else { -1.0 };
        }
    }
    TokenEmbeddings::new(dims, values).unwrap()
}

fn store(folder: &std::path::Path, documents: &[TokenEmbeddings], dims: usize) -> TokenStore {
    let path = folder.join("tokens.qry");
    let first = documents.iter().find(|d| !d.is_empty());
    let options = TokensOptions {
        dims,
        forms: Form::ALL.to_vec(),
        pool: 1,
        centroids: Centroids {
            values: first.map_or(Vec::new(), |d| d.values()[..dims.min(d.values().len())].to_vec()),
        },
        source: serde_json::Value::Null,
    };
    let mut writer = TokensWriter::create(&path, options).unwrap();
    documents.iter().for_each(|d| writer.push(d).unwrap());
    writer.finish().unwrap();
    TokenStore::open(&path, Verify::Full).unwrap()
}

/// What the stored forms stand for, as the oracle takes it.
fn decoded(store: &TokenStore, doc: DocId, form: Form) -> TokenEmbeddings {
    let (dims, stride) = (store.meta().dims, store.meta().stride);
    let rows = store.rows(doc);
    let mut values = Vec::new();
    for t in rows {
        for d in 0..dims {
            values.push(match form {
                Form::Int8 => {
                    let all = store.int8().unwrap();
                    f32::from(all.rows[t * stride + d]) * all.scales[t]
                }
                Form::Fp16 => f16::from_bits(store.fp16().unwrap()[t * stride + d]).to_f32(),
                Form::Residual => {
                    let all = store.residual().unwrap();
                    let half = stride / 2;
                    let byte = all.rows[t * half + d % half];
                    let level = if d < half { byte & 15 } else { byte >> 4 };
                    all.centroids[all.centroid[t] as usize * stride + d]
                        + f32::from(all.levels[usize::from(level)]) * all.scales[t]
                }
                Form::Sign => {
                    let all = store.signs().unwrap();
                    let set = all.rows[t * stride / 8 + d / 8] >> (d % 8) & 1 == 1;
                    if set { all.scales[t] } else { -all.scales[t] }
                }
            });
        }
    }
    TokenEmbeddings::new(dims, values).unwrap()
}

/// The query as its bytes stand for it.
fn quantised(query: &TokenEmbeddings) -> TokenEmbeddings {
    let mut values = Vec::new();
    for row in query.rows() {
        let largest = row.iter().fold(0f32, |m, v| m.max(v.abs()));
        let scale = (f64::from(largest) / 127.0) as f32;
        values.extend(row.iter().map(|v| (v / scale).round() * scale));
    }
    TokenEmbeddings::new(query.dims(), values).unwrap()
}

/// MaxSim where the query's bytes meet the residuals and its values the centroids.
fn with_centroids(
    query: &TokenEmbeddings,
    coded: &TokenEmbeddings,
    store: &TokenStore,
    doc: DocId,
) -> f64 {
    let all = store.residual().unwrap();
    let whole = decoded(store, doc, Form::Residual);
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let of_row = |q: &[f32], c: &[f32]| {
        let of_document = store.rows(doc).zip(whole.rows()).map(|(t, row)| {
            let centroid = &all.centroids[all.centroid[t] as usize * all.stride..][..row.len()];
            let rest: Vec<f32> = row.iter().zip(centroid).map(|(v, c)| v - c).collect();
            dot(c, &rest) + dot(q, centroid)
        });
        of_document.fold(f64::NEG_INFINITY, f64::max)
    };
    if whole.is_empty() {
        return 0.0;
    }
    query.rows().zip(coded.rows()).map(|(q, c)| of_row(q, c)).sum()
}

fn score(kernels: Kernels, form: Form, store: &TokenStore, query: &QueryRows, doc: DocId) -> f32 {
    let rows = store.rows(doc);
    let scratch = &mut Scratch::default();
    match form {
        Form::Int8 => kernels.int8(query, &store.int8().unwrap().slice(rows), scratch),
        Form::Fp16 => {
            let stride = query.stride();
            let values = &store.fp16().unwrap()[rows.start * stride..rows.end * stride];
            kernels.fp16(query, values, scratch)
        }
        Form::Residual => {
            let all = store.residual().unwrap();
            let table = query.centroid_table(&all);
            kernels.residual(query, &all.slice(rows), &table, scratch)
        }
        Form::Sign => kernels.signs(query, &store.signs().unwrap().slice(rows), scratch),
    }
}

fn check(dims: usize, query_rows: usize, lengths: &[usize], seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let mut rng = SmallRng::seed_from_u64(seed);
    let documents: Vec<_> = lengths.iter().map(|n| embeddings(&mut rng, *n, dims)).collect();
    let store = store(folder.path(), &documents, dims);
    let query = embeddings(&mut rng, query_rows, dims);
    let rows = QueryRows::new(&query, store.meta()).unwrap();
    let coded = quantised(&query);
    for (number, document) in documents.iter().enumerate() {
        let doc = DocId(u32::try_from(number).unwrap());
        for form in Form::ALL {
            let stored = decoded(&store, doc, form);
            let scores: Vec<f32> =
                Kernels::all().into_iter().map(|k| score(k, form, &store, &rows, doc)).collect();
            for found in &scores {
                assert_eq!(found.to_bits(), scores[0].to_bits(), "{form:?} {scores:?}");
            }
            let want = match form {
                Form::Fp16 => oracle::maxsim(&query, &stored),
                Form::Residual => with_centroids(&query, &coded, &store, doc),
                Form::Int8 | Form::Sign => oracle::maxsim(&coded, &stored),
            };
            let near = 2e-5 * (1.0 + query_rows as f64);
            assert!((f64::from(scores[0]) - want).abs() < near, "{form:?} {} {want}", scores[0]);
        }
        // Forms stand for the document's own rows.
        let true_score = oracle::maxsim(&query, document);
        let fp16 = f64::from(score(Kernels::Scalar, Form::Fp16, &store, &rows, doc));
        assert!((fp16 - true_score).abs() < 1e-3 * (1.0 + query_rows as f64));
        let int8 = f64::from(score(Kernels::Scalar, Form::Int8, &store, &rows, doc));
        assert!((int8 - true_score).abs() < 2e-2 * (1.0 + query_rows as f64));
        // Bounds hold, of every kernel, and are the same.
        let slice = store.int8().unwrap().slice(store.rows(doc));
        let bounds: Vec<_> = Kernels::all()
            .into_iter()
            .map(|k| k.int8_bounds(&rows, &slice, &mut Scratch::default()))
            .collect();
        for found in &bounds {
            assert_eq!(found, &bounds[0]);
            assert_eq!(f64::from(found.score), int8);
            assert!(
                f64::from(found.lower) <= fp16 && fp16 <= f64::from(found.upper),
                "{found:?} {fp16}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn kernels_are_right_and_equal(
        dims in prop_oneof![1usize..40, Just(64), Just(96), Just(128), Just(256), 100usize..300],
        query_rows in 0usize..70,
        lengths in prop::collection::vec(prop_oneof![Just(0usize), Just(1), 1usize..40], 1..6),
        seed in 0u64..u64::MAX,
    ) {
        check(dims, query_rows, &lengths, seed);
    }
}

#[test]
fn long_documents() {
    check(128, 32, &[2000, 80, 0, 1], 7);
}

#[test]
fn queries_that_are_none_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let document = TokenEmbeddings::new(2, vec![1.0, 0.0]).unwrap();
    let store = store(folder.path(), &[document], 2);
    let other = TokenEmbeddings::new(3, vec![1.0; 3]).unwrap();
    assert!(QueryRows::new(&other, store.meta()).unwrap_err().to_string().contains("3 dimensions"));
    let zero = TokenEmbeddings::new(2, vec![1.0, 0.0, 0.0, 0.0]).unwrap();
    assert!(QueryRows::new(&zero, store.meta()).unwrap_err().to_string().contains("row 1"));
    let empty = QueryRows::new(&TokenEmbeddings::default(), store.meta()).unwrap();
    for form in Form::ALL {
        assert_eq!(score(Kernels::detect(), form, &store, &empty, DocId(0)), 0.0);
    }
}
