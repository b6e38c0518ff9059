//! A whole build: spooled shards, one segment, one commit.
//!
//! 1. lock the folder for writing; refuse, resume or start afresh  2. ingest  3. seal
//! 4. commit: from here on readers see the new generation  5. clean up
//!
//! A crash before the commit leaves the old generation (or none) and the finished shards; a crash
//! after it leaves files that the next writer removes.

use std::path::Path;

use quarry_index::features::{Channels, Features};
use quarry_index::fields::FieldRules;
use quarry_index::folder::{BUILD, FolderWriter};
use quarry_index::manifest::{FORMAT, MANIFEST_MAGIC, Manifest};
use quarry_index::tokens::TokensKept;
use quarry_index::{QUERY_TABLE, TOKENIZER, names};
use quarry_vectors::Document;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::BuildError;
use crate::ingest::{Reading, ingest};
use crate::job::{Job, Work};
use crate::options::{
    BuildOptions, BuildReport, EncoderSetup, Event, Lists, SealOptions, WordLists,
};
use crate::seal::{SealJob, Sealed, Totals, seal};
use crate::spool::{Shard, shard_path, shard_paths};
use crate::terms::Known;
use crate::workspace::{self, Found};

/// Key in the manifest's build description that holds the build's identity.
pub(crate) const JOB: &str = "job";

/// Builds an index of `documents` in `options.out`.
///
/// With `encoder`, passages are encoded. Without it, documents bring their own vectors or have none
/// (then only BM25 finds them). `progress` may be called from any thread.
///
/// # Errors
/// When the folder holds an index or an unfinished build and the options do not say what to do
/// with it; when another process writes there; when an input is bad (with its line); when the
/// encoder or the disk fails. Finished shards stay, so that `resume` can continue.
pub fn build<I, E>(
    documents: I,
    encoder: Option<&EncoderSetup<'_>>,
    options: &BuildOptions,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<BuildReport, BuildError>
where
    I: IntoIterator<Item = Result<Document, E>>,
    I::IntoIter: Send,
    E: std::error::Error + Send + Sync + 'static,
{
    options.check()?;
    encoder.map_or(Ok(()), EncoderSetup::check)?;
    let mut folder = FolderWriter::create(&options.out, &workspace::mark)?;
    let job = Job::new(options, encoder);
    if let Some(report) = prepare(&folder, &job, options)? {
        return Ok(report);
    }
    // Remove the leftovers of crashed builds first, so that they cannot pile up.
    folder.collect()?;
    let build = folder.storage().path(BUILD);
    workspace::begin(&build, &job)?;
    let ingested = ingest(
        documents,
        encoder,
        (Reading::of(options), &Known::Nothing),
        (&build, None),
        progress,
    );
    if let Err(error) = &ingested
        && is_of_input(error)
        && !workspace::has_shards(&build)
    {
        // No work is lost: the corrected input is a different one, and the same command can be run again.
        workspace::clear(&build)?;
    }
    let ingested = ingested?;
    let seal_job = SealJob {
        storage: folder.storage(),
        build: &build,
        shards: &shard_paths(&build, ingested.shards),
        options: &options.seal,
        tokens: encoder.map(|e| &e.tokens).or(options.ingest.vocabulary.as_ref()),
        ids_are_unique: options.ingest.ids_are_unique,
        kept: None,
        channels: options
            .channels
            .unwrap_or(Channels { sparse: encoder.is_some(), bm25: encoder.is_some() }),
    };
    let sealed = seal(seal_job, progress)?;
    let kept = encoder.map(|setup| EncoderFiles {
        identity: &setup.identity,
        tokenizer: setup.tokenizer.as_deref(),
        query_table: setup.query_table.as_deref(),
    });
    let report = {
        let built = Description { options: &options.description, facts: job.facts() };
        commit(&mut folder, sealed, (&options.seal, built), (kept, None))?
    };
    workspace::clear(&build)?;
    folder.collect()?;
    Ok(BuildReport {
        resumed_documents: ingested.resumed_documents,
        truncated: ingested.truncated,
        ..report
    })
}

/// What an index keeps of its encoder.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EncoderFiles<'a> {
    pub(crate) identity: &'a Value,
    pub(crate) tokenizer: Option<&'a [u8]>,
    pub(crate) query_table: Option<&'a [u8]>,
}

/// What the manifest records about a build.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Description<'a> {
    /// The options as the user gave them.
    pub(crate) options: &'a Map<String, Value>,
    /// What identifies the build.
    pub(crate) facts: &'a Map<String, Value>,
}

