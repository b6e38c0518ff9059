//! Documents, or questions, by an ONNX graph.
//!
//! 1. tokenise all texts of the slice, in parallel  2. run them in batches over the sessions
//! 3. pool each one's token outputs, where the graph does not  4. keep its heaviest components
//!
//! A graph that gives token outputs has a vocabulary's width for every token. They are pooled where
//! the runtime left them; how many tokens share a batch is bounded by `output_memory`.

use std::borrow::Cow;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use quarry_vectors::{
    EncodeDocument, EncodeError, Origin, Passage, PooledBy, SparseVector, Traced,
};

use crate::components::{Components, Keep};
use crate::graph::{Graph, GraphBytes, Output, OutputShape, Signature, Unpooled};
use crate::graphs::pool as graph_pool;
use crate::origins::Winners;
use crate::pooling::pool;
use crate::sessions::Sessions;
use crate::texts::{PlacedTokens, Texts, Tokens};
use crate::{Activation, DocumentParameters, EncoderError, OnnxDocuments, Pooling, Vocabulary};

/// Where a graph is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// The first CUDA device; where there is none, encoders are refused.
    Cuda,
}

/// Bytes of token outputs that one session may hold, unless set.
pub const OUTPUT_MEMORY: u64 = 512 << 20;

/// What a caller may set; what is `None` is left to the model or the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DocumentOptions {
    /// Sessions, each of one thread; the machine's cores unless set (one on a CUDA device). Does
    /// not change vectors. Each takes about 200 MB with the bundled model.
    pub sessions: Option<NonZeroUsize>,
    /// Longest input in tokens, in place of the model's own.
    pub max_tokens: Option<u32>,
    /// Components kept of each vector, in place of the model's own; 0 keeps all.
    pub top_k: Option<u32>,
    /// Where the graph is run.
    pub device: Device,
    /// Bytes that token outputs of a batch may take in each session, for graphs that do not pool
    /// inside; [`OUTPUT_MEMORY`] unless set.
    pub output_memory: Option<u64>,
    /// Also tell which token each component comes from
    /// ([`trace_documents`](EncodeDocument::trace_documents)); does not change vectors.
    pub provenance: bool,
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
    texts: Texts,
    reader: Reader,
    sessions: Sessions<Scratch>,
    traces: Option<PooledBy>,
    truncated: AtomicU64,
}

/// Scratch space of a session.
#[derive(Debug, Default)]
struct Scratch {
    components: Components,
    pooled: Vec<f32>,
    winners: Winners,
}

/// How an output becomes a vector.
#[derive(Debug)]
struct Reader {
    pooling: Pooling,
    activation: Activation,
    dimension: usize,
    keep: Keep,
}

impl std::fmt::Debug for OnnxDocumentEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OnnxDocumentEncoder")
            .field("parameters", self.texts.parameters())
            .field("sessions", &self.sessions.len())
            .finish_non_exhaustive()
    }
}

/// A model's parts, read and verified.
pub(crate) struct Parts<'a> {
    pub(crate) vocabulary: &'a Vocabulary,
    pub(crate) pad_token: &'a str,
    pub(crate) side: &'a OnnxDocuments,
    /// The graph.
    pub(crate) onnx: &'a GraphBytes,
    /// The graph's file.
    pub(crate) path: &'a Path,
}

