//! Heads for clustering: the heaviest components of every document, in a small file of fixed-size records,
//! so that clustering reads little and holds none of it in memory.
//!
//! Terms are folded to 16 bits and weights rounded to 8 bits, relative to the document's heaviest weight.
//! That is precise enough to cluster by, and no score is computed from it.

use std::path::Path;

use quarry_index::Verify;
use quarry_index::container::{Part, PartWriter};
use rayon::prelude::*;

use crate::BuildError;
use crate::options::Event;
use crate::order::Rows;

const KIND: &str = "heads";
const VERSION: u32 = 1;

/// Components per head.
pub(crate) const HEAD: usize = 24;
/// Folded terms are below this.
pub(crate) const FOLDED: usize = 1 << 16;

/// A component: folded term << 8 | weight; 0 means none.
pub(crate) type Component = u32;

#[inline]
pub(crate) fn term(component: Component) -> usize {
    (component >> 8) as usize & (FOLDED - 1)
}

#[inline]
#[expect(clippy::cast_precision_loss, reason = "one byte")]
pub(crate) fn weight(component: Component) -> f32 {
    (component & 0xff) as f32
}

/// A document's heaviest components, heaviest first, then zeros.
pub(crate) type Head = [Component; HEAD];

/// All heads, by row as in the shards.
#[derive(Debug)]
pub(crate) struct Heads {
    part: Part,
}

impl Heads {
    /// Writes the file at `path`, one job per shard, and opens it. Reports the heads written to `progress`.
    pub(crate) fn write(
        rows: &Rows,
        path: &Path,
        progress: &(dyn Fn(Event) + Sync),
    ) -> Result<Self, BuildError> {
        let mut done = 0;
        let mut part = PartWriter::create(path, KIND, VERSION)?;
        part.section("heads")?;
        let shards: Vec<usize> = (0..rows.shards()).collect();
        for some in shards.chunks(rayon::current_num_threads().max(1)) {
            let heads: Vec<Result<Vec<Head>, BuildError>> = some
                .par_iter()
                .map(|shard| {
                    let mut scratch = Vec::new();
                    let view = rows.shard(*shard)?;
                    Ok(view.iter().map(|row| head(row.terms, row.weights, &mut scratch)).collect())
                })
                .collect();
            for heads in heads {
                let heads = heads?;
                done += heads.len() as u64;
                part.write(bytemuck::cast_slice(&heads))?;
            }
            rows.release(some.iter().copied());
            progress(Event::Step { done });
        }
        part.finish(rows.len() as u64)?;
        Ok(Self { part: Part::open(path, KIND, VERSION..VERSION + 1, Verify::Envelope)? })
    }

    /// All heads.
    pub(crate) fn view(&self) -> Result<&[Head], BuildError> {
        let components: &[Component] = self.part.array("heads")?;
        Ok(components.as_chunks::<HEAD>().0)
    }
}

fn head(terms: &[u32], weights: &[f32], scratch: &mut Vec<(f32, u32)>) -> Head {
    scratch.clear();
    scratch.extend(weights.iter().copied().zip(terms.iter().copied()));
    // Ties are broken by term, so that the choice depends on the vector alone.
    let heavier = |a: &(f32, u32), b: &(f32, u32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
    if scratch.len() > HEAD {
        scratch.select_nth_unstable_by(HEAD - 1, heavier);
        scratch.truncate(HEAD);
    }
    scratch.sort_unstable_by(heavier);
    let most = scratch.first().map_or(1.0, |c| c.0);
    let mut out = [0; HEAD];
    for (component, (weight, term)) in out.iter_mut().zip(scratch) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 1 and 255"
        )]
        let level = (*weight / most * 255.0).round().clamp(1.0, 255.0) as u32;
        *component = ((*term ^ (*term >> 16)) & 0xffff) << 8 | level;
    }
    out
}
