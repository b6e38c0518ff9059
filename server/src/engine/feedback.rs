//! The options of feedback that a request has.

use std::num::NonZeroUsize;

use quarry_engine::{
    EngineError, Expansion, FeedbackCondition, FeedbackFrom, FeedbackOptions, FusionOptions,
    RerankOptions, SearchOptions,
};

use crate::api::{
    self, ApiError, ExpansionInput, FeedbackInput, MAX_EXCLUDED, MAX_QUERY_BYTES, SearchRequest,
};

/// Checks them beside the channels, and `fusion` and `rerank`, which were checked before.
pub(crate) fn options(
    request: &SearchRequest,
    fusion: &FusionOptions,
    rerank: Option<RerankOptions>,
) -> Result<Option<FeedbackOptions>, ApiError> {
    let Some(input) = &request.feedback else { return Ok(None) };
    let channels = request.channels.iter().map(|channel| (*channel).into());
    let search = SearchOptions::new(NonZeroUsize::MIN).fused(channels, fusion.clone());
    let searched = search.weights()?.len();
    let mut options = FeedbackOptions::default().by(condition(input, searched)?);
    if input.from == Some(api::FeedbackFrom::Reranked) {
        let Some(rerank) = rerank else {
            let message = "`reranked` feeds back from a reranked ranking, and nothing is reranked";
            return Err(ApiError::invalid("feedback.from", message).hint("add `rerank`"));
        };
        options = options.from_reranked(rerank);
    }
    options.depth = input.depth.map(|depth| usize::try_from(depth).unwrap_or(usize::MAX));
    if let Some(channels) = &input.channels {
        if channels.is_empty() {
            let message = "no channel; give `sparse`, `bm25` or `dense`, or leave it out";
            return Err(ApiError::invalid("feedback.channels", message));
        }
        options.channels = channels.iter().map(|channel| (*channel).into()).collect();
    }
    options.sparse = expansion("feedback.sparse", input.sparse, options.sparse)?;
    options.bm25 = expansion("feedback.bm25", input.bm25, options.bm25)?;
    if let Some(weight) = input.dense.and_then(|mean| mean.weight) {
        if !(0.0..=1.0).contains(&weight) {
            let message = format!("{weight} is not 0 to 1");
            return Err(ApiError::invalid("feedback.dense.weight", message));
        }
        options.dense = weight;
    }
    let excluded = input.exclude.as_deref().unwrap_or_default();
    if excluded.len() > MAX_EXCLUDED || excluded.iter().any(|id| id.len() > MAX_QUERY_BYTES) {
        let message = format!("at most {MAX_EXCLUDED} ids of at most {MAX_QUERY_BYTES} bytes");
        return Err(ApiError::invalid("feedback.exclude", message));
    }
    let fed = search.fed_back(options.clone()).fed_channels().map_err(|error| match error {
        EngineError::Feedback { option, what } => {
            ApiError::invalid(format!("feedback.{option}"), what)
        }
        error => ApiError::from(error),
    })?;
    let given = [
        (quarry_engine::Channel::Sparse, input.sparse.is_some()),
        (quarry_engine::Channel::Bm25, input.bm25.is_some()),
        (quarry_engine::Channel::Dense, input.dense.is_some()),
    ];
    let idle = |(channel, given): &&(_, bool)| *given && !fed.is_empty() && !fed.contains(channel);
    match given.iter().find(idle) {
        Some((channel, _)) => {
            let name = channel.name();
            let message = format!("the channel `{name}` is not fed back");
            Err(ApiError::not_supported(format!("feedback.{name}"), message).hint("leave it out"))
        }
        None => Ok(Some(options)),
    }
}

/// The condition, which must be one of the ranking that is named.
fn condition(input: &FeedbackInput, channels: usize) -> Result<FeedbackCondition, ApiError> {
    let given = input.condition.map(FeedbackCondition::from);
    let Some(from) = input.from.map(FeedbackFrom::from) else {
        return Ok(given.unwrap_or_default());
    };
    match given {
        None => Ok(from.condition(channels)),
        Some(condition) if from.goes_with(condition, channels) => Ok(condition),
        Some(condition) => {
            let message =
                format!("`{}` does not go with the condition `{}`", from.name(), condition.name());
            Err(ApiError::invalid("feedback.from", message).hint("leave `condition` out"))
        }
    }
}

fn expansion(
    name: &str,
    given: Option<ExpansionInput>,
    default: Expansion,
) -> Result<Expansion, ApiError> {
    let given = given.unwrap_or_default();
    let terms = match given.terms {
        None => default.terms,
        Some(terms) => {
            let found = usize::try_from(terms).ok().and_then(NonZeroUsize::new);
            found.ok_or_else(|| {
                ApiError::invalid(format!("{name}.terms"), "0 is not between 1 and 1000")
            })?
        }
    };
    let expansion = Expansion { terms, weight: given.weight.unwrap_or(default.weight) };
    match expansion.check() {
        Err(quarry_engine::SearchError::Param { name: option, found, expected }) => {
            Err(ApiError::invalid(format!("{name}.{option}"), format!("{found} is not {expected}")))
        }
        _ => Ok(expansion),
    }
}
