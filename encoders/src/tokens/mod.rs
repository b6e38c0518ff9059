//! Models of token embeddings: the section `tokens` of a model folder.
//!
//! `parameters`: what decides the rows, and what an index keeps. `inputs`: texts to tokens.
//! `encoder`: tokens to rows. `whole`: a row for the text as a whole. `making`: the bundled model's graph, made of a published checkpoint.

mod encoder;
mod inputs;
mod making;
mod options;
mod parameters;
mod whole;

use std::path::PathBuf;

pub use encoder::TokenEncoder;
pub(crate) use inputs::{Inputs, TokenIds};
pub use making::make_token_graph;
pub use options::TokenOptions;
pub use parameters::{Markers, QueryFill, TokenIdentity, TokenParameters, WholeRow};

use crate::{EncoderError, OnnxTokens, Vocabulary};
use encoder::Parts;

/// A model of token embeddings, opened: small files read and verified, the graph not yet.
#[derive(Debug)]
pub struct TokenModel {
    pub(crate) name: String,
    pub(crate) vocabulary: Vocabulary,
    pub(crate) tokenizer_sha256: String,
    pub(crate) pad_token: String,
    pub(crate) folder: PathBuf,
    pub(crate) side: OnnxTokens,
}

impl TokenModel {
    /// What an index of embeddings made with `options` has to keep of this model.
    #[must_use]
    pub fn identity(&self, options: &TokenOptions) -> TokenIdentity {
        TokenIdentity {
            model_name: self.name.clone(),
            model_sha256: self.side.identity_sha256(),
            tokenizer_sha256: self.tokenizer_sha256.clone(),
            parameters: options.apply(&self.side.parameters),
        }
    }

    /// Loads the graph, or builds it. Cost: reads it and opens the sessions, each under a second for
    /// the bundled model.
    ///
    /// # Errors
    /// When ONNX Runtime or the graph is missing, the graph is not the one it should be, or an option
    /// is out of range.
    pub fn encoder(&self, options: &TokenOptions) -> Result<TokenEncoder, EncoderError> {
        let side = &self.side;
        let path = self.folder.join(&side.file);
        if let Some(from) = side.made_from.as_ref().filter(|_| !path.exists()) {
            return Err(EncoderError::NotMade { path, from: from.package.clone() });
        }
        let onnx = side.source().read(&self.folder)?;
        let parts = Parts {
            vocabulary: &self.vocabulary,
            pad_token: &self.pad_token,
            inputs: &side.inputs,
            output: &side.output,
            width: side.width,
            max_positions: side.max_positions,
            onnx: &onnx,
            path: &path,
        };
        TokenEncoder::new(&parts, options.apply(&side.parameters), options)
    }
}
