//! `quarry-model.json`: what a model folder holds, and how it is to be run.
//!
//! Unknown fields are refused: a field that this build does not know could change vectors.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::built::{BuiltGraph, GraphSource, ProjectionLayer};
use crate::graphs::Precision;
use crate::{
    DenseParameters, DocumentParameters, EncoderError, ExternalFile, Family, QueryParameters,
    TokenParameters, files,
};

/// Name of the manifest in a model folder.
pub const MANIFEST_FILE: &str = "quarry-model.json";

/// The manifest format that this build reads.
pub const MANIFEST_FORMAT: u32 = 1;

/// A model folder's manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelManifest {
    /// [`MANIFEST_FORMAT`].
    pub format: u32,
    /// The model's name.
    pub name: String,
    /// The family it was recognised as, for people: the other fields say all that is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<Family>,
    /// Dimensions of the sparse space; equals the tokenizer's vocabulary and the graph's output.
    pub dimension: u32,
    /// The tokenizer of both sides.
    pub tokenizer: TokenizerFile,
    /// How documents become vectors; absent where the model gives token embeddings alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<DocumentSide>,
    /// How questions become vectors; absent where documents do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<QuerySide>,
    /// How texts become token embeddings; absent where the model gives none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<OnnxTokens>,
    /// How texts become dense vectors; absent where the model gives none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dense: Option<OnnxDense>,
}

/// A Hugging Face `tokenizer.json`, or a bare `vocab.txt` of BERT's WordPiece. Truncation and
/// padding set in it are ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizerFile {
    /// File name in the model folder.
    pub file: String,
    /// Its SHA-256.
    pub sha256: String,
    /// The token that fills up short rows of a batch.
    pub pad_token: String,
    /// Whether ids without a token are let through, up to the model's dimension (some models have
    /// more rows than tokens); they get names of their own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unnamed_ids: bool,
    /// For `vocab.txt`: whether text is made lower-case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lowercase: Option<bool>,
}

/// The document side, by kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum DocumentSide {
    /// A graph run by ONNX Runtime.
    Onnx(OnnxDocuments),
}

/// A side, of documents or questions, that a graph encodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnnxDocuments {
    /// File name in the model folder: the graph, or the weights that it is built of.
    pub file: String,
    /// Its SHA-256.
    pub sha256: String,
    /// Files beside the graph that hold its weights.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub external: Vec<ExternalFile>,
    /// How the graph is built, where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub built: Option<BuiltGraph>,
    /// What the graph calls its inputs.
    pub inputs: OnnxInputs,
    /// What the graph calls its output.
    pub output: String,
    /// Where token outputs become one vector.
    pub pooling: Pooling,
    /// What becomes of each output value.
    #[serde(default, skip_serializing_if = "Activation::is_none")]
    pub activation: Activation,
    /// Longest input that the graph has positions for; bounds `max_tokens`.
    pub max_positions: u32,
    /// The parameters.
    pub parameters: DocumentParameters,
}

/// Names of the graph's inputs, each int64 or int32 `[batch, length]`; either size may be fixed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnnxInputs {
    /// Token ids.
    pub token_ids: String,
    /// 1 for a token, 0 for padding.
    pub attention_mask: String,
    /// Segment of each token, always 0; absent when the graph has no such input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_types: Option<String>,
    /// Position of each token, from 0; absent when the graph has no such input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub positions: Option<String>,
    /// 1 for a token that is pooled, else 0; absent when the graph has no such input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool_mask: Option<String>,
}

impl OnnxInputs {
    /// The names, in the order of the fields.
    pub(crate) fn names(&self) -> Vec<&str> {
        let more = [&self.token_types, &self.positions, &self.pool_mask];
        let first = [&self.token_ids, &self.attention_mask].into_iter();
        first.chain(more.into_iter().flatten()).map(String::as_str).collect()
    }
}

/// Where token outputs become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// In the graph, whose output is `[batch, dimension]`, float32, masked rows left out.
    InGraph,
    /// Here: the graph's output is `[batch, length, dimension]`, float32; the largest value of the
    /// positions counts (SPLADE v2 and later).
    Max,
    /// As `max`, but the values are summed after the activation (SPLADE's first version).
    Sum,
}

