//! Seismic's blocked inverted lists, built from a sealed forward index within a memory limit.
//!
//! 1. `prune`: a level that every kept posting reaches, and how many postings each list keeps
//! 2. postings are gathered for ranges of terms that fit the memory, one scan per range
//! 3. `block`: each list is cut into geometrically cohesive blocks
//! 4. `summary`: each block gets a summary; the summaries of a list are stored by term
//!
//! Source: arXiv:2404.18812. Unlike there, every document keeps its heaviest postings in spite of
//! pruning, so that no document becomes unreachable.

mod block;
mod prune;
mod summary;
#[cfg(test)]
mod tests;

use std::path::Path;

use quarry_index::IndexError;
use quarry_index::container::Written;
use quarry_index::forward::ForwardIndex;
use quarry_index::seismic::{BlockData, ListData, SeismicMeta, SeismicParams, SeismicWriter};
use rayon::prelude::*;

use crate::BuildError;
use crate::options::Event;
use block::Blocker;
use prune::{Posting, Pruning};
use summary::Summarizer;

/// Bytes per gathered posting.
const POSTING_BYTES: u64 = std::mem::size_of::<Posting>() as u64;
/// Gathered postings that are blocked between two writes; bounds the memory of finished blocks.
const GROUP_POSTINGS: usize = 1 << 21;

/// The input of building lists.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ListsJob<'a> {
    pub(crate) forward: &'a ForwardIndex,
    pub(crate) params: SeismicParams,
    pub(crate) seed: u64,
    pub(crate) memory: u64,
}

/// Builds the part at `path`.
pub(crate) fn build(
    job: ListsJob<'_>,
    path: &Path,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<(Written, SeismicMeta), BuildError> {
    let ListsJob { forward, params, seed, memory } = job;
    let dimension = forward.meta().dimension;
    let pruning = Pruning::choose(forward, &params)?;
    let mut writer = SeismicWriter::create(path, dimension, forward.len() as u64, params, seed)?;
    progress(Event::Stage { name: "blocking lists", total: pruning.kept() });
    let mut done = 0;
    for range in pruning.ranges(memory / POSTING_BYTES) {
        let gathered = pruning.gather(forward, range.clone())?;
        let mut from = 0;
        while from < gathered.len() {
            let mut postings = 0;
            let group = gathered[from..]
                .iter()
                .take_while(|list| {
                    let fits = postings == 0 || postings < GROUP_POSTINGS;
                    postings += list.len();
                    fits
                })
                .count();
            let lists: Vec<ListData> = gathered[from..from + group]
                .par_iter()
                .zip(range.clone().into_par_iter().skip(from).take(group))
                .map_init(
                    || (Blocker::new(dimension), Summarizer::new(dimension)),
                    |(blocker, summarizer), (list, term)| {
                        let blocks = blocker.cut(forward, list, term, (&params, seed));
                        let blocks: Vec<BlockData> = blocks
                            .into_iter()
                            .map(|docs| summarizer.summarize(forward, docs, &params))
                            .collect();
                        ListData::new(dimension, &blocks)
                    },
                )
                .collect::<Result<_, IndexError>>()?;
            for (list, gathered) in lists.iter().zip(&gathered[from..]) {
                writer.push_list(list)?;
                done += gathered.len() as u64;
            }
            progress(Event::Step { done });
            from += group;
        }
    }
    writer.finish().map_err(|e: IndexError| e.into())
}
