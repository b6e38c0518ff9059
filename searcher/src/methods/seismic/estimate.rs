//! What the blocks of the query's lists promise, from their summaries.
//!
//! 1. the groups of blocks of the `query_cut` heaviest terms' lists
//! 2. of each group and query term the page of summaries where the term would stand
//! 3. in that page the term's run of entries
//! 4. add query weight x level to each entry's block; a block's estimate is its sum x its scale
//!
//! Each step goes over all groups before the next, so that the lines it prefetches arrive side by side.
//! Cost: O(groups x query terms + keys and entries of the pages + entries of the runs).

use quarry_index::seismic::{GROUP, LAST, Lists, Page, Summaries, Tables};
use quarry_vectors::TermId;

use crate::error::SearchError;
use crate::kernels::{Kernels, prefetch};
use crate::methods::query::FixedQuery;

/// Pages that are looked into side by side, about; between two such batches the clock is looked at.
const BATCH: usize = 1024;
/// Bytes of a line.
const LINE: usize = 64;

/// Blocks by estimate: see [`key`].
pub(super) type Order = std::collections::BinaryHeap<u64>;

/// Reused from query to query.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    probes: Vec<Probe>,
    runs: Vec<Run>,
    /// A sum for each block of each group; zero between queries.
    sums: Vec<u64>,
    /// What the last query left of its order.
    pub(super) order: Vec<u64>,
}

/// A page that a query term may stand in.
#[derive(Debug, Clone, Copy)]
struct Probe {
    group: usize,
    page: Page,
    weight: i32,
    low: u8,
}

/// Entries of a query term.
#[derive(Debug, Clone, Copy)]
struct Run {
    group: usize,
    entry: usize,
    entries: usize,
    weight: i32,
}

/// Some blocks, and their summaries.
#[derive(Debug, Clone, Copy)]
struct Group<'a> {
    first: usize,
    blocks: usize,
    summaries: Summaries<'a>,
}

/// Orders blocks by estimate (not negative, so its bits ascend with it), equal ones the first first.
fn key(score: f32, block: usize) -> u64 {
    let block = u32::try_from(block).unwrap_or(u32::MAX);
    u64::from(score.to_bits()) << 32 | u64::from(!block)
}

/// The estimate in integer units and the block of a key.
#[expect(clippy::cast_possible_truncation, reason = "the two halves")]
pub(super) fn of_key(key: u64) -> (f32, usize) {
    (f32::from_bits((key >> 32) as u32), !(key as u32) as usize)
}

/// The blocks of the heaviest terms' lists by what they promise.
pub(super) fn estimate(
    (kernels, in_time): (Kernels, impl Fn() -> Result<(), SearchError>),
    view: &Lists<'_>,
    query: &FixedQuery,
    query_cut: usize,
    scratch: &mut Scratch,
) -> Result<Order, SearchError> {
    let groups = groups(view, query, query_cut);
    let Scratch { probes, runs, sums, order } = scratch;
    sums.resize(sums.len().max(GROUP * groups.len()), 0);
    let mut from = 0;
    while from < groups.len() {
        if let Err(error) = in_time() {
            sums.fill(0);
            return Err(error);
        }
        probes.clear();
        while from < groups.len() && (probes.is_empty() || probes.len() < BATCH) {
            probe(&groups[from], from, query, probes);
            from += 1;
        }
        runs.clear();
        find(kernels, &groups, probes, runs);
        add(&groups, runs, sums);
    }
    let mut order = std::mem::take(order);
    order.clear();
    for (group, sums) in groups.iter().zip(sums.chunks_exact_mut(GROUP)) {
        for (block, sum) in (group.first..group.first + group.blocks).zip(sums) {
            #[expect(clippy::cast_precision_loss, reason = "an estimate")]
            let score = std::mem::take(sum) as f32 * view.scale(block);
            order.push(key(score, block));
        }
    }
    Ok(Order::from(order))
}

