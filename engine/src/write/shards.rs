//! A build shared out by hand among machines: each makes a shard, and they are merged into an index.

use std::path::PathBuf;

use quarry_indexer::{BuildReport, Event, JoinOptions, Share, ShareReport, build_share, join};
use quarry_vectors::EncodeTokens;

use super::{Build, Input, InputReport, OnProgress, StoreTokens};
use crate::{EngineError, Models};

/// What making a shard did.
#[derive(Debug, Clone)]
pub struct BuiltShard {
    /// The shard.
    pub report: ShareReport,
    /// What was noticed of the input.
    pub input: InputReport,
}

/// Makes one machine's shard of the index that [`build`](super::build) would make of the same collection, in
/// the folder `options.out`. A shard is never measured: `options.calibrate` is not looked at.
///
/// # Errors
/// As [`build`](super::build); when the folder holds a shard, or something else.
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

/// Merges all shards of a build, in any order, into the index that one machine would have made.
///
/// # Errors
/// When a shard is missing, given twice, unfinished, damaged or of another build; when an index is there and
/// not to be replaced, or the disk refuses. Nothing is visible then.
pub fn merge_shards(
    shards: &[PathBuf],
    options: &JoinOptions,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<BuildReport, EngineError> {
    Ok(join(shards, options, progress)?)
}
