//! What can go wrong, with what to do about it.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use quarry_datasets::DatasetError;
use quarry_encoders::{EncoderError, IdentityMismatch};
use quarry_index::IndexError;
use quarry_indexer::BuildError;
use quarry_searcher::SearchError;
use quarry_vectors::{EncodeError, VectorError};

use crate::write::setting::Setting;

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
    /// A term number that a vocabulary does not name.
    #[error("term {number} lies beyond the vocabulary of {tokens} tokens")]
    BeyondVocabulary {
        /// The number.
        number: u32,
        /// Tokens of the vocabulary.
        tokens: usize,
    },
    /// Weights of a fusion that are out of range or no numbers, or all 0.
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
    /// A channel that is named twice.
    #[error("the channel {channel} is named twice")]
    RepeatedChannel {
        /// The channel.
        channel: &'static str,
    },
    /// Two weights for one channel.
    #[error("the channel {channel} has two weights")]
    RepeatedWeight {
        /// The channel.
        channel: &'static str,
    },
    /// A weight for a channel that is not searched.
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
    /// A list that cannot be divided by its best score.
    #[error(
        "{}the best score of {list} is {best}, and `max` divides by it: scores have to be above 0; \
         `minmax`, `z` and `rrf` take any", query.as_ref().map(|q| format!("query `{q}`: ")).unwrap_or_default()
    )]
    NotAboveZero {
        /// Which.
        list: String,
        /// The query, where it has a name.
        query: Option<String>,
        /// Its best score.
        best: f64,
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

/// Why nothing was written, or not all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// A setting would do nothing with what the input holds.
    #[error("{setting} does nothing here: {why}")]
    DoesNothing {
        /// Which.
        setting: Setting,
        /// Why.
        why: String,
    },
    /// Ids and texts are named for vectors, and there are none.
    #[error("texts are named for vectors, but {} brings none", input.display())]
    TextsWithoutVectors {
        /// The collection.
        input: PathBuf,
    },
    /// A model is named, and no text is encoded.
    #[error(
        "the model encodes texts, but the documents bring their vectors or only words are built"
    )]
    ModelWithoutTexts,
    /// Origins are to be kept of weights that no model makes.
    #[error("origins tell where a model's weights come from; here no model encodes")]
    ProvenanceWithoutModel,
    /// Passages are wanted of texts that no model encodes.
    #[error("passages split texts that a model encodes; here none does")]
    PassagesWithoutModel,
    /// Token embeddings are wanted of documents without texts.
    #[error("token embeddings are made of texts, and the documents bring vectors alone")]
    TokensWithoutTexts,
    /// Vectors come to an index whose documents are encoded.
    #[error(
        "the index's documents are texts that a model encodes, with passages or origins: vectors cannot be \
         added to it"
    )]
    VectorsAmongTexts,
    /// A document of a file, which is named, since the input is a folder.
    #[error("{}: {source}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<BuildError>,
    },
    /// Something is said about token embeddings of an index without any.
    #[error("{}: the index has no token embeddings", index.display())]
    NoTokensThere {
        /// The index.
        index: PathBuf,
    },
    /// The token embeddings of documents that are added cannot be made.
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
    /// The index was built, and its token embeddings failed.
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
    /// Rows by document are given for a document of several passages.
    #[error("document `{id}` was split into passages; rows by document do not fit them")]
    SplitDocument {
        /// Its id.
        id: String,
    },
    /// The folder holds a shard of a build in place of an index.
    #[error("{}: this is a shard of a build; merge all of them into an index", path.display())]
    IsShard {
        /// The folder.
        path: PathBuf,
    },
    /// No ids of documents to delete.
    #[error("no ids are given")]
    NoIds,
    /// A text to encode has its vector already.
    #[error(
        "{}, line {line}: document {id:?} brings its vector: index it as it is; leave it out to have its text \
         encoded", path.display()
    )]
    HasVector {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// The document.
        id: String,
    },
    /// A query to encode has its vector already.
    #[error("query {id:?} brings its vector: search with it as it is, or leave the vector out")]
    QueryHasVector {
        /// The query.
        id: String,
    },
    /// An unfinished file has more than the input gives.
    #[error(
        "{}: cannot resume: it has {there} vectors, the input gives {given}", path.display()
    )]
    TooMany {
        /// The file.
        path: PathBuf,
        /// Vectors of the file.
        there: u64,
        /// Those of the input.
        given: u64,
    },
    /// A file is there.
    #[error("{}: the file is there; --overwrite replaces it", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file of an unfinished encoding that is somebody else's.
    #[error(
        "{}: something else lies there, which `quarry encode` did not make and would write over; move it away, \
         or choose another --out", path.display()
    )]
    ForeignFile {
        /// The file.
        path: PathBuf,
    },
    /// An unfinished file of another encoding.
    #[error("{}: cannot resume: it is of {was}, not of {wanted}", path.display())]
    OtherEncoding {
        /// The file.
        path: PathBuf,
        /// What it is of.
        was: String,
        /// What is wanted.
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
    /// A folder, a pipe or a device stands where a file was expected.
    #[error("{}: it is a folder, a pipe or a device; a file was expected", path.display())]
    NotAFile {
        /// What was given.
        path: PathBuf,
    },
    /// The system refuses.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// For `map_err` of writing: names the file.
pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> EngineError + '_ {
    move |source| WriteError::Io { path: path.to_path_buf(), source }.into()
}
