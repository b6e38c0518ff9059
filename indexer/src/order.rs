//! Random access to the documents of all shards.

use std::ops::Range;
use std::path::PathBuf;

use crate::BuildError;
use crate::spool::{Row, Shard, ShardMeta, ShardView};

/// Rows read in random order before pages are released; each row may bring in sixteen pages.
const HELD: usize = 1 << 14;

/// All shards, opened. Rows are numbered across shards.
#[derive(Debug)]
pub(crate) struct Rows {
    shards: Vec<Shard>,
    /// The first row of each shard, then the total number of rows.
    starts: Vec<usize>,
    /// For each shard, where each document's components begin; empty until `locate`.
    components: Vec<Vec<usize>>,
}

impl Rows {
    pub(crate) fn open(shards: &[PathBuf]) -> Result<Self, BuildError> {
        let (mut open, mut starts) = (Vec::with_capacity(shards.len()), vec![0]);
        for path in shards {
            let shard = Shard::open(path)?;
            starts.push(starts[starts.len() - 1] + shard.view()?.len());
            // Opening has read the whole file.
            shard.release();
            open.push(shard);
        }
        let shards = open;
        Ok(Self { shards, starts, components: Vec::new() })
    }

    /// The shards' metadata; can be taken once.
    pub(crate) fn take_metas(&mut self) -> impl Iterator<Item = ShardMeta> {
        self.shards.iter_mut().map(|shard| std::mem::take(&mut shard.meta))
    }

    pub(crate) fn len(&self) -> usize {
        self.starts[self.shards.len()]
    }

    /// The shard that holds a row, and the row's position in it.
    pub(crate) fn find(&self, row: usize) -> (usize, usize) {
        let shard = self.starts.partition_point(|start| *start <= row) - 1;
        (shard, row - self.starts[shard])
    }

    pub(crate) fn shards(&self) -> usize {
        self.shards.len()
    }

    /// The documents of a shard.
    pub(crate) fn shard(&self, number: usize) -> Result<ShardView<'_>, BuildError> {
        self.shards[number].view()
    }

    /// The row of a shard's first document, and the shard's stored documents.
    pub(crate) fn stored(&self, number: usize) -> Result<(usize, Vec<String>), BuildError> {
        let stored = self.shards[number].stored()?;
        self.shards[number].release();
        Ok((self.starts[number], stored))
    }

    /// Releases the resident pages of some shards, since all shards together are larger than memory.
    pub(crate) fn release(&self, shards: impl IntoIterator<Item = usize>) {
        shards.into_iter().for_each(|number| self.shards[number].release());
    }

    /// Prepares [`Self::in_order`]; takes eight bytes per document.
    pub(crate) fn locate(&mut self) -> Result<(), BuildError> {
        self.components = self
            .shards
            .iter()
            .map(|shard| Ok(shard.view()?.component_starts()))
            .collect::<Result<_, BuildError>>()?;
        Ok(())
    }

    /// Calls `each` with the rows in the given order. Requires `locate`.
    pub(crate) fn in_order(
        &self,
        order: &[u32],
        mut each: impl FnMut(Row<'_>) -> Result<(), BuildError>,
    ) -> Result<(), BuildError> {
        let views: Vec<ShardView<'_>> =
            self.shards.iter().map(Shard::view).collect::<Result<_, _>>()?;
        for (read, row) in order.iter().enumerate() {
            if (read + 1).is_multiple_of(HELD) {
                self.release(0..self.shards());
            }
            let (shard, at) = self.find(*row as usize);
            each(views[shard].get(at, self.components[shard][at]))?;
        }
        self.release(0..self.shards());
        Ok(())
    }
}

/// The order of a segment's documents: cluster after cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Order {
    rows: Vec<u32>,
    ends: Vec<u32>,
}

impl Order {
    /// Appends a cluster.
    pub(crate) fn push(&mut self, cluster: &[u32]) {
        self.rows.extend_from_slice(cluster);
        self.ends.push(u32::try_from(self.rows.len()).unwrap_or(u32::MAX));
    }

    /// The rows, numbered as in the shards, in segment order.
    pub(crate) fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// Where the clusters end.
    pub(crate) fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// The position in the segment of each row of the shards.
    pub(crate) fn places(&self) -> Vec<u32> {
        let mut places = vec![0; self.rows.len()];
        for (place, row) in (0u32..).zip(&self.rows) {
            places[*row as usize] = place;
        }
        places
    }
}

/// Calls `add` with the stored documents in the given order, within about `memory` bytes: the order is
/// cut into ranges that fit, and each range takes one pass over the shards.
pub(crate) fn stored_in_order(
    rows: &Rows,
    order: &Order,
    memory: u64,
    mut add: impl FnMut(&str) -> Result<(), BuildError>,
) -> Result<(), BuildError> {
    let places = order.places();
    let mut bytes = vec![0u32; places.len()];
    let mut row = 0;
    for shard in 0..rows.shards() {
        for length in rows.shards[shard].stored_lengths()? {
            bytes[places[row] as usize] = u32::try_from(length).unwrap_or(u32::MAX);
            row += 1;
        }
    }
    for range in ranges(&bytes, memory) {
        let mut texts = vec![String::new(); range.len()];
        for shard in 0..rows.shards() {
            let (start, stored) = rows.stored(shard)?;
            for (place, text) in places[start..].iter().zip(stored) {
                let place = *place as usize;
                if range.contains(&place) {
                    texts[place - range.start] = text;
                }
            }
        }
        texts.iter().try_for_each(|text| add(text))?;
    }
    Ok(())
}

/// Consecutive ranges of at most `memory` bytes (or one document) each.
fn ranges(bytes: &[u32], memory: u64) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let (mut start, mut sum) = (0, 0u64);
    for (at, length) in bytes.iter().enumerate() {
        let length = u64::from(*length) + size_of::<String>() as u64;
        if at > start && sum + length > memory {
            out.push(start..at);
            (start, sum) = (at, 0);
        }
        sum += length;
    }
    if start < bytes.len() {
        out.push(start..bytes.len());
    }
    out
}
