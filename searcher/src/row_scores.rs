//! The exact scores of some rows: those that a search would give them, had it found them.
//!
//! 1. the rows of a segment, ascending  2. what the query compares with: the row's components (`explain`), the postings of its words, its dense
//!    vector  3. back into the caller's order

use quarry_index::Segment;
use quarry_index::dense::PAD;
use quarry_vectors::{DenseVector, DocId};

use crate::error::SearchError;
use crate::methods::bm25::{self, Bm25Query};
use crate::methods::dense::query::{DenseQuery, DenseScorer, ScoreBuffers};
use crate::options::Options;
use crate::outcome::Hit;
use crate::search::ChannelQuery;
use crate::searcher::Searcher;
use crate::words::{WordWeight, counted};

/// A score for each of the rows that were asked for, in their order; `None` of one that has nothing to compare with.
type Scores = Vec<Option<f64>>;

impl Searcher {
    /// The exact scores of documents, to the bit as [`Self::search`] gives them, in the order of `hits`: 0 of one that
    /// shares no term or word with the query; `None` of one without a dense vector, or without text, and of all on the channel of
    /// token embeddings. Options of methods have no effect, nor have filters.
    ///
    /// Cost: of vectors, reading those of the documents; of words, the blocks of their postings that may have one of
    /// the documents.
    ///
    /// # Errors
    /// When the index lacks what the query's channel searches; an option of BM25 is out of range; the deadline passes;
    /// or files cannot be read.
    pub fn scores_of(
        &self,
        query: &ChannelQuery<'_>,
        hits: &[Hit],
        options: &Options<'_>,
    ) -> Result<Scores, SearchError> {
        match query {
            ChannelQuery::Sparse(vector) => {
                Ok(self.scores(vector, hits)?.into_iter().map(Some).collect())
            }
            ChannelQuery::Words(text) => self.word_scores(&counted(text), hits, options),
            ChannelQuery::Weighted(words) => self.word_scores(words, hits, options),
            ChannelQuery::Dense(vector) | ChannelQuery::DenseFrom(vector, _) => {
                self.dense_scores(vector, hits)
            }
            ChannelQuery::Tokens(_) => Ok(vec![None; hits.len()]),
        }
    }

    fn word_scores(
        &self,
        words: &[WordWeight],
        hits: &[Hit],
        options: &Options<'_>,
    ) -> Result<Scores, SearchError> {
        options.bm25.check()?;
        if !self.index().has_text() {
            return Err(SearchError::NoText);
        }
        let query = Bm25Query::new(&self.texts(), words, options)?;
        let mut scores = vec![None; hits.len()];
        let segments = self.index().segments().iter().enumerate();
        let with_text = segments.filter_map(|(number, s)| Some((number, s, s.text()?)));
        for (place, (number, segment, text)) in with_text.enumerate() {
            let asked = Asked::of(hits, number);
            if asked.rows.is_empty() {
                continue;
            }
            let kernels = self.kernels();
            let target = bm25::Target { segment, text, place, allowed: None, kernels };
            let found = bm25::scores(&target, &query, &asked.rows, options)?;
            let mut found = found.into_iter().peekable();
            for (row, at) in asked.rows.iter().zip(&asked.places) {
                let own = found.next_if(|scored| scored.doc.0 == *row);
                scores[*at] = Some(own.map_or(0.0, |scored| scored.score));
            }
        }
        Ok(scores)
    }

    fn dense_scores(&self, vector: &DenseVector, hits: &[Hit]) -> Result<Scores, SearchError> {
        let kept = self.index().dense().ok_or(SearchError::NoDense)?;
        if vector.dims() != kept.dims {
            return Err(SearchError::DenseDims { found: vector.dims(), expected: kept.dims });
        }
        let query = DenseQuery::new(vector, kept.dims.next_multiple_of(PAD));
        let (mut buffers, mut found) = (ScoreBuffers::default(), Vec::new());
        let mut scores = vec![None; hits.len()];
        for (number, store) in self.index().segments().iter().map(Segment::dense).enumerate() {
            let Some(store) = store else { continue };
            let mut asked = Asked::of(hits, number);
            asked.keep(|row| store.has(DocId(row)));
            let scorer = DenseScorer::new(store.rows(), store.meta().stride, self.kernels());
            scorer.score(&query, &asked.rows, &mut buffers, &mut found);
            for (score, at) in found.iter().zip(&asked.places) {
                scores[*at] = Some(*score).filter(|score| score.is_finite());
            }
        }
        Ok(scores)
    }
}

/// The rows of a segment that are asked for, ascending, and where each stands among all that are.
struct Asked {
    rows: Vec<u32>,
    places: Vec<usize>,
}

impl Asked {
    fn of(hits: &[Hit], segment: usize) -> Self {
        let of_segment = hits.iter().enumerate().filter(|(_, hit)| hit.segment == segment);
        let mut asked: Vec<(u32, usize)> = of_segment.map(|(at, hit)| (hit.doc.0, at)).collect();
        asked.sort_unstable();
        let (rows, places) = asked.into_iter().unzip();
        Self { rows, places }
    }

    fn keep(&mut self, has: impl Fn(u32) -> bool) {
        let Self { rows, places } = self;
        let kept = rows.iter().zip(&*places).filter(|(row, _)| has(**row));
        (*rows, *places) = kept.map(|(row, at)| (*row, *at)).unzip();
    }
}
