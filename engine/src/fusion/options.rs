//! How rankings of several channels become one: the choices.

use std::num::NonZeroUsize;

use crate::EngineError;
use crate::channel::Channel;

/// How scores of several lists are brought to one scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum FusionMethod {
    /// A score over the best of its list; a document that the list lacks gets 0. For scores with a true zero, as
    /// dot products of sparse vectors and BM25 have: a list of two hits keeps their proportion, and the window
    /// changes no part. Needs a best score above 0.
    #[default]
    Max,
    /// The least score of a list (within the window) becomes 0, the best 1; all of one list are 1 where they
    /// are equal, as one hit is. Documents of other lists are scored as this one's are and belong to it, without
    /// a rank; where a list cannot score them they get 0.
    MinMax,
    /// A score's distance from the mean of its list (within the window) in standard deviations of it; 0 where
    /// all are equal. Documents of other lists are scored, as for [`Self::MinMax`]; where a list cannot
    /// score them they get its least part.
    Z,
    /// Reciprocal rank fusion (Cormack et al., SIGIR 2009): 1 over `k` and the rank, from 1; a document that the
    /// list lacks gets 0.
    Rrf,
}

impl FusionMethod {
    /// Its name in commands and requests.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Max => "max",
            Self::MinMax => "minmax",
            Self::Z => "z",
            Self::Rrf => "rrf",
        }
    }
}

/// Of reciprocal rank fusion: what is added to a rank.
pub const DEFAULT_RRF_K: f64 = 60.0;
/// Hits of a list that are fused.
pub const DEFAULT_WINDOW: usize = 1000;
/// Weight of BM25 beside a channel that a model made: at an equal weight it lowers the quality of both.
pub const BM25_WEIGHT: f64 = 0.3;
/// The largest weight of a list: above it scores might not be finite.
pub const MOST_WEIGHT: f64 = 1e6;
/// The smallest weight of a list beside 0: below it scores might be too small for 32 bits, in which runs are compared.
pub const LEAST_WEIGHT: f64 = 1e-6;
/// The largest constant of [`FusionMethod::Rrf`]: above it ranks might not be told apart.
pub const MOST_RRF_K: f64 = 10_000.0;

/// Whether a list may have this weight.
pub(crate) fn is_weight(weight: f64) -> bool {
    weight == 0.0 || (LEAST_WEIGHT..=MOST_WEIGHT).contains(&weight)
}

/// What a channel counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChannelWeight {
    /// The channel.
    pub channel: Channel,
    /// Its weight: 0, or [`LEAST_WEIGHT`] to [`MOST_WEIGHT`]; with 0 it is as if absent.
    pub weight: f64,
}

/// How several channels become one ranking.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FusionOptions {
    /// How scores come to one scale.
    pub method: FusionMethod,
    /// Weights; a channel that is not named has its default: 1, of BM25 beside another channel
    /// [`BM25_WEIGHT`].
    pub weights: Vec<ChannelWeight>,
    /// Hits of each channel that are fused; where more are wanted, as many. As long as it is not below k, the
    /// first hits are the same however many are asked for.
    pub window: NonZeroUsize,
    /// Of [`FusionMethod::Rrf`]: what is added to a rank; 0 to [`MOST_RRF_K`].
    pub rrf_k: f64,
}

impl Default for FusionOptions {
    fn default() -> Self {
        let window = NonZeroUsize::new(DEFAULT_WINDOW).unwrap_or(NonZeroUsize::MIN);
        Self { method: FusionMethod::Max, weights: Vec::new(), window, rrf_k: DEFAULT_RRF_K }
    }
}

impl FusionOptions {
    /// The same by another method.
    #[must_use]
    pub fn by(self, method: FusionMethod) -> Self {
        Self { method, ..self }
    }

    /// The same with a channel's weight.
    #[must_use]
    pub fn weighted(mut self, channel: Channel, weight: f64) -> Self {
        self.weights.push(ChannelWeight { channel, weight });
        self
    }

    /// The weight of each of several channels, without those of weight 0.
    pub(crate) fn weights_of(
        &self,
        channels: &[Channel],
    ) -> Result<Vec<ChannelWeight>, EngineError> {
        for (at, given) in self.weights.iter().enumerate() {
            let channel = given.channel;
            if !channels.contains(&channel) {
                return Err(EngineError::WeightWithoutChannel { channel: channel.name() });
            }
            if self.weights[..at].iter().any(|other| other.channel == channel) {
                return Err(EngineError::RepeatedWeight { channel: channel.name() });
            }
        }
        let default = |channel| if channel == Channel::Bm25 { BM25_WEIGHT } else { 1.0 };
        let of = |channel: &Channel| {
            let given = self.weights.iter().find(|given| given.channel == *channel);
            given.map_or(default(*channel), |given| given.weight)
        };
        let weights = channels.iter().map(|c| ChannelWeight { channel: *c, weight: of(c) });
        let weights: Vec<ChannelWeight> = weights.collect();
        let wrong = |w: &ChannelWeight| !is_weight(w.weight);
        let kept: Vec<ChannelWeight> = weights.iter().filter(|w| w.weight > 0.0).copied().collect();
        if weights.iter().any(wrong) || kept.is_empty() {
            return Err(EngineError::NoWeight);
        }
        if !(0.0..=MOST_RRF_K).contains(&self.rrf_k) {
            return Err(EngineError::RrfK { found: self.rrf_k });
        }
        Ok(kept)
    }
}
