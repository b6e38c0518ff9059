//! The layers of BERT, DistilBERT, RoBERTa and MPNet as nodes.
//!
//! 1. word, position and type embeddings, normalised  2. for each layer: queries, keys and values
//!    by one product, attention (MPNet adds a bias by distance, `distances.rs`), a product, normalisation,
//!    two products, normalisation
//!
//! In int8 (as `encoders/training/quantise.py` has it): weights have one scale a row, activations
//! one scale a token, made of this token's values alone, so that a text's vectors do not depend on
//! what shares its batch. Attention itself stays in float32.

use super::config::{Activation, Body, Family, Names};
use super::error::GraphError;
use super::interface::{ATTENTION_MASK, Precision, TOKEN_IDS};
use super::weights::{Matrix, Weights};
use super::writer::{Attribute, Writer};
use crate::onnx_proto::TensorProto;

/// How far below the others the score of a masked position is: its exponential is 0.
const MASKED: f32 = 1e4;

/// A body being written.
#[derive(Debug)]
pub(super) struct BodyWriter<'a> {
    pub(super) writer: Writer,
    pub(super) weights: &'a Weights<'a>,
    pub(super) body: &'a Body,
    pub(super) names: &'static Names,
    pub(super) prefix: &'static str,
    pub(super) precision: Precision,
}

/// The word embeddings as the graph has them, for a head that shares them.
#[derive(Debug)]
pub(super) enum Words {
    /// float32 `[vocabulary, width]`.
    Float(String),
    /// int8 `[vocabulary, width]`, and float32 `[vocabulary]`.
    Int8 { integers: String, scales: String },
}

/// Rows as integers -127 to 127, and each row's scale.
pub(super) fn by_rows(matrix: &Matrix) -> (Vec<i8>, Vec<f32>) {
    let rows = matrix.values.chunks_exact(matrix.columns.max(1));
    let scales: Vec<f32> = rows
        .clone()
        .map(|row| row.iter().fold(1e-12f32, |most, v| most.max(v.abs())) / 127.0)
        .collect();
    let integers = rows
        .zip(&scales)
        .flat_map(|(row, scale)| row.iter().map(move |v| to_i8(v / scale)))
        .collect();
    (integers, scales)
}

#[allow(clippy::cast_possible_truncation, reason = "clamped to the range before")]
fn to_i8(value: f32) -> i8 {
    value.round_ties_even().clamp(-127.0, 127.0) as i8
}

impl<'a> BodyWriter<'a> {
    pub(super) fn new(weights: &'a Weights<'a>, body: &'a Body, precision: Precision) -> Self {
        let names = Names::of(body.family);
        let prefix = names.prefix(weights);
        Self { writer: Writer::default(), weights, body, names, prefix, precision }
    }

    /// All layers; gives the hidden states `[batch, length, width]` and the word embeddings.
    pub(super) fn write(&mut self) -> Result<(String, Words), GraphError> {
        let (mut x, words) = self.embed()?;
        let mask = self.mask();
        let hidden = self.with_distances(mask)?;
        for layer in 0..self.body.layers {
            x = self.layer(&x, layer, &hidden)?;
        }
        Ok((x, words))
    }

    /// What is added to attention's scores: 0, or far below for masked positions.
    fn mask(&mut self) -> String {
        let w = &mut self.writer;
        let axes = w.wholes(&[1, 2]);
        let mask = w.add("Unsqueeze", &[ATTENTION_MASK, &axes], &[]);
        let mask = w.cast(&mask, TensorProto::FLOAT);
        let (one, far) = (w.real(1.0), w.real(MASKED));
        let below = w.add("Sub", &[&mask, &one], &[]);
        w.add("Mul", &[&below, &far], &[])
    }

    fn embed(&mut self) -> Result<(String, Words), GraphError> {
        let Self { weights, body, names, prefix, .. } = *self;
        let part = "the embeddings";
        let (rows, width) = (body.vocabulary, body.width);
        let table =
            weights.matrix(&format!("{prefix}{}.weight", names.words), rows, width, part)?;
        let w = &mut self.writer;
        let (words, table) = match self.precision {
            Precision::Float32 => {
                let name = w.floats("words", &[rows, width], &table.values);
                (w.add("Gather", &[&name, TOKEN_IDS], &[]), Words::Float(name))
            }
            Precision::Int8 => {
                let (integers, scales) = by_rows(&table);
                let integers = w.bytes("words", &[rows, width], &integers);
                let scales = w.floats("words scales", &[rows], &scales);
                let found = w.add("Gather", &[&integers, TOKEN_IDS], &[]);
                let found = w.cast(&found, TensorProto::FLOAT);
                let scale = w.add("Gather", &[&scales, TOKEN_IDS], &[]);
                let last = w.wholes(&[2]);
                let scale = w.add("Unsqueeze", &[&scale, &last], &[]);
                (w.add("Mul", &[&found, &scale], &[]), Words::Int8 { integers, scales })
            }
        };
        let positions = self.positions()?;
        let sum = self.writer.add("Add", &[&words, &positions], &[]);
        let norm = format!("{}{}", self.prefix, self.names.embedding_norm);
        Ok((self.norm(&sum, &norm, part)?, table))
    }

