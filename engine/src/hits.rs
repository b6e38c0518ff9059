//! Hits as they are answered: scores by channel, stored fields, matched tokens.

use std::io;
use std::num::NonZeroUsize;

use quarry_index::text::StoredDocument;
use quarry_searcher::{Hit as Found, Searcher};
use quarry_vectors::printed;
use serde_json::{Map, Value};

use crate::channel_list::ChannelList;
use crate::search::{ChannelScores, Hit, Placed, SearchOptions};
use crate::{EngineError, Warning, WarningKind};

/// Counts the bytes of an answer up to a limit.
struct Counter {
    bytes: usize,
    most: NonZeroUsize,
}

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes = self.bytes.saturating_add(bytes.len());
        match self.bytes > self.most.get() {
            true => Err(io::ErrorKind::FileTooLarge.into()),
            false => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Counter {
    fn count(&mut self, hit: &Hit) -> Result<(), EngineError> {
        let counted = serde_json::to_writer(&mut *self, &hit.fields)
            .and_then(|()| serde_json::to_writer(&mut *self, &hit.id))
            .and_then(|()| serde_json::to_writer(&mut *self, &hit.matched));
        counted.map_err(|_| EngineError::AnswerTooLarge { most: self.most })
    }
}

/// What hits are made with.
pub(crate) struct HitContext<'a> {
    pub(crate) searcher: &'a Searcher,
    pub(crate) options: &'a SearchOptions,
    /// What each channel was asked and found.
    pub(crate) lists: &'a [ChannelList],
    /// Whether a second stage gave the hits.
    pub(crate) rescored: bool,
}

impl HitContext<'_> {
    pub(crate) fn hits(&self, found: &[Found]) -> Result<Vec<Hit>, EngineError> {
        let mut hits = Vec::with_capacity(found.len());
        let mut counter = self.options.most_bytes.map(|most| Counter { bytes: 0, most });
        let scores = shown(found);
        for (at, hit) in found.iter().enumerate() {
            self.options.expire()?;
            let hit = self.hit(at, &Found { score: scores[at], ..*hit })?;
            if let Some(counter) = &mut counter {
                counter.count(&hit)?;
            }
            hits.push(hit);
        }
        Ok(hits)
    }

    /// Of a hit at its place.
    fn hit(&self, at: usize, hit: &Found) -> Result<Hit, EngineError> {
        let mut channels = ChannelScores::default();
        let alone = self.lists.len() == 1 && !self.rescored;
        for list in self.lists {
            let score = |at: usize| match alone {
                true => hit.score,
                false => shown(&list.found[at..=at])[0],
            };
            let placed = Self::place(&list.found, at, hit);
            let placed = placed.map(|at| Placed::new(at + 1, score(at)));
            channels.set(list.weighted.channel, placed);
        }
        let rerank = (self.rescored && self.searcher.has_tokens(hit)).then_some(hit.score);
        let vector = self.lists.iter().find_map(|list| list.searched().vector());
        let matched = match vector {
            Some(vector) if self.options.explain => Some(self.searcher.explain(vector, hit)?),
            _ => None,
        };
        Ok(Hit {
            rank: at + 1,
            id: self.searcher.id(hit).to_owned(),
            score: hit.score,
            channels,
            rerank,
            passage: self.searcher.passage(hit),
            fields: self.fields(hit)?,
            matched,
        })
    }

    /// Where a hit stands among what a channel found: at the same place where there is one stage.
    fn place(found: &[Found], at: usize, hit: &Found) -> Option<usize> {
        let same = |other: &Found| (other.segment, other.doc) == (hit.segment, hit.doc);
        if found.get(at).is_some_and(same) {
            return Some(at);
        }
        found.iter().position(same)
    }

    fn fields(&self, hit: &Found) -> Result<Map<String, Value>, EngineError> {
        let mut fields = Map::new();
        if self.options.fields.is_empty() {
            return Ok(fields);
        }
        if let Some(stored) = self.searcher.stored(hit)? {
            let mut all = all_fields(stored);
            for name in &self.options.fields {
                if let Some((name, value)) = all.remove_entry(name) {
                    fields.insert(name, value);
                }
            }
        }
        Ok(fields)
    }

    /// A field that no hit has may be misspelt. Titles and texts may well be empty.
    pub(crate) fn unknown_fields(&self, hits: &[Hit]) -> Option<Warning> {
        if hits.is_empty() {
            return None;
        }
        let stored = self.searcher.index().has_text();
        let fields = self.options.fields.iter();
        let unknown: Vec<String> = fields
            .filter(|name| !(stored && matches!(name.as_str(), "title" | "text")))
            .filter(|name| !hits.iter().any(|h| h.fields.contains_key(*name)))
            .cloned()
            .collect();
        let kind = if stored { WarningKind::UnknownFields } else { WarningKind::NothingStored };
        Warning::of(kind, unknown)
    }
}

/// The scores of hits, best first, as answers have them.
fn shown(hits: &[Found]) -> Vec<f64> {
    printed(&hits.iter().map(|hit| hit.score).collect::<Vec<_>>())
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
