//! Summaries come back as they were, and damaged ones are read without a panic.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use quarry_vectors::TermId;

use super::*;
use crate::container::Verify;
use crate::error::IndexError;
use crate::part::SegmentPart;

const PARAMS: SeismicParams = SeismicParams {
    n_postings: 1,
    max_fraction: 1.0,
    min_per_document: 0,
    centroid_fraction: 1.0,
    min_cluster_size: 0,
    document_cut: 1,
    summary_energy: 1.0,
};

fn block(summary: &BTreeMap<u32, u8>) -> BlockData {
    BlockData {
        docs: vec![1, 4],
        terms: summary.keys().copied().collect(),
        levels: summary.values().copied().collect(),
        scale: 0.5,
    }
}

fn write(path: &Path, dimension: u32, lists: &BTreeMap<u32, Vec<BlockData>>) {
    let mut writer = SeismicWriter::create(path, dimension, 5, PARAMS, 7).unwrap();
    for term in 0..dimension {
        let blocks = lists.get(&term).map_or(&[][..], Vec::as_slice);
        writer.push_list(&ListData::new(dimension, blocks).unwrap()).unwrap();
    }
    writer.finish().unwrap();
}

fn check(lists: &SeismicLists, want: &BTreeMap<u32, Vec<BlockData>>) {
    let view = lists.view().unwrap();
    for term in (0..lists.meta().lists + 1).map(TermId) {
        let blocks = want.get(&term.0).map_or(&[][..], Vec::as_slice);
        assert_eq!(view.blocks(term).len(), blocks.len());
        let groups: Vec<usize> = view.groups(term).map(|g| view.blocks_of(g).len()).collect();
        assert_eq!(groups.iter().sum::<usize>(), blocks.len());
        assert!(groups.iter().all(|g| *g > 0 && *g <= GROUP));
        for ((at, summary), block) in view.blocks(term).zip(view.decode(term)).zip(blocks) {
            let components = block.terms.iter().copied().zip(block.levels.iter().copied());
            assert_eq!(summary, components.collect::<Vec<_>>());
            assert_eq!((view.docs(at), view.scale(at)), (block.docs.as_slice(), block.scale));
        }
    }
}

fn summaries() -> impl Strategy<Value = Vec<BTreeMap<u32, u8>>> {
    let summary = |most| {
        let term = prop_oneof![0u32..9, 0u32..600, 0u32..66_000];
        prop::collection::btree_map(term, any::<u8>(), 0..most)
    };
    prop_oneof![
        prop::collection::vec(summary(60), 0..4),
        prop::collection::vec(summary(5), 126..260),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn summaries_come_back(
        lists in prop::collection::btree_map(0u32..9, summaries(), 0..5),
        dimension in prop::sample::select(&[9u32, 256, 257, 600, 66_000][..]),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0u32..8), 1..40),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seismic");
        let within = |mut summary: BTreeMap<u32, u8>| { summary.retain(|t, _| *t < dimension); summary };
        let lists: BTreeMap<u32, Vec<BlockData>> = lists
            .into_iter()
            .map(|(term, list)| (term, list.into_iter().map(|s| block(&within(s))).collect()))
            .collect();
        write(&path, dimension, &lists);
        let whole = SeismicLists::open(&path, Verify::Full).unwrap();
        check(&whole, &lists);
        let Sizes { postings, summaries: bytes } = whole.sizes().unwrap();
        prop_assert!(postings + bytes < std::fs::metadata(&path).unwrap().len());
        // Damage that only a checksum finds: other answers, no panic.
        let range = whole.part().section_range("summaries").unwrap();
        let mut spoilt = std::fs::read(&path).unwrap();
        for (at, bit) in flips {
            spoilt[range.start + at.index(range.len())] ^= 1 << bit;
        }
        let path = folder.path().join("spoilt");
        std::fs::write(&path, spoilt).unwrap();
        let spoilt = SeismicLists::open(&path, Verify::Envelope).unwrap();
        let view = spoilt.view().unwrap();
        for term in (0..9).map(TermId) {
            prop_assert_eq!(view.decode(term).len(), view.blocks(term).len());
            for summaries in view.groups(term).filter_map(|group| view.summaries(group)) {
                for page in (0..dimension).step_by(256).filter_map(|t| summaries.page(t)) {
                    prop_assert!(summaries.keys_from(page.key).len() >= page.keys + SLACK);
                    prop_assert!(summaries.numbers_from(page.entry).len() >= page.entries + SLACK);
                    prop_assert!(summaries.levels_from(page.entry).len() >= page.entries + SLACK);
                }
            }
        }
    }
}

/// Places of two bytes are told apart modulo 2^16, so a group may have as many entries.
#[test]
fn a_summary_of_every_term() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seismic");
    let every: BTreeMap<u32, u8> = (0u32..65_536).map(|t| (t, t.to_le_bytes()[1] | 1)).collect();
    let few = BTreeMap::from([(3, 9), (65_535, 200)]);
    let lists = BTreeMap::from([(7, vec![block(&few), block(&every), block(&every)])]);
    write(&path, 65_536, &lists);
    check(&SeismicLists::open(&path, Verify::Full).unwrap(), &lists);
}

#[test]
fn terms_beyond_the_dimension_are_refused() {
    let list = ListData::new(9, &[block(&BTreeMap::from([(9, 1)]))]);
    assert!(matches!(list, Err(IndexError::Limit { found: 9, limit: 8, .. })));
}
