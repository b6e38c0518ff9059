//! What a search finds, and what it did to find it.

use std::ops::Range;

use quarry_vectors::{DocId, Field, PooledBy, TermId};
use serde::Serialize;

use crate::method::Method;

/// A document found: its place and its score in original weight units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// Position of its segment.
    pub segment: usize,
    /// Its row there.
    pub doc: DocId,
    /// Score.
    pub score: f64,
}

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

impl Stats {
    /// Adds what another search did.
    pub(crate) fn add(&mut self, other: &Self) {
        self.documents_scored += other.documents_scored;
        self.blocks_estimated += other.blocks_estimated;
        self.blocks_visited += other.blocks_visited;
        self.postings += other.postings;
    }
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
    /// Which token of the document gave it its weight there, where the index keeps that.
    pub origin: Option<TokenOrigin>,
}

/// The token of a document that a component comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenOrigin {
    /// Its position in the model's input, from 0; tokens that the tokenizer adds are counted.
    pub position: u32,
    /// Whether it gave the whole weight, or the largest share.
    pub pooled_by: PooledBy,
    /// Where it stands; `None` for a token of the model's own (added, of a prompt, a separator).
    pub place: Option<TokenPlace>,
}

/// Where a token stands in a hit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenPlace {
    /// In which field.
    pub field: Field,
    /// Its bytes there; of a passage in the passage's own text.
    pub bytes: Range<usize>,
    /// The word that it is part of; `None` where the field is not stored.
    pub word: Option<String>,
}
