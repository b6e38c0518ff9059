//! Files beside a graph that its tensors lie in, wherever in the graph those are: a file that nobody compared with a
//! checksum must not be read by the runtime.

use std::collections::BTreeSet;

use crate::onnx_proto::{GraphHeader, ModelHeader, NodeHeader, SparseHeader, TensorHeader};

/// The names of those files, as the graph has them.
pub(crate) fn locations(model: &ModelHeader) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    if let Some(graph) = &model.graph {
        of_graph(graph, &mut found);
    }
    model.functions.iter().for_each(|function| of_nodes(&function.node, &mut found));
    found
}

/// Depth is bounded by the decoder's limit on messages within messages.
fn of_graph(graph: &GraphHeader, found: &mut BTreeSet<String>) {
    of_tensors(&graph.initializer, found);
    of_sparse(&graph.sparse_initializer, found);
    of_nodes(&graph.node, found);
}

fn of_nodes(nodes: &[NodeHeader], found: &mut BTreeSet<String>) {
    for attribute in nodes.iter().flat_map(|node| &node.attribute) {
        of_tensors(attribute.t.iter().chain(&attribute.tensors), found);
        of_sparse(attribute.sparse_tensor.iter().chain(&attribute.sparse_tensors), found);
        attribute.g.iter().for_each(|graph| of_graph(graph, found));
        attribute.graphs.iter().for_each(|graph| of_graph(graph, found));
    }
}

fn of_sparse<'a>(
    tensors: impl IntoIterator<Item = &'a SparseHeader>,
    found: &mut BTreeSet<String>,
) {
    for tensor in tensors {
        of_tensors(tensor.values.iter().chain(&tensor.indices), found);
    }
}

fn of_tensors<'a>(
    tensors: impl IntoIterator<Item = &'a TensorHeader>,
    found: &mut BTreeSet<String>,
) {
    let entries = tensors.into_iter().flat_map(|tensor| &tensor.external_data);
    found.extend(entries.filter(|entry| entry.key == "location").map(|entry| entry.value.clone()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx_proto::{AttributeHeader, EntryProto, FunctionHeader};

    #[test]
    fn files_of_tensors_anywhere_in_a_graph_are_found() {
        let tensor = |file: &str| TensorHeader {
            external_data: vec![
                EntryProto { key: "offset".into(), value: "0".into() },
                EntryProto { key: "location".into(), value: file.into() },
            ],
            ..TensorHeader::default()
        };
        let node = |attribute| NodeHeader { attribute: vec![attribute] };
        let constant =
            |file| node(AttributeHeader { t: Some(tensor(file)), ..AttributeHeader::default() });
        let inner = GraphHeader { node: vec![constant("inner")], ..GraphHeader::default() };
        let branch = AttributeHeader { g: Some(Box::new(inner)), ..AttributeHeader::default() };
        let sparse = SparseHeader { values: Some(tensor("values")), indices: Some(tensor("at")) };
        let graph = GraphHeader {
            initializer: vec![tensor("weights"), TensorHeader::default()],
            node: vec![constant("constant"), node(branch)],
            sparse_initializer: vec![sparse],
            ..GraphHeader::default()
        };
        let functions = vec![FunctionHeader { node: vec![constant("function")] }];
        let model = ModelHeader { graph: Some(graph), functions };
        let found: Vec<String> = locations(&model).into_iter().collect();
        assert_eq!(found, ["at", "constant", "function", "inner", "values", "weights"]);
    }
}
