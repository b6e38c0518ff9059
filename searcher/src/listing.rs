//! All documents of an index, without a query.

use quarry_vectors::DocId;

use crate::filter::Filter;
use crate::outcome::Hit;
use crate::searcher::Searcher;

impl Searcher {
    /// The documents that a filter allows, or all, without those deleted: one place each, that of the first passage
    /// where texts were split, in the order of segments and rows. Their scores are 0. Cost: a look at each row.
    pub fn documents_of<'a>(
        &'a self,
        filter: Option<&'a Filter>,
    ) -> impl Iterator<Item = Hit> + 'a {
        self.index().segments().iter().enumerate().flat_map(move |(segment, part)| {
            let (documents, allowed) = (part.documents(), self.allowed(segment, filter));
            let rows = u32::try_from(documents.len()).unwrap_or(u32::MAX);
            let is_first = |doc: &DocId| documents.passage(*doc).is_none_or(|p| p.ordinal == 0);
            (0..rows)
                .map(DocId)
                .filter(move |doc| allowed.is_none_or(|allowed| allowed.contains(*doc)))
                .filter(is_first)
                .map(move |doc| Hit { segment, doc, score: 0.0 })
        })
    }
}
