//! BM25 over tantivy's postings and field norms, with a scorer of our own (tantivy fixes k1 and b).
//!
//! score = sum over distinct query terms of w * idf * tf / (tf + k1 * (1 - b + b * dl / avgdl)),
//! idf = ln(1 + (N - df + 0.5) / (df + 0.5)); w is the term's weight in the query, of a text how often it stands
//! there. N, df and avgdl are summed over all segments, so that scores are comparable across them. dl is tantivy's
//! field norm (one byte, as in Lucene).
//!
//! Term at a time within windows of documents: 1. accumulate each term's postings of the window
//! 2. offer the window's documents  3. next window. Terms are added in query order, so sums are
//! reproducible. Cost: O(postings of the query's terms + documents / window).

use std::time::Instant;

use quarry_index::text::TextIndex;
use quarry_index::{Segment, guarded};
use quarry_vectors::DocId;
use tantivy::fieldnorm::FieldNormReader;
use tantivy::postings::{Postings, SegmentPostings};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocSet, TERMINATED, Term};

use crate::error::SearchError;
use crate::filter::rows::RowSet;
use crate::methods::collect::{Collector, Scored, SegmentHits};
use crate::options::Options;
use crate::outcome::Stats;
use crate::words::WordWeight;

/// Documents accumulated at once: the accumulators fit the first-level cache.
const WINDOW: u32 = 4096;

/// A query term with its statistics over the whole index.
#[derive(Debug)]
pub(crate) struct WeightedTerm {
    term: Term,
    weight: f32,
}

/// A question as BM25 sees it.
#[derive(Debug)]
pub(crate) struct Bm25Query {
    terms: Vec<WeightedTerm>,
    /// k1 * (1 - b + b * dl / avgdl) by field norm byte.
    norms: [f32; 256],
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
        let documents = documents(texts);
        let mut length = 0.0;
        for text in texts {
            let inverted =
                text.reader().inverted_index(text.fields().contents).map_err(Box::new)?;
            length += inverted.total_num_tokens() as f64;
        }
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
            let frequency = frequency(texts, &word.word)?;
            let Some(text) = texts.first().filter(|_| frequency > 0.0) else { continue };
            let term = Term::from_field_text(text.fields().contents, &word.word);
            let idf = (1.0 + (documents - frequency + 0.5) / (frequency + 0.5)).ln();
            terms.push(WeightedTerm { term, weight: (word.weight * idf) as f32 });
        }
        Ok(Self { terms, norms })
    }
}

/// Rows of all segments, deleted ones too.
pub(crate) fn documents(texts: &[&TextIndex]) -> f64 {
    texts.iter().map(|t| f64::from(t.reader().max_doc())).sum()
}

/// Rows that have a word, as it is indexed, deleted ones too. Cost: a dictionary lookup a segment.
pub(crate) fn frequency(texts: &[&TextIndex], word: &str) -> Result<f64, SearchError> {
    let mut frequency = 0.0;
    for text in texts {
        let field = text.fields().contents;
        let inverted = text.reader().inverted_index(field).map_err(Box::new)?;
        frequency += f64::from(inverted.doc_freq(&Term::from_field_text(field, word))?);
    }
    Ok(frequency)
}

pub(crate) fn search(
    of: (&Segment, Option<&RowSet>),
    text: &TextIndex,
    query: &Bm25Query,
    params: &Options<'_>,
    stats: &mut Stats,
) -> Result<SegmentHits, SearchError> {
    guarded(text.path(), || scored(of, text, query, params, stats))
}

fn scored(
    (segment, allowed): (&Segment, Option<&RowSet>),
    text: &TextIndex,
    query: &Bm25Query,
    params: &Options<'_>,
    stats: &mut Stats,
) -> Result<SegmentHits, SearchError> {
    let field = text.fields().contents;
    let inverted = text.reader().inverted_index(field).map_err(Box::new)?;
    let lengths = text.reader().get_fieldnorms_reader(field).map_err(Box::new)?;
    let mut lists: Vec<(SegmentPostings, f32)> = Vec::new();
    for term in &query.terms {
        if let Some(postings) = inverted.read_postings(&term.term, IndexRecordOption::WithFreqs)? {
            lists.push((postings, term.weight));
        }
    }
    let mut collector = Collector::new(params.k.get(), segment.documents());
    let mut scores = vec![0.0f32; WINDOW as usize];
    // Start each window at the next document that any list has: empty stretches cost nothing.
    while let Some(next) = lists.iter().map(|l| l.0.doc()).min().filter(|d| *d != TERMINATED) {
        if params.deadline.is_some_and(|d| Instant::now() >= d) {
            return Err(SearchError::Timeout);
        }
        let start = next - next % WINDOW;
        for (postings, weight) in &mut lists {
            let mut doc = postings.doc();
            while doc < start + WINDOW {
                #[expect(clippy::cast_precision_loss, reason = "term frequencies are small")]
                let tf = postings.term_freq() as f32;
                let norm = query.norms[usize::from(lengths.fieldnorm_id(doc))];
                scores[(doc - start) as usize] += *weight * tf / (tf + norm);
                stats.postings += 1;
                doc = postings.advance();
            }
        }
        for (doc, score) in (start..).zip(scores.iter_mut()) {
            if *score > 0.0 {
                if allowed.is_none_or(|rows| rows.contains(DocId(doc))) {
                    collector.offer(Scored { score: f64::from(*score), doc: DocId(doc) });
                }
                *score = 0.0;
            }
        }
        lists.retain(|l| l.0.doc() != TERMINATED);
    }
    Ok(collector.into_sorted())
}
