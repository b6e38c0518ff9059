//! A query on one channel: what was asked, and what was found.

use quarry_searcher::{Hit, Method, Stats};

use crate::fusion::{ChannelWeight, FoundOn};
use crate::query::EncodedQuery;

/// A query on one channel.
pub(crate) struct ChannelList {
    pub(crate) weighted: ChannelWeight,
    pub(crate) encoded: EncodedQuery,
    /// Best first.
    pub(crate) found: Vec<Hit>,
    pub(crate) method: Method,
    pub(crate) stats: Stats,
}

impl ChannelList {
    /// Before it is searched.
    pub(crate) fn new(weighted: ChannelWeight, encoded: EncodedQuery) -> Self {
        let (method, stats) = (Method::Exact, Stats::default());
        Self { weighted, encoded, found: Vec::new(), method, stats }
    }

    /// As fusion takes it.
    pub(crate) fn found_on(&self) -> FoundOn<'_> {
        FoundOn { weighted: self.weighted, query: &self.encoded, hits: &self.found }
    }
}

/// What all channels did.
pub(crate) fn all_stats(lists: &[ChannelList]) -> Stats {
    let mut all = Stats::default();
    for list in lists {
        all.documents_scored += list.stats.documents_scored;
        all.blocks_estimated += list.stats.blocks_estimated;
        all.blocks_visited += list.stats.blocks_visited;
        all.postings += list.stats.postings;
    }
    all
}
