//! A checkpoint in a model folder: `config.json` and `model.safetensors`, of which a graph is built.
//!
//! Only the header of the weights is looked at, for the tensors that a head needs: the rest is read
//! when the graph is built.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;

use super::folder::Folder;
use crate::graphs::{ATTENTION_MASK, Body, TOKEN_IDS};
use crate::{EncoderError, ExternalFile, OnnxInputs, files};

/// Longest header that is read; real ones take some 100 bytes a tensor.
const HEADER: u64 = 64 << 20;

/// A checkpoint's files.
#[derive(Debug)]
pub(super) struct CheckpointFile {
    /// The weights, relative to the model folder.
    pub(super) file: String,
    pub(super) sha256: String,
    /// The configuration, relative to the model folder.
    pub(super) config: ExternalFile,
    pub(super) body: Body,
    /// The shape of each tensor.
    pub(super) shapes: BTreeMap<String, Vec<usize>>,
}

/// What a header says of a tensor.
#[derive(Deserialize)]
struct Tensor {
    shape: Vec<usize>,
}

/// What the graphs that are built call their inputs.
pub(super) fn inputs() -> OnnxInputs {
    OnnxInputs {
        token_ids: TOKEN_IDS.to_owned(),
        attention_mask: ATTENTION_MASK.to_owned(),
        token_types: None,
        positions: None,
        pool_mask: None,
    }
}

/// The checkpoint of a folder that has both files. What its configuration says and no graph is known
/// for is refused.
pub(super) fn read(folder: &Folder) -> Result<CheckpointFile, EncoderError> {
    let config = folder.path("config.json");
    let json = files::read(&config)?;
    let body = Body::parse(&json, &config)?;
    let path = folder.path("model.safetensors");
    Ok(CheckpointFile {
        file: folder.name("model.safetensors"),
        sha256: files::sha256_of(&path)?,
        config: ExternalFile { file: folder.name("config.json"), sha256: files::sha256(&json) },
        body,
        shapes: shapes(folder, &path)?,
    })
}

/// The same with a masked-language head.
pub(super) fn sparse(folder: &Folder) -> Result<CheckpointFile, EncoderError> {
    let found = read(folder)?;
    let needed = found.body.head_tensor();
    if found.shapes.contains_key(&needed) {
        return Ok(found);
    }
    Err(folder.refuse(format!(
        "model.safetensors has no masked-language head ({needed} is missing), so it gives no sparse \
         vectors; a model of token embeddings has artifact.metadata (ColBERT) or modules.json with \
         Dense modules (PyLate)"
    )))
}

/// The shapes of the tensors of a safetensors file.
pub(super) fn shapes(
    folder: &Folder,
    path: &Path,
) -> Result<BTreeMap<String, Vec<usize>>, EncoderError> {
    let failed = |source| EncoderError::Read { path: path.to_owned(), source };
    let broken =
        || folder.refuse(format!("{}: not a safetensors file: fetch it again", path.display()));
    let mut file = files::open(path).map_err(failed)?;
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(|_| broken())?;
    let length = u64::from_le_bytes(length);
    if length > HEADER {
        return Err(broken());
    }
    let mut header = Vec::new();
    file.take(length).read_to_end(&mut header).map_err(failed)?;
    let header: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(&header).map_err(|_| broken())?;
    let tensors = header.into_iter().filter(|(name, _)| name != "__metadata__");
    tensors
        .map(|(name, value)| {
            let Tensor { shape } = serde_json::from_value(value).map_err(|_| broken())?;
            Ok((name, shape))
        })
        .collect()
}
