//! Hits, and the work that finding them took.

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

/// Work of a search.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Documents scored exactly.
    pub documents_scored: u64,
    /// Blocks estimated from their summaries.
    pub blocks_estimated: u64,
    /// Blocks, or clusters, whose documents were scored.
    pub blocks_visited: u64,
    /// Postings added up (BM25, impact-ordered lists, clusters).
    pub postings: u64,
}

impl Stats {
    /// Adds the work of another search.
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
    /// The method used, never [`Method::Auto`]; of several segments, the largest one's. Of dense vectors
    /// [`Method::Graph`] if any segment's graph was walked.
    pub method: Method,
    /// The work.
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
    /// The document's token that its weight comes from, where the index keeps origins.
    pub origin: Option<TokenOrigin>,
}

/// The token of a document that a component comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenOrigin {
    /// Its position in the model's input, from 0; tokens that the tokenizer adds are counted.
    pub position: u32,
    /// Whether the whole weight comes from it (max), or the largest share of a sum.
    pub pooled_by: PooledBy,
    /// Its place; `None` for a token that the model adds (prompt, separator).
    pub place: Option<TokenPlace>,
}

/// The place of a token in a hit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenPlace {
    /// The field.
    pub field: Field,
    /// Its byte range in that field, or in the passage's own text.
    pub bytes: Range<usize>,
    /// The word that it is part of; `None` where the field is not stored.
    pub word: Option<String>,
}
