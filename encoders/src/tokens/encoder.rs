//! Token embeddings by an ONNX graph.
//!
//! Documents: tokenise a slice in parallel, run it in batches over the sessions, keep the rows of
//! tokens that are not skipped. Questions: one short pass at a batch of one, on a session that is
//! free. A row is cut to its first `dims` values and brought to length one; where the model has a row
//! for the whole text, it comes first (`whole`).

use std::sync::atomic::{AtomicU64, Ordering};

use quarry_vectors::{
    EncodeError, EncodeTokens, Passage, TokenEmbeddings, TokenEmbeddingsError, join_title_and_text,
};

use super::inputs::{Inputs, TokenIds};
use super::options::TokenOptions;
use super::parameters::TokenParameters;
use super::whole::{Whole, by_id};
use crate::graph::{Graph, OutputShape, Signature};
use crate::graph_bytes::GraphBytes;
use crate::sessions::Sessions;
use crate::{Device, EncoderError, OnnxInputs, Vocabulary};
use std::path::Path;

/// An encoder of token embeddings.
///
/// Embeddings are a function of the slice, the same to the bit for any number of sessions; with a
/// graph whose quantisation is by token they do not depend on the slice either.
pub struct TokenEncoder {
    documents: Inputs,
    questions: Inputs,
    parameters: TokenParameters,
    /// Values of a row as the graph gives it.
    width: usize,
    dims: usize,
    /// By token id, whether documents get no row for it; tokens beyond the end get one.
    skipped: Vec<bool>,
    whole: Option<Whole>,
    sessions: Sessions<()>,
    truncated: AtomicU64,
}

impl std::fmt::Debug for TokenEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenEncoder")
            .field("parameters", &self.parameters)
            .field("sessions", &self.sessions.len())
            .finish_non_exhaustive()
    }
}

/// A token model's parts, read and verified.
pub(super) struct Parts<'a> {
    pub(super) vocabulary: &'a Vocabulary,
    pub(super) pad_token: &'a str,
    pub(super) inputs: &'a OnnxInputs,
    pub(super) output: &'a str,
    /// Values of a row as the graph gives it.
    pub(super) width: u32,
    pub(super) max_positions: u32,
    /// The graph.
    pub(super) onnx: &'a GraphBytes,
    /// Where the graph is from, for messages.
    pub(super) path: &'a Path,
}

impl TokenEncoder {
    pub(super) fn new(
        parts: &Parts<'_>,
        parameters: TokenParameters,
        options: &TokenOptions,
    ) -> Result<Self, EncoderError> {
        let Parts { vocabulary, width, max_positions, .. } = *parts;
        if parameters.dims == 0 || parameters.dims > width {
            return Err(EncoderError::Parameter {
                parameter: "tokens.parameters.dims",
                expected: format!("1 to {width}"),
                found: parameters.dims,
            });
        }
        let skip = vocabulary.ids("tokens.parameters.skip_tokens", &parameters.skip_tokens)?;
        let skipped = by_id(&skip);
        let whole = parameters.whole.as_ref();
        let whole = whole.map(|w| Whole::new(w, vocabulary, width, parameters.dims)).transpose()?;
        let pad = vocabulary.ids("tokenizer.pad_token", &[parts.pad_token.to_owned()])?;
        let documents = Inputs::documents(vocabulary, &parameters, max_positions)?;
        let questions = Inputs::questions(vocabulary, &parameters, max_positions)?;
        let (width, dims) = (width as usize, parameters.dims as usize);
        let shape = OutputShape::Token(width);
        let signature =
            Signature { inputs: parts.inputs, output: parts.output, shape, unpooled: None };
        let sessions = Sessions::open(options.sessions, pad.first().copied().unwrap_or(0), || {
            Graph::open(parts.onnx, parts.path, &signature, Device::Cpu)
        })?;
        Ok(Self {
            documents,
            questions,
            parameters,
            width,
            dims,
            skipped,
            whole,
            sessions,
            truncated: AtomicU64::new(0),
        })
    }

