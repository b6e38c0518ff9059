//! Models: where they come from, and whether they match an index.
//!
//! A model is a folder, a name on a hub (downloaded once), or the bundled one. The caller provides the
//! possible sources as [`Models`]; nothing here reads the environment.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quarry_encoders::{
    DenseIdentity, DenseOptions, Device, DocumentOptions, EncoderError, EncoderIdentity, Hub,
    HubEvent, Model, QuerySide, TokenIdentity, TokenOptions, TokenTableQuery,
};
use quarry_index::dense::DenseKept;
use quarry_index::tokens::TokensKept;
use quarry_index::{Index, QUERY_TABLE, TOKENIZER};
use quarry_vectors::{EncodeDense, EncodeError, EncodeQuery, EncodeTokens, SparseVector};
use serde_json::Value;

use crate::EngineError;
use crate::model_source::ModelSource;
use crate::remembered::{self, Later};

/// Most sessions of a query network; each holds a copy of the network's weights.
const QUERY_SESSIONS: usize = 8;

/// Callback for download events; may be called from any thread.
pub type OnFetch = Arc<dyn Fn(HubEvent<'_>) + Send + Sync>;

/// The sources of models.
#[derive(Clone, Default)]
pub struct Models {
    /// The bundled model's folder.
    pub bundled: Option<PathBuf>,
    /// The hub to download names from, with its cache.
    pub hub: Option<Hub>,
    /// Called with download events.
    pub progress: Option<OnFetch>,
}

impl std::fmt::Debug for Models {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Models").field("bundled", &self.bundled).finish_non_exhaustive()
    }
}

