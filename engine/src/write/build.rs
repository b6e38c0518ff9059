//! Builds an index from a collection on disk or from an iterator of documents.
//!
//! 1. open the collection and look at its first document  2. refuse contradictory options (`rules.rs`)
//! 3. open the model and its encoder, if texts are encoded  4. build  5. add token embeddings, then calibrate,
//!    if requested
//!
//! The index is committed after step 4, and again after each part of step 5.

use std::path::PathBuf;

use quarry_encoders::DenseOptions;
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

/// All options of a build.
#[derive(Debug, Clone, Default)]
pub struct Build {
    /// Folder of the index; created if missing.
    pub out: PathBuf,
    /// Replace an existing index, or discard an unfinished build.
    pub overwrite: bool,
    /// Continue an interrupted build; finished shards are not encoded again.
    pub resume: bool,
    /// What is built from texts.
    pub texts_as: TextsAs,
    /// Whether an index of no documents is for documents that bring vectors, and perhaps texts. Otherwise the first
    /// document says so.
    pub brings_vectors: bool,
    /// How texts are encoded.
    pub encoding: Encoding,
    /// How vectors, lists and fields are stored.
    pub seal: SealOptions,
    /// Also store token embeddings of the texts, by this model.
    pub tokens: Option<ModelSource>,
    /// Also store dense vectors of the texts, by this model.
    pub dense: Option<ModelSource>,
    /// Dimensions of these, the model's first ones; the model's own unless set.
    pub dense_dims: Option<u32>,
    /// Also calibrate the search methods.
    pub calibrate: bool,
}

/// The result of a build.
#[derive(Debug)]
pub struct Built {
    /// The built index; its generation is the one after the last step.
    pub report: BuildReport,
    /// Observations about the input; empty for an iterator.
    pub input: InputReport,
    /// The result of calibration.
    pub calibration: Calibration,
}

/// The result of calibration after a build. If it failed, searches use default parameters.
#[derive(Debug)]
pub enum Calibration {
    /// Not requested, or the index was already complete.
    Skipped,
    /// The tables.
    Done(Calibrated),
    /// It failed.
    Failed(EngineError),
}

/// Builds an index from a collection on disk.
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

/// Builds an index from an iterator of documents. Their ids must be unique, which is checked.
///
/// `source` identifies these documents: an interrupted build can be resumed if it is the same.
///
/// # Errors
/// The errors of [`build`].
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

/// Checks the dense and the token model before hours of work, not after.
fn check_models(options: &Build, models: &Models) -> Result<(), EngineError> {
    if let Some(source) = &options.dense {
        let model = models.open(source)?;
        let Some(dense) = model.dense_model() else {
            let (model, gives) = (model.manifest().name.clone(), model.gives());
            return Err(EngineError::NoDenseModel { model, gives });
        };
        dense.check(&DenseOptions { dims: options.dense_dims, ..DenseOptions::default() })?;
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

/// The steps after the index is built.
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
        let dims = options.dense_dims;
        let from = DenseFrom::Model { model: model.clone(), max_tokens: None, dims };
        report.generation = writer
            .add_dense(&from, StoreDense::default(), progress)
            .map_err(|source| WriteError::DenseAfterBuild { source: Box::new(source) })?;
    }
    let mut calibration = Calibration::Skipped;
    if options.calibrate && !report.already_complete {
        // The parts have just been written, from verified data.
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
            brings_vectors: self.brings_vectors,
            encoding: &self.encoding,
            seal: &self.seal,
            tokens: self.tokens.is_some(),
            filled_in: false,
            remembered: None,
            indexed: None,
            kept: None,
            known: None,
        }
    }
}
