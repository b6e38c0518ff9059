//! Every document on a device.
//!
//! Queries of more than 32 rows are added up in another order there than on the CPU, so the
//! device's k best need not be the k best. Both sums of a document's n parts differ by at most e, a bound
//! on the roundings of both (`Prepared::sum_error`). A document that belongs to the k best has a score of
//! at least the k-th, which is at least the device's k-th minus e; so the device's score of it is at
//! least the device's k-th minus 2 e. The list that is taken from the device reaches below that, or is
//! taken anew, longer; its documents are then scored again in the CPU's order.

use quarry_searcher::{Hit, RerankParams, RerankStats, Reranked, SearchError};
use quarry_vectors::{TokenEmbeddings, TopK};
use rayon::prelude::*;

use super::{Failure, GpuReranker, Prepared, count_u32};
use crate::cpu::check;
use crate::cuda::{Found, Kind};
use crate::kernels::Scratch;
use crate::query::LANES;

/// Documents beyond k that are taken of a long query at first.
const MORE: usize = 16;

impl GpuReranker {
    pub(super) fn all_on_device(
        &self,
        queries: &[&TokenEmbeddings],
        params: &RerankParams,
    ) -> Result<Vec<Reranked>, Failure> {
        let kind = if params.exact { Kind::Fp16 } else { self.kind };
        let documents = self.corpus.documents();
        let here = self.corpus.resident(kind).map_or(0, |r| r.documents);
        let prepared: Result<Vec<Prepared>, SearchError> =
            queries.par_iter().map(|q| self.prepare(q)).collect();
        let prepared = prepared?;
        let rows: Vec<_> = prepared.iter().map(|q| q.rows(kind)).collect();
        check(0, params.deadline)?;
        let k = params.k.get();
        let long = |q: &Prepared| q.rows.len() > 2 * LANES;
        let again: Vec<usize> = (0..prepared.len()).filter(|i| long(&prepared[*i])).collect();
        let mut more = if again.is_empty() { 0 } else { MORE };
        let mut found = self.exhaustive.search(kind, &rows, k + more)?.best;
        loop {
            let open = |i: &usize| !settled(&found[*i], k, here, prepared[*i].sum_error(kind));
            let open: Vec<usize> = again.iter().copied().filter(open).collect();
            if open.is_empty() {
                break;
            }
            check(0, params.deadline)?;
            more = more.saturating_mul(8);
            let rows: Vec<_> = open.iter().map(|i| prepared[*i].rows(kind)).collect();
            let wanted = k.saturating_add(more).min(here);
            let lists = self.exhaustive.search(kind, &rows, wanted)?.best;
            open.into_iter().zip(lists).for_each(|(i, list)| found[i] = list);
        }
        if !again.is_empty() {
            let lists: Vec<Vec<u32>> =
                again.iter().map(|i| found[*i].iter().map(|f| f.document).collect()).collect();
            let lists: Vec<&[u32]> = lists.iter().map(|l| &l[..]).collect();
            let queries: Vec<&Prepared> = again.iter().map(|i| &prepared[*i]).collect();
            let scores = self.score(kind, false, &queries, &lists, true)?;
            for (i, scores) in again.into_iter().zip(scores) {
                found[i].iter_mut().zip(scores).for_each(|(f, s)| f.score = s.score);
            }
        }
        let order =
            |a: &(f32, Hit), b: &(f32, Hit)| self.cpu.order((a.0.into(), a.1), (b.0.into(), b.1));
        let stats = RerankStats {
            candidates: documents as u64,
            scored: documents as u64,
            ..RerankStats::default()
        };
        let work = prepared.par_iter().zip(found);
        let made: Result<Vec<Reranked>, SearchError> = work
            .map_init(Scratch::default, |scratch, (query, found)| {
                let mut top = TopK::new(params.k.get(), order);
                let hit = |document: u32| {
                    let (segment, doc) = self.place(document);
                    Hit { segment, doc, score: 0.0 }
                };
                for Found { document, score } in found {
                    top.offer((score, hit(document)));
                }
                for (n, document) in (count_u32(here)..count_u32(documents)).enumerate() {
                    check(n, params.deadline)?;
                    let scored = self.on_processor(query, document, kind, false, scratch);
                    top.offer((scored.score, hit(document)));
                }
                let hits = top
                    .into_sorted()
                    .into_iter()
                    .map(|(score, hit)| Hit { score: score.into(), ..hit })
                    .collect();
                Ok(Reranked { hits, stats })
            })
            .collect();
        Ok(made?)
    }
}

/// Whether a list of the device's best (best first, with all that equal the last) has every document that
/// can belong to the k best when scores are off by at most `error` each.
fn settled(found: &[Found], k: usize, documents: usize, error: f64) -> bool {
    let (Some(kth), Some(last)) = (found.get(k - 1), found.last()) else {
        return found.len() >= documents;
    };
    found.len() >= documents || f64::from(last.score) < f64::from(kth.score) - 2.0 * error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_settled_when_it_reaches_below_what_roundings_can_move() {
        let found = [(3, 2.0), (1, 1.5), (0, 1.0), (7, 0.5)]
            .map(|(document, score)| Found { document, score });
        assert!(settled(&found, 2, 9, 0.4));
        assert!(!settled(&found, 2, 9, 0.5), "a document at 0.5 may be left out");
        assert!(settled(&found, 2, 4, 10.0), "there are no others");
        assert!(!settled(&found, 4, 9, 0.0), "the list ends at the k-th");
        assert!(!settled(&found, 5, 9, 0.0) && settled(&found, 5, 4, 0.0));
    }
}
