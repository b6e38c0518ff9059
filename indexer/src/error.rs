//! Why a build stopped.

use std::path::PathBuf;

use quarry_index::IndexError;
use quarry_vectors::{EncodeError, VectorError, counted};

/// Any failure of a build. What was sealed before stays on disk and can be resumed.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The index's files.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The index is not the one that was measured.
    #[error("{}: the index has changed since it was measured; measure it again", path.display())]
    Changed {
        /// Its folder.
        path: PathBuf,
    },
    /// Documents are added that another encoder encodes, or none.
    #[error(
        "{}: built with the encoder {built_with}, given {given}; add with the same model and options, \
         or build the index again", path.display()
    )]
    OtherEncoder {
        /// Its folder.
        path: PathBuf,
        /// The index's encoder; `null` where documents brought their vectors, or had none.
        built_with: String,
        /// The encoder given.
        given: String,
    },
    /// Documents are added that are split, or traced, in another way.
    #[error(
        "{}: built with {what}: {built}, given: {given}; add with the same, or build the index again",
        path.display()
    )]
    OtherRules {
        /// Its folder.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// As the index has it.
        built: String,
        /// As it is given.
        given: String,
    },
    /// Documents are added with other lists than the index has.
    #[error(
        "{}: the lists of the index are: {built}; given: {given}; leave --lists out, and what is added gets those \
         of the index; `quarry lists {} --add KINDS` adds kinds to all of it", path.display(), path.display()
    )]
    OtherLists {
        /// Its folder.
        path: PathBuf,
        /// Kinds that the index has, with their parameters.
        built: String,
        /// As they are given.
        given: String,
    },
    /// Documents are added to an index with token embeddings, and nobody makes theirs.
    #[error(
        "{}: the index has token embeddings, made by {made_by}: give that model, or add --without-tokens, and \
         fill the gap later with `quarry tokens add`", path.display()
    )]
    NeedsTokens {
        /// Its folder.
        path: PathBuf,
        /// What made the index's.
        made_by: String,
    },
    /// Token embeddings are made by another model, or stored otherwise, than those that are there.
    #[error(
        "{}: its token embeddings were made by {made_by}, those given are {given}; documents of both would not \
         compare", path.display()
    )]
    OtherTokens {
        /// Its folder.
        path: PathBuf,
        /// What made the index's, or how they are stored.
        made_by: String,
        /// What is given.
        given: String,
    },
    /// Token embeddings are added with documents, and the index has none.
    #[error("{}: the index has no token embeddings; `quarry tokens add` adds them to all of it", path.display())]
    NoTokensThere {
        /// Its folder.
        path: PathBuf,
    },
    /// Segments cannot be merged without losing token embeddings.
    #[error(
        "{}: token embeddings would be lost, since these segments have {}: {}; `quarry tokens add {}{}` {}",
        path.display(), if *none { "none" } else { "them stored otherwise" }, segments.join(", "),
        path.display(), if *none { "" } else { " --replace" },
        if *none { "fills them" } else { "makes them alike" }
    )]
    TokensMissing {
        /// Its folder.
        path: PathBuf,
        /// Which segments, with their documents.
        segments: Vec<String>,
        /// Whether they have none at all, or others.
        none: bool,
    },
    /// Documents are added to an index with dense vectors, and nobody makes theirs.
    #[error(
        "{}: the index has dense vectors, made by {made_by}: add --without-dense, and fill the gap later with \
         `quarry dense add {}`", path.display(), path.display()
    )]
    NeedsDense {
        /// Its folder.
        path: PathBuf,
        /// What made the index's.
        made_by: String,
    },
    /// Dense vectors are made by another model, or stored otherwise, than those that are there.
    #[error(
        "{}: its dense vectors were made by {made_by}, those given are {given}; documents of both would not \
         compare; `quarry dense add {} --replace` replaces all", path.display(), path.display()
    )]
    OtherDense {
        /// Its folder.
        path: PathBuf,
        /// What made the index's, and how they are stored.
        made_by: String,
        /// What is given.
        given: String,
    },
    /// The index has no dense vectors that documents could be added without.
    #[error("{}: the index has no dense vectors; `quarry dense add {}` adds them to all of it", path.display(), path.display())]
    NoDenseThere {
        /// Its folder.
        path: PathBuf,
    },
    /// Segments cannot be merged without losing dense vectors.
    #[error(
        "{}: dense vectors would be lost, since these segments have {}: {}; `quarry dense add {}{}` {}",
        path.display(), if *none { "none" } else { "them stored otherwise" }, segments.join(", "),
        path.display(), if *none { "" } else { " --replace" },
        if *none { "fills them" } else { "makes them alike" }
    )]
    DenseMissing {
        /// Its folder.
        path: PathBuf,
        /// Which segments, with their documents.
        segments: Vec<String>,
        /// Whether they have none at all, or others.
        none: bool,
    },
    /// A merge would lose a part that this build does not know.
    #[error(
        "{}: segment {segment} has a part `{kind}`, which this build does not know and could not carry over; merge \
         with the version of quarry that wrote it", path.display()
    )]
    UnknownKind {
        /// Its folder.
        path: PathBuf,
        /// The segment.
        segment: String,
        /// The kind.
        kind: String,
    },
    /// Documents were added, and the merge that follows failed.
    #[error(
        "the documents were added (generation {generation}), but segments could not be merged: {source}"
    )]
    NotMerged {
        /// The generation that has them.
        generation: u64,
        /// Why.
        source: Box<BuildError>,
    },
    /// Documents with vectors are added to an index without, or the other way round.
    #[error(
        "{}: its documents have {}vectors, those given have {}", path.display(),
        if *has_vectors { "" } else { "no " }, if *has_vectors { "none" } else { "some" }
    )]
    OtherKind {
        /// Its folder.
        path: PathBuf,
        /// Whether the index has vectors.
        has_vectors: bool,
    },
    /// Documents without ids are added to an index whose ids are names.
    #[error(
        "{}: the documents given have no ids, and those of the index have names such as `{id}`, so that \
         they cannot be counted on; give their ids, one a line (--doc-ids FILE)", path.display()
    )]
    NoIds {
        /// Its folder.
        path: PathBuf,
        /// An id that is no number, or after which there is none.
        id: String,
    },
    /// Origins of components are wanted of an encoder that does not tell them.
    #[error("the encoder does not tell where components come from; build without provenance")]
    NoProvenance,
    /// An encoder told other than one origin for each component.
    #[error("the encoder gave {found} origins for {expected} components")]
    Origins {
        /// Origins given.
        found: usize,
        /// Components of the vector.
        expected: usize,
    },
    /// The encoder.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The collection could not be read.
    #[error("{0}")]
    Input(Box<dyn std::error::Error + Send + Sync>),
    /// Two records have one id.
    #[error("line {line}: the id `{id}` was seen before, on line {first}; ids must be unique")]
    DuplicateId {
        /// The id.
        id: String,
        /// Where it stood first.
        first: u64,
        /// Where it stands again.
        line: u64,
    },
    /// A record is no document.
    #[error("line {line}, document `{id}`: {what}")]
    Document {
        /// Its id.
        id: String,
        /// Where it stands.
        line: u64,
        /// What is wrong.
        what: String,
    },
    /// A vector of a record is none.
    #[error("line {line}, document `{id}`: {source}")]
    Vector {
        /// Its id.
        id: String,
        /// Where it stands.
        line: u64,
        /// What is wrong.
        source: VectorError,
    },
    /// A document's token embeddings cannot be stored.
    #[error("token embeddings of document `{id}`: {what}")]
    Tokens {
        /// Its id.
        id: String,
        /// What is wrong.
        what: String,
    },
    /// A document's dense vector cannot be stored.
    #[error("dense vector of document `{id}`: {what}")]
    Dense {
        /// The document.
        id: String,
        /// What is wrong with it.
        what: String,
    },
    /// There are dense vectors already.
    #[error("{}: the index has dense vectors; --replace replaces them", path.display())]
    HasDense {
        /// Its folder.
        path: PathBuf,
    },
    /// There are token embeddings already.
    #[error("{path}: the index has token embeddings; --replace replaces them")]
    HasTokens {
        /// The index's folder.
        path: PathBuf,
    },
    /// The encoder returned another number of vectors than passages.
    #[error("the encoder gave {found} vectors for {expected} passages")]
    EncoderCount {
        /// Vectors.
        found: usize,
        /// Passages.
        expected: usize,
    },
    /// There is an index already.
    #[error(
        "{path}: an index is there (generation {generation}, {}); --overwrite replaces it",
        counted(*documents, "document")
    )]
    Exists {
        /// The folder.
        path: PathBuf,
        /// Its generation.
        generation: u64,
        /// Its documents.
        documents: u64,
    },
    /// An unfinished build lies there.
    #[error(
        "{path}: an interrupted build lies there ({} done); --resume continues it, --overwrite discards it",
        counted(*documents, "document")
    )]
    Interrupted {
        /// The folder.
        path: PathBuf,
        /// Documents in finished shards.
        documents: u64,
    },
    /// The folder of unfinished work holds something of somebody else's.
    #[error(
        "{}: holds `{name}` and no record of an unfinished build of ours; quarry works in a folder of this \
         name, so move it away", path.display()
    )]
    ForeignBuild {
        /// The folder.
        path: PathBuf,
        /// What lies there.
        name: String,
    },
    /// The unfinished build had other inputs.
    #[error("{path}: cannot resume: `{what}` was {was}, now {now}; build with --overwrite instead")]
    ResumeMismatch {
        /// The folder.
        path: PathBuf,
        /// What differs.
        what: String,
        /// As recorded.
        was: String,
        /// As given now.
        now: String,
    },
    /// The shares of a build that are given are not all of one, each once.
    #[error("{what}")]
    Shards {
        /// What is missing, given twice, or of another build.
        what: String,
    },
    /// Two shares are of different builds.
    #[error("{path}: shard {shard} is of another build than {first}: {difference}")]
    ShardMismatch {
        /// The share, as `2/3`.
        shard: String,
        /// Its folder.
        path: PathBuf,
        /// The folder of the first share.
        first: PathBuf,
        /// What differs, as it is here and there.
        difference: String,
    },
    /// A folder holds no finished share of a build.
    #[error("{path}: {what}")]
    NotAShard {
        /// The folder.
        path: PathBuf,
        /// What lies there, and what to do.
        what: String,
    },
    /// A share is there already.
    #[error("{path}: shard {shard} of a build is there, finished; --overwrite replaces it")]
    ShardExists {
        /// The folder.
        path: PathBuf,
        /// The share, as `2/3`.
        shard: String,
    },
    /// The collection ended before the point where the finished shards end.
    #[error(
        "{path}: cannot resume: the collection has {}, {done} were done; it has changed",
        counted(*found, "document")
    )]
    InputShrank {
        /// The folder.
        path: PathBuf,
        /// Documents found.
        found: u64,
        /// Documents in finished shards.
        done: u64,
    },
    /// The memory bound is too small to work with.
    #[error("--memory {found} bytes: at least {least} are needed")]
    Memory {
        /// Bytes given.
        found: u64,
        /// Least bytes.
        least: u64,
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
    /// A worker thread ended without a result.
    #[error("a worker of the build ended unexpectedly: {0}")]
    Worker(&'static str),
}
