//! One interface over all methods and all segments of an open index.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use quarry_index::forward::ForwardIndex;
use quarry_index::impact::ImpactLists;
use quarry_index::text::{StoredDocument, TextIndex};
use quarry_index::{Index, Segment};
use quarry_vectors::{DocId, Ranking, ScoredDoc, SparseVector, TermId, printed};
use rayon::prelude::*;

use crate::bm25::{self, Bm25Query};
use crate::choose::Shape;
use crate::collect::{Scored, SegmentHits};
use crate::filter::{Filter, live};
use crate::impact::{self, ImpactScratch, approximate, clusters, exact};
use crate::kernels::Kernels;
use crate::observed::{Factors, Observed};
use crate::origins::Origins;
use crate::outcome::{Hit, Matched, Outcome, Stats};
use crate::params::{Bm25Params, Method, SparseParams};
use crate::plan::{Facts, Plan, Planned, plan, promise};
use crate::query::{FixedQuery, QueryTable, Scorer};
use crate::rows::RowSet;
use crate::seismic::{self, SeismicScratch};
use crate::wide::{Meeting, WideQuery, WideTable, is_uneven};
use crate::{SearchError, scan};

#[derive(Debug)]
struct Scratch {
    table: QueryTable,
    wide: WideTable,
    seismic: Vec<SeismicScratch>,
    impact: ImpactScratch,
}

/// A query, as it came and in fixed point.
#[derive(Debug)]
struct Asked<'a> {
    vector: &'a SparseVector,
    fixed: FixedQuery,
    /// What it is like, for its plan.
    shape: Shape,
    /// Whether its weights lie too far apart for fixed point.
    uneven: bool,
}

impl<'a> Asked<'a> {
    fn new(vector: &'a SparseVector) -> Self {
        let (fixed, shape) = (FixedQuery::new(vector), Shape::of(vector));
        Self { vector, fixed, shape, uneven: is_uneven(vector) }
    }

    fn meeting(&self, forward: &ForwardIndex) -> Meeting {
        Meeting::of(self.vector, self.uneven, forward.scaled())
    }

    /// What is done where a plan was made for queries that meet one step.
    fn planned(&self, plan: Plan, forward: &ForwardIndex) -> Plan {
        if self.meeting(forward) == Meeting::Heavy && plan != Plan::Scan {
            Plan::Exact
        } else {
            plan
        }
    }
}

/// A segment, with the rows that may be found; all of them without.
#[derive(Debug, Clone, Copy)]
struct At<'a> {
    number: usize,
    segment: &'a Segment,
    allowed: Option<&'a RowSet>,
}

impl At<'_> {
    /// Whether fewer than k were found though more are allowed: they may lie where an approximate
    /// search does not look, and all k are to be found.
    fn lacks(&self, found: usize, k: usize) -> bool {
        self.allowed.is_some_and(|allowed| found < k.min(allowed.len()))
    }
}

/// What one segment gave to one query by one plan.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) hits: SegmentHits,
    pub(crate) stats: Stats,
    /// The share of the query that was kept (`Setting::kept` of the index's calibration).
    pub(crate) kept: f32,
}

/// Answers queries over one open generation. Cheap to share between threads.
#[derive(Debug)]
pub struct Searcher {
    index: Arc<Index>,
    kernels: Kernels,
    /// What searches cost here and now, where that is to correct the tables.
    observed: Option<Observed>,
    /// Of each segment the rows that are not deleted.
    live: Vec<Option<RowSet>>,
    scratch: Mutex<Vec<Scratch>>,
}

impl Searcher {
    /// A searcher over an open index.
    #[must_use]
    pub fn new(index: Arc<Index>) -> Self {
        let live = index.segments().iter().map(live).collect();
        let (kernels, scratch) = (Kernels::detect(), Mutex::new(Vec::new()));
        Self { index, kernels, observed: None, live, scratch }
    }

    /// The same, correcting what the index's tables say of costs by what its own searches take: for
    /// many searches, as a server makes them. Which method `auto` takes then depends on the machine's
    /// load, whatever it was when the index was measured. Nothing is written.
    #[must_use]
    pub fn observing(self) -> Self {
        Self { observed: Some(Observed::default()), ..self }
    }

