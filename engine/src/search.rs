//! What is asked, and what is answered.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use quarry_index::doctable::PassageSpan;
use quarry_searcher::{
    Bm25Options, DenseSearchOptions, Filter, Matched, Method, Options, RerankStats, SearchError,
    SparseOptions, Stats, TermStats,
};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::channel::Channel;
use crate::feedback::{FeedbackOptions, FeedbackPlan};
use crate::fusion::{ChannelWeight, FusionOptions};
use crate::rerank::RerankOptions;
use crate::{EngineError, Query, Warning};

/// How to search: the same for each query of a batch.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SearchOptions {
    /// Results wanted.
    pub k: NonZeroUsize,
    /// What is searched: one channel, or several whose rankings are fused. Their order changes nothing.
    pub channels: Vec<Channel>,
    /// How several channels become one ranking.
    pub fusion: FusionOptions,
    /// Of the sparse channel.
    pub sparse: SparseOptions,
    /// Of the channel bm25.
    pub bm25: Bm25Options,
    /// Statistics that searches by words score with, of several indexes together; without them the index's own.
    /// They need every word of a query, also those that feedback adds.
    pub term_stats: Option<Arc<TermStats>>,
    /// Of the channel dense.
    pub dense: DenseSearchOptions,
    /// Of the channel maxsim: whether the result must equal scoring in fp16.
    pub maxsim_exact: bool,
    /// Which documents may be found, by their other fields, in tantivy's query syntax.
    pub filter: Option<String>,
    /// A second such expression, by itself: documents are found only if both allow them. It is not joined to the text
    /// of the other, so that nothing in that one reaches beyond it.
    pub within: Option<String>,
    /// Stored fields wanted with each hit: `title`, `text` or any other field of the documents.
    pub fields: Vec<String>,
    /// Whether each hit tells its matched tokens, on the sparse channel, and the answer its expanded queries, with
    /// feedback.
    pub explain: bool,
    /// Search again, with what the best documents add to the query.
    pub feedback: Option<FeedbackOptions>,
    /// Rescore what is found.
    pub rerank: Option<RerankOptions>,
    /// When to give up: [`SearchError::Timeout`].
    pub deadline: Option<Instant>,
    /// Set to true from elsewhere, it ends the search at its next stage: [`EngineError::Cancelled`].
    pub cancel: Option<Arc<AtomicBool>>,
    /// Most bytes of the hits of one query, stored fields and matched tokens as JSON; counted while they are
    /// fetched, so that memory has the limit too: [`EngineError::AnswerTooLarge`].
    pub most_bytes: Option<NonZeroUsize>,
}

impl SearchOptions {
    /// The k best of the sparse channel, with the defaults.
    #[must_use]
    pub fn new(k: NonZeroUsize) -> Self {
        Self {
            k,
            channels: vec![Channel::Sparse],
            fusion: FusionOptions::default(),
            sparse: SparseOptions::default(),
            bm25: Bm25Options::default(),
            term_stats: None,
            dense: DenseSearchOptions::default(),
            maxsim_exact: false,
            filter: None,
            within: None,
            fields: Vec::new(),
            explain: false,
            feedback: None,
            rerank: None,
            deadline: None,
            cancel: None,
            most_bytes: None,
        }
    }

    /// The same on another channel.
    #[must_use]
    pub fn on(self, channel: Channel) -> Self {
        Self { channels: vec![channel], ..self }
    }

    /// The same with stored fields.
    #[must_use]
    pub fn with_fields<S: Into<String>>(self, fields: impl IntoIterator<Item = S>) -> Self {
        Self { fields: fields.into_iter().map(Into::into).collect(), ..self }
    }

    /// The same among the documents that a filter allows.
    #[must_use]
    pub fn filtered(self, expression: impl Into<String>) -> Self {
        Self { filter: Some(expression.into()), ..self }
    }

    /// The same with feedback.
    #[must_use]
    pub fn fed_back(self, feedback: FeedbackOptions) -> Self {
        Self { feedback: Some(feedback), ..self }
    }

    /// The same with a second stage.
    #[must_use]
    pub fn reranked(self, rerank: RerankOptions) -> Self {
        Self { rerank: Some(rerank), ..self }
    }

