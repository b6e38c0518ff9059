//! Everything that can go wrong between a model folder and a vector, with the facts to act on.

use std::path::PathBuf;

use quarry_vectors::EncodeError;

/// A failure of this crate.
#[derive(Debug, thiserror::Error)]
pub enum EncoderError {
    /// A file of the model cannot be read.
    #[error(
        "{path}: cannot be read: {source}; a model folder holds quarry-model.json and the files it names"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The manifest is not the JSON it should be.
    #[error("{path}: not a model manifest: {source}")]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The manifest is of another format version.
    #[error(
        "{path}: manifest format {found}, this build reads {expected}; use a model made for this version of Quarry"
    )]
    ManifestFormat {
        /// The manifest.
        path: PathBuf,
        /// The version this build reads.
        expected: u32,
        /// The version in the file.
        found: u64,
    },
    /// A field of the manifest has a value that cannot be used.
    #[error("{path}: field {field}: {reason}")]
    ManifestField {
        /// The manifest.
        path: PathBuf,
        /// The field, with dots.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of the model is not the one the manifest was written for.
    #[error(
        "{path}: sha256 {found}, the manifest says {expected}: the file was changed, cut short, or belongs to another model; restore it"
    )]
    Checksum {
        /// The file.
        path: PathBuf,
        /// By the manifest.
        expected: String,
        /// Of the file.
        found: String,
    },
    /// The bytes are not a tokenizer.
    #[error("the tokenizer cannot be read: {reason}")]
    Tokenizer {
        /// The tokenizer library's words.
        reason: String,
    },
    /// The tokenizer has another number of tokens than the model has dimensions.
    #[error(
        "the tokenizer has {found} tokens, the model {expected} dimensions: they do not belong together"
    )]
    VocabularySize {
        /// Dimensions of the model.
        expected: u32,
        /// Tokens of the tokenizer.
        found: usize,
    },
    /// The tokenizer's ids are not 0, 1, 2, … each once.
    #[error("the tokenizer's {tokens} ids are not dense: id {id} is missing or taken twice")]
    VocabularyGap {
        /// Number of tokens.
        tokens: usize,
        /// The first offending id.
        id: u32,
    },
    /// A token named in the model's parameters is not in the tokenizer.
    #[error("{role} names the token {token:?}, which the tokenizer does not have")]
    UnknownToken {
        /// What names it.
        role: &'static str,
        /// The token.
        token: String,
    },
    /// A number in the parameters is out of its range.
    #[error("{parameter} is {found}, expected {expected}")]
    Parameter {
        /// Its name.
        parameter: &'static str,
        /// The range.
        expected: String,
        /// The value.
        found: u32,
    },
    /// The bytes are not a query table.
    #[error("the query table cannot be read: {source}; expected a JSON object of token to weight")]
    QueryTable {
        /// Where and why.
        source: serde_json::Error,
    },
    /// The query table is of another vocabulary.
    #[error(
        "the query table has {unknown} tokens that the tokenizer lacks, such as {example:?}: they do not belong together"
    )]
    QueryTableVocabulary {
        /// How many.
        unknown: usize,
        /// One of them, the smallest.
        example: String,
    },
    /// A weight of the query table is not finite, or none is above zero.
    #[error("the query table {reason}: no question could be answered by it")]
    QueryTableWeights {
        /// What is wrong.
        reason: String,
    },
    /// Text could not be split into tokens.
    #[error("text cannot be tokenised: {reason}")]
    Tokenise {
        /// The tokenizer library's words.
        reason: String,
    },
    /// No ONNX Runtime library was found.
    #[error(
        "ONNX Runtime was not found (looked at {looked}): run `make install` in the project's folder (or `make build` to use it from there), which fetches it, or set ORT_DYLIB_PATH to its shared library"
    )]
    RuntimeMissing {
        /// The places looked at, for the message.
        looked: String,
    },
    /// A library was found that must not be loaded without being named.
    #[error(
        "{path}: {reason}: it was not loaded; run `make install` in the project's folder (or `make build` to use it from there), which fetches a known one, or set ORT_DYLIB_PATH to this one if you trust it"
    )]
    RuntimeUntrusted {
        /// The library.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A library was found and is not ONNX Runtime, or is too old.
    #[error(
        "{path}: {found}; expected ONNX Runtime 1.{expected} or later: run `make build` in the project's folder, which fetches one, or set ORT_DYLIB_PATH to another"
    )]
    RuntimeUnusable {
        /// The library.
        path: PathBuf,
        /// The oldest minor version that serves.
        expected: u32,
        /// What it is.
        found: String,
    },
    /// ONNX Runtime failed.
    #[error("ONNX Runtime, while {doing}: {source}")]
    Runtime {
        /// The step.
        doing: &'static str,
        /// Its words.
        source: ort::Error,
    },
    /// The runtime refused the graph.
    #[error("{path}: not an ONNX graph that the runtime can load: {source}")]
    Graph {
        /// The file.
        path: PathBuf,
        /// Its words.
        source: ort::Error,
    },
    /// The graph's inputs or outputs are not those of the manifest.
    #[error(
        "{path}: the graph's {what}: expected {expected}, found {found}; correct quarry-model.json or the graph"
    )]
    GraphSignature {
        /// The file.
        path: PathBuf,
        /// Which part.
        what: &'static str,
        /// By the manifest.
        expected: String,
        /// In the graph.
        found: String,
    },
    /// The graph gave a tensor of another shape than promised.
    #[error("the model gave an output of shape {found:?}, expected {expected:?}")]
    OutputShape {
        /// Batch size and dimensions.
        expected: Vec<usize>,
        /// The tensor's shape.
        found: Vec<i64>,
    },
    /// The graph gave a weight that is not a finite number.
    #[error(
        "passage {passage} of the slice: the model gave the weight {found} for term {term}; the vector is refused"
    )]
    OutputValue {
        /// Position in the slice.
        passage: usize,
        /// The term.
        term: u32,
        /// The value.
        found: f32,
    },
    /// A row of token embeddings is not finite.
    #[error("text {passage} of the slice: the model's token embeddings are refused: {source}")]
    TokenRows {
        /// Position in the slice.
        passage: usize,
        /// What is wrong.
        source: quarry_vectors::TokenEmbeddingsError,
    },
    /// A dense vector is not finite, or zero.
    #[error("text {passage} of the slice: the model's dense vector is refused: {source}")]
    DenseVector {
        /// Position in the slice.
        passage: usize,
        /// What is wrong.
        source: quarry_vectors::DenseVectorError,
    },
    /// The model gives no token embeddings.
    #[error("{folder}: this model gives no token embeddings (its manifest has no section tokens)")]
    NoTokens {
        /// The model folder.
        folder: PathBuf,
    },
    /// The model gives dense vectors, where sparse ones are wanted.
    #[error(
        "model {name} gives dense vectors, and sparse ones were expected: use it with `quarry dense add --model` and --dense-model, or for reranking with `quarry tokens add --model` and --token-model; sparse vectors come from another model"
    )]
    DenseAlone {
        /// The model's name.
        name: String,
    },
    /// The model gives no sparse vectors.
    #[error(
        "model {name} gives token embeddings alone: use it with `quarry tokens add --model`, or with --token-model; sparse vectors come from another model"
    )]
    NoSparse {
        /// The model's name.
        name: String,
    },
    /// A graph as published computes in the numbers that it has.
    #[error(
        "model {name}: its graph is a file as published, whose numbers are its own; the precision can be chosen for graphs that are built of safetensors"
    )]
    FixedPrecision {
        /// The model's name.
        name: String,
    },
    /// A file that is made on the user's machine is not there yet.
    #[error(
        "{path}: was not made yet: run `make build` in the project's folder, which makes it of the Python package {from}"
    )]
    NotMade {
        /// The file.
        path: PathBuf,
        /// The package it is made of.
        from: String,
    },
    /// The manifest names no graph that could be made.
    #[error(
        "{path}: quarry-model.json has no `tokens.made_from` section, so there is no token graph to build"
    )]
    NothingToMake {
        /// The model folder.
        path: PathBuf,
    },
    /// What was made is not what the manifest means.
    #[error(
        "{path}: was made with sha256 {found}, the manifest says {expected}: quarry-model.json is of another version of Quarry; nothing was written"
    )]
    MadeOther {
        /// The file.
        path: PathBuf,
        /// By the manifest.
        expected: String,
        /// Of what was made.
        found: String,
    },
    /// A file cannot be written.
    #[error("{path}: cannot be written: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No graph can be made of a checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] crate::graphs::GraphError),
    /// The text stands twice, and the graph pools without being told which copy.
    #[error(
        "{path}: the graph pools all positions, and only the second copy of a text is to be pooled: it needs an input for a pool mask (inputs.pool_mask), or token outputs"
    )]
    PoolMask {
        /// The graph.
        path: PathBuf,
    },
    /// A graph pools inside in a way that does not tell which token a component comes from.
    #[error(
        "{path}: which token a component comes from cannot be told of this graph: {reason}; encode without --provenance, or export the model with token outputs"
    )]
    Provenance {
        /// The graph.
        path: PathBuf,
        /// What was looked for and not found.
        reason: String,
    },
    /// Origins are asked of an encoder that was not opened to tell them.
    #[error(
        "the encoder was opened without provenance: it does not tell where components come from"
    )]
    NotTracing,
    /// The token outputs of the longest input do not fit the memory set.
    #[error(
        "an input of {max_tokens} tokens needs {needed} bytes for products with the vocabulary, and {memory} are allowed: allow more, or shorter inputs (--encode-memory, --max-tokens)"
    )]
    OutputMemory {
        /// Bytes allowed.
        memory: u64,
        /// Bytes needed.
        needed: u64,
        /// Longest input.
        max_tokens: u32,
    },
    /// A device was asked for that ONNX Runtime cannot use here.
    #[error(
        "the device cuda cannot be used: {reason}; it needs a library of ONNX Runtime built for CUDA (ORT_DYLIB_PATH) with CUDA and cuDNN beside it, and a GPU; nothing was run on the CPU instead"
    )]
    Device {
        /// The runtime's words.
        reason: String,
    },
    /// A folder without a manifest is none of the families known.
    #[error("{folder}: {reason}")]
    Unrecognised {
        /// The folder.
        folder: PathBuf,
        /// What is missing or ambiguous, and what to do.
        reason: String,
    },
    /// The two tokenizers of a model do not give the same tokens.
    #[error(
        "{query} and {document} are not the same tokenizer: questions and documents would not match"
    )]
    TwoTokenizers {
        /// The query side's.
        query: PathBuf,
        /// The document side's.
        document: PathBuf,
    },
    /// The model was asked for a query side that it has not.
    #[error("the model's questions are encoded by {has}, not by {asked}")]
    QueryKind {
        /// What was asked for.
        asked: &'static str,
        /// What it has.
        has: &'static str,
    },
    /// A model could not be fetched by its name.
    #[error("model {name}: {doing}: {reason}")]
    Hub {
        /// The name asked for.
        name: String,
        /// The step.
        doing: String,
        /// What happened, and what to do.
        reason: String,
    },
    /// The components form no vector.
    #[error("the components form no sparse vector: {0}")]
    Vector(#[from] quarry_vectors::VectorError),
    /// The threads of the encoder cannot be started.
    #[error("the encoder's {threads} threads cannot be started: {source}")]
    Threads {
        /// How many.
        threads: usize,
        /// Why.
        source: rayon::ThreadPoolBuildError,
    },
}

impl From<EncoderError> for EncodeError {
    fn from(error: EncoderError) -> Self {
        Self(Box::new(error))
    }
}
