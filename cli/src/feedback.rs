//! Options of feedback.

use std::num::NonZeroUsize;

use clap::ValueEnum;
use quarry_engine::{
    EngineError, Expansion, FeedbackCondition, FeedbackFrom, FeedbackOptions, RerankOptions,
    SearchOptions,
};
use quarry_server::api::{self, ExpansionInput, FeedbackInput, MeanInput};

use crate::applies::Given;
use crate::channels::Channel;
use crate::exit::Usage;

/// Where feedback stands beside the fusion of several channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FeedbackArg {
    /// The best of the fused ranking feed one channel back, which answers alone: name it with --feedback-channels.
    Before,
    /// The best of each channel's own ranking feed it back; then channels are fused.
    After,
    /// The best of the fused ranking feed channels back, which are fused again.
    Both,
}

impl From<FeedbackArg> for FeedbackCondition {
    fn from(arg: FeedbackArg) -> Self {
        match arg {
            FeedbackArg::Before => Self::Before,
            FeedbackArg::After => Self::After,
            FeedbackArg::Both => Self::Both,
        }
    }
}

/// Of which ranking documents feed back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FromArg {
    /// Each channel's own, as --feedback after takes it.
    Own,
    /// The fused one, as --feedback both and before take it.
    Fused,
    /// That of the one channel, or the fused one of several, reranked: needs --rerank.
    Reranked,
}

impl From<FromArg> for FeedbackFrom {
    fn from(arg: FromArg) -> Self {
        match arg {
            FromArg::Own => Self::Own,
            FromArg::Fused => Self::Fused,
            FromArg::Reranked => Self::Reranked,
        }
    }
}

/// A weight, of one channel or of all.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct FeedbackWeight {
    channel: Option<Channel>,
    weight: f64,
}

/// Whether and how the best documents add to the query, which is searched again.
#[derive(Debug, Clone, Default, PartialEq, clap::Args)]
pub(crate) struct FeedbackArgs {
    /// Search twice: the best documents of the first search add terms to the query of the second. For short queries
    /// and recall; takes twice the time. One channel takes `after`
    #[arg(long, value_enum)]
    feedback: Option<FeedbackArg>,
    /// Ranking whose best documents feed back. Turns feedback on; without --feedback `own` means after, `fused` both,
    /// `reranked` after for one channel and both for several [default: as --feedback says]
    #[arg(long, value_enum, value_name = "RANKING")]
    feedback_from: Option<FromArg>,
    /// Channels that are fed back: sparse, bm25, dense [default: all that are searched]
    #[arg(long, value_name = "LIST", value_enum, value_delimiter = ',')]
    feedback_channels: Vec<Channel>,
    /// Number of documents that add terms, 0 to 100; 0 is no feedback [default: sparse 3,
    /// bm25 10, dense 2]
    #[arg(long, value_name = "N")]
    feedback_depth: Option<usize>,
    /// Number of terms that they add to sparse and bm25, 1 to 1000 [default: 20]
    #[arg(long, value_name = "N")]
    feedback_terms: Option<NonZeroUsize>,
    /// Share of the new query that is theirs, 0 to 1, such as 0.3 or sparse=0.2,bm25=0.3
    /// [default: sparse 0.2, bm25 0.3, dense 0.4]
    #[arg(long, value_name = "X", value_delimiter = ',', value_parser = parse_weight)]
    feedback_weight: Vec<FeedbackWeight>,
}

fn parse_weight(text: &str) -> Result<FeedbackWeight, String> {
    let channel = |name: &str| Channel::from_str(name, false).ok();
    let parsed = match text.split_once('=') {
        None => text.parse().ok().map(|weight| FeedbackWeight { channel: None, weight }),
        Some((name, weight)) => channel(name)
            .zip(weight.parse().ok())
            .map(|(channel, weight)| FeedbackWeight { channel: Some(channel), weight }),
    };
    parsed.ok_or_else(|| format!("`{text}` is not a weight such as 0.3, or sparse=0.2"))
}

/// Options that are about feedback.
pub(crate) const OF_FEEDBACK: [&str; 4] =
    ["feedback_channels", "feedback_depth", "feedback_terms", "feedback_weight"];

impl FeedbackArgs {
    /// Whether there is any.
    pub(crate) fn is_on(&self) -> bool {
        self.is_asked() && self.feedback_depth != Some(0)
    }

    fn is_asked(&self) -> bool {
        self.feedback.is_some() || self.feedback_from.is_some()
    }

