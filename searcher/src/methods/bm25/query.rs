//! A question with the statistics of its words.

use std::time::Instant;

use quarry_index::guarded;
use quarry_index::text::TextIndex;
use tantivy::Term;
use tantivy::fieldnorm::FieldNormReader;
use tantivy::postings::TermInfo;

use crate::error::SearchError;
use crate::options::Options;
use crate::words::WordWeight;

/// Queries of more words leave too little of a sum for the weights of some.
const MOST_WORDS: usize = 8192;
/// Weights outside of this range may leave f32 when they are multiplied.
const WEIGHTS: std::ops::Range<f32> = 1e-30..1e30;

/// A query term with its statistics over the whole index.
#[derive(Debug)]
pub(super) struct WeightedTerm {
    /// Its weight in the query times its idf.
    pub(super) weight: f32,
    /// By text part; `None` where no row has it.
    pub(super) places: Vec<Option<TermInfo>>,
}

/// A question as BM25 sees it.
#[derive(Debug)]
pub(crate) struct Bm25Query {
    pub(super) terms: Vec<WeightedTerm>,
    /// k1 * (1 - b + b * dl / avgdl) by field norm byte.
    pub(super) norms: [f32; 256],
}

impl Bm25Query {
    /// Gathers the statistics of words, of which none stands twice. Those that no document has are left out.
    pub(crate) fn new(
        texts: &[&TextIndex],
        words: &[WordWeight],
        params: &Options<'_>,
    ) -> Result<Self, SearchError> {
        match texts.first() {
            Some(first) => guarded(first.path(), || Self::looked_up(texts, words, params)),
            None => Self::looked_up(texts, words, params),
        }
    }

    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "statistics")]
    fn looked_up(
        texts: &[&TextIndex],
        words: &[WordWeight],
        params: &Options<'_>,
    ) -> Result<Self, SearchError> {
        let (documents, length) = match params.term_stats {
            Some(stats) => {
                stats.include(documents(texts), tokens(texts)?)?;
                (stats.documents as f64, stats.tokens as f64)
            }
            None => (documents(texts), tokens(texts)? as f64),
        };
        let mean = if documents > 0.0 && length > 0.0 { length / documents } else { 1.0 };
        let mut norms = [0.0; 256];
        for (id, norm) in (0u8..=255).zip(norms.iter_mut()) {
            let dl = f64::from(FieldNormReader::id_to_fieldnorm(id));
            let (k1, b) = (f64::from(params.bm25.k1), f64::from(params.bm25.b));
            *norm = (k1 * (1.0 - b + b * dl / mean)) as f32;
        }
        let mut terms = Vec::new();
        for word in words {
            if params.deadline.is_some_and(|d| Instant::now() >= d) {
                return Err(SearchError::Timeout);
            }
            let places = places(texts, &word.word)?;
            let found = places.iter().flatten().map(|p| f64::from(p.doc_freq)).sum();
            let frequency = match params.term_stats {
                Some(stats) => stats.frequency(&word.word, found)?,
                None => found,
            };
            if found > 0.0 && frequency > 0.0 {
                let idf = (1.0 + (documents - frequency + 0.5) / (frequency + 0.5)).ln();
                terms.push(WeightedTerm { weight: (word.weight * idf) as f32, places });
            }
        }
        Ok(Self { terms, norms })
    }

    /// Number of words that some row has.
    pub(super) fn len(&self) -> usize {
        self.terms.len()
    }

    /// The words that a text part has, in query order.
    pub(super) fn of(&self, place: usize) -> impl Iterator<Item = (f32, &TermInfo)> {
        self.terms.iter().filter_map(move |term| {
            Some((term.weight, term.places.get(place).and_then(Option::as_ref)?))
        })
    }

    /// Postings of its words in a text part.
    pub(super) fn postings(&self, place: usize) -> u64 {
        self.of(place).map(|(_, place)| u64::from(place.doc_freq)).sum()
    }

    /// Whether sums of two bytes can bound its scores.
    pub(super) fn can_be_bounded(&self) -> bool {
        let fits = |term: &WeightedTerm| term.weight == 0.0 || WEIGHTS.contains(&term.weight);
        self.terms.len() <= MOST_WORDS && self.terms.iter().all(fits)
    }
}

/// Rows of all segments, deleted ones too.
pub(crate) fn documents(texts: &[&TextIndex]) -> f64 {
    texts.iter().map(|t| f64::from(t.reader().max_doc())).sum()
}

/// Words of the texts of all segments, each as often as it stands there.
pub(crate) fn tokens(texts: &[&TextIndex]) -> Result<u64, SearchError> {
    let mut tokens = 0u64;
    for text in texts {
        let inverted = text.reader().inverted_index(text.fields().contents).map_err(Box::new)?;
        tokens = tokens.saturating_add(inverted.total_num_tokens());
    }
    Ok(tokens)
}

/// Rows that have a word, as it is indexed, deleted ones too. Cost: a dictionary lookup a segment.
pub(crate) fn frequency(texts: &[&TextIndex], word: &str) -> Result<f64, SearchError> {
    let places = places(texts, word)?;
    Ok(places.iter().flatten().map(|place| f64::from(place.doc_freq)).sum())
}

fn places(texts: &[&TextIndex], word: &str) -> Result<Vec<Option<TermInfo>>, SearchError> {
    let mut places = Vec::with_capacity(texts.len());
    for text in texts {
        let field = text.fields().contents;
        let inverted = text.reader().inverted_index(field).map_err(Box::new)?;
        let term = Term::from_field_text(field, word);
        places.push(inverted.get_term_info(&term)?);
    }
    Ok(places)
}
