//! Changes of an existing index.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quarry_encoders::{DenseOptions, EncoderIdentity};
use quarry_index::dense::DenseKept;
use quarry_index::folder::read_current;
use quarry_index::{Index, Verify};
use quarry_indexer::{
    AddDense, AddOptions, AddReport, AddTokens, Adding, AsBuilt, DeleteReport, Event, Merge,
    MergeBeside, MergeReport, PreparedMerge, Rewrite, SealOptions, add, add_lists, delete,
    install_merge, is_share, merge, prepare_merge, rewrite,
};
use quarry_vectors::{Document, EncodeDense, EncodeTokens};
use serde_json::Value;

use super::dense::of_documents;
use super::known::{Known, KnownDense, KnownTokens};
use super::target::Target;
use super::{
    Calibrate, Calibrated, DenseFrom, Encoding, GraphOptions, Input, InputReport, OnProgress,
    Reading, StoreDense, StoreTokens, TextsAs, TokensFrom, WriteError, calibrate, dense, graph,
    tokens,
};
use crate::kept_encoders::KeptEncoders;
use crate::models::{MadeBy, MadeByDense, identity};
use crate::{EngineError, ModelSource, Models};

/// Default memory limit of a merge, in bytes.
const MERGE_MEMORY: u64 = 1 << 30;

/// Changes an index.
///
/// Each method that changes something commits a new generation before it returns. Readers keep the generation
/// that they opened. The folder is locked only during a call, so several writers can take turns; a call fails
/// if another process holds the lock.
#[derive(Debug, Clone)]
pub struct Writer {
    folder: PathBuf,
    models: Models,
    kept: Option<Arc<KeptEncoders>>,
    /// What is known of the texts that are added.
    known: Option<Arc<Known>>,
}

/// Options of adding documents.
#[derive(Debug, Clone)]
pub struct Add {
    /// How texts are encoded. Token and component limits, passages and provenance default to those that the
    /// index was built with. The model must be that of the index, which its checksum decides.
    pub encoding: Encoding,
    /// What is built from texts, if the index does not say.
    pub texts_as: TextsAs,
    /// How vectors, lists and fields are stored. [`Lists::Auto`](quarry_indexer::Lists::Auto) means the lists
    /// that the index has.
    pub seal: SealOptions,
    /// Token embeddings of the new documents.
    pub tokens: NewTokens,
    /// Their dense vectors.
    pub dense: NewDense,
    /// Their versions by id, of all of them; `None`: they have none of their own, but that of their segment
    /// ([`quarry_index::versions`]).
    pub versions: Option<HashMap<String, u64>>,
    /// Whether to merge the smallest segments afterwards if there are more than
    /// [`MOST_SEGMENTS`](quarry_indexer::MOST_SEGMENTS).
    pub merge: bool,
}

impl Default for Add {
    /// As the index was built, with the bundled model; small segments are merged.
    fn default() -> Self {
        Self {
            encoding: Encoding::default(),
            texts_as: TextsAs::default(),
            seal: SealOptions::default(),
            tokens: NewTokens::default(),
            dense: NewDense::default(),
            versions: None,
            merge: true,
        }
    }
}

/// Token embeddings of added documents.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum NewTokens {
    /// If the index has token embeddings: made by the model that encodes the texts.
    #[default]
    AsIndexed,
    /// Made by this model; an error for an index without token embeddings.
    By(ModelSource),
    /// None, although the index has them: reranking leaves the new documents where the first stage put them,
    /// until [`Writer::add_tokens`] fills the gap. An error for an index without token embeddings.
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

/// The result of adding documents.
#[derive(Debug, Clone)]
pub struct Added {
    /// What was added to the index.
    pub report: AddReport,
    /// Observations about the input; empty for an iterator.
    pub input: InputReport,
}

