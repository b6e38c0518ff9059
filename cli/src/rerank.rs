//! The second stage on the command line: its options, what scores, and questions as token embeddings.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail};
use clap::ValueEnum;
use quarry_datasets::TokenRows;
use quarry_encoders::{TokenIdentity, TokenOptions};
use quarry_index::Index;
use quarry_index::features::TokensKept;
use quarry_reranker::CpuReranker;
use quarry_searcher::{
    DEFAULT_ALPHA, DEFAULT_BETA, DEFAULT_DEPTH, DEFAULT_WEIGHT, Rerank, RerankParams, RerankQuery,
    Reranked,
};
use quarry_server::api::RerankInput;
use quarry_vectors::{EncodeTokens, Query, TokenEmbeddings};
use serde_json::Value;

use crate::bytes::parse_bytes;
use crate::commands::tokens::FormArg;
use crate::model;
use crate::output::{count, note};

/// A number, or `off`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Knob<T> {
    /// The rule is not used.
    Off,
    /// Its number.
    At(T),
}

impl<T: Copy> Knob<T> {
    fn value(self) -> Option<T> {
        match self {
            Self::Off => None,
            Self::At(value) => Some(value),
        }
    }
}

fn parse_knob<T: std::str::FromStr>(text: &str) -> Result<Knob<T>, String> {
    if text == "off" {
        return Ok(Knob::Off);
    }
    text.parse().map(Knob::At).map_err(|_| format!("`{text}` is no such number, nor `off`"))
}

/// Where rows are scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Device {
    /// What is best here.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// A GPU.
    Cuda,
}

impl From<Device> for quarry_reranker::Device {
    fn from(arg: Device) -> Self {
        match arg {
            Device::Auto => Self::Auto,
            Device::Cpu => Self::Cpu,
            Device::Cuda => Self::Cuda,
        }
    }
}

/// Options of the second stage.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Reranking")]
pub(crate) struct RerankArgs {
    /// Rescore what the search finds by MaxSim over token embeddings
    #[arg(long)]
    pub(crate) rerank: bool,
    /// Candidates that the search hands on [default: 100]
    #[arg(long, value_name = "N", requires = "rerank")]
    depth: Option<NonZeroUsize>,
    /// Leave out candidates whose first score lies more than this share below the k-th, or `off`
    /// [default: 0.4; off with --exact-rerank]
    #[arg(long, value_name = "SHARE", requires = "rerank", value_parser = parse_knob::<f32>)]
    alpha: Option<Knob<f32>>,
    /// Stop after so many candidates in a row that do not enter the k best, or `off` [default: 20;
    /// off with --exact-rerank]
    #[arg(long, value_name = "N", requires = "rerank", value_parser = parse_knob::<NonZeroUsize>)]
    beta: Option<Knob<NonZeroUsize>>,
    /// Weight of the first stage's score, standardised over the candidates [default: 0.05]
    #[arg(long, value_name = "X", requires = "rerank")]
    weight: Option<f32>,
    /// The same result as scoring every candidate in fp16, most of which int8 bounds spare
    #[arg(long)]
    exact_rerank: bool,
    /// Model for the questions' token embeddings: a folder, or a name as org/name [default: --model,
    /// else the bundled one]
    #[arg(long, value_name = "MODEL", conflicts_with = "query_tokens")]
    pub(crate) token_model: Option<String>,
    /// Where rows are scored
    #[arg(long, value_enum, default_value_t = Device::Auto)]
    device: Device,
    /// Bytes of a GPU's memory that rows may take, such as 2GiB; the processor scores the documents that
    /// do not fit [default: what is free, less a reserve]
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    device_memory: Option<u64>,
    /// Form of the rows that is scored [default: int8 where stored]
    #[arg(long, value_enum, value_name = "FORM")]
    form: Option<FormArg>,
    /// Token embeddings of the queries, tokens x dimensions (.npy) [default: by the token encoder]
    #[arg(long, value_name = "FILE", requires = "query_lengths", requires = "query_ids")]
    query_tokens: Option<PathBuf>,
    /// How many rows each query has (.npy)
    #[arg(long, value_name = "FILE", requires = "query_tokens")]
    query_lengths: Option<PathBuf>,
    /// The queries' ids, one a line, in the order of the rows
    #[arg(long, value_name = "FILE", requires = "query_tokens")]
    query_ids: Option<PathBuf>,
}

