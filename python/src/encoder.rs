//! A model's two sides: texts to sparse vectors.

use std::num::NonZeroUsize;
use std::process;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use quarry_engine::{DocumentOptions, EncodeError, EngineError, ModelSource, Models, SparseVector};
use quarry_vectors::{EncodeDocument, EncodeQuery, Passage};
use serde::Deserialize;

use crate::options::{self, On, Sources, source};
use crate::{errors, threads};

/// Documents that are encoded at once, as `quarry encode` does: a vector's last digits depend on it.
const DOCUMENTS: usize = 1024;
/// Queries between two looks for Ctrl-C.
const QUERIES: usize = 16;

/// How a model is run.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Running {
    model: Option<String>,
    device: On,
    sessions: Option<NonZeroUsize>,
    max_tokens: Option<u32>,
    top_k: Option<u32>,
    sources: Sources,
}

/// The sides that were used, of one process.
#[derive(Default)]
struct Sides {
    owner: u32,
    documents: Option<Arc<dyn EncodeDocument>>,
    queries: Option<Arc<dyn EncodeQuery>>,
}

/// A model as `quarry.Encoder` holds it. Networks are opened by the first text, and anew in a forked child.
#[pyclass(frozen, module = "quarry._native", name = "Encoder")]
pub(crate) struct Encoder {
    models: Models,
    source: ModelSource,
    options: DocumentOptions,
    name: String,
    tokens: Vec<String>,
    sides: Mutex<Sides>,
}

/// A matrix in rows: where each row begins and the last ends (i64), columns (i32), weights (f32).
type Matrix<'py> = (Bound<'py, PyBytes>, Bound<'py, PyBytes>, Bound<'py, PyBytes>);

impl Encoder {
    fn sides<T: Clone>(
        &self,
        side: impl Fn(&mut Sides) -> &mut Option<T>,
        open: impl Fn() -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let mut sides = self.sides.lock().unwrap_or_else(PoisonError::into_inner);
        if sides.owner != process::id() {
            let fresh = Sides { owner: process::id(), ..Sides::default() };
            // The parent's sessions are not here to be closed.
            std::mem::forget(std::mem::replace(&mut *sides, fresh));
        }
        let slot = side(&mut sides);
        if let Some(open) = slot {
            return Ok(open.clone());
        }
        let made = open()?;
        *slot = Some(made.clone());
        Ok(made)
    }
}

fn matrix<'py>(py: Python<'py>, vectors: &[SparseVector]) -> Matrix<'py> {
    let (mut starts, mut columns, mut weights) =
        (0i64.to_le_bytes().to_vec(), Vec::new(), Vec::new());
    let mut ends = 0u64;
    for vector in vectors {
        for (term, weight) in vector.iter() {
            columns.extend_from_slice(&term.to_le_bytes());
            weights.extend_from_slice(&weight.to_le_bytes());
        }
        ends += vector.len() as u64;
        starts.extend_from_slice(&ends.to_le_bytes());
    }
    (PyBytes::new(py, &starts), PyBytes::new(py, &columns), PyBytes::new(py, &weights))
}

#[pymethods]
impl Encoder {
    #[new]
    fn new(py: Python<'_>, how: &str) -> PyResult<Self> {
        let how: Running = options::read(py, how)?;
        let source = source(how.model.as_deref());
        let options = DocumentOptions {
            sessions: how.sessions,
            max_tokens: how.max_tokens,
            top_k: how.top_k,
            device: how.device.into(),
            ..DocumentOptions::default()
        };
        let models = how.sources.models();
        let model = threads::short(py, || models.open(&source))?;
        let model = model.map_err(|error| errors::raised(py, &error, None))?;
        let (name, tokens) = (model.manifest().name.clone(), model.vocabulary().tokens().to_vec());
        Ok(Self { models, source, options, name, tokens, sides: Mutex::default() })
    }

    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    /// The vocabulary: the token of each column.
    fn tokens(&self) -> Vec<String> {
        self.tokens.clone()
    }

    /// Vectors of passages, each a title and a text.
    fn documents<'py>(
        &self,
        py: Python<'py>,
        passages: Vec<(String, String)>,
    ) -> PyResult<Matrix<'py>> {
        let vectors = threads::interruptible(py, |cancel| {
            let open = || {
                let encoder = self.models.open(&self.source)?.document_encoder(&self.options)?;
                Ok(Arc::from(encoder))
            };
            let encoder = self.sides(|sides| &mut sides.documents, open)?;
            let mut vectors = Vec::with_capacity(passages.len());
            for part in passages.chunks(DOCUMENTS) {
                if cancel.load(Ordering::Relaxed) {
                    return Err(EngineError::Cancelled);
                }
                let part: Vec<Passage<'_>> =
                    part.iter().map(|(title, text)| Passage { title, text }).collect();
                vectors.extend(encoder.encode_documents(&part)?);
            }
            Ok(vectors)
        })?;
        Ok(matrix(py, &vectors.map_err(|error| errors::raised(py, &error, None))?))
    }

    /// Vectors of queries.
    fn queries<'py>(&self, py: Python<'py>, texts: Vec<String>) -> PyResult<Matrix<'py>> {
        let vectors = threads::interruptible(py, |cancel| {
            let open = || {
                let encoder = self.models.open(&self.source)?.question_encoder(&self.options)?;
                Ok(Arc::from(encoder))
            };
            let encoder = self.sides(|sides| &mut sides.queries, open)?;
            let mut vectors = Vec::with_capacity(texts.len());
            for part in texts.chunks(QUERIES) {
                if cancel.load(Ordering::Relaxed) {
                    return Err(EngineError::Cancelled);
                }
                let encoded = part.iter().map(|text| encoder.encode_query(text));
                vectors.extend(encoded.collect::<Result<Vec<_>, EncodeError>>()?);
            }
            Ok(vectors)
        })?;
        Ok(matrix(py, &vectors.map_err(|error| errors::raised(py, &error, None))?))
    }
}
