//! Exact scores of the documents chosen.

use quarry_vectors::DocId;

use super::Target;
use crate::collect::Collector;
use crate::kernels::prefetch;
use crate::query::{QueryTable, to_score};

/// Documents ahead of the one being scored whose record is asked for.
const AHEAD: usize = 10;
/// Documents ahead of those whose place in the table is asked for.
const FURTHER: usize = 16;

/// Scores every document and offers it. `docs` lie inside the segment.
pub(super) fn rescore(
    target: &Target<'_>,
    table: &QueryTable,
    docs: &[u32],
    collector: &mut Collector<'_>,
) {
    let records = target.records;
    let ask = |doc: u32| {
        let (start, count) = records.place(DocId(doc));
        for line in (start..start + 3 * count).step_by(64) {
            prefetch(records.bytes(), line);
        }
    };
    for doc in docs.iter().take(AHEAD + FURTHER) {
        prefetch(records.table(), *doc as usize);
    }
    docs.iter().take(AHEAD).for_each(|doc| ask(*doc));
    for (at, doc) in docs.iter().enumerate() {
        if let Some(next) = docs.get(at + AHEAD + FURTHER) {
            prefetch(records.table(), *next as usize);
        }
        if let Some(next) = docs.get(at + AHEAD) {
            ask(*next);
        }
        let sum = target.kernels.score(table, &records, DocId(*doc));
        if sum > 0 {
            collector.offer(to_score(sum, target.unit), DocId(*doc));
        }
    }
}