    /// The condition: the one given, or what the ranking means.
    fn condition(&self, channels: usize) -> Option<FeedbackCondition> {
        let meant = || self.feedback_from.map(|from| FeedbackFrom::from(from).condition(channels));
        self.feedback.map(FeedbackCondition::from).or_else(meant)
    }

    /// The options, with feedback if it is asked for; `rerank` is how a first round is reranked.
    pub(crate) fn on(&self, options: SearchOptions, rerank: RerankOptions) -> SearchOptions {
        let channels = options.weights().map_or(1, |weights| weights.len());
        let Some(condition) = self.condition(channels) else { return options };
        let feedback = self.options(condition);
        options.fed_back(match self.feedback_from {
            Some(FromArg::Reranked) => feedback.from_reranked(rerank),
            _ => feedback,
        })
    }

    fn options(&self, condition: FeedbackCondition) -> FeedbackOptions {
        let mut feedback = FeedbackOptions::default().by(condition);
        feedback.depth = self.feedback_depth;
        feedback.channels = self.feedback_channels.iter().map(|c| (*c).into()).collect();
        feedback.sparse = self.expansion(Channel::Sparse, feedback.sparse);
        feedback.bm25 = self.expansion(Channel::Bm25, feedback.bm25);
        feedback.dense = self.weight(Channel::Dense).unwrap_or(feedback.dense);
        feedback
    }

    /// No feedback, then each condition that the channels have, with each choice of those that are fed back.
    pub(crate) fn compared(&self, options: &SearchOptions) -> Result<Vec<Compared>, EngineError> {
        use FeedbackCondition::{After, Before, Both};
        let with = |condition: FeedbackCondition, channels: &[quarry_engine::Channel]| {
            let mut feedback = self.options(condition);
            feedback.channels = channels.to_vec();
            let options = options.clone().fed_back(feedback);
            Compared { condition: condition.name(), channels: channels.to_vec(), options }
        };
        let fed = options.clone().fed_back(self.options(After)).fed_channels()?;
        let mut choices: Vec<Vec<quarry_engine::Channel>> = vec![Vec::new()];
        for channel in fed {
            let more: Vec<_> =
                choices.iter().map(|c| [c.as_slice(), &[channel]].concat()).collect();
            choices.extend(more);
        }
        choices.sort_by_key(Vec::len);
        let mut rows =
            vec![Compared { condition: "none", channels: Vec::new(), options: options.clone() }];
        let several = options.weights()?.len() > 1;
        for condition in [Before, After, Both] {
            let fits = |choice: &&Vec<_>| match condition {
                After => !choice.is_empty(),
                Before => several && choice.len() == 1,
                _ => several && !choice.is_empty(),
            };
            rows.extend(choices.iter().filter(fits).map(|choice| with(condition, choice)));
        }
        Ok(rows)
    }

    fn expansion(&self, channel: Channel, default: Expansion) -> Expansion {
        let terms = self.feedback_terms.unwrap_or(default.terms);
        Expansion { terms, weight: self.weight(channel).unwrap_or(default.weight) }
    }

    fn weight(&self, channel: Channel) -> Option<f64> {
        let of = |given: &&FeedbackWeight| given.channel.is_none_or(|own| own == channel);
        self.feedback_weight.iter().find(of).map(|given| given.weight)
    }

    /// As a request has it; `fed` are the channels that are fed back.
    pub(crate) fn request(&self, fed: &[quarry_engine::Channel]) -> Option<FeedbackInput> {
        let expansion = |channel: Channel| {
            let terms = self.feedback_terms.map(|n| u32::try_from(n.get()).unwrap_or(u32::MAX));
            let input = ExpansionInput { terms, weight: self.weight(channel) };
            let says = fed.contains(&channel.into()) && input != ExpansionInput::default();
            says.then_some(input)
        };
        let channels = self.feedback_channels.iter().filter_map(|channel| match channel {
            Channel::Sparse => Some(api::Channel::Sparse),
            Channel::Bm25 => Some(api::Channel::Bm25),
            Channel::Dense => Some(api::Channel::Dense),
            Channel::Maxsim => None,
        });
        let channels: Vec<api::Channel> = channels.collect();
        self.is_asked().then(|| FeedbackInput {
            condition: self.feedback.map(|condition| match condition {
                FeedbackArg::Before => api::Condition::Before,
                FeedbackArg::After => api::Condition::After,
                FeedbackArg::Both => api::Condition::Both,
            }),
            from: self.feedback_from.map(|from| match from {
                FromArg::Own => api::FeedbackFrom::Own,
                FromArg::Fused => api::FeedbackFrom::Fused,
                FromArg::Reranked => api::FeedbackFrom::Reranked,
            }),
            depth: self.feedback_depth.map(|n| u32::try_from(n).unwrap_or(u32::MAX)),
            channels: (!channels.is_empty()).then_some(channels),
            sparse: expansion(Channel::Sparse),
            bm25: expansion(Channel::Bm25),
            dense: self
                .weight(Channel::Dense)
                .filter(|_| fed.contains(&quarry_engine::Channel::Dense))
                .map(|weight| MeanInput { weight: Some(weight) }),
            exclude: None,
        })
    }

