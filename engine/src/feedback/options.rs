//! What feeds back, and how much: the choices.

use std::num::NonZeroUsize;

use quarry_searcher::{Expansion, SearchError};

use crate::EngineError;
use crate::channel::Channel;
use crate::fusion::ChannelWeight;
use crate::rerank::RerankOptions;

/// Most documents that feed back.
pub const MOST_FEEDBACK_DEPTH: usize = 100;
/// Documents that feed back by vectors, which an encoder has expanded already.
const SPARSE_DEPTH: usize = 3;
/// Documents that feed back by words.
const BM25_DEPTH: usize = 10;
/// Documents that feed back by dense vectors, whose mean soon means nothing.
const DENSE_DEPTH: usize = 2;
/// Terms that are taken of them.
const TERMS: usize = 20;
/// Share of the new query that is theirs, by vectors.
const SPARSE_WEIGHT: f64 = 0.2;
/// The same by words.
const BM25_WEIGHT: f64 = 0.3;
/// The same by dense vectors.
const DENSE_WEIGHT: f64 = 0.4;

/// Where feedback stands beside fusion, as Li et al. (SIGIR 2022) name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum FeedbackCondition {
    /// Fusion after feedback: the documents of each channel's own ranking feed it back, then all channels are fused. With
    /// one channel, plain feedback.
    #[default]
    After,
    /// Fusion before feedback: documents of the fused ranking feed one channel back, which answers alone.
    Before,
    /// Both: documents of the fused ranking feed back, and all channels are fused again.
    Both,
}

impl FeedbackCondition {
    /// Its name in commands and requests.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::After => "after",
            Self::Before => "before",
            Self::Both => "both",
        }
    }
}

/// How documents feed back.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FeedbackOptions {
    /// Whose documents feed back, and what is answered.
    pub condition: FeedbackCondition,
    /// Documents that feed back, 0 to [`MOST_FEEDBACK_DEPTH`]; with 0 there is no feedback. `None`: 3 by sparse
    /// vectors, 10 by words, 2 by dense vectors.
    pub depth: Option<usize>,
    /// Channels that are fed back; empty: all that are searched and can be. With `before` the one that answers.
    pub channels: Vec<Channel>,
    /// What they add to vectors: 20 terms with a weight of 0.2 unless set.
    pub sparse: Expansion,
    /// What they add to words: 20 terms with a weight of 0.3 unless set.
    pub bm25: Expansion,
    /// Share of the documents' mean in a dense vector, 0 to 1: 0.4 unless set.
    pub dense: f64,
    /// Rerank the first round so before its best documents feed back: those of the fused ranking, so with several
    /// channels not with [`FeedbackCondition::After`]. `None`: documents feed back as they were found.
    pub reranked: Option<RerankOptions>,
}

impl Default for FeedbackOptions {
    fn default() -> Self {
        let terms = NonZeroUsize::new(TERMS).unwrap_or(NonZeroUsize::MIN);
        Self {
            condition: FeedbackCondition::default(),
            depth: None,
            channels: Vec::new(),
            sparse: Expansion { terms, weight: SPARSE_WEIGHT },
            bm25: Expansion { terms, weight: BM25_WEIGHT },
            dense: DENSE_WEIGHT,
            reranked: None,
        }
    }
}

/// What feeds back in a search.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FeedbackPlan {
    pub(crate) condition: FeedbackCondition,
    /// In the channels' own order.
    pub(crate) fed: Vec<FedChannel>,
    /// How the first round is reranked, where it is.
    pub(crate) reranked: Option<RerankOptions>,
}

/// A channel that is fed back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct FedChannel {
    pub(crate) channel: Channel,
    pub(crate) depth: NonZeroUsize,
    pub(crate) expansion: Expansion,
}

impl FeedbackOptions {
    /// The same by another condition.
    #[must_use]
    pub fn by(self, condition: FeedbackCondition) -> Self {
        Self { condition, ..self }
    }

    /// The same with a first round that is reranked.
    #[must_use]
    pub fn from_reranked(self, rerank: RerankOptions) -> Self {
        Self { reranked: Some(rerank), ..self }
    }

    /// Whether and how this feeds the channels that are searched back; `None` with depth 0.
    pub(crate) fn plan(
        &self,
        searched: &[ChannelWeight],
    ) -> Result<Option<FeedbackPlan>, EngineError> {
        let refuse = |option, what: String| Err(EngineError::Feedback { option, what });
        if let Some(depth) = self.depth.filter(|depth| *depth > MOST_FEEDBACK_DEPTH) {
            return refuse("depth", format!("depth {depth} is not 0 to {MOST_FEEDBACK_DEPTH}"));
        }
        for expansion in [self.sparse, self.bm25, self.mean()] {
            if let Err(SearchError::Param { name, found, expected }) = expansion.check() {
                return refuse(name, format!("{name} {found} is not {expected}"));
            }
        }
        let condition = self.condition.name();
        if self.condition != FeedbackCondition::After && searched.len() < 2 {
            let what = format!(
                "`{condition}` feeds back from the fused ranking of several channels; one channel is searched, which `after` \
                 feeds back"
            );
            return refuse("condition", what);
        }
        if self.reranked.is_some()
            && self.condition == FeedbackCondition::After
            && searched.len() > 1
        {
            let what = format!(
                "`{condition}` feeds each channel back from its own ranking, and what is reranked is the fused one: take \
                 `both`, or `before`"
            );
            return refuse("condition", what);
        }
        let mut channels = self.channels.clone();
        channels.sort_unstable();
        if let Some(twice) = channels.windows(2).find(|pair| pair[0] == pair[1]) {
            return refuse("channels", format!("the channel {} is named twice", twice[0].name()));
        }
        if let Some(other) = channels.iter().find(|c| !searched.iter().any(|s| s.channel == **c)) {
            return refuse("channels", format!("the channel {} is not searched", other.name()));
        }
        if channels.is_empty() {
            channels.extend(searched.iter().map(|s| s.channel).filter(|c| self.of(*c).is_some()));
        }
        if self.condition == FeedbackCondition::Before && channels.len() != 1 {
            let what = "with `before` one channel is fed back and answers: name that one";
            return refuse("channels", what.to_owned());
        }
        let mut fed = Vec::with_capacity(channels.len());
        for channel in channels {
            let Some((depth, expansion)) = self.of(channel) else {
                let name = channel.name();
                return refuse("channels", format!("nothing feeds the channel {name} back"));
            };
            if let Some(depth) = NonZeroUsize::new(self.depth.unwrap_or(depth)) {
                fed.push(FedChannel { channel, depth, expansion });
            }
        }
        if fed.is_empty() && self.depth != Some(0) {
            let what = "no channel that is searched can be fed back; sparse, bm25 and dense can";
            return refuse("channels", what.to_owned());
        }
        let plan = FeedbackPlan { condition: self.condition, fed, reranked: self.reranked };
        Ok(Some(plan).filter(|plan| !plan.fed.is_empty()))
    }

    /// Of dense vectors, which have no terms to choose from.
    fn mean(&self) -> Expansion {
        Expansion { terms: NonZeroUsize::MIN, weight: self.dense }
    }

    /// How many documents feed a channel back unless told otherwise, and how much, where something does.
    fn of(&self, channel: Channel) -> Option<(usize, Expansion)> {
        match channel {
            Channel::Sparse => Some((SPARSE_DEPTH, self.sparse)),
            Channel::Bm25 => Some((BM25_DEPTH, self.bm25)),
            Channel::Dense => Some((DENSE_DEPTH, self.mean())),
            _ => None,
        }
    }
}
