//! What can go wrong, with what to do about it.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use quarry_datasets::DatasetError;
use quarry_encoders::{EncoderError, IdentityMismatch};
use quarry_index::IndexError;
use quarry_indexer::BuildError;
use quarry_searcher::SearchError;
use quarry_vectors::{EncodeError, VectorError};

use crate::WriteError;

/// Why the engine did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// Of the index's files.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// Of writing an index.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Of a search.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// Of a collection, queries, judgements or a run.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// Of a model's files.
    #[error(transparent)]
    Encoder(#[from] EncoderError),
    /// Of encoding a text.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// Of a query's weights.
    #[error("query `{query}`: {source}")]
    Vector {
        /// The query's id.
        query: String,
        /// What is wrong.
        source: VectorError,
    },
    /// A model's folder could not be opened.
    #[error("model {}: {source}", folder.display())]
    Model {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: EncoderError,
    },
    /// No bundled model was handed in.
    #[error("the bundled model is not there: name a model")]
    NoBundledModel,
    /// A model's name is neither a folder nor a name on the hub.
    #[error(
        "{given}: not a folder, and not a name on the hub; give a folder, or a name such as org/name"
    )]
    NoSuchModel {
        /// What was given.
        given: String,
    },
    /// A name on the hub, and no hub was handed in.
    #[error("{name}: is not a folder, and no hub to fetch it from was given")]
    NoHub {
        /// The name.
        name: String,
    },
    /// The manifest describes an encoder of a later version.
    #[error("{}: the manifest describes an encoder that this build does not know: {source}", folder.display())]
    UnknownEncoder {
        /// The index.
        folder: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The model given is not the one of the index.
    #[error(transparent)]
    OtherModel(#[from] IdentityMismatch),
    /// An index of vectors without a model, and a model of other terms.
    #[error("the index's lexicon is not the vocabulary of `{model}`")]
    OtherVocabulary {
        /// The model.
        model: String,
    },
    /// Text queries go through a network that was not given.
    #[error(
        "the index was encoded with model `{model}`, whose queries go through its network: open it with that model"
    )]
    NeedsModel {
        /// The model's name.
        model: String,
    },
    /// A GPU was asked for where no network runs.
    #[error("no network encodes queries of this index, so none can run on a GPU: {why}")]
    NoNetwork {
        /// Why there is none.
        why: &'static str,
    },
    /// The model gives no token embeddings.
    #[error("model `{model}` gives no token embeddings")]
    NoTokenModel {
        /// The model.
        model: String,
        /// The model that made those of the index, if one did.
        made_by: Option<String>,
    },
    /// The token model given is not the one of the index.
    #[error(
        "the token embeddings of this index were made by model `{made_by}`, and the files or parameters of \
         `{given}` are others: queries and documents would not match"
    )]
    OtherTokenModel {
        /// The model of the index.
        made_by: String,
        /// The one given.
        given: String,
    },
    /// The index's token embeddings came from files.
    #[error(
        "the token embeddings of this index were imported from {file}, and no model makes them"
    )]
    ImportedTokens {
        /// The file.
        file: String,
    },
    /// JSON that could not be written.
    #[error("{what}: {source}")]
    Json {
        /// What of.
        what: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// The weights of a query vector do not add up to a finite number, or are none.
    #[error("the query's weights: {source}")]
    Weights {
        /// What is wrong.
        source: VectorError,
    },
    /// A query without the form that the channel searches.
    #[error("the query has nothing that the channel {channel} can search")]
    NoQuery {
        /// The channel.
        channel: &'static str,
    },
    /// Text on the sparse channel, and nothing that encodes it.
    #[error(
        "the query is text, and this index has no query encoder: give an encoded query, or open it with a model"
    )]
    NoQueryEncoder,
    /// Text, and nothing that makes token embeddings of it.
    #[error(
        "no encoder of token embeddings is loaded: give those of the query, or open the index with a model"
    )]
    NoTokenEncoder,
    /// A term number that a vocabulary does not name.
    #[error("term {number} lies beyond the vocabulary of {tokens} tokens")]
    BeyondVocabulary {
        /// The number.
        number: u32,
        /// Tokens of the vocabulary.
        tokens: usize,
    },
    /// Asked for what no search does.
    #[error("{what}")]
    NotSupported {
        /// What.
        what: &'static str,
    },
    /// The search was cancelled.
    #[error("the search was cancelled")]
    Cancelled,
    /// The hits are longer than allowed.
    #[error("the answer would have more than {most} bytes: ask for fewer results or fields")]
    AnswerTooLarge {
        /// The limit.
        most: NonZeroUsize,
    },
    /// A document that the index does not have.
    #[error("no document has the id `{id}`")]
    UnknownDocument {
        /// The id.
        id: String,
    },
    /// The index stores no documents.
    #[error("this index stores no documents: build it from documents with text")]
    NothingStored,
    /// A stage gave fewer answers than it was asked for: a fault of ours.
    #[error("a stage of the search gave no answer")]
    NoAnswer,
    /// What is written does not go together.
    #[error(transparent)]
    Write(#[from] WriteError),
}
