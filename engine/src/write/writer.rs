//! Changes of an index that is there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use quarry_encoders::{DenseOptions, EncoderIdentity};
use quarry_index::dense::DenseKept;
use quarry_index::folder::read_current;
use quarry_index::{Index, Verify};
use quarry_indexer::{
    AddDense, AddOptions, AddReport, AddTokens, Adding, AsBuilt, DeleteReport, Event, Merge,
    MergeReport, SealOptions, add, add_lists, delete, is_share, merge,
};
use quarry_vectors::Document;
use serde_json::Value;

use super::target::Target;
use super::{
    Calibrate, Calibrated, DenseFrom, Encoding, Input, InputReport, OnProgress, StoreDense,
    StoreTokens, TextsAs, TokensFrom, WriteError, calibrate, dense, tokens,
};
use crate::models::{MadeBy, MadeByDense, identity};
use crate::{EngineError, ModelSource, Models};

/// Bytes that a merge may take unless told otherwise.
const MERGE_MEMORY: u64 = 1 << 30;

/// An index that is changed.
///
/// Each method that changes something commits a new generation before it returns: a commit a call. Readers
/// go on with the generation that they opened. The lock of the folder is taken for the time of a call, so
/// that several writers take turns; a call that finds it taken fails.
#[derive(Debug, Clone)]
pub struct Writer {
    folder: PathBuf,
    models: Models,
}

/// How documents are added.
#[derive(Debug, Clone)]
pub struct Add {
    /// How texts are encoded. Longest passage, components, passages and provenance are those that the index
    /// was built with unless given; the model has to be the index's, which a checksum decides.
    pub encoding: Encoding,
    /// What is built of texts, where the index does not say it.
    pub texts_as: TextsAs,
    /// How vectors, lists and fields are stored. [`Lists::Auto`](quarry_indexer::Lists::Auto) stands for
    /// those that the index has.
    pub seal: SealOptions,
    /// The new documents' token embeddings.
    pub tokens: NewTokens,
    /// Their dense vectors.
    pub dense: NewDense,
    /// Whether the smallest segments are merged afterwards, where there are more than
    /// [`MOST_SEGMENTS`](quarry_indexer::MOST_SEGMENTS).
    pub merge: bool,
}

impl Default for Add {
    /// As the index was built, by the bundled model; small segments are merged.
    fn default() -> Self {
        Self {
            encoding: Encoding::default(),
            texts_as: TextsAs::default(),
            seal: SealOptions::default(),
            tokens: NewTokens::default(),
            dense: NewDense::default(),
            merge: true,
        }
    }
}

/// Token embeddings of documents that are added.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum NewTokens {
    /// Made where the index has them, by the model that encodes the texts.
    #[default]
    AsIndexed,
    /// Made by this model; refused for an index without token embeddings.
    By(ModelSource),
    /// Not made though the index has them: reranking leaves the new documents where the first stage puts
    /// them, until [`Writer::add_tokens`] fills the gap. Refused for an index without token embeddings.
    Without,
}

/// Dense vectors of documents that are added.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum NewDense {
    /// Made where the index has them, by the bundled model.
    #[default]
    AsIndexed,
    /// Made by this model; refused for an index without dense vectors.
    By(ModelSource),
    /// Not made though the index has them: the channel dense does not find the new documents until
    /// [`Writer::add_dense`] fills the gap. Refused for an index without dense vectors.
    Without,
}

/// What an addition did.
#[derive(Debug, Clone)]
pub struct Added {
    /// The index.
    pub report: AddReport,
    /// What was noticed of the input; empty for an iterator.
    pub input: InputReport,
}