/// The groups; prefetches their tables.
fn groups<'a>(view: &Lists<'a>, query: &FixedQuery, query_cut: usize) -> Vec<Group<'a>> {
    let terms = || query.terms().iter().take(query_cut).map(|(term, _)| TermId(*term));
    let Tables { group_ends, groups, scales, posting_ends } = view.tables();
    terms().for_each(|term| prefetch(group_ends, term.0 as usize));
    terms().for_each(|term| prefetch(groups, view.groups(term).start));
    let mut out = Vec::with_capacity(2 * query_cut.min(query.terms().len()));
    for number in terms().flat_map(|term| view.groups(term)) {
        let blocks = view.blocks_of(number);
        // Opening saw that summaries lie inside and groups have at most GROUP blocks.
        let Some(summaries) = view.summaries(number) else { continue };
        (0..summaries.table().len()).step_by(LINE).for_each(|at| prefetch(summaries.table(), at));
        for at in blocks.clone().step_by(LINE / 4) {
            prefetch(scales, at);
            prefetch(posting_ends, at);
        }
        out.push(Group { first: blocks.start, blocks: blocks.len().min(GROUP), summaries });
    }
    out
}

/// The pages of a group where query terms may stand.
fn probe(group: &Group<'_>, number: usize, query: &FixedQuery, probes: &mut Vec<Probe>) {
    let summaries = &group.summaries;
    for &(term, weight) in query.terms() {
        let Some(page) = summaries.page(term) else { continue };
        prefetch(summaries.keys_from(page.key), 0);
        let entries = summaries.numbers_from(page.entry);
        (0..page.entries.min(4 * LINE)).step_by(LINE).for_each(|at| prefetch(entries, at));
        probes.push(Probe { group: number, page, weight, low: term.to_le_bytes()[0] });
    }
}