/// What becomes of a value that the graph gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// Nothing: the graph has done it.
    #[default]
    None,
    /// max(x, 0)
    Relu,
    /// ln(1 + max(x, 0))
    #[serde(rename = "log1p-relu")]
    Log1pRelu,
    /// ln(1 + ln(1 + max(x, 0)))
    #[serde(rename = "log1p-log1p-relu")]
    Log1pLog1pRelu,
}

impl Activation {
    /// The value's weight. All kinds grow with x, so the largest may be taken before.
    #[must_use]
    pub fn apply(self, x: f32) -> f32 {
        match self {
            Self::None => x,
            // What is not a number stays so.
            _ if x <= 0.0 => 0.0,
            Self::Relu => x,
            Self::Log1pRelu => x.ln_1p(),
            Self::Log1pLog1pRelu => x.ln_1p().ln_1p(),
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// The query side, by kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum QuerySide {
    /// A weight per token; no network is run.
    TokenTable(TokenTable),
    /// Every token of the question weighs 1; no network is run.
    Binary(BinaryQuery),
    /// A graph run by ONNX Runtime.
    Onnx(Box<OnnxQueries>),
}

/// A query side of kind `binary`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BinaryQuery {
    /// The parameters.
    pub parameters: QueryParameters,
}

/// A query side of kind `onnx`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnnxQueries {
    /// The graph; may be the document side's own.
    pub graph: OnnxDocuments,
    /// Its tokenizer where that is another file than the documents'; the tokens by id must be theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<TokenizerFile>,
    /// Whether only terms that are tokens of the question are kept: weights without expansion.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own_terms: bool,
}

/// A query side of kind `token-table`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenTable {
    /// File in the model folder: a JSON object of token to weight, lines of `token weight`, or
    /// safetensors with a float32 `weight` for each id.
    pub file: String,
    /// Its SHA-256.
    pub sha256: String,
    /// The parameters.
    pub parameters: QueryParameters,
}

/// Token embeddings by a graph that ONNX Runtime runs, for documents and for questions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnnxTokens {
    /// File name in the model folder: the graph, or the weights that it is built of.
    pub file: String,
    /// Its SHA-256.
    pub sha256: String,
    /// Files beside the graph that hold its weights.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub external: Vec<ExternalFile>,
    /// How the graph is built when the model is opened, where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub built: Option<BuiltGraph>,
    /// What the graph calls its inputs.
    pub inputs: OnnxInputs,
    /// What the graph calls its output, float32 or float16 `[batch, length, width]`.
    pub output: String,
    /// Values of a row as the graph gives it; bounds `dims`.
    pub width: u32,
    /// Longest input that the graph has positions for; bounds `max_tokens`.
    pub max_positions: u32,
    /// The parameters.
    pub parameters: TokenParameters,
    /// What the file is made from, where it is made on the user's machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_from: Option<MadeFrom>,
}

/// Dense vectors by a graph that ONNX Runtime runs, for documents and for queries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnnxDense {
    /// File name in the model folder: the graph, or the weights that it is built of.
    pub file: String,
    /// Its SHA-256.
    pub sha256: String,
    /// Files beside the graph that hold its weights.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub external: Vec<ExternalFile>,
    /// How the graph is built when the model is opened, where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub built: Option<BuiltGraph>,
    /// What the graph calls its inputs.
    pub inputs: OnnxInputs,
    /// What the graph calls its output, float32 or float16 `[batch, length, width]`, or `[batch, width]` where it
    /// pools.
    pub output: String,
    /// Values of a row as the graph gives it.
    pub width: u32,
    /// How many of its columns are pooled, from `parameters.column` on; all others behind that unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<u32>,
    /// Layers behind the pooling.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<ProjectionLayer>,
    /// Longest input that the graph has positions for; bounds `max_tokens`.
    pub max_positions: u32,
    /// The parameters.
    pub parameters: DenseParameters,
}

/// What a graph is made from by [`make_token_graph`](crate::make_token_graph).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MadeFrom {
    /// The Python package that has the checkpoint, as pip names it, and its version.
    pub package: String,
    /// SHA-256 of the checkpoint's `config.json`.
    pub config_sha256: String,
    /// SHA-256 of the checkpoint's `model.safetensors`.
    pub weights_sha256: String,
    /// What turns hidden states into rows.
    pub projection: ProjectionFile,
    /// In which numbers products are computed.
    pub precision: Precision,
}

