//! Measures of runs, and one run of several.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use pyo3::prelude::*;
use quarry_engine::EngineError;
use quarry_engine::evaluate::{
    EvaluateOptions, FuseOptions, Ignored, Measure, Qrels, QueryOptions, Run, ScoredDoc,
    WeightedRun, evaluate_run, fuse_runs, open_qrels, open_queries,
};

use crate::options::fusion_method;
use crate::{errors, threads};

/// A run as Python has it: by query ids with scores.
type Rankings = Vec<(String, Vec<(String, f64)>)>;
/// Judgements as Python has them: by query grades of ids.
type Grades = Vec<(String, Vec<(String, i32)>)>;
/// Means by measure, the queries, and values by measure and query.
type Measured = (Vec<(String, f64)>, Vec<String>, Vec<Vec<f64>>);

fn run_of(py: Python<'_>, rankings: Rankings) -> PyResult<Run> {
    let mut run = Run::new("quarry");
    for (at, (query, ranking)) in rankings.into_iter().enumerate() {
        let ranking = ranking.into_iter().map(|(id, score)| ScoredDoc { id, score }).collect();
        run.insert(&query, ranking)
            .map_err(|error| errors::raised(py, &EngineError::from(error), Some(at)))?;
    }
    Ok(run)
}

fn rankings_of(run: &Run) -> Rankings {
    let of = |query: &String| {
        let hits = run.ranking(query).unwrap_or_default().iter();
        (query.clone(), hits.map(|hit| (hit.id.clone(), hit.score)).collect())
    };
    run.queries().iter().map(of).collect()
}

/// Measures a run. `ignore_identical_ids`: a document with the id of its query is left out.
#[pyfunction]
pub(crate) fn evaluate(
    py: Python<'_>,
    run: Rankings,
    qrels: Grades,
    measures: Vec<String>,
    ignore_identical_ids: bool,
) -> PyResult<Measured> {
    let run = run_of(py, run)?;
    let mut judged = Qrels::default();
    for (query, grades) in &qrels {
        for (document, grade) in grades {
            judged.insert(query, document, *grade);
        }
    }
    let parsed = measures.iter().map(|name| {
        let parsed = name.trim().parse::<Measure>();
        parsed.map_err(|error| errors::option(py, "measure", &error.to_string()))
    });
    let parsed = parsed.collect::<PyResult<Vec<Measure>>>()?;
    let ignored = Ignored::new(ignore_identical_ids);
    let options = EvaluateOptions { ignored: Some(&ignored), ..EvaluateOptions::default() };
    let found = threads::here(py, || evaluate_run(&run, &judged, &parsed, options)).evaluation;
    let means = found.means().map(|(measure, mean)| (measure.to_string(), mean)).collect();
    let values = (0..parsed.len()).map(|at| found.values(at).unwrap_or_default().to_vec());
    Ok((means, found.queries().to_vec(), values.collect()))
}

/// Fuses runs with their weights.
#[pyfunction]
pub(crate) fn fuse(
    py: Python<'_>,
    runs: Vec<(Rankings, f64)>,
    method: &str,
    window: NonZeroUsize,
    rrf_k: f64,
    depth: NonZeroUsize,
) -> PyResult<Rankings> {
    let method = fusion_method(py, method)?;
    let mut read = Vec::with_capacity(runs.len());
    for (rankings, weight) in runs {
        read.push((run_of(py, rankings)?, weight));
    }
    let weighted: Vec<WeightedRun<'_>> =
        read.iter().map(|(run, weight)| WeightedRun { run, weight: *weight }).collect();
    let options = FuseOptions { method, window, rrf_k, depth };
    let fused = threads::here(py, || fuse_runs("fused", &weighted, &options));
    Ok(rankings_of(&fused.map_err(|error| errors::raised(py, &error, None))?))
}

/// Reads a run from a file in any format that `quarry eval --run` reads.
#[pyfunction]
pub(crate) fn read_run(py: Python<'_>, path: PathBuf) -> PyResult<Rankings> {
    let run = threads::here(py, || Run::read(&path));
    Ok(rankings_of(&run.map_err(|error| errors::raised(py, &error.into(), None))?))
}

/// Reads judgements from a file, or those of a split from a collection's folder.
#[pyfunction]
pub(crate) fn read_qrels(py: Python<'_>, path: PathBuf, split: &str) -> PyResult<Grades> {
    let qrels = threads::here(py, || open_qrels(&path, split));
    let qrels = qrels.map_err(|error| errors::raised(py, &error.into(), None))?;
    let of = |query: &String| {
        let judged = qrels.judged(query).into_iter().flatten();
        (query.clone(), judged.map(|(id, grade)| (id.clone(), *grade)).collect())
    };
    Ok(qrels.queries().iter().map(of).collect())
}

/// Reads queries that are texts from a file, or those of a split from a collection's folder: ids and texts.
#[pyfunction]
pub(crate) fn read_queries(
    py: Python<'_>,
    path: PathBuf,
    split: Option<String>,
) -> PyResult<Vec<(String, String)>> {
    let options = QueryOptions { split, ..QueryOptions::default() };
    let queries = threads::here(py, || open_queries(&path, &options));
    let queries = queries.map_err(|error| errors::raised(py, &error.into(), None))?;
    Ok(queries.into_iter().map(|query| (query.id, query.text)).collect())
}
