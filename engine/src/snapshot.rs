//! One generation of an index with its models, and the stages of a search over it.
//!
//! 1. encode: the query in the form that the channel searches (`query`)
//! 2. retrieve: the k best, or the candidates of a second stage; of several channels each its own, then fused
//!    (`fusion/`); with feedback in two rounds (`feedback/`)
//! 3. rerank: the candidates rescored, if that is asked for (`rerank`, `rescoring`)
//! 4. fetch: ids, stored fields, matched tokens (`hits`)
//!
//! [`Snapshot::search`] and [`Snapshot::search_batch`] run all of them; who measures stages, or wants places
//! in place of documents, runs them one by one. Everything is synchronous, and may block on the disk or an encoder.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quarry_index::Index;
use quarry_searcher::{
    ChannelQuery as RowQuery, Hit as Found, MaxsimOptions, Method, Options as RowOptions, Outcome,
    SearchError, Searcher, Stats, TermStats,
};
use quarry_vectors::{EncodeDense, EncodeQuery};
use rayon::prelude::*;

use crate::channel::Channel;
use crate::channel_list::{ChannelList, all_stats, method};
use crate::dense;
use crate::feedback::{FeedbackPlan, expanded_queries};
use crate::filters::Filters;
use crate::fusion::{ChannelWeight, FoundOn, of_channels};
use crate::hits::{HitContext, all_fields};
use crate::query::{ChannelQuery, EncodedQuery, index_vector};
use crate::rerank::{SecondStage, by_query};
use crate::search::{Answer, Search, SearchOptions, StoredDocument, Version};
use crate::work::{Asked, Results, Work, each, most_excluded, put, share};
use crate::{EngineError, Query, Warning, WarningKind, words};

/// What a snapshot is made of.
pub(crate) struct Parts {
    pub(crate) searcher: Searcher,
    pub(crate) encoder: Option<Arc<dyn EncodeQuery>>,
    /// The model that texts need, where it was not given.
    pub(crate) needs: Option<String>,
    pub(crate) second: Option<SecondStage>,
    /// Why texts have no token embeddings, where there are some.
    pub(crate) tokens_lack: Option<EngineError>,
    /// What makes dense vectors of texts.
    pub(crate) dense: Option<Arc<dyn EncodeDense>>,
    /// Why texts have no dense vector, where the index has some.
    pub(crate) dense_lacks: Option<EngineError>,
}

/// One generation of an index, open with its models.
pub struct Snapshot {
    parts: Parts,
    version: Version,
    filters: Filters,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("version", &self.version).finish_non_exhaustive()
    }
}

/// What the first stage found.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Retrieved {
    /// Hits by their place in the index, best first.
    pub outcome: Outcome,
    /// How long that took; in a batch of the channel maxsim a share of all of it.
    pub took: Duration,
}

/// What the first stage found on all channels.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FirstStage {
    /// Hits by their place in the index, best first.
    pub outcome: Outcome,
    /// What was searched last on each channel that gave hits: with feedback the expanded queries.
    pub searched: Vec<EncodedQuery>,
}

impl Snapshot {
    pub(crate) fn new(parts: Parts) -> Self {
        let manifest = parts.searcher.index().manifest();
        let version = Version { index: manifest.uuid, generation: manifest.generation };
        Self { parts, version, filters: Filters::default() }
    }

    /// The state of the index that is searched.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The index.
    #[must_use]
    pub fn index(&self) -> &Arc<Index> {
        self.parts.searcher.index()
    }

    /// The searcher, for who wants more than options can say.
    #[must_use]
    pub fn searcher(&self) -> &Searcher {
        &self.parts.searcher
    }

    /// The filters that were made lately.
    pub(crate) fn filters(&self) -> &Filters {
        &self.filters
    }

    /// What turns the text of queries into vectors, if something does.
    #[must_use]
    pub fn encoder(&self) -> Option<&Arc<dyn EncodeQuery>> {
        self.parts.encoder.as_ref()
    }

