//! Scores of lists of documents: the device's where it holds the rows, the CPU's elsewhere.

use rayon::prelude::*;

use super::{GpuReranker, Prepared, count_u32};
use crate::cuda::{CudaError, Kind, Scores};
use crate::kernels::{Kernels, Scored, Scratch};

/// Candidates from which on several threads are woken for what the host does with scores.
const SIDE_BY_SIDE: usize = 4096;

impl GpuReranker {
    /// What bounds are widened by; a document without rows has none.
    pub(super) fn margin(&self, document: u32, margin: f32) -> Option<f32> {
        (self.tokens(document) > 0).then_some(margin)
    }

    /// One document's score by the CPU's kernels.
    pub(super) fn on_processor(
        &self,
        query: &Prepared,
        document: u32,
        kind: Kind,
        bounds: bool,
        scratch: &mut Scratch,
    ) -> Scored {
        let (segment, doc) = self.place(document);
        let Some(store) = self.index.segments()[segment].tokens() else { return Scored::default() };
        let rows = store.rows(doc);
        let kernels = Kernels::detect();
        let plain = |score| Scored { score, ..Scored::default() };
        let scored = match kind {
            Kind::Int8 => store.int8().map(|all| {
                let rows = all.slice(rows);
                if bounds {
                    kernels.int8_bounds(&query.rows, &rows, scratch)
                } else {
                    plain(kernels.int8(&query.rows, &rows, scratch))
                }
            }),
            Kind::Fp16 => store.fp16().map(|all| {
                let stride = query.rows.stride();
                plain(kernels.fp16(
                    &query.rows,
                    &all[rows.start * stride..rows.end * stride],
                    scratch,
                ))
            }),
        };
        // The constructor and `rerank` saw that the form is stored.
        scored.unwrap_or_default()
    }

    /// Scores lists of documents: the device those it holds, the CPU the others meanwhile.
    pub(super) fn score(
        &self,
        kind: Kind,
        bounds: bool,
        queries: &[&Prepared],
        lists: &[&[u32]],
        margins: bool,
    ) -> Result<Vec<Vec<Scored>>, CudaError> {
        let here = self.corpus.resident(kind).map_or(0, |r| count_u32(r.documents));
        let rows: Vec<_> = queries.iter().map(|q| q.rows(kind)).collect();
        let margin = |q: &Prepared| if margins { q.margin } else { q.rows.margin() };
        let split = |found: &Scores| -> Vec<Vec<Scored>> {
            let mut total = 0;
            let places = queries.iter().zip(lists).map(|(query, list)| {
                total += list.len();
                (total - list.len(), query, list)
            });
            let places: Vec<_> = places.collect();
            each(places, total, |(at, query, list)| {
                let one = |(i, d): (usize, &u32)| found.scored(i, self.margin(*d, margin(query)));
                (at..).zip(*list).map(one).collect()
            })
        };
        if lists.iter().all(|l| l.iter().all(|d| *d < here)) {
            return Ok(split(&self.gatherer.score(kind, bounds, &rows, lists)?));
        }
        let resident: Vec<Vec<u32>> =
            lists.iter().map(|l| l.iter().copied().filter(|d| *d < here).collect()).collect();
        let resident: Vec<&[u32]> = resident.iter().map(|l| &l[..]).collect();
        let (device, processor) = rayon::join(
            || self.gatherer.score(kind, bounds, &rows, &resident),
            || -> Vec<Vec<Scored>> {
                let work = queries.par_iter().zip(lists);
                work.map_init(Scratch::default, |scratch, (query, list)| {
                    let others = list.iter().filter(|d| **d >= here);
                    others.map(|d| self.on_processor(query, *d, kind, bounds, scratch)).collect()
                })
                .collect()
            },
        );
        let device = device?;
        let mut at = 0;
        let mut out = Vec::with_capacity(lists.len());
        for ((query, list), others) in queries.iter().zip(lists).zip(processor) {
            let mut others = others.into_iter();
            let mut one = Vec::with_capacity(list.len());
            for document in *list {
                if *document < here {
                    one.push(device.scored(at, self.margin(*document, margin(query))));
                    at += 1;
                } else {
                    one.push(others.next().unwrap_or_default());
                }
            }
            out.push(one);
        }
        Ok(out)
    }
}

/// Work on the queries of a batch: side by side where there are so many candidates that it pays.
pub(super) fn each<T: Send, R: Send>(
    items: Vec<T>,
    candidates: usize,
    work: impl Fn(T) -> R + Send + Sync,
) -> Vec<R> {
    if candidates < SIDE_BY_SIDE {
        items.into_iter().map(work).collect()
    } else {
        items.into_par_iter().map(work).collect()
    }
}
