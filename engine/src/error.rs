//! Errors of the engine, with what to do about them.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use quarry_datasets::DatasetError;
use quarry_encoders::{EncoderError, IdentityMismatch};
use quarry_index::IndexError;
use quarry_indexer::BuildError;
use quarry_searcher::SearchError;
use quarry_vectors::{EncodeError, VectorError};

use crate::write::setting::Setting;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// Reading the index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// Writing the index failed.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The search failed.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// Reading a collection, queries, judgements or a run failed.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// Reading a model's files failed.
    #[error(transparent)]
    Encoder(#[from] EncoderError),
    /// Encoding a text failed.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// A query's weights are invalid.
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
    /// The caller provided no bundled model.
    #[error("there is no bundled model: give a model")]
    NoBundledModel,
    /// The name of a model is neither a folder nor a valid name on the hub.
    #[error(
        "{given}: not a folder, and not a name on the hub; give a folder, or a name such as org/name"
    )]
    NoSuchModel {
        /// What was given.
        given: String,
    },
    /// A model is given by its name on the hub, but the caller provided no hub.
    #[error("{name}: is not a folder, and no hub to fetch it from was given")]
    NoHub {
        /// The name.
        name: String,
    },
    /// The manifest describes an encoder of a later version.
    #[error("{}: the manifest describes an encoder that this build does not know: {source}", folder.display())]
    UnknownEncoder {
        /// The folder of the index.
        folder: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The model given is not the one that the index was built with.
    #[error(transparent)]
    OtherModel(#[from] IdentityMismatch),
    /// The index has vectors of no known model, and a model with another vocabulary is given.
    #[error("the index's lexicon is not the vocabulary of `{model}`")]
    OtherVocabulary {
        /// The model.
        model: String,
    },
    /// Text queries need the model's network, and the model was not given.
    #[error(
        "the index was encoded with model `{model}`, whose queries go through its network: open it with that model"
    )]
    NeedsModel {
        /// The model's name.
        model: String,
    },
    /// A GPU is requested, but queries need no network.
    #[error("no network encodes queries of this index, so none can run on a GPU: {why}")]
    NoNetwork {
        /// Why no network is needed.
        why: &'static str,
    },
    /// The model cannot make token embeddings.
    #[error("model `{model}` gives no token embeddings")]
    NoTokenModel {
        /// The model.
        model: String,
        /// The model that made the index's token embeddings, if a model made them.
        made_by: Option<String>,
    },
    /// The model gives no dense vectors.
    #[error("model `{model}` gives {gives}, and no dense vectors")]
    NoDenseModel {
        /// The model.
        model: String,
        /// What it gives.
        gives: String,
    },
    /// The dense model given is not the one of the index.
    #[error(
        "the dense vectors of this index were made by model `{made_by}`, and the files or parameters of `{given}` \
         are others: queries and documents would not match"
    )]
    OtherDenseModel {
        /// The model of the index.
        made_by: String,
        /// The one given.
        given: String,
    },
    /// The token model given is not the one that made the index's token embeddings.
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
    /// The index's token embeddings were imported from files.
    #[error(
        "the token embeddings of this index were imported from {file}, and no model makes them"
    )]
    ImportedTokens {
        /// The file.
        file: String,
    },
    /// Serialising to JSON failed.
    #[error("{what}: {source}")]
    Json {
        /// What was serialised.
        what: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// The weights of a query vector are invalid, or their sum is not finite.
    #[error("the query's weights: {source}")]
    Weights {
        /// What is wrong.
        source: VectorError,
    },
    /// The query lacks the form that the channel needs.
    #[error("the query has nothing that the channel {channel} can search")]
    NoQuery {
        /// The channel.
        channel: &'static str,
    },
    /// The query is text on the sparse channel, and there is no encoder for it.
    #[error(
        "the query is text, and this index has no query encoder: give an encoded query, or open it with a model"
    )]
    NoQueryEncoder,
    /// The query is text, and there is no encoder of token embeddings.
    #[error(
        "no encoder of token embeddings is loaded: give those of the query, or open the index with a model"
    )]
    NoTokenEncoder,
    /// Text, and nothing that makes a dense vector of it.
    #[error(
        "the query is text, and {}: give the query's dense vector", match imported {
            Some(file) => format!("the index's dense vectors were imported from {file}, so no model makes the query's"),
            None => "no encoder of dense vectors is loaded".to_owned(),
        }
    )]
    NoDenseEncoder {
        /// The file that the index's dense vectors came from, if it was one.
        imported: Option<String>,
    },
    /// New documents need dense vectors, and those of the index came from a file.
    #[error(
        "the index's dense vectors were imported from {file}, and no model makes others like them"
    )]
    ImportedDense {
        /// The file's name.
        file: String,
    },
    /// A term number is larger than the vocabulary.
    #[error("term {number} lies beyond the vocabulary of {tokens} tokens")]
    BeyondVocabulary {
        /// The number.
        number: u32,
        /// Number of tokens in the vocabulary.
        tokens: usize,
    },
    /// A weight for fusion is out of range or not a number, or all weights are 0.
    #[error("the weights of a fusion are 0 or numbers from 0.000001 to 1000000, and not all 0")]
    NoWeight,
    /// Judged queries that are too few to choose weights by.
    #[error("weights are chosen by at least {needed} judged queries; there are {found}")]
    TooFewJudged {
        /// Judged queries.
        found: usize,
        /// How many there must be.
        needed: usize,
    },
    /// A channel is named twice.
    #[error("the channel {channel} is named twice")]
    RepeatedChannel {
        /// The channel.
        channel: &'static str,
    },
    /// A channel has two weights.
    #[error("the channel {channel} has two weights")]
    RepeatedWeight {
        /// The channel.
        channel: &'static str,
    },
    /// A weight is given for a channel that is not searched.
    #[error("a weight is given for the channel {channel}, which is not searched")]
    WeightWithoutChannel {
        /// The channel.
        channel: &'static str,
    },
    /// A constant of reciprocal rank fusion that is out of range or no number.
    #[error("k of reciprocal rank fusion is {found}; expected a number from 0 to 10000")]
    RrfK {
        /// What was given.
        found: f64,
    },
    /// Options of feedback that are out of range, or do not go with the channels.
    #[error("feedback: {what}")]
    Feedback {
        /// Which: `condition`, `channels`, `depth`, `terms` or `weight`.
        option: &'static str,
        /// What is wrong, and what would be right.
        what: String,
    },
    /// A list's best score is not above 0, so its scores cannot be divided by it.
    #[error(
        "{}the best score of {list} is {best}, and `max` divides by it: scores have to be above 0; \
         `minmax`, `z` and `rrf` take any", query.as_ref().map(|q| format!("query `{q}`: ")).unwrap_or_default()
    )]
    NotAboveZero {
        /// The list.
        list: String,
        /// The query, if it has a name.
        query: Option<String>,
        /// Its best score.
        best: f64,
    },
    /// The request asks for something that no search supports.
    #[error("{what}")]
    NotSupported {
        /// The reason, as a sentence.
        what: &'static str,
    },
    /// The vectors of documents cannot be listed.
    #[error("the vectors of these documents cannot be listed: {what}")]
    NoVectors {
        /// Why.
        what: &'static str,
    },
    /// The search was cancelled.
    #[error("the search was cancelled")]
    Cancelled,
    /// The hits would exceed the limit in bytes.
    #[error("the answer would have more than {most} bytes: ask for fewer results or fields")]
    AnswerTooLarge {
        /// The limit, in bytes.
        most: NonZeroUsize,
    },
    /// The index does not have this document.
    #[error("no document has the id `{id}`")]
    UnknownDocument {
        /// The id.
        id: String,
    },
    /// The index stores no documents.
    #[error("this index stores no documents: build it from documents with text")]
    NothingStored,
    /// A stage returned fewer answers than queries: a fault in Quarry.
    #[error("a stage of the search gave no answer")]
    NoAnswer,
    /// The options of a write contradict each other or the input.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Why a write failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// An option has no effect on this input.
    #[error("{setting} does nothing here: {why}")]
    DoesNothing {
        /// The option.
        setting: Setting,
        /// Why it has no effect.
        why: String,
    },
    /// A file of ids and texts is given for vectors, but the input has no vectors.
    #[error("texts are given for vectors, but {} has no vectors", input.display())]
    TextsWithoutVectors {
        /// The collection.
        input: PathBuf,
    },
    /// A model is given, but no text is encoded.
    #[error(
        "the model encodes texts, but the documents bring their vectors or only words are built"
    )]
    ModelWithoutTexts,
    /// Provenance is requested, but no model encodes the documents.
    #[error("provenance needs a model that encodes the documents; here none does")]
    ProvenanceWithoutModel,
    /// Passages are requested, but no model encodes the documents.
    #[error("passages split texts that a model encodes; here none does")]
    PassagesWithoutModel,
    /// Token embeddings are requested for documents without texts.
    #[error("token embeddings are made of texts, and the documents bring vectors alone")]
    TokensWithoutTexts,
    /// Documents with vectors are added to an index whose documents are encoded.
    #[error(
        "the index's documents are texts that a model encodes, with passages or origins: vectors cannot be \
         added to it"
    )]
    VectorsAmongTexts,
    /// An invalid document in a file of the input folder.
    #[error("{}: {source}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<BuildError>,
    },
    /// An option about token embeddings is given for an index without any.
    #[error("{}: the index has no token embeddings", index.display())]
    NoTokensThere {
        /// The index.
        index: PathBuf,
    },
    /// The token embeddings of added documents cannot be made.
    #[error(
        "the index has token embeddings, and those of the new documents cannot be made: {source}"
    )]
    NewTokens {
        /// Why.
        source: Box<EngineError>,
    },
    /// The dense vectors of documents that are added cannot be made.
    #[error("the index has dense vectors, and those of the new documents cannot be made: {source}")]
    NewDense {
        /// Why.
        source: Box<EngineError>,
    },
    /// The index was built, but adding its token embeddings failed.
    #[error("the index is complete, but has no token embeddings: {source}")]
    TokensAfterBuild {
        /// Why.
        source: Box<EngineError>,
    },
    /// The index was built, and its dense vectors failed.
    #[error("the index is complete, but has no dense vectors: {source}")]
    DenseAfterBuild {
        /// Why.
        source: Box<EngineError>,
    },
    /// Token embeddings by document are given for a document that was split into passages.
    #[error("document `{id}` was split into passages; rows by document do not fit them")]
    SplitDocument {
        /// Its id.
        id: String,
    },
    /// The folder holds a shard of a build, not an index.
    #[error("{}: this is a shard of a build; merge all of them into an index", path.display())]
    IsShard {
        /// The folder.
        path: PathBuf,
    },
    /// No ids are given for deletion.
    #[error("no ids are given")]
    NoIds,
    /// A document to encode already has a vector.
    #[error(
        "{}, line {line}: document {id:?} brings its vector: index it as it is; leave it out to have its text \
         encoded", path.display()
    )]
    HasVector {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The document's id.
        id: String,
    },
    /// A query to encode already has a vector.
    #[error("query {id:?} brings its vector: search with it as it is, or leave the vector out")]
    QueryHasVector {
        /// The query's id.
        id: String,
    },
    /// An unfinished file has more vectors than the input has texts.
    #[error(
        "{}: cannot resume: it has {there} vectors, the input gives {given}", path.display()
    )]
    TooMany {
        /// The file.
        path: PathBuf,
        /// Vectors in the file.
        there: u64,
        /// Texts in the input.
        given: u64,
    },
    /// The output file exists.
    #[error("{}: the file is there; --overwrite replaces it", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file of an unfinished encoding is not ours.
    #[error(
        "{}: this file is not from `quarry encode`, which would overwrite it; move it away, or choose another \
         --out", path.display()
    )]
    ForeignFile {
        /// The file.
        path: PathBuf,
    },
    /// The unfinished file belongs to another encoding.
    #[error("{}: cannot resume: it is of {was}, not of {wanted}", path.display())]
    OtherEncoding {
        /// The file.
        path: PathBuf,
        /// The encoding that it belongs to.
        was: String,
        /// The encoding requested.
        wanted: String,
    },
    /// Another process writes the file.
    #[error("{}: another process is writing to it; wait for it to end", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// An encoder gave a term that its vocabulary lacks.
    #[error("term {term} lies beyond the model's vocabulary")]
    BeyondVocabulary {
        /// The term.
        term: u32,
    },
    /// A folder, a pipe or a device is given in place of a file.
    #[error("{}: it is a folder, a pipe or a device; a file was expected", path.display())]
    NotAFile {
        /// What was given.
        path: PathBuf,
    },
    /// Reading or writing a file failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
}

/// For `map_err` of writes: adds the file's path.
pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> EngineError + '_ {
    move |source| WriteError::Io { path: path.to_path_buf(), source }.into()
}
