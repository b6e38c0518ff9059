//! What a search finds, and what it did to find it.

use quarry_vectors::{DocId, TermId};
use serde::Serialize;

use crate::params::Method;

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

/// The hits of one segment, best first.
pub(crate) type SegmentHits = Vec<(f32, DocId)>;

/// What a search did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Documents scored exactly.
    pub documents_scored: u64,
    /// Blocks whose summary was looked at.
    pub blocks_estimated: u64,
    /// Blocks, or clusters, whose documents were scored.
    pub blocks_visited: u64,
    /// Postings added up (BM25, impact-ordered lists, clusters).
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
