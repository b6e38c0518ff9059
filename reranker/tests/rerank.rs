//! The second stage against naive twins: candidate pruning, early exit, the exact mode, ties, empty
//! documents, fewer candidates than results, several segments of lengths from 0 to 2,000.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests")]

mod shared;

use std::cmp::Ordering;
use std::num::NonZeroUsize;
use std::sync::Arc;

use proptest::prelude::*;
use quarry_index::tokens::Form;
use quarry_index::{Index, Verify};
use quarry_indexer::{TokenInput, add_tokens};
use quarry_reranker::{CpuReranker, Kernels, QueryRows, Scratch, prune};
use quarry_searcher::{Hit, Rerank, RerankParams, RerankQuery, SearchError};
use quarry_vectors::{DocId, TokenEmbeddings};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;

use shared::{options, plain_index};

const DIMS: usize = 48;

fn rows(rng: &mut SmallRng, count: usize) -> TokenEmbeddings {
    shared::rows(rng, DIMS, count)
}

fn indexed(documents: &[TokenEmbeddings], forms: &[Form]) -> (TempDir, Arc<Index>) {
    let folder = plain_index(documents.len());
    let mut read = |id: &str| Ok(documents[id.parse::<usize>().unwrap()].clone());
    let input = TokenInput::Rows(DIMS, &mut read);
    add_tokens(folder.path(), &options(forms), input, &|_| {}).unwrap();
    let index = Index::open(folder.path(), Verify::Full).unwrap();
    (folder, Arc::new(index))
}

struct Case {
    index: Arc<Index>,
    _folder: TempDir,
    query: TokenEmbeddings,
    candidates: Vec<Hit>,
}

/// Documents of which some are alike, candidates with scores of which some are equal or negative.
fn case(seed: u64, documents: usize, given: usize, query_rows: usize, longest: usize) -> Case {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut all: Vec<TokenEmbeddings> = Vec::new();
    for _ in 0..documents {
        let like = (rng.random_range(0..4) == 0 && !all.is_empty())
            .then(|| all[rng.random_range(0..all.len())].clone());
        let count = if rng.random_range(0..6) == 0 { 0 } else { rng.random_range(1..=longest) };
        let document = like.unwrap_or_else(|| rows(&mut rng, count));
        all.push(document);
    }
    let (folder, index) = indexed(&all, &Form::ALL);
    let query = rows(&mut rng, query_rows);
    let mut docs: Vec<u32> = (0..u32::try_from(documents).unwrap()).collect();
    for i in 0..docs.len() {
        let j = rng.random_range(i..docs.len());
        docs.swap(i, j);
    }
    let mut candidates: Vec<Hit> = docs
        .into_iter()
        .take(given)
        .map(|doc| {
            let score = f64::from(rng.random_range(-8i8..24)) * 0.25;
            Hit { segment: 0, doc: DocId(doc), score }
        })
        .collect();
    candidates.sort_by(|a, b| naive_order(&(a.score as f32, *a), &(b.score as f32, *b)));
    Case { index, _folder: folder, query, candidates }
}

fn naive_order(a: &(f32, Hit), b: &(f32, Hit)) -> Ordering {
    let (x, y) = (a.1.doc.0.to_string(), b.1.doc.0.to_string());
    quarry_vectors::better((a.0.into(), x.as_bytes()), (b.0.into(), y.as_bytes()))
}

/// Scores of all candidates by the plain kernel, with what the first stage adds.
fn naive_scores(case: &Case, form: Form, weight: f32) -> Vec<f32> {
    let store = case.index.segments()[0].tokens().unwrap();
    let query = QueryRows::new(&case.query, store.meta()).unwrap();
    let first: Vec<f64> = case.candidates.iter().map(|hit| hit.score).collect();
    let n = first.len().max(1) as f64;
    let mean = first.iter().sum::<f64>() / n;
    let deviation = (first.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / n).sqrt();
    let scratch = &mut Scratch::default();
    case.candidates
        .iter()
        .map(|hit| {
            let rows = store.rows(hit.doc);
            let score = match form {
                Form::Int8 => {
                    Kernels::Scalar.int8(&query, &store.int8().unwrap().slice(rows), scratch)
                }
                _ => {
                    let stride = query.stride();
                    let all = store.fp16().unwrap();
                    let values = &all[rows.start * stride..rows.end * stride];
                    Kernels::Scalar.fp16(&query, values, scratch)
                }
            };
            let z = if deviation > 1e-6 { (hit.score - mean) / deviation } else { 0.0 };
            score + weight * case.query.len() as f32 * z as f32
        })
        .collect()
}

