//! Errors of the engine as the exceptions of `quarry.errors`: kind, code, message, hint, position.

use pyo3::prelude::*;
use quarry_engine::write::WriteError;
use quarry_engine::{BuildError, EngineError, IndexError, SearchError};

/// Which class of `quarry.errors` an error becomes.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// `OptionError`: options are out of range, or do not go together or with the index.
    Option,
    /// `InputError`: documents, queries, judgements or a run are not what they have to be.
    Input,
    /// `IndexError`: there is no index, or its files are damaged.
    Index,
    /// `ModelError`: a model is missing, or is not the index's.
    Model,
    /// `RefusedError`: what was asked would do harm, such as replace an index.
    Refused,
    /// `NotFoundError`: there is no such document.
    NotFound,
    /// `TimeoutError`.
    Timeout,
    /// `QuarryError`.
    Other,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Option => "OptionError",
            Self::Input => "InputError",
            Self::Index => "IndexError",
            Self::Model => "ModelError",
            Self::Refused => "RefusedError",
            Self::NotFound => "NotFoundError",
            Self::Timeout => "TimeoutError",
            Self::Other => "QuarryError",
        }
    }
}

/// An error, classified.
struct Sorted {
    kind: Kind,
    code: &'static str,
    hint: Option<&'static str>,
}

fn sorted(kind: Kind, code: &'static str) -> Sorted {
    Sorted { kind, code, hint: None }
}

impl Sorted {
    fn hint(self, hint: &'static str) -> Self {
        Self { hint: Some(hint), ..self }
    }
}

/// The exception of an engine's error; `position`: which query or document of those given, from 0.
pub(crate) fn raised(py: Python<'_>, error: &EngineError, position: Option<usize>) -> PyErr {
    let Sorted { kind, code, hint } = of_engine(error);
    made(py, (kind.name(), code), (&told(error), hint), position)
}

/// The exception of an argument that is not what it has to be.
pub(crate) fn option(py: Python<'_>, code: &'static str, message: &str) -> PyErr {
    made(py, (Kind::Option.name(), code), (message, None), None)
}

/// The exception of an input that is not what it has to be.
pub(crate) fn input(py: Python<'_>, message: &str, position: Option<usize>) -> PyErr {
    made(py, (Kind::Input.name(), "invalid_input"), (message, None), position)
}

/// The exception of anything else.
pub(crate) fn other(py: Python<'_>, code: &'static str, message: &str) -> PyErr {
    made(py, (Kind::Other.name(), code), (message, None), None)
}

fn made(
    py: Python<'_>,
    (kind, code): (&str, &str),
    (message, hint): (&str, Option<&str>),
    position: Option<usize>,
) -> PyErr {
    let of_python = || {
        let class = py.import("quarry.errors")?.getattr(kind)?;
        Ok(PyErr::from_value(class.call1((message, code, hint, position))?))
    };
    of_python().unwrap_or_else(|error: PyErr| error)
}

