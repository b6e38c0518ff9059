//! How a search is done: what is the same for each query of a batch.

use std::num::NonZeroUsize;
use std::time::Instant;

use quarry_index::words::{B, K1};

use crate::error::SearchError;
use crate::filter::Filter;
use crate::method::Method;
use crate::rerank::Rerank;
use crate::term_stats::TermStats;

/// The overlap with the exact search that a search aims at by default.
pub const DEFAULT_OVERLAP: f32 = 0.98;

/// Options of a search. Those of other channels than the query's have no effect.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// Number of results.
    pub k: NonZeroUsize,
    /// Only documents that it allows are found. It has to be made for the generation that is searched.
    pub filter: Option<&'a Filter>,
    /// When to give up: [`SearchError::Timeout`].
    pub deadline: Option<Instant>,
    /// Of split documents: whether all passages found are hits, as many as hold the k best documents, in place of
    /// each document's best.
    pub passages: bool,
    /// Of searches by vector.
    pub sparse: SparseOptions,
    /// Of searches by words.
    pub bm25: Bm25Options,
    /// Statistics that searches by words score with, of several indexes together; without them the index's own.
    pub term_stats: Option<&'a TermStats>,
    /// Of searches by dense vectors.
    pub dense: DenseSearchOptions,
    /// Of searches by token embeddings, which are refused without it.
    pub maxsim: Option<MaxsimOptions<'a>>,
}

impl Options<'_> {
    /// The defaults, for k results.
    #[must_use]
    pub fn new(k: NonZeroUsize) -> Self {
        Self {
            k,
            filter: None,
            deadline: None,
            passages: false,
            sparse: SparseOptions::default(),
            bm25: Bm25Options::default(),
            term_stats: None,
            dense: DenseSearchOptions::default(),
            maxsim: None,
        }
    }
}

/// Options of a search by vector. Parameters that are not set are planned: from the index's calibration
/// where it has one, else they take their defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SparseOptions {
    /// How to search.
    pub method: Method,
    /// overlap@k with the exact search to aim at, in (0, 1]; 1 makes [`Method::Auto`] exact.
    pub overlap: f32,
    /// Impact, clusters: approximate number of postings added up.
    pub postings: Option<NonZeroUsize>,
    /// Impact: approximate number of documents scored exactly. Clusters: of clusters whose documents are.
    pub candidates: Option<NonZeroUsize>,
    /// Seismic: number of query terms whose lists are visited, heaviest first.
    pub query_cut: Option<NonZeroUsize>,
    /// Seismic: stop at the first block with `estimate < heap_factor * threshold`; in (0, 1].
    pub heap_factor: Option<f32>,
}

impl Default for SparseOptions {
    fn default() -> Self {
        Self {
            method: Method::Auto,
            overlap: DEFAULT_OVERLAP,
            postings: None,
            candidates: None,
            query_cut: None,
            heap_factor: None,
        }
    }
}

impl SparseOptions {
    pub(crate) fn check(&self) -> Result<(), SearchError> {
        share("overlap", self.overlap)?;
        if self.method == Method::Graph {
            return Err(SearchError::Param {
                name: "method",
                found: self.method.name().to_owned(),
                expected: "a method of sparse vectors; a graph of near rows is of dense ones",
            });
        }
        self.heap_factor.map_or(Ok(()), |factor| share("heap_factor", factor))
    }
}

fn share(name: &'static str, found: f32) -> Result<(), SearchError> {
    if found > 0.0 && found <= 1.0 {
        return Ok(());
    }
    let expected = "a number above 0 and at most 1";
    Err(SearchError::Param { name, found: found.to_string(), expected })
}

/// How dense vectors are searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DenseMethod {
    /// Every vector is compared.
    #[default]
    Exact,
    /// By a walk over the graph of near rows; approximate. Segments that are too small for a graph are scanned.
    Graph,
}

impl DenseMethod {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Exact, Self::Graph];

    /// Its name in commands.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Graph => "graph",
        }
    }
}

/// Options of a search by a dense vector.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DenseSearchOptions {
    /// How to search.
    pub method: DenseMethod,
    /// Of a walk: overlap@k with the exact search to aim at, in (0, 1], by the overlaps that were measured when the
    /// graph was made. Where none reaches it the segment is scanned.
    pub overlap: f32,
    /// Of a walk: the number of rows that it keeps, in place of one from the overlap; at least k are kept.
    pub beam: Option<NonZeroUsize>,
}

impl Default for DenseSearchOptions {
    fn default() -> Self {
        Self { method: DenseMethod::Exact, overlap: DEFAULT_OVERLAP, beam: None }
    }
}

impl DenseSearchOptions {
    pub(crate) fn check(&self) -> Result<(), SearchError> {
        share("overlap", self.overlap)
    }
}

/// Options of a search by words.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bm25Options {
    /// Saturation of term frequency.
    pub k1: f32,
    /// Share of length normalisation, in [0, 1].
    pub b: f32,
}

impl Default for Bm25Options {
    /// k1 0.9 and b 0.4, the usual values for passages, and those of the lists of words.
    fn default() -> Self {
        Self { k1: K1, b: B }
    }
}

impl Bm25Options {
    pub(crate) fn check(&self) -> Result<(), SearchError> {
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

/// Options of a search by token embeddings.
#[derive(Debug, Clone, Copy)]
pub struct MaxsimOptions<'a> {
    /// What scores; it has to be made for the index that is searched.
    pub reranker: &'a dyn Rerank,
    /// Whether the result must equal scoring in fp16.
    pub exact: bool,
}
