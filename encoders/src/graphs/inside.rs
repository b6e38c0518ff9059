//! Graphs of others, so changed that batch x length x vocabulary is never in memory.
//!
//! A SPLADE graph as exported ends in a product of the hidden states with the vocabulary. Its logits
//! are pooled here, behind the product:
//!
//! 1. find the product, and the bias added to it  2. rows that are not pooled become a copy of the
//!    first that is, which changes no maximum  3. for each part of the vocabulary a product of its own,
//!    and its maximum over the tokens  4. the parts one after another, and the bias
//!
//! The same with a graph that pools already, whose product and maximum are taken apart (`in_parts`).
//! A maximum is the same to the bit; what comes after it (relu, logarithms) grows with its argument
//! and is left to the reader, on far fewer values. A part's values fit into the CPU's caches.
//! What has another form is left as it is.

use std::collections::HashSet;
use std::ops::Range;

use super::file::GraphFile;
use super::writer::{Attribute, Size, Writer, value};
use crate::onnx_proto::{NodeProto, TensorProto};

/// Columns of a part, at most.
pub(crate) const PART: usize = 4096;

/// What names of nodes and weights that are put in begin with.
const PREFIX: &str = "quarry/";
/// The input of a graph that pools inside: 1 for a token that is pooled, int64 `[batch, length]`.
pub(crate) const POOL_MASK: &str = "quarry/pool mask";
/// Its output, float32 `[batch, vocabulary]`.
pub(crate) const POOLED: &str = "quarry/pooled";

/// A product of hidden states with a constant matrix.
struct Product<'a> {
    node: &'a NodeProto,
    /// The matrix as the file has it,
    matrix: &'a str,
    /// and whether it is `[vocabulary, width]`, to be transposed.
    by_rows: bool,
    vocabulary: usize,
    width: usize,
    /// Nodes that are there for the product alone.
    own: Vec<usize>,
}

/// The graph `onnx` with the maximum of its token output `[batch, length, vocabulary]` taken inside:
/// the input [`POOL_MASK`] more, and the output [`POOLED`]. `None` when the output is not a product with
/// a constant matrix, with or without a bias. `part`: columns of a part.
pub(crate) fn pool_inside(
    onnx: &[u8],
    output: &str,
    vocabulary: usize,
    part: usize,
) -> Option<Vec<u8>> {
    let file = GraphFile::read(onnx)?;
    if file.has_branches() || file.inputs.iter().any(|i| i.starts_with(PREFIX)) {
        return None;
    }
    let last = file.maker(output)?;
    let mut gone = HashSet::new();
    let (at, bias) = match file.bias(&file.nodes[last], vocabulary) {
        Some((product, bias)) if file.readers(output) == 0 => {
            gone.insert(last);
            (file.maker(product)?, Some(bias))
        }
        _ => (last, None),
    };
    let product = file.product(at).filter(|p| p.vocabulary == vocabulary)?;
    let made = product.node.output.first()?;
    if product.node.op_type != "MatMul" || file.readers(made) != usize::from(bias.is_some()) {
        return None;
    }
    gone.extend(&product.own);
    let mut w = Writer::for_opset(file.opset, PREFIX);
    let h = pooled_rows(&mut w, product.node.input.first()?, product.width);
    let pooled: Vec<String> = parts(vocabulary, part)
        .map(|range| {
            let logits = product.part(&mut w, &h.rows, &range);
            w.largest(&logits, 1)
        })
        .collect();
    let mut pooled = w.beside(&pooled);
    if let Some(bias) = bias {
        pooled = w.add("Add", &[&pooled, bias], &[]);
    }
    w.add_as("Add", &[&pooled, &h.no_number], &[], POOLED);
    let sizes = [Size::Open("batch"), Size::Open("length")];
    let input = value(POOL_MASK, TensorProto::INT64, &sizes);
    let sizes = [Size::Open("batch"), Size::Fixed(vocabulary)];
    let output = value(POOLED, TensorProto::FLOAT, &sizes);
    Some(file.with(&gone, w, Some(input), Some(output)))
}

/// The graph `onnx`, which pools inside, with the product that its maximum over the tokens is of in
/// parts: the same output, to the bit for integers. `None` when there is no such product.
pub(crate) fn in_parts(onnx: &[u8], vocabulary: usize, part: usize) -> Option<Vec<u8>> {
    let file = GraphFile::read(onnx)?;
    if file.has_branches() || vocabulary <= part {
        return None;
    }
    let is_largest = |node: &&NodeProto| node.op_type == "ReduceMax" && node.domain.is_empty();
    let mut found = file.nodes.iter().filter(is_largest).filter_map(|largest| {
        let product = file.product(file.maker(largest.input.first()?)?)?;
        let alone = file.readers(product.node.output.first()?) == 1;
        (product.vocabulary == vocabulary && alone && file.over_tokens(largest))
            .then_some((largest, product))
    });
    let (Some((largest, product)), None) = (found.next(), found.next()) else { return None };
    let name = largest.output.first()?;
    let mut gone: HashSet<usize> = product.own.iter().copied().collect();
    gone.insert(file.maker(name)?);
    let mut w = Writer::for_opset(file.opset, PREFIX);
    let rows = product.node.input.first()?;
    let pooled: Vec<String> = parts(vocabulary, part)
        .map(|range| {
            let logits = product.part(&mut w, rows, &range);
            w.largest(&logits, 1)
        })
        .collect();
    let pooled: Vec<&str> = pooled.iter().map(String::as_str).collect();
    w.add_as("Concat", &pooled, &[Attribute::Whole("axis", 1)], name);
    Some(file.with(&gone, w, None, None))
}

