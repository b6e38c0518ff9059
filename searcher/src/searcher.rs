//! One interface over all methods and all segments of an open index.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use quarry_index::seismic::SMALL_SEGMENT;
use quarry_index::text::StoredDocument;
use quarry_index::{Index, Segment};
use quarry_vectors::{DocId, ScoredDoc, SparseVector, TermId, better};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::bm25::{self, Bm25Query};
use crate::query::{FixedQuery, QueryTable, to_score};
use crate::seismic::{self, SeismicScratch, Target};
use crate::{SearchError, exact};

/// How vectors are searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Exact for small segments and where there are no lists, Seismic otherwise.
    #[default]
    Auto,
    /// Blocked lists with summaries; approximate.
    Seismic,
    /// Every document scored; rank-safe.
    Exact,
}

impl Method {
    /// Its name in commands and answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Seismic => "seismic",
            Self::Exact => "exact",
        }
    }
}

/// A search by vector.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SparseParams {
    /// Results wanted.
    pub k: NonZeroUsize,
    /// How to search.
    pub method: Method,
    /// Seismic: query terms whose lists are visited, heaviest first.
    pub query_cut: NonZeroUsize,
    /// Seismic: stop at the first block with `estimate < heap_factor * threshold`; in (0, 1].
    pub heap_factor: f32,
    /// When to give up.
    pub deadline: Option<Instant>,
}

impl SparseParams {
    /// The defaults, for k results.
    #[must_use]
    pub fn new(k: NonZeroUsize) -> Self {
        const CUT: NonZeroUsize = NonZeroUsize::new(10).unwrap();
        Self { k, method: Method::Auto, query_cut: CUT, heap_factor: 0.7, deadline: None }
    }

    fn check(&self) -> Result<(), SearchError> {
        if self.heap_factor > 0.0 && self.heap_factor <= 1.0 {
            return Ok(());
        }
        Err(SearchError::Param {
            name: "heap_factor",
            found: self.heap_factor.to_string(),
            expected: "a number above 0 and at most 1",
        })
    }
}

/// A search by words.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bm25Params {
    /// Results wanted.
    pub k: NonZeroUsize,
    /// Saturation of term frequency.
    pub k1: f32,
    /// Share of length normalisation, in [0, 1].
    pub b: f32,
    /// When to give up.
    pub deadline: Option<Instant>,
}

impl Bm25Params {
    /// k1 0.9 and b 0.4, the field's usual values for passages.
    #[must_use]
    pub fn new(k: NonZeroUsize) -> Self {
        Self { k, k1: 0.9, b: 0.4, deadline: None }
    }

    fn check(&self) -> Result<(), SearchError> {
        if !(self.k1.is_finite() && self.k1 >= 0.0) {
            let found = self.k1.to_string();
            return Err(SearchError::Param {
                name: "k1",
                found,
                expected: "a finite number of at least 0",
            });
        }
        if !(0.0..=1.0).contains(&self.b) {
            let found = self.b.to_string();
            return Err(SearchError::Param { name: "b", found, expected: "a number from 0 to 1" });
        }
        Ok(())
    }
}

/// A document found: its place and its score in original weight units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// Position of its segment.
    pub segment: usize,
    /// Its row there.
    pub doc: DocId,
    /// Score.
    pub score: f32,
}

/// What a search did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Documents scored exactly.
    pub documents_scored: u64,
    /// Blocks whose summary was looked at.
    pub blocks_estimated: u64,
    /// Blocks whose documents were scored.
    pub blocks_visited: u64,
    /// Postings added up (BM25).
    pub postings: u64,
}

/// Hits, best first, and how they were found.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Hits, best first.
    pub hits: Vec<Hit>,
    /// The method used: never [`Method::Auto`]; with several segments that of the largest.
    pub method: Method,
    /// What was done.
    pub stats: Stats,
}

