//! From documents to an index: a collection on disk, or whatever an iterator gives.
//!
//! 1. open the collection and look at its first document  2. refuse what does not go together (`rules.rs`)
//! 3. open the model and its encoder, where texts are encoded  4. build  5. token embeddings, then
//!    calibration, where they are wanted
//!
//! The index is committed after 4, and once more for each part of 5.

use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quarry_datasets::{CollectionFormat, DatasetError, open_collection, read_vocabulary};
use quarry_index::features::Channels;
use quarry_index::{Index, Verify};
use quarry_indexer::{
    BuildError, BuildOptions, BuildReport, EncoderSetup, Event, IngestOptions, Passages,
    SealOptions,
};
use quarry_vectors::Document;
use serde_json::{Map, Value};

use super::encoding::setup;
use super::input::Watched;
use super::rules::Content;
use super::{
    Calibrate, Calibrated, Encoding, Input, InputReport, OnProgress, Reading, StoreTokens, TextsAs,
    TokensFrom, WriteError, Writer,
};
use crate::{EngineError, ModelSource, Models};

/// Documents of a shard when a model encodes them: what a kill can cost.
const ENCODED_SHARD: usize = 1024;
/// Documents of a shard when vectors are given.
const GIVEN_SHARD: usize = 1 << 16;

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
/// something lies in the folder. [`WriteError::TokensAfterBuild`] when only the token embeddings failed.
pub fn build(
    input: &Input,
    options: &Build,
    models: &Models,
    progress: OnProgress<'_>,
) -> Result<Built, EngineError> {
    check_tokens(options, models)?;
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
    check_tokens(options, models)?;
    let mut documents = documents.into_iter().peekable();
    let report =
        options.target().with_documents(&mut documents, source, models, |documents, ready| {
            quarry_indexer::build(documents, ready.encoder, ready.options, progress)
        })?;
    finish(options, (report, InputReport::default()), models, progress)
}

/// Before hours of work, not after.
fn check_tokens(options: &Build, models: &Models) -> Result<(), EngineError> {
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
        }
    }
}

/// Where documents go, and what becomes of them there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) out: &'a Path,
    pub(super) overwrite: bool,
    pub(super) resume: bool,
    pub(super) texts_as: TextsAs,
    pub(super) encoding: &'a Encoding,
    pub(super) seal: &'a SealOptions,
    /// Whether token embeddings of the texts are wanted, too.
    pub(super) tokens: bool,
    /// Whether what the index was built with stands in for what was not given.
    pub(super) filled_in: bool,
}

/// What a build, a share of one, or an addition is started with.
pub(super) struct Ready<'a> {
    pub(super) encoder: Option<&'a EncoderSetup<'a>>,
    pub(super) options: &'a BuildOptions,
}

/// What is known of documents before the first is encoded.
struct Facts {
    encode: bool,
    has_vectors: bool,
    empty: bool,
    description: Map<String, Value>,
    source: Value,
    vocabulary: Option<Vec<String>>,
    ids_are_unique: bool,
}

