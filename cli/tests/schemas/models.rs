//! What `quarry model show --json` prints.
#![allow(dead_code, reason = "the types stand for JSON; nothing is read from them")]

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::{Map, Value};

/// `quarry model show --json`: the manifest, as quarry-model.json holds it.
#[derive(JsonSchema)]
pub(crate) struct Model {
    /// Format of the manifest.
    format: u32,
    /// Name of the model.
    name: String,
    /// Family that it was recognised as.
    #[serde(skip_serializing_if = "Option::is_none")]
    family: Option<String>,
    /// Dimensions of the sparse vectors.
    dimension: u32,
    /// The tokenizer.
    tokenizer: Tokenizer,
    /// How documents become sparse vectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<Document>,
    /// How queries become sparse vectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<QuerySide>,
    /// How texts become token embeddings.
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<TokenNetwork>,
    /// How texts become dense vectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    dense: Option<DenseNetwork>,
}

/// A tokenizer.
#[derive(JsonSchema)]
pub(crate) struct Tokenizer {
    /// File in the model folder.
    file: String,
    /// Its SHA-256.
    sha256: String,
    /// The padding token.
    pad_token: String,
    /// Whether ids without a token are allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    unnamed_ids: Option<bool>,
    /// For vocab.txt: whether text is lower-cased.
    #[serde(skip_serializing_if = "Option::is_none")]
    lowercase: Option<bool>,
}

/// The document side.
#[derive(JsonSchema)]
pub(crate) struct Document {
    /// Always onnx.
    kind: String,
    #[serde(flatten)]
    network: Network,
}

/// A network that gives sparse vectors.
#[derive(JsonSchema)]
pub(crate) struct Network {
    /// The graph, or the weights that it is built from.
    file: String,
    /// Its SHA-256.
    sha256: String,
    /// Files beside the graph with its weights: names and SHA-256.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external: Vec<BTreeMap<String, String>>,
    /// How the graph is built, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    built: Option<Map<String, Value>>,
    /// Names of the graph's inputs.
    inputs: BTreeMap<String, String>,
    /// Name of the graph's output.
    output: String,
    /// How token outputs become one vector: in-graph, max or sum.
    pooling: String,
    /// What is applied to each output: relu, log1p-relu, log1p-log1p-relu; absent if the graph does it.
    #[serde(skip_serializing_if = "Option::is_none")]
    activation: Option<String>,
    /// Longest input of the graph.
    max_positions: u32,
    /// Parameters that change vectors.
    parameters: Map<String, Value>,
}

/// The query side, by kind.
#[derive(JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum QuerySide {
    /// A weight for each token.
    TokenTable {
        /// The table.
        file: String,
        /// Its SHA-256.
        sha256: String,
        /// Parameters that change vectors.
        parameters: Map<String, Value>,
    },
    /// Every token weighs 1.
    Binary {
        /// Parameters that change vectors.
        parameters: Map<String, Value>,
    },
    /// A network.
    Onnx {
        /// The network.
        graph: Box<Network>,
        /// Its tokenizer, if it is not that of documents.
        #[serde(skip_serializing_if = "Option::is_none")]
        tokenizer: Option<Box<Tokenizer>>,
        /// Whether only the query's own tokens have weights.
        #[serde(skip_serializing_if = "Option::is_none")]
        own_terms: Option<bool>,
    },
}

/// A network that gives token embeddings.
#[derive(JsonSchema)]
pub(crate) struct TokenNetwork {
    /// The graph, or the weights that it is built from.
    file: String,
    /// Its SHA-256.
    sha256: String,
    /// Files beside the graph with its weights: names and SHA-256.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external: Vec<BTreeMap<String, String>>,
    /// How the graph is built, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    built: Option<Map<String, Value>>,
    /// Names of the graph's inputs.
    inputs: BTreeMap<String, String>,
    /// Name of the graph's output.
    output: String,
    /// Dimensions of a row of the graph.
    width: u32,
    /// Longest input of the graph.
    max_positions: u32,
    /// Parameters that change token embeddings.
    parameters: Map<String, Value>,
    /// What the graph is made from, if it is made on the user's machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    made_from: Option<Map<String, Value>>,
}

/// A network that gives dense vectors.
#[derive(JsonSchema)]
pub(crate) struct DenseNetwork {
    /// The graph, or the weights that it is built from.
    file: String,
    /// Its SHA-256.
    sha256: String,
    /// Files beside the graph with its weights: names and SHA-256.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external: Vec<BTreeMap<String, String>>,
    /// How the graph is built, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    built: Option<Map<String, Value>>,
    /// Names of the graph's inputs.
    inputs: BTreeMap<String, String>,
    /// Name of the graph's output.
    output: String,
    /// Dimensions of a row of the graph.
    width: u32,
    /// Columns of the graph that are pooled, if not all.
    #[serde(skip_serializing_if = "Option::is_none")]
    columns: Option<u32>,
    /// Layers behind the pooling.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    layers: Vec<Map<String, Value>>,
    /// Longest input of the graph.
    max_positions: u32,
    /// Parameters that change dense vectors.
    parameters: Map<String, Value>,
}
