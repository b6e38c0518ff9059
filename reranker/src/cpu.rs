//! The second stage on the CPU.
//!
//! 1. candidate pruning cuts the candidates by their first scores
//! 2. what stays is scored over the coarse rows (int8 where stored): in the first stage's order with
//!    early exit, else in the order of addresses; documents ahead are asked for from memory
//! 3. the exact mode keeps bounds beside the scores, and scores over fp16 those that can still be
//!    among the k best, the most promising first
//!
//! Queries of a batch run side by side.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use quarry_index::tokens::{Form, TokenStore};
use quarry_index::{Index, Segment};
use quarry_searcher::{Hit, Rerank, RerankParams, RerankQuery, RerankStats, Reranked, SearchError};
use quarry_vectors::{DocId, TokenEmbeddings, TopK};
use rayon::prelude::*;

use crate::kernels::{Kernels, Scored, Scratch, lines};
use crate::partial;
use crate::prune::{self, Bounds, EarlyExit};
use crate::query::QueryRows;

/// Documents between the one that is scored and the one that is asked for; of int8 rows the kernel asks
/// for the next document's itself, little by little.
const AHEAD: usize = 2;
/// Documents of a piece of work of the exhaustive search.
const CHUNK: usize = 256;

/// MaxSim over the token embeddings of an open index, on the CPU.
#[derive(Debug)]
pub struct CpuReranker {
    index: Arc<Index>,
    kernels: Kernels,
    form: Form,
}

/// A document's place and its rows.
#[derive(Debug, Clone)]
struct Place {
    hit: Hit,
    rows: Range<usize>,
}

/// A query prepared for one segment.
#[derive(Debug)]
struct Lens<'a> {
    store: &'a TokenStore,
    query: QueryRows,
    table: Vec<f32>,
}

impl CpuReranker {
    /// A second stage over an open index, over int8 rows where they are stored, else over the best
    /// form there is.
    ///
    /// # Errors
    /// When no segment has token embeddings, or segments have them in other dimensions.
    pub fn new(index: Arc<Index>) -> Result<Self, SearchError> {
        if index.token_dims().is_none() {
            return Err(SearchError::NoTokens);
        }
        let all =
            |form: &Form| index.segments().iter().filter_map(Segment::tokens).all(|t| t.has(*form));
        let form = Form::ALL.into_iter().find(all).ok_or(SearchError::NoTokens)?;
        Ok(Self { index, kernels: Kernels::detect(), form })
    }

    /// The same over another form of the rows.
    ///
    /// # Errors
    /// When a segment does not store it.
    pub fn with_form(self, form: Form) -> Result<Self, SearchError> {
        self.need(form, "this search")?;
        Ok(Self { form, ..self })
    }

    /// The same with other instructions than the best of this processor. More than it has is not
    /// used.
    #[must_use]
    pub fn with_kernels(self, kernels: Kernels) -> Self {
        Self { kernels: kernels.min(Kernels::detect()), ..self }
    }

