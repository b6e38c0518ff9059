//! Why a document was found: its matched tokens, and its score alone.

mod origins;

use quarry_vectors::{SparseVector, TermId};

use crate::error::SearchError;
use crate::methods::query::QueryTable;
use crate::methods::scorer::Scorer;
use crate::methods::wide::{Meeting, WideQuery, WideTable};
use crate::outcome::{Hit, Matched};
use crate::searcher::Searcher;
use crate::sparse::PreparedQuery;
use origins::Origins;

impl Searcher {
    /// The matched tokens of a hit, largest contribution first, with the words that they come from if the
    /// index keeps origins.
    ///
    /// # Errors
    /// When the index has no vectors, or its files cannot be read.
    pub fn explain(&self, query: &SparseVector, hit: &Hit) -> Result<Vec<Matched>, SearchError> {
        let segment = &self.index().segments()[hit.segment];
        let forward = segment.forward().ok_or(SearchError::NoSparse)?;
        let lexicon = self.index().lexicon().ok_or(SearchError::NoSparse)?;
        let scale = forward.meta().quantization.scale;
        let mut matched: Vec<Matched> = Vec::new();
        let asked = PreparedQuery::new(query);
        // The weights that scores are made of.
        let weight = |term: u32, given: f32| {
            let fixed = asked.fixed.terms().iter().find(|t| t.0 == term);
            match fixed.filter(|_| asked.meeting(forward) == Meeting::Narrow) {
                Some((_, fixed)) => f64::from(*fixed) * asked.fixed.unit(1.0),
                None => f64::from(given),
            }
        };
        let components = forward.components(&forward.record(hit.doc));
        let origins = Origins::of(segment, hit.doc, components.len())?;
        for (component, (term, worth)) in components.into_iter().enumerate() {
            let Ok(at) = query.terms().binary_search(&term) else { continue };
            let query_weight = query.weights()[at];
            #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
            let document_weight = (worth * scale) as f32;
            matched.push(Matched {
                term: TermId(term),
                token: lexicon.token(TermId(term)),
                query_weight,
                document_weight,
                contribution: weight(term, query_weight) * worth * scale,
                origin: origins.as_ref().and_then(|origins| origins.get(component)),
            });
        }
        matched.sort_by(|a, b| b.contribution.total_cmp(&a.contribution).then(a.term.cmp(&b.term)));
        Ok(matched)
    }

    /// The exact score of one document, as the searches give it.
    ///
    /// # Errors
    /// When the index has no vectors.
    pub fn score(&self, query: &SparseVector, hit: &Hit) -> Result<f64, SearchError> {
        Ok(self.scores(query, &[*hit])?[0])
    }

    /// The exact scores of documents, as the searches give them; 0 of one without a term of the query. Cost: of
    /// each document its components.
    ///
    /// # Errors
    /// When the index has no vectors.
    pub fn scores(&self, query: &SparseVector, hits: &[Hit]) -> Result<Vec<f64>, SearchError> {
        let query = PreparedQuery::new(query);
        let mut scores = vec![0.0; hits.len()];
        for (number, segment) in self.index().segments().iter().enumerate() {
            let of_segment = |(_, hit): &(usize, &Hit)| hit.segment == number;
            let mut asked = hits.iter().enumerate().filter(of_segment).peekable();
            if asked.peek().is_none() {
                continue;
            }
            let forward = segment.forward().ok_or(SearchError::NoSparse)?;
            let scale = forward.meta().quantization.scale;
            let records = forward.records();
            let score = |scorer: Scorer<'_>| {
                for (at, hit) in asked {
                    let score = self.kernels().score_one(scorer, &records, hit.doc);
                    scores[at] = score.unwrap_or_default();
                }
            };
            if query.meeting(forward) == Meeting::Narrow {
                let mut table = QueryTable::new(forward.meta().dimension);
                table.load(&query.fixed);
                score(Scorer::Narrow(&table, query.fixed.unit(scale)));
            } else {
                let mut wide = WideTable::default();
                wide.load(&WideQuery::new(query.vector, forward.scaled()), scale);
                score(Scorer::Wide(&wide));
            }
        }
        Ok(scores)
    }
}
