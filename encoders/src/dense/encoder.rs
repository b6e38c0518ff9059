//! Dense vectors by an ONNX graph.
//!
//! 1. prompt, title and text become tokens  2. the graph, in batches over the sessions  3. a text's rows become one
//!    (mean, the first, the largest, the last), in f64  4. layers behind it  5. the first `dims` of its values
//! 6. length one
//!
//! Queries: one short pass at a batch of one, on a session that is free.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use quarry_vectors::{DenseVector, EncodeDense, EncodeError, Passage, join_title_and_text};

use super::layers::Layer;
use super::options::DenseOptions;
use super::parameters::{DenseParameters, DensePooling};
use crate::graph::{Graph, OutputShape, Signature};
use crate::graph_bytes::GraphBytes;
use crate::sessions::Sessions;
use crate::tokens::{Inputs, TokenIds};
use crate::{Device, EncoderError, OnnxDense, Vocabulary};

/// An encoder of dense vectors.
///
/// Vectors are a function of the slice, the same to the bit for any number of sessions; with a graph whose
/// quantisation is by token they do not depend on the slice either.
pub struct DenseEncoder {
    inputs: Inputs,
    parameters: DenseParameters,
    /// Values of a row as the graph gives it.
    width: usize,
    /// Those that are pooled.
    columns: std::ops::Range<usize>,
    layers: Vec<Layer>,
    sessions: Sessions<()>,
    truncated: AtomicU64,
}

impl std::fmt::Debug for DenseEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DenseEncoder")
            .field("parameters", &self.parameters)
            .field("sessions", &self.sessions.len())
            .finish_non_exhaustive()
    }
}

/// A dense model's parts, read and verified.
pub(super) struct Parts<'a> {
    pub(super) vocabulary: &'a Vocabulary,
    pub(super) pad_token: &'a str,
    pub(super) side: &'a OnnxDense,
    /// The graph.
    pub(super) onnx: &'a GraphBytes,
    /// Where the graph is from.
    pub(super) path: &'a Path,
    /// The model folder.
    pub(super) folder: &'a Path,
}

impl DenseEncoder {
    pub(super) fn new(
        parts: &Parts<'_>,
        parameters: DenseParameters,
        options: &DenseOptions,
    ) -> Result<Self, EncoderError> {
        let Parts { vocabulary, side, .. } = *parts;
        let width = side.width as usize;
        let from = parameters.column as usize;
        let to = side.columns.map_or(width, |columns| from.saturating_add(columns as usize));
        let wrong = |expected: String| EncoderError::Parameter {
            parameter: "dense.parameters.dims",
            expected,
            found: parameters.dims,
        };
        if from >= to || to > width {
            return Err(wrong(format!("columns {from} to {to} among the graph's {width}")));
        }
        let (layers, dims) = Layer::read_all(parts.folder, &side.layers, to - from)?;
        if parameters.dims == 0 || parameters.dims as usize > dims {
            return Err(wrong(format!("1 to {dims}, what the network gives")));
        }
        let length = ("dense.parameters.max_tokens", parameters.max_tokens);
        let how = (parameters.strip, parameters.lowercase);
        let inputs = Inputs::plain(vocabulary, length, how, side.max_positions)?;
        let shape = match parameters.pooling {
            DensePooling::InGraph => OutputShape::Passage(width),
            _ => OutputShape::Token(width),
        };
        let pad = vocabulary.ids("tokenizer.pad_token", &[parts.pad_token.to_owned()])?;
        let signature =
            Signature { inputs: &side.inputs, output: &side.output, shape, unpooled: None };
        let sessions = Sessions::open(options.sessions, pad.first().copied().unwrap_or(0), || {
            Graph::open(parts.onnx, parts.path, &signature, Device::Cpu)
        })?;
        let truncated = AtomicU64::new(0);
        Ok(Self { inputs, parameters, width, columns: from..to, layers, sessions, truncated })
    }

    /// The parameters in force.
    #[must_use]
    pub fn parameters(&self) -> &DenseParameters {
        &self.parameters
    }

    /// How many documents were cut at the longest input in the calls so far.
    #[must_use]
    pub fn truncated(&self) -> u64 {
        self.truncated.load(Ordering::Relaxed)
    }