impl Writer {
    /// The index in a folder. Models that are needed are taken from `models`.
    ///
    /// # Errors
    /// [`WriteError::IsShard`], or when there is no index.
    pub fn open(folder: &Path, models: Models) -> Result<Self, EngineError> {
        if is_share(folder) {
            return Err(WriteError::IsShard { path: folder.to_path_buf() }.into());
        }
        read_current(folder)?;
        Ok(Self { folder: folder.to_path_buf(), models })
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Adds the documents of a collection on disk; those whose id is there replace the old ones. Vectors
    /// without ids are numbered on after the index's highest number.
    ///
    /// # Errors
    /// When settings do not go together ([`WriteError`]); when the collection, a model or the disk fails;
    /// when the model is not the index's. Nothing is added then.
    pub fn add(
        &self,
        input: &Input,
        options: &Add,
        progress: OnProgress<'_>,
    ) -> Result<Added, EngineError> {
        let ready = self.ready(options)?;
        let (mut report, input) = ready.target(self, options).with_collection(
            input,
            &self.models,
            progress,
            |documents, with, progress| {
                add(documents, with.encoder, &ready.adding(with.options, options), progress)
            },
        )?;
        report.repeated += input.repeated;
        Ok(Added { report, input })
    }

    /// Adds documents that an iterator gives.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn add_documents<I, E>(
        &self,
        documents: I,
        options: &Add,
        progress: &(dyn Fn(Event) + Sync),
    ) -> Result<AddReport, EngineError>
    where
        I: IntoIterator<Item = Result<Document, E>>,
        I::IntoIter: Send,
        E: std::error::Error + Send + Sync + 'static,
    {
        let ready = self.ready(options)?;
        let mut documents = documents.into_iter().peekable();
        ready.target(self, options).with_documents(
            &mut documents,
            Value::Null,
            &self.models,
            |documents, with| {
                add(documents, with.encoder, &ready.adding(with.options, options), progress)
            },
        )
    }

    /// Deletes the documents with these ids. Ids that no document has are reported, and change nothing.
    /// What is deleted takes space until its segment is merged.
    ///
    /// # Errors
    /// [`WriteError::NoIds`] without an id; when another process writes there or the disk refuses.
    pub fn delete<'a>(
        &self,
        ids: impl IntoIterator<Item = &'a str>,
    ) -> Result<DeleteReport, EngineError> {
        let ids: BTreeSet<&str> = ids.into_iter().collect();
        if ids.is_empty() {
            return Err(WriteError::NoIds.into());
        }
        Ok(delete(&self.folder, ids)?)
    }

    /// Merges all segments into one, without what was deleted; `None` when there is nothing to merge.
    /// `memory`: bytes that buffers and sorting may take, 1 GiB unless given.
    ///
    /// # Errors
    /// When a file is damaged, token embeddings would be lost, another process writes there or the disk
    /// refuses; the old generation then stays.
    pub fn merge(
        &self,
        memory: Option<u64>,
        progress: &(dyn Fn(Event) + Sync),
    ) -> Result<Option<MergeReport>, EngineError> {
        let memory = memory.unwrap_or(MERGE_MEMORY);
        Ok(merge(&self.folder, Merge::All, memory, progress)?)
    }

    /// Adds lists to every segment that lacks them; the new generation, or `None` when nothing was lacking.
    ///
    /// # Errors
    /// When the index has no vectors, a parameter is out of range, another process writes there or the disk
    /// refuses; the old generation then stays.
    pub fn add_lists(
        &self,
        lists: &AddOptions,
        progress: &(dyn Fn(Event) + Sync),
    ) -> Result<Option<u64>, EngineError> {
        Ok(add_lists(&self.folder, lists, progress)?)
    }

    /// Adds token embeddings to every segment that lacks them, or to all where they are replaced; the new
    /// generation. A run over texts that was interrupted goes on where it ended.
    ///
    /// # Errors
    /// When every segment has them and they are not to be replaced; when the model is not that of the other
    /// segments; when files are about other documents; when there are no texts, or the disk refuses. The old
    /// generation then stays.
    pub fn add_tokens(
        &self,
        from: &TokensFrom,
        store: &StoreTokens,
        progress: &(dyn Fn(Event) + Sync),
    ) -> Result<u64, EngineError> {
        tokens::add(&self.folder, &self.models, from, store, progress)
    }

    /// Adds dense vectors to every segment that lacks them, or to all where they are replaced; the new generation.
    ///
    /// # Errors
    /// When every segment has them and they are not to be replaced; when those of the other segments are of another
    /// kind; when files are about other documents; or the disk refuses. The old generation then stays.
    pub fn add_dense(
        &self,
        from: &DenseFrom,
        store: StoreDense,
        progress: &(dyn Fn(Event) + Sync),
    ) -> Result<u64, EngineError> {
        dense::add(&self.folder, &self.models, from, store, progress)
    }

    /// Measures the search methods on this machine and keeps the tables.
    ///
    /// # Errors
    /// When a file is damaged, the model is not the index's, the index changed meanwhile, or the disk
    /// refuses.
    pub fn calibrate(
        &self,
        how: &Calibrate,
        progress: &(dyn Fn(Event) + Sync),
    ) -> Result<Calibrated, EngineError> {
        calibrate::run(&self.folder, &self.models, how, progress)
    }

    /// What the index was built with in place of what is not given, and the encoder of token embeddings.
    fn ready(&self, options: &Add) -> Result<ReadyToAdd, EngineError> {
        let index = Index::open(&self.folder, Verify::Envelope)?;
        let built = AsBuilt::of(&index);
        let remembered = self.models.remembered(&index);
        let texts_as = match built.channel.as_deref() == Some(TextsAs::Bm25.name()) {
            true => TextsAs::Bm25,
            false => options.texts_as,
        };
        let tokens = match (&built.tokens, &options.tokens) {
            (None, NewTokens::AsIndexed) | (Some(_), NewTokens::Without) => None,
            (None, _) => {
                return Err(WriteError::NoTokensThere { index: self.folder.clone() }.into());
            }
            (Some(kept), wanted) => {
                let by = match wanted {
                    NewTokens::By(model) => model.clone(),
                    _ => options.encoding.source(remembered.as_ref()),
                };
                let made = self.models.token_encoder(Some(kept), &by, None);
                let failed = |source| WriteError::NewTokens { source: Box::new(source) };
                Some(made.map_err(failed)?)
            }
        };
        let dense = self.new_dense(built.dense.as_ref(), &options.dense)?;
        let (encoding, indexed) = (options.encoding.as_built(&built), identity(&index)?);
        Ok(ReadyToAdd { encoding, texts_as, tokens, dense, remembered, indexed })
    }

    /// The encoder of the new documents' dense vectors, where they are made.
    fn new_dense(
        &self,
        kept: Option<&DenseKept>,
        wanted: &NewDense,
    ) -> Result<Option<MadeByDense>, EngineError> {
        let model = match (kept, wanted) {
            (None, NewDense::AsIndexed) | (_, NewDense::Without) => return Ok(None),
            (_, NewDense::AsIndexed) => ModelSource::Bundled,
            (_, NewDense::By(model)) => model.clone(),
        };
        let made = self.models.dense_encoder(kept, &model, &DenseOptions::default());
        let failed = |source| WriteError::NewDense { source: Box::new(source) };
        Ok(Some(made.map_err(failed)?))
    }
}

