//! Turns a collection or an iterator into documents with an encoder, ready to be stored.

use std::iter::Peekable;
use std::path::Path;
use std::sync::Arc;

use quarry_datasets::{CollectionFormat, DatasetError, open_collection, read_vocabulary};
use quarry_encoders::{DocumentOptions, EncoderIdentity, IdentityMismatch, Model};
use quarry_index::features::Channels;
use quarry_indexer::{
    BuildError, BuildOptions, EncoderSetup, Event, IngestOptions, Passages, SealOptions,
};
use quarry_vectors::{Document, EncodeDocument, SplitText};
use serde_json::{Map, Value};

use super::encoding::{Encoding, TextsAs, setup};
use super::input::{Input, InputReport, Reading, Watched};
use super::known::{Known, KnownDocuments, KnownSplits};
use super::rules::Content;
use super::{OnProgress, WriteError};
use crate::kept_encoders::{KeptEncoders, OpenDocuments};
use crate::remembered::record;
use crate::{EngineError, ModelSource, Models};

/// Documents per shard if a model encodes them: the most work that an interruption can lose.
const ENCODED_SHARD: usize = 1024;
/// Documents per shard if vectors are given.
const GIVEN_SHARD: usize = 1 << 16;

/// Where documents are stored, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) out: &'a Path,
    pub(super) overwrite: bool,
    pub(super) resume: bool,
    pub(super) texts_as: TextsAs,
    /// Whether an iterator without documents is of documents with vectors, and perhaps texts.
    pub(super) brings_vectors: bool,
    pub(super) encoding: &'a Encoding,
    pub(super) seal: &'a SealOptions,
    /// Whether token embeddings of the texts are also wanted.
    pub(super) tokens: bool,
    /// Whether options that were not given are taken from how the index was built.
    pub(super) filled_in: bool,
    /// When adding to an index: the model that it records as its own.
    pub(super) remembered: Option<&'a ModelSource>,
    /// When adding to an index: the identity of its encoder.
    pub(super) indexed: Option<&'a EncoderIdentity>,
    /// Where encoders stay open.
    pub(super) kept: Option<&'a KeptEncoders>,
    /// What is known of the documents' texts.
    pub(super) known: Option<&'a Known>,
}

/// The input of a build, of a share of one, or of an addition.
pub(super) struct Ready<'a> {
    pub(super) encoder: Option<&'a EncoderSetup<'a>>,
    pub(super) options: &'a BuildOptions,
}

/// What is known about the documents before the first is encoded.
struct Facts {
    encode: bool,
    has_vectors: bool,
    /// Whether documents that are yet to come have texts beside their vectors.
    has_texts: bool,
    empty: bool,
    description: Map<String, Value>,
    source: Value,
    vocabulary: Option<Vec<String>>,
    ids_are_unique: bool,
}

