//! A graph file of others, changed without loss: what is not touched keeps its bytes.
//!
//! `onnx_proto` declares few of ONNX's fields, and decoding drops the others. So a file is taken as the
//! fields that it consists of: nodes and weights are looked at, and written back as they were.

use std::collections::{HashMap, HashSet};

use prost::Message;

use super::writer::Writer;
use crate::onnx_proto::{GraphProto, NodeProto, OperatorSetIdProto, TensorHeader, ValueInfoProto};

// Field numbers of ModelProto,
const IR_VERSION: u32 = 1;
const GRAPH: u32 = 7;
const OPSETS: u32 = 8;
// and of GraphProto.
const NODE: u32 = 1;
const INITIALIZER: u32 = 5;
const INPUT: u32 = 11;
const OUTPUT: u32 = 12;

/// A field: its number, all its bytes, and what is in them behind number and length.
#[derive(Debug, Clone, Copy)]
struct Field<'a> {
    number: u32,
    whole: &'a [u8],
    content: &'a [u8],
}

/// A model file's field of the graph, written already: bytes and messages have one form.
#[derive(Clone, PartialEq, prost::Message)]
struct WholeGraph {
    #[prost(bytes = "vec", tag = "7")]
    graph: Vec<u8>,
}

/// A graph file, looked into.
#[derive(Debug)]
pub(super) struct GraphFile<'a> {
    model: Vec<Field<'a>>,
    graph: Vec<Field<'a>>,
    /// Nodes in the file's order.
    pub(super) nodes: Vec<NodeProto>,
    /// Sizes of the weights by name.
    pub(super) weights: HashMap<String, Vec<usize>>,
    /// Names of the inputs.
    pub(super) inputs: Vec<String>,
    /// The meaning of ONNX's own operators.
    pub(super) opset: i64,
}

impl<'a> GraphFile<'a> {
    /// `None` when the bytes are not a graph, or one of a kind from before 2020.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let model = fields(bytes)?;
        let of = |number: u32| model.iter().filter(move |f| f.number == number);
        let mut content = of(IR_VERSION).next()?.content;
        let ir_version = varint(&mut content)?;
        let opsets = of(OPSETS).map(|f| OperatorSetIdProto::decode(f.content).ok());
        let own = opsets.flatten().find(|o| o.domain.as_deref().unwrap_or_default().is_empty())?;
        let opset = own.version?;
        // Before, weights were inputs too, and axes were attributes.
        if ir_version < 4 || opset < 13 {
            return None;
        }
        let mut graphs = of(GRAPH);
        let (Some(graph), None) = (graphs.next(), graphs.next()) else { return None };
        let graph = fields(graph.content)?;
        let (mut nodes, mut weights, mut inputs) = (Vec::new(), HashMap::new(), Vec::new());
        for field in &graph {
            match field.number {
                NODE => nodes.push(NodeProto::decode(field.content).ok()?),
                INITIALIZER => {
                    let weight = TensorHeader::decode(field.content).ok()?;
                    let dims = weight.dims.into_iter().map(usize::try_from);
                    weights.insert(weight.name, dims.collect::<Result<_, _>>().ok()?);
                }
                INPUT => inputs.push(ValueInfoProto::decode(field.content).ok()?.name),
                _ => {}
            }
        }
        Some(Self { model, graph, nodes, weights, inputs, opset })
    }

    /// The place of the node that makes `name`.
    pub(super) fn maker(&self, name: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.output.iter().any(|o| o == name))
    }

    /// How many nodes read `name`.
    pub(super) fn readers(&self, name: &str) -> usize {
        self.nodes.iter().filter(|node| node.input.iter().any(|i| i == name)).count()
    }

    /// The file without the nodes `gone`, with what `writer` has in the place of the last of them;
    /// `input` and `output` are an input more and the one output, where there are such.
    pub(super) fn with(
        &self,
        gone: &HashSet<usize>,
        writer: Writer,
        input: Option<ValueInfoProto>,
        output: Option<ValueInfoProto>,
    ) -> Vec<u8> {
        let (node, initializer) = writer.into_parts();
        let initializer = initializer.into_iter().collect();
        let last = gone.iter().max();
        let mut graph = Vec::new();
        let mut added = GraphProto { node, ..GraphProto::default() }.encode_to_vec();
        let mut at = 0;
        for field in &self.graph {
            match field.number {
                NODE => {
                    if !gone.contains(&at) {
                        graph.extend_from_slice(field.whole);
                    }
                    if last == Some(&at) {
                        graph.append(&mut added);
                    }
                    at += 1;
                }
                OUTPUT if output.is_some() => {}
                _ => graph.extend_from_slice(field.whole),
            }
        }
        let (input, output) = (input.into_iter().collect(), output.into_iter().collect());
        let more = GraphProto { initializer, input, output, ..GraphProto::default() };
        graph.extend(more.encode_to_vec());
        let mut model = Vec::with_capacity(graph.len() + 1024);
        for field in self.model.iter().filter(|f| f.number != GRAPH) {
            model.extend_from_slice(field.whole);
        }
        model.extend(WholeGraph { graph }.encode_to_vec());
        model
    }
}

/// The fields of a message; `None` when it is cut off or has a field of a kind that is gone.
fn fields(mut bytes: &[u8]) -> Option<Vec<Field<'_>>> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let mut rest = bytes;
        let key = varint(&mut rest)?;
        let number = u32::try_from(key >> 3).ok()?;
        let length = match key & 7 {
            0 => rest.iter().position(|byte| byte & 0x80 == 0)? + 1,
            1 => 8,
            2 => varint(&mut rest)?,
            5 => 4,
            _ => return None,
        };
        let (content, after) = rest.split_at_checked(length)?;
        let whole = &bytes[..bytes.len() - after.len()];
        out.push(Field { number, whole, content });
        bytes = after;
    }
    Some(out)
}

/// A number at the beginning of `bytes`, which is taken off. Lengths have the form of all numbers.
fn varint(bytes: &mut &[u8]) -> Option<usize> {
    prost::decode_length_delimiter(bytes).ok()
}