/// A matrix in a safetensors file of the model folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectionFile {
    /// File name in the model folder.
    pub file: String,
    /// Its SHA-256.
    pub sha256: String,
    /// The tensor, `[width, hidden]`.
    pub tensor: String,
    /// A tensor for the row of the whole text, `[width, hidden]`: its columns follow the first ones,
    /// and rows stay as long as they are (see [`WholeRow`](crate::WholeRow)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole: Option<String>,
}

/// The one field that is read before all others.
#[derive(Deserialize)]
struct Version {
    format: u64,
}

impl OnnxDocuments {
    /// What identifies the graph with its weights: the graph's own SHA-256, or, where it has several
    /// files or is built, that of the list of all and of how it is built.
    #[must_use]
    pub fn identity_sha256(&self) -> String {
        self.source().identity()
    }

    pub(crate) fn source(&self) -> GraphSource<'_> {
        let Self { file, sha256, external, built, .. } = self;
        GraphSource { file, sha256, external, built: built.as_ref() }
    }
}

impl OnnxTokens {
    /// As [`OnnxDocuments::identity_sha256`].
    #[must_use]
    pub fn identity_sha256(&self) -> String {
        self.source().identity()
    }

    pub(crate) fn source(&self) -> GraphSource<'_> {
        let Self { file, sha256, external, built, .. } = self;
        GraphSource { file, sha256, external, built: built.as_ref() }
    }
}

impl OnnxDense {
    /// What identifies the graph with its weights and the layers behind it.
    #[must_use]
    pub fn identity_sha256(&self) -> String {
        let graph = self.source().identity();
        if self.layers.is_empty() {
            return graph;
        }
        let mut list = format!("{graph}\n");
        for ProjectionLayer { file: _, sha256, tensor, bias, activation, residual } in &self.layers
        {
            list.push_str(&format!("{sha256} {tensor} {bias:?} {activation:?} {residual:?}\n"));
        }
        files::sha256(list.as_bytes())
    }

    pub(crate) fn source(&self) -> GraphSource<'_> {
        let Self { file, sha256, external, built, .. } = self;
        GraphSource { file, sha256, external, built: built.as_ref() }
    }
}

impl ModelManifest {
    /// Reads and checks the manifest of `folder`; the files it names are not touched.
    ///
    /// # Errors
    /// [`EncoderError::Read`], [`EncoderError::Manifest`], [`EncoderError::ManifestFormat`] or
    /// [`EncoderError::ManifestField`].
    pub fn read(folder: &Path) -> Result<Self, EncoderError> {
        let path = folder.join(MANIFEST_FILE);
        Self::parse(&files::read(&path)?, &path)
    }

