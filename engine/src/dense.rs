//! Dense vectors of queries: what makes them, and whether they go with an index.

use std::num::NonZeroUsize;
use std::sync::Arc;

use quarry_encoders::DenseOptions;
use quarry_index::Index;
use quarry_searcher::SearchError;
use quarry_vectors::{DenseVector, EncodeDense};

use crate::{EngineError, ModelSource, Models, Query};

/// Most sessions of a network of queries at once: each holds the network's weights.
const SESSIONS: usize = 8;

/// What turns the text of queries into dense vectors.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum DenseModel {
    /// Nothing: queries bring theirs.
    #[default]
    Brought,
    /// A model, which must be the one that made the index's vectors; [`ModelSource::Bundled`] is also the one that the
    /// index records. Where those came from files, queries bring theirs all the same.
    Model(ModelSource),
    /// The same where the index has dense vectors that it made; else queries bring theirs, and
    /// [`crate::Snapshot::dense_lacks`] says why.
    IfItFits(ModelSource),
    /// An encoder. That it goes with the index is the caller's to know.
    Encoder(Arc<dyn EncodeDense>),
}

impl std::fmt::Debug for DenseModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Brought => f.write_str("Brought"),
            Self::Model(source) => f.debug_tuple("Model").field(source).finish(),
            Self::IfItFits(source) => f.debug_tuple("IfItFits").field(source).finish(),
            Self::Encoder(_) => f.write_str("Encoder(..)"),
        }
    }
}

/// An encoder, where there can be one, and why there is none.
#[derive(Default)]
pub(crate) struct OpenedDense {
    pub(crate) encoder: Option<Arc<dyn EncodeDense>>,
    pub(crate) lacks: Option<EngineError>,
}

/// Opens what makes dense vectors of queries to an index. `kept` is an encoder of an earlier generation with the same
/// vectors.
pub(crate) fn open(
    index: &Index,
    models: &Models,
    model: &DenseModel,
    kept: Option<Arc<dyn EncodeDense>>,
) -> Result<OpenedDense, EngineError> {
    let (source, optional) = match model {
        DenseModel::Brought => return Ok(OpenedDense::default()),
        DenseModel::Encoder(encoder) => {
            return Ok(OpenedDense { encoder: Some(Arc::clone(encoder)), lacks: None });
        }
        DenseModel::Model(source) => (source, false),
        DenseModel::IfItFits(source) => (source, true),
    };
    let has = index.dense();
    if kept.is_some() || has.is_none() {
        return Ok(OpenedDense { encoder: kept, lacks: None });
    }
    let sessions = NonZeroUsize::new(rayon::current_num_threads().min(SESSIONS));
    let how = DenseOptions { sessions, ..DenseOptions::default() };
    let source = models.dense_source(Some(index), source);
    match models.dense_encoder(has.as_ref(), &source, &how) {
        Ok(made) => Ok(OpenedDense { encoder: Some(made.encoder), lacks: None }),
        Err(error @ EngineError::NoDenseEncoder { .. }) => {
            Ok(OpenedDense { encoder: None, lacks: Some(error) })
        }
        Err(error) if optional => Ok(OpenedDense { encoder: None, lacks: Some(error) }),
        Err(error) => Err(error),
    }
}

/// The dense vector of a query: the one that it brings, else of its text; none of a blank text.
///
/// # Errors
/// [`SearchError::NoDense`]; [`EngineError::NoQuery`] without vector and text; [`EngineError::NoDenseEncoder`] for a
/// text without an encoder; [`SearchError::DenseDims`]; or as the encoder.
pub(crate) fn index_vector(
    index: &Index,
    encoder: Option<&dyn EncodeDense>,
    query: &Query,
) -> Result<Option<DenseVector>, EngineError> {
    let kept = index.dense().ok_or(SearchError::NoDense)?;
    let vector = match (&query.dense, &query.text, encoder) {
        (Some(vector), _, _) => Some(vector.clone()),
        (None, None, _) => return Err(EngineError::NoQuery { channel: "dense" }),
        (None, Some(_), None) => {
            let file = kept.source.get("file").and_then(serde_json::Value::as_str);
            return Err(EngineError::NoDenseEncoder { imported: file.map(str::to_owned) });
        }
        (None, Some(text), Some(encoder)) => encoder.encode_question(text)?,
    };
    match &vector {
        Some(vector) if vector.dims() != kept.dims => {
            Err(SearchError::DenseDims { found: vector.dims(), expected: kept.dims }.into())
        }
        _ => Ok(vector),
    }
}