impl Writer {
    /// Opens the index in a folder for changes. Models are taken from `models` when they are needed.
    ///
    /// # Errors
    /// [`WriteError::IsShard`], or if there is no index.
    pub fn open(folder: &Path, models: Models) -> Result<Self, EngineError> {
        if is_share(folder) {
            return Err(WriteError::IsShard { path: folder.to_path_buf() }.into());
        }
        read_current(folder)?;
        Ok(Self { folder: folder.to_path_buf(), models, kept: None, known: None })
    }

    /// Keeps encoders open between changes.
    pub(crate) fn keeping(self, kept: Arc<KeptEncoders>) -> Self {
        Self { kept: Some(kept), ..self }
    }

    /// The same writer, which does not encode the texts again that are known.
    pub(crate) fn knowing(&self, known: Known) -> Self {
        Self { known: Some(Arc::new(known)), ..self.clone() }
    }

    pub(super) fn models(&self) -> &Models {
        &self.models
    }

    /// The folder of the index.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Adds the documents of a collection on disk; a document whose id exists replaces the old one. Vectors
    /// without ids are numbered after the index's highest number.
    ///
    /// # Errors
    /// If options contradict each other or the input ([`WriteError`]); if reading the collection or a model, or
    /// writing fails; if the model is not that of the index. Nothing is added then.
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
        let plain = |event| progress(event, &Reading::default());
        report.generation = self.filled(report.generation, &plain);
        Ok(Added { report, input })
    }

    /// Adds documents from an iterator.
    ///
    /// # Errors
    /// The errors of [`Self::add`].
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
        let mut report = ready.target(self, options).with_documents(
            &mut documents,
            Value::Null,
            &self.models,
            |documents, with| {
                add(documents, with.encoder, &ready.adding(with.options, options), progress)
            },
        )?;
        report.generation = self.filled(report.generation, progress);
        Ok(report)
    }

    /// Deletes the documents with these ids. Unknown ids are reported and have no other effect. Deleted
    /// documents take space until their segment is merged.
    ///
    /// # Errors
    /// [`WriteError::NoIds`] if no id is given; if another process writes to the index, or writing fails.
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

    /// Merges all segments into one without the deleted documents; `None` if there is nothing to merge.
    /// `memory`: bytes that buffers and sorting may take; by default 1 GiB.
    ///
    /// # Errors
    /// If a file is damaged, token embeddings would be lost, another process writes to the index, or writing
    /// fails; the old generation then stays.
    pub fn merge(
        &self,
        memory: Option<u64>,
        progress: &(dyn Fn(Event) + Sync),
    ) -> Result<Option<MergeReport>, EngineError> {
        let memory = memory.unwrap_or(MERGE_MEMORY);
        let merged = merge(&self.folder, Merge::All, memory, progress)?;
        let Some(mut report) = merged else { return Ok(None) };
        report.generation = self.filled(report.generation, progress);
        Ok(Some(report))
    }

    /// Adds lists to every segment that lacks them. Returns the new generation, or `None` if nothing was
    /// missing.
    ///
    /// # Errors
    /// If the index has no vectors, a parameter is out of range, another process writes to the index, or
    /// writing fails; the old generation then stays.
    pub fn add_lists(
        &self,
        lists: &AddOptions,
        progress: &(dyn Fn(Event) + Sync),
    ) -> Result<Option<u64>, EngineError> {
        let added = add_lists(&self.folder, lists, progress)?;
        Ok(added.map(|generation| self.filled(generation, progress)))
    }

    /// Adds token embeddings to every segment that lacks them, or to all segments if they are replaced. Returns
    /// the new generation. An interrupted run over texts is resumed.
    ///
    /// # Errors
    /// If every segment has them and they are not to be replaced; if the model is not that of the other
    /// segments; if the files do not match the documents; if there are no texts, or writing fails. The old
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
        let generation = dense::add(&self.folder, &self.models, from, store, progress)?;
        Ok(self.filled(generation, progress))
    }

    /// Builds the graph over the dense vectors of every segment that lacks it, or of all where it is replaced; the new
    /// generation, or `None` if nothing was missing. From then on every change of the index keeps the graph complete.
    ///
    /// # Errors
    /// If the index has no dense vectors, a file is damaged, another process writes to the index, or writing fails; the
    /// old generation then stays.
    pub fn add_graph(
        &self,
        options: GraphOptions,
        progress: &(dyn Fn(Event) + Sync),
    ) -> Result<Option<u64>, EngineError> {
        graph::add(&self.folder, options, progress)
    }

    /// Changes what documents store, and encodes nothing: each document is there, and is named once. The new generation.
    ///
    /// # Errors
    /// If a document is not there or a field does not fit; or writing fails. Nothing is changed then.
    pub(crate) fn rewrite(&self, rewrites: &[Rewrite], memory: u64) -> Result<u64, EngineError> {
        let generation = rewrite(&self.folder, rewrites, memory, &|_| {})?;
        Ok(self.filled(generation, &|_| {}))
    }

    /// Merges segments into `work`, an empty folder on the disk of the index, while the index is changed.
    /// [`Self::install_merge`] commits it. `None` if there is nothing to merge.
    ///
    /// # Errors
    /// As [`Self::merge`].
    pub(crate) fn prepare_merge(
        &self,
        which: MergeBeside<'_>,
        work: &Path,
        (memory, progress): (u64, &(dyn Fn(Event) + Sync)),
    ) -> Result<Option<PreparedMerge>, EngineError> {
        Ok(prepare_merge(&self.folder, which, work, memory, progress)?)
    }

    /// Commits a merge; `None` if its segments are no longer those of the index.
    ///
    /// # Errors
    /// As [`Self::merge`].
    pub(crate) fn install_merge(
        &self,
        prepared: PreparedMerge,
    ) -> Result<Option<MergeReport>, EngineError> {
        let Some(mut report) = install_merge(&self.folder, prepared)? else { return Ok(None) };
        report.generation = self.filled(report.generation, &|_| {});
        Ok(Some(report))
    }

    /// After a change that left the index at `generation`: builds the graph where it is lacking, if the index has one;
    /// the generation then. The change is committed, so a graph that cannot be built is logged and is no error: until
    /// it is there, the segment's vectors are scanned.
    fn filled(&self, generation: u64, progress: &(dyn Fn(Event) + Sync)) -> u64 {
        match graph::fill(&self.folder, progress) {
            Ok(made) => made.unwrap_or(generation),
            Err(error) => {
                let folder = self.folder.display();
                tracing::warn!(
                    %error,
                    "generation {generation} is complete, but for its graph: `quarry dense graph {folder}` builds it"
                );
                generation
            }
        }
    }

    /// Calibrates the search methods on this machine and stores the tables.
    ///
    /// # Errors
    /// If a file is damaged, the model is not that of the index, the index was changed meanwhile, or writing
    /// fails.
    pub fn calibrate(
        &self,
        how: &Calibrate,
        progress: &(dyn Fn(Event) + Sync),
    ) -> Result<Calibrated, EngineError> {
        calibrate::run(&self.folder, &self.models, how, progress)
    }

    /// The options with unset ones as the index was built, and the encoder of token embeddings.
    fn ready(&self, options: &Add) -> Result<ReadyToAdd, EngineError> {
        self.ready_for(&Index::open(&self.folder, Verify::Envelope)?, options)
    }

    /// The same for an index that is open.
    pub(super) fn ready_for(
        &self,
        index: &Index,
        options: &Add,
    ) -> Result<ReadyToAdd, EngineError> {
        let built = AsBuilt::of(index);
        let remembered = self.models.remembered(index);
        // Documents of an iterator leave no record of it.
        let words_alone = built.channel.as_deref() == Some(TextsAs::Bm25.name())
            || (index.has_text() && !index.has_sparse());
        let texts_as = if words_alone { TextsAs::Bm25 } else { options.texts_as };
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
                let open = || self.models.token_encoder(Some(kept), &by, None);
                let made = match &self.kept {
                    Some(all) => all.tokens((Some(kept.clone()), by.clone()), open),
                    None => open(),
                };
                let failed = |source| WriteError::NewTokens { source: Box::new(source) };
                Some(self.knows_tokens(made.map_err(failed)?))
            }
        };
        let dense = self.new_dense(index, built.dense.as_ref(), &options.dense)?;
        let (encoding, indexed) = (options.encoding.as_built(&built), identity(index)?);
        Ok(ReadyToAdd { encoding, texts_as, tokens, dense, remembered, indexed })
    }

    /// The encoder of the new documents' dense vectors, where they are made.
    fn new_dense(
        &self,
        index: &Index,
        kept: Option<&DenseKept>,
        wanted: &NewDense,
    ) -> Result<Option<MadeByDense>, EngineError> {
        let model = match (kept, wanted) {
            (None, NewDense::AsIndexed) | (_, NewDense::Without) => return Ok(None),
            (_, NewDense::AsIndexed) => {
                self.models.dense_source(Some(index), &ModelSource::Bundled)
            }
            (_, NewDense::By(model)) => model.clone(),
        };
        let how = DenseOptions::default();
        let open = || self.models.dense_encoder(kept, &model, &how);
        let made = match &self.kept {
            Some(all) => all.dense((kept.cloned(), model.clone(), how.clone()), open),
            None => open(),
        };
        let failed = |source| WriteError::NewDense { source: Box::new(of_documents(source)) };
        Ok(Some(self.knows_dense(made.map_err(failed)?)))
    }

    fn knows_tokens(&self, made: MadeBy) -> MadeBy {
        let Some(known) = self.known.clone() else { return made };
        MadeBy { encoder: Arc::new(KnownTokens { known, encoder: made.encoder }), ..made }
    }

    fn knows_dense(&self, made: MadeByDense) -> MadeByDense {
        let Some(known) = self.known.clone() else { return made };
        MadeByDense { encoder: Arc::new(KnownDense { known, encoder: made.encoder }), ..made }
    }
}

