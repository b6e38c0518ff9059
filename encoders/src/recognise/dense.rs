//! sentence-transformers' `SentenceTransformer`: Transformer, Pooling, Dense layers, Normalize, as `modules.json`
//! lists them.
//!
//! 1. read the modules' settings  2. where the body is of a family that graphs are built for and its weights are
//!    there, the graph is built of them; otherwise a graph has to be there that gives a row a token

use serde_json::Value;

use super::checkpoint::{self, CheckpointFile};
use super::files::{inputs, meant};
use super::folder::{Folder, number};
use super::graph::GraphFile;
use super::multivector;
use super::sentence_transformers::{Module, Prompts};
use crate::dense::{DenseParameters, DensePooling};
use crate::graphs::{Precision, TOKENS_OUTPUT};
use crate::{
    BuiltGraph, BuiltHead, EncoderError, Family, MANIFEST_FORMAT, ModelManifest, OnnxDense,
    ProjectionLayer,
};

/// Names of graphs, and of their outputs.
const GRAPHS: [&str; 2] = ["model.onnx", "onnx/model.onnx"];
const OUTPUTS: [&str; 4] = ["last_hidden_state", "token_embeddings", "output", "hidden_states"];

/// Flags of a Pooling module that are known.
const POOLINGS: [(&str, DensePooling); 4] = [
    ("pooling_mode_mean_tokens", DensePooling::Mean),
    ("pooling_mode_cls_token", DensePooling::Cls),
    ("pooling_mode_max_tokens", DensePooling::Max),
    ("pooling_mode_lasttoken", DensePooling::LastToken),
];

/// Whether a chain of modules is that of dense vectors.
pub(super) fn is_dense(chain: &[Module]) -> bool {
    chain.iter().any(|(class, _)| class == "Pooling")
}

/// The manifest of a `SentenceTransformer`.
pub(super) fn recognise(
    root: &Folder,
    name: String,
    chain: &[Module],
) -> Result<ModelManifest, EncoderError> {
    let [(transformer, body), (pooling, pooling_folder), rest @ ..] = chain else {
        return Err(unknown(root, chain));
    };
    if transformer != "Transformer" || pooling != "Pooling" {
        return Err(unknown(root, chain));
    }
    let prompts = Prompts::read(root)?;
    let pooling = self::pooling(pooling_folder, &prompts)?;
    let (mut layers, mut normalize): (Vec<ProjectionLayer>, bool) = (Vec::new(), false);
    let mut dims = None;
    for (class, folder) in rest {
        match class.as_str() {
            "Dense" if !normalize => {
                let (layer, width) = multivector::dense(folder)?;
                if layer.sha256.is_empty() {
                    return Err(folder.refuse("a Dense module without its model.safetensors"));
                }
                dims = Some(width);
                layers.push(layer);
            }
            "Normalize" => normalize = true,
            _ => return Err(unknown(root, chain)),
        }
    }
    let config = body.json("config.json")?.unwrap_or(Value::Null);
    let settings = body.json("sentence_bert_config.json")?.unwrap_or(Value::Null);
    let maps = ["tokenizer_config.json", "special_tokens_map.json"];
    let [tokenizer_config, special] = maps.map(|file| body.json(file));
    let tokenizer_config = tokenizer_config?.unwrap_or(Value::Null);
    let special = special?.unwrap_or(Value::Null);
    let rows = number(&config, "vocab_size");
    let (tokenizer, _, dimension) = body.tokenizer(&config, &tokenizer_config, &special, rows)?;
    let positions = Folder::positions(&config);
    // A tokenizer without a limit says 1e30, which is no number of 32 bits.
    let longest = number(&settings, "max_seq_length")
        .or_else(|| number(&tokenizer_config, "model_max_length"))
        .unwrap_or(positions);
    let graph = body.first(&GRAPHS);
    let weights = body.checkpoint().map(|folder| checkpoint::read(&folder));
    let parameters = DenseParameters {
        dims: 0,
        pooling,
        column: 0,
        normalize,
        max_tokens: longest.min(positions),
        separator: " ".to_owned(),
        prompt: prompts.document,
        query_prompt: prompts.query,
        // Versions before 5.4 strip the text; white space around it is a token for byte-level tokenizers only.
        strip: false,
        lowercase: settings["do_lower_case"].as_bool().unwrap_or(false),
    };
    let mut side = match (weights, graph) {
        (Some(Ok(weights)), _) => built(weights, parameters, layers),
        (_, Some(file)) => {
            let width = number(&config, "hidden_size").or_else(|| number(&config, "dim"));
            exported(root, (file, width, positions), parameters, layers)?
        }
        (Some(Err(error)), None) => return Err(error),
        (None, None) => return Err(body.no_graph()),
    };
    side.parameters.dims = dims.unwrap_or(side.width);
    side.parameters.max_tokens = side.parameters.max_tokens.min(side.max_positions);
    Ok(ModelManifest {
        format: MANIFEST_FORMAT,
        name,
        family: Some(Family::SentenceTransformer),
        dimension,
        tokenizer,
        document: None,
        query: None,
        tokens: None,
        dense: Some(side),
    })
}