    /// The same with other instructions than the best of this processor, to compare them. More than
    /// it has is not used.
    #[must_use]
    pub fn with_kernels(self, kernels: Kernels) -> Self {
        Self { kernels: kernels.min(Kernels::detect()), ..self }
    }

    /// The instructions of the inner loops.
    #[must_use]
    pub fn kernels(&self) -> Kernels {
        self.kernels
    }

    /// The index.
    #[must_use]
    pub fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// The k best documents for a vector.
    ///
    /// # Errors
    /// When the index has no vectors or not the lists asked for, a parameter is out of range, or
    /// the deadline passes. An empty query has no hits.
    pub fn sparse(
        &self,
        query: &SparseVector,
        params: &SparseParams,
    ) -> Result<Outcome, SearchError> {
        self.sparse_filtered(query, params, None)
    }

    /// [`Self::sparse`] among the documents that a filter allows.
    ///
    /// # Errors
    /// As [`Self::sparse`]; and when the filter was made by another searcher.
    pub fn sparse_filtered(
        &self,
        query: &SparseVector,
        params: &SparseParams,
        filter: Option<&Filter>,
    ) -> Result<Outcome, SearchError> {
        params.check()?;
        self.check_filter(filter)?;
        self.documents(params.k, |k| {
            self.sparse_rows(query, &SparseParams { k, ..*params }, filter)
        })
    }

    /// The k best rows: documents, or passages of split ones.
    fn sparse_rows(
        &self,
        query: &SparseVector,
        params: &SparseParams,
        filter: Option<&Filter>,
    ) -> Result<Outcome, SearchError> {
        let Some(lexicon) = self.index.lexicon().filter(|_| self.index.has_sparse()) else {
            return Err(SearchError::NoSparse);
        };
        let query = Asked::new(query);
        let mut scratch = self.take_scratch(lexicon.len());
        scratch.table.load(&query.fixed);
        let result = self.sparse_with(&query, (params, filter), &mut scratch);
        // A search that failed may have left sums behind.
        if result.is_err() {
            scratch.impact = ImpactScratch::default();
        }
        self.give_back(scratch);
        result
    }