    /// The same on several channels, fused.
    #[must_use]
    pub fn fused(self, channels: impl IntoIterator<Item = Channel>, fusion: FusionOptions) -> Self {
        Self { channels: channels.into_iter().collect(), fusion, ..self }
    }

    /// What each channel counts, in the channels' own order; those with weight 0 are as if absent.
    ///
    /// # Errors
    /// [`EngineError::NotSupported`] without a channel; [`EngineError::RepeatedChannel`];
    /// [`EngineError::NoWeight`]; [`EngineError::WeightWithoutChannel`].
    pub fn weights(&self) -> Result<Vec<ChannelWeight>, EngineError> {
        let mut channels = self.channels.clone();
        channels.sort_unstable();
        if let Some(twice) = channels.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(EngineError::RepeatedChannel { channel: twice[0].name() });
        }
        match channels.as_slice() {
            [] => Err(EngineError::NotSupported { what: "a search needs a channel" }),
            [channel] => Ok(vec![ChannelWeight { channel: *channel, weight: 1.0 }]),
            channels => self.fusion.weights_of(channels),
        }
    }

    /// The channels that are fed back, in the channels' own order; none without feedback.
    ///
    /// # Errors
    /// [`EngineError::Feedback`] where options of feedback do not go with the channels; or as [`Self::weights`].
    pub fn fed_channels(&self) -> Result<Vec<Channel>, EngineError> {
        let plan = self.feedback_plan(&self.weights()?)?;
        Ok(plan.iter().flat_map(|plan| &plan.fed).map(|fed| fed.channel).collect())
    }

    /// What feeds back, with the weights of the channels that are searched.
    pub(crate) fn feedback_plan(
        &self,
        weights: &[ChannelWeight],
    ) -> Result<Option<FeedbackPlan>, EngineError> {
        self.feedback.as_ref().map_or(Ok(None), |feedback| feedback.plan(weights))
    }

    /// What the first stage finds: k, or the candidates of a second stage.
    #[must_use]
    pub fn depth(&self) -> NonZeroUsize {
        self.rerank.map_or(self.k, |rerank| rerank.depth.max(self.k))
    }

    /// What a channel finds: as many, or what is fused.
    #[must_use]
    pub fn channel_depth(&self) -> NonZeroUsize {
        match self.channels.len() {
            0 | 1 => self.depth(),
            _ => self.depth().max(self.fusion.window),
        }
    }

    /// The options of a channel, as the searcher takes them.
    #[must_use]
    pub fn row_options<'a>(&'a self, filter: Option<&'a Filter>) -> Options<'a> {
        Options {
            filter,
            deadline: self.deadline,
            passages: self.weights().is_ok_and(|weights| weights.len() > 1),
            sparse: self.sparse,
            bm25: self.bm25,
            term_stats: self.term_stats.as_deref(),
            dense: self.dense,
            ..Options::new(self.channel_depth())
        }
    }

    /// An error once the time has passed or the search was cancelled.
    pub(crate) fn expire(&self) -> Result<(), EngineError> {
        if self.cancel.as_ref().is_some_and(|cancel| cancel.load(Ordering::Relaxed)) {
            return Err(EngineError::Cancelled);
        }
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(SearchError::Timeout.into()),
            _ => Ok(()),
        }
    }
}

/// A search.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Search {
    /// What is searched for.
    pub query: Query,
    /// How.
    pub options: SearchOptions,
}

impl Search {
    /// A query, and how it is searched.
    #[must_use]
    pub fn new(query: Query, options: SearchOptions) -> Self {
        Self { query, options }
    }

    /// The k best for a text on the sparse channel, with the defaults.
    #[must_use]
    pub fn text(text: impl Into<String>, k: NonZeroUsize) -> Self {
        Self::new(Query::text(text), SearchOptions::new(k))
    }
}

/// A state of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Version {
    /// The index's own id, kept over its generations.
    pub index: Uuid,
    /// The generation.
    pub generation: u64,
}

