//! The encoders of an index's documents, open: all that is made of a text when it is added.

use std::ops::Range;
use std::sync::Arc;

use quarry_encoders::PassageSplitter;
use quarry_index::{Index, provenance};
use quarry_indexer::AsBuilt;
use quarry_vectors::{EncodeDense, EncodeError, EncodeTokens, Passage, SplitText};

use super::encoded_text::EncodedRow;
use super::{Add, Writer};
use crate::EngineError;
use crate::kept_encoders::OpenDocuments;

/// The encoders of an index's documents; at least one.
pub(crate) struct TextEncoders {
    documents: Option<Arc<OpenDocuments>>,
    provenance: bool,
    splitter: Option<PassageSplitter>,
    tokens: Option<Arc<dyn EncodeTokens>>,
    dense: Option<Arc<dyn EncodeDense>>,
}

impl Writer {
    /// Whether something is made of the texts of documents that are added to `index`.
    pub(crate) fn makes_of_texts(index: &Index) -> bool {
        let built = AsBuilt::of(index);
        built.encoder.is_some() || built.tokens.is_some() || built.dense.is_some()
    }

    /// Opens what makes vectors of texts that are added to `index`, as it is recorded there; `None` if nothing does.
    ///
    /// # Errors
    /// Those of [`Self::add`] that are about models.
    pub(crate) fn text_encoders(&self, index: &Index) -> Result<Option<TextEncoders>, EngineError> {
        let built = AsBuilt::of(index);
        if built.encoder.is_none() && built.tokens.is_none() && built.dense.is_none() {
            return Ok(None);
        }
        let add = Add::default();
        let ready = self.ready_for(index, &add)?;
        let (mut documents, mut splitter) = (None, None);
        if built.encoder.is_some() {
            let opened = ready.target(self, &add).opened(self.models())?;
            if let Some(size) = ready.encoding().passages {
                let options = ready.encoding().options();
                splitter = Some(opened.model.splitter(size.tokens, size.overlap, &options)?);
            }
            documents = Some(opened);
        }
        let (tokens, dense) = (ready.token_encoder(), ready.dense_encoder());
        let provenance = ready.encoding().provenance;
        Ok(Some(TextEncoders { documents, provenance, splitter, tokens, dense }))
    }
}

impl std::fmt::Debug for TextEncoders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextEncoders").finish_non_exhaustive()
    }
}

impl TextEncoders {
    /// Whether both make the same of a passage, so that their passages can be encoded together.
    pub(crate) fn same(&self, other: &Self) -> bool {
        fn both<T: ?Sized>(one: Option<&Arc<T>>, other: Option<&Arc<T>>) -> bool {
            match (one, other) {
                (Some(one), Some(other)) => std::ptr::addr_eq(Arc::as_ptr(one), Arc::as_ptr(other)),
                (one, other) => one.is_none() && other.is_none(),
            }
        }
        both(self.documents.as_ref(), other.documents.as_ref())
            && both(self.tokens.as_ref(), other.tokens.as_ref())
            && both(self.dense.as_ref(), other.dense.as_ref())
            && self.provenance == other.provenance
    }

    /// Whether texts are made into sparse vectors, so that documents may not bring any.
    pub(crate) fn makes_sparse(&self) -> bool {
        self.documents.is_some()
    }

    /// The bytes of a text that each of its rows has, as an addition splits it.
    pub(crate) fn split(&self, title: &str, text: &str) -> Result<Vec<Range<usize>>, EncodeError> {
        let whole = 0..text.len();
        let Some(splitter) = &self.splitter else { return Ok(vec![whole]) };
        let ranges = splitter.split(title, text)?;
        let fits = ranges.iter().all(|r| text.get(r.clone()).is_some_and(|t| !t.is_empty()));
        Ok(if ranges.len() < 2 || !fits { vec![whole] } else { ranges })
    }

    /// Encodes passages by all encoders; the rows' bytes are left open.
    pub(crate) fn encode(&self, passages: &[Passage<'_>]) -> Result<Vec<EncodedRow>, EncodeError> {
        let mut rows = vec![EncodedRow::default(); passages.len()];
        if let Some(OpenDocuments { encoder, .. }) = self.documents.as_deref() {
            match self.provenance && encoder.traces().is_some() {
                true => {
                    let traced = counted(encoder.trace_documents(passages)?, passages)?;
                    for (row, traced) in rows.iter_mut().zip(traced) {
                        row.origins = Some(provenance::record(&traced.origins));
                        row.sparse = Some(traced.vector);
                    }
                }
                false => {
                    let vectors = counted(encoder.encode_documents(passages)?, passages)?;
                    rows.iter_mut().zip(vectors).for_each(|(row, v)| row.sparse = Some(v));
                }
            }
        }
        if let Some(encoder) = &self.tokens {
            let made = counted(encoder.encode_passages(passages)?, passages)?;
            rows.iter_mut().zip(made).for_each(|(row, made)| row.tokens = Some(made));
        }
        if let Some(encoder) = &self.dense {
            let made = counted(encoder.encode_passages(passages)?, passages)?;
            rows.iter_mut().zip(made).for_each(|(row, made)| row.dense = Some(made));
        }
        Ok(rows)
    }

    /// Tokens that the encoder of sparse vectors has read so far; 0 where there is none.
    pub(crate) fn tokens_read(&self) -> u64 {
        self.documents.as_ref().map_or(0, |documents| documents.encoder.tokens_read())
    }
}

fn counted<T>(made: Vec<T>, passages: &[Passage<'_>]) -> Result<Vec<T>, EncodeError> {
    match made.len() == passages.len() {
        true => Ok(made),
        false => Err(EncodeError("the encoder gave another number of vectors than texts".into())),
    }
}