/// The paper's rules, written down once more.
fn naive(case: &Case, scores: &[f32], params: &RerankParams) -> (Vec<(f32, Hit)>, usize, usize) {
    let k = params.k.get();
    let kept: Vec<usize> = (0..case.candidates.len())
        .filter(|i| match (params.alpha, case.candidates.get(k - 1)) {
            (Some(alpha), Some(kth)) => {
                let least = kth.score - f64::from(alpha) * kth.score.abs();
                *i < k || case.candidates[*i].score >= least
            }
            _ => true,
        })
        .collect();
    let mut best: Vec<(f32, Hit)> = Vec::new();
    let (mut stalls, mut scored) = (0, 0);
    for at in &kept {
        let new = (scores[*at], case.candidates[*at]);
        scored += 1;
        best.push(new);
        best.sort_by(naive_order);
        let entered = best.iter().take(k).any(|hit| hit.1.doc == new.1.doc);
        best.truncate(k);
        if scored > k {
            stalls = if entered { 0 } else { stalls + 1 };
        }
        if params.beta.is_some_and(|beta| stalls >= beta.get()) {
            break;
        }
    }
    (best, kept.len(), scored)
}

fn compare(found: &[Hit], want: &[(f32, Hit)]) {
    let found: Vec<_> = found.iter().map(|h| (h.score.to_bits(), h.doc)).collect();
    let want: Vec<_> = want.iter().map(|h| (f64::from(h.0).to_bits(), h.1.doc)).collect();
    assert_eq!(found, want);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn rules_do_what_they_say(
        seed in 0u64..u64::MAX,
        documents in 1usize..40,
        given in 0usize..40,
        query_rows in 0usize..40,
        k in 1usize..14,
        alpha in prop::option::of(0f32..0.5),
        beta in prop::option::of(1usize..5),
        weight in prop_oneof![Just(0f32), 0f32..0.1],
    ) {
        let case = case(seed, documents, given.min(documents), query_rows, 12);
        let params = RerankParams {
            alpha,
            beta: beta.and_then(NonZeroUsize::new),
            weight,
            ..RerankParams::new(NonZeroUsize::new(k).unwrap())
        };
        let query = RerankQuery { tokens: &case.query, candidates: &case.candidates };
        let scores = naive_scores(&case, Form::Int8, weight);
        let (want, kept, scored) = naive(&case, &scores, &params);
        for kernels in Kernels::all() {
            let reranker = CpuReranker::new(case.index.clone()).unwrap().with_kernels(kernels);
            let found = reranker.rerank(&[query, query], &params).unwrap();
            prop_assert_eq!(&found[0], &found[1]);
            compare(&found[0].hits, &want);
            let stats = found[0].stats;
            prop_assert_eq!(stats.candidates as usize, case.candidates.len());
            prop_assert_eq!(stats.pruned as usize, case.candidates.len() - kept);
            prop_assert_eq!(stats.scored as usize, scored);
            prop_assert_eq!(stats.skipped as usize, kept - scored);
        }
        // From the scores alone the same decisions follow.
        let first = prune::first_scores(&case.candidates);
        let kept_again = alpha.map_or(first.len(), |a| prune::candidate_pruning(&first, params.k, a));
        prop_assert_eq!(kept_again, kept);
        let order = |a: &(f32, usize), b: &(f32, usize)| {
            naive_order(&(a.0, case.candidates[a.1]), &(b.0, case.candidates[b.1]))
        };
        let replayed = prune::replay(&scores[..kept], params.k, params.beta, order);
        prop_assert_eq!(replayed.scored, scored);
        let replayed: Vec<_> = replayed.best.into_iter().map(|(s, i)| (s, case.candidates[i])).collect();
        prop_assert_eq!(replayed, want.clone());
    }

    #[test]
    fn exact_is_exact(
        seed in 0u64..u64::MAX,
        documents in 1usize..40,
        query_rows in 0usize..40,
        k in 1usize..14,
        beta in prop::option::of(1usize..5),
        weight in prop_oneof![Just(0f32), 0f32..0.1],
    ) {
        let case = case(seed, documents, documents, query_rows, 12);
        let params = RerankParams {
            weight,
            beta: beta.and_then(NonZeroUsize::new),
            exact: true,
            ..RerankParams::new(NonZeroUsize::new(k).unwrap())
        };
        // Early exit decides by the coarse scores how many are looked at; of those, fp16 decides.
        let (_, _, scored) = naive(&case, &naive_scores(&case, Form::Int8, weight), &params);
        let fine = naive_scores(&case, Form::Fp16, weight);
        let mut want: Vec<(f32, Hit)> =
            fine.into_iter().zip(case.candidates.iter().copied()).take(scored).collect();
        want.sort_by(naive_order);
        want.truncate(k);
        let query = RerankQuery { tokens: &case.query, candidates: &case.candidates };
        for kernels in Kernels::all() {
            let reranker = CpuReranker::new(case.index.clone()).unwrap().with_kernels(kernels);
            let found = reranker.rerank(&[query], &params).unwrap();
            compare(&found[0].hits, &want);
            prop_assert!(found[0].stats.rescored as usize >= want.len().min(scored));
        }
    }

    #[test]
    fn exhaustive_equals_all_candidates(
        seed in 0u64..u64::MAX,
        documents in 1usize..40,
        k in 1usize..50,
        exact: bool,
    ) {
        let case = case(seed, documents, documents, 9, 12);
        let form = if exact { Form::Fp16 } else { Form::Int8 };
        let mut want: Vec<(f32, Hit)> = naive_scores(&case, form, 0.0)
            .into_iter()
            .zip(case.candidates.iter().copied())
            .collect();
        want.sort_by(naive_order);
        want.truncate(k);
        let reranker = CpuReranker::new(case.index.clone()).unwrap();
        let params = RerankParams { exact, ..RerankParams::new(NonZeroUsize::new(k).unwrap()) };
        let found = reranker.exhaustive(&[&case.query, &case.query], &params).unwrap();
        compare(&found[0].hits, &want);
        prop_assert_eq!(&found[0].hits, &found[1].hits);
    }
}

