#![doc = include_str!("../README.md")]

mod batches;
mod built;
mod components;
mod dense;
mod device;
mod error;
mod external;
mod family;
mod files;
mod graph;
mod graph_bytes;
pub mod graphs;
mod head;
mod hub;
mod identity;
mod manifest;
mod model;
mod onnx_documents;
mod onnx_proto;
mod onnx_queries;
mod origins;
mod passages;
mod pooling;
mod query_tables;
mod recognise;
mod runtime;
mod sessions;
mod shapes;
mod texts;
mod token_table;
mod tokens;
mod trust;
mod vocabulary;

pub use built::{BuiltGraph, BuiltHead, ProjectionLayer, ResidualLayer};
pub use dense::{
    DenseEncoder, DenseIdentity, DenseModel, DenseOptions, DenseParameters, DensePooling,
};
pub use device::Device;
pub use error::EncoderError;
pub use family::Family;
pub use files::ExternalFile;
pub use hub::{Hub, HubEvent};
pub use identity::{
    DocumentParameters, Echo, EncoderIdentity, IdentityMismatch, QueryGraphIdentity,
    QueryParameters, TermFrequency,
};
pub use manifest::{
    Activation, BinaryQuery, DocumentSide, MANIFEST_FILE, MANIFEST_FORMAT, MadeFrom, ModelManifest,
    OnnxDense, OnnxDocuments, OnnxInputs, OnnxQueries, OnnxTokens, Pooling, ProjectionFile,
    QuerySide, TokenTable, TokenizerFile,
};
pub use model::Model;
pub use onnx_documents::{DocumentOptions, OUTPUT_MEMORY, OnnxDocumentEncoder};
pub use onnx_queries::OnnxQueryEncoder;
pub use passages::PassageSplitter;
#[doc(hidden)]
pub use query_tables::weights_by_id as parse_query_table;
#[doc(hidden)]
pub use runtime::environment;
pub use runtime::{OLDEST_RUNTIME_MINOR, data_folder, find_runtime, workspace_of};
pub use token_table::TokenTableQuery;
pub use tokens::{
    Markers, QueryFill, TokenEncoder, TokenIdentity, TokenModel, TokenOptions, TokenParameters,
    WholeRow, make_token_graph,
};
pub use vocabulary::Vocabulary;
