//! Models of dense vectors: the section `dense` of a model folder.
//!
//! `parameters`: what decides the vectors, and what an index keeps. `encoder`: texts to vectors. `layers`: what
//! follows the pooling.

mod encoder;
mod layers;
mod options;
mod parameters;

use std::path::PathBuf;

pub use encoder::DenseEncoder;
pub use options::DenseOptions;
pub use parameters::{DenseIdentity, DenseParameters, DensePooling};

use crate::{EncoderError, MadeFrom, OnnxDense, Vocabulary};
use encoder::Parts;

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

    /// Loads the graph, or builds it. Cost: reads it and opens the sessions, each under a second for the bundled
    /// model.
    ///
    /// # Errors
    /// When ONNX Runtime or the graph is missing, the graph is not the one it should be, or an option is out of
    /// range.
    pub fn encoder(&self, options: &DenseOptions) -> Result<DenseEncoder, EncoderError> {
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
