//! Micro-clusters: they set the order of a segment's documents, and impact-ordered lists are built over
//! their summaries.
//!
//! 1. `heads`: the heaviest components of every document  2. `groups`: coarse groups of some ten
//!    thousand documents  3. `micro`: clusters of a few similar documents inside each group; the segment
//!    stores documents in cluster order  4. after the forward index is written in this order, `summaries`:
//!    the largest level of each term in each cluster, and impact-ordered lists over these
//!
//! Cost: O(components) for step 1; about O(documents) for steps 2 and 3, since each document is compared
//! with centroids of its own group only.

mod centroids;
mod groups;
mod heads;
mod micro;
mod summaries;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use crate::BuildError;
use crate::options::Event;
use crate::order::{Order, Rows};
use heads::Heads;
pub(crate) use summaries::build;

/// Clusters all documents; `work` is a folder for a temporary file. Reports three stages of progress.
pub(crate) fn order(
    rows: &Rows,
    (size, seed): (u32, u64),
    work: &Path,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<Order, BuildError> {
    let stage = |name, total: usize| progress(Event::Stage { name, total: total as u64 });
    let path = work.join("heads.qry");
    stage("cluster heads", rows.len());
    let heads = Heads::write(rows, &path, progress)?;
    // The mapping stays valid, and a crash leaves no file for a later run to find.
    std::fs::remove_file(&path).map_err(quarry_index::IndexError::io(&path))?;
    let heads = heads.view()?;
    let all = 0..u32::try_from(heads.len()).unwrap_or(u32::MAX);
    let (empty, some): (Vec<u32>, Vec<u32>) = all.partition(|row| heads[*row as usize][0] == 0);
    let size = (size as usize).max(1);
    let total = some.len();
    let done = AtomicU64::new(0);
    let step = |more: usize| {
        let done = done.fetch_add(more as u64, Ordering::Relaxed) + more as u64;
        progress(Event::Step { done });
    };
    stage("cluster groups", total);
    let groups = groups::groups(heads, some, seed, &mut |more| step(more));
    done.store(0, Ordering::Relaxed);
    stage("clusters", total);
    let cluster = |rows: &Vec<u32>| {
        let clusters = micro::clusters(heads, rows, size, seed);
        step(rows.len());
        clusters
    };
    let clusters: Vec<Vec<Vec<u32>>> = groups.par_iter().map(cluster).collect();
    let mut order = Order::default();
    // Documents with empty vectors come last.
    let empty = empty.chunks(size);
    for cluster in clusters.iter().flatten().map(Vec::as_slice).chain(empty) {
        order.push(cluster);
    }
    Ok(order)
}