    /// Position embeddings with that of token type 0, `[length, width]` or, for RoBERTa and MPNet,
    /// `[batch, length, width]`.
    fn positions(&mut self) -> Result<String, GraphError> {
        let Self { weights, body, names, prefix, .. } = *self;
        let part = "the embeddings";
        let width = body.width;
        let rows = match body.family {
            Family::Bert | Family::DistilBert => body.max_positions as usize,
            Family::Roberta | Family::Mpnet => {
                body.max_positions as usize + body.padding as usize + 1
            }
        };
        let mut table =
            weights.matrix(&format!("{prefix}{}.weight", names.positions), rows, width, part)?;
        if let Some(types) = names.types.filter(|_| body.token_types > 0) {
            let name = format!("{prefix}{types}.weight");
            let types = weights.matrix(&name, body.token_types, width, part)?;
            let first = &types.values[..width];
            for row in table.values.chunks_exact_mut(width) {
                row.iter_mut().zip(first).for_each(|(to, add)| *to += add);
            }
        }
        let w = &mut self.writer;
        let table = w.floats("positions", &[rows, width], &table.values);
        if matches!(body.family, Family::Roberta | Family::Mpnet) {
            // transformers counts the tokens that are not padding: position = padding + count.
            let padding = w.index(i64::from(body.padding));
            let is_padding = w.add("Equal", &[TOKEN_IDS, &padding], &[]);
            let token = w.add("Not", &[&is_padding], &[]);
            let token = w.cast(&token, TensorProto::INT64);
            let axis = w.index(1);
            let count = w.add("CumSum", &[&token, &axis], &[]);
            let count = w.add("Mul", &[&count, &token], &[]);
            let at = w.add("Add", &[&count, &padding], &[]);
            return Ok(w.add("Gather", &[&table, &at], &[]));
        }
        let shape = w.add("Shape", &[TOKEN_IDS], &[]);
        let (zero, one, two) = (w.wholes(&[0]), w.wholes(&[1]), w.wholes(&[2]));
        let length = w.add("Slice", &[&shape, &one, &two], &[]);
        Ok(w.add("Slice", &[&table, &zero, &length, &zero], &[]))
    }

    fn layer(&mut self, x: &str, layer: usize, hidden: &str) -> Result<String, GraphError> {
        let (names, body) = (self.names, self.body);
        let (prefix, width) = (self.prefix, body.width);
        let name = |part: &str| names.in_layer(prefix, layer, part);
        let seen = self.attention(x, layer, hidden)?;
        let seen = self.linear(&seen, &name(names.attended), (width, width), None)?;
        let sum = self.writer.add("Add", &[x, &seen], &[]);
        let x = self.norm(&sum, &name(names.attention_norm), "a layer")?;
        let inner = self.linear(&x, &name(names.inner), (body.inner, width), None)?;
        let inner = self.activation(&inner, body.activation);
        let low = Some(body.activation.low());
        let outer = self.linear(&inner, &name(names.outer), (width, body.inner), low)?;
        let sum = self.writer.add("Add", &[&x, &outer], &[]);
        self.norm(&sum, &name(names.norm), "a layer")
    }

