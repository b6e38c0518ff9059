//! Models of token embeddings: the section `tokens` of a model folder.
//!
//! `parameters`: what decides the rows, and what an index keeps. `inputs`: texts to tokens.
//! `encoder`: tokens to rows. `whole`: a row for the text as a whole. `making`: the bundled model's graph, made of a published checkpoint.

mod encoder;
mod inputs;
mod making;
mod parameters;
mod whole;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

pub use encoder::TokenEncoder;
pub use making::make_token_graph;
pub use parameters::{Markers, QueryFill, TokenIdentity, TokenParameters, WholeRow};

use crate::graph::GraphBytes;
use crate::{EncoderError, OnnxInputs, Vocabulary, files};
use encoder::Parts;

/// What a caller may set; what is `None` is left to the model or the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenOptions {
    /// Sessions, each of one thread; the machine's cores unless set. Does not change embeddings.
    /// One is enough where only questions are encoded, one at a time.
    pub sessions: Option<NonZeroUsize>,
    /// Dimensions of a row, in place of the model's own: the first ones, brought to length one
    /// again.
    pub dims: Option<u32>,
    /// Longest document in tokens, in place of the model's own.
    pub max_tokens: Option<u32>,
    /// Longest question in tokens, in place of the model's own.
    pub query_max_tokens: Option<u32>,
}

impl TokenOptions {
    /// The model's parameters with what is set here in their place.
    #[must_use]
    pub fn apply(&self, parameters: &TokenParameters) -> TokenParameters {
        TokenParameters {
            dims: self.dims.unwrap_or(parameters.dims),
            max_tokens: self.max_tokens.unwrap_or(parameters.max_tokens),
            query_max_tokens: self.query_max_tokens.unwrap_or(parameters.query_max_tokens),
            ..parameters.clone()
        }
    }
}

/// A model of token embeddings, opened: small files read and verified, the graph not yet.
#[derive(Debug)]
pub struct TokenModel {
    pub(crate) name: String,
    pub(crate) vocabulary: Vocabulary,
    pub(crate) tokenizer_sha256: String,
    pub(crate) pad_token: String,
    pub(crate) inputs: OnnxInputs,
    pub(crate) output: String,
    pub(crate) width: u32,
    pub(crate) max_positions: u32,
    pub(crate) parameters: TokenParameters,
    pub(crate) model_sha256: String,
    pub(crate) graph: GraphSource,
}

/// Where a graph comes from.
#[derive(Debug)]
pub(crate) enum GraphSource {
    /// A file with the model's checksum; `made_from` says what it is made from, if it is.
    File { path: PathBuf, made_from: Option<String> },
}

impl TokenModel {
    /// What an index of embeddings made with `options` has to keep of this model.
    #[must_use]
    pub fn identity(&self, options: &TokenOptions) -> TokenIdentity {
        TokenIdentity {
            model_name: self.name.clone(),
            model_sha256: self.model_sha256.clone(),
            tokenizer_sha256: self.tokenizer_sha256.clone(),
            parameters: options.apply(&self.parameters),
        }
    }

    /// Loads the graph. Cost: reads it and opens the sessions, each under a second for the bundled
    /// model.
    ///
    /// # Errors
    /// When ONNX Runtime or the graph is missing, the graph is not the one it should be, or an option
    /// is out of range.
    pub fn encoder(&self, options: &TokenOptions) -> Result<TokenEncoder, EncoderError> {
        let (onnx, path): (GraphBytes, &Path) = match &self.graph {
            GraphSource::File { path, made_from: Some(from) } if !path.exists() => {
                return Err(EncoderError::NotMade { path: path.clone(), from: from.clone() });
            }
            GraphSource::File { path, .. } => {
                (GraphBytes::InMemory(files::read_verified(path, &self.model_sha256)?), path)
            }
        };
        let parts = Parts {
            vocabulary: &self.vocabulary,
            pad_token: &self.pad_token,
            inputs: &self.inputs,
            output: &self.output,
            width: self.width,
            max_positions: self.max_positions,
            onnx: &onnx,
            path,
        };
        TokenEncoder::new(&parts, options.apply(&self.parameters), options)
    }
}
