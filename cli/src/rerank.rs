//! The second stage on the command line: its options, and what is said of it.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::ValueEnum;
use quarry_datasets::TokenRows;
use quarry_engine::{EngineError, Index, RerankOptions, ScoreDevice, TokenModel, TokensOptions};
use quarry_server::api::RerankInput;

use crate::bytes::parse_bytes;
use crate::commands::tokens::FormArg;
use crate::exit::Usage;
use crate::output::{agreeing, counted, note};
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
    text.parse().map(Knob::At).map_err(|_| format!("`{text}` is neither a number nor `off`"))
}

/// Where rows are scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Device {
    /// The GPU if there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
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
    /// Rescore the results by MaxSim over token embeddings
    #[arg(long)]
    pub(crate) rerank: bool,
    /// Number of candidates to rescore [default: 100]
    #[arg(long, value_name = "N", requires = "rerank")]
    depth: Option<NonZeroUsize>,
    /// Skip candidates whose first-stage score is more than this share below the k-th; or `off`
    /// [default: 0.4; off with --exact-rerank]
    #[arg(long, value_name = "SHARE", requires = "rerank", value_parser = parse_knob::<f32>)]
    alpha: Option<Knob<f32>>,
    /// Early exit: stop after N consecutive candidates that do not enter the top k; or `off` [default: 20;
    /// off with --exact-rerank]
    #[arg(long, value_name = "N", requires = "rerank", value_parser = parse_knob::<NonZeroUsize>)]
    beta: Option<Knob<NonZeroUsize>>,
    /// Weight of the first-stage score, standardised over the candidates [default: 0.05]
    #[arg(long, value_name = "X", requires = "rerank")]
    weight: Option<f32>,
    /// Give the result of scoring every candidate in fp16; int8 bounds avoid most of that work
    #[arg(long)]
    exact_rerank: bool,
    /// Model of the queries' token embeddings: a folder, or a name such as org/name [default: --model, else
    /// the bundled model]
    #[arg(long, value_name = "MODEL", conflicts_with = "query_tokens")]
    pub(crate) token_model: Option<String>,
    /// Device that scores token embeddings
    #[arg(long, value_enum, default_value_t = Device::Auto)]
    device: Device,
    /// Most GPU memory for token embeddings, such as 2GiB; the CPU scores documents that do not fit
    /// [default: the free memory less a reserve]
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    device_memory: Option<u64>,
    /// Stored form of the token embeddings to score [default: int8 if stored]
    #[arg(long, value_enum, value_name = "FORM")]
    form: Option<FormArg>,
    /// File of the queries' token embeddings, tokens x dimensions (.npy) [default: made by the token model]
    #[arg(long, value_name = "FILE", requires = "query_lengths", requires = "query_ids")]
    query_tokens: Option<PathBuf>,
    /// File of the number of rows of each query (.npy)
    #[arg(long, value_name = "FILE", requires = "query_tokens")]
    query_lengths: Option<PathBuf>,
    /// File of the queries' ids, one a line, in the order of the rows
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

    /// Refuses options that do not go together.
    pub(crate) fn check(&self) -> Result<(), Usage> {
        check_memory(self.device, self.device_memory, self.form.is_some())?;
        if self.form.is_some() && self.device == Device::Cuda {
            let text = "--form: a GPU scores int8 where it is stored, else fp16; choose a form with --device cpu";
            return Err(Usage(text.to_owned()));
        }
        Ok(())
    }

    /// How token embeddings are opened; those of queries by a model unless they are in files.
    pub(crate) fn tokens(&self, model: Option<&str>) -> TokensOptions {
        let source = models::source(self.token_model.as_deref().or(model));
        let mut options = TokensOptions::new(match self.query_tokens {
            Some(_) => TokenModel::Brought,
            None => TokenModel::Model(source.unwrap_or_default()),
        });
        options.device = self.device.into();
        options.device_memory = bytes(self.device_memory);
        options.form = self.form.map(Into::into);
        options
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
) -> Result<(), Usage> {
    if memory.is_some() && (device == Device::Cpu || has_form) {
        let text =
            "--device-memory: with --device cpu or --form no GPU is used; leave one of them out";
        return Err(Usage(text.to_owned()));
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
            "note: {} in {} {} no token embeddings: reranking leaves {} where the search puts {}, and --channel \
             maxsim does not find {}; `quarry tokens add {}` adds the missing ones",
            counted(documents, "document"),
            counted(segments, "segment"),
            agreeing(documents, "has", "have"),
            agreeing(documents, "it", "them"),
            agreeing(documents, "it", "them"),
            agreeing(documents, "it", "them"),
            index.folder().display()
        ));
    }
}
