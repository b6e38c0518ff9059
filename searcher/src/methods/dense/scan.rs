//! The exact search: every row that has a vector, or every such row that may be found, is scored by its dot product
//! with the query's vector.
//!
//! Cost: reads every row once for each query.

use std::time::Instant;

use quarry_index::Segment;
use quarry_index::dense::DenseStore;
use quarry_vectors::DocId;

use crate::error::SearchError;
use crate::filter::rows::RowSet;
use crate::methods::collect::{Scored, SegmentHits, best, kth};
use crate::methods::dense::query::{DenseQuery, DenseScorer, ScoreBuffers};
use crate::options::Options;
use crate::outcome::Stats;

/// Rows between two looks at the clock.
const STRIDE: usize = 4096;

pub(crate) fn search(
    (segment, allowed): (&Segment, Option<&RowSet>),
    (store, scorer): (&DenseStore, DenseScorer<'_>),
    query: &DenseQuery,
    params: &Options<'_>,
    stats: &mut Stats,
) -> Result<SegmentHits, SearchError> {
    let count = u32::try_from(store.documents()).unwrap_or(u32::MAX);
    let all: Box<dyn Iterator<Item = u32>> = match allowed {
        Some(allowed) => Box::new(allowed.iter()),
        None => Box::new(0..count),
    };
    let mut rows = all.filter(|row| store.has(DocId(*row)));
    let k = params.k.get();
    let (mut some, mut scored) = (Vec::with_capacity(STRIDE), Vec::new());
    let (mut buffers, mut scores) = (ScoreBuffers::default(), Vec::with_capacity(STRIDE));
    loop {
        some.clear();
        some.extend(rows.by_ref().take(STRIDE));
        if some.is_empty() {
            return Ok(best(k, &mut scored, segment.documents()));
        }
        if params.deadline.is_some_and(|d| Instant::now() >= d) {
            return Err(SearchError::Timeout);
        }
        scorer.score(query, &some, &mut buffers, &mut scores);
        let found = some.iter().zip(&scores).filter(|(_, score)| score.is_finite());
        scored.extend(found.map(|(row, score)| Scored { score: *score, doc: DocId(*row) }));
        stats.documents_scored += some.len() as u64;
        // What cannot be among the best is let go.
        if scored.len() > k.max(STRIDE).saturating_mul(2)
            && let Some(least) = kth(k, &mut scored)
        {
            scored.retain(|found| found.score >= least);
        }
    }
}
