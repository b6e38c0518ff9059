//! Channels of a search, and how several are fused.

use std::num::NonZeroUsize;

use clap::ValueEnum;
use quarry_engine::{
    ChannelWeight, DEFAULT_RRF_K, DEFAULT_WINDOW, EngineError, FusionMethod, FusionOptions,
    SearchOptions,
};
use quarry_server::api::{self, Fusion, FusionInput, WeightsInput};

use crate::applies::Given;
use crate::exit::Usage;

/// What is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Channel {
    /// Learned sparse vectors.
    Sparse,
    /// Words, by BM25.
    Bm25,
    /// Token embeddings, by MaxSim with every document.
    Maxsim,
    /// Dense vectors, by the dot product with every document's.
    Dense,
}

impl From<Channel> for quarry_engine::Channel {
    fn from(arg: Channel) -> Self {
        match arg {
            Channel::Sparse => Self::Sparse,
            Channel::Bm25 => Self::Bm25,
            Channel::Maxsim => Self::Maxsim,
            Channel::Dense => Self::Dense,
        }
    }
}

/// How scores of several rankings come to one scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum FusionArg {
    /// A score over the best of its ranking; for scores above 0.
    #[default]
    Max,
    /// The least score of a ranking becomes 0, the best 1.
    Minmax,
    /// The distance from a ranking's mean, in standard deviations.
    Z,
    /// Reciprocal rank fusion: 1 over the rank and --rrf-k.
    Rrf,
}

impl From<FusionArg> for FusionMethod {
    fn from(arg: FusionArg) -> Self {
        match arg {
            FusionArg::Max => Self::Max,
            FusionArg::Minmax => Self::MinMax,
            FusionArg::Z => Self::Z,
            FusionArg::Rrf => Self::Rrf,
        }
    }
}

/// The channels of a search, and how they become one ranking.
#[derive(Debug, Clone, PartialEq, clap::Args)]
pub(crate) struct ChannelArgs {
    /// What to search: learned sparse vectors, words by BM25, dense vectors, or token embeddings of all documents by
    /// MaxSim; several, such as sparse,bm25,dense, are fused
    #[arg(
        long = "channel",
        value_name = "LIST",
        value_enum,
        value_delimiter = ',',
        default_value = "sparse"
    )]
    channel: Vec<Channel>,
    /// How scores of several channels come to one scale
    #[arg(long, value_enum, default_value_t = FusionArg::Max)]
    fusion: FusionArg,
    /// Weights of channels, such as bm25=0.5 [default: 1 each, of bm25 0.3]
    #[arg(long, value_name = "CHANNEL=X", value_delimiter = ',', value_parser = parse_weight)]
    weights: Vec<ChannelWeight>,
    /// Number of hits of each channel that are fused; k where that is more
    #[arg(long, value_name = "N", default_value_t = window())]
    window: NonZeroUsize,
    /// Of --fusion rrf: what is added to a rank, at least 0
    #[arg(long, value_name = "X", default_value_t = DEFAULT_RRF_K)]
    rrf_k: f64,
}

fn window() -> NonZeroUsize {
    NonZeroUsize::new(DEFAULT_WINDOW).unwrap_or(NonZeroUsize::MIN)
}

fn parse_weight(text: &str) -> Result<ChannelWeight, String> {
    let parsed = text.split_once('=').and_then(|(name, weight)| {
        let channel = Channel::from_str(name, false).ok()?;
        Some(ChannelWeight { channel: channel.into(), weight: weight.parse().ok()? })
    });
    parsed.ok_or_else(|| format!("`{text}` is not a channel and its weight, such as bm25=0.5"))
}

/// Options that are about several channels.
pub(crate) const OF_FUSION: [&str; 4] = ["fusion", "weights", "window", "rrf_k"];

impl Default for ChannelArgs {
    fn default() -> Self {
        Self::one(Channel::Sparse)
    }
}

