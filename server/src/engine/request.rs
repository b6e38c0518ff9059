//! Checks of a request that need no index: reserved names, limits, and contradictory options.

use std::num::NonZeroUsize;
use std::time::Duration;

use quarry_engine::{
    DenseSearchOptions, DenseVector, DenseVectorError, EngineError, FeedbackOptions, FusionMethod,
    FusionOptions, RerankOptions, SearchError, SearchOptions,
};

use super::feedback;
use crate::api::{
    ApiError, Channel, DEFAULT_TIMEOUT_MS, DenseMethod, MAX_BEAM, MAX_DENSE_VALUES, MAX_FIELDS,
    MAX_K, MAX_QUERY_BYTES, MAX_QUERY_TERMS, MAX_TIMEOUT_MS, Method, QueryInput, RerankInput,
    SearchRequest, SparseInput,
};

/// A checked request.
#[derive(Debug, Clone)]
pub(crate) struct Checked {
    pub(crate) fusion: FusionOptions,
    pub(crate) feedback: Option<FeedbackOptions>,
    pub(crate) k: NonZeroUsize,
    pub(crate) query_cut: Option<NonZeroUsize>,
    pub(crate) postings: Option<NonZeroUsize>,
    pub(crate) candidates: Option<NonZeroUsize>,
    pub(crate) rerank: Option<RerankOptions>,
    pub(crate) dense: Option<DenseVector>,
    pub(crate) dense_search: DenseSearchOptions,
}

impl SearchRequest {
    /// The time limit of the search, including waiting.
    ///
    /// # Errors
    /// If `timeout_ms` is 0 or more than 60,000.
    pub fn timeout(&self) -> Result<Duration, ApiError> {
        let millis = self.timeout_ms.unwrap_or(DEFAULT_TIMEOUT_MS);
        bounded("timeout_ms", millis, MAX_TIMEOUT_MS)?;
        Ok(Duration::from_millis(millis))
    }
}

pub(crate) fn check(request: &SearchRequest) -> Result<Checked, ApiError> {
    query(request)?;
    let dense = request.query.dense.as_ref().map(|values| dense(values)).transpose()?;
    request.timeout()?;
    let k = positive("k", request.k, MAX_K)?;
    let cut_limit = u32::try_from(MAX_QUERY_TERMS).unwrap_or(u32::MAX);
    let query_cut = request.query_cut.map(|n| positive("query_cut", n, cut_limit)).transpose()?;
    let any = |name, given: Option<u32>| given.map(|n| positive(name, n, u32::MAX)).transpose();
    let postings = any("postings", request.postings)?;
    let candidates = any("candidates", request.candidates)?;
    share("heap_factor", request.heap_factor)?;
    share("overlap", request.overlap)?;
    if let Some(filter) = request.filter.as_ref().filter(|f| f.len() > MAX_QUERY_BYTES) {
        let message = format!("{} bytes, at most {MAX_QUERY_BYTES}", filter.len());
        return Err(ApiError::invalid("filter", message));
    }
    if request.fields.len() > MAX_FIELDS {
        let message = format!("{} fields, at most {MAX_FIELDS}", request.fields.len());
        return Err(ApiError::invalid("fields", message));
    }
    let fusion = fusion(request, k)?;
    let rerank = request.rerank.as_ref().map(|input| second_stage(input, k)).transpose()?;
    let feedback = feedback::options(request, &fusion, rerank)?;
    if !request.channels.contains(&Channel::Sparse) {
        without_sparse(request)?;
    }
    of_method(request)?;
    let dense_search = dense_search(request)?;
    Ok(Checked {
        fusion,
        feedback,
        k,
        query_cut,
        postings,
        candidates,
        rerank,
        dense,
        dense_search,
    })
}

/// How dense vectors are searched; refused where they are not.
fn dense_search(request: &SearchRequest) -> Result<DenseSearchOptions, ApiError> {
    let graph = request.dense_method == DenseMethod::Graph;
    if graph && !request.channels.contains(&Channel::Dense) {
        let message = "`dense_method` is of the channel `dense`";
        return Err(ApiError::not_supported("dense_method", message).hint("add the channel"));
    }
    if request.dense_beam.is_some() && !graph {
        let message = "`dense_beam` is of `dense_method` graph";
        return Err(ApiError::not_supported("dense_beam", message).hint("leave it out"));
    }
    let mut options = DenseSearchOptions::default();
    if graph {
        options.method = quarry_engine::DenseMethod::Graph;
    }
    options.overlap = request.overlap.unwrap_or(options.overlap);
    options.beam = request.dense_beam.map(|n| positive("dense_beam", n, MAX_BEAM)).transpose()?;
    Ok(options)
}

/// Whether `overlap` says how thoroughly dense vectors are searched.
fn walks(request: &SearchRequest) -> bool {
    request.dense_method == DenseMethod::Graph && request.dense_beam.is_none()
}

