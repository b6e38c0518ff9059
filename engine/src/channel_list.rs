//! A query on one channel, with its hits.

use quarry_searcher::{Hit, Method, Outcome, Stats};

use crate::fusion::{ChannelWeight, FoundOn};
use crate::query::EncodedQuery;

/// A query that documents added to.
pub(crate) struct Expanded {
    pub(crate) encoded: EncodedQuery,
    /// Those documents.
    pub(crate) documents: Vec<Hit>,
}

/// A query on one channel.
pub(crate) struct ChannelList {
    pub(crate) weighted: ChannelWeight,
    pub(crate) encoded: EncodedQuery,
    /// With feedback: what was searched the second time.
    pub(crate) expanded: Option<Expanded>,
    /// Best first.
    pub(crate) found: Vec<Hit>,
    pub(crate) method: Method,
    pub(crate) stats: Stats,
}

impl ChannelList {
    /// Before it is searched.
    pub(crate) fn new(weighted: ChannelWeight, encoded: EncodedQuery) -> Self {
        let (method, stats) = (Method::Exact, Stats::default());
        Self { weighted, encoded, expanded: None, found: Vec::new(), method, stats }
    }

    /// What was searched last.
    pub(crate) fn searched(&self) -> &EncodedQuery {
        self.expanded.as_ref().map_or(&self.encoded, |expanded| &expanded.encoded)
    }

    /// The same, of a list that is done with.
    pub(crate) fn into_searched(self) -> EncodedQuery {
        self.expanded.map_or(self.encoded, |expanded| expanded.encoded)
    }

    /// Takes what a search found.
    pub(crate) fn take(&mut self, outcome: Outcome) {
        (self.found, self.method) = (outcome.hits, outcome.method);
        add(&mut self.stats, &outcome.stats);
    }

    /// The list in the form that fusion takes.
    pub(crate) fn found_on(&self) -> FoundOn<'_> {
        FoundOn { weighted: self.weighted, query: self.searched(), hits: &self.found }
    }
}

/// How vectors were searched, else what the one channel did: channels stand in their own order, sparse first.
pub(crate) fn method(lists: &[ChannelList]) -> Method {
    lists.first().map_or(Method::Exact, |list| list.method)
}

/// The statistics of all channels, added up.
pub(crate) fn all_stats(lists: &[ChannelList]) -> Stats {
    let mut all = Stats::default();
    lists.iter().for_each(|list| add(&mut all, &list.stats));
    all
}

fn add(all: &mut Stats, stats: &Stats) {
    all.documents_scored += stats.documents_scored;
    all.blocks_estimated += stats.blocks_estimated;
    all.blocks_visited += stats.blocks_visited;
    all.postings += stats.postings;
}