    /// Parses and checks a manifest; `path` is for messages.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(json: &[u8], path: &Path) -> Result<Self, EncoderError> {
        let not_json = |source| EncoderError::Manifest { path: path.to_owned(), source };
        // The version comes first: a newer manifest is told by it, not by fields unknown here.
        let Version { format } = serde_json::from_slice(json).map_err(not_json)?;
        if format != u64::from(MANIFEST_FORMAT) {
            let path = path.to_owned();
            return Err(EncoderError::ManifestFormat {
                path,
                expected: MANIFEST_FORMAT,
                found: format,
            });
        }
        let manifest: Self = serde_json::from_slice(json).map_err(not_json)?;
        manifest.check(path)?;
        Ok(manifest)
    }

    fn check(&self, path: &Path) -> Result<(), EncoderError> {
        let refuse = |field, reason: &str| EncoderError::ManifestField {
            path: PathBuf::from(path),
            field,
            reason: reason.to_owned(),
        };
        if self.name.is_empty() {
            return Err(refuse("name", "is empty"));
        }
        if self.dimension == 0 {
            return Err(refuse("dimension", "is 0"));
        }
        if self.document.is_some() != self.query.is_some() {
            return Err(refuse("query", "documents and questions are encoded both or neither"));
        }
        if self.document.is_none() && self.tokens.is_none() && self.dense.is_none() {
            let what = "tokens and dense are missing: the model gives nothing";
            return Err(refuse("document", what));
        }
        let tokenizer = &self.tokenizer;
        let mut files: Vec<(&'static str, &'static str, &str, &str)> =
            vec![("tokenizer.file", "tokenizer.sha256", &tokenizer.file, &tokenizer.sha256)];
        let mut beside: Vec<(&'static str, GraphSource<'_>)> = Vec::new();
        if let Some(DocumentSide::Onnx(document)) = &self.document {
            files.push(("document.file", "document.sha256", &document.file, &document.sha256));
            beside.push(("files of document", document.source()));
            if document.parameters.max_tokens == 0 {
                return Err(refuse("document.parameters.max_tokens", "is 0"));
            }
        }
        match &self.query {
            Some(QuerySide::TokenTable(table)) => {
                files.push(("query.file", "query.sha256", &table.file, &table.sha256));
            }
            Some(QuerySide::Binary(_)) | None => {}
            Some(QuerySide::Onnx(query)) => {
                let graph = &query.graph;
                files.push(("query.graph.file", "query.graph.sha256", &graph.file, &graph.sha256));
                beside.push(("files of query.graph", graph.source()));
                if let Some(t) = &query.tokenizer {
                    files.push((
                        "query.tokenizer.file",
                        "query.tokenizer.sha256",
                        &t.file,
                        &t.sha256,
                    ));
                }
                if graph.parameters.max_tokens == 0 {
                    return Err(refuse("query.graph.parameters.max_tokens", "is 0"));
                }
            }
        }
        if let Some(tokens) = &self.tokens {
            files.push(("tokens.file", "tokens.sha256", &tokens.file, &tokens.sha256));
            beside.push(("files of tokens", tokens.source()));
            if let Some(from) = &tokens.made_from {
                files.push((
                    "tokens.made_from.projection.file",
                    "tokens.made_from.projection.sha256",
                    &from.projection.file,
                    &from.projection.sha256,
                ));
            }
            if let Some(whole) = &tokens.parameters.whole {
                if !whole.query_weight.is_finite() || whole.query_weight <= 0.0 {
                    let what = "is not a finite number above 0";
                    return Err(refuse("tokens.parameters.whole.query_weight", what));
                }
                if whole.query_rows == 0 {
                    return Err(refuse("tokens.parameters.whole.query_rows", "is 0"));
                }
            }
        }
        if let Some(dense) = &self.dense {
            files.push(("dense.file", "dense.sha256", &dense.file, &dense.sha256));
            beside.push(("files of dense", dense.source()));
            let layers = dense.layers.iter();
            files.extend(layers.map(|l| {
                ("dense.layers.file", "dense.layers.sha256", l.file.as_str(), l.sha256.as_str())
            }));
        }
        for (field, source) in &beside {
            files.extend(source.files().into_iter().map(|(file, sum)| (*field, *field, file, sum)));
        }
        for (field, sum_field, file, sum) in files {
            // A manifest must not reach out of its folder.
            if !files::is_inside(file) {
                return Err(refuse(field, "is not the name of a file in the model folder"));
            }
            let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            if sum.len() != 64 || !sum.bytes().all(digit) {
                return Err(refuse(sum_field, "is not 64 lower-case hexadecimal digits"));
            }
        }
        Ok(())
    }

    /// How texts become token embeddings: as the manifest says, else as its dense vectors are pooled of them; `None`
    /// where the model gives none.
    #[must_use]
    pub fn token_side(&self) -> Option<OnnxTokens> {
        self.tokens.clone().or_else(|| self.dense.as_ref()?.tokens())
    }

    /// Sets in which numbers graphs that are built compute.
    ///
    /// # Errors
    /// [`EncoderError::FixedPrecision`] where none is built: a graph as published has its own.
    pub fn set_precision(&mut self, precision: Precision) -> Result<(), EncoderError> {
        let document = self.document.as_mut().map(|DocumentSide::Onnx(side)| &mut side.built);
        let query = match &mut self.query {
            Some(QuerySide::Onnx(query)) => Some(&mut query.graph.built),
            _ => None,
        };
        let tokens = self.tokens.as_mut().map(|side| &mut side.built);
        let dense = self.dense.as_mut().map(|side| &mut side.built);
        let sides = [document, query, tokens, dense].into_iter().flatten();
        let built: Vec<&mut BuiltGraph> = sides.filter_map(Option::as_mut).collect();
        if built.is_empty() {
            return Err(EncoderError::FixedPrecision { name: self.name.clone() });
        }
        built.into_iter().for_each(|graph| graph.precision = precision);
        Ok(())
    }
}
