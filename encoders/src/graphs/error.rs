//! Why no graph can be made of a checkpoint.

use std::path::PathBuf;

/// A failure to make a graph of `config.json` and `model.safetensors`.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// A file of the checkpoint cannot be read.
    #[error("{path}: cannot be read: {source}; a checkpoint is config.json and model.safetensors")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The configuration is not the JSON it should be.
    #[error(
        "{path}: not the configuration of a BERT, DistilBERT, RoBERTa or MPNet model: {source}"
    )]
    Config {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The configuration describes something that no graph is known for.
    #[error("{path}: {field} is {found}, expected {expected}; export the model to ONNX instead")]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The field.
        field: &'static str,
        /// What is known.
        expected: &'static str,
        /// What the file says.
        found: String,
    },
    /// The weights are not a safetensors file.
    #[error("{path}: not a safetensors file: {reason}; it may be cut short: fetch it again")]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// The library's words.
        reason: String,
    },
    /// A tensor is missing.
    #[error(
        "{path}: tensor {name} is missing: the file is of another architecture than config.json, or lacks {part}"
    )]
    Missing {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// What it belongs to.
        part: &'static str,
    },
    /// The vocabulary matrix is not the word embeddings, which it should share.
    #[error(
        "{path}: tensor {name} differs from the word embeddings, and config.json does not say that it may: versions of transformers take one or the other; set tie_word_embeddings to false there if {name} is meant"
    )]
    TwoMatrices {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// The graph would not fit into one file.
    #[error(
        "{path}: its graph takes {bytes} bytes, and one file holds less than 2 GiB: build it in 8 bits (quarry model show --precision int8 --write), or export the model to ONNX with its weights beside it"
    )]
    TooLarge {
        /// The weights.
        path: PathBuf,
        /// Length of the graph.
        bytes: usize,
    },
    /// A tensor has another shape than the configuration demands.
    #[error("{path}: tensor {name} has the shape {found:?}, config.json demands {expected:?}")]
    Shape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// By the configuration.
        expected: Vec<usize>,
        /// In the file.
        found: Vec<usize>,
    },
    /// A tensor's elements are of a kind that weights are not stored in.
    #[error("{path}: tensor {name} holds {found}, expected F32, F16 or BF16")]
    Elements {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The kind.
        found: String,
    },
    /// A weight is not a finite number.
    #[error("{path}: tensor {name} has a value that is not a finite number at {at}")]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Position among the elements.
        at: usize,
    },
    /// A head does not fit the body before it.
    #[error("{what}: takes {takes} values, is given {given}")]
    Chain {
        /// The part.
        what: String,
        /// Width of its input.
        takes: usize,
        /// Width of what comes before.
        given: usize,
    },
}
