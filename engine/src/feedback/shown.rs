//! Expanded queries, as answers show them.

use quarry_index::text;
use quarry_searcher::{SearchError, Searcher};
use quarry_vectors::TermId;

use crate::EngineError;
use crate::channel_list::ChannelList;
use crate::query::ChannelQuery;
use crate::search::{ExpandedQuery, ExpandedTerm, SearchOptions};

/// What was searched the second time, where that is asked for.
pub(crate) fn expanded_queries(
    searcher: &Searcher,
    lists: &[ChannelList],
    options: &SearchOptions,
) -> Result<Vec<ExpandedQuery>, EngineError> {
    let mut shown = Vec::new();
    for list in lists.iter().filter(|_| options.explain) {
        let Some(expanded) = &list.expanded else { continue };
        let mut terms = match (&list.encoded.query, &expanded.encoded.query) {
            (ChannelQuery::Sparse(before), ChannelQuery::Sparse(after)) => {
                let lexicon = searcher.index().lexicon().ok_or(SearchError::NoSparse)?;
                let term = |(term, weight): (u32, f32)| {
                    let added = before.terms().binary_search(&term).is_err();
                    ExpandedTerm::new(lexicon.token(TermId(term)), weight.into(), added)
                };
                after.iter().map(term).collect()
            }
            (ChannelQuery::Bm25(before), ChannelQuery::Bm25Weighted(after)) => {
                let words = text::words(before);
                let term = |word: &quarry_searcher::WordWeight| {
                    let added = !words.iter().any(|own| own.term == word.word);
                    ExpandedTerm::new(word.word.clone(), word.weight, added)
                };
                after.iter().map(term).collect()
            }
            _ => Vec::new(),
        };
        terms.sort_by(|a: &ExpandedTerm, b| {
            b.weight.total_cmp(&a.weight).then_with(|| a.token.cmp(&b.token))
        });
        let documents = expanded.documents.iter().map(|hit| searcher.id(hit).to_owned());
        let (channel, documents) = (list.weighted.channel, documents.collect());
        shown.push(ExpandedQuery { channel, documents, terms });
    }
    Ok(shown)
}
