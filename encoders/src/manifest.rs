//! `quarry-model.json`: what a model folder holds, and how it is to be run.
//!
//! Unknown fields are refused: a field that this build does not know could change vectors.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::graphs::Precision;
use crate::{DocumentParameters, EncoderError, QueryParameters, TokenParameters, files};

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
    /// Dimensions of the sparse space; equals the tokenizer's vocabulary and the graph's output.
    pub dimension: u32,
    /// The tokenizer of both sides.
    pub tokenizer: TokenizerFile,
    /// How documents become vectors.
    pub document: DocumentSide,
    /// How questions become vectors.
    pub query: QuerySide,
    /// How texts become token embeddings; absent where the model gives none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<OnnxTokens>,
}

/// A Hugging Face `tokenizer.json`. Truncation and padding set in it are ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizerFile {
    /// File name in the model folder.
    pub file: String,
    /// Its SHA-256.
    pub sha256: String,
    /// The token that fills up short rows of a batch.
    pub pad_token: String,
}

/// The document side, by kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum DocumentSide {
    /// A graph run by ONNX Runtime.
    Onnx(OnnxDocuments),
}

/// A document side of kind `onnx`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnnxDocuments {
    /// File name in the model folder.
    pub file: String,
    /// Its SHA-256.
    pub sha256: String,
    /// What the graph calls its inputs.
    pub inputs: OnnxInputs,
    /// What the graph calls its output.
    pub output: String,
    /// Where token outputs become one vector.
    pub pooling: Pooling,
    /// Longest input that the graph has positions for; bounds `max_tokens`.
    pub max_positions: u32,
    /// The parameters.
    pub parameters: DocumentParameters,
}

/// Names of the graph's inputs, each int64 `[batch, length]`.
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
}

/// Where token outputs become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// In the graph, whose output is `[batch, dimension]`, float32, masked rows left out.
    InGraph,
}

/// The query side, by kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum QuerySide {
    /// A weight per token; no network is run.
    TokenTable(TokenTable),
}

/// A query side of kind `token-table`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenTable {
    /// File name in the model folder: a JSON object of token to weight.
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
    /// File name in the model folder.
    pub file: String,
    /// Its SHA-256.
    pub sha256: String,
    /// What the graph calls its inputs.
    pub inputs: OnnxInputs,
    /// What the graph calls its output, float32 `[batch, length, width]`.
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
}

/// The one field that is read before all others.
#[derive(Deserialize)]
struct Version {
    format: u64,
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
        let DocumentSide::Onnx(document) = &self.document;
        let QuerySide::TokenTable(query) = &self.query;
        if self.name.is_empty() {
            return Err(refuse("name", "is empty"));
        }
        if self.dimension == 0 {
            return Err(refuse("dimension", "is 0"));
        }
        let mut files = vec![
            ("tokenizer.file", &self.tokenizer.file),
            ("document.file", &document.file),
            ("query.file", &query.file),
        ];
        let mut sums = vec![
            ("tokenizer.sha256", &self.tokenizer.sha256),
            ("document.sha256", &document.sha256),
            ("query.sha256", &query.sha256),
        ];
        if let Some(tokens) = &self.tokens {
            files.push(("tokens.file", &tokens.file));
            sums.push(("tokens.sha256", &tokens.sha256));
            if let Some(from) = &tokens.made_from {
                files.push(("tokens.made_from.projection.file", &from.projection.file));
                sums.push(("tokens.made_from.projection.sha256", &from.projection.sha256));
                sums.push(("tokens.made_from.config_sha256", &from.config_sha256));
                sums.push(("tokens.made_from.weights_sha256", &from.weights_sha256));
            }
        }
        for (field, file) in files {
            // A plain name: a manifest must not reach out of its folder.
            if Path::new(file).file_name().is_none_or(|name| name != file.as_str()) {
                return Err(refuse(field, "is not the plain name of a file in the model folder"));
            }
        }
        for (field, sum) in sums {
            let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            if sum.len() != 64 || !sum.bytes().all(digit) {
                return Err(refuse(field, "is not 64 lower-case hexadecimal digits"));
            }
        }
        if document.parameters.max_tokens == 0 {
            return Err(refuse("document.parameters.max_tokens", "is 0"));
        }
        Ok(())
    }
}
