//! Scoring many documents: the loop around a kernel, which prefetches records.

use quarry_index::forward::{Place, Records, SLACK};
use quarry_vectors::DocId;

use super::prefetch;
use crate::methods::collect::Scored;
use crate::methods::query::to_score;

/// Number of documents ahead of the one being scored whose record is prefetched.
const AHEAD: usize = 6;
/// Number of documents further ahead whose place in the table is prefetched.
const FURTHER: usize = 16;

/// Scores documents of u16 terms and u8 levels by `score`, which takes a record's bytes with
/// [`SLACK`] more behind them, and its components. Appends those that match.
///
/// # Panics
/// When the segment lacks one of the documents.
#[inline(always)]
pub(super) fn score_all(
    records: &Records<'_>,
    (docs, unit): (&[u32], f64),
    out: &mut Vec<Scored>,
    score: impl Fn(&[u8], usize) -> i64,
) {
    let prefetch_record = |doc: u32| {
        let Place { start, components: count } = records.place(DocId(doc));
        for line in (start..start + 3 * count).step_by(64) {
            prefetch(records.bytes(), line);
        }
    };
    for doc in docs.iter().take(AHEAD + FURTHER) {
        prefetch(records.table(), *doc as usize);
    }
    docs.iter().take(AHEAD).for_each(|doc| prefetch_record(*doc));
    for (at, doc) in docs.iter().enumerate() {
        if let Some(next) = docs.get(at + AHEAD + FURTHER) {
            prefetch(records.table(), *next as usize);
        }
        if let Some(next) = docs.get(at + AHEAD) {
            prefetch_record(*next);
        }
        let Place { start, components: count } = records.place(DocId(*doc));
        let sum = score(&records.bytes()[start..start + 3 * count + SLACK], count);
        if sum > 0 {
            out.push(Scored { score: to_score(sum, unit), doc: DocId(*doc) });
        }
    }
}