/// One matched token of a hit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Matched {
    /// The term.
    pub term: TermId,
    /// Its token.
    pub token: String,
    /// Weight in the query.
    pub query_weight: f32,
    /// Weight in the document, as stored.
    pub document_weight: f32,
    /// Share of the score; all shares sum to it.
    pub contribution: f64,
}

#[derive(Debug)]
struct Scratch {
    table: QueryTable,
    seismic: Vec<SeismicScratch>,
}

/// Answers queries over one open generation. Cheap to share between threads.
#[derive(Debug)]
pub struct Searcher {
    index: Arc<Index>,
    scratch: Mutex<Vec<Scratch>>,
}

impl Searcher {
    /// A searcher over an open index.
    #[must_use]
    pub fn new(index: Arc<Index>) -> Self {
        Self { index, scratch: Mutex::new(Vec::new()) }
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
        params.check()?;
        let Some(lexicon) = self.index.lexicon().filter(|_| self.index.has_sparse()) else {
            return Err(SearchError::NoSparse);
        };
        let fixed = FixedQuery::new(query);
        let mut scratch = self.take_scratch(lexicon.len());
        scratch.table.load(&fixed);
        let result = self.sparse_with(&fixed, params, &mut scratch);
        self.give_back(scratch);
        result
    }

    fn sparse_with(
        &self,
        query: &FixedQuery,
        params: &SparseParams,
        scratch: &mut Scratch,
    ) -> Result<Outcome, SearchError> {
        let mut stats = Stats::default();
        let mut hits = Vec::new();
        for (number, segment) in self.index.segments().iter().enumerate() {
            let forward = segment.forward().ok_or(SearchError::NoSparse)?;
            let found = match resolve(params.method, segment) {
                Method::Exact | Method::Auto => {
                    exact::search((segment, forward), query, &scratch.table, params, &mut stats)?
                }
                Method::Seismic => {
                    let lists =
                        segment.seismic().ok_or(SearchError::NoLists { method: "seismic" })?;
                    let target = Target { segment, forward, lists };
                    if scratch.seismic.len() <= number {
                        scratch.seismic.resize_with(number + 1, SeismicScratch::default);
                    }
                    seismic::search(
                        target,
                        query,
                        &scratch.table,
                        params,
                        &mut scratch.seismic[number],
                        &mut stats,
                    )?
                }
            };
            hits.extend(found.into_iter().map(|(score, doc)| Hit { segment: number, doc, score }));
        }
        let largest = self.index.segments().iter().max_by_key(|s| s.entry().rows);
        let method = largest.map_or(Method::Exact, |s| resolve(params.method, s));
        Ok(Outcome { hits: self.merge(hits, params.k.get()), method, stats })
    }

    /// The k best documents for each vector, over all cores, in the order given.
    ///
    /// # Errors
    /// As [`Self::sparse`]; one failed query fails the batch.
    pub fn sparse_batch(
        &self,
        queries: &[SparseVector],
        params: &SparseParams,
    ) -> Result<Vec<Outcome>, SearchError> {
        queries.par_iter().map(|query| self.sparse(query, params)).collect()
    }

    /// The k best documents for a question, by BM25.
    ///
    /// # Errors
    /// When the index has no text, a parameter is out of range, or the deadline passes.
    pub fn bm25(&self, question: &str, params: &Bm25Params) -> Result<Outcome, SearchError> {
        params.check()?;
        let texts: Option<Vec<_>> = self.index.segments().iter().map(Segment::text).collect();
        let texts = texts.ok_or(SearchError::NoText)?;
        let query = Bm25Query::new(&texts, question, params)?;
        let mut stats = Stats::default();
        let mut hits = Vec::new();
        for (number, (segment, text)) in self.index.segments().iter().zip(texts).enumerate() {
            let found = bm25::search(segment, text, &query, params, &mut stats)?;
            hits.extend(found.into_iter().map(|(score, doc)| Hit { segment: number, doc, score }));
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
        questions.par_iter().map(|question| self.bm25(question, params)).collect()
    }

    /// A hit's own id.
    ///
    /// # Panics
    /// When the hit is not of this index.
    #[must_use]
    pub fn id(&self, hit: &Hit) -> &str {
        self.index.segments()[hit.segment].documents().id(hit.doc)
    }

    /// Hits by id, as runs and answers have them.
    #[must_use]
    pub fn ranking(&self, outcome: &Outcome) -> Vec<ScoredDoc> {
        outcome
            .hits
            .iter()
            .map(|h| ScoredDoc { id: self.id(h).to_owned(), score: h.score })
            .collect()
    }

    /// Where a document lies.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<Hit> {
        let segments = self.index.segments().iter().enumerate();
        segments
            .filter_map(|(segment, s)| {
                s.documents().find(id).next().map(|doc| Hit { segment, doc, score: 0.0 })
            })
            .next_back()
    }

