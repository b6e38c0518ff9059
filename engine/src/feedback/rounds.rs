//! The second round of a search with feedback.
//!
//! 1. each channel was searched; one whose own best documents feed back no deeper than they stand (`first`)
//! 2. the documents: the best of a channel's own ranking, or of the fused one, reranked if that is asked for, without
//!    those that the query excludes. A filter and deletions hold as in any search; of a document that was split its best
//!    passage feeds back
//! 3. the queries with what they add  4. these are searched  5. with `before` the one channel is left
//!
//! A way to feed another kind of query back is an arm in [`Snapshot::expand`].

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use quarry_searcher::Hit as Found;

use super::options::{FedChannel, FeedbackCondition, FeedbackPlan};
use crate::EngineError;
use crate::channel::Channel;
use crate::channel_list::{ChannelList, Expanded};
use crate::fusion::FoundOn;
use crate::query::{ChannelQuery, EncodedQuery};
use crate::rerank::RerankOptions;
use crate::rescoring::Rated;
use crate::search::SearchOptions;
use crate::snapshot::Snapshot;
use crate::work::{Results, Work, each, most_excluded, put};

/// A query of the second round, and the place of its channel.
struct Again {
    at: usize,
    expanded: Expanded,
}

impl FeedbackPlan {
    /// How the first round searches a channel, where that is not as without feedback: its own best documents are all
    /// that is wanted. `excluded`: most documents of a query that do not feed back.
    pub(crate) fn first(
        &self,
        channel: Channel,
        excluded: usize,
        options: &SearchOptions,
    ) -> Option<SearchOptions> {
        if let Some(rerank) = &self.reranked {
            let k = rerank.depth.max(self.wanted(excluded));
            return Some(SearchOptions { k, rerank: None, ..options.clone() });
        }
        let own = self.condition == FeedbackCondition::After;
        let fed = self.fed.iter().find(|fed| own && fed.channel == channel)?;
        let k = fed.depth.saturating_add(excluded);
        Some(SearchOptions { k, rerank: None, ..options.clone() }.on(channel))
    }

    /// Documents that are wanted of one ranking for all channels.
    fn wanted(&self, excluded: usize) -> NonZeroUsize {
        let deepest = self.fed.iter().map(|fed| fed.depth).max().unwrap_or(NonZeroUsize::MIN);
        deepest.saturating_add(excluded)
    }
}

