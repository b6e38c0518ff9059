//! Makes the token graph of a model folder of the published checkpoint that its manifest names.

use std::fs;
use std::path::{Path, PathBuf};

use crate::graphs::{Between, Checkpoint, GraphError, Head, Projection, TokenHead, Weights};
use crate::{EncoderError, MadeFrom, ModelManifest, files};

/// Makes the file that section `tokens` of the manifest in `folder` names, of the checkpoint in
/// `source` (`config.json` and `model.safetensors`), and gives its path. Nothing is done when the
/// file is there; then `source` is not needed. Every file read and the file made must have the manifest's checksums; the file
/// appears whole or not at all. Cost: a second or two, and some copies of the weights in memory.
///
/// # Errors
/// When the manifest has no such section or says nothing of how its graph is made, a file is missing
/// or another, the checkpoint has not what it should have, or the file cannot be written.
pub fn make_token_graph(folder: &Path, source: Option<&Path>) -> Result<PathBuf, EncoderError> {
    let manifest = ModelManifest::read(folder)?;
    let tokens = manifest.tokens.as_ref();
    let no = || EncoderError::NothingToMake { path: folder.to_owned() };
    let (tokens, from) = tokens.and_then(|t| Some((t, t.made_from.as_ref()?))).ok_or_else(no)?;
    let path = folder.join(&tokens.file);
    if path.exists() {
        files::read_verified(&path, &tokens.sha256)?;
        return Ok(path);
    }
    let Some(source) = source else {
        return Err(EncoderError::NotMade { path, from: from.package.clone() });
    };
    let onnx = token_graph(folder, source, from)?;
    let found = files::sha256(&onnx);
    if found != tokens.sha256 {
        return Err(EncoderError::MadeOther { path, expected: tokens.sha256.clone(), found });
    }
    let write = || {
        let unfinished = path.with_extension("tmp");
        fs::write(&unfinished, &onnx)?;
        fs::rename(&unfinished, &path)
    };
    write().map_err(|source| EncoderError::Write { path: path.clone(), source })?;
    Ok(path)
}

/// The graph's bytes.
fn token_graph(folder: &Path, source: &Path, from: &MadeFrom) -> Result<Vec<u8>, EncoderError> {
    files::read_verified(&source.join("config.json"), &from.config_sha256)?;
    files::read_verified(&source.join("model.safetensors"), &from.weights_sha256)?;
    let path = folder.join(&from.projection.file);
    let bytes = files::read_verified(&path, &from.projection.sha256)?;
    let checkpoint = Checkpoint::read(source)?;
    let mut all = projection(&bytes, &path, &from.projection.tensor)?;
    if let Some(tensor) = &from.projection.whole {
        let more = projection(&bytes, &path, tensor)?.matrix;
        if more.columns != all.matrix.columns {
            let what = format!("projection {tensor}");
            let (takes, given) = (more.columns, all.matrix.columns);
            return Err(GraphError::Chain { what, takes, given }.into());
        }
        all.matrix.rows += more.rows;
        all.matrix.values.extend(more.values);
    }
    // The mean over a text is of vectors as the body gives them.
    let head = TokenHead { projections: vec![all], plain: from.projection.whole.is_some() };
    Ok(checkpoint.graph(&Head::Tokens(head), from.precision)?)
}

/// A projection without a bias, of one tensor.
fn projection(bytes: &[u8], path: &Path, tensor: &str) -> Result<Projection, GraphError> {
    let matrix = Weights::new(bytes, path)?.any_matrix(tensor, "the projection")?;
    Ok(Projection { matrix, bias: None, between: Between::Identity, residual: None })
}
