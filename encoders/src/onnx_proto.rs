//! The part of ONNX's protocol buffers that is used here, field numbers as in `onnx.proto3`. Decoding drops all
//! other fields.
//!
//! Numbers that may be 0 are optional here, so that a 0 is written: readers ask whether a field is
//! there. The messages called `...Header` leave out what can be large (nodes, elements of weights), for readers
//! that only look at a file's signature.

/// A model file.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ModelProto {
    #[prost(int64, optional, tag = "1")]
    pub(crate) ir_version: Option<i64>,
    #[prost(string, tag = "2")]
    pub(crate) producer_name: String,
    #[prost(message, optional, tag = "7")]
    pub(crate) graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    pub(crate) opset_import: Vec<OperatorSetIdProto>,
}

/// Operators of `domain` in the meaning of `version`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct OperatorSetIdProto {
    #[prost(string, optional, tag = "1")]
    pub(crate) domain: Option<String>,
    #[prost(int64, optional, tag = "2")]
    pub(crate) version: Option<i64>,
}

/// Nodes in order, and the weights.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    pub(crate) node: Vec<NodeProto>,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    #[prost(message, repeated, tag = "5")]
    pub(crate) initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    pub(crate) input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    pub(crate) output: Vec<ValueInfoProto>,
}

/// One operation.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    pub(crate) input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(crate) output: Vec<String>,
    #[prost(string, tag = "3")]
    pub(crate) name: String,
    #[prost(string, tag = "4")]
    pub(crate) op_type: String,
    #[prost(message, repeated, tag = "5")]
    pub(crate) attribute: Vec<AttributeProto>,
    /// Empty for ONNX's own operators.
    #[prost(string, tag = "7")]
    pub(crate) domain: String,
}

/// A constant parameter of a node.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AttributeProto {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(float, optional, tag = "2")]
    pub(crate) f: Option<f32>,
    #[prost(int64, optional, tag = "3")]
    pub(crate) i: Option<i64>,
    /// A constant's value.
    #[prost(message, optional, tag = "5")]
    pub(crate) t: Option<TensorProto>,
    #[prost(int64, repeated, packed = "false", tag = "8")]
    pub(crate) ints: Vec<i64>,
    /// [`AttributeProto::FLOAT`], [`AttributeProto::INT`] or [`AttributeProto::INTS`].
    #[prost(int32, optional, tag = "20")]
    pub(crate) r#type: Option<i32>,
}

impl AttributeProto {
    pub(crate) const FLOAT: i32 = 1;
    pub(crate) const INT: i32 = 2;
    pub(crate) const INTS: i32 = 7;
}

/// A weight: its shape, and its elements in little-endian bytes or, of whole numbers, as a list.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct TensorProto {
    #[prost(int64, repeated, packed = "false", tag = "1")]
    pub(crate) dims: Vec<i64>,
    #[prost(int32, optional, tag = "2")]
    pub(crate) data_type: Option<i32>,
    #[prost(int64, repeated, tag = "7")]
    pub(crate) int64_data: Vec<i64>,
    #[prost(string, tag = "8")]
    pub(crate) name: String,
    #[prost(bytes = "vec", tag = "9")]
    pub(crate) raw_data: Vec<u8>,
}

impl TensorProto {
    pub(crate) const FLOAT: i32 = 1;
    pub(crate) const UINT8: i32 = 2;
    pub(crate) const INT8: i32 = 3;
    pub(crate) const INT64: i32 = 7;
    pub(crate) const BOOL: i32 = 9;
}

/// An input or output.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ValueInfoProto {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) r#type: Option<TypeProto>,
}

/// Its type; a tensor's is the only one used.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct TypeProto {
    #[prost(message, optional, tag = "1")]
    pub(crate) tensor_type: Option<TensorTypeProto>,
}

/// A tensor's type.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct TensorTypeProto {
    #[prost(int32, optional, tag = "1")]
    pub(crate) elem_type: Option<i32>,
    #[prost(message, optional, tag = "2")]
    pub(crate) shape: Option<TensorShapeProto>,
}

/// A tensor's shape.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct TensorShapeProto {
    #[prost(message, repeated, tag = "1")]
    pub(crate) dim: Vec<DimensionProto>,
}

/// A size, fixed or by name.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct DimensionProto {
    #[prost(int64, optional, tag = "1")]
    pub(crate) dim_value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    pub(crate) dim_param: Option<String>,
}

/// [`ModelProto`] without the large fields.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ModelHeader {
    #[prost(message, optional, tag = "7")]
    pub(crate) graph: Option<GraphHeader>,
    #[prost(message, repeated, tag = "25")]
    pub(crate) functions: Vec<FunctionHeader>,
}

/// A function of the model's own: its nodes.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct FunctionHeader {
    #[prost(message, repeated, tag = "7")]
    pub(crate) node: Vec<NodeHeader>,
}

/// A node without what it computes: the tensors and graphs among its attributes.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct NodeHeader {
    #[prost(message, repeated, tag = "5")]
    pub(crate) attribute: Vec<AttributeHeader>,
}

/// See [`NodeHeader`].
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AttributeHeader {
    #[prost(message, optional, tag = "5")]
    pub(crate) t: Option<TensorHeader>,
    #[prost(message, optional, boxed, tag = "6")]
    pub(crate) g: Option<Box<GraphHeader>>,
    #[prost(message, repeated, tag = "10")]
    pub(crate) tensors: Vec<TensorHeader>,
    #[prost(message, repeated, tag = "11")]
    pub(crate) graphs: Vec<GraphHeader>,
    #[prost(message, optional, tag = "22")]
    pub(crate) sparse_tensor: Option<SparseHeader>,
    #[prost(message, repeated, tag = "23")]
    pub(crate) sparse_tensors: Vec<SparseHeader>,
}

/// A sparse tensor: its values and their places.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SparseHeader {
    #[prost(message, optional, tag = "1")]
    pub(crate) values: Option<TensorHeader>,
    #[prost(message, optional, tag = "2")]
    pub(crate) indices: Option<TensorHeader>,
}

/// [`GraphProto`] without the large fields.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GraphHeader {
    #[prost(message, repeated, tag = "1")]
    pub(crate) node: Vec<NodeHeader>,
    #[prost(message, repeated, tag = "5")]
    pub(crate) initializer: Vec<TensorHeader>,
    #[prost(message, repeated, tag = "11")]
    pub(crate) input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    pub(crate) output: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "15")]
    pub(crate) sparse_initializer: Vec<SparseHeader>,
}

/// [`TensorProto`] without its elements: its shape, and where they lie if not in the file.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct TensorHeader {
    #[prost(int64, repeated, packed = "false", tag = "1")]
    pub(crate) dims: Vec<i64>,
    #[prost(string, tag = "8")]
    pub(crate) name: String,
    #[prost(message, repeated, tag = "13")]
    pub(crate) external_data: Vec<EntryProto>,
}

/// A name with its value.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct EntryProto {
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    #[prost(string, tag = "2")]
    pub(crate) value: String,
}
