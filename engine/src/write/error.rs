//! What does not go together when something is written.

use std::fmt;
use std::path::PathBuf;

use quarry_indexer::BuildError;

use crate::EngineError;

/// A setting that an error is about. A command line has its own name for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Setting {
    /// [`Input::scale`](super::Input::scale).
    Scale,
    /// [`Input::vocabulary`](super::Input::vocabulary).
    Vocabulary,
    /// [`Input::vector_field`](super::Input::vector_field).
    VectorField,
    /// [`Encoding::max_tokens`](super::Encoding::max_tokens).
    MaxTokens,
    /// [`Encoding::top_k`](super::Encoding::top_k).
    TopK,
    /// [`Encoding::device`](super::Encoding::device) and its memory.
    Device,
    /// [`Input::repair_encoding`](super::Input::repair_encoding) turned off.
    RawEncoding,
    /// [`TextsAs::Bm25`](super::TextsAs::Bm25).
    Bm25,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scale => "the scale of weights",
            Self::Vocabulary => "the vocabulary",
            Self::VectorField => "the field of vectors",
            Self::MaxTokens => "the longest passage",
            Self::TopK => "the number of components",
            Self::Device => "the device or memory of a network",
            Self::RawEncoding => "leaving doubly encoded UTF-8",
            Self::Bm25 => "building words alone",
        })
    }
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
    /// The index was built, and its token embeddings failed.
    #[error("the index is complete, but has no token embeddings: {source}")]
    TokensAfterBuild {
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

/// For `map_err`: names the file.
pub(super) fn io(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> EngineError + '_ {
    move |source| WriteError::Io { path: path.to_path_buf(), source }.into()
}