    fn sparse_with(
        &self,
        query: &Asked<'_>,
        (params, filter): (&SparseParams, Option<&Filter>),
        scratch: &mut Scratch,
    ) -> Result<Outcome, SearchError> {
        let factors = self.observed.as_ref().map_or(Factors::NONE, Observed::factors);
        let mut stats = Stats::default();
        let mut hits = Vec::new();
        let mut method = (0, Method::Exact);
        let k = params.k.get();
        let mut add = |at: &At<'_>, found: SegmentHits| {
            hits.extend(found.into_iter().map(|Scored { score, doc }| Hit {
                segment: at.number,
                doc,
                score,
            }));
        };
        // Segments searched by impact-ordered lists are searched together.
        let mut together = Vec::new();
        for (number, segment) in self.index.segments().iter().enumerate() {
            if segment.documents().is_empty() {
                continue;
            }
            let at = At { number, segment, allowed: self.allowed(number, filter) };
            let forward = segment.forward().ok_or(SearchError::NoSparse)?;
            let facts = Facts::of(segment);
            let shape = &query.shape;
            let planned = plan(&facts, params, shape, at.allowed.map(RowSet::len), &factors);
            let plan = query.planned(planned.plan, forward);
            // What is done in its place says nothing of it.
            let micros = planned.micros.filter(|_| plan == planned.plan);
            let rows = segment.entry().rows;
            if rows >= method.0 {
                method = (rows, plan.method());
            }
            // One whose rows are all candidates has nothing to share.
            if let Plan::Impact(setting) = plan
                && setting.candidates < facts.rows
                && query.meeting(forward) == Meeting::Narrow
            {
                together.push((at, setting, micros));
                continue;
            }
            let mut found = self.timed(Planned { plan, micros }, || {
                self.segment(&at, plan, query, params, (scratch, &mut stats))
            })?;
            if at.lacks(found.len(), k) && !matches!(plan, Plan::Exact | Plan::Scan) {
                found = self.segment(&at, Plan::Exact, query, params, (scratch, &mut stats))?;
            }
            add(&at, found);
        }
        together.sort_by_key(|(at, ..)| std::cmp::Reverse(at.segment.documents().len()));
        let micros = together.iter().map(|t| t.2).sum::<Option<f64>>();
        let together: Vec<_> = together.into_iter().map(|t| (t.0, t.1)).collect();
        let found = match together.first() {
            Some((_, setting)) => self
                .timed(Planned { plan: Plan::Impact(*setting), micros }, || {
                    self.together(&together, &query.fixed, params, (scratch, &mut stats))
                })?,
            None => Vec::new(),
        };
        let all: usize = found.iter().map(Vec::len).sum();
        for ((at, _), mut found) in together.iter().zip(found) {
            if all < k && at.lacks(found.len(), k) {
                found = self.segment(at, Plan::Exact, query, params, (scratch, &mut stats))?;
            }
            add(at, found);
        }
        Ok(Outcome { hits: self.merge(hits, k), method: method.1, stats })
    }

    /// Runs what was planned, and takes in how long it took where that is to correct tables.
    fn timed<T>(
        &self,
        planned: Planned,
        run: impl FnOnce() -> Result<T, SearchError>,
    ) -> Result<T, SearchError> {
        let Some((observed, micros)) = self.observed.as_ref().zip(planned.micros) else {
            return run();
        };
        let started = Instant::now();
        let found = run()?;
        observed.saw(planned.plan.method(), started.elapsed().as_secs_f64() * 1e6, micros);
        Ok(found)
    }

    /// The approximate search over impact-ordered lists of several segments, by descending rows.
    fn together(
        &self,
        segments: &[(At<'_>, approximate::Setting)],
        query: &FixedQuery,
        params: &SparseParams,
        (scratch, stats): (&mut Scratch, &mut Stats),
    ) -> Result<Vec<SegmentHits>, SearchError> {
        if segments.is_empty() {
            return Ok(Vec::new());
        }
        let Scratch { table, impact, .. } = scratch;
        let mut targets = Vec::with_capacity(segments.len());
        for (at, _) in segments {
            let lists = at.segment.impact().ok_or(SearchError::NoLists { method: "impact" })?;
            let forward = at.segment.forward().ok_or(SearchError::NoSparse)?;
            let unit = query.unit(forward.meta().quantization.scale);
            let scorer = Scorer::Narrow(table, unit);
            targets.push(self.target(at, (forward, lists), (scorer, unit), params));
        }
        let settings: Vec<_> = segments.iter().map(|(_, setting)| *setting).collect();
        let setting = approximate::Setting::of_all(&settings);
        approximate::search(&targets, query, (params.k.get(), setting), impact, stats)
    }

    /// What a query is matched against in a segment, with lists over its rows.
    fn target<'a>(
        &self,
        at: &At<'a>,
        (forward, lists): (&'a ForwardIndex, &'a ImpactLists),
        (scorer, unit): (Scorer<'a>, f64),
        params: &SparseParams,
    ) -> impact::Target<'a> {
        let records = forward.records();
        impact::Target {
            segment: at.segment,
            records,
            lists,
            rows: records.len(),
            allowed: at.allowed,
            kernels: self.kernels,
            scorer,
            unit,
            deadline: params.deadline,
        }
    }

    /// One segment by a plan: what calibration measures.
    pub(crate) fn planned(
        &self,
        segment: (usize, &Segment),
        plan: Plan,
        query: &SparseVector,
        params: &SparseParams,
    ) -> Result<Found, SearchError> {
        self.planned_among(segment, plan, query, params, self.allowed(segment.0, None))
    }

    /// The same among some rows.
    pub(crate) fn planned_among(
        &self,
        segment: (usize, &Segment),
        plan: Plan,
        query: &SparseVector,
        params: &SparseParams,
        allowed: Option<&RowSet>,
    ) -> Result<Found, SearchError> {
        let lexicon = self.index.lexicon().ok_or(SearchError::NoSparse)?;
        let query = Asked::new(query);
        let mut scratch = self.take_scratch(lexicon.len());
        scratch.table.load(&query.fixed);
        let mut stats = Stats::default();
        let (number, segment) = segment;
        let at = At { number, segment, allowed };
        let hits = self.segment(&at, plan, &query, params, (&mut scratch, &mut stats))?;
        let kept = match plan {
            Plan::Impact(_) | Plan::Clusters(_) => scratch.impact.kept,
            Plan::Seismic(setting) => seismic::cut(&query.fixed, setting).1,
            Plan::Exact | Plan::Scan => 1.0,
        };
        self.give_back(scratch);
        Ok(Found { hits, stats, kept })
    }

    /// The rows of a segment that may be found; all of them without.
    fn allowed<'a>(&'a self, number: usize, filter: Option<&'a Filter>) -> Option<&'a RowSet> {
        match filter {
            Some(filter) => filter.set(number),
            None => self.live.get(number).and_then(Option::as_ref),
        }
    }

    fn segment(
        &self,
        at: &At<'_>,
        plan: Plan,
        query: &Asked<'_>,
        params: &SparseParams,
        (scratch, stats): (&mut Scratch, &mut Stats),
    ) -> Result<SegmentHits, SearchError> {
        let At { number, segment, allowed } = *at;
        let forward = segment.forward().ok_or(SearchError::NoSparse)?;
        let scale = forward.meta().quantization.scale;
        let (k, deadline, kernels) = (params.k.get(), params.deadline, self.kernels);
        let Scratch { table, wide, seismic, impact } = scratch;
        let plan = query.planned(plan, forward);
        let own = (query.meeting(forward) != Meeting::Narrow)
            .then(|| WideQuery::new(query.vector, forward.scaled()));
        if let Some(own) = &own {
            wide.load(own, scale);
        }
        let query = own.as_ref().map_or(&query.fixed, |own| &own.fixed);
        let unit = query.unit(scale);
        let scorer = if own.is_some() { Scorer::Wide(wide) } else { Scorer::Narrow(table, unit) };
        match plan {
            Plan::Impact(setting) => {
                let lists = segment.impact().ok_or(SearchError::NoLists { method: "impact" })?;
                let target = self.target(at, (forward, lists), (scorer, unit), params);
                let found = approximate::search(&[target], query, (k, setting), impact, stats)?;
                Ok(found.into_iter().next().unwrap_or_default())
            }
            Plan::Clusters(setting) => {
                let found =
                    segment.clusters().ok_or(SearchError::NoLists { method: "clusters" })?;
                let over = self.target(at, (forward, found.summaries()), (scorer, unit), params);
                let rows = found.meta().clusters as usize;
                let target = impact::Target { rows, allowed: None, ..over };
                clusters::search((&target, found, allowed), query, (k, setting), impact, stats)
            }
            Plan::Seismic(setting) => {
                let lists = segment.seismic().ok_or(SearchError::NoLists { method: "seismic" })?;
                if seismic.len() <= number {
                    seismic.resize_with(number + 1, SeismicScratch::default);
                }
                let records = forward.records();
                let target = seismic::Target {
                    segment,
                    records,
                    lists,
                    allowed,
                    kernels,
                    scorer,
                    unit,
                    deadline,
                };
                seismic::search(target, query, (k, setting), &mut seismic[number], stats)
            }
            Plan::Exact | Plan::Scan => match segment.impact().filter(|_| plan == Plan::Exact) {
                Some(lists) if query.terms().len() <= exact::MOST_TERMS => {
                    let target = self.target(at, (forward, lists), (scorer, unit), params);
                    exact::search(&target, query, k, impact, stats)
                }
                _ => {
                    let records = forward.records();
                    scan::search((segment, allowed), records, scorer, params, kernels, stats)
                }
            },
        }
    }

    /// The overlap that the index's measurements promise of a search: its target, unless the method that
    /// it names reaches less. `None` where a segment with a choice was not measured.
    #[must_use]
    pub fn promised(&self, query: &SparseVector, params: &SparseParams) -> Option<f64> {
        let shape = Shape::of(query);
        let of = |segment| promise(&Facts::of(segment), params, &shape);
        self.index.segments().iter().map(of).try_fold(1.0, |least, one| Some(one?.min(least)))
    }

    /// [`Self::sparse`] for many vectors, over all cores, in the order given.
    ///
    /// # Errors
    /// As [`Self::sparse`]; one failed query fails the batch.
    pub fn sparse_batch(
        &self,
        queries: &[SparseVector],
        params: &SparseParams,
    ) -> Result<Vec<Outcome>, SearchError> {
        self.sparse_batch_filtered(queries, params, None)
    }

    /// [`Self::sparse_filtered`] for many vectors, over all cores, in the order given.
    ///
    /// # Errors
    /// As [`Self::sparse_filtered`]; one failed query fails the batch.
    pub fn sparse_batch_filtered(
        &self,
        queries: &[SparseVector],
        params: &SparseParams,
        filter: Option<&Filter>,
    ) -> Result<Vec<Outcome>, SearchError> {
        queries.par_iter().map(|query| self.sparse_filtered(query, params, filter)).collect()
    }

    /// The k best documents for a question, by BM25.
    ///
    /// # Errors
    /// When the index has no text, a parameter is out of range, or the deadline passes.
    pub fn bm25(&self, question: &str, params: &Bm25Params) -> Result<Outcome, SearchError> {
        self.bm25_filtered(question, params, None)
    }

    /// [`Self::bm25`] among the documents that a filter allows; statistics are of all documents.
    ///
    /// # Errors
    /// As [`Self::bm25`]; and when the filter was made by another searcher.
    pub fn bm25_filtered(
        &self,
        question: &str,
        params: &Bm25Params,
        filter: Option<&Filter>,
    ) -> Result<Outcome, SearchError> {
        params.check()?;
        self.check_filter(filter)?;
        if !self.index.has_text() {
            return Err(SearchError::NoText);
        }
        let texts: Vec<&TextIndex> =
            self.index.segments().iter().filter_map(Segment::text).collect();
        let query = Bm25Query::new(&texts, question, params)?;
        self.documents(params.k, |k| self.bm25_rows(&query, (&Bm25Params { k, ..*params }, filter)))
    }

    fn bm25_rows(
        &self,
        query: &Bm25Query,
        (params, filter): (&Bm25Params, Option<&Filter>),
    ) -> Result<Outcome, SearchError> {
        let mut stats = Stats::default();
        let mut hits = Vec::new();
        for (number, segment) in self.index.segments().iter().enumerate() {
            let Some(text) = segment.text() else { continue };
            let found = bm25::search(
                (segment, self.allowed(number, filter)),
                text,
                query,
                params,
                &mut stats,
            )?;
            hits.extend(found.into_iter().map(|Scored { score, doc }| Hit {
                segment: number,
                doc,
                score,
            }));
        }
        Ok(Outcome { hits: self.merge(hits, params.k.get()), method: Method::Exact, stats })
    }

    /// [`Self::bm25`] for many questions, over all cores, in the order given.
    ///
    /// # Errors
    /// As [`Self::bm25`]; one failed question fails the batch.
    pub fn bm25_batch(
        &self,
        questions: &[&str],
        params: &Bm25Params,
    ) -> Result<Vec<Outcome>, SearchError> {
        self.bm25_batch_filtered(questions, params, None)
    }

    /// [`Self::bm25_filtered`] for many questions, over all cores, in the order given.
    ///
    /// # Errors
    /// As [`Self::bm25_filtered`]; one failed question fails the batch.
    pub fn bm25_batch_filtered(
        &self,
        questions: &[&str],
        params: &Bm25Params,
        filter: Option<&Filter>,
    ) -> Result<Vec<Outcome>, SearchError> {
        questions.par_iter().map(|question| self.bm25_filtered(question, params, filter)).collect()
    }

    /// A hit's own id.
    ///
    /// # Panics
    /// When the hit is not of this index.
    #[must_use]
    pub fn id(&self, hit: &Hit) -> &str {
        self.index.segments()[hit.segment].documents().id(hit.doc)
    }

    /// Hits by id, with their scores as runs and answers have them ([`printed`]).
    #[must_use]
    pub fn ranking(&self, hits: &[Hit]) -> Ranking {
        let scores: Vec<f64> = hits.iter().map(|hit| hit.score).collect();
        let hits = hits.iter().zip(printed(&scores));
        hits.map(|(hit, score)| ScoredDoc { id: self.id(hit).to_owned(), score }).collect()
    }

    /// Where a document lies, unless it is deleted.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<Hit> {
        let segments = self.index.segments().iter().enumerate();
        segments
            .filter_map(|(segment, s)| {
                let live = |doc: &DocId| s.deleted().is_none_or(|deleted| !deleted.contains(doc.0));
                let doc = s.documents().find(id).find(live)?;
                Some(Hit { segment, doc, score: 0.0 })
            })
            .next_back()
    }

    /// Whether a hit can be rescored: its segment has token embeddings.
    ///
    /// # Panics
    /// When the hit is not of this index.
    #[must_use]
    pub fn has_tokens(&self, hit: &Hit) -> bool {
        self.index.segments()[hit.segment].tokens().is_some()
    }

    /// What is stored of a hit, of a passage its own text; `None` when the index has no text.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn stored(&self, hit: &Hit) -> Result<Option<StoredDocument>, SearchError> {
        match self.index.segments()[hit.segment].text() {
            Some(text) => Ok(Some(text.stored(hit.doc)?)),
            None => Ok(None),
        }
    }

    /// The matched tokens of a hit, largest contribution first, with the words that they come from
    /// where the index keeps that.
    ///
    /// # Errors
    /// When the index has no vectors, or its files cannot be read.
    pub fn explain(&self, query: &SparseVector, hit: &Hit) -> Result<Vec<Matched>, SearchError> {
        let segment = &self.index.segments()[hit.segment];
        let forward = segment.forward().ok_or(SearchError::NoSparse)?;
        let lexicon = self.index.lexicon().ok_or(SearchError::NoSparse)?;
        let scale = forward.meta().quantization.scale;
        let mut matched: Vec<Matched> = Vec::new();
        let asked = Asked::new(query);
        // The weights that scores are made of.
        let weight = |term: u32, given: f32| {
            let fixed = asked.fixed.terms().iter().find(|t| t.0 == term);
            match fixed.filter(|_| asked.meeting(forward) == Meeting::Narrow) {
                Some((_, fixed)) => f64::from(*fixed) * asked.fixed.unit(1.0),
                None => f64::from(given),
            }
        };
        let components = forward.components(&forward.record(hit.doc));
        let origins = Origins::of(segment, hit.doc, components.len())?;
        for (component, (term, worth)) in components.into_iter().enumerate() {
            let Ok(at) = query.terms().binary_search(&term) else { continue };
            let query_weight = query.weights()[at];
            #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
            let document_weight = (worth * scale) as f32;
            matched.push(Matched {
                term: TermId(term),
                token: lexicon.token(TermId(term)),
                query_weight,
                document_weight,
                contribution: weight(term, query_weight) * worth * scale,
                origin: origins.as_ref().and_then(|origins| origins.get(component)),
            });
        }
        matched.sort_by(|a, b| b.contribution.total_cmp(&a.contribution).then(a.term.cmp(&b.term)));
        Ok(matched)
    }

    /// The exact score of one document, as the searches give it.
    ///
    /// # Errors
    /// When the index has no vectors.
    pub fn score(&self, query: &SparseVector, hit: &Hit) -> Result<f64, SearchError> {
        let forward = self.index.segments()[hit.segment].forward().ok_or(SearchError::NoSparse)?;
        let query = Asked::new(query);
        let scale = forward.meta().quantization.scale;
        let scored = |scorer: Scorer<'_>| {
            let score = self.kernels.score_one(scorer, &forward.records(), hit.doc);
            score.unwrap_or_default()
        };
        if query.meeting(forward) == Meeting::Narrow {
            let mut table = QueryTable::new(forward.meta().dimension);
            table.load(&query.fixed);
            return Ok(scored(Scorer::Narrow(&table, query.fixed.unit(scale))));
        }
        let mut wide = WideTable::default();
        wide.load(&WideQuery::new(query.vector, forward.scaled()), scale);
        Ok(scored(Scorer::Wide(&wide)))
    }

    fn merge(&self, mut hits: Vec<Hit>, k: usize) -> Vec<Hit> {
        if self.index.segments().len() > 1 {
            // Ids decide of equal scores, and are looked up only then.
            hits.sort_by(|a, b| {
                b.score.total_cmp(&a.score).then_with(|| self.id(b).cmp(self.id(a)))
            });
            hits.truncate(k);
        }
        hits
    }

    fn take_scratch(&self, dimension: u32) -> Scratch {
        let mut pool = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        pool.pop().unwrap_or_else(|| Scratch {
            table: QueryTable::new(dimension),
            wide: WideTable::default(),
            seismic: Vec::new(),
            impact: ImpactScratch::default(),
        })
    }

    fn give_back(&self, scratch: Scratch) {
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
    }
}
