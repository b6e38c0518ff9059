//! The search over clusters.
//!
//! 1. the approximate search's sums, with the clusters' summaries for documents: the clusters with the
//!    largest sums are chosen  2. all of their documents are scored exactly, the k best kept
//!
//! A summary has the largest level of each term, so a cluster's sum is about what its best document
//! could reach. Setting: `postings` and `candidates`, the clusters.
//! Cost: O(postings + clusters / 64 + components of the clusters' documents). At a given overlap it
//! grows with about the square root of the collection.

use quarry_index::clusters::Clusters;
use quarry_vectors::DocId;

use super::approximate::{Setting, choose};
use super::{ImpactScratch, Target};
use crate::error::SearchError;
use crate::filter::rows::RowSet;
use crate::kernels::prefetch;
use crate::methods::collect::{SegmentHits, best};
use crate::methods::query::FixedQuery;
use crate::outcome::Stats;

/// Clusters whose documents are scored between two looks at the clock.
const STRIDE: usize = 256;

/// Only `allowed` documents are found; `target` is of clusters, all of which may be chosen.
pub(crate) fn search(
    (target, clusters, allowed): (&Target<'_>, &Clusters, Option<&RowSet>),
    query: &FixedQuery,
    (k, setting): (usize, Setting),
    scratch: &mut ImpactScratch,
    stats: &mut Stats,
) -> Result<SegmentHits, SearchError> {
    let runs = clusters.runs()?;
    choose(std::slice::from_ref(target), query, setting, scratch, stats)?;
    let ImpactScratch { chosen, documents, scored, .. } = scratch;
    scored.clear();
    for some in chosen.chunks(STRIDE) {
        target.in_time()?;
        some.iter().for_each(|cluster| prefetch(runs.ends(), *cluster as usize));
        documents.clear();
        for cluster in some {
            let rows = runs.rows(*cluster);
            prefetch(target.records.table(), rows.start as usize);
            match allowed {
                Some(allowed) => documents.extend(rows.filter(|row| allowed.contains(DocId(*row)))),
                None => documents.extend(rows),
            }
        }
        target.kernels.score_all(target.scorer, &target.records, documents, scored);
        stats.documents_scored += documents.len() as u64;
    }
    stats.blocks_visited += chosen.len() as u64;
    Ok(best(k, scored, target.segment.documents()))
}