/// Parts of about one size, `most` at most. A row of a part has no whole number of pages: where it
/// does, writes wait for reads a page away when a maximum is taken.
fn parts(vocabulary: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let count = vocabulary.div_ceil(most.max(1)).max(1);
    let mut step = vocabulary.div_ceil(count).next_multiple_of(8).max(8);
    if step.is_multiple_of(1024) {
        step += 8;
    }
    (0..vocabulary).step_by(step).map(move |from| from..vocabulary.min(from + step))
}

/// Hidden states, of which all rows may be pooled.
struct Rows {
    rows: String,
    /// float32 `[batch, 1]`: 0, or no number where a row has one that is none. A maximum may lose it.
    no_number: String,
}

/// Rows that are not pooled become a copy of the first that is.
fn pooled_rows(w: &mut Writer, h: &str, width: usize) -> Rows {
    let (middle, last) = (w.wholes(&[1]), w.wholes(&[2]));
    let mask = w.cast(POOL_MASK, TensorProto::FLOAT);
    let first = w.add("ArgMax", &[&mask], &[Attribute::Whole("axis", 1)]);
    let first = w.add("GatherND", &[h, &first], &[Attribute::Whole("batch_dims", 1)]);
    let first = w.add("Unsqueeze", &[&first, &middle], &[]);
    let real = w.cast(POOL_MASK, TensorProto::BOOL);
    let real = w.add("Unsqueeze", &[&real, &last], &[]);
    let rows = w.add("Where", &[&real, h, &first], &[]);
    // Divided first: a sum of large numbers is not to be mistaken.
    let (count, zero) = (w.real(1.0 / width.max(1) as f32), w.real(0.0));
    let small = w.add("Mul", &[&rows, &count], &[]);
    let axes = w.wholes(&[1, 2]);
    let sum = w.add("ReduceSum", &[&small, &axes], &[Attribute::Whole("keepdims", 0)]);
    let sum = w.add("Mul", &[&sum, &zero], &[]);
    let no_number = w.add("Unsqueeze", &[&sum, &middle], &[]);
    Rows { rows, no_number }
}

impl Writer {
    fn beside(&mut self, parts: &[String]) -> String {
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        self.add("Concat", &parts, &[Attribute::Whole("axis", 1)])
    }
}

impl Product<'_> {
    /// The product with some columns: `[batch, length, columns]`. The runtime cuts the constant matrix
    /// when it opens the graph.
    fn part(&self, w: &mut Writer, rows: &str, columns: &Range<usize>) -> String {
        let mut matrix = w.slice(self.matrix, columns, i64::from(!self.by_rows));
        if self.by_rows {
            matrix = w.add("Transpose", &[&matrix], &[Attribute::Wholes("perm", &[1, 0])]);
        }
        let zeros = self.node.input.iter().skip(2).map(String::as_str);
        let inputs: Vec<&str> = [rows, &matrix].into_iter().chain(zeros).collect();
        w.add(&self.node.op_type, &inputs, &[])
    }
}

impl GraphFile<'_> {
    /// Whether nodes hold graphs of their own, whose reading of names is not seen here.
    fn has_branches(&self) -> bool {
        self.nodes.iter().any(|n| matches!(n.op_type.as_str(), "If" | "Loop" | "Scan"))
    }

    /// The sum's other part and its bias, if `node` adds a weight for each of the vocabulary.
    fn bias<'n>(&self, node: &'n NodeProto, vocabulary: usize) -> Option<(&'n str, &'n str)> {
        let [a, b] = node.input.as_slice() else { return None };
        let is_bias = |name: &str| self.weights.get(name).is_some_and(|d| *d == [vocabulary]);
        match node.op_type == "Add" && node.domain.is_empty() {
            true if is_bias(b) => Some((a, b)),
            true if is_bias(a) => Some((b, a)),
            _ => None,
        }
    }

    /// The node at `at`, if it is a product with a constant matrix.
    fn product(&self, at: usize) -> Option<Product<'_>> {
        let node = self.nodes.get(at)?;
        let kind = node.op_type.as_str();
        if !matches!(kind, "MatMul" | "MatMulInteger") || !node.domain.is_empty() {
            return None;
        }
        // A zero of the matrix's side may be one for each column.
        if node.input.len() > 3 {
            return None;
        }
        let right = node.input.get(1)?.as_str();
        let mut own = vec![at];
        let (matrix, by_rows) = match self.weights.contains_key(right) {
            true => (right, false),
            false => {
                let turn = self.maker(right)?;
                let node = &self.nodes[turn];
                let whole =
                    |a: &crate::onnx_proto::AttributeProto| a.name == "perm" && a.ints == [1, 0];
                // Without a permutation a transpose turns all axes round.
                let turns = node.attribute.is_empty() || node.attribute.iter().any(whole);
                if node.op_type != "Transpose" || !node.domain.is_empty() || !turns {
                    return None;
                }
                if self.readers(right) == 1 {
                    own.push(turn);
                }
                (node.input.first()?.as_str(), true)
            }
        };
        let [rows, columns] = *self.weights.get(matrix)?.as_slice() else { return None };
        let (vocabulary, width) = if by_rows { (rows, columns) } else { (columns, rows) };
        Some(Product { node, matrix, by_rows, vocabulary, width, own })
    }

    /// Whether a maximum is taken along axis 1, which goes.
    fn over_tokens(&self, node: &NodeProto) -> bool {
        let attribute = |name: &str| node.attribute.iter().find(|a| a.name == name);
        let goes = attribute("keepdims").is_some_and(|a| a.i == Some(0));
        // An input's value is not looked at: such graphs are left as they are.
        goes && attribute("axes").is_some_and(|a| a.ints == [1])
    }
}
