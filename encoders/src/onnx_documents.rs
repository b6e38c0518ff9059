//! Documents by an ONNX graph with pooling inside.
//!
//! 1. tokenise all passages of the slice, in parallel  2. run them in batches over the sessions
//! 3. keep each one's heaviest components

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use quarry_vectors::{EncodeDocument, EncodeError, Passage, SparseVector, join_title_and_text};
use tokenizers::Tokenizer;

use crate::components::Components;
use crate::graph::{Graph, OutputShape, Signature};
use crate::sessions::Sessions;
use crate::{DocumentParameters, EncoderError, OnnxDocuments, Pooling, Vocabulary};

/// What a caller may set; what is `None` is left to the model or the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DocumentOptions {
    /// Sessions, each of one thread; the machine's cores unless set. Does not change vectors.
    /// Each takes about 200 MB with the bundled model.
    pub sessions: Option<NonZeroUsize>,
    /// Longest input in tokens, in place of the model's own.
    pub max_tokens: Option<u32>,
    /// Components kept of each vector, in place of the model's own; 0 keeps all.
    pub top_k: Option<u32>,
}

impl DocumentOptions {
    /// The model's parameters with what is set here in their place.
    #[must_use]
    pub fn apply(&self, parameters: &DocumentParameters) -> DocumentParameters {
        DocumentParameters {
            max_tokens: self.max_tokens.unwrap_or(parameters.max_tokens),
            top_k: self.top_k.unwrap_or(parameters.top_k),
            ..parameters.clone()
        }
    }
}

/// A document encoder of kind `onnx`.
///
/// The vectors are a function of the slice given to
/// [`encode_documents`](EncodeDocument::encode_documents), the same to the bit for any number of
/// sessions (on one machine and one version of ONNX Runtime). The same passage in another slice
/// may get weights that differ in their last digits: see `graph`.
///
/// A passage without a token of its own, such as an empty one, gets an empty vector; the model is
/// not run for it.
pub struct OnnxDocumentEncoder {
    tokenizer: Tokenizer,
    /// Tokens that the tokenizer adds to every passage.
    added_tokens: usize,
    parameters: DocumentParameters,
    /// Ids of `parameters.drop_tokens`.
    dropped: Vec<u32>,
    sessions: Sessions<Components>,
    truncated: AtomicU64,
}

impl std::fmt::Debug for OnnxDocumentEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OnnxDocumentEncoder")
            .field("parameters", &self.parameters)
            .field("sessions", &self.sessions.len())
            .finish_non_exhaustive()
    }
}

/// A model's parts, read and verified.
pub(crate) struct Parts<'a> {
    pub(crate) vocabulary: &'a Vocabulary,
    pub(crate) pad_token: &'a str,
    pub(crate) side: &'a OnnxDocuments,
    /// Bytes of the graph.
    pub(crate) onnx: &'a [u8],
    /// The graph's file, for messages.
    pub(crate) path: &'a Path,
}

impl OnnxDocumentEncoder {
    pub(crate) fn new(parts: &Parts<'_>, options: &DocumentOptions) -> Result<Self, EncoderError> {
        let Parts { vocabulary, side, .. } = *parts;
        let parameters = options.apply(&side.parameters);
        let added_tokens = vocabulary.added_tokens();
        let max_tokens = parameters.max_tokens as usize;
        if max_tokens <= added_tokens || parameters.max_tokens > side.max_positions {
            return Err(EncoderError::Parameter {
                parameter: "max_tokens",
                expected: format!("{} to {}", added_tokens + 1, side.max_positions),
                found: parameters.max_tokens,
            });
        }
        let pad = vocabulary.ids("tokenizer.pad_token", &[parts.pad_token.to_owned()])?;
        let dropped = vocabulary.ids("document.parameters.drop_tokens", &parameters.drop_tokens)?;
        let Pooling::InGraph = side.pooling;
        let shape = OutputShape::Passage(vocabulary.tokens().len());
        let signature = Signature { inputs: &side.inputs, output: &side.output, shape };
        let sessions = Sessions::open(options.sessions, pad.first().copied().unwrap_or(0), || {
            Graph::open(parts.onnx, parts.path, &signature)
        })?;
        Ok(Self {
            tokenizer: vocabulary.truncating(max_tokens)?,
            added_tokens,
            parameters,
            dropped,
            sessions,
            truncated: AtomicU64::new(0),
        })
    }

    /// The parameters in force, overrides applied.
    #[must_use]
    pub fn parameters(&self) -> &DocumentParameters {
        &self.parameters
    }

    /// Encodes `passages`; see [`EncodeDocument::encode_documents`].
    ///
    /// # Errors
    /// When a passage cannot be tokenised, the model cannot be run, or its output is no vector.
    pub fn encode(&self, passages: &[Passage<'_>]) -> Result<Vec<SparseVector>, EncoderError> {
        let tokens = self.sessions.map(passages, |passage| self.tokenise(passage))?;
        let top_k = self.parameters.top_k as usize;
        self.sessions
            .run(&tokens, |components, at, row| components.select(row, top_k, &self.dropped, at))
    }

    /// The ids of a passage, cut at the longest input; none when it has no token of its own.
    fn tokenise(&self, passage: &Passage<'_>) -> Result<Vec<u32>, EncoderError> {
        let text = join_title_and_text(passage.title, passage.text, &self.parameters.separator);
        let encoding = self
            .tokenizer
            .encode_fast(text, true)
            .map_err(|e| EncoderError::Tokenise { reason: e.to_string() })?;
        if encoding.len() <= self.added_tokens {
            return Ok(Vec::new());
        }
        if !encoding.get_overflowing().is_empty() {
            self.truncated.fetch_add(1, Ordering::Relaxed);
        }
        Ok(encoding.get_ids().to_vec())
    }
}

impl EncodeDocument for OnnxDocumentEncoder {
    fn encode_documents(&self, passages: &[Passage<'_>]) -> Result<Vec<SparseVector>, EncodeError> {
        Ok(self.encode(passages)?)
    }

    fn truncated(&self) -> u64 {
        self.truncated.load(Ordering::Relaxed)
    }
}
