//! Visits of blocks, the most promising first, until none can matter.
//!
//! 1. take blocks off the order, and prefetch their postings
//! 2. some blocks behind: take their documents that were not seen yet, and prefetch their places
//! 3. some documents behind: prefetch their records
//! 4. block by block: stop if it promises too little by now, else score its documents
//!
//! Looking ahead changes nothing in what is scored: blocks come in descending order of estimates and
//! the threshold only rises, so all that was taken after a block that fails would fail too.

use std::time::Instant;

use quarry_index::forward::{LevelWidth, Place, Records, TermWidth};
use quarry_index::seismic::Lists;
use quarry_vectors::DocId;

use super::estimate::{Order, of_key};
use super::target::Target;
use crate::error::SearchError;
use crate::kernels::prefetch;
use crate::methods::collect::{Collector, Scored, SegmentHits};
use crate::outcome::Stats;

/// Estimates pass through four roundings to f32 (scale, level, sum, product), each of at most 2^-24: with
/// this factor none of them costs a document at the threshold.
const ROUNDING: f64 = 1.0 + 1.0 / (1u64 << 21) as f64;
/// Blocks between two looks at the clock.
const STRIDE: usize = 64;
/// Number of blocks ahead whose postings are prefetched.
const BLOCKS: usize = 4;
/// Number of documents ahead of the one being scored whose record is prefetched.
const AHEAD: usize = 10;
/// Number of documents further ahead whose place in the table is prefetched.
const FURTHER: usize = 16;

/// Reused from query to query.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// Blocks taken off the order: estimate and number.
    blocks: Vec<(f32, usize)>,
    /// Of the first of them, the end of their documents.
    ends: Vec<usize>,
    /// Documents of the blocks, each once.
    docs: Vec<u32>,
    /// A bit for each document of the segment; zero between queries.
    visited: Vec<u64>,
}

impl Scratch {
    fn clear(&mut self) {
        for doc in self.docs.drain(..) {
            self.visited[doc as usize / 64] = 0;
        }
        self.blocks.clear();
        self.ends.clear();
    }
}

/// The k best of the documents visited.
pub(super) fn visit(
    target: &Target<'_>,
    view: &Lists<'_>,
    (k, heap_factor): (usize, f32),
    order: &mut Order,
    (scratch, stats): (&mut Scratch, &mut Stats),
) -> Result<SegmentHits, SearchError> {
    let (records, unit) = (target.records, target.unit);
    let component = component_bytes(&records);
    let mut collector = Collector::new(k, target.segment.documents());
    let matters = |score: f32, threshold: Option<f64>| {
        let promised = f64::from(score) * unit * ROUNDING;
        threshold.is_none_or(|t| promised >= t * f64::from(heap_factor))
    };
    scratch.visited.resize(records.len().div_ceil(64), 0);
    let (mut block, mut scored, mut asked) = (0, 0, 0);
    let outcome = loop {
        // Enough blocks that the documents behind this one's are known.
        let Scratch { blocks, ends, docs, visited } = &mut *scratch;
        while ends.len() <= block || docs.len() < ends[block] + AHEAD + FURTHER {
            let threshold = collector.threshold();
            while blocks.len() < ends.len() + BLOCKS
                && let Some((score, number)) = order.pop().map(of_key)
                && matters(score, threshold)
            {
                prefetch(view.docs(number), 0);
                prefetch(view.docs(number), 16);
                blocks.push((score, number));
            }
            let Some((_, number)) = blocks.get(ends.len()) else { break };
            for &doc in view.docs(*number) {
                let (word, bit) = (&mut visited[doc as usize / 64], 1u64 << (doc % 64));
                let may = target.allowed.is_none_or(|rows| rows.contains(DocId(doc)));
                if may && *word & bit == 0 {
                    *word |= bit;
                    prefetch(records.table(), doc as usize);
                    docs.push(doc);
                }
            }
            ends.push(docs.len());
        }
        let (Some((score, _)), Some(end)) = (blocks.get(block), ends.get(block)) else {
            break Ok(());
        };
        if !matters(*score, collector.threshold()) {
            break Ok(());
        }
        block += 1;
        if block.is_multiple_of(STRIDE)
            && target.deadline.is_some_and(|deadline| Instant::now() >= deadline)
        {
            break Err(SearchError::Timeout);
        }
        while scored < *end {
            while asked < docs.len().min(scored + AHEAD) {
                let Place { start, components: count } = records.place(DocId(docs[asked]));
                for line in (start..start + component * count).step_by(64) {
                    prefetch(records.bytes(), line);
                }
                asked += 1;
            }
            let doc = DocId(docs[scored]);
            if let Some(score) = target.kernels.score_one(target.scorer, &records, doc) {
                collector.offer(Scored { score, doc });
            }
            scored += 1;
        }
    };
    stats.blocks_visited += block as u64;
    stats.documents_scored += scored as u64;
    scratch.clear();
    outcome.map(|()| collector.into_sorted())
}

/// Bytes of a component of a record.
fn component_bytes(records: &Records<'_>) -> usize {
    (if records.term_width() == TermWidth::U16 { 2 } else { 4 })
        + (if records.level_width() == LevelWidth::U8 { 1 } else { 2 })
}