    /// The form that is scored first.
    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }

    pub(crate) fn need(&self, form: Form, what: &'static str) -> Result<(), SearchError> {
        if self.index.segments().iter().filter_map(Segment::tokens).all(|t| t.has(form)) {
            return Ok(());
        }
        Err(SearchError::NoTokenForm { form: form.name(), what })
    }

    /// The form that is scored first for these parameters.
    pub(crate) fn coarse(&self, params: &RerankParams) -> Result<Form, SearchError> {
        params.check()?;
        if !params.exact {
            return Ok(self.form);
        }
        self.need(Form::Fp16, "an exact second stage")?;
        Ok(if self.need(Form::Int8, "bounds").is_ok() { Form::Int8 } else { Form::Fp16 })
    }

    /// Of each segment; none of one without token embeddings.
    fn lenses(
        &self,
        query: &TokenEmbeddings,
        form: Form,
    ) -> Result<Vec<Option<Lens<'_>>>, SearchError> {
        let stores = self.index.segments().iter().map(Segment::tokens);
        stores
            .map(|store| {
                let Some(store) = store else { return Ok(None) };
                let query = QueryRows::new(query, store.meta())?;
                let table = match store.residual() {
                    Some(rows) if form == Form::Residual => query.centroid_table(&rows),
                    _ => Vec::new(),
                };
                Ok(Some(Lens { store, query, table }))
            })
            .collect()
    }

    /// The total order of hits; ids are looked up only where scores are equal.
    pub(crate) fn order(&self, a: (f64, Hit), b: (f64, Hit)) -> Ordering {
        let id = |hit: Hit| self.index.segments()[hit.segment].documents().id(hit.doc).as_bytes();
        b.0.total_cmp(&a.0).then_with(|| id(b.1).cmp(id(a.1)))
    }

    fn one(
        &self,
        query: &RerankQuery<'_>,
        form: Form,
        params: &RerankParams,
    ) -> Result<Reranked, SearchError> {
        let candidates = query.candidates;
        let first = prune::first_scores(candidates);
        let kept = params
            .alpha
            .map_or(candidates.len(), |alpha| prune::candidate_pruning(&first, params.k, alpha));
        let bonuses = prune::bonuses(&first, params.weight, query.tokens.len());
        let places: Vec<Place> = candidates[..kept]
            .iter()
            .map(|hit| {
                let store = self.index.segments()[hit.segment].tokens();
                let rows = store.ok_or(SearchError::NoTokens)?.rows(hit.doc);
                Ok(Place { hit: *hit, rows })
            })
            .collect::<Result<_, SearchError>>()?;
        // The first rows are on their way while the query is prepared.
        let mut by_address: Vec<usize> = (0..kept).collect();
        if params.beta.is_none() {
            by_address.sort_unstable_by_key(|i| (places[*i].hit.segment, places[*i].rows.start));
        }
        if let Some(Place { hit, rows }) = by_address.first().map(|first| &places[*first])
            && let Some(store) = self.index.segments()[hit.segment].tokens()
        {
            ask(store, rows, form);
        }
        let lenses = self.lenses(query.tokens, form)?;
        let work = Work { kernels: self.kernels, form, lenses: &lenses, places: &places };
        let order = |a: &(f32, usize), b: &(f32, usize)| {
            self.order((a.0.into(), places[a.1].hit), (b.0.into(), places[b.1].hit))
        };
        let bounds = params.exact && form == Form::Int8;
        let mut scores = vec![Scored::default(); kept];
        let mut exit = EarlyExit::new(params.k, params.beta, order);
        let mut scratch = Scratch::default();
        if params.beta.is_some() {
            for at in 0..kept {
                check(at, params.deadline)?;
                work.ahead(at + AHEAD);
                scores[at] = work.score(at, Some(at + 1), bounds, &mut scratch);
                if !exit.offer(at, scores[at].score + bonuses[at]) {
                    break;
                }
            }
        } else {
            for (n, at) in by_address.iter().enumerate() {
                check(n, params.deadline)?;
                if let Some(next) = by_address.get(n + AHEAD) {
                    work.ahead(*next);
                }
                let next = by_address.get(n + 1).copied();
                scores[*at] = work.score(*at, next, bounds, &mut scratch);
            }
            for (at, scored) in scores.iter().enumerate() {
                exit.offer(at, scored.score + bonuses[at]);
            }
        }
        let scored = exit.offered();
        let mut stats = RerankStats {
            candidates: candidates.len() as u64,
            pruned: (candidates.len() - kept) as u64,
            skipped: (kept - scored) as u64,
            scored: scored as u64,
            rescored: 0,
            without_tokens: 0,
        };
        let best = if bounds {
            let bounds: Vec<Bounds> = scores[..scored]
                .iter()
                .zip(&bonuses)
                .map(|(s, bonus)| Bounds { lower: s.lower + bonus, upper: s.upper + bonus })
                .collect();
            let fine = Work { form: Form::Fp16, ..work };
            let mut best = TopK::new(params.k.get(), order);
            for at in prune::undecided(&bounds, params.k) {
                if best.worst().is_some_and(|worst: &(f32, usize)| bounds[at].upper < worst.0) {
                    break;
                }
                check(at, params.deadline)?;
                best.offer((fine.score(at, None, false, &mut scratch).score + bonuses[at], at));
                stats.rescored += 1;
            }
            best.into_sorted()
        } else {
            exit.into_sorted()
        };
        let hits = best
            .into_iter()
            .map(|(score, at)| Hit { score: score.into(), ..places[at].hit })
            .collect();
        Ok(Reranked { hits, stats })
    }

    /// The best of a run of documents for each query.
    fn chunk(
        &self,
        queries: &[Vec<Option<Lens<'_>>>],
        form: Form,
        (segment, docs): (usize, Range<usize>),
        params: &RerankParams,
    ) -> Result<Vec<Vec<(f32, Hit)>>, SearchError> {
        check(0, params.deadline)?;
        let mut scratch = Scratch::default();
        let order =
            |a: &(f32, Hit), b: &(f32, Hit)| self.order((a.0.into(), a.1), (b.0.into(), b.1));
        let mut best: Vec<_> =
            queries.iter().map(|_| TopK::new(params.k.get().min(docs.len()), order)).collect();
        let Some(store) = self.index.segments()[segment].tokens() else {
            return Err(SearchError::NoTokens);
        };
        for doc in docs {
            let doc = DocId(u32::try_from(doc).unwrap_or(u32::MAX));
            let place = [Place { hit: Hit { segment, doc, score: 0.0 }, rows: store.rows(doc) }];
            for (lenses, best) in queries.iter().zip(&mut best) {
                let work = Work { kernels: self.kernels, form, lenses, places: &place };
                best.offer((work.score(0, None, false, &mut scratch).score, place[0].hit));
            }
        }
        Ok(best.into_iter().map(TopK::into_sorted).collect())
    }
}