    /// The model through whose network texts go, where it was not given.
    #[must_use]
    pub fn needs(&self) -> Option<&str> {
        self.parts.needs.as_deref()
    }

    /// What turns the text of queries into dense vectors, if something does.
    #[must_use]
    pub fn dense_encoder(&self) -> Option<&Arc<dyn EncodeDense>> {
        self.parts.dense.as_ref()
    }

    /// Why queries must bring their dense vector though a model was named.
    #[must_use]
    pub fn dense_lacks(&self) -> Option<&EngineError> {
        self.parts.dense_lacks.as_ref()
    }

    /// What scores token embeddings, where they were opened.
    #[must_use]
    pub fn second_stage(&self) -> Option<&SecondStage> {
        self.parts.second.as_ref()
    }

    /// Why queries must bring their token embeddings though a model was named.
    #[must_use]
    pub fn tokens_lack(&self) -> Option<&EngineError> {
        self.parts.tokens_lack.as_ref()
    }

    /// Answers a search, on the caller's thread.
    ///
    /// # Errors
    /// When the query is in no form that the channel can search, the options are out of range or ask what this
    /// index cannot do, the deadline passes, or an encoder or the index's files fail. Names that the index does not
    /// know are no error: the answer warns of them.
    pub fn search(&self, search: &Search) -> Result<Answer, EngineError> {
        let queries = std::slice::from_ref(&search.query);
        self.search_batch(queries, &search.options)?.pop().unwrap_or(Err(EngineError::NoAnswer))
    }

    /// Answers many queries over all cores (rayon's pool), in the order given, each with its own error.
    ///
    /// # Errors
    /// As [`Self::search`], of what concerns all of them: the options and the filter.
    pub fn search_batch(
        &self,
        queries: &[Query],
        options: &SearchOptions,
    ) -> Result<Results<Answer>, EngineError> {
        let works = self.works(queries, options)?;
        let answer = |work: Result<Work<'_>, EngineError>| self.answer(work?, options);
        Ok(match works.len() {
            1 => works.into_iter().map(answer).collect(),
            _ => works.into_par_iter().map(answer).collect(),
        })
    }

