//! From documents to an index: a collection on disk, or whatever an iterator gives.
//!
//! 1. open the collection and look at its first document  2. refuse what does not go together (`rules.rs`)
//! 3. open the model and its encoder, where texts are encoded  4. build  5. token embeddings, then
//!    calibration, where they are wanted
//!
//! The index is committed after 4, and once more for each part of 5.

use std::path::PathBuf;

use quarry_index::{Index, Verify};
use quarry_indexer::{BuildReport, Event, SealOptions};
use quarry_vectors::Document;
use serde_json::Value;

use super::target::Target;
use super::{
    Calibrate, Calibrated, DenseFrom, Encoding, Input, InputReport, OnProgress, Reading,
    StoreDense, StoreTokens, TextsAs, TokensFrom, WriteError, Writer,
};
use crate::{EngineError, ModelSource, Models};

/// Everything about a build but its documents.
#[derive(Debug, Clone, Default)]
pub struct Build {
    /// Folder of the index; made if it is not there.
    pub out: PathBuf,
    /// Replace the index that is there, or discard an unfinished build.
    pub overwrite: bool,
    /// Continue an interrupted build; finished shards are not encoded again.
    pub resume: bool,
    /// What is built of texts.
    pub texts_as: TextsAs,
    /// How texts are encoded.
    pub encoding: Encoding,
    /// How vectors, lists and fields are stored.
    pub seal: SealOptions,
    /// Also store token embeddings of the texts, by this model.
    pub tokens: Option<ModelSource>,
    /// Also store dense vectors of the texts, by this model.
    pub dense: Option<ModelSource>,
    /// Also measure the search methods.
    pub calibrate: bool,
}

/// What a build left.
#[derive(Debug)]
pub struct Built {
    /// The index; its generation is that after the last step.
    pub report: BuildReport,
    /// What was noticed of the input; empty for an iterator.
    pub input: InputReport,
    /// How measuring went.
    pub calibration: Calibration,
}

/// How measuring after a build went. The index is whole without: searches then take default settings.
#[derive(Debug)]
pub enum Calibration {
    /// It was not asked for, or the index was complete before.
    Skipped,
    /// The tables.
    Done(Calibrated),
    /// It failed.
    Failed(EngineError),
}

/// Builds an index of a collection on disk.
///
/// # Errors
/// When settings do not go together ([`WriteError`]); when the collection, the model or the disk fails, or
/// something lies in the folder. [`WriteError::TokensAfterBuild`] and [`WriteError::DenseAfterBuild`] when only the token
/// embeddings or dense vectors failed.
pub fn build(
    input: &Input,
    options: &Build,
    models: &Models,
    progress: OnProgress<'_>,
) -> Result<Built, EngineError> {
    check_models(options, models)?;
    let target = options.target();
    let read = Reading::default();
    let (report, input) =
        target.with_collection(input, models, progress, |documents, ready, progress| {
            quarry_indexer::build(documents, ready.encoder, ready.options, progress)
        })?;
    finish(options, (report, input), models, &|event| progress(event, &read))
}

/// Builds an index of documents that an iterator gives. Their ids have to be unique, which is checked.
///
/// `source` tells these documents from others: an interrupted build can be resumed where it is the same.
///
/// # Errors
/// As [`build`].
pub fn build_documents<I, E>(
    documents: I,
    source: Value,
    options: &Build,
    models: &Models,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<Built, EngineError>
where
    I: IntoIterator<Item = Result<Document, E>>,
    I::IntoIter: Send,
    E: std::error::Error + Send + Sync + 'static,
{
    check_models(options, models)?;
    let mut documents = documents.into_iter().peekable();
    let report =
        options.target().with_documents(&mut documents, source, models, |documents, ready| {
            quarry_indexer::build(documents, ready.encoder, ready.options, progress)
        })?;
    finish(options, (report, InputReport::default()), models, progress)
}

/// Before hours of work, not after.
fn check_models(options: &Build, models: &Models) -> Result<(), EngineError> {
    if let Some(source) = &options.dense {
        let model = models.open(source)?;
        if model.dense_model().is_none() {
            let (model, gives) = (model.manifest().name.clone(), model.gives());
            return Err(EngineError::NoDenseModel { model, gives });
        }
    }
    let Some(source) = &options.tokens else { return Ok(()) };
    let model = models.open(source)?;
    match model.token_model() {
        Some(_) => Ok(()),
        None => {
            let model = model.manifest().name.clone();
            Err(EngineError::NoTokenModel { model, made_by: None })
        }
    }
}

/// What follows a build.
fn finish(
    options: &Build,
    (mut report, input): (BuildReport, InputReport),
    models: &Models,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<Built, EngineError> {
    let writer = Writer::open(&options.out, models.clone())?;
    if let Some(model) = &options.tokens
        && !Index::open(&options.out, Verify::Envelope)?.has_tokens()
    {
        let from = TokensFrom::Model { model: model.clone(), dims: None };
        report.generation = writer
            .add_tokens(&from, &StoreTokens::default(), progress)
            .map_err(|source| WriteError::TokensAfterBuild { source: Box::new(source) })?;
    }
    if let Some(model) = &options.dense
        && Index::open(&options.out, Verify::Envelope)?.dense().is_none()
    {
        let from = DenseFrom::Model { model: model.clone(), max_tokens: None };
        report.generation = writer
            .add_dense(&from, StoreDense::default(), progress)
            .map_err(|source| WriteError::DenseAfterBuild { source: Box::new(source) })?;
    }
    let mut calibration = Calibration::Skipped;
    if options.calibrate && !report.already_complete {
        // Its parts were written a moment ago, of what was checked then.
        let how = Calibrate { model: options.encoding.model.clone(), ..Calibrate::default() };
        calibration = match writer.calibrate(&how, progress) {
            Ok(done) => {
                report.generation = done.generation.unwrap_or(report.generation);
                Calibration::Done(done)
            }
            Err(error) => Calibration::Failed(error),
        };
    }
    Ok(Built { report, input, calibration })
}

impl Build {
    pub(super) fn target(&self) -> Target<'_> {
        Target {
            out: &self.out,
            overwrite: self.overwrite,
            resume: self.resume,
            texts_as: self.texts_as,
            encoding: &self.encoding,
            seal: &self.seal,
            tokens: self.tokens.is_some(),
            filled_in: false,
            remembered: None,
            indexed: None,
        }
    }
}
