//! Finds where a graph pools tokens inside, and makes it give what it pools as a further output.
//!
//! 1. walk back from the output through operators that treat each value by itself  2. there must be
//!    exactly one maximum, or sum, over the tokens (axis 1)  3. its input becomes an output
//!
//! The file is not written anew: protocol buffers join what stands twice, so a second graph of one
//! output is appended. What a reader does not know of the file thus stays as it is.

use std::collections::{BTreeSet, HashMap};

use prost::Message as _;
use quarry_vectors::PooledBy;

use crate::onnx_proto::{GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};

/// Longest chain of operators between pool and output that is followed.
const DEPTH: usize = 64;

/// A graph that gives what it pools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Opened {
    /// Its file.
    pub(crate) onnx: Vec<u8>,
    /// The output `[batch, length, dimension]` that is pooled.
    pub(crate) unpooled: String,
    /// How.
    pub(crate) by: PooledBy,
}

/// What a value is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Made<'a> {
    /// The same for every passage.
    Constant,
    /// Of the pool over this value, each component by itself.
    Pool(&'a str, PooledBy),
    /// Of something else.
    Other,
}

/// The graph of the bytes `onnx` with what is pooled to its output `output` as a further output; or why
/// that cannot be told.
pub(crate) fn open(mut onnx: Vec<u8>, output: &str) -> Result<Opened, String> {
    let model = ModelProto::decode(onnx.as_slice()).map_err(|e| format!("no ONNX graph: {e}"))?;
    let graph = model.graph.ok_or("it is empty")?;
    let (unpooled, by) = match Graph::new(&graph).made(output, DEPTH)? {
        Made::Pool(value, by) => (value.to_owned(), by),
        Made::Constant | Made::Other => {
            return Err(format!("`{output}` is neither a maximum nor a sum over the tokens"));
        }
    };
    if !graph.output.iter().any(|o| o.name == unpooled) {
        let more = GraphProto {
            output: vec![ValueInfoProto { name: unpooled.clone(), r#type: None }],
            ..GraphProto::default()
        };
        let more = ModelProto { graph: Some(more), ..ModelProto::default() };
        more.encode(&mut onnx).map_err(|e| e.to_string())?;
    }
    Ok(Opened { onnx, unpooled, by })
}

/// Nodes by what they give.
struct Graph<'a> {
    by_output: HashMap<&'a str, &'a NodeProto>,
    weights: HashMap<&'a str, &'a TensorProto>,
    /// What is known already; a value in the making is `Other`, so that circles end.
    known: HashMap<&'a str, Made<'a>>,
}

impl<'a> Graph<'a> {
    fn new(graph: &'a GraphProto) -> Self {
        let outputs = |node: &'a NodeProto| node.output.iter().map(move |o| (o.as_str(), node));
        Self {
            by_output: graph.node.iter().flat_map(outputs).collect(),
            weights: graph.initializer.iter().map(|w| (w.name.as_str(), w)).collect(),
            known: HashMap::new(),
        }
    }

    fn made(&mut self, value: &'a str, depth: usize) -> Result<Made<'a>, String> {
        if self.weights.contains_key(value) {
            return Ok(Made::Constant);
        }
        if let Some(known) = self.known.get(value) {
            return Ok(*known);
        }
        self.known.insert(value, Made::Other);
        let made = match self.by_output.get(value).copied() {
            Some(node) if depth > 0 => self.made_by(node, depth)?,
            _ => Made::Other,
        };
        self.known.insert(value, made);
        Ok(made)
    }

    fn made_by(&mut self, node: &'a NodeProto, depth: usize) -> Result<Made<'a>, String> {
        let input = |at: usize| node.input.get(at).map_or("", String::as_str);
        match node.op_type.as_str() {
            "Constant" => Ok(Made::Constant),
            "ReduceMax" | "ReduceSum" => {
                let by = if node.op_type == "ReduceMax" { PooledBy::Max } else { PooledBy::Sum };
                let over_tokens = matches!(self.axes(node).as_slice(), [1 | -2]);
                Ok(if over_tokens { Made::Pool(input(0), by) } else { Made::Other })
            }
            "Identity" | "Cast" | "Relu" | "Log" | "Sqrt" | "Softplus" | "Squeeze" | "Clip" => {
                self.made(input(0), depth - 1)
            }
            op @ ("Add" | "Sub" | "Max" | "Mul" | "Div") => {
                let mut all = Made::Constant;
                for value in &node.input {
                    all = joined(op, all, self.made(value, depth - 1)?)?;
                }
                Ok(all)
            }
            _ => Ok(Made::Other),
        }
    }

    /// The axes of a reduction: an attribute, or since opset 13 or 18 an input.
    fn axes(&self, node: &NodeProto) -> Vec<i64> {
        if let Some(attribute) = node.attribute.iter().find(|a| a.name == "axes") {
            return attribute.ints.clone();
        }
        let Some(name) = node.input.get(1) else { return Vec::new() };
        let constant = || {
            let node = self.by_output.get(name.as_str()).filter(|n| n.op_type == "Constant")?;
            node.attribute.iter().find_map(|a| a.t.as_ref())
        };
        let Some(tensor) = self.weights.get(name.as_str()).copied().or_else(constant) else {
            return Vec::new();
        };
        let raw = tensor.raw_data.as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b));
        tensor.int64_data.iter().copied().chain(raw).collect()
    }
}

/// What an operator of several inputs gives. A pool may be scaled by whatever is a passage's own; what
/// is added to it must be the same for every passage, or not all of a component comes from the pool.
fn joined<'a>(op: &str, a: Made<'a>, b: Made<'a>) -> Result<Made<'a>, String> {
    Ok(match (a, b) {
        (Made::Constant, other) | (other, Made::Constant) => other,
        (Made::Pool(..), Made::Pool(..)) if a == b => a,
        (Made::Pool(x, _), Made::Pool(y, _)) => {
            let both: BTreeSet<&str> = [x, y].into();
            return Err(format!("it pools more than once: {both:?}"));
        }
        (pool @ Made::Pool(..), Made::Other) | (Made::Other, pool @ Made::Pool(..)) => {
            if !matches!(op, "Mul" | "Div") {
                return Err(format!("{op} brings something else than the pool into its output"));
            }
            pool
        }
        (Made::Other, Made::Other) => Made::Other,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::onnx_proto::AttributeProto;
    use proptest::prelude::*;

    fn node(op: &str, inputs: &[&str], output: &str, axes: &[i64]) -> NodeProto {
        let axes = AttributeProto {
            name: "axes".into(),
            ints: axes.to_vec(),
            ..AttributeProto::default()
        };
        NodeProto {
            input: inputs.iter().map(|&i| i.into()).collect(),
            output: vec![output.into()],
            op_type: op.into(),
            attribute: if axes.ints.is_empty() { vec![] } else { vec![axes] },
            ..NodeProto::default()
        }
    }

    fn graph(node: Vec<NodeProto>) -> Vec<u8> {
        let weight = |name: &str, values: &[i64]| TensorProto {
            int64_data: values.to_vec(),
            name: name.into(),
            ..TensorProto::default()
        };
        let initializer = vec![weight("bias", &[]), weight("one", &[1]), weight("two", &[2])];
        let output = vec![ValueInfoProto { name: "out".into(), r#type: None }];
        let graph = GraphProto { node, initializer, output, ..GraphProto::default() };
        ModelProto { graph: Some(graph), ..ModelProto::default() }.encode_to_vec()
    }

    #[test]
    fn the_pool_is_found_or_refused() {
        let max = |axes: &[i64]| node("ReduceMax", &["logits"], "pooled", axes);
        let relu = node("Relu", &["pooled"], "out", &[]);
        for axes in [1, -2] {
            let opened = open(graph(vec![max(&[axes]), relu.clone()]), "out").unwrap();
            assert_eq!((opened.unpooled.as_str(), opened.by), ("logits", PooledBy::Max));
            let again = ModelProto::decode(opened.onnx.as_slice()).unwrap().graph.unwrap();
            let outputs: Vec<&str> = again.output.iter().map(|o| o.name.as_str()).collect();
            assert_eq!((outputs.as_slice(), again.node.len()), (&["out", "logits"][..], 2));
        }
        // Axes as an input; a sum; a scale of the passage's own; a constant added.
        let sum = node("ReduceSum", &["logits", "one"], "pooled", &[]);
        let scaled = node("Mul", &["pooled", "scale"], "scaled", &[]);
        let added = node("Add", &["scaled", "bias"], "out", &[]);
        let opened = open(graph(vec![sum, scaled, added]), "out").unwrap();
        assert_eq!((opened.unpooled.as_str(), opened.by), ("logits", PooledBy::Sum));

        let refused = |nodes| open(graph(nodes), "out").unwrap_err();
        assert!(refused(vec![max(&[2]), relu.clone()]).contains("neither a maximum"));
        let other = node("ReduceMax", &["logits", "two"], "pooled", &[]);
        assert!(refused(vec![other, relu]).contains("neither a maximum"));
        let matmul = node("MatMul", &["pooled", "bias"], "out", &[]);
        assert!(refused(vec![max(&[1]), matmul]).contains("neither a maximum"));
        let mixed = node("Add", &["pooled", "class"], "out", &[]);
        assert!(refused(vec![max(&[1]), mixed]).contains("something else"));
        let second = node("ReduceMax", &["others"], "class", &[1]);
        let mixed = node("Max", &["pooled", "class"], "out", &[]);
        assert!(refused(vec![max(&[1]), second, mixed]).contains("more than once"));
        // A circle is not a graph, and ends.
        assert!(refused(vec![node("Relu", &["out"], "out", &[])]).contains("neither a maximum"));
    }

    proptest! {
        #[test]
        fn foreign_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = open(bytes, "out");
        }
    }
}