    /// Encodes `passages`; see [`EncodeDense::encode_passages`].
    ///
    /// # Errors
    /// When a passage cannot be tokenised, the model cannot be run, or its output is not a vector.
    pub fn passages(
        &self,
        passages: &[Passage<'_>],
    ) -> Result<Vec<Option<DenseVector>>, EncoderError> {
        let ids = self.sessions.map(passages, |passage| {
            let separator = &self.parameters.separator;
            let text = join_title_and_text(passage.title, passage.text, separator);
            let read = self.inputs.read_behind(&self.parameters.prompt, &text)?;
            let TokenIds { ids, cut, .. } = read;
            self.truncated.fetch_add(u64::from(cut), Ordering::Relaxed);
            Ok(ids)
        })?;
        self.sessions.run(&ids, |(), at, output| {
            let vector = self.vector(output.values, ids[at].len());
            vector.map(Some).map_err(|source| EncoderError::DenseVector { passage: at, source })
        })
    }

    /// Encodes a query; see [`EncodeDense::encode_question`].
    ///
    /// # Errors
    /// As [`Self::passages`].
    pub fn question(&self, text: &str) -> Result<Option<DenseVector>, EncoderError> {
        let tokens = self.inputs.read_behind(&self.parameters.query_prompt, text)?;
        if tokens.ids.is_empty() {
            return Ok(None);
        }
        self.sessions.run_one(tokens.row(), |(), output| {
            let vector = self.vector(output.values, tokens.ids.len());
            vector.map(Some).map_err(|source| EncoderError::DenseVector { passage: 0, source })
        })
    }

    /// The vector of a text of `tokens` tokens, whose rows may be followed by rows of padding.
    fn vector(
        &self,
        output: &[f32],
        tokens: usize,
    ) -> Result<DenseVector, quarry_vectors::DenseVectorError> {
        let rows = output.chunks_exact(self.width.max(1)).map(|row| &row[self.columns.clone()]);
        let pooling = self.parameters.pooling;
        let rows = rows.take(if pooling == DensePooling::InGraph { 1 } else { tokens });
        let mut vector = pooled(rows, pooling);
        for layer in &self.layers {
            vector = layer.apply(&vector);
        }
        vector.truncate(self.parameters.dims as usize);
        if self.parameters.normalize {
            let length = vector.iter().map(|v| v * v).sum::<f64>().sqrt().max(1e-12);
            vector.iter_mut().for_each(|value| *value /= length);
        }
        #[expect(clippy::cast_possible_truncation, reason = "rounded once")]
        let values = vector.into_iter().map(|value| value as f32).collect();
        DenseVector::new(values)
    }
}

/// A text's rows as one.
fn pooled<'a>(rows: impl Iterator<Item = &'a [f32]>, pooling: DensePooling) -> Vec<f64> {
    let wide = |row: &[f32]| row.iter().map(|value| f64::from(*value)).collect::<Vec<_>>();
    let mut rows = rows;
    let Some(first) = rows.next() else { return Vec::new() };
    let mut vector = wide(first);
    match pooling {
        DensePooling::Cls | DensePooling::InGraph => {}
        DensePooling::LastToken => {
            if let Some(last) = rows.last() {
                vector = wide(last);
            }
        }
        DensePooling::Max => {
            for row in rows {
                let pairs = vector.iter_mut().zip(row);
                pairs.for_each(|(most, value)| *most = most.max(f64::from(*value)));
            }
        }
        DensePooling::Mean => {
            let mut count = 1.0;
            for row in rows {
                vector.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
                count += 1.0;
            }
            vector.iter_mut().for_each(|sum| *sum /= count);
        }
    }
    vector
}

impl EncodeDense for DenseEncoder {
    fn dims(&self) -> usize {
        self.parameters.dims as usize
    }

    fn encode_passages(
        &self,
        passages: &[Passage<'_>],
    ) -> Result<Vec<Option<DenseVector>>, EncodeError> {
        Ok(self.passages(passages)?)
    }

    fn encode_question(&self, text: &str) -> Result<Option<DenseVector>, EncodeError> {
        Ok(self.question(text)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_one() {
        let rows: [&[f32]; 3] = [&[1.0, 2.0], &[3.0, -4.0], &[5.0, 8.0]];
        let of = |pooling| pooled(rows.into_iter(), pooling);
        assert_eq!(of(DensePooling::Mean), [3.0, 2.0]);
        assert_eq!(of(DensePooling::Cls), [1.0, 2.0]);
        assert_eq!(of(DensePooling::Max), [5.0, 8.0]);
        assert_eq!(of(DensePooling::LastToken), [5.0, 8.0]);
        assert_eq!(pooled(rows.into_iter().take(1), DensePooling::LastToken), [1.0, 2.0]);
    }
}
