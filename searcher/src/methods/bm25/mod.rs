//! BM25 over tantivy's postings and field norms, with scorers of our own (tantivy fixes k1 and b).
//!
//! score = sum over distinct query terms of w * idf * tf / (tf + k1 * (1 - b + b * dl / avgdl)),
//! idf = ln(1 + (N - df + 0.5) / (df + 0.5)); w is the term's weight in the query, of a text how often it stands
//! there. N, df and avgdl are summed over all segments, or given, so that scores are comparable across them. dl is
//! tantivy's field norm (one byte, as in Lucene). Terms are added in query order, in f32, so that sums are
//! reproducible.
//!
//! Two ways with equal results: `postings.rs` scores every posting, `lists.rs` bounds scores by impact-ordered
//! lists and scores the few documents that can be among the best.

mod lists;
mod postings;
mod query;
mod score;
mod target;

use quarry_index::guarded;
use quarry_index::words::WordLists;

use crate::error::SearchError;
use crate::methods::collect::{Scored, SegmentHits};
use crate::methods::impact::ImpactScratch;
use crate::options::{Bm25Options, Options};
use crate::outcome::Stats;
pub(crate) use query::{Bm25Query, documents, frequency, tokens};
use score::Scorer;
pub(crate) use target::Target;

/// The most that bounds may be above the impacts of the lists, where the mean length has changed: with more, nearly
/// every row is a candidate, and scoring one costs more than a posting.
const MOST_GROWTH: f64 = 2.0;

/// Whether lists bound scores with these parameters.
pub(crate) fn fit(lists: &WordLists, params: &Bm25Options) -> bool {
    let meta = lists.meta();
    meta.k1.to_bits() == params.k1.to_bits() && meta.b.to_bits() == params.b.to_bits()
}

/// The scores of rows of a segment, ascending, to the bit as [`search`] gives them: of those that have a word of the
/// query.
pub(crate) fn scores(
    target: &Target<'_>,
    query: &Bm25Query,
    docs: &[u32],
    params: &Options<'_>,
) -> Result<Vec<Scored>, SearchError> {
    guarded(target.text.path(), || {
        let mut scored = Vec::with_capacity(docs.len());
        Scorer::of(target, query, params.deadline)?.score(docs, &mut scored)?;
        Ok(scored)
    })
}

/// The k best of a segment, best first: over its lists where they fit, else over all postings.
pub(crate) fn search(
    target: &Target<'_>,
    query: &Bm25Query,
    params: &Options<'_>,
    scratch: &mut ImpactScratch,
    stats: &mut Stats,
) -> Result<SegmentHits, SearchError> {
    let lists = target.segment.words().filter(|lists| fit(lists, &params.bm25));
    let lists = lists.filter(|lists| {
        query.can_be_bounded() && lists::growth(lists.meta(), &query.norms) <= MOST_GROWTH
    });
    // As many postings as results and terms: the lists save nothing.
    let few = params.k.get().saturating_mul(query.len());
    let many = lists.filter(|_| query.postings(target.place) > few as u64);
    guarded(target.text.path(), || match many {
        Some(words) => lists::search(target, words, query, params, scratch, stats),
        None => postings::search(target, query, params, stats),
    })
}
