//! The scores of some rows, to the bit as sums over all postings have them.
//!
//! For each word, in query order: find the rows among its postings, by skipping blocks, and add.
//!
//! Cost: a word's blocks that may have a row are decoded once; of the others only the end is looked at.

use std::sync::Arc;
use std::time::Instant;

use quarry_vectors::DocId;
use tantivy::fieldnorm::FieldNormReader;
use tantivy::postings::TermInfo;
use tantivy::schema::IndexRecordOption;
use tantivy::{InvertedIndexReader, TERMINATED};

use super::query::Bm25Query;
use super::target::Target;
use crate::error::SearchError;
use crate::methods::collect::Scored;

/// What a posting adds to a score.
#[inline(always)]
pub(super) fn addend(weight: f32, tf: u32, norm: f32) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "term frequencies are small")]
    let tf = tf as f32;
    weight * tf / (tf + norm)
}

/// A text part, and a query's words in it.
pub(super) struct Scorer<'a> {
    pub(super) inverted: Arc<InvertedIndexReader>,
    pub(super) lengths: FieldNormReader,
    /// In query order.
    pub(super) terms: Vec<(f32, &'a TermInfo)>,
    /// By length as it is stored.
    pub(super) norms: &'a [f32; 256],
    pub(super) deadline: Option<Instant>,
}

impl<'a> Scorer<'a> {
    /// For the words of a query that add to a score.
    pub(super) fn of(
        target: &Target<'a>,
        query: &'a Bm25Query,
        deadline: Option<Instant>,
    ) -> Result<Self, SearchError> {
        let field = target.text.fields().contents;
        let reader = target.text.reader();
        Ok(Self {
            inverted: reader.inverted_index(field).map_err(Box::new)?,
            lengths: reader.get_fieldnorms_reader(field).map_err(Box::new)?,
            terms: query.of(target.place).filter(|(weight, _)| *weight > 0.0).collect(),
            norms: &query.norms,
            deadline,
        })
    }

    /// What a row's length adds to a frequency.
    #[inline(always)]
    pub(super) fn norm(&self, doc: u32) -> f32 {
        self.norms[usize::from(self.lengths.fieldnorm_id(doc))]
    }

    /// Appends the scores of rows, ascending, that have one above 0.
    pub(super) fn score(&self, docs: &[u32], out: &mut Vec<Scored>) -> Result<(), SearchError> {
        if docs.is_empty() {
            return Ok(());
        }
        let mut rows: Vec<(f32, f32)> = docs.iter().map(|doc| (self.norm(*doc), 0.0)).collect();
        for (weight, place) in &self.terms {
            if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(SearchError::Timeout);
            }
            let with = IndexRecordOption::WithFreqs;
            let mut list = self.inverted.read_block_postings_from_terminfo(place, with)?;
            for (doc, (norm, sum)) in docs.iter().zip(&mut rows) {
                let at = list.seek(*doc);
                let found = list.doc(at);
                if found == *doc {
                    *sum += addend(*weight, list.freq(at), *norm);
                } else if found == TERMINATED {
                    break;
                }
            }
        }
        let scored = docs.iter().zip(&rows).filter(|(_, (_, sum))| *sum > 0.0);
        out.extend(
            scored.map(|(doc, (_, sum))| Scored { score: f64::from(*sum), doc: DocId(*doc) }),
        );
        Ok(())
    }
}
