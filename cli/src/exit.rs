//! Exit codes that scripts can use, and how an error is told.

use std::io::Write;
use std::process::ExitCode;

use quarry_datasets::DatasetError;
use quarry_engine::{EngineError, IndexError, SearchError};
use quarry_indexer::BuildError;

const FAILED: u8 = 1;
const USAGE: u8 = 2;
const NO_INDEX: u8 = 3;
const BAD_INPUT: u8 = 4;
const REFUSED: u8 = 5;

/// Options that do not go together, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

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
    // Its own causes are those of what it holds, so that a chain of errors does not show that.
    if let Some(error) = cause.downcast_ref::<EngineError>() {
        return match error {
            EngineError::Index(error) => of_index(error),
            EngineError::Build(error) => of_build(error),
            EngineError::Search(error) => of_search(error),
            EngineError::Dataset(error) => Some(of_dataset(error)),
            _ => None,
        };
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

fn of_search(error: &SearchError) -> Option<u8> {
    match error {
        SearchError::Index(error) => of_index(error),
        // The text part is mapped: what cannot be read is not as it was written.
        SearchError::Text(_) | SearchError::TextIo(_) => Some(NO_INDEX),
        _ => None,
    }
}

fn of_dataset(error: &DatasetError) -> u8 {
    use DatasetError::{BeingPulled, Exists, Export, Fetch, Foreign, NotAFile, Write};
    match error {
        // What is written is no input.
        Fetch { .. } | Export { .. } | NotAFile { .. } | Write(_) => FAILED,
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
        | BuildError::OtherRules { .. }
        | BuildError::NeedsTokens { .. }
        | BuildError::OtherTokens { .. }
        | BuildError::NoTokensThere { .. }
        | BuildError::TokensMissing { .. }
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
        | BuildError::InputShrank { .. }
        | BuildError::NoIds { .. }
        | BuildError::Input(_) => Some(BAD_INPUT),
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
        IndexError::Locked { .. } | IndexError::NotAnIndexFolder { .. } => Some(REFUSED),
        _ => Some(NO_INDEX),
    }
}
