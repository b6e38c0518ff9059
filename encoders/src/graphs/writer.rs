//! Collects nodes and weights of an ONNX graph and writes it.

use std::collections::HashSet;
use std::ops::Range;

use prost::Message;

use crate::onnx_proto::{
    AttributeProto, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};

/// The operators' meaning (ONNX 1.12); ONNX Runtime 1.24 and later know it.
pub(super) const OPSET: i64 = 17;
const IR_VERSION: i64 = 8;

/// A named parameter of a node.
#[derive(Debug, Clone, Copy)]
pub(super) enum Attribute<'a> {
    Real(&'a str, f32),
    Whole(&'a str, i64),
    Wholes(&'a str, &'a [i64]),
}

/// A size of an input or output.
#[derive(Debug, Clone, Copy)]
pub(super) enum Size {
    Open(&'static str),
    Fixed(usize),
}

/// A graph in the making. Nodes and weights are named; what adds one gives its name.
#[derive(Debug)]
pub(super) struct Writer {
    nodes: Vec<NodeProto>,
    weights: Vec<TensorProto>,
    names: HashSet<String>,
    /// The operators' meaning.
    opset: i64,
    /// What all names begin with.
    prefix: &'static str,
}

impl Default for Writer {
    fn default() -> Self {
        Self::for_opset(OPSET, "")
    }
}

impl Writer {
    /// A writer of nodes in the meaning of `opset`, 13 or later, whose names begin with `prefix`.
    pub(super) fn for_opset(opset: i64, prefix: &'static str) -> Self {
        let (nodes, weights, names) = (Vec::new(), Vec::new(), HashSet::new());
        Self { nodes, weights, names, opset, prefix }
    }

    /// The nodes and weights.
    pub(super) fn into_parts(self) -> (Vec<NodeProto>, Vec<TensorProto>) {
        (self.nodes, self.weights)
    }

    /// A weight of bytes; one of the same name is there once.
    fn weight(&mut self, name: &str, kind: i32, dims: &[usize], raw: Vec<u8>) -> String {
        let name = format!("{}{name}", self.prefix);
        if self.names.insert(name.clone()) {
            self.weights.push(TensorProto {
                dims: dims.iter().map(|&d| size(d)).collect(),
                data_type: Some(kind),
                name: name.clone(),
                raw_data: raw,
                ..TensorProto::default()
            });
        }
        name
    }

    /// A float32 weight.
    pub(super) fn floats(&mut self, name: &str, dims: &[usize], values: &[f32]) -> String {
        let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.weight(name, TensorProto::FLOAT, dims, raw)
    }

    /// An int8 weight.
    pub(super) fn bytes(&mut self, name: &str, dims: &[usize], values: &[i8]) -> String {
        let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.weight(name, TensorProto::INT8, dims, raw)
    }

    /// A float32 scalar.
    pub(super) fn real(&mut self, value: f32) -> String {
        self.floats(&format!("real {value:?}"), &[], &[value])
    }

    /// A uint8 scalar.
    pub(super) fn byte(&mut self, value: u8) -> String {
        self.weight(&format!("byte {value}"), TensorProto::UINT8, &[], vec![value])
    }

    /// An int64 scalar.
    pub(super) fn index(&mut self, value: i64) -> String {
        let raw = value.to_le_bytes().to_vec();
        self.weight(&format!("index {value}"), TensorProto::INT64, &[], raw)
    }

    /// An int64 list.
    pub(super) fn wholes(&mut self, values: &[i64]) -> String {
        let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.weight(&format!("wholes {values:?}"), TensorProto::INT64, &[values.len()], raw)
    }

    /// A node; gives the name of its output.
    pub(super) fn add(
        &mut self,
        op: &str,
        inputs: &[&str],
        attributes: &[Attribute<'_>],
    ) -> String {
        let output = format!("{}{op} {}", self.prefix, self.nodes.len());
        self.add_as(op, inputs, attributes, &output);
        output
    }

    /// A node whose output has the name `output`.
    pub(super) fn add_as(
        &mut self,
        op: &str,
        inputs: &[&str],
        attributes: &[Attribute<'_>],
        output: &str,
    ) {
        self.nodes.push(NodeProto {
            input: inputs.iter().map(|&i| i.to_owned()).collect(),
            output: vec![output.to_owned()],
            name: output.to_owned(),
            op_type: op.to_owned(),
            attribute: attributes.iter().map(attribute).collect(),
            domain: String::new(),
        });
    }

    /// The largest of `x` along `axis`, which goes.
    pub(super) fn largest(&mut self, x: &str, axis: i64) -> String {
        let gone = Attribute::Whole("keepdims", 0);
        // Since operator set 18 the axes are an input.
        if self.opset < 18 {
            return self.add("ReduceMax", &[x], &[Attribute::Wholes("axes", &[axis]), gone]);
        }
        let axes = self.wholes(&[axis]);
        self.add("ReduceMax", &[x, &axes], &[gone])
    }

    /// `values` taken along axis `axis`, in this range.
    pub(super) fn slice(&mut self, values: &str, range: &Range<usize>, axis: i64) -> String {
        let (from, to) = (self.wholes(&[size(range.start)]), self.wholes(&[size(range.end)]));
        let axis = self.wholes(&[axis]);
        self.add("Slice", &[values, &from, &to, &axis], &[])
    }

    /// `values` converted to the element type `kind` of [`TensorProto`].
    pub(super) fn cast(&mut self, values: &str, kind: i32) -> String {
        self.add("Cast", &[values], &[Attribute::Whole("to", i64::from(kind))])
    }

    /// `values` taken along axis 1 from `from` to `to`, both names of int64 lists of one.
    pub(super) fn rows(&mut self, values: &str, from: &str, to: &str) -> String {
        let axis = self.wholes(&[1]);
        self.add("Slice", &[values, from, to, &axis], &[])
    }

    /// The model's bytes: int64 `inputs` `[batch, length]`, one float32 output.
    pub(super) fn finish(self, name: &str, inputs: &[&str], output: (&str, &[Size])) -> Vec<u8> {
        let input_sizes = [Size::Open("batch"), Size::Open("length")];
        let graph = GraphProto {
            node: self.nodes,
            name: name.to_owned(),
            initializer: self.weights,
            input: inputs.iter().map(|i| value(i, TensorProto::INT64, &input_sizes)).collect(),
            output: vec![value(output.0, TensorProto::FLOAT, output.1)],
        };
        let operators = OperatorSetIdProto { domain: Some(String::new()), version: Some(OPSET) };
        let model = ModelProto {
            ir_version: Some(IR_VERSION),
            producer_name: "quarry".to_owned(),
            graph: Some(graph),
            opset_import: vec![operators],
        };
        model.encode_to_vec()
    }
}

fn attribute(attribute: &Attribute<'_>) -> AttributeProto {
    let mut out = AttributeProto::default();
    let (name, kind) = match *attribute {
        Attribute::Real(name, value) => {
            out.f = Some(value);
            (name, AttributeProto::FLOAT)
        }
        Attribute::Whole(name, value) => {
            out.i = Some(value);
            (name, AttributeProto::INT)
        }
        Attribute::Wholes(name, values) => {
            out.ints = values.to_vec();
            (name, AttributeProto::INTS)
        }
    };
    name.clone_into(&mut out.name);
    out.r#type = Some(kind);
    out
}

pub(super) fn value(name: &str, kind: i32, sizes: &[Size]) -> ValueInfoProto {
    let dim = sizes.iter().map(|s| match *s {
        Size::Open(name) => DimensionProto { dim_value: None, dim_param: Some(name.to_owned()) },
        Size::Fixed(n) => DimensionProto { dim_value: Some(size(n)), dim_param: None },
    });
    let shape = TensorShapeProto { dim: dim.collect() };
    let tensor = TensorTypeProto { elem_type: Some(kind), shape: Some(shape) };
    ValueInfoProto { name: name.to_owned(), r#type: Some(TypeProto { tensor_type: Some(tensor) }) }
}

/// A size as ONNX writes it; sizes of what is in memory always fit.
fn size(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
