//! The engine's errors in the command line's words: options have their names, and what exit codes tell apart
//! stands in the chain of causes.

use anyhow::{Error, anyhow};
use quarry_encoders::EncoderError;
use quarry_engine::EngineError;
use quarry_engine::write::{Setting, WriteError};
use quarry_index::IndexError;

use crate::exit::{Refused, Usage};
use crate::{hub, model};

/// The error as it is told.
pub(crate) fn told(error: EngineError) -> Error {
    match error {
        EngineError::Index(error) => error.into(),
        EngineError::Build(error) => error.into(),
        EngineError::Search(error) => error.into(),
        EngineError::Dataset(error) => error.into(),
        EngineError::Encoder(error) => error.into(),
        EngineError::Encode(error) => error.into(),
        EngineError::Model { folder, source } => {
            Error::from(source).context(format!("model {}", folder.display()))
        }
        // Where it was looked for, it is known here.
        EngineError::NoBundledModel => match model::bundled() {
            Err(error) => error,
            Ok(_) => EngineError::NoBundledModel.into(),
        },
        EngineError::NoHub { name } => match hub::hub() {
            Err(error) => error,
            Ok(_) => EngineError::NoHub { name }.into(),
        },
        EngineError::NoSuchModel { given } => {
            anyhow!("{given}: no such folder; a model is a folder, or a name such as org/name")
        }
        EngineError::Write(error) => of_write(error),
        other => match advice(&other) {
            Some(text) => Error::from(other).context(text),
            None => other.into(),
        },
    }
}

/// What an error says here, where an option helps.
pub(crate) fn advice(error: &EngineError) -> Option<String> {
    let help = match error {
        EngineError::OtherModel(mismatch) => {
            format!("give the index's with --model {}", mismatch.indexed)
        }
        EngineError::NeedsModel { model } => format!("give it with --model {model}"),
        EngineError::NoTokenModel { made_by: Some(made_by), .. } => format!(
            "those of this index were made by `{made_by}`: give it with --token-model {made_by}"
        ),
        EngineError::NoDenseModel { .. } => {
            "a model of dense vectors is a folder as sentence-transformers saves it".to_owned()
        }
        EngineError::OtherDenseModel { .. } => {
            "its files or settings count, not its name; --dense-model names another".to_owned()
        }
        EngineError::OtherTokenModel { .. } => "name the model with --token-model".to_owned(),
        EngineError::NoDenseEncoder { .. } => "give it with --dense-queries FILE".to_owned(),
        EngineError::ImportedDense { .. } => {
            "`quarry dense add DIR --rows FILE --ids FILE` takes those of the documents that have none".to_owned()
        }
        EngineError::NoNetwork { .. } => {
            "--encode-device cuda needs a --model whose queries go through one".to_owned()
        }
        _ => return None,
    };
    Some(format!("{error}; {help}"))
}

fn of_write(error: WriteError) -> Error {
    match error {
        WriteError::DoesNothing { setting, why } => {
            Usage(format!("{} does nothing here: {why}", flag(setting))).into()
        }
        WriteError::TextsWithoutVectors { input } => {
            Usage(format!("--texts names vectors, but {} brings none", input.display())).into()
        }
        WriteError::ModelWithoutTexts => usage(
            "--model encodes texts, but this collection brings its vectors or --channel bm25 was asked",
        ),
        WriteError::ProvenanceWithoutModel => {
            usage("--provenance keeps where a model's weights come from; here no model encodes")
        }
        WriteError::PassagesWithoutModel => {
            usage("--passages splits texts that a model encodes; here none does")
        }
        WriteError::InFile { path, source } => {
            Error::from(*source).context(path.display().to_string())
        }
        WriteError::NewTokens { source } => told(*source).context(
            "with --without-tokens the new documents have no token embeddings, until `quarry tokens add` fills the gap",
        ),
        WriteError::NewDense { source } => {
            // The advice has the error in it.
            let said = advice(&source).unwrap_or_else(|| format!("{:#}", told(*source)));
            let text = format!("{said}; --without-dense adds the documents without dense vectors for now");
            Refused(text).into()
        }
        WriteError::TokensAfterBuild { source } => told(*source).context(
            "the index is complete, but has no token embeddings: `quarry tokens add` tries again",
        ),
        WriteError::DenseAfterBuild { source } => told(*source).context(
            "the index is complete, but has no dense vectors: `quarry dense add` tries again",
        ),
        // A folder without an index, for whoever looks at the exit code.
        WriteError::IsShard { path } => IndexError::NoIndex { path, interrupted: false }.into(),
        other => EngineError::from(other).into(),
    }
}

fn usage(text: &str) -> Error {
    Usage(text.to_owned()).into()
}

/// The same; a number of a model that is out of its range is of an option, where one gave it.
pub(crate) fn told_of_options(error: EngineError, given: bool) -> Error {
    if let EngineError::Encoder(EncoderError::Parameter { .. }) = &error
        && given
    {
        return Usage(error.to_string()).into();
    }
    told(error)
}

/// The options that an error is about.
fn flag(setting: Setting) -> &'static str {
    match setting {
        Setting::Scale => "--scale",
        Setting::Vocabulary => "--vocab",
        Setting::VectorField => "--vector-field",
        Setting::MaxTokens => "--max-tokens",
        Setting::TopK => "--top-k",
        Setting::Device => "--device and --encode-memory",
        Setting::RawEncoding => "--raw-encoding",
        Setting::Bm25 => "--channel bm25",
        _ => "an option",
    }
}
