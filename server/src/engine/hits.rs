//! Hits as they are answered: scores by channel, stored fields, matched tokens.

use std::io;
use std::num::NonZeroUsize;
use std::time::Instant;

use quarry_index::text::StoredDocument;
use quarry_searcher::{Hit as Found, Searcher, TokenOrigin};
use quarry_vectors::{Field, PooledBy, SparseVector};
use serde_json::{Map, Value};

use super::expire;
use super::query::{Query, Warnings};
use crate::api::{
    ApiError, Hit, MatchedToken, Origin, Passage, Scores, SearchRequest, WarningCode,
};

/// Counts bytes up to a limit.
struct Counter {
    bytes: usize,
    most: usize,
}

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes = self.bytes.saturating_add(bytes.len());
        match self.bytes > self.most {
            true => Err(io::ErrorKind::FileTooLarge.into()),
            false => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What hits are made with.
pub(crate) struct HitContext<'a> {
    pub(crate) searcher: &'a Searcher,
    pub(crate) request: &'a SearchRequest,
    pub(crate) query: &'a Query<'a>,
    pub(crate) deadline: Option<Instant>,
    /// Most bytes of an answer, if there is a limit.
    pub(crate) answer_bytes: Option<NonZeroUsize>,
    /// What the first stage found, when a second one gave the hits.
    pub(crate) candidates: Option<&'a [Found]>,
}

impl HitContext<'_> {
    pub(crate) fn hits(
        &self,
        found: &[Found],
        warnings: &mut Warnings,
    ) -> Result<Vec<Hit>, ApiError> {
        let mut hits = Vec::with_capacity(found.len());
        let mut bytes = self.answer_bytes.map(|most| Counter { bytes: 0, most: most.get() });
        for (at, hit) in found.iter().enumerate() {
            expire(self.deadline)?;
            // JSON has no infinity; an overflowing score would become null.
            if !hit.score.is_finite() {
                return Err(ApiError::invalid("query.sparse", "weights so large overflow scores"));
            }
            let (first, rerank) = match self.candidates {
                None => (Some(hit.score), None),
                Some(all) => {
                    let same = |c: &&Found| (c.segment, c.doc) == (hit.segment, hit.doc);
                    let rerank = self.searcher.has_tokens(hit).then_some(hit.score);
                    (all.iter().find(same).map(|c| c.score), rerank)
                }
            };
            let (scores, matched) = match self.query {
                Query::Vector(vector) => {
                    let matched = self.request.explain.then(|| self.matched(vector, hit));
                    (Scores { sparse: first, bm25: None, rerank }, matched.transpose()?)
                }
                Query::Question(_) => (Scores { sparse: None, bm25: first, rerank }, None),
            };
            let hit = Hit {
                rank: at + 1,
                id: self.searcher.id(hit).to_owned(),
                score: hit.score,
                scores,
                passage: self.searcher.passage(hit).map(|p| Passage {
                    ordinal: p.ordinal,
                    start: p.bytes.start,
                    end: p.bytes.end,
                }),
                fields: self.fields(hit)?,
                matched,
            };
            if let Some(counter) = &mut bytes {
                let counted = serde_json::to_writer(&mut *counter, &hit);
                counted.map_err(|_| ApiError::answer_too_large(counter.most))?;
            }
            hits.push(hit);
        }
        self.warn_of_fields(&hits, warnings);
        Ok(hits)
    }

    fn fields(&self, hit: &Found) -> Result<Map<String, Value>, ApiError> {
        let mut fields = Map::new();
        if self.request.fields.is_empty() {
            return Ok(fields);
        }
        if let Some(stored) = self.searcher.stored(hit)? {
            let mut all = all_fields(stored);
            for name in &self.request.fields {
                if let Some((name, value)) = all.remove_entry(name) {
                    fields.insert(name, value);
                }
            }
        }
        Ok(fields)
    }

    fn matched(&self, vector: &SparseVector, hit: &Found) -> Result<Vec<MatchedToken>, ApiError> {
        let matched = self.searcher.explain(vector, hit)?;
        let answered = matched.into_iter().map(|m| MatchedToken {
            token: m.token,
            query_weight: m.query_weight,
            document_weight: m.document_weight,
            contribution: m.contribution,
            origin: m.origin.map(origin),
        });
        Ok(answered.collect())
    }

    /// A field that no hit has may be misspelt. Titles and texts may well be empty.
    fn warn_of_fields(&self, hits: &[Hit], warnings: &mut Warnings) {
        let stored = self.searcher.index().has_text();
        if hits.is_empty() {
            return;
        }
        let fields = self.request.fields.iter();
        let unknown: Vec<String> = fields
            .filter(|name| !(stored && matches!(name.as_str(), "title" | "text")))
            .filter(|name| !hits.iter().any(|h| h.fields.contains_key(*name)))
            .cloned()
            .collect();
        let what = if stored {
            "fields that no hit has"
        } else {
            "fields of an index that stores no documents"
        };
        warnings.names(WarningCode::UnknownFields, what, &unknown);
    }
}

fn origin(found: TokenOrigin) -> Origin {
    let TokenOrigin { position, pooled_by, place } = found;
    let field = place.as_ref().map(|place| match place.field {
        Field::Title => "title",
        Field::Text => "text",
    });
    let bytes = place.as_ref().map(|place| place.bytes.clone());
    Origin {
        position,
        pooled_by: match pooled_by {
            PooledBy::Max => "max",
            PooledBy::Sum => "sum",
        },
        field,
        start: bytes.as_ref().map(|bytes| bytes.start),
        end: bytes.as_ref().map(|bytes| bytes.end),
        word: place.and_then(|place| place.word),
    }
}

/// A document's fields in one object; empty titles and texts are left out.
pub(crate) fn all_fields(stored: StoredDocument) -> Map<String, Value> {
    let mut fields = Map::new();
    for (name, value) in [("title", stored.title), ("text", stored.text)] {
        if !value.is_empty() {
            fields.insert(name.to_owned(), Value::String(value));
        }
    }
    fields.extend(stored.fields);
    fields
}