impl Target<'_> {
    /// Opens a collection and its encoder, and calls `run` with both.
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
            // Without a document, go by a vector format, the file's name or a given vector field.
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
            has_texts: false,
            empty: first.is_none(),
            description: self.described(&content, input.description(format, self.seal.memory)),
            source: input.source(self.encoding, self.texts_as, reading.bytes_total())?,
            vocabulary: input.vocabulary.as_deref().map(read_vocabulary).transpose()?,
            // The reader ensures it.
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
        let has_vectors = first.map_or(self.brings_vectors, |d| d.vector.is_some());
        let content = self.content(has_vectors, first);
        if first.is_some() && !content.encodes() && self.texts_as == TextsAs::Sparse {
            content.check_encoding("the documents bring their vectors, and it is about texts")?;
        }
        content.check_tokens(self.tokens)?;
        content.check_model(None)?;
        let facts = Facts {
            encode: content.encodes(),
            has_vectors: content.has_vectors,
            has_texts: self.brings_vectors,
            empty: first.is_none(),
            description: self.described(&content, Map::new()),
            source,
            vocabulary: None,
            ids_are_unique: false,
        };
        self.with_encoder(facts, models, |ready| run(documents, ready))
    }

    /// The description of a build, with the source of its model.
    fn described(
        &self,
        content: &Content<'_>,
        mut description: Map<String, Value>,
    ) -> Map<String, Value> {
        if let Some(model) = self.encoding.model.as_ref().filter(|_| content.encodes()) {
            record(model, &mut description);
        }
        description
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

    /// Opens the encoder, if one is needed.
    fn with_encoder<T>(
        &self,
        facts: Facts,
        models: &Models,
        run: impl FnOnce(Ready<'_>) -> Result<T, BuildError>,
    ) -> Result<T, EngineError> {
        let options = self.encoding.options();
        let opened = facts.encode.then(|| self.opened(models)).transpose()?;
        let model = opened.as_ref().map(|opened| &opened.model);
        let plain = opened.as_ref().map(|opened| opened.encoder.as_ref());
        let knowing = self.known.zip(plain).map(|(known, e)| KnownDocuments::new(known, e));
        let encoder = knowing.as_ref().map(|knowing| knowing as &dyn EncodeDocument).or(plain);
        let splitter = match (self.encoding.passages, model) {
            (Some(size), Some(model)) => {
                Some((model.splitter(size.tokens, size.overlap, &options)?, size))
            }
            _ => None,
        };
        let split = splitter.as_ref().map(|(splitter, _)| splitter as &dyn SplitText);
        let knowing =
            self.known.zip(split).map(|(known, splitter)| KnownSplits { known, splitter });
        let split = knowing.as_ref().map(|knowing| knowing as &dyn SplitText).or(split);
        let setup = match (model, encoder) {
            (Some(model), Some(encoder)) => Some(EncoderSetup {
                passages: splitter.as_ref().zip(split).map(|((_, size), splitter)| Passages {
                    splitter,
                    tokens: size.tokens,
                    overlap: size.overlap,
                }),
                ..setup(model, encoder, &options)?
            }),
            _ => None,
        };
        let options = self.options(facts);
        Ok(run(Ready { encoder: setup.as_ref(), options: &options })?)
    }

    /// The model and its encoder of documents, kept open where encoders are kept.
    pub(super) fn opened(&self, models: &Models) -> Result<Arc<OpenDocuments>, EngineError> {
        let options = self.encoding.options();
        let source = self.encoding.source(self.remembered);
        let open = || {
            let model = models.open(&source)?;
            self.check_remembered(&model, &options)?;
            let encoder = model.document_encoder(&options)?;
            Ok(OpenDocuments { model, encoder })
        };
        let opened = match self.kept {
            None => Arc::new(open()?),
            Some(kept) => kept.documents((source.clone(), options.clone()), open)?,
        };
        self.check_remembered(&opened.model, &options)?;
        Ok(opened)
    }

    /// Checks that the model recorded in an index is really its model, before its network is opened.
    fn check_remembered(
        &self,
        model: &Model,
        options: &DocumentOptions,
    ) -> Result<(), EngineError> {
        let named_by_index = self.encoding.model.is_none() && self.remembered.is_some();
        let Some(indexed) = self.indexed.filter(|_| named_by_index) else { return Ok(()) };
        let found = model.identity(options)?;
        if found.model_sha256 == indexed.model_sha256 {
            return Ok(());
        }
        let (indexed, given) = (indexed.model_name.clone(), found.model_name);
        Err(IdentityMismatch { indexed, given }.into())
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

/// Whether a file's name ends like those of vector files.
fn is_named_for_vectors(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name = name.trim_end_matches(".gz").trim_end_matches(".zst");
    [".bin", ".csr", ".ciff"].iter().any(|end| name.ends_with(end))
}

/// Whether the first document has a vector; `None` if there are no documents. Fails if reading the first one
/// fails, before an unfinished build is left that would block the next attempt.
fn look(documents: &mut Peekable<Watched>) -> Result<Option<bool>, DatasetError> {
    if matches!(documents.peek(), Some(Err(_)))
        && let Some(Err(error)) = documents.next()
    {
        return Err(error);
    }
    Ok(documents.peek().and_then(|d| d.as_ref().ok()).map(|document| document.vector.is_some()))
}

/// The channels of an index without documents; `None` if its documents decide.
fn channels(texts_as: TextsAs, facts: &Facts) -> Option<Channels> {
    let bm25 = texts_as == TextsAs::Bm25;
    match (facts.empty, facts.encode) {
        (true, false) => {
            Some(Channels { sparse: facts.has_vectors && !bm25, bm25: bm25 || facts.has_texts })
        }
        _ => None,
    }
}