/// The runs of the terms that stand in their pages.
fn find(kernels: Kernels, groups: &[Group<'_>], probes: &[Probe], runs: &mut Vec<Run>) {
    for &Probe { group, page, weight, low } in probes {
        let summaries = &groups[group].summaries;
        let keys = (summaries.keys_from(page.key), page.keys);
        let numbers = (summaries.numbers_from(page.entry), page.entries);
        let run = kernels.run(low, keys, numbers);
        if !run.is_empty() {
            let entry = page.entry + run.start;
            prefetch(summaries.levels_from(entry), 0);
            runs.push(Run { group, entry, entries: run.len(), weight });
        }
    }
}

/// Adds the runs up.
fn add(groups: &[Group<'_>], runs: &[Run], sums: &mut [u64]) {
    let sums = sums.as_chunks_mut::<GROUP>().0;
    for &Run { group, entry, entries, weight } in runs {
        let (summaries, sums) = (&groups[group].summaries, &mut sums[group]);
        // Weights are above zero.
        let weight = u64::from(weight.unsigned_abs());
        let numbers = &summaries.numbers_from(entry)[..entries];
        for (number, level) in numbers.iter().zip(summaries.levels_from(entry)) {
            sums[usize::from(number & !LAST)] += weight * u64::from(*level);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use quarry_index::Verify;
    use quarry_index::seismic::{BlockData, ListData, SeismicLists, SeismicParams, SeismicWriter};
    use quarry_vectors::SparseVector;

    /// Blocks of one document each, with the summaries given.
    fn write(
        dimension: u32,
        lists: &[(u32, Vec<SparseVector>)],
    ) -> (tempfile::TempDir, SeismicLists) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seismic");
        let params = SeismicParams {
            n_postings: 1,
            max_fraction: 1.0,
            min_per_document: 0,
            centroid_fraction: 1.0,
            min_cluster_size: 0,
            document_cut: 1,
            summary_energy: 1.0,
        };
        let mut writer = SeismicWriter::create(&path, dimension, 1, params, 7).unwrap();
        for term in 0..dimension {
            let blocks = lists.iter().filter(|list| list.0 == term).flat_map(|list| &list.1);
            let blocks: Vec<BlockData> = blocks
                .map(|summary| BlockData {
                    docs: vec![0],
                    terms: summary.terms().to_vec(),
                    levels: summary.weights().iter().map(|w| w.to_le_bytes()[3] | 1).collect(),
                    scale: summary.weights().first().copied().unwrap_or(1.0),
                })
                .collect();
            writer.push_list(&ListData::new(dimension, &blocks).unwrap()).unwrap();
        }
        writer.finish().unwrap();
        (folder, SeismicLists::open(&path, Verify::Full).unwrap())
    }

    fn vectors(most: usize) -> impl Strategy<Value = SparseVector> {
        let term = prop_oneof![0u32..60, 0u32..700, 0u32..70_000];
        prop::collection::vec((term, 0.1f32..9.0), 1..most)
            .prop_map(|pairs| SparseVector::from_pairs(pairs).unwrap())
    }

    /// Each block's estimate, straight from its summary.
    fn plain(view: &Lists<'_>, query: &FixedQuery, cut: usize) -> Vec<u64> {
        let mut keys = Vec::new();
        for (term, _) in query.terms().iter().take(cut) {
            let term = TermId(*term);
            for (block, summary) in view.blocks(term).zip(view.decode(term)) {
                let of = |t: u32| query.terms().iter().find(|q| q.0 == t).map_or(0, |q| q.1);
                let sum: i64 = summary.iter().map(|(t, l)| i64::from(of(*t)) * i64::from(*l)).sum();
                #[expect(clippy::cast_precision_loss, reason = "an estimate")]
                keys.push(key(sum as f32 * view.scale(block), block));
            }
        }
        keys.sort_unstable();
        keys
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// In narrow and wide dimensions, with lists of no, one and several groups.
        #[test]
        fn estimates_are_those_of_the_summaries(
            lists in prop::collection::btree_map(0u32..60, prop_oneof![
                prop::collection::vec(vectors(30), 0..4),
                prop::collection::vec(vectors(4), 120..300),
            ], 0..5),
            queries in prop::collection::vec(vectors(50), 1..4),
            cut in 1usize..60,
            wide in any::<bool>(),
        ) {
            let dimension = if wide { 70_000 } else { 700 };
            let within = |v: SparseVector| {
                SparseVector::from_pairs(v.iter().filter(|(t, _)| *t < dimension)).unwrap()
            };
            let lists: Vec<_> = lists
                .into_iter()
                .map(|(term, blocks)| (term, blocks.into_iter().map(within).collect()))
                .collect();
            let (_folder, lists) = write(dimension, &lists);
            let view = lists.view().unwrap();
            let mut scratch = Scratch::default();
            for query in &queries {
                // Terms beyond the dimension have no list and stand in no summary.
                let query = FixedQuery::new(query);
                let want = plain(&view, &query, cut);
                for kernels in Kernels::all() {
                    let order = estimate((kernels, || Ok(())), &view, &query, cut, &mut scratch);
                    prop_assert_eq!(&order.unwrap().into_sorted_vec(), &want, "{:?}", kernels);
                }
            }
        }
    }

    #[test]
    fn time_is_kept_and_sums_are_left_clean() {
        let summary = SparseVector::new(vec![1, 2], vec![1.0, 2.0]).unwrap();
        let lists = [(1, vec![summary.clone(); 300]), (2, vec![summary.clone(); 300])];
        let (_folder, lists) = write(3, &lists);
        let view = lists.view().unwrap();
        let query = FixedQuery::new(&summary);
        let mut scratch = Scratch::default();
        let late = estimate(
            (Kernels::Scalar, || Err(SearchError::Timeout)),
            &view,
            &query,
            2,
            &mut scratch,
        );
        assert!(matches!(late, Err(SearchError::Timeout)));
        let found = estimate((Kernels::Scalar, || Ok(())), &view, &query, 2, &mut scratch).unwrap();
        assert_eq!(found.into_sorted_vec(), plain(&view, &query, 2));
    }
}
