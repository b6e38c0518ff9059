//! The second stage on the command line: its options, and what is said of it.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::bail;
use clap::ValueEnum;
use quarry_datasets::TokenRows;
use quarry_engine::{EngineError, Index, RerankOptions, ScoreDevice, TokenModel, TokensOptions};
use quarry_server::api::RerankInput;

use crate::bytes::parse_bytes;
use crate::commands::tokens::FormArg;
use crate::output::{count, note};
use crate::{models, told};

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

impl From<Device> for ScoreDevice {
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
    /// What a second stage is asked for.
    pub(crate) fn options(&self) -> RerankOptions {
        let mut options =
            if self.exact_rerank { RerankOptions::exact() } else { RerankOptions::default() };
        options.depth = self.depth.unwrap_or(options.depth);
        options.alpha = self.alpha.map_or(options.alpha, Knob::value);
        options.beta = self.beta.map_or(options.beta, Knob::value);
        options.weight = self.weight.unwrap_or(options.weight);
        options
    }

    /// Whether the result must equal scoring in fp16.
    pub(crate) fn exact(&self) -> bool {
        self.exact_rerank
    }

    /// The same as a request says it.
    pub(crate) fn request(&self, k: NonZeroUsize) -> RerankInput {
        let small = |n: NonZeroUsize| u32::try_from(n.get()).unwrap_or(u32::MAX);
        let options = self.options();
        RerankInput {
            depth: Some(small(options.depth.max(k))),
            alpha: Some(options.alpha),
            beta: Some(options.beta.map(small)),
            weight: Some(options.weight),
            exact: options.exact,
            vectors: None,
        }
    }

    /// How token embeddings are opened; those of queries by a model unless they are in files.
    pub(crate) fn tokens(&self, model: Option<&str>) -> anyhow::Result<TokensOptions> {
        check_memory(self.device, self.device_memory, self.form.is_some())?;
        if self.form.is_some() && self.device == Device::Cuda {
            bail!(
                "--form: the GPU scores int8 where it is stored, else fp16; choose a form on the processor"
            );
        }
        let source = models::source(self.token_model.as_deref().or(model));
        let mut options = TokensOptions::new(match self.query_tokens {
            Some(_) => TokenModel::Brought,
            None => TokenModel::Model(source.unwrap_or_default()),
        });
        options.device = self.device.into();
        options.device_memory = bytes(self.device_memory);
        options.form = self.form.map(Into::into);
        Ok(options)
    }

    /// The queries' token embeddings, where they are in files.
    pub(crate) fn rows(&self) -> anyhow::Result<Option<TokenRows>> {
        Ok(match (&self.query_tokens, &self.query_lengths, &self.query_ids) {
            (Some(rows), Some(lengths), Some(ids)) => Some(TokenRows::open(rows, lengths, ids)?),
            _ => None,
        })
    }
}

/// Refuses a bound of a GPU's memory where none is used.
pub(crate) fn check_memory(
    device: Device,
    memory: Option<u64>,
    has_form: bool,
) -> anyhow::Result<()> {
    if memory.is_some() && (device == Device::Cpu || has_form) {
        bail!("--device-memory: with --device cpu or --form no GPU is used; leave one of them out");
    }
    Ok(())
}

/// As many as can be counted here.
pub(crate) fn bytes(given: Option<u64>) -> Option<usize> {
    given.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX))
}

/// An error of the engine, with the options that help searches.
pub(crate) fn told(error: EngineError) -> anyhow::Error {
    match imported(&error) {
        Some(text) => anyhow::Error::from(error).context(text),
        None => told::told(error),
    }
}

/// What an error says on the command line, where options help.
pub(crate) fn advice(error: &EngineError) -> Option<String> {
    imported(error).or_else(|| told::advice(error))
}

fn imported(error: &EngineError) -> Option<String> {
    let EngineError::ImportedTokens { file } = error else { return None };
    Some(format!(
        "the token embeddings of this index were imported from {file}: give those of the queries with \
         --query-tokens, --query-lengths and --query-ids"
    ))
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
