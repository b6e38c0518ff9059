//! What a graph's file says of types and sizes, looked at when the model is opened.
//!
//! Exporters write graphs with inputs of 32 bits, with one length or one number of texts for all time,
//! and with outputs of 16 bits. `graph` and `sessions` run all of these; a fixed length bounds the longest
//! input here, so that texts are cut to it. Whatever else a graph takes or gives is refused here, in words,
//! before anything is encoded.

use std::path::Path;

use crate::recognise::graph::{GraphFile, TensorFact};
use crate::{DocumentSide, EncoderError, ModelManifest, OnnxInputs, QuerySide, files};

/// ONNX's numbers of element types.
const FLOAT: i32 = 1;
const INT32: i32 = 6;
const INT64: i32 = 7;
const FLOAT16: i32 = 10;

/// Brings a manifest in line with the graphs that are files in `folder`.
pub(crate) fn fit(folder: &Path, manifest: &mut ModelManifest) -> Result<(), EncoderError> {
    if let Some(DocumentSide::Onnx(side)) = &mut manifest.document
        && side.built.is_none()
        && let Some(length) = look(folder, &side.file, &side.inputs, &side.output)?
    {
        side.max_positions = side.max_positions.min(length);
        side.parameters.max_tokens = side.parameters.max_tokens.min(length);
    }
    if let Some(QuerySide::Onnx(query)) = &mut manifest.query {
        let side = &mut query.graph;
        if side.built.is_none()
            && let Some(length) = look(folder, &side.file, &side.inputs, &side.output)?
        {
            side.max_positions = side.max_positions.min(length);
            side.parameters.max_tokens = side.parameters.max_tokens.min(length);
        }
    }
    if let Some(side) = &mut manifest.tokens
        && side.built.is_none()
        && let Some(length) = look(folder, &side.file, &side.inputs, &side.output)?
    {
        side.max_positions = side.max_positions.min(length);
        side.parameters.max_tokens = side.parameters.max_tokens.min(length);
        side.parameters.query_max_tokens = side.parameters.query_max_tokens.min(length);
    }
    if let Some(side) = &mut manifest.dense
        && side.built.is_none()
        && let Some(length) = look(folder, &side.file, &side.inputs, &side.output)?
    {
        side.max_positions = side.max_positions.min(length);
        side.parameters.max_tokens = side.parameters.max_tokens.min(length);
    }
    Ok(())
}

/// The length that a graph fixes, if it fixes one. A file that is missing or no graph is for those to
/// refuse who load it.
fn look(
    folder: &Path,
    file: &str,
    inputs: &OnnxInputs,
    output: &str,
) -> Result<Option<u32>, EncoderError> {
    let path = folder.join(file);
    if !files::is_inside(file) || !path.is_file() {
        return Ok(None);
    }
    let Ok(graph) = GraphFile::parse(&files::read(&path)?, &path) else { return Ok(None) };
    check(&path, &graph, inputs, output)
}

fn check(
    path: &Path,
    graph: &GraphFile,
    inputs: &OnnxInputs,
    output: &str,
) -> Result<Option<u32>, EncoderError> {
    let wrong = |what, expected: &str, found: String| EncoderError::GraphSignature {
        path: path.to_owned(),
        what,
        expected: expected.to_owned(),
        found,
    };
    let known = inputs.names();
    let missing = |name: &&&str| graph.takes.iter().all(|tensor| tensor.name != **name);
    if let Some(lacks) = known.iter().find(missing) {
        let found = format!("no `{lacks}`, which the manifest's `inputs` name");
        return Err(wrong("inputs", &known.join(", "), found));
    }
    let mut fixed: Option<(&str, u32)> = None;
    for tensor in &graph.takes {
        let name = tensor.name.as_str();
        if !known.contains(&name) {
            let found = format!("`{name}` too, which the manifest's `inputs` do not name");
            return Err(wrong("inputs", &known.join(", "), found));
        }
        if !matches!(tensor.element, None | Some(INT32 | INT64)) {
            let expected = "inputs of int64 or int32";
            return Err(wrong("inputs", expected, format!("`{name}`: {}", in_words(tensor))));
        }
        let Some(sizes) = &tensor.sizes else { continue };
        if sizes.len() != 2 {
            let expected = "inputs of two axes, texts and tokens";
            return Err(wrong("inputs", expected, format!("`{name}`: {}", in_words(tensor))));
        }
        if let Some(length) = sizes[1] {
            match fixed {
                Some((other, before)) if before != length => {
                    let found = format!("`{other}` of {before} tokens, `{name}` of {length}");
                    return Err(wrong("inputs", "inputs of one length", found));
                }
                _ => fixed = Some((name, length)),
            }
        }
    }
    if let Some(tensor) = graph.gives.iter().find(|tensor| tensor.name == output)
        && !matches!(tensor.element, None | Some(FLOAT | FLOAT16))
    {
        let expected = "an output of float32 or float16";
        return Err(wrong("output", expected, format!("`{output}`: {}", in_words(tensor))));
    }
    Ok(fixed.map(|(_, length)| length))
}

/// A tensor's type and axes.
fn in_words(tensor: &TensorFact) -> String {
    let element = match tensor.element {
        Some(FLOAT) => "float32".to_owned(),
        Some(INT32) => "int32".to_owned(),
        Some(INT64) => "int64".to_owned(),
        Some(FLOAT16) => "float16".to_owned(),
        Some(2) => "uint8".to_owned(),
        Some(3) => "int8".to_owned(),
        Some(9) => "bool".to_owned(),
        Some(11) => "float64".to_owned(),
        Some(16) => "bfloat16".to_owned(),
        Some(other) => format!("ONNX's type {other}"),
        None => "no type".to_owned(),
    };
    match &tensor.sizes {
        None => element,
        Some(sizes) => {
            let sizes: Vec<String> =
                sizes.iter().map(|s| s.map_or("any".to_owned(), |n| n.to_string())).collect();
            format!("{element} [{}]", sizes.join(", "))
        }
    }
}
