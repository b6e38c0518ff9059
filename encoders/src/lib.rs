#![doc = include_str!("../README.md")]

mod batches;
mod components;
mod error;
mod files;
mod graph;
pub mod graphs;
mod identity;
mod manifest;
mod model;
mod onnx_documents;
mod passages;
mod runtime;
mod sessions;
mod token_table;
mod tokens;
mod vocabulary;

pub use error::EncoderError;
pub use identity::{DocumentParameters, EncoderIdentity, QueryParameters, TermFrequency};
pub use manifest::{
    DocumentSide, MANIFEST_FILE, MANIFEST_FORMAT, MadeFrom, ModelManifest, OnnxDocuments,
    OnnxInputs, OnnxTokens, Pooling, ProjectionFile, QuerySide, TokenTable, TokenizerFile,
};
pub use model::Model;
pub use onnx_documents::{DocumentOptions, OnnxDocumentEncoder};
pub use passages::PassageSplitter;
pub use runtime::{OLDEST_RUNTIME_MINOR, find_runtime};
pub use token_table::TokenTableQuery;
pub use tokens::{
    Markers, QueryFill, TokenEncoder, TokenIdentity, TokenModel, TokenOptions, TokenParameters,
    make_token_graph,
};
pub use vocabulary::Vocabulary;
