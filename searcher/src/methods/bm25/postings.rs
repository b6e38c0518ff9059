//! The plain way: every posting is scored, term at a time within windows of documents.
//!
//! 1. accumulate each term's postings of the window  2. offer the window's documents  3. next window
//!
//! Cost: O(postings of the query's terms + documents / window).

use std::time::Instant;

use quarry_vectors::DocId;
use tantivy::postings::{Postings, SegmentPostings};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocSet, TERMINATED};

use super::query::Bm25Query;
use super::score::addend;
use super::target::Target;
use crate::error::SearchError;
use crate::methods::collect::{Collector, Scored, SegmentHits};
use crate::options::Options;
use crate::outcome::Stats;

/// Documents accumulated at once: the accumulators fit the first-level cache.
const WINDOW: u32 = 4096;

pub(super) fn search(
    target: &Target<'_>,
    query: &Bm25Query,
    params: &Options<'_>,
    stats: &mut Stats,
) -> Result<SegmentHits, SearchError> {
    let field = target.text.fields().contents;
    let inverted = target.text.reader().inverted_index(field).map_err(Box::new)?;
    let lengths = target.text.reader().get_fieldnorms_reader(field).map_err(Box::new)?;
    let mut lists: Vec<(SegmentPostings, f32)> = Vec::new();
    for (weight, place) in query.of(target.place) {
        let with = IndexRecordOption::WithFreqs;
        lists.push((inverted.read_postings_from_terminfo(place, with)?, weight));
    }
    let mut collector = Collector::new(params.k.get(), target.segment.documents());
    let mut scores = vec![0.0f32; WINDOW as usize];
    // Start each window at the next document that any list has: empty stretches cost nothing.
    while let Some(next) = lists.iter().map(|l| l.0.doc()).min().filter(|d| *d != TERMINATED) {
        if params.deadline.is_some_and(|d| Instant::now() >= d) {
            return Err(SearchError::Timeout);
        }
        let start = next - next % WINDOW;
        for (postings, weight) in &mut lists {
            let mut doc = postings.doc();
            while doc < start + WINDOW {
                let norm = query.norms[usize::from(lengths.fieldnorm_id(doc))];
                scores[(doc - start) as usize] += addend(*weight, postings.term_freq(), norm);
                stats.postings += 1;
                doc = postings.advance();
            }
        }
        for (doc, score) in (start..).zip(scores.iter_mut()) {
            if *score > 0.0 {
                if target.allowed.is_none_or(|rows| rows.contains(DocId(doc))) {
                    collector.offer(Scored { score: f64::from(*score), doc: DocId(doc) });
                }
                *score = 0.0;
            }
        }
        lists.retain(|l| l.0.doc() != TERMINATED);
    }
    Ok(collector.into_sorted())
}