impl RerankArgs {
    /// Candidates for k results.
    pub(crate) fn depth(&self, k: NonZeroUsize) -> NonZeroUsize {
        let default = NonZeroUsize::new(DEFAULT_DEPTH).unwrap_or(k);
        self.depth.unwrap_or(default).max(k)
    }

    /// What a second stage is asked for.
    pub(crate) fn params(&self, k: NonZeroUsize) -> RerankParams {
        let exact = self.exact_rerank;
        let alpha = self.alpha.map_or((!exact).then_some(DEFAULT_ALPHA), Knob::value);
        let beta = self.beta.map_or((!exact).then_some(DEFAULT_BETA), Knob::value);
        let weight = self.weight.unwrap_or(DEFAULT_WEIGHT);
        RerankParams { alpha, beta, weight, exact, ..RerankParams::new(k) }
    }

    /// The same as a request says it.
    pub(crate) fn request(&self, k: NonZeroUsize) -> RerankInput {
        let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let params = self.params(k);
        RerankInput {
            depth: Some(small(self.depth(k).get())),
            alpha: Some(params.alpha),
            beta: Some(params.beta.map(|beta| small(beta.get()))),
            weight: Some(params.weight),
            exact: params.exact,
            vectors: None,
        }
    }

    /// What an exhaustive search is asked for.
    pub(crate) fn exhaustive(&self, k: NonZeroUsize) -> RerankParams {
        RerankParams { exact: self.exact_rerank, ..RerankParams::new(k) }
    }

    /// Opens what the options name.
    pub(crate) fn open(
        &self,
        index: &Arc<Index>,
        model: Option<&str>,
    ) -> anyhow::Result<SecondStage> {
        let reranker = reranker(index, (self.device, self.device_memory), self.form)?;
        tell_lacking(index);
        let files = (&self.query_tokens, &self.query_lengths, &self.query_ids);
        let questions = match files {
            (Some(rows), Some(lengths), Some(ids)) => {
                Questions::Files(Mutex::new(TokenRows::open(rows, lengths, ids)?))
            }
            _ => {
                Questions::Encoder(question_encoder(index, self.token_model.as_deref().or(model))?)
            }
        };
        Ok(SecondStage { reranker, questions })
    }
}

/// Says which documents cannot be rescored.
pub(crate) fn tell_lacking(index: &Index) {
    let (mut segments, mut documents) = (0u64, 0);
    for segment in index.without_tokens() {
        (segments, documents) = (segments + 1, documents + segment.entry().documents);
    }
    if segments > 0 {
        note(format!(
            "note: {} documents in {} segments have no token embeddings: reranking leaves them where the search puts \
             them, and --channel maxsim does not find them; `quarry tokens add {}` adds theirs",
            count(documents),
            count(segments),
            index.folder().display()
        ));
    }
}

/// What scores an index's token embeddings: on a device, in at most so many bytes of its memory.
pub(crate) fn reranker(
    index: &Arc<Index>,
    (device, memory): (Device, Option<u64>),
    form: Option<FormArg>,
) -> anyhow::Result<Arc<dyn Rerank>> {
    if memory.is_some() && (device == Device::Cpu || form.is_some()) {
        bail!("--device-memory: with --device cpu or --form no GPU is used; leave one of them out");
    }
    let Some(form) = form else {
        let budget = memory.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        return Ok(quarry_reranker::open(Arc::clone(index), device.into(), budget)?);
    };
    if device == Device::Cuda {
        bail!(
            "--form: the GPU scores int8 where it is stored, else fp16; choose a form on the processor"
        );
    }
    Ok(Arc::new(CpuReranker::new(Arc::clone(index))?.with_form(form.into())?))
}

/// The token encoder for questions to an index, which must be the one of its documents.
pub(crate) fn question_encoder(
    index: &Index,
    model: Option<&str>,
) -> anyhow::Result<Arc<dyn EncodeTokens>> {
    let kept = index.features().tokens.as_ref();
    let source = kept.map(|kept| &kept.source);
    if let Some(file) = source.and_then(|s| s.get("file")) {
        bail!(
            "the token embeddings of this index were imported from {file}: give those of the queries with \
             --query-tokens, --query-lengths and --query-ids"
        );
    }
    Ok(encoder_of(source, model, Some(NonZeroUsize::MIN))?.0)
}