/// The prepared options of an addition.
pub(super) struct ReadyToAdd {
    encoding: Encoding,
    texts_as: TextsAs,
    tokens: Option<MadeBy>,
    dense: Option<MadeByDense>,
    /// The model that the index records as its own.
    remembered: Option<ModelSource>,
    indexed: Option<EncoderIdentity>,
}

impl ReadyToAdd {
    pub(super) fn encoding(&self) -> &Encoding {
        &self.encoding
    }

    /// The encoder of token embeddings.
    pub(super) fn token_encoder(&self) -> Option<Arc<dyn EncodeTokens>> {
        self.tokens.as_ref().map(|made| Arc::clone(&made.encoder))
    }

    /// The encoder of dense vectors.
    pub(super) fn dense_encoder(&self) -> Option<Arc<dyn EncodeDense>> {
        self.dense.as_ref().map(|made| Arc::clone(&made.encoder))
    }

    pub(super) fn target<'a>(&'a self, writer: &'a Writer, options: &'a Add) -> Target<'a> {
        Target {
            out: &writer.folder,
            overwrite: false,
            resume: false,
            texts_as: self.texts_as,
            brings_vectors: false,
            encoding: &self.encoding,
            seal: &options.seal,
            tokens: false,
            filled_in: true,
            remembered: self.remembered.as_ref(),
            indexed: self.indexed.as_ref(),
            kept: writer.kept.as_deref(),
            known: writer.known.as_deref(),
        }
    }

    fn adding<'a>(
        &'a self,
        built: &'a quarry_indexer::BuildOptions,
        options: &'a Add,
    ) -> Adding<'a> {
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
        let versions = options.versions.as_ref();
        Adding { tokens, dense, versions, merge: options.merge, ..Adding::new(built) }
    }
}