    /// Stages 1 to 3 of queries.
    pub(crate) fn works<'q>(
        &self,
        queries: &'q [Query],
        options: &SearchOptions,
    ) -> Result<Results<Work<'q>>, EngineError> {
        let weights = options.weights()?;
        let plan = options.feedback_plan(&weights)?;
        let reranks_first = plan.as_ref().is_some_and(|plan| plan.reranked.is_some());
        if options.rerank.is_some() || reranks_first {
            self.check_rescoring(&weights)?;
        }
        let mut works: Results<Work<'q>> =
            queries.iter().map(|query| Ok(Work::new(query))).collect();
        for weighted in &weights {
            let asked: Vec<&Query> = works.iter().flatten().map(|work| work.query).collect();
            let encoded = self.encode_unless(&asked, weighted.channel, &|| options.expire());
            put(&mut works, encoded, |work, encoded| {
                work.timings.encode += encoded.took;
                work.lists.push(ChannelList::new(*weighted, encoded));
            });
        }
        if works.iter().any(Result::is_ok) {
            options.expire()?;
            self.retrieve_all(&mut works, &weights, plan.as_ref(), options)?;
            self.rescore_all(&mut works, options)?;
        }
        Ok(works)
    }

    /// Stage 1: each query in the form that a channel searches, over all cores; token embeddings one query
    /// after another, since a token model takes all cores itself.
    pub fn encode<Q: Borrow<Query> + Sync>(
        &self,
        queries: &[Q],
        channel: Channel,
    ) -> Results<EncodedQuery> {
        self.encode_unless(queries, channel, &|| Ok(()))
    }

    /// The same until `expired` gives an error, which the queries get that are left.
    fn encode_unless<Q: Borrow<Query> + Sync>(
        &self,
        queries: &[Q],
        channel: Channel,
        expired: &(dyn Fn() -> Result<(), EngineError> + Sync),
    ) -> Results<EncodedQuery> {
        let one = |query: &Q| {
            expired()?;
            let started = Instant::now();
            self.encode_one(query.borrow(), channel, started)
        };
        match channel {
            Channel::Maxsim => queries.iter().map(one).collect(),
            _ => each(queries, one),
        }
    }

    fn encode_one(
        &self,
        query: &Query,
        channel: Channel,
        started: Instant,
    ) -> Result<EncodedQuery, EngineError> {
        let (asked, unknown, of_text) = match channel {
            Channel::Sparse => {
                let encoder = self.encoder().map(AsRef::as_ref);
                let found = index_vector(self.index(), encoder, query);
                let found = found.map_err(|error| self.names_its_model(error))?;
                (ChannelQuery::Sparse(found.vector), found.unknown, query.sparse.is_none())
            }
            Channel::Bm25 => {
                let text =
                    query.text.clone().ok_or(EngineError::NoQuery { channel: channel.name() })?;
                (ChannelQuery::Bm25(text), Vec::new(), false)
            }
            Channel::Maxsim => {
                let second = self.second_stage().ok_or(SearchError::NoTokens)?;
                // A model embeds the blank text, too: its rows stand for no word.
                let blank = query.tokens.is_none()
                    && query.sparse.is_none()
                    && query.text.as_ref().is_some_and(|text| text.trim().is_empty());
                let rows = if blank { None } else { Some(second.rows(query)?) };
                (ChannelQuery::Maxsim(rows), Vec::new(), query.tokens.is_none())
            }
            Channel::Dense => {
                let encoder = self.dense_encoder().map(AsRef::as_ref);
                let vector = dense::index_vector(self.index(), encoder, query)?;
                (ChannelQuery::Dense(vector), Vec::new(), query.dense.is_none())
            }
        };
        let took = if of_text { started.elapsed() } else { Duration::ZERO };
        Ok(EncodedQuery { query: asked, unknown, of_text, took })
    }

    /// Where a text needs a model that was not given, the error names it.
    fn names_its_model(&self, error: EngineError) -> EngineError {
        match (error, self.needs()) {
            (EngineError::NoQueryEncoder, Some(model)) => {
                EngineError::NeedsModel { model: model.to_owned() }
            }
            (error, _) => error,
        }
    }

    /// Stage 2: the [`SearchOptions::channel_depth`] best of a channel for each query, over all cores, in the
    /// order given.
    ///
    /// # Errors
    /// Of what concerns all queries: the filter, or what the channel cannot do.
    pub fn retrieve<Q: Borrow<EncodedQuery> + Sync>(
        &self,
        channel: Channel,
        queries: &[Q],
        options: &SearchOptions,
    ) -> Result<Results<Retrieved>, EngineError> {
        if channel == Channel::Maxsim && (options.filter.is_some() || options.within.is_some()) {
            let what = "the channel maxsim scores every document and takes no filter";
            return Err(EngineError::NotSupported { what });
        }
        if channel == Channel::Maxsim {
            options.expire()?;
            return self.maxsim(queries, options);
        }
        let asked: Vec<Asked<'_>> =
            queries.iter().map(|query| Asked { encoded: query.borrow(), seeds: &[] }).collect();
        self.retrieve_from(channel, &asked, options)
    }

    /// [`Self::retrieve`] of another channel than maxsim; walks over a graph begin at the queries' seeds too.
    fn retrieve_from(
        &self,
        channel: Channel,
        queries: &[Asked<'_>],
        options: &SearchOptions,
    ) -> Result<Results<Retrieved>, EngineError> {
        let started = Instant::now();
        let searcher = self.searcher();
        let filter = self.filters.both(searcher, options)?;
        let filter = filter.as_deref();
        options.expire()?;
        let filtering = if filter.is_some() { started.elapsed() } else { Duration::ZERO };
        let row_options = options.row_options(filter);
        Ok(each(queries, |query| {
            options.expire()?;
            let started = Instant::now();
            let encoded = query.encoded;
            let Some(query) = encoded.of_rows(query.seeds) else {
                return match &encoded.query {
                    ChannelQuery::Maxsim(_) => {
                        Err(EngineError::NoQuery { channel: channel.name() })
                    }
                    _ => Ok(Retrieved { outcome: nothing(), took: filtering }),
                };
            };
            let outcome = searcher.search(&query, &row_options)?;
            Ok(Retrieved { outcome, took: filtering + started.elapsed() })
        }))
    }

    /// All queries at once, as a GPU wants them.
    fn maxsim<Q: Borrow<EncodedQuery>>(
        &self,
        queries: &[Q],
        options: &SearchOptions,
    ) -> Result<Results<Retrieved>, EngineError> {
        let second = self.second_stage().ok_or(SearchError::NoTokens)?;
        let maxsim =
            MaxsimOptions { reranker: second.reranker().as_ref(), exact: options.maxsim_exact };
        let row_options = RowOptions { maxsim: Some(maxsim), ..options.row_options(None) };
        let rows = |query: &Q| match &query.borrow().query {
            ChannelQuery::Maxsim(rows) => Ok(rows.is_some()),
            _ => Err(EngineError::NoQuery { channel: Channel::Maxsim.name() }),
        };
        let kinds: Results<bool> = queries.iter().map(rows).collect();
        let asked: Vec<_> = queries
            .iter()
            .filter_map(|query| match &query.borrow().query {
                ChannelQuery::Maxsim(rows) => rows.as_ref().map(RowQuery::Tokens),
                _ => None,
            })
            .collect();
        let started = Instant::now();
        let run = |asked: &[_]| Ok(self.searcher().search_batch(asked, &row_options)?);
        let mut found =
            if asked.is_empty() { Vec::new() } else { by_query(&asked, run) }.into_iter();
        let took = share(started.elapsed(), asked.len());
        let one = |has_rows: Result<bool, EngineError>| {
            let outcome = match has_rows? {
                true => found.next().unwrap_or(Err(EngineError::NoAnswer))?,
                false => nothing(),
            };
            Ok(Retrieved { outcome, took })
        };
        Ok(kinds.into_iter().map(one).collect())
    }

    /// Stage 2 of several channels: what they found of one query becomes one ranking, the
    /// [`SearchOptions::depth`] best.
    ///
    /// # Errors
    /// [`EngineError::NotAboveZero`].
    pub fn fuse(
        &self,
        found: &[FoundOn<'_>],
        options: &SearchOptions,
    ) -> Result<Vec<Found>, EngineError> {
        let mut fused = self.fuse_all(found, options)?;
        fused.truncate(options.depth().get());
        Ok(fused)
    }

    /// [`Self::fuse`], and all that the channels found.
    pub(crate) fn fuse_all(
        &self,
        found: &[FoundOn<'_>],
        options: &SearchOptions,
    ) -> Result<Vec<Found>, EngineError> {
        of_channels(self.searcher(), found, (&options.fusion, &options.row_options(None)))
    }

    /// Stage 2 of queries that are encoded: all channels, feedback and fusion, without reranking what is found. `encoded` has the
    /// queries of each channel of [`SearchOptions::weights`], in the order of both.
    ///
    /// # Errors
    /// As [`Self::search_batch`].
    pub fn first_stage(
        &self,
        queries: &[Query],
        encoded: Vec<Vec<EncodedQuery>>,
        options: &SearchOptions,
    ) -> Result<Results<FirstStage>, EngineError> {
        let weights = options.weights()?;
        let plan = options.feedback_plan(&weights)?;
        if plan.as_ref().is_some_and(|plan| plan.reranked.is_some()) {
            self.check_rescoring(&weights)?;
        }
        let mut works: Results<Work<'_>> =
            queries.iter().map(|query| Ok(Work::new(query))).collect();
        for (weighted, encoded) in weights.iter().zip(encoded) {
            put(&mut works, encoded.into_iter().map(Ok).collect(), |work, encoded| {
                work.lists.push(ChannelList::new(*weighted, encoded));
            });
        }
        self.retrieve_all(&mut works, &weights, plan.as_ref(), options)?;
        let done = |work: Result<Work<'_>, EngineError>| {
            let Work { lists, found: hits, .. } = work?;
            let (method, stats) = (method(&lists), all_stats(&lists));
            let searched = lists.into_iter().map(ChannelList::into_searched).collect();
            Ok(FirstStage { outcome: Outcome { hits, method, stats }, searched })
        };
        Ok(works.into_iter().map(done).collect())
    }

    fn retrieve_all(
        &self,
        works: &mut [Result<Work<'_>, EngineError>],
        weights: &[ChannelWeight],
        plan: Option<&FeedbackPlan>,
        options: &SearchOptions,
    ) -> Result<(), EngineError> {
        let excluded = most_excluded(works);
        for (at, weighted) in weights.iter().enumerate() {
            let first = plan.and_then(|plan| plan.first(weighted.channel, excluded, options));
            let options = first.as_ref().unwrap_or(options);
            let found = match weighted.channel {
                Channel::Dense => {
                    let asked = works.iter().flatten().map(|work| Asked::after(work, at));
                    self.retrieve_from(Channel::Dense, &asked.collect::<Vec<_>>(), options)?
                }
                channel => {
                    let lists = works.iter().flatten().map(|work| &work.lists[at].encoded);
                    self.retrieve(channel, &lists.collect::<Vec<_>>(), options)?
                }
            };
            put(works, found, |work, Retrieved { outcome, took }| {
                work.lists[at].take(outcome);
                work.timings.retrieve += took;
            });
        }
        if let Some(plan) = plan {
            self.feed_back(works, plan, options)?;
        }
        let fuse = |work: &Work<'_>| match work.lists.as_slice() {
            [one] => Ok((
                one.found.iter().take(options.depth().get()).copied().collect(),
                Duration::ZERO,
            )),
            lists => {
                let started = Instant::now();
                let found: Vec<FoundOn<'_>> = lists.iter().map(ChannelList::found_on).collect();
                Ok((self.fuse(&found, options)?, started.elapsed()))
            }
        };
        let asked: Vec<&Work<'_>> = works.iter().flatten().collect();
        let fused: Results<(Vec<Found>, Duration)> = each(&asked, |work| fuse(work));
        put(works, fused, |work, (found, took)| {
            work.found = found;
            work.timings.fuse = took;
        });
        Ok(())
    }

    /// Stage 4, and what there is to warn of.
    fn answer(&self, work: Work<'_>, options: &SearchOptions) -> Result<Answer, EngineError> {
        let Work { lists, found, rescored, mut timings, .. } = work;
        let mut warnings = Vec::new();
        for list in &lists {
            warnings.extend(self.warnings(&list.encoded, options)?);
        }
        let started = Instant::now();
        let context = HitContext {
            searcher: self.searcher(),
            options,
            lists: &lists,
            rescored: rescored.is_some(),
        };
        if rescored.is_some() {
            warnings.extend(self.without_tokens(&found));
        }
        let expanded = expanded_queries(self.searcher(), &lists, options)?;
        let hits = context.hits(rescored.as_ref().map_or(&found, |rescored| &rescored.hits))?;
        warnings.extend(context.unknown_fields(&hits));
        timings.fetch = started.elapsed();
        let rerank = rescored.map(|rescored| rescored.report);
        let (version, method, stats) = (self.version, method(&lists), all_stats(&lists));
        Ok(Answer { version, method, hits, expanded, timings, stats, rerank, warnings })
    }

    /// What of a query the index does not know.
    fn warnings(
        &self,
        encoded: &EncodedQuery,
        options: &SearchOptions,
    ) -> Result<Vec<Warning>, EngineError> {
        let (unknown, kinds, empty) = match &encoded.query {
            ChannelQuery::Maxsim(_) | ChannelQuery::Dense(_) => return Ok(Vec::new()),
            ChannelQuery::Sparse(vector) => {
                let kinds = match encoded.of_text {
                    true => (WarningKind::UnknownTerms, WarningKind::EmptyText),
                    false => (WarningKind::UnknownTokens, WarningKind::EmptyVector),
                };
                (encoded.unknown.clone(), kinds, vector.is_empty())
            }
            ChannelQuery::Bm25Weighted(_) => return Ok(self.every_posting(options).collect()),
            ChannelQuery::Bm25(text) => {
                let words = words::look_up(self.index(), text, options)?;
                let kinds = (WarningKind::UnknownWords, WarningKind::EmptyWords);
                (words.unknown, kinds, !words.any_known)
            }
        };
        let unknown = Warning::of(kinds.0, unknown);
        let mut warnings: Vec<Warning> = unknown.into_iter().collect();
        warnings.extend(empty.then(|| Warning::empty(kinds.1)));
        if matches!(encoded.query, ChannelQuery::Bm25(_)) {
            warnings.extend(self.every_posting(options));
        }
        Ok(warnings)
    }

    /// Lists of words that k1 and b do not fit are passed over, and that is said.
    fn every_posting(&self, options: &SearchOptions) -> impl Iterator<Item = Warning> {
        let fit = self.searcher().lists_fit(&options.bm25);
        (!fit).then(|| Warning::empty(WarningKind::EveryPosting)).into_iter()
    }

    /// Candidates whose segment has no token embeddings are not rescored, and that is said.
    fn without_tokens(&self, candidates: &[Found]) -> Option<Warning> {
        let searcher = self.searcher();
        let lacking = candidates.iter().filter(|hit| !searcher.has_tokens(hit));
        let ids = lacking.map(|hit| searcher.id(hit).to_owned()).collect();
        Warning::of(WarningKind::NoTokens, ids)
    }

    /// This index's statistics of the words of a text, to be added to those of others and given to searches of each:
    /// [`SearchOptions::term_stats`].
    ///
    /// # Errors
    /// When the index has no text, or it cannot be read.
    pub fn term_stats(&self, text: &str) -> Result<TermStats, EngineError> {
        Ok(self.searcher().term_stats(&RowQuery::Words(text))?)
    }

    /// A stored document, whole, by the collection's own name of it.
    ///
    /// # Errors
    /// [`EngineError::UnknownDocument`]; [`EngineError::NothingStored`]; or when the index's files cannot be read.
    pub fn document(&self, id: &str) -> Result<StoredDocument, EngineError> {
        let hit = self.searcher().find(id);
        let hit = hit.ok_or_else(|| EngineError::UnknownDocument { id: id.to_owned() })?;
        let stored = self.searcher().stored_whole(&hit)?.ok_or(EngineError::NothingStored)?;
        let change = self.index().segments()[hit.segment].version(hit.doc);
        let fields = all_fields(stored);
        Ok(StoredDocument { version: self.version, change, id: id.to_owned(), fields })
    }

    /// The version of a document: the number of the change that wrote it, or one of its segment's
    /// ([`quarry_index::versions`]). `None` if it is not there. Cost: a search for its id in each segment.
    #[must_use]
    pub fn version_of(&self, id: &str) -> Option<u64> {
        let hit = self.searcher().find(id)?;
        Some(self.index().segments()[hit.segment].version(hit.doc))
    }

    /// [`Self::document`] among the documents that a filter allows; another one is as if it were not there.
    ///
    /// # Errors
    /// As [`Self::document`], and those of the filter.
    pub fn document_within(&self, id: &str, filter: &str) -> Result<StoredDocument, EngineError> {
        // Made first, so that its errors tell nothing of the document.
        let filter = self.filters.get(self.searcher(), filter, None)?;
        match self.searcher().find(id) {
            Some(hit) if filter.allows(&hit) => self.document(id),
            _ => Err(EngineError::UnknownDocument { id: id.to_owned() }),
        }
    }
}

/// What a blank text finds.
fn nothing() -> Outcome {
    Outcome { hits: Vec::new(), method: Method::Scan, stats: Stats::default() }
}
