//! Candidates on a device, with the CPU's decisions.

use quarry_searcher::{Hit, RerankParams, RerankQuery, RerankStats, Reranked, SearchError};
use quarry_vectors::TopK;
use rayon::prelude::*;

use super::score::each;
use super::{Failure, GpuReranker, Prepared};
use crate::cpu::check;
use crate::cuda::Kind;
use crate::kernels::{Scored, Scratch};
use crate::prune::{self, Bounds, EarlyExit};

/// Candidates that a wave of early exit gives the device at least, all queries together.
const WAVE: usize = 8192;
/// Candidates of a query in a wave, at least.
const LEAST_CHUNK: usize = 32;

/// A query on its way.
struct Going<'a> {
    prepared: Prepared,
    hits: &'a [Hit],
    documents: Vec<u32>,
    bonuses: Vec<f32>,
    scores: Vec<Scored>,
    ended: bool,
}

impl GpuReranker {
    pub(super) fn on_device(
        &self,
        queries: &[RerankQuery<'_>],
        params: &RerankParams,
    ) -> Result<Vec<Reranked>, Failure> {
        let bounds = params.exact && self.kind == Kind::Int8;
        let going: Result<Vec<Going<'_>>, SearchError> = queries
            .par_iter()
            .map(|query| {
                let first = prune::first_scores(query.candidates);
                let all = first.len();
                let kept =
                    params.alpha.map_or(all, |a| prune::candidate_pruning(&first, params.k, a));
                let hits = &query.candidates[..kept];
                Ok(Going {
                    prepared: self.prepare(query.tokens)?,
                    hits,
                    documents: hits.iter().map(|h| self.bases[h.segment] + h.doc.0).collect(),
                    bonuses: prune::bonuses(&first, params.weight, query.tokens.len()),
                    scores: Vec::with_capacity(kept),
                    ended: kept == 0,
                })
            })
            .collect();
        let mut going = going?;
        let mut exits: Vec<_> = going
            .iter()
            .map(|g| {
                let hits = g.hits;
                let order = move |a: &(f32, usize), b: &(f32, usize)| {
                    self.cpu.order((a.0.into(), hits[a.1]), (b.0.into(), hits[b.1]))
                };
                EarlyExit::new(params.k, params.beta, order)
            })
            .collect();
        loop {
            check(0, params.deadline)?;
            let active: Vec<usize> = (0..going.len()).filter(|i| !going[*i].ended).collect();
            if active.is_empty() {
                break;
            }
            let chunk = match params.beta {
                Some(beta) => {
                    let first = going[active[0]].scores.is_empty();
                    let least = if first { params.k.get() + beta.get() } else { LEAST_CHUNK };
                    (WAVE / active.len()).max(least)
                }
                None => usize::MAX,
            };
            let prepared: Vec<&Prepared> = active.iter().map(|i| &going[*i].prepared).collect();
            let lists: Vec<&[u32]> = active
                .iter()
                .map(|i| {
                    let rest = &going[*i].documents[going[*i].scores.len()..];
                    &rest[..chunk.min(rest.len())]
                })
                .collect();
            let found = self.score(self.kind, bounds, &prepared, &lists, true)?;
            let total = found.iter().map(Vec::len).sum();
            let mut found = found.into_iter();
            let replayed = going.iter_mut().zip(&mut exits).filter(|(going, _)| !going.ended);
            let replayed = replayed.map(|(going, exit)| (going, exit, found.next()));
            each(replayed.collect(), total, |(going, exit, scored)| {
                for one in scored.unwrap_or_default() {
                    let at = going.scores.len();
                    going.scores.push(one);
                    if !exit.offer(at, one.score + going.bonuses[at]) {
                        going.ended = true;
                        break;
                    }
                }
                going.ended |= going.scores.len() == going.hits.len();
            });
        }
        let mut results = Vec::with_capacity(queries.len());
        for ((query, going), exit) in queries.iter().zip(&going).zip(exits) {
            let scored = exit.offered();
            let stats = RerankStats {
                candidates: query.candidates.len() as u64,
                pruned: (query.candidates.len() - going.hits.len()) as u64,
                skipped: (going.hits.len() - scored) as u64,
                scored: scored as u64,
                rescored: 0,
                without_tokens: 0,
            };
            let best = if bounds { Vec::new() } else { exit.into_sorted() };
            results.push((best, stats));
        }
        if bounds {
            self.rescore(&going, params, &mut results)?;
        }
        let hits = |going: &Going<'_>, best: Vec<(f32, usize)>| {
            best.into_iter()
                .map(|(score, at)| Hit { score: score.into(), ..going.hits[at] })
                .collect()
        };
        let made = results.into_iter().zip(&going);
        Ok(made.map(|((best, stats), going)| Reranked { hits: hits(going, best), stats }).collect())
    }

    /// The exact mode's end: fp16 scores of those that bounds leave undecided.
    fn rescore(
        &self,
        going: &[Going<'_>],
        params: &RerankParams,
        results: &mut [(Vec<(f32, usize)>, RerankStats)],
    ) -> Result<(), Failure> {
        check(0, params.deadline)?;
        let undecided: Vec<Vec<usize>> = going
            .iter()
            .map(|g| {
                let bounds: Vec<Bounds> = g
                    .scores
                    .iter()
                    .zip(&g.bonuses)
                    .map(|(s, bonus)| Bounds { lower: s.lower + bonus, upper: s.upper + bonus })
                    .collect();
                prune::undecided(&bounds, params.k)
            })
            .collect();
        let documents: Vec<Vec<u32>> = going
            .iter()
            .zip(&undecided)
            .map(|(g, list)| list.iter().map(|at| g.documents[*at]).collect())
            .collect();
        let prepared: Vec<&Prepared> = going.iter().map(|g| &g.prepared).collect();
        let fine: Vec<Vec<Scored>> =
            if self.corpus.resident(Kind::Fp16).is_some_and(|r| r.documents > 0) {
                let lists: Vec<&[u32]> = documents.iter().map(|l| &l[..]).collect();
                self.score(Kind::Fp16, false, &prepared, &lists, true)?
            } else {
                let work = prepared.par_iter().zip(&documents);
                work.map_init(Scratch::default, |scratch, (query, list)| {
                    list.iter()
                        .map(|d| self.on_processor(query, *d, Kind::Fp16, false, scratch))
                        .collect()
                })
                .collect()
            };
        for (((going, list), fine), (best, stats)) in
            going.iter().zip(&undecided).zip(fine).zip(results)
        {
            let order = |a: &(f32, usize), b: &(f32, usize)| {
                self.cpu.order((a.0.into(), going.hits[a.1]), (b.0.into(), going.hits[b.1]))
            };
            let mut top = TopK::new(params.k.get(), order);
            for (at, scored) in list.iter().zip(&fine) {
                top.offer((scored.score + going.bonuses[*at], *at));
            }
            stats.rescored = list.len() as u64;
            *best = top.into_sorted();
        }
        Ok(())
    }
}