fn second_stage(input: &RerankInput, k: NonZeroUsize) -> Result<RerankOptions, ApiError> {
    let mut options = if input.exact { RerankOptions::exact() } else { RerankOptions::default() };
    if let Some(depth) = input.depth {
        options.depth = positive("rerank.depth", depth, MAX_K)?;
        if options.depth < k {
            let message = format!("{depth} candidates are fewer than the {k} results wanted");
            return Err(ApiError::invalid("rerank.depth", message));
        }
    }
    options.alpha = input.alpha.unwrap_or(options.alpha);
    if let Some(beta) = input.beta {
        options.beta = beta.map(|beta| positive("rerank.beta", beta, MAX_K)).transpose()?;
    }
    options.weight = input.weight.unwrap_or(options.weight);
    match options.params(k, None).check() {
        Err(SearchError::Param { name, found, expected }) => {
            let message = format!("{found} is not {expected}");
            Err(ApiError::invalid(format!("rerank.{name}"), message))
        }
        _ => Ok(options),
    }
}

fn share(name: &'static str, given: Option<f32>) -> Result<(), ApiError> {
    match given {
        Some(share) if !(share > 0.0 && share <= 1.0) => {
            Err(ApiError::invalid(name, format!("{share} is not above 0 and at most 1")))
        }
        _ => Ok(()),
    }
}

/// The channels, and how to fuse them.
fn fusion(request: &SearchRequest, k: NonZeroUsize) -> Result<FusionOptions, ApiError> {
    let mut options = FusionOptions::default();
    let several = match request.channels.as_slice() {
        [] => {
            return Err(ApiError::invalid(
                "channels",
                "no channel; give `sparse`, `bm25` or `dense`",
            ));
        }
        [_] => false,
        _ => true,
    };
    let given = request.fusion.clone().unwrap_or_default();
    if request.fusion.is_some() && !several {
        let message = "`fusion` has no effect with one channel";
        return Err(ApiError::not_supported("fusion", message)
            .hint("name several in `channels`, or leave it out"));
    }
    options.method = given.method.unwrap_or_default().into();
    if let Some(window) = given.window {
        options.window = positive("fusion.window", window, MAX_K)?;
    }
    if let Some(constant) = given.k {
        if options.method != FusionMethod::Rrf {
            let message = "`k` belongs to the method `rrf`";
            return Err(ApiError::not_supported("fusion.k", message).hint("leave it out"));
        }
        options.rrf_k = constant;
    }
    let weights = given.weights.unwrap_or_default();
    let weights = [
        (Channel::Sparse, weights.sparse),
        (Channel::Bm25, weights.bm25),
        (Channel::Dense, weights.dense),
    ];
    for (channel, weight) in weights {
        if let Some(weight) = weight {
            options = options.weighted(channel.into(), weight);
        }
    }
    let search = SearchOptions::new(k).fused(request.channels.iter().map(|c| (*c).into()), options);
    match search.weights() {
        Ok(_) => Ok(search.fusion),
        Err(error @ EngineError::RepeatedChannel { .. }) => {
            Err(ApiError::invalid("channels", error.to_string()))
        }
        Err(error @ EngineError::RrfK { .. }) => {
            Err(ApiError::invalid("fusion.k", error.to_string()))
        }
        Err(error) => Err(ApiError::invalid("fusion.weights", error.to_string())),
    }
}

fn query(request: &SearchRequest) -> Result<(), ApiError> {
    let QueryInput { text, sparse, dense } = &request.query;
    let forms = [text.is_some(), sparse.is_some(), dense.is_some()];
    match forms.into_iter().filter(|given| *given).count() {
        0 => return Err(ApiError::invalid("query", "give `text`, `sparse` or `dense`")),
        1 => {}
        _ if request.channels.len() < 2 => {
            let message = "give one of `text`, `sparse` and `dense`: one channel is searched";
            return Err(ApiError::invalid("query", message));
        }
        _ => {}
    }
    if dense.is_some() && !request.channels.contains(&Channel::Dense) {
        let message = "a dense vector is searched by the channel `dense` alone";
        return Err(ApiError::not_supported("query.dense", message)
            .hint("add `dense` to `channels`, or leave it out"));
    }
    if let Some(text) = text.as_ref().filter(|text| text.len() > MAX_QUERY_BYTES) {
        let message = format!("{} bytes, at most {MAX_QUERY_BYTES}", text.len());
        return Err(ApiError::invalid("query.text", message));
    }
    sparse.as_ref().map_or(Ok(()), vector)
}

fn dense(values: &[f32]) -> Result<DenseVector, ApiError> {
    if values.len() > MAX_DENSE_VALUES {
        let message = format!("{} numbers, at most {MAX_DENSE_VALUES}", values.len());
        return Err(ApiError::invalid("query.dense", message));
    }
    DenseVector::new(values.to_vec()).map_err(|error| {
        let param = match error {
            DenseVectorError::NotFinite { dimension }
            | DenseVectorError::TooLarge { dimension, .. } => format!("query.dense[{dimension}]"),
            _ => "query.dense".to_owned(),
        };
        ApiError::invalid(param, error.to_string())
    })
}