/// The answer to a query.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Answer {
    /// What was searched.
    pub version: Version,
    /// How vectors were searched, else what the one channel did: never [`Method::Auto`].
    pub method: Method,
    /// Hits, best first.
    pub hits: Vec<Hit>,
    /// With feedback and `explain`: what was searched the second time, by channel.
    pub expanded: Vec<ExpandedQuery>,
    /// Where the time went.
    pub timings: Timings,
    /// What the search did.
    pub stats: Stats,
    /// What the second stage did.
    pub rerank: Option<RerankReport>,
    /// What made the answer poorer than it might have been.
    pub warnings: Vec<Warning>,
}

/// How long each stage took. In a batch, those that run for all queries at once (the second stage, the channel
/// maxsim) are shared out evenly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timings {
    /// Text to vector; zero where a vector or words are searched.
    pub encode: Duration,
    /// The search, of all channels together; with feedback its first round.
    pub retrieve: Duration,
    /// With feedback: from the first round's hits to new queries; reranks them too, if that is asked for.
    pub feedback: Duration,
    /// With feedback: the second round, of all channels that are fed back.
    pub second_round: Duration,
    /// Several channels' rankings to one.
    pub fuse: Duration,
    /// Text to token embeddings, of a second stage.
    pub tokens: Duration,
    /// The second stage.
    pub rerank: Duration,
    /// Stored fields and matched tokens.
    pub fetch: Duration,
}

/// What a second stage did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RerankReport {
    /// What it ran on.
    pub device: String,
    /// Counts.
    pub stats: RerankStats,
}

/// A query with what documents added to it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ExpandedQuery {
    /// The channel that it was searched on.
    pub channel: Channel,
    /// Ids of the documents that fed back, best first.
    pub documents: Vec<String>,
    /// Tokens, or words as they are indexed, heaviest first.
    pub terms: Vec<ExpandedTerm>,
}

/// A term of an expanded query.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ExpandedTerm {
    /// The token, or the word as it is indexed.
    pub token: String,
    /// Its weight: the query's weights have the same sum as before.
    pub weight: f64,
    /// Whether the documents brought it: the query did not have it.
    pub added: bool,
}

impl ExpandedTerm {
    pub(crate) fn new(token: String, weight: f64, added: bool) -> Self {
        Self { token, weight, added }
    }
}

/// A document found.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Hit {
    /// Its place, from 1.
    pub rank: usize,
    /// The collection's own name of the document.
    pub id: String,
    /// What it is ranked by; larger is better.
    pub score: f64,
    /// Its scores and ranks on the channels searched.
    pub channels: ChannelScores,
    /// The second stage's score; none where it has no token embeddings, or there is one stage.
    pub rerank: Option<f64>,
    /// The passage that the hit is, where the document was split; `text` then is the passage's.
    pub passage: Option<PassageSpan>,
    /// The stored fields asked for, as far as the document has them.
    pub fields: Map<String, Value>,
    /// With `explain`: matched tokens, largest contribution first.
    pub matched: Option<Vec<Matched>>,
}

/// Scores and ranks by channel.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct ChannelScores {
    /// Dot product of the vectors.
    pub sparse: Option<Placed>,
    /// BM25.
    pub bm25: Option<Placed>,
    /// MaxSim over all documents.
    pub maxsim: Option<Placed>,
    /// Dot product of the dense vectors.
    pub dense: Option<Placed>,
}

impl ChannelScores {
    pub(crate) fn set(&mut self, channel: Channel, placed: Option<Placed>) {
        match channel {
            Channel::Sparse => self.sparse = placed,
            Channel::Bm25 => self.bm25 = placed,
            Channel::Maxsim => self.maxsim = placed,
            Channel::Dense => self.dense = placed,
        }
    }
}

/// Where a channel put a document.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Placed {
    /// Its place among what the channel found, from 1.
    pub rank: usize,
    /// Its score there.
    pub score: f64,
}

impl Placed {
    pub(crate) fn new(rank: usize, score: f64) -> Self {
        Self { rank, score }
    }
}

/// A stored document.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct StoredDocument {
    /// Where it was read.
    pub version: Version,
    /// The document's version: the number of the change that wrote it, or one of its segment's.
    pub change: u64,
    /// The collection's own name of the document.
    pub id: String,
    /// `title`, `text` and its other fields; empty titles and texts are left out.
    pub fields: Map<String, Value>,
}
