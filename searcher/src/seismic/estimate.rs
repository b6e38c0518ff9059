//! What the blocks of the query's lists promise, from their summaries.
//!
//! 1. the groups of blocks of the `query_cut` heaviest terms' lists
//! 2. of each group and query term the page of summaries where the term would stand
//! 3. in that page the term's run of entries
//! 4. add query weight x level to each entry's block; a block's estimate is its sum x its scale
//!
//! Each step goes over all groups before the next, so that the lines it asks for come side by side.
//! Cost: O(groups x query terms + keys and entries of the pages + entries of the runs).

use quarry_index::seismic::{GROUP, LAST, Lists, Page, Summaries};
use quarry_vectors::TermId;

use super::Target;
use crate::SearchError;
use crate::kernels::prefetch;
use crate::query::FixedQuery;

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
    target: &Target<'_>,
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
        if let Err(error) = target.in_time() {
            sums.fill(0);
            return Err(error);
        }
        probes.clear();
        while from < groups.len() && (probes.is_empty() || probes.len() < BATCH) {
            probe(&groups[from], from, query, probes);
            from += 1;
        }
        runs.clear();
        find(target, &groups, probes, runs);
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

/// The groups, with their tables asked for.
fn groups<'a>(view: &Lists<'a>, query: &FixedQuery, query_cut: usize) -> Vec<Group<'a>> {
    let terms = || query.terms().iter().take(query_cut).map(|(term, _)| TermId(*term));
    let (group_ends, groups, scales, posting_ends) = view.tables();
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
fn find(target: &Target<'_>, groups: &[Group<'_>], probes: &[Probe], runs: &mut Vec<Run>) {
    for &Probe { group, page, weight, low } in probes {
        let summaries = &groups[group].summaries;
        let keys = (summaries.keys_from(page.key), page.keys);
        let numbers = (summaries.numbers_from(page.entry), page.entries);
        let run = target.kernels.run(low, keys, numbers);
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
