//! Options as Python gives them, JSON, in the engine's types. Names and defaults are those of the command line.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use quarry_engine::{
    Channel, DenseMethod, DenseModel, Device, FeedbackCondition, FeedbackOptions, FusionMethod,
    Hub, Method, ModelSource, Models, OpenOptions, QueryModel, RerankOptions, ScoreDevice,
    SearchOptions, Snapshot, TokenModel, TokensOptions, Verify,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::errors;

/// Reads options.
pub(crate) fn read<T: DeserializeOwned>(py: Python<'_>, json: &str) -> PyResult<T> {
    serde_json::from_str(json)
        .map_err(|error| errors::option(py, "invalid_option", &error.to_string()))
}

/// Where models come from.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sources {
    bundled: Option<PathBuf>,
    hub: Option<HubPlace>,
}

/// The hub, as the environment names it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct HubPlace {
    endpoint: String,
    cache: PathBuf,
    token: Option<String>,
    offline: bool,
}

impl Sources {
    pub(crate) fn models(self) -> Models {
        let hub = self.hub.map(|hub| Hub {
            endpoint: hub.endpoint,
            cache: hub.cache,
            token: hub.token,
            offline: hub.offline,
        });
        Models { bundled: self.bundled, hub, progress: None }
    }
}

/// A model by its name; the bundled one without.
pub(crate) fn source(given: Option<&str>) -> ModelSource {
    given.map_or(ModelSource::Bundled, |given| match given.parse() {
        Ok(source) => source,
        Err(never) => match never {},
    })
}

/// Where a network runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum On {
    #[default]
    Cpu,
    Cuda,
}

impl From<On> for Device {
    fn from(on: On) -> Self {
        match on {
            On::Cpu => Self::Cpu,
            On::Cuda => Self::Cuda,
        }
    }
}

/// How an index is opened.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Opening {
    verify: bool,
    preload: bool,
    model: Option<String>,
    device: On,
    rerank: bool,
    token_model: Option<String>,
    rerank_device: On,
    dense_model: Option<String>,
    sources: Sources,
}

impl Opening {
    pub(crate) fn options(&self) -> OpenOptions {
        let mut options = OpenOptions::default();
        options.verify = if self.verify { Verify::Full } else { Verify::Envelope };
        options.preload = self.preload;
        options.models = self.sources.clone().models();
        options.encode_device = self.device.into();
        if let Some(model) = &self.model {
            options.queries = QueryModel::Model(source(Some(model)));
        }
        if self.rerank {
            let model = self.token_model.as_deref().or(self.model.as_deref());
            let mut tokens = TokensOptions::new(TokenModel::Model(source(model)));
            tokens.device = match self.rerank_device {
                On::Cpu => ScoreDevice::Cpu,
                On::Cuda => ScoreDevice::Cuda,
            };
            options.tokens = Some(tokens);
        }
        options.dense = match &self.dense_model {
            Some(model) => DenseModel::Model(source(Some(model))),
            None => DenseModel::IfItFits(ModelSource::Bundled),
        };
        options
    }
}

/// How queries are searched.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Searching {
    k: NonZeroUsize,
    /// Empty: sparse if the index has that, else bm25, else dense.
    channels: Vec<String>,
    method: String,
    overlap: Option<f32>,
    postings: Option<NonZeroUsize>,
    candidates: Option<NonZeroUsize>,
    query_cut: Option<NonZeroUsize>,
    heap_factor: Option<f32>,
    k1: Option<f32>,
    b: Option<f32>,
    filter: Option<String>,
    #[serde(default)]
    fields: Vec<String>,
    #[serde(default)]
    explain: bool,
    fusion: Option<Fusing>,
    feedback: Option<Feeding>,
    rerank: Option<Reranking>,
    dense_method: Option<String>,
    dense_beam: Option<NonZeroUsize>,
    /// Seconds.
    timeout: Option<f64>,
}

/// How channels become one ranking.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fusing {
    method: Option<String>,
    weights: Option<serde_json::Map<String, serde_json::Value>>,
    window: Option<NonZeroUsize>,
    rrf_k: Option<f64>,
}

/// How documents feed back.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Feeding {
    condition: Option<String>,
    depth: Option<usize>,
    channels: Option<Vec<String>>,
    terms: Option<NonZeroUsize>,
    weight: Option<f64>,
}

/// How what is found is rescored.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reranking {
    depth: Option<NonZeroUsize>,
    exact: Option<bool>,
    weight: Option<f32>,
}

