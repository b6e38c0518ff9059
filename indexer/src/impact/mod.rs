//! Impact-ordered lists, built from a sealed forward index within a memory limit.
//!
//! 1. count each term's postings  2. cut the terms into ranges whose postings fit the memory, and each
//!    range into one job per thread  3. a job gathers its terms' postings in one pass over the forward
//!    index, cuts each list into bands (`bands`) and encodes it  4. lists are written in order of term
//!
//! Nothing is pruned, and each band bounds the levels of its postings from above, so a search over these
//! lists can be exact. Cost: O(components), and one pass over the forward index per job.

pub(crate) mod bands;

use std::ops::Range;
use std::path::Path;

use quarry_index::IndexError;
use quarry_index::container::Written;
use quarry_index::forward::ForwardIndex;
use quarry_index::impact::{EncodedList, ImpactMeta, ImpactWriter, encode};
use quarry_vectors::DocId;
use rayon::prelude::*;

use crate::BuildError;
use crate::options::Event;
use bands::Banding;

/// Bytes per posting while it is gathered, cut into bands and encoded.
const POSTING_BYTES: u64 = 6 + 4 + 3;

/// Builds the part at `path`.
pub(crate) fn build(
    forward: &ForwardIndex,
    path: &Path,
    memory: u64,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<(Written, ImpactMeta), BuildError> {
    let mut writer = ImpactWriter::create(path, forward.meta().dimension, forward.len() as u64)?;
    let layout = writer.meta().clone();
    lists(forward, (layout, "impact lists"), memory, progress, |list| writer.push(list))?;
    Ok(writer.finish()?)
}

/// Calls `push` with each term's list over the rows of `forward`, in order of term.
pub(crate) fn lists(
    forward: &ForwardIndex,
    (layout, stage): (ImpactMeta, &'static str),
    memory: u64,
    progress: &(dyn Fn(Event) + Sync),
    mut push: impl FnMut(&EncodedList) -> Result<(), IndexError>,
) -> Result<(), BuildError> {
    let dimension = forward.meta().dimension;
    let counts = count(forward);
    progress(Event::Stage { name: stage, total: forward.meta().components });
    let mut done = 0;
    let threads = rayon::current_num_threads().max(1) as u64;
    for range in ranges(&counts, 0..dimension, memory / POSTING_BYTES) {
        let postings = sum(&counts, &range);
        let jobs = ranges(&counts, range, postings.div_ceil(threads));
        let encoded: Vec<Vec<EncodedList>> = jobs
            .into_par_iter()
            .map(|terms| gather(forward, &counts, terms).encode(&layout))
            .collect();
        for list in encoded.iter().flatten() {
            push(list)?;
        }
        done += postings;
        progress(Event::Step { done });
    }
    Ok(())
}

/// Number of postings per term. The documents are divided among one job per thread.
fn count(forward: &ForwardIndex) -> Vec<u32> {
    let dimension = forward.meta().dimension as usize;
    let documents = u32::try_from(forward.len()).unwrap_or(u32::MAX);
    let jobs = u32::try_from(rayon::current_num_threads().max(1)).unwrap_or(1);
    let chunk = documents.div_ceil(jobs).max(1);
    let records = forward.records();
    (0..jobs)
        .into_par_iter()
        .map(|job| {
            let mut counts = vec![0u32; dimension];
            let start = job.saturating_mul(chunk).min(documents);
            for doc in start..start.saturating_add(chunk).min(documents) {
                records.record(DocId(doc)).for_each_term(|term| counts[term as usize] += 1);
            }
            counts
        })
        .reduce(
            || vec![0u32; dimension],
            |mut a, b| {
                a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
                a
            },
        )
}

fn sum(counts: &[u32], range: &Range<u32>) -> u64 {
    counts[range.start as usize..range.end as usize].iter().map(|c| u64::from(*c)).sum()
}

/// Cuts a range of terms into consecutive ranges of at most `most` postings (or one term) each.
fn ranges(counts: &[u32], terms: Range<u32>, most: u64) -> Vec<Range<u32>> {
    let mut out = Vec::new();
    let (mut start, mut sum) = (terms.start, 0u64);
    for term in terms.clone() {
        let count = u64::from(counts[term as usize]);
        if sum > 0 && sum + count > most {
            out.push(start..term);
            (start, sum) = (term, 0);
        }
        sum += count;
    }
    if start < terms.end {
        out.push(start..terms.end);
    }
    out
}

/// The postings of a range of terms, by term; documents ascending.
#[derive(Debug)]
struct Gathered {
    starts: Vec<usize>,
    docs: Vec<u32>,
    levels: Vec<u16>,
}

fn gather(forward: &ForwardIndex, counts: &[u32], terms: Range<u32>) -> Gathered {
    let mut starts = vec![0usize];
    let mut total = 0;
    for count in &counts[terms.start as usize..terms.end as usize] {
        total += *count as usize;
        starts.push(total);
    }
    let mut cursors = starts.clone();
    let (mut docs, mut levels) = (vec![0u32; total], vec![0u16; total]);
    let records = forward.records();
    for doc in 0..u32::try_from(forward.len()).unwrap_or(u32::MAX) {
        for (term, level) in records.record(DocId(doc)).range(&terms) {
            let cursor = &mut cursors[(term - terms.start) as usize];
            docs[*cursor] = doc;
            levels[*cursor] = level;
            *cursor += 1;
        }
    }
    Gathered { starts, docs, levels }
}

impl Gathered {
    fn encode(&self, layout: &ImpactMeta) -> Vec<EncodedList> {
        let mut banding = Banding::new();
        self.starts
            .windows(2)
            .map(|w| {
                let list = w[0]..w[1];
                encode(layout, &banding.cut(&self.docs[list.clone()], &self.levels[list]))
            })
            .collect()
    }
}