/// The message with its causes.
fn told(error: &EngineError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

fn of_engine(error: &EngineError) -> Sorted {
    use EngineError as E;
    match error {
        E::Index(error) => of_index(error),
        E::Build(error) => of_build(error),
        E::Search(error) => of_search(error),
        E::Write(error) => of_write(error),
        E::Dataset(_) => sorted(Kind::Input, "dataset"),
        E::Vector { .. } | E::Weights { .. } => sorted(Kind::Input, "weights")
            .hint("weights are finite numbers of at least 0"),
        E::BeyondVocabulary { .. } => sorted(Kind::Input, "beyond_vocabulary"),
        E::NoQuery { .. } => sorted(Kind::Input, "no_query")
            .hint("sparse takes text or a vector, bm25 text, dense text or a dense vector"),
        E::NotAboveZero { .. } => sorted(Kind::Input, "not_above_zero"),
        E::Encoder(_) | E::Model { .. } => sorted(Kind::Model, "model"),
        E::Encode(_) => sorted(Kind::Model, "encode"),
        E::NoBundledModel => sorted(Kind::Model, "no_bundled_model")
            .hint("the wheel quarry-search-model (`make wheel-model`) or `make install` brings it; or give model=, a folder or a name such as org/name"),
        E::NoSuchModel { .. } | E::NoHub { .. } => sorted(Kind::Model, "no_such_model"),
        E::UnknownEncoder { .. } => sorted(Kind::Model, "unknown_encoder"),
        E::OtherModel(_)
        | E::OtherVocabulary { .. }
        | E::OtherDenseModel { .. }
        | E::OtherTokenModel { .. } => sorted(Kind::Model, "other_model"),
        E::NeedsModel { .. } => {
            sorted(Kind::Model, "needs_model").hint("give Index.open(path, model=...)")
        }
        E::NoQueryEncoder => sorted(Kind::Model, "no_query_encoder").hint(
            "give queries as {token: weight} or as a CSR matrix, or open with model=; channel=\"bm25\" takes text",
        ),
        E::NoTokenModel { .. } | E::ImportedTokens { .. } | E::NoTokenEncoder => {
            sorted(Kind::Model, "no_token_model").hint("give Index.open(path, rerank=True)")
        }
        E::NoDenseModel { .. } | E::NoDenseEncoder { .. } | E::ImportedDense { .. } => {
            sorted(Kind::Model, "no_dense_model")
                .hint("give queries as an array, or Index.open(path, dense_model=...)")
        }
        E::NoNetwork { .. } => sorted(Kind::Option, "no_network"),
        E::NoWeight
        | E::RepeatedChannel { .. }
        | E::RepeatedWeight { .. }
        | E::WeightWithoutChannel { .. }
        | E::RrfK { .. }
        | E::Feedback { .. }
        | E::NotSupported { .. }
        | E::TooFewJudged { .. } => sorted(Kind::Option, "invalid_option"),
        E::AnswerTooLarge { .. } => sorted(Kind::Option, "answer_too_large"),
        E::UnknownDocument { .. } => sorted(Kind::NotFound, "unknown_document"),
        E::NothingStored => sorted(Kind::NotFound, "nothing_stored"),
        E::Cancelled => sorted(Kind::Other, "cancelled"),
        _ => sorted(Kind::Other, "internal"),
    }
}

fn of_search(error: &SearchError) -> Sorted {
    use SearchError as E;
    match error {
        E::Index(error) => of_index(error),
        E::Query(_) => sorted(Kind::Input, "weights"),
        E::Encode(_) => sorted(Kind::Model, "encode"),
        E::NoSparse => sorted(Kind::Option, "no_sparse").hint("channel=\"bm25\" searches words"),
        E::NoText => sorted(Kind::Option, "no_text").hint("build the index from texts"),
        E::NoLists { .. } => {
            sorted(Kind::Option, "no_lists").hint("method=\"auto\" takes the lists that are there")
        }
        E::NoDense | E::NoGraph => sorted(Kind::Option, "no_dense"),
        E::NoTokens | E::NoReranker | E::NoTokenForm { .. } => sorted(Kind::Option, "no_tokens")
            .hint("`quarry tokens add INDEX` stores token embeddings; then Index.open(path, rerank=True)"),
        E::DenseDims { .. } | E::TokenDims { .. } | E::ZeroRow { .. } => {
            sorted(Kind::Input, "dimensions")
        }
        E::Param { .. } => sorted(Kind::Option, "invalid_option"),
        E::Filter { .. } => sorted(Kind::Option, "filter"),
        E::Timeout => sorted(Kind::Timeout, "timeout"),
        E::Text(_) | E::TextIo(_) => sorted(Kind::Index, "text"),
        _ => sorted(Kind::Other, "internal"),
    }
}

fn of_index(error: &IndexError) -> Sorted {
    use IndexError as E;
    match error {
        E::NoIndex { .. } | E::NoFolder { .. } => sorted(Kind::Index, "no_index")
            .hint("quarry.Index.build(path, documents) builds one"),
        E::Version { .. } => sorted(Kind::Index, "version"),
        E::Locked { .. } | E::Served { .. } => sorted(Kind::Refused, "locked"),
        E::HasLog { .. } => sorted(Kind::Refused, "has_log"),
        E::NotAnIndexFolder { .. } => sorted(Kind::Refused, "not_an_index"),
        E::NamedTerms { .. } => sorted(Kind::Input, "named_terms")
            .hint("the index names its terms by token: give queries as {token: weight}, or as CSR with vocabulary="),
        E::Limit { .. } => sorted(Kind::Input, "limit"),
        error if error.is_of_system() => sorted(Kind::Other, "system"),
        _ => sorted(Kind::Index, "damaged"),
    }
}

fn of_build(error: &BuildError) -> Sorted {
    use BuildError as E;
    match error {
        E::Index(error) => of_index(error),
        E::Exists { .. } => sorted(Kind::Refused, "exists").hint("overwrite=True replaces it"),
        E::Interrupted { .. } => sorted(Kind::Refused, "interrupted")
            .hint("resume=True continues it, overwrite=True discards it"),
        E::DuplicateId { .. } => sorted(Kind::Input, "duplicate_id"),
        E::Document { .. } | E::Vector { .. } | E::Input(_) | E::NoIds { .. } => {
            sorted(Kind::Input, "document")
        }
        E::Param { .. } | E::Memory { .. } => sorted(Kind::Option, "invalid_option"),
        E::OtherEncoder { .. } | E::OtherKind { .. } | E::OtherRules { .. } => {
            sorted(Kind::Refused, "other_rules")
        }
        _ => sorted(Kind::Other, "build"),
    }
}

fn of_write(error: &WriteError) -> Sorted {
    use WriteError as E;
    match error {
        E::DoesNothing { .. }
        | E::TextsWithoutVectors { .. }
        | E::ModelWithoutTexts
        | E::ProvenanceWithoutModel
        | E::PassagesWithoutModel
        | E::TokensWithoutTexts
        | E::NoTokensThere { .. } => sorted(Kind::Option, "does_nothing"),
        E::NoIds | E::HasVector { .. } | E::QueryHasVector { .. } | E::InFile { .. } => {
            sorted(Kind::Input, "document")
        }
        E::IsShard { .. } | E::Exists { .. } | E::Locked { .. } => sorted(Kind::Refused, "refused"),
        E::NewTokens { source }
        | E::NewDense { source }
        | E::TokensAfterBuild { source }
        | E::DenseAfterBuild { source } => of_engine(source),
        _ => sorted(Kind::Other, "write"),
    }
}
