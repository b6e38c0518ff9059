//! What a graph takes and gives, read from its file without the runtime: names and shapes of inputs
//! and outputs, and the files that its weights lie in. Nodes and the elements of weights are passed over.

use std::collections::BTreeSet;
use std::path::Path;

use prost::Message as _;

use crate::external::locations;
use crate::onnx_proto::{DimensionProto, ModelHeader, ValueInfoProto};
use crate::{EncoderError, files};

/// A graph's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GraphFile {
    pub(super) sha256: String,
    pub(super) inputs: Vec<String>,
    /// The same inputs with types and sizes.
    pub(crate) takes: Vec<TensorFact>,
    pub(crate) gives: Vec<TensorFact>,
    pub(super) outputs: Vec<OutputFact>,
    /// Names of the files that hold weights, relative to the graph's folder.
    pub(super) external: Vec<String>,
}

/// An input or output: its type by ONNX's number, and the sizes of its axes, where the graph says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TensorFact {
    pub(crate) name: String,
    pub(crate) element: Option<i32>,
    pub(crate) sizes: Option<Vec<Option<u32>>>,
}

/// An output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OutputFact {
    pub(super) name: String,
    /// Number of axes; `None` where the graph does not say.
    pub(super) axes: Option<usize>,
    /// Size of the last axis, where the graph says.
    pub(super) last: Option<u32>,
}

impl GraphFile {
    pub(super) fn read(path: &Path) -> Result<Self, EncoderError> {
        let bytes = files::read(path)?;
        Ok(Self { sha256: files::sha256(&bytes), ..Self::parse(&bytes, path)? })
    }

    /// What a graph's bytes say; without their checksum.
    pub(crate) fn parse(bytes: &[u8], path: &Path) -> Result<Self, EncoderError> {
        let refused =
            |reason: String| EncoderError::Unrecognised { folder: path.to_owned(), reason };
        let model =
            ModelHeader::decode(bytes).map_err(|e| refused(format!("no ONNX graph: {e}")))?;
        let external = locations(&model);
        let graph = model.graph.ok_or_else(|| refused("no ONNX graph: it is empty".to_owned()))?;
        let weights: BTreeSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
        // Old graphs list their weights among the inputs.
        let inputs = graph.input.iter().filter(|i| !weights.contains(i.name.as_str()));
        let takes: Vec<TensorFact> = inputs.map(fact).collect();
        Ok(Self {
            sha256: String::new(),
            inputs: takes.iter().map(|i| i.name.clone()).collect(),
            takes,
            gives: graph.output.iter().map(fact).collect(),
            outputs: graph.output.iter().map(output).collect(),
            external: external.into_iter().collect(),
        })
    }
}

fn fact(value: &ValueInfoProto) -> TensorFact {
    let tensor = value.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    let size =
        |d: &DimensionProto| d.dim_value.and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
    TensorFact {
        name: value.name.clone(),
        element: tensor.and_then(|t| t.elem_type),
        sizes: tensor.and_then(|t| t.shape.as_ref()).map(|s| s.dim.iter().map(size).collect()),
    }
}

fn output(value: &ValueInfoProto) -> OutputFact {
    let tensor = value.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    let shape = tensor.and_then(|t| t.shape.as_ref());
    let last = shape.and_then(|s| s.dim.last()).and_then(|d| d.dim_value);
    OutputFact {
        name: value.name.clone(),
        axes: shape.map(|s| s.dim.len()),
        last: last.and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0),
    }
}
