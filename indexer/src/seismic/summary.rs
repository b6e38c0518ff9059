//! The summary of a block.
//!
//! 1. coordinate-wise maximum of the documents' levels
//! 2. keep the largest until their sum is `summary_energy` of the total
//! 3. quantise to one byte, rounded up, so that a kept component is never underestimated

use quarry_index::forward::ForwardIndex;
use quarry_index::seismic::{BlockData, SeismicParams};
use quarry_vectors::DocId;

/// Summarises blocks; reuses its memory from block to block.
#[derive(Debug)]
pub(crate) struct Summarizer {
    maxima: Vec<u16>,
    used: Vec<u32>,
}

impl Summarizer {
    pub(crate) fn new(dimension: u32) -> Self {
        Self { maxima: vec![0; dimension as usize], used: Vec::new() }
    }

    pub(crate) fn summarize(
        &mut self,
        forward: &ForwardIndex,
        docs: Vec<u32>,
        params: &SeismicParams,
    ) -> BlockData {
        for doc in &docs {
            for (term, level) in forward.record(DocId(*doc)).iter() {
                let slot = &mut self.maxima[term as usize];
                if *slot == 0 {
                    self.used.push(term);
                }
                *slot = level.max(*slot);
            }
        }
        let mut components: Vec<(u16, u32)> = self
            .used
            .drain(..)
            .map(|term| (std::mem::take(&mut self.maxima[term as usize]), term))
            .collect();
        components.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        let total: u64 = components.iter().map(|c| u64::from(c.0)).sum();
        #[expect(clippy::cast_precision_loss, reason = "a share of a sum")]
        let wanted = total as f64 * f64::from(params.summary_energy);
        let (mut sum, mut keep) = (0.0, 0);
        while keep < components.len() && sum < wanted {
            sum += f64::from(components[keep].0);
            keep += 1;
        }
        components.truncate(keep);
        let largest = components.first().map_or(1, |c| c.0);
        let scale = f32::from(largest) / 255.0;
        components.sort_unstable_by_key(|c| c.1);
        BlockData {
            docs,
            terms: components.iter().map(|c| c.1).collect(),
            levels: components.iter().map(|c| up(c.0, scale)).collect(),
            scale,
        }
    }
}

/// The smallest byte whose value is at least `level`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 1..=255")]
fn up(level: u16, scale: f32) -> u8 {
    (f32::from(level) / scale).ceil().clamp(1.0, 255.0) as u8
}
