//! The crate's one error: which file, where in it, what was expected and what stood there.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use quarry_vectors::counted;

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// Line, from 1.
    Line(u64),
    /// Record of a binary file, from 0.
    Ordinal(u64),
    /// Postings list of a CIFF file, from 0.
    PostingsList(u64),
    /// Document record of a CIFF file, from 0.
    Record(u64),
    /// The file's head, or the file as a whole.
    Start,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(n) => write!(f, "line {n}"),
            Self::Ordinal(n) => write!(f, "vector {n}"),
            Self::PostingsList(n) => write!(f, "postings list {n}"),
            Self::Record(n) => write!(f, "document record {n}"),
            Self::Start => f.write_str("start"),
        }
    }
}

/// Why a data set could not be read, written or judged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// A file or folder could not be opened, listed or created.
    #[error("{path}: {source}")]
    Open {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Reading failed part way: a disk error, or compressed data that are cut short or damaged.
    #[error("{path}, {at}: cannot read on: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What was being read.
        at: Position,
        /// What the system or the decompressor said.
        source: io::Error,
    },
    /// Writing failed.
    #[error("cannot write: {0}")]
    Write(#[source] io::Error),
    /// The file ends inside a record.
    #[error("{path}, {at}: the file ends before {expected}")]
    Truncated {
        /// The file.
        path: PathBuf,
        /// What was being read.
        at: Position,
        /// What is missing.
        expected: &'static str,
    },
    /// A line is not UTF-8.
    #[error(
        "{path}, line {line}: byte {byte} of the line is not UTF-8; `iconv -f latin1 -t utf-8 FILE` \
         converts Latin-1"
    )]
    Utf8 {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Offset of the first bad byte in the line, from 0.
        byte: usize,
    },
    /// A line is longer than this crate reads.
    #[error("{path}, line {line}: longer than {limit} bytes")]
    LineTooLong {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A line is not the JSON record that was expected.
    #[error("{path}, line {line}, column {column}: {reason}")]
    Json {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Column in bytes, from 1; 0 when the record as a whole is meant.
        column: usize,
        /// What is wrong.
        reason: String,
    },
    /// A record is not of the expected shape.
    #[error("{path}, {at}: expected {expected}, found {found}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where in it.
        at: Position,
        /// What should stand there.
        expected: &'static str,
        /// What stands there, shortened.
        found: String,
    },
    /// A collection and its texts do not belong together.
    #[error("{texts} and {vectors}: expected the same documents in the same order, but {found}")]
    OtherTexts {
        /// The collection.
        vectors: PathBuf,
        /// Its texts.
        texts: PathBuf,
        /// What is different, and where.
        found: String,
    },
    /// A record's id is the empty string.
    #[error("{path}, {at}: the id is empty")]
    EmptyId {
        /// The file.
        path: PathBuf,
        /// Where in it.
        at: Position,
    },
    /// A weight is NaN, infinite or negative.
    #[error("{path}, {at}: weight {found} of {term:?} is not a finite number of at least 0")]
    Weight {
        /// The file.
        path: PathBuf,
        /// Where in it.
        at: Position,
        /// The token, or the number of the term.
        term: String,
        /// The offending weight.
        found: f32,
    },
    /// A query and document pair stands twice in a run or in judgements.
    #[error("{path}, line {line}: document {document:?} stands twice for query {query:?}")]
    RepeatedPair {
        /// The file.
        path: PathBuf,
        /// Line of the second, from 1.
        line: u64,
        /// The query.
        query: String,
        /// The document.
        document: String,
    },
    /// A name that has to be unique in its file appears twice.
    #[error("{path}, line {line}: {name:?} appears twice")]
    RepeatedName {
        /// The file.
        path: PathBuf,
        /// Line of the second, from 1.
        line: u64,
        /// The name.
        name: String,
    },
    /// The file or folder is in none of the formats that were possible.
    #[error("{path}: cannot tell the format: expected {expected}")]
    UnknownFormat {
        /// The file or folder.
        path: PathBuf,
        /// What would have been recognised.
        expected: &'static str,
    },
    /// The file is of a kind that is not read.
    #[error("{path}: this is {what}, which is not read here; {hint}")]
    OtherKind {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// The file has no content.
    #[error("{path}: the file is empty; expected {expected}")]
    Empty {
        /// The file.
        path: PathBuf,
        /// What should stand in it.
        expected: &'static str,
    },
    /// Judgements without one.
    #[error("{path}: no judgement is in it, only {found}: there is nothing to measure by")]
    NoJudgements {
        /// The file.
        path: PathBuf,
        /// What is.
        found: &'static str,
    },
    /// A pair is judged twice, differently.
    #[error(
        "{path}, line {line}: document {document:?} is judged {grade} for query {query:?}, but {before} on \
         line {first}; leave one of the lines out"
    )]
    JudgedTwice {
        /// The file.
        path: PathBuf,
        /// Line of the second, from 1.
        line: u64,
        /// Line of the first.
        first: u64,
        /// The query.
        query: String,
        /// The document.
        document: String,
        /// The grade on `line`.
        grade: i32,
        /// The grade on `first`.
        before: i32,
    },
    /// Two documents that are not the same have one id.
    #[error(
        "{path}, {at}: document {id:?} is another one than that of the same id in {first_path}, {first}; leave \
         one of them out, or --duplicates last takes the later one"
    )]
    RepeatedDocument {
        /// The file of the second.
        path: PathBuf,
        /// Where in it the second is.
        at: Position,
        /// The file of the first.
        first_path: PathBuf,
        /// Where in it the first is.
        first: Position,
        /// The id.
        id: String,
    },
    /// Two queries that are not the same have one id.
    #[error(
        "{path}, {at}: query {id:?} is another one than that of the same id at {first}; leave one of them out"
    )]
    RepeatedQuery {
        /// The file.
        path: PathBuf,
        /// Where the second is.
        at: Position,
        /// Where the first is.
        first: Position,
        /// The id.
        id: String,
    },
    /// A folder lacks a file, plain or compressed.
    #[error("{path}: no such file, neither plain nor as .gz or .zst{hint}")]
    Missing {
        /// The plain name of the file.
        path: PathBuf,
        /// What there is instead; empty or starting with `; `.
        hint: String,
    },
    /// Files of token embeddings or dense vectors that do not belong together, or one that is something else.
    #[error("{path}: {what}")]
    TokenRows {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what was expected.
        what: String,
    },
    /// A scale is not a finite number above 0.
    #[error("scale {0} is not a finite number above 0")]
    Scale(f32),
    /// A ranking offered to a run is not one.
    #[error("query {query:?}: {reason}")]
    Ranking {
        /// The query.
        query: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A name cannot be written to a run.
    #[error(
        "{what} {name:?} cannot stand in a run file of this form: {reason}{}",
        form.map_or(String::new(), |form| format!("; --run-format {form} takes it"))
    )]
    Unwritable {
        /// What has the name: a query, a document or the tag.
        what: &'static str,
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
        /// Forms that take it.
        form: Option<&'static str>,
    },
    /// Vectors cannot be written in the format wanted.
    #[error("cannot be exported: {what}")]
    Export {
        /// What does not fit, and what to do.
        what: String,
    },
    /// A file of ids does not fit the vectors that it names.
    #[error("{path}: {} for {}", counted(*found, "id"), counted(*vectors, "vector"))]
    Ids {
        /// The file of ids.
        path: PathBuf,
        /// Ids found, or so far.
        found: u64,
        /// Vectors there are, or so far.
        vectors: u64,
    },
    /// A file of ids was given for a collection that has its own.
    #[error("{path}: its documents have ids; a file of ids names the vectors of .bin and .csr")]
    HasIds {
        /// The collection.
        path: PathBuf,
    },
    /// The file that would be written is there.
    #[error("{path}: the file is there; --overwrite replaces it")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// What would be written is there, and is not a file.
    #[error("{path}: this is {found}, not a file that could be written; name a file")]
    NotAFile {
        /// The target.
        path: PathBuf,
        /// What is there.
        found: &'static str,
    },
    /// A measure's name cannot be parsed.
    #[error("measure {name:?}: {reason}")]
    Measure {
        /// The name as given.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// No collection has this name.
    #[error("no collection is called {name:?}; {hint}")]
    UnknownCollection {
        /// The name.
        name: String,
        /// What to do.
        hint: &'static str,
    },
    /// A collection is known by name, but is not in the cache.
    #[error(
        "{name} is the name of a collection that is not in the cache {}: \
         `quarry dataset pull {pull}` fetches it", cache.display()
    )]
    NotPulled {
        /// The name as given.
        name: String,
        /// What has to be pulled.
        pull: String,
        /// The cache.
        cache: PathBuf,
    },
    /// This program cannot fetch collections.
    #[error(
        "{name}: this program was built without the feature `download`, so it cannot fetch collections; give a \
         folder, or build it with that feature"
    )]
    NoDownloads {
        /// The collection.
        name: String,
    },
    /// A name stands for several collections.
    #[error("{name} is several collections; name one of them: {parts}")]
    ManyCollections {
        /// The name.
        name: String,
        /// Their names.
        parts: String,
    },
    /// A file of a collection could not be fetched.
    #[error(
        "{name}: cannot fetch {address}: {reason}; what has arrived is kept, pulling again goes on there. \
         Without a network: fetch that address elsewhere, put it at {}, and pull again; or name a mirror with \
         --base", to.display()
    )]
    Fetch {
        /// The collection.
        name: String,
        /// The file's address.
        address: String,
        /// What happened.
        reason: String,
        /// Where the file is looked for before it is fetched.
        to: PathBuf,
    },
    /// What arrived is not the file that was published.
    #[error(
        "{name}: what came from {address} has the MD5 {found}, published is {expected}; it was removed. Pull \
         again; if it comes out the same, the file there is another one"
    )]
    FetchedOther {
        /// The collection.
        name: String,
        /// The file's address.
        address: String,
        /// The sum as published.
        expected: String,
        /// The sum found.
        found: String,
    },
    /// An archive is damaged, dangerous, or not what was expected.
    #[error("{path}: {what}")]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A file of known collections is none.
    #[error("{path}: {what}")]
    Registry {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Another process is pulling the collection.
    #[error("{name}: another process is pulling it")]
    BeingPulled {
        /// The collection.
        name: String,
    },
    /// Something lies where a pulled collection would.
    #[error("{path}: something is there that was not pulled; move it away, or give it as a folder")]
    Foreign {
        /// The folder.
        path: PathBuf,
    },
    /// A paired test was given samples that are not pairs, or fewer than two, or not finite.
    #[error(
        "a paired test needs two equally long lists of at least 2 finite values, not {left} and {right}"
    )]
    Pairs {
        /// Length of the first sample.
        left: usize,
        /// Length of the second sample.
        right: usize,
    },
}

impl DatasetError {
    pub(crate) fn open(path: &Path, source: io::Error) -> Self {
        Self::Open { path: path.to_owned(), source }
    }

    pub(crate) fn malformed(
        path: &Path,
        at: Position,
        expected: &'static str,
        found: &str,
    ) -> Self {
        Self::Malformed { path: path.to_owned(), at, expected, found: excerpt(found) }
    }
}

/// At most 60 characters of `text`, quoted.
pub(crate) fn excerpt(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{:?} and more", &text[..end]),
        None => format!("{text:?}"),
    }
}