impl OnnxDocumentEncoder {
    pub(crate) fn new(parts: &Parts<'_>, options: &DocumentOptions) -> Result<Self, EncoderError> {
        let Parts { vocabulary, side, .. } = *parts;
        let parameters = options.apply(&side.parameters);
        let texts = Texts::new(vocabulary, parameters.clone(), side.max_positions)?;
        let pad = vocabulary.ids("tokenizer.pad_token", &[parts.pad_token.to_owned()])?;
        let dropped = vocabulary.ids("document.parameters.drop_tokens", &parameters.drop_tokens)?;
        let keep = Keep { top_k: parameters.top_k as usize, ratio: parameters.ratio, dropped };
        let dimension = vocabulary.tokens().len();
        let shape = match side.pooling {
            Pooling::InGraph if parameters.echo.is_some() && side.inputs.pool_mask.is_none() => {
                return Err(EncoderError::PoolMask { path: parts.path.to_owned() });
            }
            Pooling::InGraph => OutputShape::Passage(dimension),
            Pooling::Max | Pooling::Sum => OutputShape::Token(dimension),
        };
        let limit = batch_tokens(side.pooling, dimension, &parameters, options)?;
        let traced = if options.provenance { Some(traced(parts)?) } else { None };
        let onnx = traced.as_ref().and_then(|t| t.onnx.as_ref()).unwrap_or(parts.onnx);
        let unpooled = traced.as_ref().and_then(|t| t.unpooled.as_deref());
        let signature = Signature { inputs: &side.inputs, output: &side.output, shape, unpooled };
        let sessions = match options.device {
            Device::Cpu => options.sessions,
            Device::Cuda => Some(options.sessions.unwrap_or(NonZeroUsize::MIN)),
        };
        let sessions = Sessions::open(sessions, pad.first().copied().unwrap_or(0), || {
            Graph::open(onnx, parts.path, &signature, options.device)
        })?;
        let (pooling, activation) = (side.pooling, side.activation);
        Ok(Self {
            texts,
            reader: Reader { pooling, activation, dimension, keep },
            sessions: sessions.limited(limit),
            traces: traced.map(|t| t.by),
            truncated: AtomicU64::new(0),
        })
    }

    /// The parameters in force, overrides applied.
    #[must_use]
    pub fn parameters(&self) -> &DocumentParameters {
        self.texts.parameters()
    }

