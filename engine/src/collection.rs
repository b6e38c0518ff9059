//! An open index with its models, and the generation that is searched.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use quarry_encoders::Device;
use quarry_index::folder::read_current;
use quarry_index::{Index, Verify};
use quarry_searcher::Searcher;
use quarry_vectors::EncodeQuery;

use crate::dense::{self, DenseModel};
use crate::describe::Description;
use crate::query::Once;
use crate::rerank::{Opened, SecondStage, TokensOptions};
use crate::search::{Answer, Search, SearchOptions, StoredDocument};
use crate::snapshot::{Parts, Snapshot};
use crate::{EngineError, ModelSource, Models, Query, identity};

/// What turns the text of queries into vectors.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum QueryModel {
    /// The copies of tokenizer and query table in the index. If queries need a network, the model that the
    /// index says it was built with is opened for the first text, provided that it is still there and unchanged
    /// ([`Models::remembered`]). Otherwise only encoded queries are answered; text is an error,
    /// [`EngineError::NeedsModel`].
    #[default]
    Copies,
    /// A model, which must be the one that encoded the documents.
    Model(ModelSource),
    /// The caller's encoder. The caller must know that it matches the index.
    Encoder(Arc<dyn EncodeQuery>),
    /// None: only encoded queries are answered.
    None,
}

impl fmt::Debug for QueryModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Copies => f.write_str("Copies"),
            Self::Model(source) => f.debug_tuple("Model").field(source).finish(),
            Self::Encoder(_) => f.write_str("Encoder(..)"),
            Self::None => f.write_str("None"),
        }
    }
}

/// How to open a collection. By default every byte is checked, queries are encoded with the copies in the
/// index, and token embeddings are not opened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OpenOptions {
    /// How much of the files to verify. [`Verify::Full`] reads every byte once.
    pub verify: Verify,
    /// Copy vectors and lists into memory, on huge pages if the system provides them. Cost: their size.
    pub preload: bool,
    /// Where models come from.
    pub models: Models,
    /// What turns the text of queries into vectors.
    pub queries: QueryModel,
    /// Device for the query network; a GPU is an error if queries need no network.
    pub encode_device: Device,
    /// Cache the vector of every encoded text, for query sets that are searched more than once. The cache
    /// grows with each new text.
    pub keep_encoded: bool,
    /// Correct the calibrated costs with the measured times of searches, as a server does. The method that
    /// [`crate::Method::Auto`] chooses then depends on the machine's load.
    pub observe: bool,
    /// Token embeddings, for the channel maxsim and for reranking; `None`: do not open them.
    pub tokens: Option<TokensOptions>,
    /// What turns the text of queries into dense vectors, for the channel dense.
    pub dense: DenseModel,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            verify: Verify::Full,
            preload: false,
            models: Models::default(),
            queries: QueryModel::Copies,
            encode_device: Device::Cpu,
            keep_encoded: false,
            observe: false,
            tokens: None,
            dense: DenseModel::Brought,
        }
    }
}

impl OpenOptions {
    /// Sets a model for queries, taken from `models`.
    #[must_use]
    pub fn with_model(self, source: ModelSource, models: Models) -> Self {
        Self { queries: QueryModel::Model(source), models, ..self }
    }

    /// Sets the options of token embeddings.
    #[must_use]
    pub fn with_tokens(self, tokens: TokensOptions) -> Self {
        Self { tokens: Some(tokens), ..self }
    }
}

/// An open index folder with its models. Threads can share it. Each request sees a single generation, even
/// if others are committed or loaded meanwhile.
pub struct Collection {
    options: OpenOptions,
    current: RwLock<Arc<Snapshot>>,
    /// Only one reload runs at a time; searches do not wait for it.
    reloading: Mutex<()>,
}

impl fmt::Debug for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collection").field("version", &self.snapshot().version()).finish()
    }
}

impl Collection {
    /// Opens the current generation of the index in `folder`.
    ///
    /// # Errors
    /// [`EngineError::Index`] if there is no index or a file is damaged; if a model is missing or not the one
    /// of the index. Cost: with [`Verify::Full`], reads every byte once, several files in parallel.
    pub fn open(folder: &Path, options: &OpenOptions) -> Result<Self, EngineError> {
        let index = open_index(folder, options.verify, options)?;
        Self::of_index(index, options)
    }

    /// Opens a collection over an index that is already open.
    ///
    /// # Errors
    /// The errors of [`Self::open`] about models.
    pub fn of_index(index: Arc<Index>, options: &OpenOptions) -> Result<Self, EngineError> {
        let snapshot = snapshot(index, options, None)?;
        Ok(Self {
            options: options.clone(),
            current: RwLock::new(Arc::new(snapshot)),
            reloading: Mutex::new(()),
        })
    }

    /// The current generation. Its files stay as long as the snapshot is held.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// If the folder holds a newer generation or another index, opens it for all later searches. Models are
    /// kept if they still match the index. Returns whether there was a newer one.
    ///
    /// # Errors
    /// The errors of [`Self::open`]; the old generation then stays in use. Cost: reads one small file if there
    /// is no newer generation.
    pub fn reload_if_newer(&self) -> Result<bool, EngineError> {
        self.reload(self.options.verify)
    }

    /// The same after a commit of this process, whose files need not be compared with their checksums again.
    pub(crate) fn reload_own(&self) -> Result<bool, EngineError> {
        self.reload(Verify::Envelope)
    }

