//! What follows the body: vocabulary weights pooled over the tokens, or token embeddings.

use serde::{Deserialize, Serialize};

use super::body::{BodyWriter, Words, by_rows};
use super::weights::Matrix;
use super::writer::{Attribute, Size};
use super::{ATTENTION_MASK, GraphError, Precision, SPARSE_OUTPUT, TOKEN_IDS, TOKENS_OUTPUT};
use crate::onnx_proto::TensorProto;

/// A head.
#[derive(Debug, Clone, PartialEq)]
pub enum Head {
    /// SPLADE: a weight for each token of the vocabulary.
    Splade(SpladeHead),
    /// Late interaction: a vector of length one for each token of the text.
    Tokens(TokenHead),
}

/// SPLADE's head (Formal et al., SIGIR 2021): the checkpoint's masked-language head, saturated and
/// pooled over the tokens that are not masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpladeHead {
    /// How tokens become one vector.
    pub pooling: SpladePooling,
    /// What a logit becomes.
    pub saturation: Saturation,
}

/// How the logits of a passage's tokens become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpladePooling {
    /// The largest. The graph holds no tensor of batch x length x vocabulary beside the product's.
    Max,
    /// The sum.
    Sum,
}

/// What a logit x becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Saturation {
    /// ln(1 + relu(x)).
    #[serde(rename = "log1p-relu")]
    Log1p,
    /// ln(1 + ln(1 + relu(x))), as OpenSearch's v3 models have it.
    #[serde(rename = "log1p-log1p-relu")]
    DoubleLog1p,
}

/// The head of token embeddings: projections one after another, then rows of length one, unless they
/// are `plain`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TokenHead {
    /// The projections, in order; none gives the hidden states.
    pub projections: Vec<Projection>,
    /// Whether rows stay as long as they are.
    pub plain: bool,
}

/// y = f(x Wᵀ + b), plus what a residual adds.
#[derive(Debug, Clone, PartialEq)]
pub struct Projection {
    pub(crate) matrix: Matrix,
    pub(crate) bias: Option<Vec<f32>>,
    pub(crate) between: Between,
    pub(crate) residual: Option<Residual>,
}

/// What is added after a projection's function.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Residual {
    /// x, of the same width as y.
    Input,
    /// x times this matrix.
    Product(Matrix),
}

/// The function of a projection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Between {
    /// y = x.
    #[default]
    Identity,
    /// The hyperbolic tangent.
    Tanh,
    /// x Φ(x).
    Gelu,
    /// The larger of x and 0.
    Relu,
}

