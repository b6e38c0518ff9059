//! A build divided by hand among machines: each makes a shard, and the shards are merged into an index.

use std::path::PathBuf;

use quarry_indexer::{BuildReport, Event, JoinOptions, Share, ShareReport, build_share, join};
use quarry_vectors::EncodeTokens;

use super::{Build, Input, InputReport, OnProgress, StoreTokens};
use crate::{EngineError, Models};

/// The result of making a shard.
#[derive(Debug, Clone)]
pub struct BuiltShard {
    /// The shard.
    pub report: ShareReport,
    /// Observations about the input.
    pub input: InputReport,
}

/// Makes one machine's shard of the index that [`build`](super::build) would make from the same collection,
/// in the folder `options.out`. A shard is never calibrated: `options.calibrate` is ignored.
///
/// # Errors
/// The errors of [`build`](super::build); also if the folder already holds a shard or other files.
pub fn build_shard(
    input: &Input,
    options: &Build,
    share: Share,
    models: &Models,
    progress: OnProgress<'_>,
) -> Result<BuiltShard, EngineError> {
    let made = match &options.tokens {
        Some(model) => Some(models.token_encoder(None, model, None)?),
        None => None,
    };
    let wanted =
        made.map(|made| (made.encoder, StoreTokens::default().options(made.identity, None)));
    let (report, input) = options.target().with_collection(
        input,
        models,
        progress,
        |documents, ready, progress| {
            let tokens = wanted
                .as_ref()
                .map(|(encoder, options)| (encoder.as_ref() as &dyn EncodeTokens, options));
            build_share(documents, ready.encoder, (ready.options, share), tokens, progress)
        },
    )?;
    Ok(BuiltShard { report, input })
}

/// Merges all shards of a build, given in any order, into the index that a single machine would have made.
///
/// # Errors
/// If a shard is missing, given twice, unfinished, damaged or of another build; if an index exists and is not
/// to be replaced; if writing fails. Nothing is visible then.
pub fn merge_shards(
    shards: &[PathBuf],
    options: &JoinOptions,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<BuildReport, EngineError> {
    Ok(join(shards, options, progress)?)
}
