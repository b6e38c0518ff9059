//! Documents, or questions, by an ONNX graph.
//!
//! 1. tokenise all texts of the slice, in parallel  2. run them in batches over the sessions
//! 3. pool each one's token outputs, where the graph does not  4. keep its heaviest components
//!
//! A graph that gives token outputs has a vocabulary's width for every token. Where it can be changed
//! so it pools them itself, by parts of the vocabulary (`graphs/inside.rs`); else they are pooled where
//! the runtime left them. How many tokens share a batch is bounded by `output_memory`.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use quarry_vectors::{
    EncodeDocument, EncodeError, Origin, Passage, PooledBy, SparseVector, Traced,
};

use crate::components::{Components, Keep};
use crate::graph::{Graph, Output, OutputShape, Signature, Unpooled};
use crate::graph_bytes::GraphBytes;
use crate::graphs::{PART, POOL_MASK, POOLED, in_parts, pool as graph_pool, pool_inside};
use crate::origins::Winners;
use crate::pooling::pool;
use crate::sessions::Sessions;
use crate::texts::{PlacedTokens, Texts, Tokens};
use crate::{
    Activation, Device, DocumentParameters, EncoderError, OnnxDocuments, OnnxInputs, Pooling,
    Vocabulary,
};

/// Bytes of products with the vocabulary that one session may hold, unless set.
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
    /// Bytes that a batch's products with the vocabulary may take in each session; [`OUTPUT_MEMORY`]
    /// unless set. Weights, and the layers' tensors, which are narrower, come on top.
    pub output_memory: Option<u64>,
    /// Also tell which token each component comes from
    /// ([`trace_documents`](EncodeDocument::trace_documents)); does not change vectors.
    pub provenance: bool,
    /// Run graphs as their files have them, also where they could pool inside: for comparisons.
    pub pool_outside: bool,
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
    tokens_read: AtomicU64,
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
    /// The graph's file.
    pub(crate) path: &'a Path,
}