impl Target<'_> {
    /// Opens a collection and its encoder, and hands both to `run`.
    pub(super) fn with_collection<T>(
        &self,
        input: &Input,
        models: &Models,
        progress: OnProgress<'_>,
        run: impl FnOnce(Peekable<Watched>, Ready<'_>, &(dyn Fn(Event) + Sync)) -> Result<T, BuildError>,
    ) -> Result<(T, InputReport), EngineError> {
        let reader = open_collection(&input.path, &input.options(self.seal))?;
        let format = reader.format();
        let reading = Arc::new(Reading::of(&reader));
        let mut documents = Watched { reader, reading: Arc::clone(&reading) }.peekable();
        let has_vectors = look(&mut documents)?.unwrap_or(
            // No document shows it; a format of vectors does, a file's name, or that their field was named.
            input.vector_field.is_some()
                || is_named_for_vectors(&input.path)
                || matches!(
                    format,
                    CollectionFormat::SeismicBin
                        | CollectionFormat::BigAnnCsr
                        | CollectionFormat::Ciff
                ),
        );
        let first = documents.peek().and_then(|document| document.as_ref().ok());
        let content = self.content(has_vectors, first);
        content.check_input(input, format)?;
        content.check_tokens(self.tokens)?;
        content.check_model(Some(input))?;
        let facts = Facts {
            encode: content.encodes(),
            has_vectors,
            empty: first.is_none(),
            description: input.description(format, self.seal.memory),
            source: input.source(self.encoding, self.texts_as, reading.bytes_total())?,
            vocabulary: input.vocabulary.as_deref().map(read_vocabulary).transpose()?,
            // The reader sees to it.
            ids_are_unique: true,
        };
        reading.set_encodes(facts.encode);
        let result = self.with_encoder(facts, models, |ready| {
            progress(Event::Resumed { documents: 0 }, &reading);
            run(documents, ready, &|event| progress(event, &reading))
        });
        let result = result.map_err(|error| match error {
            EngineError::Build(source @ BuildError::Document { .. }) if input.path.is_dir() => {
                WriteError::InFile { path: reading.path(), source: Box::new(source) }.into()
            }
            error => error,
        })?;
        Ok((result, reading.report()))
    }

    /// The same for documents of an iterator.
    pub(super) fn with_documents<T, I, E>(
        &self,
        documents: &mut Peekable<I>,
        source: Value,
        models: &Models,
        run: impl FnOnce(&mut Peekable<I>, Ready<'_>) -> Result<T, BuildError>,
    ) -> Result<T, EngineError>
    where
        I: Iterator<Item = Result<Document, E>>,
        E: std::error::Error + Send + Sync + 'static,
    {
        if matches!(documents.peek(), Some(Err(_)))
            && let Some(Err(error)) = documents.next()
        {
            return Err(BuildError::Input(Box::new(error)).into());
        }
        let first = documents.peek().and_then(|document| document.as_ref().ok());
        let content = self.content(first.is_some_and(|d| d.vector.is_some()), first);
        if first.is_some() && !content.encodes() && self.texts_as == TextsAs::Sparse {
            content.check_encoding("the documents bring their vectors, and it is about texts")?;
        }
        content.check_tokens(self.tokens)?;
        content.check_model(None)?;
        let facts = Facts {
            encode: content.encodes(),
            has_vectors: content.has_vectors,
            empty: first.is_none(),
            description: Map::new(),
            source,
            vocabulary: None,
            ids_are_unique: false,
        };
        self.with_encoder(facts, models, |ready| run(documents, ready))
    }

    fn content<'c>(&'c self, has_vectors: bool, first: Option<&'c Document>) -> Content<'c> {
        Content {
            encoding: self.encoding,
            texts_as: self.texts_as,
            filled_in: self.filled_in,
            has_vectors,
            first,
        }
    }

    /// Opens the encoder, where one is needed.
    fn with_encoder<T>(
        &self,
        facts: Facts,
        models: &Models,
        run: impl FnOnce(Ready<'_>) -> Result<T, BuildError>,
    ) -> Result<T, EngineError> {
        let options = self.encoding.options();
        let model = if facts.encode { Some(models.open(&self.encoding.source())?) } else { None };
        let encoder = model.as_ref().map(|m| m.document_encoder(&options)).transpose()?;
        let splitter = match (self.encoding.passages, &model) {
            (Some(size), Some(model)) => {
                Some((model.splitter(size.tokens, size.overlap, &options)?, size))
            }
            _ => None,
        };
        let setup = match (&model, &encoder) {
            (Some(model), Some(encoder)) => Some(EncoderSetup {
                passages: splitter.as_ref().map(|(splitter, size)| Passages {
                    splitter,
                    tokens: size.tokens,
                    overlap: size.overlap,
                }),
                ..setup(model, encoder.as_ref(), &options)?
            }),
            _ => None,
        };
        let options = self.options(facts);
        Ok(run(Ready { encoder: setup.as_ref(), options: &options })?)
    }

    fn options(&self, facts: Facts) -> BuildOptions {
        BuildOptions {
            out: self.out.to_path_buf(),
            overwrite: self.overwrite,
            resume: self.resume,
            channels: channels(self.texts_as, &facts),
            description: facts.description,
            source: facts.source,
            ingest: IngestOptions {
                shard_documents: if facts.encode { ENCODED_SHARD } else { GIVEN_SHARD },
                ids_are_unique: facts.ids_are_unique,
                vocabulary: facts.vocabulary,
            },
            seal: self.seal.clone(),
        }
    }
}

/// Whether a file's name ends as those of vectors do.
fn is_named_for_vectors(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name = name.trim_end_matches(".gz").trim_end_matches(".zst");
    [".bin", ".csr", ".ciff"].iter().any(|end| name.ends_with(end))
}

/// Whether the first document brings a vector; `None` without a document. Fails where the first one does:
/// before an unfinished build lies in the folder that the next try would be refused for.
fn look(documents: &mut Peekable<Watched>) -> Result<Option<bool>, DatasetError> {
    if matches!(documents.peek(), Some(Err(_)))
        && let Some(Err(error)) = documents.next()
    {
        return Err(error);
    }
    Ok(documents.peek().and_then(|d| d.as_ref().ok()).map(|document| document.vector.is_some()))
}

/// What an index without documents is one of.
fn channels(texts_as: TextsAs, facts: &Facts) -> Option<Channels> {
    let bm25 = texts_as == TextsAs::Bm25;
    match (facts.empty, facts.encode) {
        (true, false) => Some(Channels { sparse: facts.has_vectors && !bm25, bm25 }),
        _ => None,
    }
}