    /// Queries, keys and values by one product, queries scaled by 1 / √(width of a head).
    fn attention(&mut self, x: &str, layer: usize, hidden: &str) -> Result<String, GraphError> {
        let (names, body, part) = (self.names, self.body, "a layer");
        let (width, heads) = (body.width, body.heads);
        let head = width / heads;
        let shrink = 1.0 / (head as f32).sqrt();
        let mut together = Matrix { rows: 3 * width, columns: width, values: Vec::new() };
        let mut bias = Vec::new();
        for (name, factor) in [(names.query, shrink), (names.key, 1.0), (names.value, 1.0)] {
            let name = names.in_layer(self.prefix, layer, name);
            let matrix = self.weights.matrix(&format!("{name}.weight"), width, width, part)?;
            together.values.extend(matrix.values.iter().map(|v| v * factor));
            let vector = self.weights.vector(&format!("{name}.bias"), width, part)?;
            bias.extend(vector.iter().map(|v| v * factor));
        }
        let name = format!("layer {layer} attention");
        let all = self.product(x, &name, &together, Some(bias), None);
        let w = &mut self.writer;
        let sizes = w.wholes(&[0, 0, 3, to_i64(heads), to_i64(head)]);
        let all = w.add("Reshape", &[&all, &sizes], &[]);
        let all = w.add("Transpose", &[&all], &[Attribute::Wholes("perm", &[2, 0, 3, 1, 4])]);
        let [q, k, v] = [0, 1, 2].map(|at| {
            let at = w.index(at);
            w.add("Gather", &[&all, &at], &[Attribute::Whole("axis", 0)])
        });
        let k = w.add("Transpose", &[&k], &[Attribute::Wholes("perm", &[0, 1, 3, 2])]);
        let scores = w.add("MatMul", &[&q, &k], &[]);
        let scores = w.add("Add", &[&scores, hidden], &[]);
        let shares = w.add("Softmax", &[&scores], &[Attribute::Whole("axis", -1)]);
        let seen = w.add("MatMul", &[&shares, &v], &[]);
        let seen = w.add("Transpose", &[&seen], &[Attribute::Wholes("perm", &[0, 2, 1, 3])]);
        let sizes = w.wholes(&[0, 0, to_i64(width)]);
        Ok(w.add("Reshape", &[&seen, &sizes], &[]))
    }

    /// The layer `name` of the checkpoint: `(outputs, inputs)` wide, with a bias.
    fn linear(
        &mut self,
        x: &str,
        name: &str,
        (outputs, inputs): (usize, usize),
        low: Option<f32>,
    ) -> Result<String, GraphError> {
        let part = "a layer";
        let matrix = self.weights.matrix(&format!("{name}.weight"), outputs, inputs, part)?;
        let bias = self.weights.vector(&format!("{name}.bias"), outputs, part)?;
        Ok(self.product(x, name, &matrix, Some(bias), low))
    }

    /// `x` times the transposed matrix, plus a bias, in the graph's precision. `low`: no value of
    /// `x` is below it.
    fn product(
        &mut self,
        x: &str,
        name: &str,
        matrix: &Matrix,
        bias: Option<Vec<f32>>,
        low: Option<f32>,
    ) -> String {
        match self.precision {
            Precision::Float32 => self.writer.product(x, name, matrix, bias.as_deref()),
            Precision::Int8 => self.product_int8(x, name, matrix, bias, low),
        }
    }

    fn product_int8(
        &mut self,
        x: &str,
        name: &str,
        matrix: &Matrix,
        bias: Option<Vec<f32>>,
        low: Option<f32>,
    ) -> String {
        let (integers, scales) = by_rows(matrix);
        let mut bias = bias.unwrap_or_else(|| vec![0.0; matrix.rows]);
        if let Some(low) = low {
            // Steps count from `low`: what they leave out is the same for every token.
            let rows = integers.chunks_exact(matrix.columns);
            for ((bias, scale), row) in bias.iter_mut().zip(&scales).zip(rows) {
                let sum: i32 = row.iter().map(|&i| i32::from(i)).sum();
                *bias += low * scale * sum as f32;
            }
        }
        let columns = Matrix {
            rows: matrix.rows,
            columns: matrix.columns,
            values: integers.iter().map(|&i| f32::from(i)).collect(),
        };
        let transposed: Vec<i8> = columns.transposed().into_iter().map(to_i8).collect();
        let steps = self.writer.steps(x, low, &[-1]);
        let w = &mut self.writer;
        let integers =
            w.bytes(&format!("{name}.integers"), &[matrix.columns, matrix.rows], &transposed);
        let sums = w.add("MatMulInteger", &[&steps.values, &integers, &steps.zero], &[]);
        let sums = w.cast(&sums, TensorProto::FLOAT);
        let out = w.add("Mul", &[&sums, &steps.scale], &[]);
        let scales = w.floats(&format!("{name}.scales"), &[matrix.rows], &scales);
        let out = w.add("Mul", &[&out, &scales], &[]);
        let bias = w.floats(&format!("{name}.bias"), &[matrix.rows], &bias);
        w.add("Add", &[&out, &bias], &[])
    }

