//! Builds and changes of an index.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use pyo3::prelude::*;
use pyo3::types::PyIterator;
use quarry_engine::write::{
    Add, Build, Built, Calibration, Encoding, Input, NewDense, NewTokens, PassageSize, TextsAs,
    build as build_from, build_documents,
};
use quarry_engine::{EngineError, FieldRule, Writer};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::documents::{Documents, Raised};
use crate::options::{self, On, Sources, source};
use crate::{errors, threads};

/// How texts are encoded.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Encoded {
    model: Option<String>,
    device: On,
    sessions: Option<NonZeroUsize>,
    max_tokens: Option<u32>,
    top_k: Option<u32>,
    /// Tokens, and tokens that neighbours share.
    passages: Option<(u32, u32)>,
    provenance: bool,
}

impl Encoded {
    fn encoding(&self) -> Encoding {
        Encoding {
            model: self.model.as_deref().map(|model| source(Some(model))),
            device: self.device.into(),
            memory: None,
            sessions: self.sessions,
            max_tokens: self.max_tokens,
            top_k: self.top_k,
            passages: self.passages.map(|(tokens, overlap)| PassageSize { tokens, overlap }),
            provenance: self.provenance,
        }
    }
}

/// How an index is built.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Building {
    overwrite: bool,
    resume: bool,
    /// `sparse` or `bm25`.
    texts_as: String,
    encoding: Encoded,
    /// Types by field.
    fields: BTreeMap<String, String>,
    /// Bytes.
    memory: Option<u64>,
    tokens: bool,
    token_model: Option<String>,
    dense: bool,
    dense_model: Option<String>,
    dense_dims: Option<u32>,
    tune: bool,
    sources: Sources,
}

impl Building {
    fn build(&self, py: Python<'_>, out: PathBuf) -> PyResult<Build> {
        let mut build =
            Build { out, overwrite: self.overwrite, resume: self.resume, ..Build::default() };
        build.texts_as = texts_as(py, &self.texts_as)?;
        build.encoding = self.encoding.encoding();
        if let Some(memory) = self.memory {
            build.seal.memory = memory;
        }
        for (name, rule) in &self.fields {
            let given = rule.parse().map_err(|error: String| {
                errors::option(py, "invalid_option", &format!("field {name:?}: {error}"))
            })?;
            build.seal.fields.insert(name.clone(), FieldRule::Given(given));
        }
        let token_model = self.token_model.as_deref().or(self.encoding.model.as_deref());
        build.tokens = self.tokens.then(|| source(token_model));
        build.dense = self.dense.then(|| source(self.dense_model.as_deref()));
        build.dense_dims = self.dense_dims;
        build.calibrate = self.tune;
        Ok(build)
    }
}

fn texts_as(py: Python<'_>, name: &str) -> PyResult<TextsAs> {
    let all = [TextsAs::Sparse, TextsAs::Bm25];
    let found = all.into_iter().find(|texts_as| texts_as.name() == name);
    let text = format!("channel {name:?} is none of sparse, bm25");
    found.ok_or_else(|| errors::option(py, "invalid_option", &text))
}

/// Builds an index of a path, or of an iterator of documents as JSON; the report, as JSON.
#[pyfunction]
pub(crate) fn build(
    py: Python<'_>,
    out: PathBuf,
    path: Option<PathBuf>,
    documents: Option<Py<PyIterator>>,
    how: &str,
) -> PyResult<String> {
    let how: Building = options::read(py, how)?;
    let (build, models) = (how.build(py, out)?, how.sources.clone().models());
    let raised = Raised::default();
    let built = threads::interruptible(py, |cancel| match (path, documents) {
        (Some(path), _) => build_from(&Input::new(path), &build, &models, &|_, _| {}),
        (None, documents) => {
            let documents = of_python(documents, &raised, cancel);
            build_documents(documents, Value::Null, &build, &models, &|_| {})
        }
    })?;
    let Built { report, input, calibration } = built.map_err(|error| raised.or(py, &error))?;
    let calibration = match calibration {
        Calibration::Failed(error) => Some(error.to_string()),
        _ => None,
    };
    Ok(json!({
        "generation": report.generation,
        "documents": report.documents,
        "rows": report.rows,
        "empty_vectors": report.empty_vectors,
        "truncated": report.truncated,
        "mean_components": report.mean_components,
        "repeated": input.repeated,
        "not_tuned": calibration,
    })
    .to_string())
}

fn of_python(
    documents: Option<Py<PyIterator>>,
    raised: &Raised,
    cancel: &Arc<AtomicBool>,
) -> impl Iterator<Item = <Documents as Iterator>::Item> + Send {
    let new = |documents| Documents::new(documents, raised.clone(), Arc::clone(cancel));
    documents.map(new).into_iter().flatten()
}

/// How documents are added.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Adding {
    encoding: Encoded,
    tokens: bool,
    dense: bool,
    merge: bool,
    sources: Sources,
}

/// Adds documents of a path, or of an iterator; the report, as JSON.
#[pyfunction]
pub(crate) fn add(
    py: Python<'_>,
    index: PathBuf,
    path: Option<PathBuf>,
    documents: Option<Py<PyIterator>>,
    how: &str,
) -> PyResult<String> {
    let how: Adding = options::read(py, how)?;
    let mut add = Add { encoding: how.encoding.encoding(), merge: how.merge, ..Add::default() };
    if !how.tokens {
        add.tokens = NewTokens::Without;
    }
    if !how.dense {
        add.dense = NewDense::Without;
    }
    let (models, raised) = (how.sources.models(), Raised::default());
    let added = threads::interruptible(py, |cancel| {
        let writer = Writer::open(&index, models)?;
        match (path, documents) {
            (Some(path), _) => Ok(writer.add(&Input::new(path), &add, &|_, _| {})?.report),
            (None, documents) => {
                writer.add_documents(of_python(documents, &raised, cancel), &add, &|_| {})
            }
        }
    })?;
    let report = added.map_err(|error: EngineError| raised.or(py, &error))?;
    Ok(json!({
        "generation": report.generation,
        "added": report.added,
        "replaced": report.replaced,
        "repeated": report.repeated,
        "empty_vectors": report.empty_vectors,
        "truncated": report.truncated,
    })
    .to_string())
}

/// Deletes documents; the report, as JSON.
#[pyfunction]
pub(crate) fn delete(py: Python<'_>, index: PathBuf, ids: Vec<String>) -> PyResult<String> {
    let deleted = threads::short(py, || {
        let writer = Writer::open(&index, quarry_engine::Models::default())?;
        writer.delete(ids.iter().map(String::as_str))
    })?;
    let report = deleted.map_err(|error: EngineError| errors::raised(py, &error, None))?;
    let (generation, deleted) = (report.generation, report.deleted);
    Ok(json!({"generation": generation, "deleted": deleted, "unknown": report.unknown}).to_string())
}

/// Merges all segments; the report, as JSON: null where there was nothing to merge.
#[pyfunction]
#[pyo3(signature = (index, memory))]
pub(crate) fn merge(py: Python<'_>, index: PathBuf, memory: Option<u64>) -> PyResult<String> {
    let merged = threads::interruptible(py, |_| {
        let writer = Writer::open(&index, quarry_engine::Models::default())?;
        writer.merge(memory, &|_| {})
    })?;
    let report = merged.map_err(|error: EngineError| errors::raised(py, &error, None))?;
    let shown = report.map(|report| {
        json!({
            "generation": report.generation,
            "merged": report.merged,
            "segments": report.segments,
            "dropped": report.dropped,
        })
    });
    Ok(json!(shown).to_string())
}
