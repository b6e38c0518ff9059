//! Token embeddings for an index: made by a model from its stored texts, or imported from files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use quarry_datasets::TokenRows;
use quarry_encoders::TokenOptions as EncoderOptions;
use quarry_index::tokens::Form;
use quarry_index::tokens::TokensKept;
use quarry_index::{Index, Verify};
use quarry_indexer::{BuildError, Event, TokenInput, TokenOptions, add_tokens};
use quarry_vectors::{DocId, counted};
use serde_json::{Value, json};

use super::WriteError;
use crate::models::MadeBy;
use crate::{EngineError, ModelSource, Models};

/// Most examples in a message.
const EXAMPLES: usize = 3;

/// Source of token embeddings.
#[derive(Debug, Clone)]
pub enum TokensFrom {
    /// A model, applied to the index's stored texts.
    Model {
        /// The model.
        model: ModelSource,
        /// Dimensions of a row, the model's first ones; by default those of the index, else the model's own.
        dims: Option<u32>,
    },
    /// Files with embeddings.
    Files {
        /// Rows of all documents, tokens x dimensions (.npy).
        rows: PathBuf,
        /// Number of rows of each document (.npy).
        lengths: PathBuf,
        /// Document ids, one per line, in the order of the rows.
        ids: PathBuf,
    },
}

/// How token embeddings are stored. Unset options are taken from the index's embeddings.
#[derive(Debug, Clone, Default)]
pub struct StoreTokens {
    /// Storage forms; if empty those of the index, or int8.
    pub forms: Vec<Form>,
    /// Keeps one row for every this many similar rows of a document; 1 keeps all rows.
    pub pool: Option<usize>,
    /// Number of centroids of the form 4bit; by default 256.
    pub centroids: Option<usize>,
    /// Whether to replace existing embeddings.
    pub replace: bool,
}

impl StoreTokens {
    /// The options given, with unset ones as the index `has` them.
    pub(super) fn options(&self, source: Value, has: Option<&TokensKept>) -> TokenOptions {
        let forms = match (self.forms.is_empty(), has) {
            (false, _) => self.forms.clone(),
            (true, Some(has)) => has.forms.clone(),
            (true, None) => vec![Form::Int8],
        };
        TokenOptions {
            forms,
            pool: self.pool.or(has.map(|has| has.pool)).unwrap_or(1),
            centroids: self.centroids.or(has.map(|has| has.centroids.max(1))).unwrap_or(256),
            replace: self.replace,
            source,
        }
    }
}

/// Adds token embeddings to an index.
pub(super) fn add(
    folder: &Path,
    models: &Models,
    from: &TokensFrom,
    store: &StoreTokens,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<u64, EngineError> {
    let has = match store.replace {
        true => None,
        false => Index::open(folder, Verify::Envelope)?.features().tokens.clone(),
    };
    match from {
        TokensFrom::Model { model, dims } => {
            let made = match dims {
                // Dimensions and lengths of the other segments.
                None => models.token_encoder(has.as_ref(), model, None)?,
                Some(dims) => with_dims(models, model, *dims)?,
            };
            let options = store.options(made.identity, has.as_ref());
            let input = TokenInput::Encoder(made.encoder.as_ref());
            Ok(add_tokens(folder, &options, input, progress)?)
        }
        TokensFrom::Files { rows, lengths, ids } => {
            let name = rows.file_name().map(|name| name.to_string_lossy().into_owned());
            let mut rows = TokenRows::open(rows, lengths, ids)?;
            check_documents(&Index::open(folder, Verify::Envelope)?, &rows, ids, store.replace)?;
            let options = store.options(json!({ "file": name }), has.as_ref());
            let dims = rows.dims();
            let mut read = |id: &str| {
                let at = rows.find(id);
                let at = at.ok_or_else(|| wrong(format!("no rows for document `{id}`")))?;
                rows.rows(at).map_err(|e| BuildError::Input(e.into()))
            };
            let input = TokenInput::Rows(dims, &mut read);
            Ok(add_tokens(folder, &options, input, progress)?)
        }
    }
}

/// The encoder of a model for rows with other dimensions than its own.
fn with_dims(models: &Models, model: &ModelSource, dims: u32) -> Result<MadeBy, EngineError> {
    let options = EncoderOptions { dims: Some(dims), ..EncoderOptions::default() };
    let model = models.open(model)?;
    let Some(tokens) = model.token_model() else {
        let model = model.manifest().name.clone();
        return Err(EngineError::NoTokenModel { model, made_by: None });
    };
    let json = |source| EngineError::Json { what: "the token model's identity", source };
    let identity = serde_json::to_value(tokens.identity(&options)).map_err(json)?;
    Ok(MadeBy { encoder: std::sync::Arc::new(tokens.encoder(&options)?), identity })
}

fn wrong(what: String) -> BuildError {
    BuildError::Input(what.into())
}

/// Checks that the files cover all documents that get embeddings, and no others.
fn check_documents(
    index: &Index,
    rows: &TokenRows,
    path: &Path,
    replace: bool,
) -> Result<(), EngineError> {
    let fills = !replace && index.segments().iter().any(|s| s.tokens().is_some());
    let given: BTreeSet<&str> = rows.ids().iter().map(String::as_str).collect();
    let mut strange = given.clone();
    let (mut lacking, mut examples) = (0u64, Vec::new());
    for segment in index.segments() {
        let documents = segment.documents();
        for row in 0..documents.len() {
            let doc = DocId(u32::try_from(row).unwrap_or(u32::MAX));
            if segment.deleted().is_some_and(|deleted| deleted.contains(doc.0)) {
                continue;
            }
            let id = documents.id(doc);
            if documents.find(id).count() > 1 {
                return Err(WriteError::SplitDocument { id: id.to_owned() }.into());
            }
            strange.remove(id);
            let has = fills && segment.tokens().is_some();
            if !has && !given.contains(id) {
                lacking += 1;
                if examples.len() < EXAMPLES {
                    examples.push(format!("`{id}`"));
                }
            }
        }
    }
    if lacking > 0 {
        return Err(wrong(format!(
            "{}: {} of the index not in it, such as {}: the files are about other documents",
            path.display(),
            counted(lacking, "document"),
            examples.join(", ")
        ))
        .into());
    }
    if !strange.is_empty() {
        let some: Vec<String> = strange.iter().take(EXAMPLES).map(|id| format!("`{id}`")).collect();
        return Err(wrong(format!(
            "{}: {} not in the index, such as {}: the files are about other documents",
            path.display(),
            counted(strange.len() as u64, "id"),
            some.join(", ")
        ))
        .into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_defaults_are_those_of_the_index() {
        let has = TokensKept {
            dims: 8,
            forms: vec![Form::Fp16],
            pool: 2,
            centroids: 0,
            source: json!("m"),
        };
        let plain = StoreTokens::default().options(json!("m"), None);
        assert_eq!((plain.forms, plain.pool, plain.centroids), (vec![Form::Int8], 1, 256));
        let like = StoreTokens::default().options(json!("m"), Some(&has));
        assert_eq!((like.forms, like.pool, like.centroids), (vec![Form::Fp16], 2, 1));
        let given =
            StoreTokens { forms: vec![Form::Sign], pool: Some(3), ..StoreTokens::default() };
        let given = given.options(json!("m"), Some(&has));
        assert_eq!((given.forms, given.pool), (vec![Form::Sign], 3));
    }
}
