//! The rows that a shard's documents become: one per document, or one per passage if texts are split.

use std::ops::Range;

use quarry_index::doctable::PassageSpan;
use quarry_vectors::{Document, EncodeError, Passage, SplitText};
use rayon::prelude::*;

use crate::BuildError;

/// The source of a row: a document, or a passage of one.
pub(crate) struct Piece {
    /// Position of the document in the shard.
    pub(crate) document: usize,
    pub(crate) span: Option<PassageSpan>,
    last: bool,
}

/// The rows of a shard's documents, in order; the passages of a document follow each other.
pub(crate) fn pieces(
    documents: &[Document],
    splitter: Option<&dyn SplitText>,
) -> Result<Vec<Piece>, BuildError> {
    let whole = |document| vec![Piece { document, span: None, last: true }];
    let Some(splitter) = splitter else {
        return Ok((0..documents.len()).flat_map(whole).collect());
    };
    let split = |(document, d): (usize, &Document)| {
        let ranges = splitter.split(&d.title, &d.text)?;
        let fits = ranges.iter().all(|r| d.text.get(r.clone()).is_some_and(|t| !t.is_empty()));
        if ranges.len() < 2 || !fits {
            return Ok(whole(document));
        }
        let last = ranges.len() - 1;
        let piece = |(ordinal, range): (u32, Range<usize>)| Piece {
            document,
            span: Some(PassageSpan { ordinal, bytes: range.start as u64..range.end as u64 }),
            last: ordinal as usize == last,
        };
        Ok((0..).zip(ranges).map(piece).collect())
    };
    let rows = documents.par_iter().enumerate().map(split);
    let rows = rows.collect::<Result<Vec<Vec<Piece>>, EncodeError>>()?;
    Ok(rows.into_iter().flatten().collect())
}

impl Piece {
    fn bytes(&self) -> Option<Range<usize>> {
        let span = self.span.as_ref()?;
        Some(usize::try_from(span.bytes.start).ok()?..usize::try_from(span.bytes.end).ok()?)
    }

    fn text<'a>(&self, document: &'a Document) -> &'a str {
        self.bytes().and_then(|bytes| document.text.get(bytes)).unwrap_or(&document.text)
    }

    /// The text to encode.
    pub(crate) fn passage<'a>(&self, documents: &'a [Document]) -> Passage<'a> {
        let document = &documents[self.document];
        Passage { title: &document.title, text: self.text(document) }
    }

    /// The document to store for this row: each passage has its document's title and fields. The last
    /// passage takes them out of the document.
    pub(crate) fn take(&self, document: &mut Document) -> Document {
        if self.span.is_none() {
            return std::mem::take(document);
        }
        let text = self.text(document).to_owned();
        if self.last {
            return Document { text, ..std::mem::take(document) };
        }
        Document {
            id: document.id.clone(),
            title: document.title.clone(),
            text,
            fields: document.fields.clone(),
            vector: None,
            numbered: document.numbered,
            line: document.line,
        }
    }
}
