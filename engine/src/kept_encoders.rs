//! Encoders of documents that stay open between changes: opening one takes as long as encoding some dozen texts.
//!
//! One of each kind is kept, the one that was asked for last. A process that writes to many collections by one model so
//! holds its networks once.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use quarry_encoders::{DenseOptions, DocumentOptions, Model};
use quarry_index::dense::DenseKept;
use quarry_index::tokens::TokensKept;
use quarry_vectors::EncodeDocument;

use crate::models::{MadeBy, MadeByDense};
use crate::{EngineError, ModelSource};

/// A model with its encoder of documents.
pub(crate) struct OpenDocuments {
    pub(crate) model: Model,
    pub(crate) encoder: Box<dyn EncodeDocument>,
}

/// What was opened last, by what it was asked for.
#[derive(Default)]
pub(crate) struct KeptEncoders {
    documents: Slot<(ModelSource, DocumentOptions), Arc<OpenDocuments>>,
    tokens: Slot<(Option<TokensKept>, ModelSource), MadeBy>,
    dense: Slot<(Option<DenseKept>, ModelSource, DenseOptions), MadeByDense>,
}

type Slot<K, T> = Mutex<Option<(K, T)>>;

impl fmt::Debug for KeptEncoders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeptEncoders")
    }
}

impl KeptEncoders {
    pub(crate) fn documents(
        &self,
        key: (ModelSource, DocumentOptions),
        open: impl FnOnce() -> Result<OpenDocuments, EngineError>,
    ) -> Result<Arc<OpenDocuments>, EngineError> {
        kept(&self.documents, key, || open().map(Arc::new))
    }

    pub(crate) fn tokens(
        &self,
        key: (Option<TokensKept>, ModelSource),
        open: impl FnOnce() -> Result<MadeBy, EngineError>,
    ) -> Result<MadeBy, EngineError> {
        kept(&self.tokens, key, open)
    }

    pub(crate) fn dense(
        &self,
        key: (Option<DenseKept>, ModelSource, DenseOptions),
        open: impl FnOnce() -> Result<MadeByDense, EngineError>,
    ) -> Result<MadeByDense, EngineError> {
        kept(&self.dense, key, open)
    }
}

/// What is kept for `key`, opened if that is something else. Two callers may open at the same time; one is kept.
fn kept<K: PartialEq, T: Clone>(
    slot: &Mutex<Option<(K, T)>>,
    key: K,
    open: impl FnOnce() -> Result<T, EngineError>,
) -> Result<T, EngineError> {
    let locked = || slot.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((known, found)) = &*locked()
        && *known == key
    {
        return Ok(found.clone());
    }
    // The old one goes first: its memory is that of the new one.
    *locked() = None;
    let opened = open()?;
    *locked() = Some((key, opened.clone()));
    Ok(opened)
}