impl Snapshot {
    /// Searches again, with what the documents that were found add to the queries.
    pub(crate) fn feed_back(
        &self,
        works: &mut [Result<Work<'_>, EngineError>],
        plan: &FeedbackPlan,
        options: &SearchOptions,
    ) -> Result<(), EngineError> {
        if let Some(rerank) = &plan.reranked {
            self.rerank_first(works, plan, rerank, options)?;
        }
        let asked: Vec<&Work<'_>> = works.iter().flatten().collect();
        let again: Results<(Vec<Again>, Duration)> = each(&asked, |work| {
            let started = Instant::now();
            Ok((self.again(work, plan, options)?, started.elapsed()))
        });
        put(works, again, |work, (again, took)| {
            work.timings.feedback += took;
            for Again { at, expanded } in again {
                work.lists[at].expanded = Some(expanded);
            }
        });
        options.expire()?;
        let alone = plan.condition == FeedbackCondition::Before;
        for fed in &plan.fed {
            let answering = options.clone().on(fed.channel);
            let options = if alone { &answering } else { options };
            let lists = works.iter().flatten().flat_map(|work| &work.lists);
            let lists = lists.filter(|list| list.weighted.channel == fed.channel);
            let asked: Vec<&EncodedQuery> = lists.map(ChannelList::searched).collect();
            let found = self.retrieve(fed.channel, &asked, options)?;
            put(works, found, |work, found| {
                work.timings.second_round += found.took;
                if let Some(list) = of(work, fed.channel) {
                    list.take(found.outcome);
                }
                if alone {
                    work.lists.retain(|list| list.weighted.channel == fed.channel);
                }
            });
        }
        Ok(())
    }

    /// Reranks what the first round found, fused where that is several rankings.
    fn rerank_first(
        &self,
        works: &mut [Result<Work<'_>, EngineError>],
        plan: &FeedbackPlan,
        rerank: &RerankOptions,
        options: &SearchOptions,
    ) -> Result<(), EngineError> {
        let wanted = plan.wanted(most_excluded(works));
        let depth = rerank.depth.max(wanted).get();
        let asked: Vec<&Work<'_>> = works.iter().flatten().collect();
        let fused: Results<Vec<Found>> = each(&asked, |work| {
            let mut found = match work.lists.as_slice() {
                [one] => one.found.clone(),
                lists => {
                    let lists: Vec<FoundOn<'_>> = lists.iter().map(ChannelList::found_on).collect();
                    self.fuse_all(&lists, options)?
                }
            };
            found.truncate(depth);
            Ok(found)
        });
        put(works, fused, |work, found| work.found = found);
        let rated = self.rescore(works, &rerank.params(wanted, options.deadline), options)?;
        put(works, rated, |work, Rated { rescored, took }| {
            work.first = Some(rescored.hits);
            work.timings.feedback += took;
        });
        Ok(())
    }

    /// The queries of the second round.
    fn again(
        &self,
        work: &Work<'_>,
        plan: &FeedbackPlan,
        options: &SearchOptions,
    ) -> Result<Vec<Again>, EngineError> {
        let fused = match (plan.condition, &work.first) {
            (_, Some(reranked)) => Some(reranked.clone()),
            (FeedbackCondition::After, None) => None,
            (FeedbackCondition::Before | FeedbackCondition::Both, None) => {
                let lists: Vec<FoundOn<'_>> =
                    work.lists.iter().map(ChannelList::found_on).collect();
                Some(self.fuse_all(&lists, options)?)
            }
        };
        let mut again = Vec::with_capacity(plan.fed.len());
        for fed in &plan.fed {
            let on = |list: &ChannelList| list.weighted.channel == fed.channel;
            let Some(at) = work.lists.iter().position(on) else { continue };
            let list = &work.lists[at];
            let documents = self.documents(work, fused.as_ref().unwrap_or(&list.found), fed);
            let query = self.expand(&list.encoded.query, &documents, fed, options)?;
            let encoded = EncodedQuery { query, ..list.encoded.clone() };
            again.push(Again { at, expanded: Expanded { encoded, documents } });
        }
        Ok(again)
    }

    /// The best that may feed back.
    fn documents(&self, work: &Work<'_>, found: &[Found], fed: &FedChannel) -> Vec<Found> {
        let excluded = &work.query.excluded;
        let feeds = |hit: &&Found| {
            excluded.is_empty() || !excluded.iter().any(|id| id == self.searcher().id(hit))
        };
        found.iter().filter(feeds).take(fed.depth.get()).copied().collect()
    }

    /// A query with what documents add to it.
    fn expand(
        &self,
        query: &ChannelQuery,
        documents: &[Found],
        fed: &FedChannel,
        options: &SearchOptions,
    ) -> Result<ChannelQuery, EngineError> {
        let searcher = self.searcher();
        Ok(match query {
            ChannelQuery::Sparse(vector) => {
                let encoder = self.encoder().map(AsRef::as_ref);
                let expanded = searcher.rocchio(vector, documents, &fed.expansion, encoder)?;
                ChannelQuery::Sparse(expanded)
            }
            ChannelQuery::Bm25(text) => {
                let expanded = searcher.rm3(text, documents, &fed.expansion, options.deadline)?;
                ChannelQuery::Bm25Weighted(expanded)
            }
            ChannelQuery::Dense(Some(vector)) => {
                let moved = searcher.vector_prf(vector, documents, fed.expansion.weight)?;
                ChannelQuery::Dense(Some(moved))
            }
            ChannelQuery::Dense(None) => ChannelQuery::Dense(None),
            ChannelQuery::Bm25Weighted(_) | ChannelQuery::Maxsim(_) => {
                return Err(EngineError::NoQuery { channel: fed.channel.name() });
            }
        })
    }
}

fn of<'a>(work: &'a mut Work<'_>, channel: Channel) -> Option<&'a mut ChannelList> {
    work.lists.iter_mut().find(|list| list.weighted.channel == channel)
}