impl Models {
    /// The folder of a model given by folder or name. A name that is not in the cache is downloaded.
    ///
    /// # Errors
    /// [`EngineError::NoSuchModel`], [`EngineError::NoHub`], or the errors of [`Hub::get`].
    pub fn folder(&self, given: &str) -> Result<PathBuf, EngineError> {
        let path = Path::new(given);
        if path.is_dir() {
            return Ok(path.to_owned());
        }
        if !Hub::is_name(given) {
            return Err(EngineError::NoSuchModel { given: given.to_owned() });
        }
        let hub = self.hub.as_ref().ok_or_else(|| EngineError::NoHub { name: given.to_owned() })?;
        let hear = |event: HubEvent<'_>| {
            if let Some(progress) = &self.progress {
                progress(event);
            }
        };
        Ok(hub.get(given, &hear)?)
    }

    /// Opens a model and checks its small files against its manifest. Cost: reads the tokenizer and the query
    /// table; networks are only read when an encoder is created.
    ///
    /// # Errors
    /// The errors of [`Self::folder`] and [`Model::open`]; [`EngineError::NoBundledModel`].
    pub fn open(&self, source: &ModelSource) -> Result<Model, EngineError> {
        let open = |folder: PathBuf| {
            Model::open(&folder).map_err(|source| EngineError::Model { folder, source })
        };
        match source {
            ModelSource::Bundled => open(self.bundled.clone().ok_or(EngineError::NoBundledModel)?),
            ModelSource::Named(given) => open(self.folder(given)?),
            ModelSource::Pair { documents, queries } => {
                let (documents, queries) =
                    (open(self.folder(documents)?)?, open(self.folder(queries)?)?);
                Ok(documents.with_questions(queries)?)
            }
        }
    }

    /// The query encoder of an index: that of `given`, which must be the model that encoded its documents, or
    /// else one made from the copies in the index. `device` is where a network runs. `None` if the index's
    /// vectors came without a model and none is given.
    ///
    /// If queries need a network and no model is given, the model recorded in the index is opened for the
    /// first text ([`Self::remembered`]). If that model is missing, the encoder fails on every text with
    /// [`EngineError::NeedsModel`]; encoded queries still work.
    ///
    /// # Errors
    /// [`EngineError::OtherModel`], [`EngineError::OtherVocabulary`], [`EngineError::NoNetwork`], or if reading
    /// the model or the index fails.
    pub fn query_encoder(
        &self,
        index: &Index,
        given: Option<&ModelSource>,
        device: Device,
    ) -> Result<Option<Arc<dyn EncodeQuery>>, EngineError> {
        let identity = identity(index)?;
        let network = identity.as_ref().is_some_and(|identity| identity.query_graph.is_some());
        let remembered = || self.remembered(index).filter(|_| network);
        match (given, identity) {
            (Some(given), identity) => {
                let terms = index.lexicon().map(|lexicon| u64::from(lexicon.len()));
                self.encoder_of(given, identity.as_ref(), terms, device).map(Some)
            }
            (None, Some(identity)) => match remembered() {
                Some(source) if device == Device::Cpu => {
                    let models = self.clone();
                    let open =
                        move || models.encoder_of(&source, Some(&identity), None, Device::Cpu);
                    Ok(Some(Arc::new(Later::new(open))))
                }
                Some(source) => self.encoder_of(&source, Some(&identity), None, device).map(Some),
                None if device == Device::Cpu => of_copies(index, &identity),
                None => Err(EngineError::NoNetwork { why: "no model is given" }),
            },
            (None, None) if device == Device::Cpu => Ok(None),
            (None, None) => Err(EngineError::NoNetwork { why: "no model is given" }),
        }
    }

    /// The model recorded in the index, as folders, if it is still on this machine. Its checksums are compared
    /// where it is used, not here. Nothing is downloaded.
    #[must_use]
    pub fn remembered(&self, index: &Index) -> Option<ModelSource> {
        remembered::find(&index.manifest().build, self.hub.as_ref())
    }

    /// The dense model of an index: the one given, or, for [`ModelSource::Bundled`], which is the default, the one that
    /// the index records, if it is still on this machine. As with [`Self::remembered`] nothing is downloaded, and
    /// checksums are compared where it is used.
    pub(crate) fn dense_source(&self, index: Option<&Index>, given: &ModelSource) -> ModelSource {
        let recorded = || remembered::find_dense(&index?.manifest().build, self.hub.as_ref());
        match given {
            ModelSource::Bundled => recorded().unwrap_or_default(),
            given => given.clone(),
        }
    }

    /// The query encoder of a model that must match `identity` or, without one, have `terms` terms.
    pub(crate) fn encoder_of(
        &self,
        given: &ModelSource,
        identity: Option<&EncoderIdentity>,
        terms: Option<u64>,
        device: Device,
    ) -> Result<Arc<dyn EncodeQuery>, EngineError> {
        let model = self.open(given)?;
        match identity {
            Some(identity) => {
                model.identity(&DocumentOptions::default())?.check_answers(identity)?;
            }
            None => {
                let tokens = model.vocabulary().tokens().len() as u64;
                if terms.is_some_and(|terms| terms != tokens) {
                    let model = model.manifest().name.clone();
                    return Err(EngineError::OtherVocabulary { model });
                }
            }
        }
        let network = matches!(model.manifest().query, Some(QuerySide::Onnx(_)));
        if device == Device::Cuda && !network {
            return Err(EngineError::NoNetwork { why: "queries of this model use a table" });
        }
        // A GPU needs only one session.
        let most = if device == Device::Cuda { 1 } else { QUERY_SESSIONS };
        let sessions = NonZeroUsize::new(rayon::current_num_threads().min(most));
        let options = DocumentOptions { sessions, device, ..DocumentOptions::default() };
        Ok(model.question_encoder(&options)?.into())
    }

    /// The token encoder for queries to an index with token embeddings: that of `given`, which must be the
    /// model that made them.
    ///
    /// # Errors
    /// [`EngineError::ImportedTokens`], [`EngineError::NoTokenModel`], [`EngineError::OtherTokenModel`], or if
    /// reading the model fails.
    pub fn query_tokens(
        &self,
        index: &Index,
        given: &ModelSource,
    ) -> Result<Arc<dyn EncodeTokens>, EngineError> {
        let kept = index.features().tokens.as_ref();
        Ok(self.token_encoder(kept, given, Some(NonZeroUsize::MIN))?.encoder)
    }

    /// The token encoder of a model for documents, with the identity that the index stores. If the index has
    /// token embeddings, `kept`, the encoder uses their dimensions and lengths.
    ///
    /// # Errors
    /// The errors of [`Self::query_tokens`].
    pub fn token_encoder(
        &self,
        kept: Option<&TokensKept>,
        given: &ModelSource,
        sessions: Option<NonZeroUsize>,
    ) -> Result<MadeBy, EngineError> {
        let source = kept.map(|kept| &kept.source);
        if let Some(file) = source.and_then(|s| s.get("file")) {
            let file = file.as_str().map_or_else(|| file.to_string(), str::to_owned);
            return Err(EngineError::ImportedTokens { file });
        }
        let made = source.and_then(|s| serde_json::from_value::<TokenIdentity>(s.clone()).ok());
        let options = TokenOptions { sessions, ..token_options(made.as_ref()) };
        let model = self.open(given)?;
        let Some(tokens) = model.token_model() else {
            return Err(EngineError::NoTokenModel {
                model: model.manifest().name.clone(),
                made_by: made.map(|made| made.model_name),
            });
        };
        let found = tokens.identity(&options);
        if let Some(source) = source {
            // A model's name depends on how it was given (folder or name), so compare files and parameters.
            let same = made.as_ref().is_some_and(|made| {
                *made == TokenIdentity { model_name: made.model_name.clone(), ..found.clone() }
            });
            if !same {
                let made_by = made.map_or_else(|| source.to_string(), |made| made.model_name);
                let given = found.model_name;
                return Err(EngineError::OtherTokenModel { made_by, given });
            }
        }
        let encoder = Arc::new(tokens.encoder(&options)?);
        let json = |source| EngineError::Json { what: "the token model's identity", source };
        Ok(MadeBy { encoder, identity: serde_json::to_value(found).map_err(json)? })
    }
}