    /// Opens what this process committed, if `before` is another generation. Searches do not see it before
    /// [`Self::show`].
    pub(crate) fn next(&self, before: &Arc<Snapshot>) -> Result<Arc<Snapshot>, EngineError> {
        let folder = before.index().folder();
        let (manifest, lease) = read_current(folder)?;
        if manifest == *before.index().manifest() {
            return Ok(Arc::clone(before));
        }
        let index = open_index(folder, Verify::Envelope, &self.options)?;
        drop(lease);
        Ok(Arc::new(snapshot(index, &self.options, Some(before))?))
    }

    /// Later searches see this generation.
    pub(crate) fn show(&self, snapshot: Arc<Snapshot>) {
        let _one = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = snapshot;
    }

    fn reload(&self, verify: Verify) -> Result<bool, EngineError> {
        let _one = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.snapshot();
        let (manifest, lease) = read_current(before.index().folder())?;
        // Not by the number alone: a backup that was put back may have a lower one, or the same.
        if manifest == *before.index().manifest() {
            return Ok(false);
        }
        drop(lease);
        let index = open_index(before.index().folder(), verify, &self.options)?;
        let after = snapshot(index, &self.options, Some(&before))?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(after);
        Ok(true)
    }

    /// Answers a search; see [`Snapshot::search`].
    ///
    /// # Errors
    /// The errors of [`Snapshot::search`].
    pub fn search(&self, search: &Search) -> Result<Answer, EngineError> {
        self.snapshot().search(search)
    }

    /// Answers many queries; see [`Snapshot::search_batch`].
    ///
    /// # Errors
    /// The errors of [`Snapshot::search_batch`].
    pub fn search_batch(
        &self,
        queries: &[Query],
        options: &SearchOptions,
    ) -> Result<Vec<Result<Answer, EngineError>>, EngineError> {
        self.snapshot().search_batch(queries, options)
    }

    /// The stored document with this id; see [`Snapshot::document`].
    ///
    /// # Errors
    /// The errors of [`Snapshot::document`].
    pub fn document(&self, id: &str) -> Result<StoredDocument, EngineError> {
        self.snapshot().document(id)
    }

    /// Stored documents of a single generation, in the order of the ids; each may have its own error.
    pub fn documents(&self, ids: &[&str]) -> Vec<Result<StoredDocument, EngineError>> {
        let snapshot = self.snapshot();
        ids.iter().map(|id| snapshot.document(id)).collect()
    }

    /// The collection's capabilities.
    #[must_use]
    pub fn describe(&self) -> Description {
        self.snapshot().describe()
    }
}

fn open_index(
    folder: &Path,
    verify: Verify,
    options: &OpenOptions,
) -> Result<Arc<Index>, EngineError> {
    let mut index = Index::open(folder, verify)?;
    if options.preload {
        index.preload()?;
    }
    Ok(Arc::new(index))
}

/// Opens the models of an index, and reuses those of an earlier generation that still match.
fn snapshot(
    index: Arc<Index>,
    options: &OpenOptions,
    before: Option<&Snapshot>,
) -> Result<Snapshot, EngineError> {
    let (encoder, needs) = query_side(&index, options, before)?;
    let same_tokens = before.filter(|before| {
        let source = |index: &Index| index.features().tokens.as_ref().map(|t| t.source.clone());
        source(before.index()) == source(&index)
    });
    let kept = same_tokens.and_then(Snapshot::second_stage).and_then(|s| s.encoder.clone());
    let opened = match &options.tokens {
        Some(tokens) => SecondStage::open(&index, &options.models, tokens, kept)?,
        None => Opened { stage: None, lacks: None },
    };
    let same_dense = before.filter(|before| {
        let source = |index: &Index| index.features().dense.as_ref().map(|d| d.source.clone());
        source(before.index()) == source(&index)
    });
    let kept = same_dense.and_then(|before| before.dense_encoder().cloned());
    let dense = dense::open(&index, &options.models, &options.dense, kept)?;
    let searcher = Searcher::new(index);
    let searcher = if options.observe { searcher.observing() } else { searcher };
    Ok(Snapshot::new(Parts {
        searcher,
        encoder,
        needs,
        second: opened.stage,
        tokens_lack: opened.lacks,
        dense: dense.encoder,
        dense_lacks: dense.lacks,
    }))
}

type QuerySide = (Option<Arc<dyn EncodeQuery>>, Option<String>);

/// The query encoder and, if there is none, the model that text queries need.
fn query_side(
    index: &Index,
    options: &OpenOptions,
    before: Option<&Snapshot>,
) -> Result<QuerySide, EngineError> {
    let sparse = |index: &Index| index.manifest().encoders.get("sparse").cloned();
    if let Some(before) = before.filter(|before| sparse(before.index()) == sparse(index)) {
        return Ok((before.encoder().cloned(), before.needs().map(str::to_owned)));
    }
    let on_gpu = options.encode_device == Device::Cuda;
    let encoder = match &options.queries {
        QueryModel::None | QueryModel::Encoder(_) if on_gpu => {
            return Err(EngineError::NoNetwork { why: "texts are not encoded by a model" });
        }
        QueryModel::None => return Ok((None, None)),
        QueryModel::Encoder(encoder) => Some(Arc::clone(encoder)),
        QueryModel::Copies => {
            let network = identity(index)?.filter(|identity| identity.query_graph.is_some());
            let lacks = !on_gpu && options.models.remembered(index).is_none();
            if let Some(network) = network.filter(|_| lacks) {
                return Ok((None, Some(network.model_name)));
            }
            options.models.query_encoder(index, None, options.encode_device)?
        }
        QueryModel::Model(source) => {
            options.models.query_encoder(index, Some(source), options.encode_device)?
        }
    };
    let once = |inner| Arc::new(Once::new(inner)) as Arc<dyn EncodeQuery>;
    Ok((if options.keep_encoded { encoder.map(once) } else { encoder }, None))
}
