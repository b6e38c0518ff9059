//! The options of feedback that a request has.

use std::num::NonZeroUsize;

use quarry_engine::{EngineError, Expansion, FeedbackOptions, FusionOptions, SearchOptions};

use crate::api::{ApiError, ExpansionInput, MAX_EXCLUDED, MAX_QUERY_BYTES, SearchRequest};

/// Checks them beside the channels, and `fusion`, which was checked before.
pub(crate) fn options(
    request: &SearchRequest,
    fusion: &FusionOptions,
) -> Result<Option<FeedbackOptions>, ApiError> {
    let Some(input) = &request.feedback else { return Ok(None) };
    let mut options = FeedbackOptions::default().by(input.condition.unwrap_or_default().into());
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
    let channels = request.channels.iter().map(|channel| (*channel).into());
    let search = SearchOptions::new(NonZeroUsize::MIN).fused(channels, fusion.clone());
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