impl Rerank for CpuReranker {
    fn device(&self) -> String {
        format!("cpu ({})", self.kernels.name())
    }

    fn dims(&self) -> usize {
        let stores = self.index.segments().iter().filter_map(Segment::tokens);
        stores.map(|store| store.meta().dims).next().unwrap_or(0)
    }

    fn rerank(
        &self,
        queries: &[RerankQuery<'_>],
        params: &RerankParams,
    ) -> Result<Vec<Reranked>, SearchError> {
        let form = self.coarse(params)?;
        let order = |a: &Hit, b: &Hit| self.order((a.score, *a), (b.score, *b));
        let one = |query: &RerankQuery<'_>| {
            partial::around(&self.index, query, (params.k.get(), &order), |query| {
                self.one(query, form, params)
            })
        };
        queries.par_iter().map(one).collect()
    }

    fn exhaustive(
        &self,
        queries: &[&TokenEmbeddings],
        params: &RerankParams,
    ) -> Result<Vec<Reranked>, SearchError> {
        params.check()?;
        let form = if params.exact {
            self.need(Form::Fp16, "an exact search")?;
            Form::Fp16
        } else {
            self.form
        };
        let lenses: Vec<Vec<Option<Lens<'_>>>> =
            queries.par_iter().map(|q| self.lenses(q, form)).collect::<Result<_, _>>()?;
        let chunks: Vec<(usize, Range<usize>)> = self
            .index
            .segments()
            .iter()
            .enumerate()
            .filter(|(_, s)| s.tokens().is_some())
            .flat_map(|(segment, s)| {
                let rows = s.documents().len();
                let starts = (0..rows).step_by(CHUNK);
                starts.map(move |start| (segment, start..rows.min(start + CHUNK)))
            })
            .collect();
        let found: Vec<Vec<Vec<(f32, Hit)>>> = chunks
            .into_par_iter()
            .map(|chunk| self.chunk(&lenses, form, chunk, params))
            .collect::<Result<_, _>>()?;
        let stores = self.index.segments().iter().filter_map(Segment::tokens);
        let documents: u64 = stores.map(|store| store.documents() as u64).sum();
        let stats = RerankStats { candidates: documents, scored: documents, ..Default::default() };
        let of_query = |number: usize| {
            let order =
                |a: &(f32, Hit), b: &(f32, Hit)| self.order((a.0.into(), a.1), (b.0.into(), b.1));
            let mut best = TopK::new(params.k.get(), order);
            for hit in found.iter().flat_map(|chunk| &chunk[number]) {
                best.offer(*hit);
            }
            let hits = best.into_sorted();
            let hits =
                hits.into_iter().map(|(score, hit)| Hit { score: score.into(), ..hit }).collect();
            Reranked { hits, stats }
        };
        Ok((0..queries.len()).map(of_query).collect())
    }
}

