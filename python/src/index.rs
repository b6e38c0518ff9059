//! An open index: searches of one query and of many, stored documents.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use quarry_engine::{
    Collection, EngineError, OpenOptions, Query, Ranked, Search, SearchOptions, Snapshot, Verify,
    needs_network,
};

use crate::errors::raised;
use crate::found::Found;
use crate::options::{Opening, Searching};
use crate::queries::Rows;
use crate::{answers, errors, options, queries, threads};

/// Queries that are handed to the engine at once where each takes long.
const SLOW_PART: usize = 32;

/// An index as `quarry.Index` holds it.
#[pyclass(frozen, module = "quarry._native", name = "Index")]
pub(crate) struct Index {
    path: PathBuf,
    options: OpenOptions,
    /// With the process that opened it.
    opened: Mutex<(u32, Arc<Collection>)>,
}

impl Index {
    /// The collection, in this process.
    fn collection(&self, py: Python<'_>) -> PyResult<Arc<Collection>> {
        if let Ok(opened) = self.opened.try_lock()
            && opened.0 == process::id()
        {
            return Ok(Arc::clone(&opened.1));
        }
        // Without Python's lock: whoever holds this one may be waiting for that.
        let opened = threads::short(py, || self.of_this_process())?;
        opened.map_err(|error| raised(py, &error, None))
    }

    /// A forked child has none of the threads of ONNX Runtime, which would be waited for for ever: there the collection is
    /// opened anew if it has such a model.
    fn of_this_process(&self) -> Result<Arc<Collection>, EngineError> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if opened.0 != process::id() {
            if has_network(&opened.1.snapshot()) {
                let mut options = self.options.clone();
                options.verify = Verify::Envelope;
                let made = Arc::new(Collection::open(&self.path, &options)?);
                // The parent's sessions are not here to be closed.
                std::mem::forget(std::mem::replace(&mut opened.1, made));
            }
            opened.0 = process::id();
        }
        Ok(Arc::clone(&opened.1))
    }

    fn snapshot(&self, py: Python<'_>) -> PyResult<Arc<Snapshot>> {
        Ok(self.collection(py)?.snapshot())
    }

    fn found(&self, py: Python<'_>, queries: Vec<Query>, how: &str) -> PyResult<Found> {
        let snapshot = self.snapshot(py)?;
        let how: Searching = options::read(py, how)?;
        let plain = how.options(py, &snapshot)?;
        let part = if how.is_slow() { SLOW_PART } else { queries.len().max(1) };
        let found = threads::interruptible(py, |cancel| {
            let mut options = plain;
            options.cancel = Some(Arc::clone(cancel));
            ranked(&snapshot, &queries, &options, part)
        })?;
        match found {
            Ok(rankings) => Ok(Found::new(snapshot, rankings)),
            Err(failed) => Err(raised(py, &failed.error, failed.at)),
        }
    }
}

fn has_network(snapshot: &Snapshot) -> bool {
    needs_network(snapshot.index()).unwrap_or(true)
        || snapshot.second_stage().is_some()
        || snapshot.dense_encoder().is_some()
}

/// An error, and the query that it is of.
struct Failed {
    error: EngineError,
    at: Option<usize>,
}

/// The rankings, or the first error with its query.
fn ranked(
    snapshot: &Snapshot,
    queries: &[Query],
    options: &SearchOptions,
    part: usize,
) -> Result<Vec<Ranked>, Box<Failed>> {
    let mut all = Vec::with_capacity(queries.len());
    for part in queries.chunks(part) {
        let found =
            snapshot.rank_batch(part, options).map_err(|error| Failed { error, at: None })?;
        for ranked in found {
            let at = all.len();
            all.push(ranked.map_err(|error| Failed { error, at: Some(at) })?);
        }
    }
    Ok(all)
}

#[pymethods]
impl Index {
    #[new]
    fn new(py: Python<'_>, path: PathBuf, how: &str) -> PyResult<Self> {
        let how: Opening = options::read(py, how)?;
        let options = how.options();
        let opened = threads::short(py, || Collection::open(&path, &options))?;
        let opened = opened.map_err(|error| raised(py, &error, None))?;
        Ok(Self { path, options, opened: Mutex::new((process::id(), Arc::new(opened))) })
    }

