//! Exit codes that scripts can use, and how an error is told.

use std::io::Write;
use std::process::ExitCode;

use quarry_datasets::DatasetError;
use quarry_encoders::EncoderError;
use quarry_engine::store::StoreError;
use quarry_engine::write::WriteError;
use quarry_engine::{EngineError, IndexError, SearchError};
use quarry_indexer::BuildError;
use quarry_server::keys::KeyFileError;
use quarry_server::{ConfigError, ServeError};

const FAILED: u8 = 1;
const USAGE: u8 = 2;
const NO_INDEX: u8 = 3;
const BAD_INPUT: u8 = 4;
const REFUSED: u8 = 5;

/// Options that do not go together, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// An input, or what two inputs have to do with each other, is not what it has to be.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadInput(pub(crate) String);

/// What was asked would do harm, or nothing at all.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(pub(crate) String);

/// Prints the error, if any, with its causes, and gives the process its code.
pub(crate) fn code(result: anyhow::Result<()>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    if is_broken_pipe(&error) {
        // Whoever read our output has seen enough (`quarry search ... | head`).
        return ExitCode::SUCCESS;
    }
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    // Nothing is left to do when stderr is closed too.
    let _ = writeln!(crate::terminal::stderr(), "error: {text}");
    ExitCode::from(kind(&error))
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

fn kind(error: &anyhow::Error) -> u8 {
    error.chain().find_map(of_cause).unwrap_or(FAILED)
}

fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<u8> {
    if cause.is::<Usage>() {
        return Some(USAGE);
    }
    if cause.is::<Refused>() {
        return Some(REFUSED);
    }
    if cause.is::<BadInput>() {
        return Some(BAD_INPUT);
    }
    // Its own causes are those of what it holds, so that a chain of errors does not show that.
    if let Some(error) = cause.downcast_ref::<EngineError>() {
        return of_engine(error);
    }
    match cause.downcast_ref::<StoreError>() {
        Some(StoreError::Engine(error)) => return of_engine(error),
        Some(StoreError::Foreign { .. }) => return Some(REFUSED),
        _ => {}
    }
    if let Some(error) = cause.downcast_ref::<EncoderError>() {
        return of_encoder(error);
    }
    match cause.downcast_ref::<ServeError>() {
        Some(ServeError::Config(error)) => return Some(of_config(error)),
        Some(ServeError::Keys(_) | ServeError::Tls(_)) => return Some(BAD_INPUT),
        _ => {}
    }
    if cause.is::<KeyFileError>() {
        return Some(BAD_INPUT);
    }
    if let Some(error) = cause.downcast_ref::<BuildError>() {
        return of_build(error);
    }
    if let Some(error) = cause.downcast_ref::<SearchError>() {
        return of_search(error);
    }
    if let Some(error) = cause.downcast_ref::<IndexError>() {
        return of_index(error);
    }
    cause.downcast_ref::<DatasetError>().map(of_dataset)
}

fn of_engine(error: &EngineError) -> Option<u8> {
    match error {
        EngineError::Index(error) => of_index(error),
        EngineError::Build(error) => of_build(error),
        EngineError::Search(error) => of_search(error),
        EngineError::Dataset(error) => Some(of_dataset(error)),
        EngineError::Encoder(error) => of_encoder(error),
        EngineError::Write(error) => of_write(error),
        EngineError::NoNetwork { .. } => Some(USAGE),
        _ => None,
    }
}

/// All of them are of options.
fn of_config(error: &ConfigError) -> u8 {
    match error {
        ConfigError::KeyNeeded { .. }
        | ConfigError::KeyAndNoAuth
        | ConfigError::Key
        | ConfigError::Origin(_)
        | ConfigError::DocumentBytes { .. }
        | ConfigError::Collection { .. } => USAGE,
    }
}

fn of_encoder(error: &EncoderError) -> Option<u8> {
    match error {
        EncoderError::FixedPrecision { .. } => Some(USAGE),
        _ => None,
    }
}

fn of_write(error: &WriteError) -> Option<u8> {
    match error {
        WriteError::DoesNothing { .. }
        | WriteError::TextsWithoutVectors { .. }
        | WriteError::ModelWithoutTexts
        | WriteError::ProvenanceWithoutModel
        | WriteError::PassagesWithoutModel
        | WriteError::TokensWithoutTexts
        | WriteError::NoTokensThere { .. } => Some(USAGE),
        WriteError::NoIds
        | WriteError::HasVector { .. }
        | WriteError::QueryHasVector { .. }
        | WriteError::NotAFile { .. }
        | WriteError::TooMany { .. } => Some(BAD_INPUT),
        WriteError::Exists { .. }
        | WriteError::ForeignFile { .. }
        | WriteError::OtherEncoding { .. }
        | WriteError::Locked { .. } => Some(REFUSED),
        _ => None,
    }
}

fn of_search(error: &SearchError) -> Option<u8> {
    match error {
        SearchError::Index(error) => of_index(error),
        SearchError::Param { .. } => Some(USAGE),
        SearchError::DenseDims { .. } => Some(BAD_INPUT),
        // The text part is mapped: what cannot be read is not as it was written.
        SearchError::Text(_) | SearchError::TextIo(_) => Some(NO_INDEX),
        _ => None,
    }
}

fn of_dataset(error: &DatasetError) -> u8 {
    use DatasetError::{
        BeingPulled, Exists, Export, Fetch, Foreign, HasIds, Measure, NotAFile, Scale, Write,
    };
    match error {
        // What is written is no input.
        Fetch { .. } | Export { .. } | NotAFile { .. } | Write(_) => FAILED,
        // Of options, whatever the data.
        Scale(_) | Measure { .. } | HasIds { .. } => USAGE,
        Exists { .. } | BeingPulled { .. } | Foreign { .. } => REFUSED,
        _ => BAD_INPUT,
    }
}

fn of_build(error: &BuildError) -> Option<u8> {
    match error {
        BuildError::Exists { .. }
        | BuildError::ForeignBuild { .. }
        | BuildError::HasTokens { .. }
        | BuildError::Interrupted { .. }
        | BuildError::OtherEncoder { .. }
        | BuildError::OtherKind { .. }
        | BuildError::OtherLists { .. }
        | BuildError::OtherRules { .. }
        | BuildError::NeedsTokens { .. }
        | BuildError::OtherTokens { .. }
        | BuildError::NoTokensThere { .. }
        | BuildError::TokensMissing { .. }
        | BuildError::HasDense { .. }
        | BuildError::NeedsDense { .. }
        | BuildError::OtherDense { .. }
        | BuildError::DenseMissing { .. }
        | BuildError::UnknownKind { .. }
        | BuildError::ResumeMismatch { .. }
        | BuildError::Shards { .. }
        | BuildError::ShardMismatch { .. }
        | BuildError::ShardExists { .. }
        | BuildError::NotAShard { .. } => Some(REFUSED),
        BuildError::DuplicateId { .. }
        | BuildError::Document { .. }
        | BuildError::Vector { .. }
        | BuildError::Tokens { .. }
        | BuildError::Dense { .. }
        | BuildError::InputShrank { .. }
        | BuildError::NoIds { .. }
        | BuildError::Input(_) => Some(BAD_INPUT),
        BuildError::Param { .. } | BuildError::Memory { .. } | BuildError::NoDenseThere { .. } => {
            Some(USAGE)
        }
        BuildError::Index(error) => of_index(error),
        BuildError::NotMerged { source, .. } => of_build(source),
        _ => None,
    }
}

fn of_index(error: &IndexError) -> Option<u8> {
    match error {
        IndexError::Limit { .. } => None,
        error if error.is_of_system() => None,
        IndexError::NamedTerms { .. } => Some(BAD_INPUT),
        IndexError::Locked { .. }
        | IndexError::Served { .. }
        | IndexError::HasLog { .. }
        | IndexError::NotAnIndexFolder { .. } => Some(REFUSED),
        _ => Some(NO_INDEX),
    }
}