    /// Encodes `passages`; see [`EncodeDocument::encode_documents`].
    ///
    /// # Errors
    /// When a passage cannot be tokenised, the model cannot be run, or its output is no vector.
    pub fn encode(&self, passages: &[Passage<'_>]) -> Result<Vec<SparseVector>, EncoderError> {
        let tokens = self.sessions.map(passages, |passage| self.texts.passage(passage))?;
        let cut = tokens.iter().filter(|t| t.cut).count() as u64;
        self.truncated.fetch_add(cut, Ordering::Relaxed);
        self.sessions
            .run(&tokens, |scratch, at, output| self.reader.read(scratch, &tokens[at], at, output))
    }

    /// As [`Self::encode`], with the origin of each component; see
    /// [`EncodeDocument::trace_documents`]. Cost: beside it, components x tokens of each passage.
    ///
    /// # Errors
    /// As [`Self::encode`]; when the encoder was opened without [`DocumentOptions::provenance`].
    pub fn trace(&self, passages: &[Passage<'_>]) -> Result<Vec<Traced>, EncoderError> {
        if self.traces.is_none() {
            return Err(EncoderError::NotTracing);
        }
        let placed = self.sessions.map(passages, |passage| self.texts.placed(passage))?;
        let cut = placed.iter().filter(|t| t.tokens.cut).count() as u64;
        self.truncated.fetch_add(cut, Ordering::Relaxed);
        self.sessions
            .run(&placed, |scratch, at, output| self.reader.trace(scratch, &placed[at], at, output))
    }

    /// Encodes one text alone, in the caller's thread; gives its tokens too. Its vector does not
    /// depend on other calls.
    pub(crate) fn encode_one(&self, text: &str) -> Result<(SparseVector, Tokens), EncoderError> {
        use crate::sessions::AsRow;
        let tokens = self.texts.text(text)?;
        if tokens.ids.is_empty() {
            return Ok((SparseVector::default(), tokens));
        }
        let vector = self.sessions.run_one(tokens.row(), |scratch, output| {
            self.reader.read(scratch, &tokens, 0, output)
        })?;
        Ok((vector, tokens))
    }
}

/// The most tokens of a batch that `output_memory` leaves room for.
fn batch_tokens(
    pooling: Pooling,
    dimension: usize,
    parameters: &DocumentParameters,
    options: &DocumentOptions,
) -> Result<usize, EncoderError> {
    if pooling == Pooling::InGraph {
        return Ok(usize::MAX);
    }
    let memory = options.output_memory.unwrap_or(OUTPUT_MEMORY);
    let of_a_token = dimension as u64 * size_of::<f32>() as u64;
    let needed = u64::from(parameters.max_tokens) * of_a_token;
    if memory < needed {
        let max_tokens = parameters.max_tokens;
        return Err(EncoderError::OutputMemory { memory, needed, max_tokens });
    }
    Ok(usize::try_from(memory / of_a_token.max(1)).unwrap_or(usize::MAX))
}

impl Reader {
    /// A text's part of an output becomes its vector.
    fn read(
        &self,
        scratch: &mut Scratch,
        tokens: &Tokens,
        at: usize,
        output: Output<'_>,
    ) -> Result<SparseVector, EncoderError> {
        let Scratch { components, pooled, .. } = scratch;
        let values = output.values;
        if self.pooling == Pooling::InGraph {
            if self.activation == Activation::None {
                return components.select(values, &self.keep, at);
            }
            pooled.clear();
            pooled.extend(values.iter().map(|x| self.activation.apply(*x)));
        } else {
            let kind = (self.pooling, self.activation);
            pool(values, tokens.pooled.clone(), self.dimension, kind, at, pooled)?;
        }
        components.select(pooled, &self.keep, at)
    }

    /// The same with the origins of the vector's components.
    fn trace(
        &self,
        scratch: &mut Scratch,
        placed: &PlacedTokens,
        at: usize,
        output: Output<'_>,
    ) -> Result<Traced, EncoderError> {
        let vector = self.read(scratch, &placed.tokens, at, output)?;
        let (terms, positions) = (vector.terms(), placed.tokens.pooled.clone());
        let winners = &mut scratch.winners;
        let found = match output.unpooled {
            Unpooled::Whole(values) => winners.whole(values, positions, self.dimension, terms),
            Unpooled::Float(values) => winners.float(values, positions, self.dimension, terms),
            Unpooled::Not => winners.float(output.values, positions, self.dimension, terms),
        };
        let first = placed.tokens.pooled.start;
        let origin = |position: &u32| Origin {
            position: *position,
            place: placed.places.get(*position as usize - first).cloned().flatten(),
        };
        let origins = found.iter().map(origin).collect();
        Ok(Traced { vector, origins })
    }
}

/// A graph as it is opened to tell where components come from.
struct TracedGraph {
    /// The graph with a further output, where it pools inside.
    onnx: Option<GraphBytes>,
    unpooled: Option<String>,
    by: PooledBy,
}

fn traced(parts: &Parts<'_>) -> Result<TracedGraph, EncoderError> {
    let by = match parts.side.pooling {
        Pooling::Max => PooledBy::Max,
        Pooling::Sum => PooledBy::Sum,
        Pooling::InGraph => {
            let bytes: Cow<'_, [u8]> = match parts.onnx {
                GraphBytes::InMemory(onnx) | GraphBytes::Beside(onnx) => onnx.into(),
                GraphBytes::InFile => crate::files::read(parts.path)?.into(),
            };
            let opened =
                graph_pool::open(bytes.into_owned(), &parts.side.output).map_err(|reason| {
                    EncoderError::Provenance { path: parts.path.to_owned(), reason }
                })?;
            let onnx = match parts.onnx {
                GraphBytes::InMemory(_) => GraphBytes::InMemory(opened.onnx),
                GraphBytes::InFile | GraphBytes::Beside(_) => GraphBytes::Beside(opened.onnx),
            };
            let (onnx, unpooled) = (Some(onnx), Some(opened.unpooled));
            return Ok(TracedGraph { onnx, unpooled, by: opened.by });
        }
    };
    Ok(TracedGraph { onnx: None, unpooled: None, by })
}

impl EncodeDocument for OnnxDocumentEncoder {
    fn encode_documents(&self, passages: &[Passage<'_>]) -> Result<Vec<SparseVector>, EncodeError> {
        Ok(self.encode(passages)?)
    }

    fn traces(&self) -> Option<PooledBy> {
        self.traces
    }

    fn trace_documents(&self, passages: &[Passage<'_>]) -> Result<Vec<Traced>, EncodeError> {
        Ok(self.trace(passages)?)
    }

    fn truncated(&self) -> u64 {
        self.truncated.load(Ordering::Relaxed)
    }
}
