//! What a caller may set about reading.

use std::path::PathBuf;

use crate::unique::Duplicates;

/// How a collection is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CollectionFormat {
    /// A BEIR folder: `corpus.jsonl` (or `.gz`, `.zst`).
    Beir,
    /// MS MARCO's `pid TAB text`.
    MsMarco,
    /// One JSON object a line, with text, a vector, or both; also a folder of such files.
    JsonLines,
    /// Seismic's inner binary format (`.bin`).
    SeismicBin,
    /// The sparse matrix of the `BigANN` benchmark (`.csr`).
    BigAnnCsr,
    /// The Common Index File Format (`.ciff`).
    Ciff,
}

/// How [`open_collection`](crate::open_collection) reads.
#[derive(Debug, Clone, PartialEq)]
pub struct CollectionOptions {
    /// The format; `None` finds it by looking at the content.
    pub format: Option<CollectionFormat>,
    /// Whether UTF-8 that was encoded twice is repaired in MS MARCO's TSV. Default: yes.
    pub repair_encoding: bool,
    /// Divides all weights: 100 for integer weights that are 100 times the real ones. `None`
    /// (default) keeps them as they are.
    pub scale: Option<f32>,
    /// A second collection with the ids, texts and fields of the first one's documents, in the same
    /// order: vectors that were made elsewhere rarely bring them. `None` (default) leaves them as
    /// they are. A document that has an id of its own must have the same in both.
    pub texts: Option<PathBuf>,
    /// The field of JSON lines that holds the vector. `None` (default) is `vector`.
    pub vector_field: Option<String>,
    /// Other fields of JSON lines that stay fields even if they look like sparse vectors, which are
    /// refused otherwise: a vector that is taken for a field is never searched. Default: none.
    pub kept_fields: Vec<String>,
    /// What becomes of documents of one id. `None` (default) hands all of them on.
    pub duplicates: Option<Duplicates>,
    /// Names of the vectors of `.bin` and `.csr`, one id a line. `None` (default) names them by
    /// their ordinal.
    pub ids: Option<PathBuf>,
    /// Bytes that turning postings into documents may take (CIFF): the file is read once for each so
    /// many bytes of postings, 8 a posting. Besides, 4 bytes a document, the terms and the longest
    /// list are held. Default: 256 MiB.
    pub memory: u64,
}

impl Default for CollectionOptions {
    fn default() -> Self {
        Self {
            format: None,
            repair_encoding: true,
            scale: None,
            texts: None,
            vector_field: None,
            kept_fields: Vec::new(),
            duplicates: None,
            ids: None,
            memory: 256 << 20,
        }
    }
}

/// How queries are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QueryFormat {
    /// By looking at the content; a file of `qid TAB ...` is taken for text.
    #[default]
    Auto,
    /// A BEIR folder: `queries.jsonl` (or `.gz`, `.zst`).
    Beir,
    /// One JSON object a line, with text, a vector, or both.
    JsonLines,
    /// `qid TAB text`.
    Text,
    /// Anserini's encoded queries, `qid TAB token token ...`: a token stands there as often as
    /// it weighs.
    Anserini,
    /// Seismic's inner binary format (`.bin`).
    SeismicBin,
    /// The sparse matrix of the `BigANN` benchmark (`.csr`).
    BigAnnCsr,
}

/// How [`open_queries`](crate::open_queries) reads.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryOptions {
    /// The format.
    pub format: QueryFormat,
    /// Divides all weights, as [`CollectionOptions::scale`] does.
    pub scale: Option<f32>,
    /// As [`CollectionOptions::vector_field`].
    pub vector_field: Option<String>,
    /// In a BEIR folder with a `qrels` folder: keep the queries that `qrels/SPLIT.tsv` judges.
    /// `None` keeps all. Default: `test`.
    pub split: Option<String>,
}

impl Default for QueryOptions {
    fn default() -> Self {
        Self {
            format: QueryFormat::Auto,
            scale: None,
            vector_field: None,
            split: Some("test".to_owned()),
        }
    }
}
