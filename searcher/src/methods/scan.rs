//! The scan: every document is scored. Rank-safe by construction; the oracle for all else.
//!
//! 1. load the query's weights into a table  2. score every row, or every one that may be found
//! 3. keep the k best
//!
//! Cost: O(components of the rows), in their order.

use std::time::Instant;

use quarry_index::Segment;
use quarry_index::forward::Records;

use crate::error::SearchError;
use crate::filter::rows::RowSet;
use crate::kernels::Kernels;
use crate::methods::collect::{SegmentHits, best, kth};
use crate::methods::scorer::Scorer;
use crate::options::Options;
use crate::outcome::Stats;

/// Rows between two looks at the clock.
const STRIDE: usize = 4096;

pub(crate) fn search(
    (segment, allowed): (&Segment, Option<&RowSet>),
    records: Records<'_>,
    scorer: Scorer<'_>,
    params: &Options<'_>,
    kernels: Kernels,
    stats: &mut Stats,
) -> Result<SegmentHits, SearchError> {
    let count = u32::try_from(records.len()).unwrap_or(u32::MAX);
    let mut rows: Box<dyn Iterator<Item = u32>> = match allowed {
        Some(allowed) => Box::new(allowed.iter()),
        None => Box::new(0..count),
    };
    let k = params.k.get();
    let (mut some, mut scored) = (Vec::with_capacity(STRIDE), Vec::new());
    loop {
        some.clear();
        some.extend(rows.by_ref().take(STRIDE));
        if some.is_empty() {
            return Ok(best(k, &mut scored, segment.documents()));
        }
        if params.deadline.is_some_and(|d| Instant::now() >= d) {
            return Err(SearchError::Timeout);
        }
        kernels.score_all(scorer, &records, &some, &mut scored);
        stats.documents_scored += some.len() as u64;
        // What cannot be among the best is let go.
        if scored.len() > k.max(STRIDE).saturating_mul(2)
            && let Some(least) = kth(k, &mut scored)
        {
            scored.retain(|found| found.score >= least);
        }
    }
}