/// Gives up when the time has passed; looks at the clock now and then.
pub(crate) fn check(step: usize, deadline: Option<Instant>) -> Result<(), SearchError> {
    match deadline {
        Some(at) if step.is_multiple_of(16) && Instant::now() >= at => Err(SearchError::Timeout),
        _ => Ok(()),
    }
}

/// Documents to be scored over one form.
#[derive(Debug, Clone, Copy)]
struct Work<'a> {
    kernels: Kernels,
    form: Form,
    lenses: &'a [Option<Lens<'a>>],
    places: &'a [Place],
}

impl Work<'_> {
    /// Scores a document; `next` is the one that will be scored after it.
    fn score(&self, at: usize, next: Option<usize>, bounds: bool, scratch: &mut Scratch) -> Scored {
        let Place { hit, rows } = &self.places[at];
        // Places are of segments that have embeddings.
        let Some(Lens { store, query, table }) = &self.lenses[hit.segment] else {
            return Scored::default();
        };
        let kernels = self.kernels;
        let rows = rows.clone();
        let plain = |score| Scored { score, ..Scored::default() };
        let scored = match self.form {
            Form::Int8 => store.int8().map(|all| {
                let (rows, next) = (all.slice(rows), self.next(next));
                if bounds {
                    kernels.int8_bounds_then(query, &rows, next, scratch)
                } else {
                    plain(kernels.int8_then(query, &rows, next, scratch))
                }
            }),
            Form::Fp16 => store.fp16().map(|all| {
                let values = &all[rows.start * query.stride()..rows.end * query.stride()];
                plain(kernels.fp16(query, values, scratch))
            }),
            Form::Residual => store
                .residual()
                .map(|all| plain(kernels.residual(query, &all.slice(rows), table, scratch))),
            Form::Sign => {
                store.signs().map(|all| plain(kernels.signs(query, &all.slice(rows), scratch)))
            }
        };
        // `new`, `with_form` and `coarse` saw that every segment stores the form.
        scored.unwrap_or_default()
    }

    /// The int8 rows of the document that will be next, whose scales are asked for at once.
    fn next(&self, at: Option<usize>) -> &[i8] {
        let place = at.and_then(|at| self.places.get(at));
        let Some(Place { hit, rows }) = place else { return &[] };
        let Some(Lens { store, .. }) = &self.lenses[hit.segment] else { return &[] };
        store.int8().map_or(&[], |all| {
            lines(all.scales, rows.clone());
            &all.rows[rows.start * all.stride..rows.end * all.stride]
        })
    }

    /// Asks for a document's rows from memory, but for int8 rows, which [`Self::score`] asks for.
    fn ahead(&self, at: usize) {
        if let Some(Place { hit, rows }) = self.places.get(at)
            && self.form != Form::Int8
            && let Some(Lens { store, .. }) = &self.lenses[hit.segment]
        {
            ask(store, rows, self.form);
        }
    }
}

/// Asks for a document's rows from memory.
fn ask(store: &TokenStore, rows: &Range<usize>, form: Form) {
    let stride = store.meta().stride;
    match form {
        Form::Int8 => {
            if let Some(all) = store.int8() {
                lines(all.rows, rows.start * stride..rows.end * stride);
                lines(all.scales, rows.clone());
            }
        }
        Form::Fp16 => {
            if let Some(all) = store.fp16() {
                lines(all, rows.start * stride..rows.end * stride);
            }
        }
        Form::Residual => {
            if let Some(all) = store.residual() {
                lines(all.rows, rows.start * stride / 2..rows.end * stride / 2);
                lines(all.scales, rows.clone());
                lines(all.centroid, rows.clone());
            }
        }
        Form::Sign => {
            if let Some(all) = store.signs() {
                lines(all.rows, rows.start * stride / 8..rows.end * stride / 8);
                lines(all.scales, rows.clone());
            }
        }
    }
}
