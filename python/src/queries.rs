//! Queries as Python gives them.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use quarry_engine::{DenseVector, Query, SparseQuery, SparseVector};

use crate::errors;

/// Queries of a list, each a text, a dict of weights by token or by term number, or a tuple of text, dict and dense
/// vector (a list of numbers), where what is lacking is None.
pub(crate) fn of_list(py: Python<'_>, queries: &[Bound<'_, PyAny>]) -> PyResult<Vec<Query>> {
    queries.iter().enumerate().map(|(at, query)| one(py, query, at)).collect()
}

/// One query; `at`: its place, for errors.
pub(crate) fn one(py: Python<'_>, query: &Bound<'_, PyAny>, at: usize) -> PyResult<Query> {
    if let Ok(text) = query.cast::<PyString>() {
        return Ok(Query::text(text.to_str()?));
    }
    if let Ok(weights) = query.cast::<PyDict>() {
        return Ok(Query::sparse(sparse(py, weights, at)?));
    }
    let parts = query.cast::<PyTuple>().ok().filter(|parts| parts.len() == 3);
    let Some(parts) = parts else {
        let kind = query.get_type().name()?.to_string();
        let text = format!(
            "a query is a text, {{token: weight}}, {{number: weight}} or quarry.Query; found {kind}"
        );
        return Err(errors::input(py, &text, Some(at)));
    };
    let mut made = Query::default();
    made.text = parts.get_item(0)?.extract()?;
    let weights = parts.get_item(1)?;
    if !weights.is_none() {
        let weights = weights.cast::<PyDict>().map_err(PyErr::from)?;
        made.sparse = Some(sparse(py, weights, at)?);
    }
    if let Some(values) = parts.get_item(2)?.extract::<Option<Vec<f32>>>()? {
        made.dense = Some(dense(py, values, at)?);
    }
    Ok(made)
}

/// Weights by token, or by number where the first key is one.
fn sparse(py: Python<'_>, weights: &Bound<'_, PyDict>, at: usize) -> PyResult<SparseQuery> {
    let wrong = |key: &Bound<'_, PyAny>, weight: &Bound<'_, PyAny>| {
        let text = format!(
            "weights are numbers by token, or by term number of 32 bits; found {} for {}",
            shown(weight),
            shown(key)
        );
        errors::input(py, &text, Some(at))
    };
    let by_token = |(key, weight): (Bound<'_, PyAny>, Bound<'_, PyAny>)| {
        let token =
            key.cast::<PyString>().ok().and_then(|token| token.to_str().ok().map(str::to_owned));
        match (token, weight.extract()) {
            (Some(token), Ok(weight)) => Ok((token, weight)),
            _ => Err(wrong(&key, &weight)),
        }
    };
    let by_number = |(key, weight): (Bound<'_, PyAny>, Bound<'_, PyAny>)| match (
        key.extract(),
        weight.extract(),
    ) {
        (Ok(number), Ok(weight)) => Ok((number, weight)),
        _ => Err(wrong(&key, &weight)),
    };
    let first = weights.keys().get_item(0).ok();
    let numbers = first.is_some_and(|key| !key.is_instance_of::<PyString>());
    Ok(match numbers {
        true => SparseQuery::Numbers(weights.iter().map(by_number).collect::<PyResult<_>>()?),
        false => SparseQuery::Tokens(weights.iter().map(by_token).collect::<PyResult<_>>()?),
    })
}

fn shown(value: &Bound<'_, PyAny>) -> String {
    value.repr().map_or_else(|_| "?".to_owned(), |text| text.to_string())
}

fn dense(py: Python<'_>, values: Vec<f32>, at: usize) -> PyResult<DenseVector> {
    DenseVector::new(values).map_err(|error| errors::input(py, &error.to_string(), Some(at)))
}

/// The rows of a matrix in rows as arrays of little-endian numbers: where each row begins and the last ends (i64), term
/// numbers (u32) and weights (f32). `terms`: the columns are the index's own terms.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) starts: &'a [u8],
    pub(crate) numbers: &'a [u8],
    pub(crate) weights: &'a [u8],
    /// Whether numbers are the index's own terms, in place of the vocabulary's.
    pub(crate) own_terms: bool,
}

/// The queries of a matrix.
pub(crate) fn of_rows(py: Python<'_>, rows: Rows<'_>) -> PyResult<Vec<Query>> {
    let (starts, numbers, weights) = (of_8(rows.starts), of_4(rows.numbers), of_4(rows.weights));
    let place = |bytes: &[u8; 8]| usize::try_from(i64::from_le_bytes(*bytes)).ok();
    starts
        .windows(2)
        .enumerate()
        .map(|(at, ends)| {
            let range = place(&ends[0]).zip(place(&ends[1]));
            let part =
                range.and_then(|(from, to)| numbers.get(from..to).zip(weights.get(from..to)));
            let Some((numbers, weights)) = part else {
                let text = "indptr does not ascend within indices and data";
                return Err(errors::input(py, text, Some(at)));
            };
            let numbers = numbers.iter().map(|bytes| u32::from_le_bytes(*bytes));
            let weights = weights.iter().map(|bytes| f32::from_le_bytes(*bytes));
            let pairs = numbers.zip(weights);
            Ok(Query::sparse(match rows.own_terms {
                false => SparseQuery::Numbers(pairs.collect()),
                true => SparseQuery::Terms(
                    SparseVector::from_pairs(pairs)
                        .map_err(|error| errors::input(py, &error.to_string(), Some(at)))?,
                ),
            }))
        })
        .collect()
}

/// The queries of an array of dense vectors of `dims` little-endian f32 each.
pub(crate) fn of_dense(py: Python<'_>, values: &[u8], dims: usize) -> PyResult<Vec<Query>> {
    let values: Vec<f32> = of_4(values).iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let vectors = values.chunks(dims.max(1)).enumerate();
    let query = |(at, vector): (usize, &[f32])| {
        Ok(Query::default().with_dense(dense(py, vector.to_vec(), at)?))
    };
    vectors.map(query).collect()
}

fn of_4(bytes: &[u8]) -> &[[u8; 4]] {
    bytes.as_chunks().0
}

fn of_8(bytes: &[u8]) -> &[[u8; 8]] {
    bytes.as_chunks().0
}