/// The token encoder for documents that are added to an index with embeddings, and its identity.
pub(crate) fn document_encoder(
    kept: &TokensKept,
    model: Option<&str>,
) -> anyhow::Result<(Arc<dyn EncodeTokens>, Value)> {
    if let Some(file) = kept.source.get("file") {
        bail!(
            "the token embeddings of this index were imported from {file}, and no model makes them"
        );
    }
    encoder_of(Some(&kept.source), model, None)
}

/// The token encoder of a model, which must be the one that made what is there.
fn encoder_of(
    source: Option<&Value>,
    model: Option<&str>,
    sessions: Option<NonZeroUsize>,
) -> anyhow::Result<(Arc<dyn EncodeTokens>, Value)> {
    // Dimensions and lengths as the documents have them.
    let as_made = source.and_then(|s| serde_json::from_value::<TokenIdentity>(s.clone()).ok());
    let parameters = as_made.as_ref().map(|identity| &identity.parameters);
    let options = TokenOptions {
        sessions,
        dims: parameters.map(|p| p.dims),
        max_tokens: parameters.map(|p| p.max_tokens),
        query_max_tokens: parameters.map(|p| p.query_max_tokens),
    };
    let opened = model::open(model)?;
    let Some(tokens) = opened.token_model() else {
        bail!(
            "model `{}` gives no token embeddings{}",
            opened.manifest().name,
            as_made.map_or_else(String::new, |made| format!(
                "; those of this index were made by `{0}`: give it with --token-model {0}",
                made.model_name
            ))
        );
    };
    let found = tokens.identity(&options);
    if let Some(source) = source {
        // By folder and by name a model is called differently; its files and parameters count.
        let same = as_made.as_ref().is_some_and(|made| {
            *made == TokenIdentity { model_name: made.model_name.clone(), ..found.clone() }
        });
        if !same {
            let made = as_made.map_or_else(|| source.to_string(), |made| made.model_name);
            bail!(
                "the token embeddings of this index were made by model `{made}`, and the files or parameters \
                 of `{}` are others: questions and documents would not match; name the model with --token-model",
                found.model_name
            );
        }
    }
    Ok((Arc::new(tokens.encoder(&options)?), serde_json::to_value(found)?))
}

enum Questions {
    Encoder(Arc<dyn EncodeTokens>),
    Files(Mutex<TokenRows>),
}

/// What rescores, and where questions' rows come from.
pub(crate) struct SecondStage {
    pub(crate) reranker: Arc<dyn Rerank>,
    questions: Questions,
}

impl SecondStage {
    /// The encoder of questions, when they are not read from files.
    pub(crate) fn encoder(&self) -> Option<Arc<dyn EncodeTokens>> {
        match &self.questions {
            Questions::Encoder(encoder) => Some(Arc::clone(encoder)),
            Questions::Files(_) => None,
        }
    }

    /// The rows of queries, in order.
    pub(crate) fn tokens(&self, queries: &[Query]) -> anyhow::Result<Vec<TokenEmbeddings>> {
        let one = |query: &Query| match &self.questions {
            Questions::Encoder(encoder) => Ok(encoder.encode_question(&query.text)?),
            Questions::Files(rows) => {
                let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
                let at = rows.find(&query.id).with_context(|| {
                    format!("query `{}` has no rows in the files of --query-tokens", query.id)
                })?;
                Ok(rows.rows(at)?)
            }
        };
        queries.iter().map(one).collect()
    }

    /// Rescores candidates of each query.
    pub(crate) fn rerank(
        &self,
        tokens: &[TokenEmbeddings],
        candidates: &[Vec<quarry_searcher::Hit>],
        params: &RerankParams,
    ) -> anyhow::Result<Vec<Reranked>> {
        let queries: Vec<RerankQuery<'_>> = tokens
            .iter()
            .zip(candidates)
            .map(|(tokens, candidates)| RerankQuery { tokens, candidates })
            .collect();
        Ok(self.reranker.rerank(&queries, params)?)
    }
}