impl BodyWriter<'_> {
    /// The SPLADE head; gives the file.
    pub(super) fn splade(
        mut self,
        hidden: &str,
        words: &Words,
        head: &SpladeHead,
    ) -> Result<Vec<u8>, GraphError> {
        let (body, names, part) = (self.body, &self.names.head, "the masked-language head");
        let (width, vocabulary) = (body.width, body.vocabulary);
        let name = format!("{}.weight", names.dense);
        let dense = self.weights.matrix(&name, width, width, part)?;
        let bias = self.weights.vector(&format!("{}.bias", names.dense), width, part)?;
        // One small product: its rounding would cost as much as that of the whole body.
        let h = self.writer.product(hidden, names.dense, &dense, Some(&bias));
        let h = self.activation(&h, body.head_activation());
        let h = self.norm(&h, names.norm, part)?;
        let at = if self.weights.has(names.bias[0]) { names.bias[0] } else { names.bias[1] };
        let bias = self.weights.vector(at, vocabulary, part)?;
        let own = format!("{}.weight", names.decoder);
        let decoder = match self.weights.has(&own) {
            true => Some(self.weights.matrix(&own, vocabulary, width, part)?),
            false => None,
        };
        // A tied matrix may be in the file twice; the graph has it once.
        let table = format!("{}{}.weight", self.prefix, self.names.words);
        let decoder = match decoder {
            Some(own) if own == self.weights.matrix(&table, vocabulary, width, part)? => None,
            // Versions of transformers take one or the other then.
            Some(_) if body.tied => return Err(self.weights.two_matrices(&own)),
            None if !body.tied => return Err(self.weights.missing(&own, part)),
            other => other,
        };
        let pooled = match head.pooling {
            SpladePooling::Max => {
                // The function rises, so it may come after the maximum, on far fewer values.
                let h = self.masked_as_first(&h);
                let best = self.logits(&h, words, decoder.as_ref(), head.pooling);
                let best = self.add_bias(&best, &bias);
                self.saturate(&best, head.saturation)
            }
            SpladePooling::Sum => {
                let logits = self.logits(&h, words, decoder.as_ref(), head.pooling);
                let logits = self.add_bias(&logits, &bias);
                let values = self.saturate(&logits, head.saturation);
                let w = &mut self.writer;
                let last = w.wholes(&[2]);
                let mask = w.add("Unsqueeze", &[ATTENTION_MASK, &last], &[]);
                let mask = w.cast(&mask, TensorProto::FLOAT);
                let values = w.add("Mul", &[&values, &mask], &[]);
                let axis = w.wholes(&[1]);
                w.add("ReduceSum", &[&values, &axis], &[Attribute::Whole("keepdims", 0)])
            }
        };
        self.writer.add_as("Identity", &[&pooled], &[], SPARSE_OUTPUT);
        let sizes = [Size::Open("batch"), Size::Fixed(vocabulary)];
        Ok(self.writer.finish("splade", &[TOKEN_IDS, ATTENTION_MASK], (SPARSE_OUTPUT, &sizes)))
    }

    /// Masked rows become a copy of the first row: they change no maximum.
    fn masked_as_first(&mut self, h: &str) -> String {
        let w = &mut self.writer;
        let last = w.wholes(&[2]);
        let real = w.cast(ATTENTION_MASK, TensorProto::BOOL);
        let real = w.add("Unsqueeze", &[&real, &last], &[]);
        let (zero, one) = (w.wholes(&[0]), w.wholes(&[1]));
        let first = w.rows(h, &zero, &one);
        w.add("Where", &[&real, h, &first], &[])
    }

    /// The product with the vocabulary, less its bias: `[batch, length, vocabulary]`, or with
    /// [`SpladePooling::Max`] the largest of it over the tokens. `own`: a matrix other than the word
    /// embeddings.
    fn logits(
        &mut self,
        h: &str,
        words: &Words,
        own: Option<&Matrix>,
        pooling: SpladePooling,
    ) -> String {
        let over_tokens = [Attribute::Wholes("axes", &[1]), Attribute::Whole("keepdims", 0)];
        let turn = [Attribute::Wholes("perm", &[1, 0])];
        let own_integers = own.filter(|_| self.precision == Precision::Int8).map(by_rows);
        let w = &mut self.writer;
        let (columns, scales) = match (own, own_integers, words) {
            (Some(m), Some((integers, scales)), _) => {
                let table = w.bytes("vocabulary", &[m.rows, m.columns], &integers);
                let scales = w.floats("vocabulary scales", &[m.rows], &scales);
                (w.add("Transpose", &[&table], &turn), Some(scales))
            }
            (Some(m), None, _) => {
                let table = w.floats("vocabulary", &[m.rows, m.columns], &m.values);
                (w.add("Transpose", &[&table], &turn), None)
            }
            (None, _, Words::Float(table)) => (w.add("Transpose", &[table], &turn), None),
            (None, _, Words::Int8 { integers, scales }) => {
                (w.add("Transpose", &[integers], &turn), Some(scales.clone()))
            }
        };
        let Some(scales) = scales else {
            let logits = w.add("MatMul", &[h, &columns], &[]);
            return match pooling {
                SpladePooling::Max => w.add("ReduceMax", &[&logits], &over_tokens),
                SpladePooling::Sum => logits,
            };
        };
        // For the maximum one scale a passage: then the largest integer is the largest logit.
        let axes: &[i64] = if pooling == SpladePooling::Max { &[1, 2] } else { &[-1] };
        let steps = w.steps(h, None, axes);
        let mut sums = w.add("MatMulInteger", &[&steps.values, &columns, &steps.zero], &[]);
        let mut scale = steps.scale;
        if pooling == SpladePooling::Max {
            sums = w.add("ReduceMax", &[&sums], &over_tokens);
            let last = w.wholes(&[2]);
            scale = w.add("Squeeze", &[&scale, &last], &[]);
        }
        let sums = w.cast(&sums, TensorProto::FLOAT);
        let logits = w.add("Mul", &[&sums, &scale], &[]);
        w.add("Mul", &[&logits, &scales], &[])
    }

    fn add_bias(&mut self, x: &str, bias: &[f32]) -> String {
        let bias = self.writer.floats("vocabulary bias", &[bias.len()], bias);
        self.writer.add("Add", &[x, &bias], &[])
    }

    fn saturate(&mut self, x: &str, saturation: Saturation) -> String {
        let w = &mut self.writer;
        let one = w.real(1.0);
        let mut x = w.add("Relu", &[x], &[]);
        let times = match saturation {
            Saturation::Log1p => 1,
            Saturation::DoubleLog1p => 2,
        };
        for _ in 0..times {
            let more = w.add("Add", &[&x, &one], &[]);
            x = w.add("Log", &[&more], &[]);
        }
        x
    }

    /// The head of token embeddings; gives the file. Projections stay in float32: they are small.
    pub(super) fn tokens(mut self, hidden: &str, head: &TokenHead) -> Result<Vec<u8>, GraphError> {
        let (mut x, mut width) = (hidden.to_owned(), self.body.width);
        for (at, projection) in head.projections.iter().enumerate() {
            let Projection { matrix, bias, between, residual } = projection;
            let name = format!("projection {at}");
            let takes = match residual {
                // Input and output have one width.
                Some(Residual::Input) if matrix.columns == width => matrix.rows,
                _ => matrix.columns,
            };
            if takes != width {
                return Err(GraphError::Chain { what: name, takes, given: width });
            }
            let mut y = self.writer.product(&x, &name, matrix, bias.as_deref());
            y = match between {
                Between::Identity => y,
                Between::Tanh => self.writer.add("Tanh", &[&y], &[]),
                Between::Gelu => self.activation(&y, super::config::Activation::Gelu),
                Between::Relu => self.activation(&y, super::config::Activation::Relu),
            };
            match residual {
                None => {}
                Some(Residual::Input) => y = self.writer.add("Add", &[&y, &x], &[]),
                Some(Residual::Product(m)) => {
                    let more = self.writer.product(&x, &format!("{name} residual"), m, None);
                    y = self.writer.add("Add", &[&y, &more], &[]);
                }
            }
            (x, width) = (y, matrix.rows);
        }
        let w = &mut self.writer;
        if head.plain {
            w.add_as("Identity", &[&x], &[], TOKENS_OUTPUT);
        } else {
            let attributes = [Attribute::Wholes("axes", &[-1]), Attribute::Whole("keepdims", 1)];
            let length = w.add("ReduceL2", &[&x], &attributes);
            let least = w.real(1e-12);
            let length = w.add("Max", &[&length, &least], &[]);
            w.add_as("Div", &[&x, &length], &[], TOKENS_OUTPUT);
        }
        let sizes = [Size::Open("batch"), Size::Open("length"), Size::Fixed(width)];
        Ok(self.writer.finish("tokens", &[TOKEN_IDS, ATTENTION_MASK], (TOKENS_OUTPUT, &sizes)))
    }
}
