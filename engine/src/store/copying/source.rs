//! The documents of a collection as they were put.
//!
//! Texts, titles and fields are as they were given; vectors are those that the index stores, whose weights may be rounded.

use quarry_index::text::StoredDocument;
use quarry_searcher::Hit;
use quarry_vectors::{DocId, Document, InputVector, SparseVector, TermId};

use super::super::StoreError;
use crate::snapshot::Snapshot;

/// A generation whose documents are read.
pub(super) struct Source<'a> {
    pub(super) snapshot: &'a Snapshot,
    /// Whether documents bring their vectors.
    pub(super) vectors: bool,
}

/// The next row to read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    segment: usize,
    row: u32,
}

impl Source<'_> {
    /// The next documents in the order in which they are stored, at most `most` of them, of about `bytes` of text; moves
    /// `place` behind them. None are left where there is none.
    pub(super) fn next(
        &self,
        place: &mut Place,
        (most, bytes): (usize, usize),
    ) -> Result<Vec<Document>, StoreError> {
        let (mut documents, mut read) = (Vec::new(), 0);
        while let Some(segment) = self.snapshot.index().segments().get(place.segment) {
            let table = segment.documents();
            if place.row as usize >= table.len() {
                *place = Place { segment: place.segment + 1, row: 0 };
                continue;
            }
            if documents.len() >= most || read >= bytes {
                break;
            }
            let doc = DocId(place.row);
            place.row += 1;
            let gone = segment.deleted().is_some_and(|deleted| deleted.contains(doc.0));
            // A document that was split is read whole, by its first passage.
            if gone || table.passage(doc).is_some_and(|passage| passage.ordinal > 0) {
                continue;
            }
            let document = self.read(&Hit { segment: place.segment, doc, score: 0.0 })?;
            read += document.text.len();
            documents.push(document);
        }
        Ok(documents)
    }

    /// The document of this id, if there is one.
    pub(super) fn find(&self, id: &str) -> Result<Option<Document>, StoreError> {
        self.snapshot.searcher().find(id).map(|hit| self.read(&hit)).transpose()
    }

    fn read(&self, hit: &Hit) -> Result<Document, StoreError> {
        let searcher = self.snapshot.searcher();
        let stored = searcher.stored_whole(hit).map_err(crate::EngineError::from)?;
        let StoredDocument { title, text, fields } = stored.unwrap_or_default();
        let vector = self.vectors.then(|| self.vector(hit)).transpose()?.flatten();
        let id = searcher.id(hit).to_owned();
        Ok(Document { id, title, text, fields, vector, numbered: false, line: 0 })
    }

    fn vector(&self, hit: &Hit) -> Result<Option<InputVector>, StoreError> {
        let index = self.snapshot.index();
        let forward = index.segments()[hit.segment].forward();
        let Some((forward, lexicon)) = forward.zip(index.lexicon()) else { return Ok(None) };
        let vector = forward.vector(hit.doc)?;
        if lexicon.is_named() {
            let named = vector.iter().map(|(term, weight)| (lexicon.token(TermId(term)), weight));
            return Ok(Some(InputVector::Tokens(named.collect())));
        }
        let numbers = vector.iter().map(|(term, weight)| (lexicon.number(TermId(term)), weight));
        let vector = SparseVector::from_pairs(numbers);
        let vector = vector.map_err(|error| StoreError::Setting {
            param: "from",
            what: format!("a stored vector cannot be read: {error}"),
        })?;
        Ok(Some(InputVector::Terms(vector)))
    }
}