    /// The stored document of a hit; `None` when the index has no text.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn stored(&self, hit: &Hit) -> Result<Option<StoredDocument>, SearchError> {
        match self.index.segments()[hit.segment].text() {
            Some(text) => Ok(Some(text.stored(hit.doc)?)),
            None => Ok(None),
        }
    }

    /// The matched tokens of a hit, largest contribution first.
    ///
    /// # Errors
    /// When the index has no vectors.
    pub fn explain(&self, query: &SparseVector, hit: &Hit) -> Result<Vec<Matched>, SearchError> {
        let forward = self.index.segments()[hit.segment].forward().ok_or(SearchError::NoSparse)?;
        let lexicon = self.index.lexicon().ok_or(SearchError::NoSparse)?;
        let fixed = FixedQuery::new(query);
        let quantization = forward.meta().quantization;
        let unit = fixed.unit(quantization.scale);
        let mut matched: Vec<Matched> = Vec::new();
        for (term, level) in forward.record(hit.doc).iter() {
            let Some((_, weight)) = fixed.terms().iter().find(|t| t.0 == term) else { continue };
            let at = query.terms().binary_search(&term).unwrap_or_default();
            matched.push(Matched {
                term: TermId(term),
                token: lexicon.token(TermId(term)),
                query_weight: query.weights()[at],
                document_weight: quantization.weight(level),
                contribution: f64::from(*weight) * f64::from(level) * unit,
            });
        }
        matched.sort_by(|a, b| b.contribution.total_cmp(&a.contribution).then(a.term.cmp(&b.term)));
        Ok(matched)
    }

    /// The exact score of one document.
    ///
    /// # Errors
    /// When the index has no vectors.
    pub fn score(&self, query: &SparseVector, hit: &Hit) -> Result<f32, SearchError> {
        let forward = self.index.segments()[hit.segment].forward().ok_or(SearchError::NoSparse)?;
        let fixed = FixedQuery::new(query);
        let sum: i64 = forward
            .record(hit.doc)
            .iter()
            .filter_map(|(term, level)| {
                fixed
                    .terms()
                    .iter()
                    .find(|t| t.0 == term)
                    .map(|t| i64::from(t.1) * i64::from(level))
            })
            .sum();
        Ok(to_score(sum, fixed.unit(forward.meta().quantization.scale)))
    }

    fn merge(&self, mut hits: Vec<Hit>, k: usize) -> Vec<Hit> {
        if self.index.segments().len() > 1 {
            hits.sort_by(|a, b| {
                better((a.score, self.id(a).as_bytes()), (b.score, self.id(b).as_bytes()))
            });
            hits.truncate(k);
        }
        hits
    }

    fn take_scratch(&self, dimension: u32) -> Scratch {
        let mut pool = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        pool.pop()
            .unwrap_or_else(|| Scratch { table: QueryTable::new(dimension), seismic: Vec::new() })
    }

    fn give_back(&self, scratch: Scratch) {
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
    }
}

fn resolve(method: Method, segment: &Segment) -> Method {
    match method {
        Method::Auto if segment.seismic().is_some() && segment.entry().rows > SMALL_SEGMENT => {
            Method::Seismic
        }
        Method::Auto => Method::Exact,
        chosen => chosen,
    }
}