impl Searching {
    /// In the engine's types, for an index.
    pub(crate) fn options(&self, py: Python<'_>, snapshot: &Snapshot) -> PyResult<SearchOptions> {
        let mut options = SearchOptions::new(self.k);
        options.channels = channels(py, &self.channels)?;
        if options.channels.is_empty() {
            options.channels = vec![default_channel(snapshot)];
        }
        options.sparse.method = Method::named(&self.method).ok_or_else(|| {
            let all: Vec<&str> = Method::ALL.iter().map(|method| method.name()).collect();
            unknown(py, ("method", &self.method), &all)
        })?;
        if let Some(overlap) = self.overlap {
            (options.sparse.overlap, options.dense.overlap) = (overlap, overlap);
        }
        options.sparse.postings = self.postings;
        options.sparse.candidates = self.candidates;
        options.sparse.query_cut = self.query_cut;
        options.sparse.heap_factor = self.heap_factor;
        options.bm25.k1 = self.k1.unwrap_or(options.bm25.k1);
        options.bm25.b = self.b.unwrap_or(options.bm25.b);
        options.filter.clone_from(&self.filter);
        options.fields.clone_from(&self.fields);
        options.explain = self.explain;
        if let Some(fusing) = &self.fusion {
            fusing.set(py, &mut options)?;
        }
        if let Some(feeding) = &self.feedback {
            options.feedback = Some(feeding.options(py)?);
        }
        options.rerank = self.rerank.as_ref().map(Reranking::options);
        options.maxsim_exact = options.rerank.is_some_and(|rerank| rerank.exact);
        options.dense.method = match self.dense_method.as_deref() {
            None | Some("exact") => DenseMethod::Exact,
            Some("graph") => DenseMethod::Graph,
            Some(other) => return Err(unknown(py, ("dense_method", other), &["exact", "graph"])),
        };
        options.dense.beam = self.dense_beam;
        options.deadline = match self.timeout {
            None => None,
            Some(seconds) => {
                let time = Duration::try_from_secs_f64(seconds);
                let deadline = time.ok().and_then(|time| Instant::now().checked_add(time));
                let wrong =
                    || errors::option(py, "invalid_option", "timeout is not a number of seconds");
                Some(deadline.ok_or_else(wrong)?)
            }
        };
        Ok(options)
    }

    /// Whether a query takes so long that many are handed to the engine in small parts, which Ctrl-C ends.
    pub(crate) fn is_slow(&self) -> bool {
        self.rerank.is_some() || self.channels.iter().any(|channel| channel == "maxsim")
    }
}

fn default_channel(snapshot: &Snapshot) -> Channel {
    let index = snapshot.index();
    match (index.has_sparse(), index.has_text(), index.dense().is_some()) {
        (false, true, _) => Channel::Bm25,
        (false, false, true) => Channel::Dense,
        _ => Channel::Sparse,
    }
}

fn channel(py: Python<'_>, name: &str) -> PyResult<Channel> {
    let all = [Channel::Sparse, Channel::Bm25, Channel::Dense, Channel::Maxsim];
    let names = all.map(Channel::name);
    let found = all.into_iter().find(|channel| channel.name() == name);
    found.ok_or_else(|| unknown(py, ("channel", name), &names))
}

fn channels(py: Python<'_>, names: &[String]) -> PyResult<Vec<Channel>> {
    names.iter().map(|name| channel(py, name)).collect()
}

fn unknown(py: Python<'_>, (what, given): (&str, &str), expected: &[&str]) -> PyErr {
    let text = format!("{what} {given:?} is none of {}", expected.join(", "));
    errors::option(py, "invalid_option", &text)
}

/// The fusion method of a name.
pub(crate) fn fusion_method(py: Python<'_>, name: &str) -> PyResult<FusionMethod> {
    let all = [FusionMethod::Max, FusionMethod::MinMax, FusionMethod::Z, FusionMethod::Rrf];
    let found = all.into_iter().find(|method| method.name() == name);
    found.ok_or_else(|| unknown(py, ("fusion method", name), &all.map(FusionMethod::name)))
}

impl Fusing {
    fn set(&self, py: Python<'_>, options: &mut SearchOptions) -> PyResult<()> {
        let mut fusion = options.fusion.clone();
        if let Some(method) = &self.method {
            fusion.method = fusion_method(py, method)?;
        }
        for (name, weight) in self.weights.iter().flatten() {
            let wrong = || errors::option(py, "invalid_option", "weights are numbers by channel");
            let weight = weight.as_f64().ok_or_else(wrong)?;
            fusion = fusion.weighted(channel(py, name)?, weight);
        }
        fusion.window = self.window.unwrap_or(fusion.window);
        fusion.rrf_k = self.rrf_k.unwrap_or(fusion.rrf_k);
        options.fusion = fusion;
        Ok(())
    }
}

impl Feeding {
    fn options(&self, py: Python<'_>) -> PyResult<FeedbackOptions> {
        let mut options = FeedbackOptions::default();
        options.condition = match self.condition.as_deref() {
            None | Some("after") => FeedbackCondition::After,
            Some("before") => FeedbackCondition::Before,
            Some("both") => FeedbackCondition::Both,
            Some(other) => {
                return Err(unknown(py, ("condition", other), &["after", "before", "both"]));
            }
        };
        options.depth = self.depth;
        options.channels = channels(py, self.channels.as_deref().unwrap_or_default())?;
        if let Some(terms) = self.terms {
            (options.sparse.terms, options.bm25.terms) = (terms, terms);
        }
        if let Some(weight) = self.weight {
            (options.sparse.weight, options.bm25.weight, options.dense) = (weight, weight, weight);
        }
        Ok(options)
    }
}

impl Reranking {
    fn options(&self) -> RerankOptions {
        let mut options = match self.exact {
            Some(true) => RerankOptions::exact(),
            _ => RerankOptions::default(),
        };
        options.depth = self.depth.unwrap_or(options.depth);
        options.weight = self.weight.unwrap_or(options.weight);
        options
    }
}