    /// A layer normalisation of the checkpoint; files older than 2019 say gamma and beta.
    pub(super) fn norm(
        &mut self,
        x: &str,
        name: &str,
        part: &'static str,
    ) -> Result<String, GraphError> {
        let old = self.weights.has(&format!("{name}.gamma"));
        let (weight, bias) = if old { ("gamma", "beta") } else { ("weight", "bias") };
        let width = self.body.width;
        let scale = self.weights.vector(&format!("{name}.{weight}"), width, part)?;
        let shift = self.weights.vector(&format!("{name}.{bias}"), width, part)?;
        let w = &mut self.writer;
        let scale = w.floats(&format!("{name}.weight"), &[width], &scale);
        let shift = w.floats(&format!("{name}.bias"), &[width], &shift);
        let epsilon = Attribute::Real("epsilon", self.body.epsilon);
        let attributes = [Attribute::Whole("axis", -1), epsilon];
        Ok(w.add("LayerNormalization", &[x, &scale, &shift], &attributes))
    }

    pub(super) fn activation(&mut self, x: &str, activation: Activation) -> String {
        let w = &mut self.writer;
        let (one, half) = (w.real(1.0), w.real(0.5));
        match activation {
            Activation::Relu => w.add("Relu", &[x], &[]),
            Activation::Gelu => {
                // The shape that the runtime knows as one operator.
                let root = w.real(std::f32::consts::SQRT_2);
                let inner = w.add("Div", &[x, &root], &[]);
                let inner = w.add("Erf", &[&inner], &[]);
                let inner = w.add("Add", &[&inner, &one], &[]);
                let out = w.add("Mul", &[x, &inner], &[]);
                w.add("Mul", &[&out, &half], &[])
            }
            Activation::GeluTanh => {
                let square = w.add("Mul", &[x, x], &[]);
                let cube = w.add("Mul", &[&square, x], &[]);
                let (part, root) = (w.real(0.044_715), w.real(std::f32::consts::FRAC_2_PI.sqrt()));
                let inner = w.add("Mul", &[&cube, &part], &[]);
                let inner = w.add("Add", &[x, &inner], &[]);
                let inner = w.add("Mul", &[&inner, &root], &[]);
                let inner = w.add("Tanh", &[&inner], &[]);
                let inner = w.add("Add", &[&inner, &one], &[]);
                let out = w.add("Mul", &[x, &inner], &[]);
                w.add("Mul", &[&out, &half], &[])
            }
        }
    }
}

/// Activations as uint8.
#[derive(Debug)]
pub(super) struct Steps {
    /// uint8, the shape of the activations.
    pub(super) values: String,
    /// What a step is worth, one value for each group.
    pub(super) scale: String,
    /// The step that stands for 0.
    pub(super) zero: String,
}

impl Writer {
    /// `x` times the transposed matrix, plus a bias, in float32.
    pub(super) fn product(
        &mut self,
        x: &str,
        name: &str,
        matrix: &Matrix,
        bias: Option<&[f32]>,
    ) -> String {
        let sizes = [matrix.columns, matrix.rows];
        let columns = self.floats(&format!("{name}.weight"), &sizes, &matrix.transposed());
        let out = self.add("MatMul", &[x, &columns], &[]);
        let Some(bias) = bias else { return out };
        let bias = self.floats(&format!("{name}.bias"), &[matrix.rows], bias);
        self.add("Add", &[&out, &bias], &[])
    }

    /// Activations in 8 bits, one scale for each group along `axes`: from `low` up in 255 steps, or
    /// around 0 in 127 to each side.
    pub(super) fn steps(&mut self, x: &str, low: Option<f32>, axes: &[i64]) -> Steps {
        let moved = match low {
            Some(low) => {
                let low = self.real(low);
                self.add("Sub", &[x, &low], &[])
            }
            None => x.to_owned(),
        };
        let size = if low.is_some() { moved.clone() } else { self.add("Abs", &[x], &[]) };
        let attributes = [Attribute::Wholes("axes", axes), Attribute::Whole("keepdims", 1)];
        let largest = self.add("ReduceMax", &[&size], &attributes);
        let least = self.real(1e-12);
        let largest = self.add("Max", &[&largest, &least], &[]);
        let count = self.real(if low.is_some() { 255.0 } else { 127.0 });
        let scale = self.add("Div", &[&largest, &count], &[]);
        let steps = self.add("Div", &[&moved, &scale], &[]);
        let mut steps = self.add("Round", &[&steps], &[]);
        if low.is_none() {
            let middle = self.real(128.0);
            steps = self.add("Add", &[&steps, &middle], &[]);
        }
        let zero = self.byte(if low.is_some() { 0 } else { 128 });
        Steps { values: self.cast(&steps, TensorProto::UINT8), scale, zero }
    }
}

/// Sizes of a graph are far below this type's end.
pub(super) fn to_i64(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