impl Models {
    /// The dense encoder of a model, with the identity that goes into an index: as the vectors `kept` were made, if
    /// there are some.
    ///
    /// # Errors
    /// [`EngineError::NoDenseModel`], [`EngineError::OtherDenseModel`], [`EngineError::NoDenseEncoder`] where the
    /// vectors came from files, or when the model's files fail.
    pub fn dense_encoder(
        &self,
        kept: Option<&DenseKept>,
        given: &ModelSource,
        how: &DenseOptions,
    ) -> Result<MadeByDense, EngineError> {
        let source = kept.map(|kept| &kept.source);
        if let Some(file) = source.and_then(|source| source.get("file")) {
            let file = file.as_str().map_or_else(|| file.to_string(), str::to_owned);
            return Err(EngineError::NoDenseEncoder { imported: Some(file) });
        }
        let made = source.and_then(|s| serde_json::from_value::<DenseIdentity>(s.clone()).ok());
        let as_made = made.as_ref().map(|made| &made.parameters);
        let options = DenseOptions {
            max_tokens: how.max_tokens.or(as_made.map(|made| made.max_tokens)),
            dims: how.dims.or(as_made.map(|made| made.dims)),
            ..how.clone()
        };
        if let (Some(dims), Some(made)) = (how.dims, as_made)
            && dims != made.dims
        {
            return Err(EncoderError::Parameter {
                parameter: "dims",
                expected: format!(
                    "{}, as the index's vectors have; --replace makes all anew",
                    made.dims
                ),
                found: dims,
            }
            .into());
        }
        let model = self.open(given)?;
        let Some(dense) = model.dense_model() else {
            let (model, gives) = (model.manifest().name.clone(), model.gives());
            return Err(EngineError::NoDenseModel { model, gives });
        };
        let found = dense.identity(&options);
        if let Some(source) = source {
            // By folder and by name a model is called differently; its files and parameters count.
            let same = made.as_ref().is_some_and(|made| {
                *made == DenseIdentity { model_name: made.model_name.clone(), ..found.clone() }
            });
            if !same {
                let made_by = made.map_or_else(|| source.to_string(), |made| made.model_name);
                let given = found.model_name;
                return Err(EngineError::OtherDenseModel { made_by, given });
            }
        }
        let encoder = Arc::new(dense.encoder(&options)?);
        let json = |source| EngineError::Json { what: "the dense model's identity", source };
        Ok(MadeByDense { encoder, identity: serde_json::to_value(found).map_err(json)? })
    }
}

/// An encoder of dense vectors, and what an index keeps of it.
#[derive(Clone)]
pub struct MadeByDense {
    /// The encoder.
    pub encoder: Arc<dyn EncodeDense>,
    /// Its identity, for the index.
    pub identity: Value,
}

impl std::fmt::Debug for MadeByDense {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MadeByDense").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// An encoder of token embeddings, with its identity.
#[derive(Clone)]
pub struct MadeBy {
    /// The encoder.
    pub encoder: Arc<dyn EncodeTokens>,
    /// Its identity, as the index stores it.
    pub identity: Value,
}

impl std::fmt::Debug for MadeBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MadeBy").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// The dimensions and lengths that existing embeddings were made with; by default the model's own.
#[must_use]
pub fn token_options(made: Option<&TokenIdentity>) -> TokenOptions {
    let parameters = made.map(|identity| &identity.parameters);
    TokenOptions {
        sessions: None,
        dims: parameters.map(|p| p.dims),
        max_tokens: parameters.map(|p| p.max_tokens),
        query_max_tokens: parameters.map(|p| p.query_max_tokens),
    }
}

/// The identity of the encoder that made an index's vectors; `None` if no model of ours did.
///
/// # Errors
/// [`EngineError::UnknownEncoder`].
pub fn identity(index: &Index) -> Result<Option<EncoderIdentity>, EngineError> {
    let Some(value) = index.manifest().encoders.get("sparse") else { return Ok(None) };
    let unknown =
        |source| EngineError::UnknownEncoder { folder: index.folder().to_owned(), source };
    serde_json::from_value(value.clone()).map(Some).map_err(unknown)
}

/// Whether text queries to an index need a network.
///
/// # Errors
/// The errors of [`identity`].
pub fn needs_network(index: &Index) -> Result<bool, EngineError> {
    Ok(identity(index)?.is_some_and(|identity| identity.query_graph.is_some()))
}

fn of_copies(
    index: &Index,
    identity: &EncoderIdentity,
) -> Result<Option<Arc<dyn EncodeQuery>>, EngineError> {
    if identity.query_graph.is_some() {
        return Ok(Some(Arc::new(NeedsModel { name: identity.model_name.clone() })));
    }
    let copies =
        TokenTableQuery::from_copies(identity, index.asset(TOKENIZER), index.asset(QUERY_TABLE))?;
    Ok(copies.map(|encoder| Arc::new(encoder) as Arc<dyn EncodeQuery>))
}

/// Stands for a network that was not given: fails on every text.
struct NeedsModel {
    name: String,
}

impl EncodeQuery for NeedsModel {
    fn encode_query(&self, _: &str) -> Result<SparseVector, EncodeError> {
        Err(EncodeError(Box::new(EngineError::NeedsModel { model: self.name.clone() })))
    }
}
