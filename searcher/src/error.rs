//! Why a search failed. A failed search is never an empty ranking.

use quarry_index::IndexError;
use quarry_vectors::{EncodeError, VectorError};

/// Any failure of a search.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The index's files could not be read.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The query is not a valid vector.
    #[error("query: {0}")]
    Query(#[from] VectorError),
    /// The index has no vectors.
    #[error(
        "this index has no sparse channel: it was built without an encoder and without vectors"
    )]
    NoSparse,
    /// The query side could not encode a text.
    #[error("encoding a synthetic query: {0}")]
    Encode(EncodeError),
    /// The index has no text.
    #[error("this index has no text: BM25 and stored documents need a collection with texts")]
    NoText,
    /// The method needs lists that were not built.
    #[error(
        "this index has no {method} lists; `quarry lists DIR --add {method}` adds them, --method exact searches without"
    )]
    NoLists {
        /// The method asked for.
        method: &'static str,
    },
    /// The index has no dense vectors.
    #[error("this index has no dense channel; `quarry dense add DIR` adds dense vectors")]
    NoDense,
    /// The index has no graph of near rows.
    #[error(
        "this index has no graph over its dense vectors; `quarry dense graph DIR` builds it, the method exact searches \
         without"
    )]
    NoGraph,
    /// The query's dense vector is not of the index's dimensions.
    #[error("the query's dense vector has {found} dimensions, the index's have {expected}")]
    DenseDims {
        /// The query's.
        found: usize,
        /// The index's.
        expected: usize,
    },
    /// The index has no token embeddings.
    #[error(
        "this index has no token embeddings, which reranking needs; `quarry tokens add DIR` adds them"
    )]
    NoTokens,
    /// Token embeddings are searched by a reranker.
    #[error("searching token embeddings needs a reranker, and the options name none")]
    NoReranker,
    /// The reranker returned fewer results than queries.
    #[error("the reranker returned no result for the query")]
    NoAnswer,
    /// The token embeddings are not stored in the form that is needed.
    #[error(
        "the index keeps no {form} rows of its token embeddings, which {what} needs; `quarry tokens add \
         DIR --replace --store int8,{form}` stores them"
    )]
    NoTokenForm {
        /// The form, as commands name it.
        form: &'static str,
        /// What needs it.
        what: &'static str,
    },
    /// The query's rows are not of the index's dimensions.
    #[error("the query's token embeddings have {found} dimensions, the index's have {expected}")]
    TokenDims {
        /// The query's.
        found: usize,
        /// The index's.
        expected: usize,
    },
    /// A row of the query has no direction.
    #[error("row {row} of the query's token embeddings is zero: it has no direction to compare")]
    ZeroRow {
        /// The row, from 0.
        row: usize,
    },
    /// The device failed.
    #[error("{device}: {what}")]
    Device {
        /// Which.
        device: String,
        /// What happened, and what to do.
        what: String,
    },
    /// A parameter is out of range.
    #[error("{name} = {found}: {expected}")]
    Param {
        /// Its name.
        name: &'static str,
        /// What was given.
        found: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// The filter is not valid.
    #[error("filter `{expression}`: {reason}")]
    Filter {
        /// What was given.
        expression: String,
        /// Why it is refused.
        reason: String,
    },
    /// The deadline passed.
    #[error("the search did not end in the time given")]
    Timeout,
    /// tantivy could not read its postings.
    #[error("text part: {0}")]
    Text(#[from] Box<tantivy::TantivyError>),
    /// The system refused to read the text part.
    #[error("text part: {0}")]
    TextIo(#[from] std::io::Error),
}
