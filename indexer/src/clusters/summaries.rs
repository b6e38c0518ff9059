//! The clusters' summaries, and impact-ordered lists over them.
//!
//! 1. the largest level of each term in each cluster, cut to the largest components: a temporary forward
//!    index with one record per cluster  2. impact-ordered lists over it, as `impact` builds them

use std::ops::Range;
use std::path::Path;

use quarry_index::clusters::{ClusterParams, ClustersWriter};
use quarry_index::container::Written;
use quarry_index::forward::{ForwardIndex, ForwardWriter, Records, ScaledTerms};
use quarry_index::{IndexError, Verify};
use quarry_vectors::DocId;
use rayon::prelude::*;

use crate::BuildError;
use crate::impact;
use crate::options::Event;

/// Clusters whose summaries are in memory at the same time.
const BATCH: usize = 1 << 15;
/// Clusters per job.
const JOB: usize = 256;

/// Builds the part at `path`; `ends` are the rows where the clusters end.
pub(crate) fn build(
    forward: &ForwardIndex,
    (params, seed): (ClusterParams, u64),
    ends: &[u32],
    (path, work): (&Path, &Path),
    memory: u64,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<Written, BuildError> {
    let dimension = forward.meta().dimension;
    let quantization = forward.meta().quantization;
    let temporary = work.join("summaries.qry");
    let mut summaries = ForwardWriter::create(&temporary, dimension, quantization)?;
    let records = forward.records();
    let starts: Vec<u32> = std::iter::once(0).chain(ends.iter().copied()).collect();
    let keep = params.components as usize;
    let clusters: Vec<Range<u32>> = starts.windows(2).map(|w| w[0]..w[1]).collect();
    for batch in clusters.chunks(BATCH) {
        let made: Vec<Vec<Summary>> = batch
            .par_chunks(JOB)
            .map_init(
                || Largest::new(dimension, forward.scaled()),
                |largest, clusters| {
                    clusters.iter().map(|c| largest.of(&records, c.clone(), keep)).collect()
                },
            )
            .collect();
        for (terms, levels) in made.iter().flatten() {
            let levels: Vec<_> = terms.iter().copied().zip(levels.iter().copied()).collect();
            summaries.push_levels(&levels)?;
        }
        // The documents are not read again below.
        forward.release();
    }
    summaries.finish()?;
    let summaries = ForwardIndex::open(&temporary, Verify::Envelope)?;
    std::fs::remove_file(&temporary).map_err(IndexError::io(&temporary))?;
    let mut writer = ClustersWriter::create(path, params, seed, dimension, ends.to_vec())?;
    let layout = writer.layout().clone();
    impact::lists(&summaries, (layout, "cluster lists"), memory, progress, |list| {
        writer.push(list)
    })?;
    Ok(writer.finish()?)
}

/// Terms, ascending, and their levels.
type Summary = (Vec<u32>, Vec<u16>);

/// Computes the largest level of each term.
#[derive(Debug)]
struct Largest<'a> {
    scaled: &'a ScaledTerms,
    levels: Vec<u16>,
    touched: Vec<u32>,
}

impl<'a> Largest<'a> {
    fn new(dimension: u32, scaled: &'a ScaledTerms) -> Self {
        Self { scaled, levels: vec![0; dimension as usize], touched: Vec::new() }
    }

    /// The summary of some documents, cut to its `keep` largest components.
    fn of(&mut self, records: &Records<'_>, rows: Range<u32>, keep: usize) -> Summary {
        let Self { scaled, levels, touched } = self;
        touched.clear();
        for row in rows {
            records.record(DocId(row)).for_each(|term, level| {
                let most = &mut levels[term as usize];
                if *most == 0 {
                    touched.push(term);
                }
                *most = level.max(*most);
            });
        }
        if touched.len() > keep {
            // Levels of different layers stand for different weights.
            let worth = |term: u32| f64::from(levels[term as usize]) * scaled.factor(term);
            let heavier = |a: &u32, b: &u32| worth(*b).total_cmp(&worth(*a)).then(a.cmp(b));
            touched.select_nth_unstable_by(keep, heavier);
            touched[keep..].iter().for_each(|term| levels[*term as usize] = 0);
            touched.truncate(keep);
        }
        touched.sort_unstable();
        let take = |term: &u32| std::mem::take(&mut levels[*term as usize]);
        (touched.clone(), touched.iter().map(take).collect())
    }
}