impl ChannelArgs {
    /// One channel.
    pub(crate) fn one(channel: Channel) -> Self {
        let (fusion, window, rrf_k) = (FusionArg::Max, window(), DEFAULT_RRF_K);
        Self { channel: vec![channel], fusion, weights: Vec::new(), window, rrf_k }
    }

    /// Several, with their default weights.
    pub(crate) fn fused(channels: &[Channel], fusion: FusionArg) -> Self {
        Self { channel: channels.to_vec(), fusion, ..Self::default() }
    }

    /// What each counts.
    pub(crate) fn weights(&self) -> Result<Vec<ChannelWeight>, Usage> {
        let weights = self.on(SearchOptions::new(NonZeroUsize::MIN)).weights();
        weights.map_err(|error| {
            let option = match error {
                EngineError::RepeatedChannel { .. } => "--channel",
                EngineError::RrfK { .. } => "--rrf-k",
                _ => "--weights",
            };
            Usage(format!("{option}: {error}"))
        })
    }

    /// Whether this is one of them.
    pub(crate) fn has(&self, channel: Channel) -> bool {
        self.channel.contains(&channel)
    }

    /// Whether this is the only one.
    pub(crate) fn only(&self, channel: Channel) -> bool {
        self.channel == [channel]
    }

    /// Whether they are several.
    pub(crate) fn several(&self) -> bool {
        self.channel.len() > 1
    }

    /// Hits of each that are fused.
    pub(crate) fn window(&self) -> NonZeroUsize {
        self.window
    }

    /// Their names, as they are typed.
    pub(crate) fn names(&self) -> String {
        let names = self.channel.iter().map(|c| quarry_engine::Channel::from(*c).name());
        names.collect::<Vec<_>>().join(",")
    }

    /// The options, with these channels.
    pub(crate) fn on(&self, options: SearchOptions) -> SearchOptions {
        let mut fusion = FusionOptions::default().by(self.fusion.into());
        fusion.weights.clone_from(&self.weights);
        (fusion.window, fusion.rrf_k) = (self.window, self.rrf_k);
        options.fused(self.channel.iter().map(|c| (*c).into()), fusion)
    }

    /// As a request has them; token embeddings of all documents are not among what it can name.
    pub(crate) fn request(&self) -> (Vec<api::Channel>, Option<FusionInput>) {
        let channels = self.channel.iter().filter_map(|channel| match channel {
            Channel::Sparse => Some(api::Channel::Sparse),
            Channel::Bm25 => Some(api::Channel::Bm25),
            Channel::Dense => Some(api::Channel::Dense),
            Channel::Maxsim => None,
        });
        let weight = |channel: Channel| {
            let given = self.weights.iter().find(|w| w.channel == channel.into());
            given.map(|given| given.weight)
        };
        let weights = WeightsInput {
            sparse: weight(Channel::Sparse),
            bm25: weight(Channel::Bm25),
            dense: weight(Channel::Dense),
        };
        let fusion = self.several().then(|| FusionInput {
            method: Some(match self.fusion {
                FusionArg::Max => Fusion::Max,
                FusionArg::Minmax => Fusion::MinMax,
                FusionArg::Z => Fusion::Z,
                FusionArg::Rrf => Fusion::Rrf,
            }),
            weights: Some(weights),
            window: Some(u32::try_from(self.window.get()).unwrap_or(u32::MAX)),
            k: (self.fusion == FusionArg::Rrf).then_some(self.rrf_k),
        });
        (channels.collect(), fusion)
    }

    /// Refuses what does nothing, or cannot be.
    pub(crate) fn check(&self, given: Given<'_>) -> Result<(), Usage> {
        let why = "one channel is searched; give several, such as --channel sparse,bm25";
        given.only_if(self.several(), &OF_FUSION, why)?;
        given.only_if(self.fusion == FusionArg::Rrf, &["rrf_k"], "it is of --fusion rrf")?;
        self.weights().map(|_| ())
    }
}