    /// What the index is and can do, as JSON.
    fn describe(&self, py: Python<'_>) -> PyResult<String> {
        Ok(answers::description(&self.snapshot(py)?.describe()).to_string())
    }

    /// Opens a newer generation, if there is one, for all later searches; says whether there was.
    fn reload(&self, py: Python<'_>) -> PyResult<bool> {
        let collection = self.collection(py)?;
        let newer = threads::short(py, || collection.reload_if_newer())?;
        newer.map_err(|error| raised(py, &error, None))
    }

    /// Many queries of a list.
    fn batch(&self, py: Python<'_>, queries: Vec<Bound<'_, PyAny>>, how: &str) -> PyResult<Found> {
        self.found(py, queries::of_list(py, &queries)?, how)
    }

    /// Many queries as rows of a matrix: starts, columns, weights.
    fn batch_rows(
        &self,
        py: Python<'_>,
        rows: (PyBackedBytes, PyBackedBytes, PyBackedBytes),
        own_terms: bool,
        how: &str,
    ) -> PyResult<Found> {
        let rows = Rows { starts: &rows.0, numbers: &rows.1, weights: &rows.2, own_terms };
        self.found(py, queries::of_rows(py, rows)?, how)
    }

    /// Many dense vectors.
    fn batch_dense(
        &self,
        py: Python<'_>,
        values: &[u8],
        dims: usize,
        how: &str,
    ) -> PyResult<Found> {
        self.found(py, queries::of_dense(py, values, dims)?, how)
    }

    /// One query, with all that an answer has, as JSON.
    fn search(&self, py: Python<'_>, query: &Bound<'_, PyAny>, how: &str) -> PyResult<String> {
        let snapshot = self.snapshot(py)?;
        let how: Searching = options::read(py, how)?;
        let options = how.options(py, &snapshot)?;
        let search = Search::new(queries::one(py, query, 0)?, options);
        // MaxSim and networks take several cores, which only the package's own threads are sure to have.
        let found = match how.is_slow() || has_network(&snapshot) {
            true => threads::short(py, || snapshot.search(&search))?,
            false => threads::here(py, || snapshot.search(&search)),
        };
        let answer = found.map_err(|error| raised(py, &error, None))?;
        Ok(answers::answer(&answer).to_string())
    }

    /// A stored document's fields, as JSON.
    fn document(&self, py: Python<'_>, id: &str) -> PyResult<String> {
        let snapshot = self.snapshot(py)?;
        let found = threads::here(py, || snapshot.document(id));
        let found = found.map_err(|error| raised(py, &error, None))?;
        serde_json::to_string(&found.fields)
            .map_err(|error| errors::other(py, "internal", &error.to_string()))
    }

    /// Up to `limit` documents that are searched, from a row on: ids.
    fn ids(&self, py: Python<'_>, from: usize, limit: NonZeroUsize) -> PyResult<Vec<String>> {
        let snapshot = self.snapshot(py)?;
        let ids = snapshot.index().segments().iter().flat_map(|segment| {
            let deleted = segment.deleted();
            let documents = segment.documents();
            let count = u32::try_from(documents.len()).unwrap_or(u32::MAX);
            let live = (0..count).filter(move |row| deleted.is_none_or(|d| !d.contains(*row)));
            live.map(move |row| documents.id(quarry_vectors::DocId(row)).to_owned())
        });
        Ok(ids.skip(from).take(limit.get()).collect())
    }

    /// The tokens of the index's own terms, in their order; none of an index without vectors.
    fn tokens(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let snapshot = self.snapshot(py)?;
        let Some(lexicon) = snapshot.index().lexicon() else { return Ok(Vec::new()) };
        let tokens = || (0..lexicon.len()).map(|term| lexicon.token(quarry_vectors::TermId(term)));
        Ok(threads::here(py, || tokens().collect()))
    }
}
