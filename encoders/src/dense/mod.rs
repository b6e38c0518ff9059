//! Models of dense vectors: the section `dense` of a model folder.
//!
//! `parameters`: what decides the vectors, and what an index keeps. `encoder`: texts to vectors. `layers`: what
//! follows the pooling.
//!
//! A dense model serves as a token model as well: the rows that it pools, each brought to length one.

mod encoder;
mod layers;
mod options;
mod parameters;

use std::path::PathBuf;

pub use encoder::DenseEncoder;
pub use options::DenseOptions;
pub use parameters::{DenseIdentity, DenseParameters, DensePooling};

use crate::{EncoderError, MadeFrom, OnnxDense, OnnxTokens, TokenParameters, Vocabulary};
use encoder::Parts;

impl OnnxDense {
    /// The token embeddings of a model that has none of its own: what the network gives for each token, before pooling
    /// and the layers behind it. `None` where the graph pools. Models that are trained to compare means rerank well by
    /// their tokens (docs/guide/reranking.md).
    pub(crate) fn tokens(&self) -> Option<OnnxTokens> {
        let of = &self.parameters;
        if of.pooling == DensePooling::InGraph || of.column != 0 {
            return None;
        }
        Some(OnnxTokens {
            file: self.file.clone(),
            sha256: self.sha256.clone(),
            external: self.external.clone(),
            built: self.built.clone(),
            inputs: self.inputs.clone(),
            output: self.output.clone(),
            width: self.width,
            max_positions: self.max_positions,
            parameters: TokenParameters {
                dims: self.columns.unwrap_or(self.width),
                max_tokens: of.max_tokens,
                query_max_tokens: of.max_tokens,
                separator: of.separator.clone(),
                prompt: of.prompt.clone(),
                query_prompt: of.query_prompt.clone(),
                markers: None,
                query_fill: None,
                skip_tokens: Vec::new(),
                whole: None,
                strip: of.strip,
                lowercase: of.lowercase,
            },
            made_from: None,
        })
    }
}

/// A model of dense vectors, opened: small files read and verified, the graph not yet.
#[derive(Debug)]
pub struct DenseModel {
    pub(crate) name: String,
    pub(crate) vocabulary: Vocabulary,
    pub(crate) tokenizer_sha256: String,
    pub(crate) pad_token: String,
    pub(crate) folder: PathBuf,
    pub(crate) side: OnnxDense,
    /// What the graph is made from, where it is made on the user's machine.
    pub(crate) made_from: Option<MadeFrom>,
}

impl DenseModel {
    /// What an index of vectors made with `options` has to keep of this model.
    #[must_use]
    pub fn identity(&self, options: &DenseOptions) -> DenseIdentity {
        DenseIdentity {
            model_name: self.name.clone(),
            model_sha256: self.side.identity_sha256(),
            tokenizer_sha256: self.tokenizer_sha256.clone(),
            parameters: options.apply(&self.side.parameters),
        }
    }

    /// Whether `options` are in range, as far as the manifest tells: before a graph is loaded.
    ///
    /// # Errors
    /// [`EncoderError::Parameter`] for more dimensions than the model gives, or none.
    pub fn check(&self, options: &DenseOptions) -> Result<(), EncoderError> {
        let most = self.side.parameters.dims;
        match options.dims {
            Some(found) if found == 0 || found > most => Err(EncoderError::Parameter {
                parameter: "dims",
                expected: format!("1 to {most}, what the model {} gives", self.name),
                found,
            }),
            _ => Ok(()),
        }
    }

    /// Loads the graph, or builds it. Cost: reads it and opens the sessions, each under a second for the bundled
    /// model.
    ///
    /// # Errors
    /// When ONNX Runtime or the graph is missing, the graph is not the one it should be, or an option is out of
    /// range.
    pub fn encoder(&self, options: &DenseOptions) -> Result<DenseEncoder, EncoderError> {
        self.check(options)?;
        let side = &self.side;
        let path = self.folder.join(&side.file);
        if let Some(from) = self.made_from.as_ref().filter(|_| !path.exists()) {
            return Err(EncoderError::NotMade { path, from: from.package.clone() });
        }
        let onnx = side.source().read(&self.folder)?;
        let parts = Parts {
            vocabulary: &self.vocabulary,
            pad_token: &self.pad_token,
            side,
            onnx: &onnx,
            path: &path,
            folder: &self.folder,
        };
        DenseEncoder::new(&parts, options.apply(&side.parameters), options)
    }
}
