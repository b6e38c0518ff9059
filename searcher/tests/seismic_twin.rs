//! Seismic's search against its plain twin: the same blocks visited in the same order, the same
//! documents scored, the same hits; whatever is left out.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod common;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use common::{built, coarse_vectors, documents, exact_query};
use proptest::prelude::*;
use quarry_index::Segment;
use quarry_indexer::{Levels, Lists, default_seismic};
use quarry_searcher::{ChannelQuery, Method, Options, SparseOptions, Stats};
use quarry_vectors::{DocId, SparseVector, TermId, better};

/// Hits (id, score) and counts. The query's weights are whole numbers.
fn plain(
    segment: &Segment,
    query: &SparseVector,
    (k, cut, heap_factor): (usize, usize, f32),
) -> (Vec<(String, f64)>, Stats) {
    let lists = segment.seismic().unwrap().view().unwrap();
    let forward = segment.forward().unwrap();
    let unit = forward.meta().quantization.scale;
    let weight = |term: u32| query.iter().find(|c| c.0 == term).map_or(0.0, |c| f64::from(c.1));
    let mut terms: Vec<(u32, f32)> = query.iter().collect();
    terms.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut blocks = Vec::new();
    for term in terms.iter().take(cut).map(|c| TermId(c.0)) {
        for (block, summary) in lists.blocks(term).zip(lists.decode(term)) {
            let sum: f64 = summary.iter().map(|(t, l)| weight(*t) * f64::from(*l)).sum();
            #[expect(clippy::cast_possible_truncation, reason = "a small whole number")]
            blocks.push((sum as f32 * lists.scale(block), block));
        }
    }
    blocks.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut stats = Stats { blocks_estimated: blocks.len() as u64, ..Stats::default() };
    let (mut seen, mut hits) = (BTreeSet::new(), Vec::<(String, f64)>::new());
    for (promised, block) in blocks {
        let promised = f64::from(promised) * unit * (1.0 + 2f64.powi(-21));
        let kth = hits.get(k - 1).map(|hit| hit.1 * f64::from(heap_factor));
        if kth.is_some_and(|kth| promised < kth) {
            break;
        }
        stats.blocks_visited += 1;
        for doc in lists.docs(block).iter().filter(|doc| seen.insert(**doc)) {
            stats.documents_scored += 1;
            let sum: f64 =
                forward.record(DocId(*doc)).iter().map(|(t, l)| weight(t) * f64::from(l)).sum();
            if sum > 0.0 {
                hits.push((segment.documents().id(DocId(*doc)).to_owned(), sum * unit));
            }
        }
        hits.sort_by(|a, b| better((a.1, a.0.as_bytes()), (b.1, b.0.as_bytes())));
        hits.truncate(k);
    }
    (hits, stats)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_same_blocks_and_documents(
        vectors in coarse_vectors(30),
        queries in prop::collection::vec(exact_query(30), 1..4),
        (k, cut, heap_factor) in (1usize..8, 1usize..12, 0.05f32..=1.0),
        (energy, fraction, n_postings) in (0.2f32..=1.0, 0.05f32..=1.0, 1u32..40),
        levels in prop::sample::select(&[Levels::Auto, Levels::U16][..]),
    ) {
        let built = built(documents(&vectors), |o| {
            o.seal.lists = Lists::SEISMIC;
            o.seal.levels = levels;
            o.seal.seismic.summary_energy = energy;
            o.seal.seismic.centroid_fraction = fraction;
            o.seal.seismic.n_postings = n_postings;
            o.seal.seismic.min_per_document = default_seismic().min_per_document.min(n_postings / 8);
        });
        let segment = &built.index().segments()[0];
        for query in &queries {
            let whole: Vec<f32> = query.weights().iter().map(|w| w.ceil()).collect();
            let query = SparseVector::new(query.terms().to_vec(), whole).unwrap();
            let params = Options { sparse: SparseOptions { method: Method::Seismic, query_cut: NonZeroUsize::new(cut), heap_factor: Some(heap_factor), ..SparseOptions::default() }, ..Options::new(NonZeroUsize::new(k).unwrap()) };
            let outcome = built.searcher.search(&ChannelQuery::Sparse(&query), &params).unwrap();
            let (hits, stats) = plain(segment, &query, (k, cut, heap_factor));
            prop_assert_eq!(built.hits(&outcome), hits);
            prop_assert_eq!(outcome.stats, stats);
        }
    }
}
