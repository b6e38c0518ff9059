//! A search request in a URL: the same fields as in a body, as `name=value` pairs.

use std::str::FromStr;

use axum::extract::Query;
use axum::http::Uri;

use crate::api::{
    ApiError, Channel, Condition, DenseMethod, ErrorCode, FeedbackInput, Fusion, FusionInput,
    Method, SearchRequest,
};

/// Parses the request in a URL's query. Each name may occur once; lists are separated by commas.
///
/// # Errors
/// If a name is unknown or repeated, a value has the wrong type, or there is no query.
pub fn search_request(uri: &Uri) -> Result<SearchRequest, ApiError> {
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|e| ApiError::new(ErrorCode::InvalidValue, e.body_text()))?;
    // Parsing silently replaces bytes that are not UTF-8.
    let written = uri.query().unwrap_or_default().to_ascii_uppercase().contains("%EF%BF%BD");
    if !written
        && pairs.iter().any(|pair| [&pair.0, &pair.1].iter().any(|t| t.contains('\u{fffd}')))
    {
        return Err(ApiError::new(ErrorCode::InvalidValue, "the URL's query is not UTF-8"));
    }
    let mut request = SearchRequest::text("");
    request.query.text = None;
    let mut seen: Vec<&str> = Vec::new();
    for (name, value) in &pairs {
        // `channel` and `channels` are the same parameter.
        let canonical = if name == "channel" { "channels" } else { name };
        if seen.contains(&canonical) {
            return Err(ApiError::invalid(name, "given more than once"));
        }
        seen.push(canonical);
        match canonical {
            "q" => request.query.text = Some(value.clone()),
            "k" => request.k = parsed(name, value, WHOLE)?,
            "channels" => {
                request.channels = list(value).map(channel).collect::<Result<_, _>>()?;
            }
            "method" => request.method = method(value)?,
            "fields" => request.fields = list(value).map(str::to_owned).collect(),
            "explain" => request.explain = parsed(name, value, BOOLEAN)?,
            "timeout_ms" => request.timeout_ms = Some(parsed(name, value, WHOLE)?),
            "min_seq" => request.min_seq = Some(parsed(name, value, WHOLE)?),
            "overlap" => request.overlap = Some(parsed(name, value, NUMBER)?),
            "postings" => request.postings = Some(parsed(name, value, WHOLE)?),
            "candidates" => request.candidates = Some(parsed(name, value, WHOLE)?),
            "query_cut" => request.query_cut = Some(parsed(name, value, WHOLE)?),
            "heap_factor" => request.heap_factor = Some(parsed(name, value, NUMBER)?),
            "dense_method" => request.dense_method = dense_method(value)?,
            "dense_beam" => request.dense_beam = Some(parsed(name, value, WHOLE)?),
            "filter" => request.filter = Some(value.clone()),
            "rerank" => {
                let wanted: bool = parsed(name, value, BOOLEAN)?;
                request.rerank = wanted.then(Default::default);
            }
            "fusion" => {
                let method = Some(fusion(value)?);
                request.fusion = Some(FusionInput { method, ..FusionInput::default() });
            }
            "feedback" => {
                let condition = Some(condition(value)?);
                request.feedback = Some(FeedbackInput { condition, ..FeedbackInput::default() });
            }
            _ => {
                let message = format!("unknown parameter `{name}`");
                return Err(ApiError::new(ErrorCode::UnknownField, message).param(name));
            }
        }
    }
    if request.query.text.is_none() {
        return Err(ApiError::invalid("q", "give a query as `q`, or POST one"));
    }
    Ok(request)
}

fn list(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn channel(name: &str) -> Result<Channel, ApiError> {
    match name {
        "sparse" => Ok(Channel::Sparse),
        "bm25" => Ok(Channel::Bm25),
        "dense" => Ok(Channel::Dense),
        _ => Err(ApiError::invalid("channels", format!("`{name}` is none of sparse, bm25, dense"))),
    }
}

fn fusion(name: &str) -> Result<Fusion, ApiError> {
    let all = [Fusion::Max, Fusion::MinMax, Fusion::Z, Fusion::Rrf];
    let named = |fusion: &Fusion| quarry_engine::FusionMethod::from(*fusion).name() == name;
    all.into_iter().find(named).ok_or_else(|| {
        ApiError::invalid("fusion", format!("`{name}` is none of max, minmax, z, rrf"))
    })
}

fn condition(name: &str) -> Result<Condition, ApiError> {
    let all = [Condition::After, Condition::Before, Condition::Both];
    let named = |c: &Condition| quarry_engine::FeedbackCondition::from(*c).name() == name;
    all.into_iter().find(named).ok_or_else(|| {
        ApiError::invalid("feedback", format!("`{name}` is none of after, before, both"))
    })
}

fn dense_method(name: &str) -> Result<DenseMethod, ApiError> {
    match name {
        "exact" => Ok(DenseMethod::Exact),
        "graph" => Ok(DenseMethod::Graph),
        _ => Err(ApiError::invalid("dense_method", format!("`{name}` is none of exact, graph"))),
    }
}

fn method(name: &str) -> Result<Method, ApiError> {
    match quarry_engine::Method::named(name) {
        Some(method) => Ok(method.into()),
        None => {
            let message =
                format!("`{name}` is none of auto, impact, clusters, seismic, exact, scan");
            Err(ApiError::invalid("method", message))
        }
    }
}

/// Expected values, for error messages.
const WHOLE: &str = "a whole number from 0 to 4294967295";
const NUMBER: &str = "a number";
const BOOLEAN: &str = "true or false";

fn parsed<T: FromStr>(name: &str, value: &str, expected: &str) -> Result<T, ApiError> {
    let message = || format!("expected {expected}, found `{value}`");
    value.parse().map_err(|_| ApiError::invalid(name, message()))
}