fn vector(sparse: &SparseInput) -> Result<(), ApiError> {
    let many = |param: &str, found: usize| {
        Err(ApiError::invalid(param, format!("{found} terms, at most {MAX_QUERY_TERMS}")))
    };
    let weight = |weight: f32, param: String| {
        if weight.is_finite() && weight >= 0.0 {
            return Ok(());
        }
        let message = format!("weight {weight} is not a finite number of at least 0");
        Err(ApiError::invalid(param, message))
    };
    match (&sparse.tokens, &sparse.term_ids, &sparse.weights) {
        (Some(tokens), None, None) => {
            if tokens.0.len() > MAX_QUERY_TERMS {
                return many("query.sparse.tokens", tokens.0.len());
            }
            tokens.0.iter().try_for_each(|(t, w)| weight(*w, format!("query.sparse.tokens.{t}")))
        }
        (None, Some(terms), Some(weights)) => {
            if terms.len() > MAX_QUERY_TERMS {
                return many("query.sparse.term_ids", terms.len());
            }
            if terms.len() != weights.len() {
                let message = format!("{} weights for {} term_ids", weights.len(), terms.len());
                return Err(ApiError::invalid("query.sparse.weights", message));
            }
            let mut numbered = weights.iter().enumerate();
            numbered.try_for_each(|(i, w)| weight(*w, format!("query.sparse.weights[{i}]")))
        }
        _ => {
            let message = "give either `tokens`, or `term_ids` and `weights`";
            Err(ApiError::invalid("query.sparse", message))
        }
    }
}

/// Options of the channel sparse are refused, not ignored, where it is not searched.
fn without_sparse(request: &SearchRequest) -> Result<(), ApiError> {
    let names: Vec<&str> = request.channels.iter().map(|channel| channel.name()).collect();
    let name = names.join(",");
    let has_lists = |method| !matches!(method, Method::Auto | Method::Exact);
    let unfit = [
        ("query.sparse", request.query.sparse.is_some(), "takes no sparse vector"),
        ("explain", request.explain && request.feedback.is_none(), "cannot explain its hits yet"),
        ("method", has_lists(request.method), "has no methods of its own"),
        ("overlap", request.overlap.is_some() && !walks(request), "is exact and has no `overlap`"),
        ("postings", request.postings.is_some(), "has no `postings`"),
        ("candidates", request.candidates.is_some(), "has no `candidates`"),
        ("query_cut", request.query_cut.is_some(), "has no `query_cut`"),
        ("heap_factor", request.heap_factor.is_some(), "has no `heap_factor`"),
    ];
    match unfit.iter().find(|u| u.1) {
        Some((param, _, what)) => {
            Err(ApiError::not_supported(*param, format!("the channel `{name}` {what}")))
        }
        None => Ok(()),
    }
}

/// Refuses options of other methods as well.
fn of_method(request: &SearchRequest) -> Result<(), ApiError> {
    let lists =
        [("postings", request.postings.is_some()), ("candidates", request.candidates.is_some())];
    let blocks = [
        ("query_cut", request.query_cut.is_some()),
        ("heap_factor", request.heap_factor.is_some()),
    ];
    let overlap = [("overlap", request.overlap.is_some() && !walks(request))];
    let (unfit, what): (Vec<_>, _) = match request.method {
        Method::Graph => {
            let message = "`graph` searches dense vectors; use `dense_method`";
            return Err(ApiError::not_supported("method", message));
        }
        // Options that are given apply if their method is chosen.
        Method::Auto => return Ok(()),
        Method::Exact | Method::Scan => (
            [&lists[..], &blocks, &overlap].concat(),
            "has no effect: `exact` and `scan` always find the exact k best",
        ),
        Method::Impact | Method::Clusters => (blocks.to_vec(), "belongs to the method `seismic`"),
        Method::Seismic => (lists.to_vec(), "belongs to the methods `impact` and `clusters`"),
    };
    match unfit.iter().find(|option| option.1) {
        Some((param, _)) => {
            Err(ApiError::not_supported(*param, format!("`{param}` {what}")).hint("leave it out"))
        }
        None => Ok(()),
    }
}

fn positive(param: &str, found: u32, most: u32) -> Result<NonZeroUsize, ApiError> {
    bounded(param, u64::from(found), u64::from(most))?;
    usize::try_from(found)
        .ok()
        .and_then(NonZeroUsize::new)
        .ok_or_else(|| ApiError::invalid(param, format!("{found} does not fit")))
}

fn bounded(param: &str, found: u64, most: u64) -> Result<(), ApiError> {
    if (1..=most).contains(&found) {
        return Ok(());
    }
    Err(ApiError::invalid(param, format!("{found} is not between 1 and {most}")))
}