    /// The parameters in force, options applied.
    #[must_use]
    pub fn parameters(&self) -> &TokenParameters {
        &self.parameters
    }

    /// How many documents were cut at the longest input in the calls so far.
    #[must_use]
    pub fn truncated(&self) -> u64 {
        self.truncated.load(Ordering::Relaxed)
    }

    /// Encodes `passages`; see [`EncodeTokens::encode_passages`].
    ///
    /// # Errors
    /// When a passage cannot be tokenised, the model cannot be run, or its output is not an embedding.
    pub fn passages(&self, passages: &[Passage<'_>]) -> Result<Vec<TokenEmbeddings>, EncoderError> {
        let ids = self.sessions.map(passages, |passage| {
            let separator = &self.parameters.separator;
            let text = join_title_and_text(passage.title, passage.text, separator);
            let read = self.documents.read_behind(&self.parameters.prompt, &text)?;
            let TokenIds { ids, cut, .. } = read;
            self.truncated.fetch_add(u64::from(cut), Ordering::Relaxed);
            Ok(ids)
        })?;
        self.sessions.run(&ids, |(), at, output| {
            let kept = |id: &u32| !self.skipped.get(*id as usize).copied().unwrap_or(false);
            let rows = output.values;
            let whole = self.whole.as_ref().map(|w| w.row(self.own(rows, &ids[at]), self.width));
            let read = self.embeddings(rows, ids[at].iter().map(kept), whole, 1.0);
            read.map_err(|source| EncoderError::TokenRows { passage: at, source })
        })
    }

    /// Encodes a question; see [`EncodeTokens::encode_question`].
    ///
    /// # Errors
    /// As [`Self::passages`].
    pub fn question(&self, text: &str) -> Result<TokenEmbeddings, EncoderError> {
        let tokens = self.questions.read_behind(&self.parameters.query_prompt, text)?;
        if tokens.ids.is_empty() {
            return Ok(TokenEmbeddings::default());
        }
        self.sessions.run_one(tokens.row(), |(), output| {
            let rows = output.values;
            let read = match &self.whole {
                None => self.embeddings(rows, tokens.ids.iter().map(|_| true), None, 1.0),
                Some(whole) => {
                    let (kept, of_whole, of_tokens) = whole.of_question(&tokens.ids);
                    let mut row = whole.row(self.own(rows, &tokens.ids), self.width);
                    row.iter_mut().for_each(|v| *v *= of_whole);
                    self.embeddings(rows, kept.into_iter(), Some(row), of_tokens)
                }
            };
            read.map_err(|source| EncoderError::TokenRows { passage: 0, source })
        })
    }

    /// The rows of a text's tokens, which may be followed by rows of padding.
    fn own<'a>(&self, rows: &'a [f32], ids: &[u32]) -> &'a [f32] {
        &rows[..rows.len().min(ids.len() * self.width)]
    }

    /// The row of the `whole`, if there is one, and the rows that are `kept` of a text's, of length
    /// `scale`. Rows may be followed by rows of padding.
    fn embeddings(
        &self,
        rows: &[f32],
        kept: impl ExactSizeIterator<Item = bool>,
        whole: Option<Vec<f32>>,
        scale: f32,
    ) -> Result<TokenEmbeddings, TokenEmbeddingsError> {
        let mut values = whole.unwrap_or_default();
        values.reserve(kept.len() * self.dims);
        for (row, _) in rows.chunks_exact(self.width).zip(kept).filter(|(_, kept)| *kept) {
            let row = &row[..self.dims];
            let length = row.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-12);
            values.extend(row.iter().map(|v| v / length * scale));
        }
        TokenEmbeddings::new(self.dims, values)
    }
}

impl EncodeTokens for TokenEncoder {
    fn dims(&self) -> usize {
        self.dims
    }

    fn encode_passages(
        &self,
        passages: &[Passage<'_>],
    ) -> Result<Vec<TokenEmbeddings>, EncodeError> {
        Ok(self.passages(passages)?)
    }

    fn encode_question(&self, text: &str) -> Result<TokenEmbeddings, EncodeError> {
        Ok(self.question(text)?)
    }
}
