//! The scan: every document is scored. Rank-safe by construction; the oracle for all else.
//!
//! 1. load the query's weights into a table  2. scan the forward index  3. keep the k best
//!
//! Cost: O(components of the segment), sequential reads.

use std::time::Instant;

use quarry_index::Segment;
use quarry_index::forward::Records;
use quarry_vectors::DocId;

use crate::SearchError;
use crate::collect::Collector;
use crate::kernels::Kernels;
use crate::outcome::Stats;
use crate::params::SparseParams;
use crate::query::{QueryTable, to_score};

/// Documents between two looks at the clock.
const STRIDE: u32 = 4096;

pub(crate) fn search(
    segment: &Segment,
    records: Records<'_>,
    (table, unit): (&QueryTable, f64),
    params: &SparseParams,
    kernels: Kernels,
    stats: &mut Stats,
) -> Result<Vec<(f32, DocId)>, SearchError> {
    let mut collector = Collector::new(params.k.get(), segment.documents());
    let count = u32::try_from(records.len()).unwrap_or(u32::MAX);
    for doc in 0..count {
        if doc.is_multiple_of(STRIDE) && params.deadline.is_some_and(|d| Instant::now() >= d) {
            return Err(SearchError::Timeout);
        }
        let sum = kernels.score(table, &records, DocId(doc));
        if sum > 0 {
            collector.offer(to_score(sum, unit), DocId(doc));
        }
    }
    stats.documents_scored += u64::from(count);
    Ok(collector.into_sorted())
}