/// What an addition is made with.
struct ReadyToAdd {
    encoding: Encoding,
    texts_as: TextsAs,
    tokens: Option<MadeBy>,
    dense: Option<MadeByDense>,
    /// The model that the index was built with.
    remembered: Option<ModelSource>,
    indexed: Option<EncoderIdentity>,
}

impl ReadyToAdd {
    fn target<'a>(&'a self, writer: &'a Writer, options: &'a Add) -> Target<'a> {
        Target {
            out: &writer.folder,
            overwrite: false,
            resume: false,
            texts_as: self.texts_as,
            encoding: &self.encoding,
            seal: &options.seal,
            tokens: false,
            filled_in: true,
            remembered: self.remembered.as_ref(),
            indexed: self.indexed.as_ref(),
        }
    }

    fn adding<'a>(&'a self, built: &'a quarry_indexer::BuildOptions, options: &Add) -> Adding<'a> {
        let tokens = match &self.tokens {
            Some(made) => AddTokens::Encoder(made.encoder.as_ref(), &made.identity),
            None if options.tokens == NewTokens::Without => AddTokens::Without,
            None => AddTokens::None,
        };
        let dense = match &self.dense {
            Some(made) => AddDense::Encoder(made.encoder.as_ref(), &made.identity),
            None if options.dense == NewDense::Without => AddDense::Without,
            None => AddDense::None,
        };
        Adding { tokens, dense, merge: options.merge, ..Adding::new(built) }
    }
}
