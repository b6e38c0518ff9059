//! Converts a checked request into a search.

use quarry_engine::{Query, Search, SearchOptions, Snapshot, SparseQuery};
use quarry_vectors::TokenEmbeddings;

use super::request::Checked;
use crate::api::{ApiError, MAX_TOKENS, SearchRequest, SparseInput};

pub(crate) fn search(
    request: &SearchRequest,
    checked: &Checked,
    snapshot: &Snapshot,
) -> Result<Search, ApiError> {
    let mut query = Query::default();
    query.text.clone_from(&request.query.text);
    query.sparse = request.query.sparse.as_ref().map(vector);
    let excluded = request.feedback.as_ref().and_then(|feedback| feedback.exclude.as_ref());
    query.excluded = excluded.cloned().unwrap_or_default();
    query.dense.clone_from(&checked.dense);
    if let Some(rows) = request.rerank.as_ref().and_then(|r| r.vectors.as_ref()) {
        query.tokens = rows_of(rows, snapshot)?;
    }
    let mut options = SearchOptions::new(checked.k);
    options.channels = request.channels.iter().map(|channel| (*channel).into()).collect();
    options.fusion = checked.fusion.clone();
    options.sparse.method = request.method.into();
    options.sparse.overlap = request.overlap.unwrap_or(options.sparse.overlap);
    options.sparse.postings = checked.postings;
    options.sparse.candidates = checked.candidates;
    options.sparse.query_cut = checked.query_cut;
    options.sparse.heap_factor = request.heap_factor;
    options.dense = checked.dense_search;
    options.filter.clone_from(&request.filter);
    options.fields.clone_from(&request.fields);
    options.explain = request.explain;
    options.feedback.clone_from(&checked.feedback);
    options.rerank = checked.rerank;
    Ok(Search::new(query, options))
}

/// The vector of a query; checks have ensured that exactly one form is given.
fn vector(sparse: &SparseInput) -> SparseQuery {
    if let Some(tokens) = &sparse.tokens {
        return SparseQuery::Tokens(tokens.0.clone());
    }
    let numbers = sparse.term_ids.iter().flatten().copied();
    SparseQuery::Numbers(numbers.zip(sparse.weights.iter().flatten().copied()).collect())
}

/// The request's token embeddings; `None` if nothing can score them, which the search then reports.
fn rows_of(rows: &[Vec<f32>], snapshot: &Snapshot) -> Result<Option<TokenEmbeddings>, ApiError> {
    let Some(second) = snapshot.second_stage() else { return Ok(None) };
    let refuse = |message: String| Err(ApiError::invalid("rerank.vectors", message));
    if rows.is_empty() {
        return refuse("no row; give at least one, or a query as `query.text`".to_owned());
    }
    if rows.len() > MAX_TOKENS {
        return refuse(format!("{} rows, at most {MAX_TOKENS}", rows.len()));
    }
    let dims = second.reranker().dims();
    if let Some((at, row)) = rows.iter().enumerate().find(|(_, row)| row.len() != dims) {
        let message = format!("{} dimensions, the index's rows have {dims}", row.len());
        return Err(ApiError::invalid(format!("rerank.vectors[{at}]"), message));
    }
    let found = TokenEmbeddings::new(dims.max(1), rows.concat());
    found.map(Some).map_err(|e| ApiError::invalid("rerank.vectors", e.to_string()))
}