fn unknown(root: &Folder, chain: &[Module]) -> EncoderError {
    let classes: Vec<&str> = chain.iter().map(|module| module.0.as_str()).collect();
    root.refuse(format!(
        "modules.json has the modules {}; known of dense vectors are Transformer, Pooling, Dense and Normalize, in \
         this order",
        classes.join(", ")
    ))
}

/// How a Pooling module makes one row of many; older ones have a flag for each way, newer ones a name.
fn pooling(folder: &Folder, prompts: &Prompts) -> Result<DensePooling, EncoderError> {
    let config = folder.json("config.json")?.unwrap_or(Value::Null);
    let has_prompts = !prompts.document.is_empty() || !prompts.query.is_empty();
    if config["include_prompt"].as_bool() == Some(false) && has_prompts {
        return Err(
            folder.refuse("include_prompt is false: leaving prompts out of pooling is not known")
        );
    }
    let refuse = |found: String| {
        folder.refuse(format!(
            "pooling by {found}; known are mean, cls, max and lasttoken, one of them"
        ))
    };
    if let Some(named) = config["pooling_mode"].as_str() {
        return match named {
            "mean" => Ok(DensePooling::Mean),
            "cls" => Ok(DensePooling::Cls),
            "max" => Ok(DensePooling::Max),
            "lasttoken" => Ok(DensePooling::LastToken),
            other => Err(refuse(other.to_owned())),
        };
    }
    let flags = config.as_object().into_iter().flatten();
    let set: Vec<&str> = flags
        .filter(|(name, value)| name.starts_with("pooling_mode_") && value.as_bool() == Some(true))
        .map(|(name, _)| name.as_str())
        .collect();
    match set.as_slice() {
        // The class's own default.
        [] => Ok(DensePooling::Mean),
        [one] => POOLINGS
            .iter()
            .find(|(name, _)| name == one)
            .map(|(_, pooling)| *pooling)
            .ok_or_else(|| refuse((*one).to_owned())),
        several => Err(refuse(several.join(" and "))),
    }
}

/// A graph that is built of the weights: hidden states as they are.
fn built(
    weights: CheckpointFile,
    parameters: DenseParameters,
    layers: Vec<ProjectionLayer>,
) -> OnnxDense {
    let CheckpointFile { file, sha256, config, body, .. } = weights;
    let head = BuiltHead::Hidden;
    OnnxDense {
        file,
        sha256,
        external: Vec::new(),
        built: Some(BuiltGraph { config, precision: Precision::Float32, head }),
        inputs: checkpoint::inputs(),
        output: TOKENS_OUTPUT.to_owned(),
        width: u32::try_from(body.width).unwrap_or(u32::MAX),
        columns: None,
        layers,
        max_positions: body.max_positions,
        parameters,
    }
}

/// A graph as somebody exported it.
fn exported(
    root: &Folder,
    (file, width, max_positions): (String, Option<u32>, u32),
    parameters: DenseParameters,
    layers: Vec<ProjectionLayer>,
) -> Result<OnnxDense, EncoderError> {
    let graph = GraphFile::read(&root.path(&file))?;
    let refuse = |reason: String| root.refuse(format!("{file}: {reason}"));
    let inputs = inputs(&graph.inputs).map_err(refuse)?;
    let output = meant(&graph, &OUTPUTS).map_err(refuse)?;
    // Logits of a language-model head are wider.
    let other = output.last.zip(width).is_some_and(|(last, width)| last != width);
    let found = output.last.or(width).filter(|_| output.axes == Some(3) && !other);
    let Some(width) = found else {
        let text = |number: Option<u32>| number.map_or("unknown".to_owned(), |n| n.to_string());
        return Err(refuse(format!(
            "its output {} has {} axes and a width of {}, expected a hidden state of {} for each token",
            output.name,
            output.axes.map_or("unknown".to_owned(), |n| n.to_string()),
            text(output.last),
            text(width)
        )));
    };
    Ok(OnnxDense {
        sha256: graph.sha256.clone(),
        external: root.external(&file, &graph)?,
        built: None,
        inputs,
        output: output.name.clone(),
        width,
        columns: None,
        layers,
        max_positions,
        parameters,
        file,
    })
}
