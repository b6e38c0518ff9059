//! Queries on their way through the stages of a search.

use std::time::Duration;

use quarry_searcher::Hit as Found;
use quarry_vectors::TokenEmbeddings;
use rayon::prelude::*;

use crate::channel_list::ChannelList;
use crate::query::EncodedQuery;
use crate::search::{RerankReport, Timings};
use crate::{EngineError, Query};

/// What a stage gives each query.
pub(crate) type Results<T> = Vec<Result<T, EngineError>>;

/// A query on its way through the stages.
pub(crate) struct Work<'a> {
    pub(crate) query: &'a Query,
    pub(crate) lists: Vec<ChannelList>,
    /// What the one channel found, or all of them, fused.
    pub(crate) found: Vec<Found>,
    pub(crate) rescored: Option<Rescored>,
    /// The query's token embeddings, once something was rescored.
    pub(crate) rows: Option<TokenEmbeddings>,
    /// The ranking of a first round that was reranked, best first: its documents feed back.
    pub(crate) first: Option<Vec<Found>>,
    pub(crate) timings: Timings,
}

/// What the second stage gave.
pub(crate) struct Rescored {
    pub(crate) hits: Vec<Found>,
    pub(crate) report: RerankReport,
}

impl<'a> Work<'a> {
    pub(crate) fn new(query: &'a Query) -> Self {
        let timings = Timings::default();
        let (lists, found) = (Vec::new(), Vec::new());
        Self { query, lists, found, rescored: None, rows: None, first: None, timings }
    }
}

/// Over all cores; a single one on the caller's thread, so that who answers one request a thread decides how many
/// run at once.
pub(crate) fn each<T: Sync, R: Send>(items: &[T], of: impl Fn(&T) -> R + Sync) -> Vec<R> {
    match items {
        [one] => vec![of(one)],
        _ => items.par_iter().map(&of).collect(),
    }
}

/// Gives each query that is still on its way what a stage found for it.
pub(crate) fn put<T>(
    works: &mut [Result<Work<'_>, EngineError>],
    found: Results<T>,
    mut with: impl FnMut(&mut Work<'_>, T),
) {
    let mut found = found.into_iter();
    for slot in works {
        let Ok(work) = slot else { continue };
        match found.next().unwrap_or(Err(EngineError::NoAnswer)) {
            Ok(found) => with(work, found),
            Err(error) => *slot = Err(error),
        }
    }
}

/// Most documents that never feed back, of a query.
pub(crate) fn most_excluded(works: &[Result<Work<'_>, EngineError>]) -> usize {
    works.iter().flatten().map(|work| work.query.excluded.len()).max().unwrap_or(0)
}

/// What each of `among` has of a time.
pub(crate) fn share(time: Duration, among: usize) -> Duration {
    time / u32::try_from(among.max(1)).unwrap_or(u32::MAX)
}

/// Most hits of another channel at which a walk over a graph begins.
const MOST_SEEDS: usize = 16;

/// A query on one channel, and where a walk over a graph begins beside the graph's own entries.
pub(crate) struct Asked<'a> {
    pub(crate) encoded: &'a EncodedQuery,
    pub(crate) seeds: &'a [Found],
}

impl<'a> Asked<'a> {
    /// The query of list `at`, with the best that the first list found, if that is another.
    pub(crate) fn after(work: &'a Work<'_>, at: usize) -> Self {
        let seeds = work.lists[..at].first().map_or(&[][..], |list| list.found.as_slice());
        Self { encoded: &work.lists[at].encoded, seeds: &seeds[..seeds.len().min(MOST_SEEDS)] }
    }
}