#[test]
fn long_documents_and_every_form() {
    let case = case(3, 12, 12, 32, 2000);
    let params = RerankParams::new(NonZeroUsize::new(5).unwrap());
    let query = RerankQuery { tokens: &case.query, candidates: &case.candidates };
    for form in Form::ALL {
        let reranker = CpuReranker::new(case.index.clone()).unwrap().with_form(form).unwrap();
        let found = reranker.rerank(&[query], &params).unwrap();
        let twin = reranker.with_kernels(Kernels::Scalar).rerank(&[query], &params).unwrap();
        assert_eq!(found, twin, "{form:?}");
        assert_eq!(found[0].hits.len(), 5);
    }
}

#[test]
fn what_cannot_be_done_is_refused() {
    let folder = plain_index(2);
    let index = Arc::new(Index::open(folder.path(), Verify::Full).unwrap());
    let error = CpuReranker::new(index).unwrap_err();
    assert!(error.to_string().contains("quarry tokens add"), "{error}");
    let documents = vec![rows(&mut SmallRng::seed_from_u64(1), 3); 2];
    let (_folder, index) = indexed(&documents, &[Form::Int8]);
    let reranker = CpuReranker::new(index).unwrap();
    let query = rows(&mut SmallRng::seed_from_u64(2), 3);
    let candidates = [Hit { segment: 0, doc: DocId(0), score: 1.0 }];
    let ask = |query: &TokenEmbeddings, change: &dyn Fn(&mut RerankParams)| {
        let mut params = RerankParams::new(NonZeroUsize::MIN);
        change(&mut params);
        reranker.rerank(&[RerankQuery { tokens: query, candidates: &candidates }], &params)
    };
    assert!(ask(&query, &|_| {}).is_ok());
    let error = ask(&query, &|p| p.exact = true).unwrap_err();
    assert!(matches!(error, SearchError::NoTokenForm { form: "fp16", .. }), "{error}");
    for wrong in [-0.1, f32::NAN, f32::INFINITY] {
        assert!(matches!(ask(&query, &|p| p.alpha = Some(wrong)), Err(SearchError::Param { .. })));
        assert!(matches!(ask(&query, &|p| p.weight = wrong), Err(SearchError::Param { .. })));
    }
    let past = std::time::Instant::now();
    let late = ask(&query, &|p| p.deadline = Some(past));
    assert!(matches!(late, Err(SearchError::Timeout)));
    let other = TokenEmbeddings::new(2, vec![1.0, 0.0]).unwrap();
    assert!(matches!(
        ask(&other, &|_| {}),
        Err(SearchError::TokenDims { found: 2, expected: DIMS })
    ));
    let zero = TokenEmbeddings::new(DIMS, vec![0.0; DIMS]).unwrap();
    assert!(matches!(ask(&zero, &|_| {}), Err(SearchError::ZeroRow { row: 0 })));
}

#[test]
fn zero_rows_of_documents_are_refused_and_the_index_stays() {
    let folder = plain_index(2);
    let mut read = |_: &str| Ok(TokenEmbeddings::new(DIMS, vec![0.0; DIMS]).unwrap());
    let input = TokenInput::Rows(DIMS, &mut read);
    let error = add_tokens(folder.path(), &options(&[Form::Int8]), input, &|_| {}).unwrap_err();
    assert!(error.to_string().contains("document `0`: row 0 is (nearly) zero"), "{error}");
    let index = Index::open(folder.path(), Verify::Full).unwrap();
    assert!(!index.has_tokens());
}
