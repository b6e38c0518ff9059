//! Build errors.

use std::path::PathBuf;

use quarry_index::IndexError;
use quarry_vectors::{EncodeError, VectorError, counted};

/// Any failure of a build. Finished shards stay on disk and can be resumed.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Reading or writing the index's files failed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The index was changed between calibration and storing its result.
    #[error("{}: the index has changed since it was calibrated; calibrate it again", path.display())]
    Changed {
        /// Its folder.
        path: PathBuf,
    },
    /// Documents are added with another encoder than the index was built with, or without one.
    #[error(
        "{}: built with the encoder {built_with}, given {given}; add with the same model and options, \
         or build the index again", path.display()
    )]
    OtherEncoder {
        /// Its folder.
        path: PathBuf,
        /// The index's encoder; `null` if documents brought their vectors or had none.
        built_with: String,
        /// The encoder given.
        given: String,
    },
    /// Documents are added with other passages or another provenance setting than the index has.
    #[error(
        "{}: built with {what}: {built}, given: {given}; add with the same, or build the index again",
        path.display()
    )]
    OtherRules {
        /// Its folder.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// The value in the index.
        built: String,
        /// The value given.
        given: String,
    },
    /// Documents are added with other kinds of lists than the index has.
    #[error(
        "{}: the lists of the index are: {built}; given: {given}; leave --lists out to use those of the \
         index; `quarry lists {} --add KINDS` adds kinds to all of it", path.display(), path.display()
    )]
    OtherLists {
        /// Its folder.
        path: PathBuf,
        /// Kinds that the index has, with their parameters.
        built: String,
        /// Kinds given, with their parameters.
        given: String,
    },
    /// Documents are added to an index with token embeddings, but no token encoder is given.
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
    /// The token embeddings given differ from those in the index in model or storage form.
    #[error(
        "{}: its token embeddings were made by {made_by}, those given are {given}; documents of both would not \
         compare", path.display()
    )]
    OtherTokens {
        /// Its folder.
        path: PathBuf,
        /// The model, or the storage form, of the embeddings in the index.
        made_by: String,
        /// What is given.
        given: String,
    },
    /// Token embeddings are given with added documents, but the index has none.
    #[error("{}: the index has no token embeddings; `quarry tokens add` adds them to all documents", path.display())]
    NoTokensThere {
        /// Its folder.
        path: PathBuf,
    },
    /// Merging these segments would lose token embeddings.
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
        "{}: the index has dense vectors, {made_by}: add --without-dense, and fill the gap later with \
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
        "{}: its dense vectors are {made_by}, those given {given}: they cannot stand side by side; `quarry dense \
         add {} --replace` replaces all", path.display(), path.display()
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
        if *none { "fills them (with --rows and --ids, where the vectors were imported)" } else { "makes them alike" }
    )]
    DenseMissing {
        /// Its folder.
        path: PathBuf,
        /// Which segments, with their documents.
        segments: Vec<String>,
        /// Whether they have none at all, or others.
        none: bool,
    },
    /// A merge would lose a part of a kind that this version does not know.
    #[error(
        "{}: segment {segment} has a part `{kind}`, which this version does not know and could not carry over; merge \
         with the version of quarry that wrote it", path.display()
    )]
    UnknownKind {
        /// Its folder.
        path: PathBuf,
        /// The segment's id.
        segment: String,
        /// The unknown kind.
        kind: String,
    },
    /// Documents were added, but the merge afterwards failed.
    #[error(
        "the documents were added (generation {generation}), but segments could not be merged: {source}"
    )]
    NotMerged {
        /// The generation that holds the added documents.
        generation: u64,
        /// Why the merge failed.
        source: Box<BuildError>,
    },
    /// Documents with vectors are added to an index without vectors, or the other way round.
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
    /// Documents without ids are added to an index whose ids are not numbers.
    #[error(
        "{}: the documents given have no ids, and the index has ids such as `{id}`, from which numbering \
         cannot continue; give ids, one per line (--doc-ids FILE)", path.display()
    )]
    NoIds {
        /// Its folder.
        path: PathBuf,
        /// An id of the index that is not a number, or the largest possible number.
        id: String,
    },
    /// Provenance is requested, but the encoder cannot report it.
    #[error("this encoder cannot report provenance; build without --provenance")]
    NoProvenance,
    /// The encoder returned a number of origins that differs from the number of components.
    #[error("the encoder gave {found} origins for {expected} components")]
    Origins {
        /// Origins given.
        found: usize,
        /// Components of the vector.
        expected: usize,
    },
    /// The encoder failed.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The collection could not be read.
    #[error("{0}")]
    Input(Box<dyn std::error::Error + Send + Sync>),
    /// Two records have the same id.
    #[error("line {line}: the id `{id}` was seen before, on line {first}; ids must be unique")]
    DuplicateId {
        /// The id.
        id: String,
        /// Line of its first occurrence, from 1.
        first: u64,
        /// Line of its second occurrence, from 1.
        line: u64,
    },
    /// A record is not a valid document.
    #[error("line {line}, document `{id}`: {what}")]
    Document {
        /// Its id.
        id: String,
        /// Where it stands.
        line: u64,
        /// What is wrong.
        what: String,
    },
    /// A record's vector is invalid.
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
    /// The index already has token embeddings.
    #[error("{path}: the index has token embeddings; --replace replaces them")]
    HasTokens {
        /// The index's folder.
        path: PathBuf,
    },
    /// The encoder returned a number of vectors that differs from the number of passages.
    #[error("the encoder gave {found} vectors for {expected} passages")]
    EncoderCount {
        /// Vectors returned.
        found: usize,
        /// Passages given.
        expected: usize,
    },
    /// The folder already holds an index.
    #[error(
        "{path}: an index is there (generation {generation}, {}); --overwrite replaces it, and --resume adds what \
         an interrupted command left out",
        counted(*documents, "document")
    )]
    Exists {
        /// The folder.
        path: PathBuf,
        /// Its current generation.
        generation: u64,
        /// Its documents.
        documents: u64,
    },
    /// The folder holds an unfinished build.
    #[error(
        "{path}: holds an interrupted build ({} done); --resume continues it, --overwrite discards it",
        counted(*documents, "document")
    )]
    Interrupted {
        /// The folder.
        path: PathBuf,
        /// Documents in finished shards.
        documents: u64,
    },
    /// The folder for unfinished work holds files that are not ours.
    #[error(
        "{}: holds `{name}`, but no record of an unfinished build; quarry uses a folder of this name for its \
         own work, so move this one away", path.display()
    )]
    ForeignBuild {
        /// The folder.
        path: PathBuf,
        /// One of the foreign files.
        name: String,
    },
    /// The unfinished build had other inputs or options.
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
    /// The shares given are not all shares of one build, each exactly once.
    #[error("{what}")]
    Shards {
        /// Which share is missing, given twice, or from another build.
        what: String,
    },
    /// Two shares belong to different builds.
    #[error("{path}: shard {shard} is of another build than {first}: {difference}")]
    ShardMismatch {
        /// The share, as `2/3`.
        shard: String,
        /// Its folder.
        path: PathBuf,
        /// The folder of the first share.
        first: PathBuf,
        /// What differs, with both values.
        difference: String,
    },
    /// The folder holds no finished share of a build.
    #[error("{path}: {what}")]
    NotAShard {
        /// The folder.
        path: PathBuf,
        /// What it holds instead, and what to do.
        what: String,
    },
    /// The folder already holds a finished share.
    #[error("{path}: shard {shard} of a build is there, finished; --overwrite replaces it")]
    ShardExists {
        /// The folder.
        path: PathBuf,
        /// The share, as `2/3`.
        shard: String,
    },
    /// The collection ended before the point where the finished shards end.
    #[error(
        "{path}: cannot resume: the collection has {}, but {done} were already done; it has changed",
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
    /// The memory limit is too small.
    #[error("--memory {found} bytes: at least {least} are needed")]
    Memory {
        /// Bytes given.
        found: u64,
        /// Fewest bytes needed.
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
    /// A worker thread ended without returning a result.
    #[error("a worker thread of the build ended unexpectedly: {0}")]
    Worker(&'static str),
}
