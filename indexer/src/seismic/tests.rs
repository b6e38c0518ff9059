//! Properties of the lists, checked against plain implementations.

use std::collections::BTreeSet;

use proptest::prelude::*;
use quarry_index::Verify;
use quarry_index::forward::ForwardIndex;
use quarry_index::seismic::{Lists, SeismicLists};
use quarry_vectors::{DocId, SparseVector, TermId};

use super::*;
use crate::default_seismic;
use crate::test_support::forward_of;

const DIMENSION: u32 = 40;

fn build_lists(forward: &ForwardIndex, params: SeismicParams, memory: u64) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seismic.qry");
    build(ListsJob { forward, params, seed: 7, memory }, &path, &|_| {}).unwrap();
    std::fs::read(&path).unwrap()
}

fn with_lists(forward: &ForwardIndex, params: SeismicParams, check: impl FnOnce(&Lists<'_>)) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seismic.qry");
    std::fs::write(&path, build_lists(forward, params, 1 << 30)).unwrap();
    check(&SeismicLists::open(&path, Verify::Full).unwrap().view().unwrap());
}

fn collection() -> impl Strategy<Value = Vec<SparseVector>> {
    let document = prop::collection::vec((0..DIMENSION, 0.05f32..9.0), 0..14)
        .prop_map(|pairs| SparseVector::from_pairs(pairs).unwrap());
    prop::collection::vec(document, 1..80)
}

/// The documents of a term's list, ascending.
fn list_of(lists: &Lists<'_>, term: u32) -> Vec<u32> {
    let mut docs: Vec<u32> =
        lists.blocks(TermId(term)).flat_map(|block| lists.docs(block).to_vec()).collect();
    docs.sort_unstable();
    docs
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The bytes do not depend on the memory limit, that is, on how terms are divided into ranges.
    #[test]
    fn ranges_of_terms_do_not_change_the_bytes(
        vectors in collection(),
        memory in prop::sample::select(&[0u64, 8, 80, 400, 2_000][..]),
        n_postings in 1u32..20,
    ) {
        let (_folder, forward) = forward_of(&vectors, DIMENSION);
        let params = SeismicParams { n_postings, min_per_document: 2, ..default_seismic() };
        let whole = build_lists(&forward, params, 1 << 30);
        prop_assert!(build_lists(&forward, params, memory) == whole);
        let pruning = Pruning::choose(&forward, &params).unwrap();
        let ranges = pruning.ranges(memory / POSTING_BYTES);
        let terms: BTreeSet<u32> = vectors.iter().flat_map(|v| v.terms()).copied().collect();
        let fits = pruning.kept() <= memory / POSTING_BYTES;
        prop_assert!(ranges.len() > 1 || fits || terms.len() == 1);
        prop_assert_eq!(ranges.first().unwrap().start, 0);
        prop_assert_eq!(ranges.last().unwrap().end, DIMENSION);
        prop_assert!(ranges.windows(2).all(|w| w[0].end == w[1].start));
    }

    /// A document is in the lists of its heaviest terms, no list is longer than the cap, and no list
    /// holds a document that lacks its term.
    #[test]
    fn pruning_keeps_what_it_promises(
        vectors in collection(),
        n_postings in 1u32..30,
        least in 0u32..6,
        max_fraction in 1.0f32..4.0,
    ) {
        let (_folder, forward) = forward_of(&vectors, DIMENSION);
        let params =
            SeismicParams { n_postings, min_per_document: least, max_fraction, ..default_seismic() };
        let cap = f64::from(n_postings) * f64::from(max_fraction);
        with_lists(&forward, params, |lists| {
            let all: Vec<Vec<u32>> = (0..DIMENSION).map(|t| list_of(lists, t)).collect();
            for (doc, vector) in (0u32..).zip(&vectors) {
                let mut components: Vec<(u32, u16)> = forward.record(DocId(doc)).iter().collect();
                assert_eq!(components.len(), vector.len());
                components.sort_by_key(|c| std::cmp::Reverse(c.1));
                for (term, _) in components.iter().take(least as usize) {
                    let list = &all[*term as usize];
                    let full = list.len() as f64 >= cap.floor();
                    assert!(full || list.binary_search(&doc).is_ok(), "{doc} not under {term}");
                }
            }
            for (term, list) in (0u32..).zip(&all) {
                assert!(list.len() as f64 <= cap.max(1.0));
                assert!(list.windows(2).all(|w| w[0] < w[1]), "a document twice under {term}");
                assert!(list.iter().all(|d| vectors[*d as usize].terms().contains(&term)));
            }
        });
    }

    /// A summary's kept components are never below its documents'; they are the largest, and hold at least
    /// the requested share of the mass.
    #[test]
    fn summaries_bound_their_documents(vectors in collection(), energy in 0.05f32..=1.0) {
        let (_folder, forward) = forward_of(&vectors, DIMENSION);
        let params = SeismicParams { summary_energy: energy, ..default_seismic() };
        with_lists(&forward, params, |lists| {
            let summaries = (0..DIMENSION).flat_map(|t| lists.decode(TermId(t)));
            for (block, summary) in summaries.enumerate() {
                let mut maxima = vec![0u16; DIMENSION as usize];
                for doc in lists.docs(block) {
                    for (term, level) in forward.record(DocId(*doc)).iter() {
                        maxima[term as usize] = maxima[term as usize].max(level);
                    }
                }
                let terms: Vec<u32> = summary.iter().map(|c| c.0).collect();
                assert!(terms.windows(2).all(|w| w[0] < w[1]));
                let mut mass = 0.0;
                for (term, level) in summary {
                    let most = f32::from(maxima[term as usize]);
                    let bound = f32::from(level) * lists.scale(block);
                    // Allow for f32 rounding, as the search does.
                    assert!(bound * (1.0 + 2f32.powi(-22)) >= most, "{bound} bounds {most}");
                    assert!(bound <= most + lists.scale(block) * 1.001);
                    mass += f64::from(most);
                }
                let total: f64 = maxima.iter().map(|m| f64::from(*m)).sum();
                assert!(mass >= total * f64::from(energy) * (1.0 - 1e-9));
                let least = terms.iter().map(|t| maxima[*t as usize]).min().unwrap_or(0);
                let left_out = (0u32..).zip(&maxima).filter(|(t, _)| !terms.contains(t));
                assert!(left_out.map(|(_, m)| *m).max().unwrap_or(0) <= least);
            }
        });
    }
}
