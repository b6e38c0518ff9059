//! What a batch found: rows of the index, from which ids, scores and arrays are made when they are asked for.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString};
use quarry_engine::{FoundRow, Ranked, Snapshot};
use quarry_vectors::printed;

/// Rankings of queries, in their order, over one generation of an index, whose files stay as long as this does.
#[pyclass(frozen, module = "quarry._native", name = "Found")]
pub(crate) struct Found {
    snapshot: Arc<Snapshot>,
    rankings: Vec<Ranked>,
}

impl Found {
    pub(crate) fn new(snapshot: Arc<Snapshot>, rankings: Vec<Ranked>) -> Self {
        Self { snapshot, rankings }
    }

    fn scores_of(&self, ranked: &Ranked) -> Vec<f64> {
        printed(&ranked.hits.iter().map(|hit| hit.score).collect::<Vec<_>>())
    }

    fn id(&self, hit: &FoundRow) -> &str {
        self.snapshot.searcher().id(hit)
    }
}

/// Arrays of one length a query, padded: rows (i64), scores (f32), and how many each query has (i64).
type Padded<'py> = (Bound<'py, PyBytes>, Bound<'py, PyBytes>, Bound<'py, PyBytes>);

#[pymethods]
impl Found {
    fn __len__(&self) -> usize {
        self.rankings.len()
    }

    #[getter]
    fn generation(&self) -> u64 {
        self.snapshot.version().generation
    }

    /// Ids by query, best first.
    fn ids<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let of = |ranked: &Ranked| {
            PyList::new(py, ranked.hits.iter().map(|hit| PyString::new(py, self.id(hit))))
        };
        PyList::new(py, self.rankings.iter().map(of).collect::<PyResult<Vec<_>>>()?)
    }

    /// Scores by query, as runs print them.
    fn scores<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let of = |ranked: &Ranked| PyList::new(py, self.scores_of(ranked));
        PyList::new(py, self.rankings.iter().map(of).collect::<PyResult<Vec<_>>>()?)
    }

    /// Tokens of each query that the index does not know.
    fn unknown(&self) -> Vec<Vec<String>> {
        self.rankings.iter().map(|ranked| ranked.unknown.clone()).collect()
    }

    /// Rows and scores, `width` a query: -1 and minus infinity where there are fewer; and the counts.
    fn padded<'py>(&self, py: Python<'py>, width: usize) -> Padded<'py> {
        let (mut rows, mut scores, mut counts) = (Vec::new(), Vec::new(), Vec::new());
        for ranked in &self.rankings {
            let hits = &ranked.hits[..ranked.hits.len().min(width)];
            for hit in hits {
                rows.extend_from_slice(&self.snapshot.row(hit).to_le_bytes());
            }
            for score in &self.scores_of(ranked)[..hits.len()] {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "arrays of scores are of 32 bits"
                )]
                scores.extend_from_slice(&(*score as f32).to_le_bytes());
            }
            for _ in hits.len()..width {
                rows.extend_from_slice(&(-1i64).to_le_bytes());
                scores.extend_from_slice(&f32::NEG_INFINITY.to_le_bytes());
            }
            counts.extend_from_slice(&(hits.len() as u64).to_le_bytes());
        }
        (PyBytes::new(py, &rows), PyBytes::new(py, &scores), PyBytes::new(py, &counts))
    }

    /// All ids one after another as Arrow has strings: where each begins and the last ends (i64), and their bytes.
    fn arrow_ids<'py>(&self, py: Python<'py>) -> (Bound<'py, PyBytes>, Bound<'py, PyBytes>) {
        let (mut ends, mut bytes) = (0i64.to_le_bytes().to_vec(), Vec::new());
        for hit in self.rankings.iter().flat_map(|ranked| &ranked.hits) {
            bytes.extend_from_slice(self.id(hit).as_bytes());
            ends.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        }
        (PyBytes::new(py, &ends), PyBytes::new(py, &bytes))
    }
}
