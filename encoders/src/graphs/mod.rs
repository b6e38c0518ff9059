//! ONNX graphs made of published checkpoints: `config.json` and `model.safetensors`, no Python.
//!
//! `config`: what the body is and what its tensors are called. `weights`: tensors by name.
//! `body` and `distances`: embeddings and layers. `heads`: SPLADE's vocabulary weights, pooled inside the graph, or
//! token embeddings of length one. `writer` and `onnx_proto`: the file. The same checkpoint, head and
//! precision give the same bytes. `inside` and `file`: third-party graphs, rewritten to pool internally.

mod body;
mod config;
mod distances;
mod error;
mod file;
mod heads;
mod inside;
mod interface;
pub(crate) mod pool;
#[cfg(test)]
mod tests;
mod weights;
mod writer;

use std::io::Read;
use std::path::{Path, PathBuf};

pub use config::{Body, Family};
pub use error::GraphError;
pub(crate) use heads::Residual;
pub use heads::{Between, Head, Projection, Saturation, SpladeHead, SpladePooling, TokenHead};

pub use interface::{ATTENTION_MASK, Precision, SPARSE_OUTPUT, TOKEN_IDS, TOKENS_OUTPUT};

use crate::files;

use body::BodyWriter;
pub(crate) use inside::{PART, POOL_MASK, POOLED, in_parts, pool_inside};
pub(crate) use weights::Weights;

/// Which version of the graphs this is: another one gives other values, beyond the last digits, of the
/// same checkpoint. An index keeps it with the checkpoint's checksums.
pub(crate) const RECIPE: u32 = 1;

/// Reads the bytes of a graph file: the number of its nodes, `None` if it is not a graph. For tests that
/// throw bytes at parsers, as [`parse_weights`].
#[doc(hidden)]
#[must_use]
pub fn parse_graph(bytes: &[u8]) -> Option<usize> {
    file::GraphFile::read(bytes).map(|graph| graph.nodes.len())
}

/// Reads the bytes of a safetensors file.
///
/// # Errors
/// When they are none.
#[doc(hidden)]
pub fn parse_weights(bytes: &[u8]) -> Result<(), GraphError> {
    Weights::new(bytes, Path::new("model.safetensors")).map(drop)
}

/// Bytes of a graph in one file: protocol buffers end below this.
const MOST: usize = (1 << 31) - 1;

/// A published model: its configuration and its weights, read.
#[derive(Debug)]
pub struct Checkpoint {
    body: Body,
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Checkpoint {
    /// Reads `config.json` and `model.safetensors` of `folder`.
    ///
    /// # Errors
    /// When one is missing or cannot be read, or the architecture is unknown.
    pub fn read(folder: &Path) -> Result<Self, GraphError> {
        let read = |path: &Path| {
            let mut bytes = Vec::new();
            files::open(path)
                .and_then(|mut file| file.read_to_end(&mut bytes))
                .map_err(|source| GraphError::Read { path: path.to_owned(), source })?;
            Ok(bytes)
        };
        let config = folder.join("config.json");
        let body = Body::parse(&read(&config)?, &config)?;
        let path = folder.join("model.safetensors");
        let bytes = read(&path)?;
        Self::new(body, bytes, path)
    }

    /// Takes the bytes of a safetensors file; `path` is for messages.
    ///
    /// # Errors
    /// When the bytes are not a safetensors file.
    pub fn new(body: Body, bytes: Vec<u8>, path: PathBuf) -> Result<Self, GraphError> {
        Weights::new(&bytes, &path)?;
        Ok(Self { body, path, bytes })
    }

    /// The body's sizes.
    #[must_use]
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// Bytes of the weights' file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Tensors of the weights' file, for heads.
    pub(crate) fn weights(&self) -> Result<Weights<'_>, GraphError> {
        Weights::new(&self.bytes, &self.path)
    }

    /// The graph of this body with `head`, as the bytes of an ONNX file with the inputs
    /// [`TOKEN_IDS`] and [`ATTENTION_MASK`]. Cost: some copies of the weights.
    ///
    /// # Errors
    /// When a tensor is missing, has another shape than it should, or is not a tensor of finite
    /// numbers, or the head does not fit.
    pub fn graph(&self, head: &Head, precision: Precision) -> Result<Vec<u8>, GraphError> {
        let weights = self.weights()?;
        let mut body = BodyWriter::new(&weights, &self.body, precision);
        let (hidden, words) = body.write()?;
        let onnx = match head {
            Head::Splade(head) => body.splade(&hidden, &words, head)?,
            Head::Tokens(head) => body.tokens(&hidden, head)?,
        };
        if onnx.len() > MOST {
            return Err(GraphError::TooLarge { path: self.path.clone(), bytes: onnx.len() });
        }
        Ok(onnx)
    }
}

/// Reads bytes as every kind of graph and of weights that foreign files may be: for fuzzing.
#[cfg(fuzzing)]
pub fn read_any(bytes: &[u8]) {
    for output in ["output", "logits", "sparse"] {
        let _ = pool_inside(bytes, output, 500, 100);
        let _ = pool::open(bytes.to_vec(), output);
    }
    let _ = in_parts(bytes, 500, 100);
    let path = Path::new("weights");
    if let Ok(weights) = Weights::new(bytes, path) {
        for name in ["bert.embeddings.word_embeddings.weight", "linear.weight", "0.linear.weight"] {
            let _ = weights.any_matrix(name, "a part");
        }
    }
    let _ = Body::parse(bytes, path);
}
