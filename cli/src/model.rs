//! Which model to use: the one named, else the bundled one; and the index's own for questions.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use quarry_encoders::{EncoderIdentity, Model, TokenOptions, TokenTableQuery};
use quarry_index::{Index, QUERY_TABLE, TOKENIZER};
use quarry_vectors::{EncodeQuery, EncodeTokens};

/// The bundled model's folder, under `models/`.
pub(crate) const BUNDLED: &str = "quarry-mini";

/// The model folder given, or the bundled one.
pub(crate) fn folder(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(folder) = given {
        return Ok(folder.to_path_buf());
    }
    let exe = std::env::current_exe().context("where this program lies is unknown")?;
    let exe = exe.canonicalize().unwrap_or(exe);
    // target/release/quarry, an unpacked archive, and /usr/bin/quarry with /usr/share/quarry.
    for parent in exe.ancestors().skip(1).take(4) {
        for candidate in
            [parent.join("models").join(BUNDLED), parent.join("share/quarry/models").join(BUNDLED)]
        {
            if candidate.is_dir() {
                return Ok(candidate);
            }
        }
    }
    bail!(
        "the bundled model `models/{BUNDLED}` is not beside {}; name a model folder with --model",
        exe.display()
    )
}

/// Opens a model folder, checking every file against its manifest.
pub(crate) fn open(given: Option<&Path>) -> anyhow::Result<Model> {
    let folder = folder(given)?;
    Model::open(&folder).with_context(|| format!("model {}", folder.display()))
}

/// The identity of the encoder that made an index's vectors, if one of ours did.
pub(crate) fn identity(index: &Index) -> anyhow::Result<Option<EncoderIdentity>> {
    let Some(value) = index.manifest().encoders.get("sparse") else { return Ok(None) };
    let identity = serde_json::from_value(value.clone())
        .context("the index's manifest describes an encoder that this build does not know")?;
    Ok(Some(identity))
}

/// The query encoder of an index: from the copies it keeps, or from `--model`, which must be the
/// model that encoded its documents.
pub(crate) fn query_encoder(
    index: &Index,
    given: Option<&Path>,
) -> anyhow::Result<Option<Arc<dyn EncodeQuery>>> {
    let identity = identity(index)?;
    if let Some(folder) = given {
        let model = open(Some(folder))?;
        if let Some(identity) = &identity {
            let found = model.identity(&quarry_encoders::DocumentOptions::default());
            let same = found.tokenizer_sha256 == identity.tokenizer_sha256
                && found.query_table_sha256 == identity.query_table_sha256
                && found.model_sha256 == identity.model_sha256;
            if !same {
                bail!(
                    "the index was encoded with model `{}`, --model names `{}` with other files: questions and \
                     documents would not match",
                    identity.model_name,
                    found.model_name
                );
            }
        } else if index
            .lexicon()
            .is_some_and(|l| u64::from(l.len()) != model.vocabulary().tokens().len() as u64)
        {
            bail!("the index's lexicon is not the vocabulary of `{}`", model.manifest().name);
        }
        return Ok(Some(Arc::new(model.query_encoder()?)));
    }
    let Some(identity) = identity else { return Ok(None) };
    let (Some(tokenizer), Some(table)) = (index.asset(TOKENIZER), index.asset(QUERY_TABLE)) else {
        return Ok(None);
    };
    let encoder = TokenTableQuery::from_bytes(tokenizer, table, &identity.query)
        .context("the index's copies of tokenizer and query table")?;
    Ok(Some(Arc::new(encoder)))
}

/// The token encoder of the model folder given, or of the bundled one, and its identity, which goes
/// into the index.
pub(crate) fn token_encoder(
    given: Option<&Path>,
    options: &TokenOptions,
) -> anyhow::Result<(Arc<dyn EncodeTokens>, serde_json::Value)> {
    let model = open(given)?;
    let encoder = model.token_encoder(options)?;
    let identity = model.token_model().map(|tokens| tokens.identity(options));
    Ok((Arc::new(encoder), serde_json::to_value(identity)?))
}