    /// Refuses what does nothing, or does not go with the channels of `options`.
    pub(crate) fn check(&self, given: Given<'_>, options: SearchOptions) -> Result<(), Usage> {
        // With `eval --conditions` all that channels have are compared.
        let compared = given.has("conditions");
        let why = "nothing feeds back; add --feedback after";
        given.only_if(self.is_asked() || compared, &OF_FEEDBACK, why)?;
        let channels = options.weights().map_or(1, |weights| weights.len());
        let condition = match self.condition(channels) {
            Some(condition) => condition,
            None if compared => FeedbackCondition::After,
            None => return Ok(()),
        };
        if let Some(from) = self.feedback_from.map(FeedbackFrom::from) {
            if !from.goes_with(condition, channels) {
                let text = format!(
                    "--feedback-from {} does not go with --feedback {}; leave one of the two out",
                    from.name(),
                    condition.name()
                );
                return Err(Usage(text));
            }
            let why = "what is fed back is reranked first; add --rerank";
            let reranks = given.has("rerank") || from != FeedbackFrom::Reranked;
            given.only_if(reranks, &["feedback_from"], why)?;
        }
        let options = options.fed_back(self.options(condition));
        let fed = options.fed_channels().map_err(|error| match error {
            EngineError::Feedback { option: "condition", what } => match self.feedback_from {
                Some(from) if self.feedback.is_none() => {
                    Usage(format!("--feedback-from {}: {what}", FeedbackFrom::from(from).name()))
                }
                _ => Usage(format!("--feedback {}: {what}", condition.name())),
            },
            EngineError::Feedback { option, what } => Usage(format!("--feedback-{option}: {what}")),
            error => Usage(error.to_string()),
        })?;
        if compared && fed.is_empty() {
            let text = "--feedback-depth: with 0 there is no feedback to compare; leave it out";
            return Err(Usage(text.to_owned()));
        }
        if self.feedback_terms.is_some() && fed == [quarry_engine::Channel::Dense] {
            let text =
                "--feedback-terms does nothing here: a dense vector has no terms; leave it out";
            return Err(Usage(text.to_owned()));
        }
        self.check_weights(&fed)
    }

    /// Weights are of channels that are fed back, one each.
    fn check_weights(&self, fed: &[quarry_engine::Channel]) -> Result<(), Usage> {
        let weights = &self.feedback_weight;
        for (at, given) in weights.iter().enumerate() {
            let name = given.channel.map(|channel| quarry_engine::Channel::from(channel).name());
            let name = name.unwrap_or_default();
            let text = match given.channel {
                None if fed.len() > 1 || weights.len() > 1 => {
                    "several channels are fed back; name each, such as sparse=0.2,bm25=0.3"
                        .to_owned()
                }
                Some(channel) if !fed.is_empty() && !fed.contains(&channel.into()) => {
                    format!("the channel {name} is not fed back")
                }
                Some(channel) if weights[..at].iter().any(|w| w.channel == Some(channel)) => {
                    format!("the channel {name} has two weights")
                }
                _ => continue,
            };
            return Err(Usage(format!("--feedback-weight: {text}")));
        }
        Ok(())
    }
}

/// One way to search, of several that are compared.
#[derive(Debug, Clone)]
pub(crate) struct Compared {
    /// `none`, or the name of a condition.
    pub(crate) condition: &'static str,
    /// Channels that are fed back.
    pub(crate) channels: Vec<quarry_engine::Channel>,
    pub(crate) options: SearchOptions,
}

impl Compared {
    /// Its name, with `join` between its words and `+` between channels.
    pub(crate) fn name(&self, join: &str) -> String {
        let channels: Vec<&str> = self.channels.iter().map(|channel| channel.name()).collect();
        match channels.is_empty() {
            true => self.condition.to_owned(),
            false => format!("{}{join}{}", self.condition, channels.join("+")),
        }
    }
}