/// Commits a sealed segment as a new index, or as a new generation that replaces the current one.
pub(crate) fn commit(
    folder: &mut FolderWriter,
    sealed: Sealed,
    (options, built): (&SealOptions, Description<'_>),
    (encoder, tokens): (Option<EncoderFiles<'_>>, Option<TokensKept>),
) -> Result<BuildReport, BuildError> {
    let mut assets = Vec::from_iter(sealed.lexicon);
    let mut encoders = Map::new();
    if let Some(kept) = encoder {
        encoders.insert("sparse".into(), kept.identity.clone());
        let id = sealed.segment.id;
        for (kind, bytes) in [(TOKENIZER, kept.tokenizer), (QUERY_TABLE, kept.query_table)] {
            if let Some(bytes) = bytes {
                assets.push(folder.write_asset(kind, &names::asset(id, kind), bytes, true)?);
            }
        }
    }
    let mut description = built.options.clone();
    description.insert(JOB.into(), Value::Object(built.facts.clone()));
    let totals = sealed.totals;
    let features = features(options, &totals);
    let unmet_fields =
        options.fields.keys().filter(|path| !totals.fields.contains_key(*path)).cloned().collect();
    let manifest = Manifest {
        magic: MANIFEST_MAGIC.to_owned(),
        format: FORMAT,
        uuid: Uuid::new_v4(),
        generation: 0,
        applied_sequence: 0,
        written_by: format!("quarry {}", env!("CARGO_PKG_VERSION")),
        seed: options.seed,
        build: description,
        encoders,
        fields: fields_of(options, &totals),
        features: Features { tokens, ..features },
        assets,
        segments: if totals.rows > 0 { vec![sealed.segment] } else { Vec::new() },
    };
    let committed = folder.commit(manifest)?;
    let mut report = BuildReport {
        empty_vectors: totals.empty_vectors,
        unmet_fields,
        max_relative_error: sealed.weights.map(|weights| weights.max_relative_error),
        ..report_of(committed)
    };
    #[expect(clippy::cast_precision_loss, reason = "a mean")]
    if totals.rows > 0 {
        report.mean_components = totals.components as f64 / totals.rows as f64;
    }
    Ok(report)
}

/// The features of a new index. Without documents and an encoder the channels stay undecided.
fn features(options: &SealOptions, totals: &Totals) -> Features {
    let (sparse, bm25) = (totals.has_vectors, totals.has_text);
    let decided = totals.rows > 0 || sparse || bm25;
    let mut features =
        Features { channels: decided.then_some(Channels { sparse, bm25 }), ..Features::default() };
    if let Lists::These { impact, seismic, clusters } = options.lists {
        features.impact = impact;
        features.words = bm25 && options.words == WordLists::Always;
        features.seismic = seismic.then_some(options.seismic);
        features.clusters = clusters.then_some(options.clusters);
    }
    features
}

/// The field types that hold from now on: the known ones and those met in this build.
pub(crate) fn fields_of(options: &SealOptions, totals: &Totals) -> FieldRules {
    let mut rules = options.fields.clone();
    rules.extend(totals.fields.iter().map(|(path, rule)| (path.clone(), *rule)));
    rules
}

/// Decides what to do with what the folder holds. Returns a report when there is nothing left to do.
fn prepare(
    folder: &FolderWriter,
    job: &Job,
    options: &BuildOptions,
) -> Result<Option<BuildReport>, BuildError> {
    let build = folder.storage().path(BUILD);
    let unfinished = match workspace::look(&build)? {
        Found::Foreign(name) => return Err(workspace::foreign(&build, name)),
        // Interrupted work of another kind is discarded; its own command starts it again.
        Found::Ours(job) if job.work() == Work::Build => Some(job),
        Found::Ours(_) | Found::Nothing => None,
    };
    if options.resume {
        if let Some(before) = &unfinished {
            before.check_same(job, &options.out)?;
            return Ok(None);
        }
        if let Some(current) = folder.current() {
            if current.build.get(JOB).and_then(Value::as_object) == Some(job.facts()) {
                return Ok(Some(BuildReport { already_complete: true, ..report_of(current) }));
            }
            if !options.overwrite {
                return Err(exists(current, &options.out));
            }
        }
    } else if !options.overwrite {
        if let Some(current) = folder.current() {
            return Err(exists(current, &options.out));
        }
        if unfinished.is_some() {
            return Err(BuildError::Interrupted {
                path: options.out.clone(),
                documents: count_done(&build)?,
            });
        }
    }
    workspace::expect_only_ours(&build)?;
    workspace::clear(&build)?;
    Ok(None)
}

/// Whether the input is at fault, so that resuming the build would fail again.
fn is_of_input(error: &BuildError) -> bool {
    matches!(
        error,
        BuildError::Document { .. }
            | BuildError::Vector { .. }
            | BuildError::DuplicateId { .. }
            | BuildError::Input(_)
    )
}

pub(crate) fn exists(current: &Manifest, path: &Path) -> BuildError {
    BuildError::Exists {
        path: path.to_path_buf(),
        generation: current.generation,
        documents: current.documents(),
    }
}

pub(crate) fn count_done(build: &Path) -> Result<u64, BuildError> {
    let mut documents = 0;
    for number in 0.. {
        let path = shard_path(build, number);
        if !path.exists() {
            break;
        }
        documents += Shard::open(&path)?.meta.documents;
    }
    Ok(documents)
}

pub(crate) fn report_of(manifest: &Manifest) -> BuildReport {
    BuildReport {
        generation: manifest.generation,
        uuid: manifest.uuid.to_string(),
        documents: manifest.documents(),
        rows: manifest.segments.iter().map(|s| s.rows).sum(),
        resumed_documents: 0,
        empty_vectors: 0,
        truncated: 0,
        unmet_fields: Vec::new(),
        mean_components: 0.0,
        max_relative_error: None,
        bytes: manifest.parts().map(|p| p.bytes).sum(),
        already_complete: false,
    }
}