impl OnnxDocumentEncoder {
    pub(crate) fn new(
        parts: &Parts<'_>,
        onnx: GraphBytes,
        options: &DocumentOptions,
    ) -> Result<Self, EncoderError> {
        let Parts { vocabulary, side, .. } = *parts;
        let parameters = options.apply(&side.parameters);
        let texts = Texts::new(vocabulary, parameters.clone(), side.max_positions)?;
        let pad = vocabulary.ids("tokenizer.pad_token", &[parts.pad_token.to_owned()])?;
        let dropped = vocabulary.ids("document.parameters.drop_tokens", &parameters.drop_tokens)?;
        let keep = Keep { top_k: parameters.top_k as usize, ratio: parameters.ratio, dropped };
        let dimension = vocabulary.tokens().len();
        if side.pooling == Pooling::InGraph
            && parameters.echo.is_some()
            && side.inputs.pool_mask.is_none()
        {
            return Err(EncoderError::PoolMask { path: parts.path.to_owned() });
        }
        let run = Run::of(parts, onnx, dimension, options)?;
        let limit = batch_tokens(run.widest, &parameters, options)?;
        let shape = match run.pooling {
            Pooling::InGraph => OutputShape::Passage(dimension),
            Pooling::Max | Pooling::Sum => OutputShape::Token(dimension),
        };
        let (inputs, output, unpooled) = (&run.inputs, &run.output, run.unpooled.as_deref());
        let signature = Signature { inputs, output, shape, unpooled };
        let sessions = match options.device {
            Device::Cpu => options.sessions,
            Device::Cuda => Some(options.sessions.unwrap_or(NonZeroUsize::MIN)),
        };
        let sessions = Sessions::open(sessions, pad.first().copied().unwrap_or(0), || {
            Graph::open(&run.onnx, parts.path, &signature, options.device)
        })?;
        let (pooling, activation) = (run.pooling, side.activation);
        Ok(Self {
            texts,
            reader: Reader { pooling, activation, dimension, keep },
            sessions: sessions.limited(limit),
            traces: run.traces,
            truncated: AtomicU64::new(0),
            tokens_read: AtomicU64::new(0),
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
    /// When a passage cannot be tokenised, the model cannot be run, or its output is not a vector.
    pub fn encode(&self, passages: &[Passage<'_>]) -> Result<Vec<SparseVector>, EncoderError> {
        let tokens = self.sessions.map(passages, |passage| self.texts.passage(passage))?;
        self.count(tokens.iter());
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
        self.count(placed.iter().map(|placed| &placed.tokens));
        self.sessions
            .run(&placed, |scratch, at, output| self.reader.trace(scratch, &placed[at], at, output))
    }

    fn count<'a>(&self, texts: impl Iterator<Item = &'a Tokens> + Clone) {
        let cut = texts.clone().filter(|tokens| tokens.cut).count() as u64;
        self.truncated.fetch_add(cut, Ordering::Relaxed);
        let read: usize = texts.map(|tokens| tokens.ids.len()).sum();
        self.tokens_read.fetch_add(read as u64, Ordering::Relaxed);
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

/// A side's graph as it is run, which may give more than the file's, or pool where that does not.
struct Run {
    onnx: GraphBytes,
    inputs: OnnxInputs,
    output: String,
    pooling: Pooling,
    /// What the graph pools, and how that, or its token outputs, are pooled: for provenance.
    unpooled: Option<String>,
    traces: Option<PooledBy>,
    /// Values of a token in the widest tensor.
    widest: usize,
}

impl Run {
    /// To tell where components come from, all that is pooled is needed at once: such a graph is not
    /// taken apart.
    fn of(
        parts: &Parts<'_>,
        onnx: GraphBytes,
        dimension: usize,
        options: &DocumentOptions,
    ) -> Result<Self, EncoderError> {
        let side = parts.side;
        let mut run = Self {
            onnx,
            inputs: side.inputs.clone(),
            output: side.output.clone(),
            pooling: side.pooling,
            unpooled: None,
            traces: None,
            widest: dimension,
        };
        if options.provenance {
            run.trace(parts.path)?;
        } else if !options.pool_outside {
            run.in_parts(dimension);
        }
        Ok(run)
    }

    /// Has the graph tell what it pools.
    fn trace(&mut self, path: &Path) -> Result<(), EncoderError> {
        self.traces = Some(match self.pooling {
            Pooling::Max => PooledBy::Max,
            Pooling::Sum => PooledBy::Sum,
            Pooling::InGraph => {
                let onnx = match &mut self.onnx {
                    GraphBytes::InMemory(onnx) | GraphBytes::Beside(onnx) => std::mem::take(onnx),
                    GraphBytes::InFile => crate::files::read(path)?,
                };
                let opened = graph_pool::open(onnx, &self.output)
                    .map_err(|reason| EncoderError::Provenance { path: path.to_owned(), reason })?;
                self.onnx = match self.onnx {
                    GraphBytes::InMemory(_) => GraphBytes::InMemory(opened.onnx),
                    GraphBytes::InFile | GraphBytes::Beside(_) => GraphBytes::Beside(opened.onnx),
                };
                self.unpooled = Some(opened.unpooled);
                opened.by
            }
        });
        Ok(())
    }

    /// Changes the graph to pool by parts of the vocabulary, if it is one that can be.
    fn in_parts(&mut self, dimension: usize) {
        let (GraphBytes::InMemory(onnx) | GraphBytes::Beside(onnx)) = &mut self.onnx else {
            return;
        };
        let made = match self.pooling {
            Pooling::InGraph => in_parts(onnx, dimension, PART),
            // A graph of token outputs that takes a pool mask is none that we know.
            Pooling::Max if self.inputs.pool_mask.is_none() => {
                pool_inside(onnx, &self.output, dimension, PART)
            }
            Pooling::Max | Pooling::Sum => None,
        };
        let Some(made) = made else { return };
        *onnx = made;
        self.widest = dimension.min(PART);
        if self.pooling == Pooling::Max {
            self.inputs.pool_mask = Some(POOL_MASK.to_owned());
            POOLED.clone_into(&mut self.output);
            self.pooling = Pooling::InGraph;
        }
    }
}

/// The most tokens of a batch that `output_memory` leaves room for: a product of `widest` values a
/// token, and what is added to it.
fn batch_tokens(
    widest: usize,
    parameters: &DocumentParameters,
    options: &DocumentOptions,
) -> Result<usize, EncoderError> {
    let memory = options.output_memory.unwrap_or(OUTPUT_MEMORY);
    let of_a_token = widest as u64 * 2 * size_of::<f32>() as u64;
    let needed = u64::from(parameters.max_tokens) * of_a_token;
    if memory < needed && options.output_memory.is_some() {
        let max_tokens = parameters.max_tokens;
        return Err(EncoderError::OutputMemory { memory, needed, max_tokens });
    }
    // One text alone is more than the default for the largest models only.
    let most = usize::try_from(memory / of_a_token.max(1)).unwrap_or(usize::MAX);
    Ok(most.max(parameters.max_tokens as usize))
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

    fn tokens_read(&self) -> u64 {
        self.tokens_read.load(Ordering::Relaxed)
    }
}
