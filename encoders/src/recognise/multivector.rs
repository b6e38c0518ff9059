//! Models of token embeddings: Stanford's ColBERT format and PyLate's.
//!
//! ColBERT (Khattab and Zaharia, SIGIR 2020; v2: Santhanam et al., NAACL 2022): `artifact.metadata` has
//! the settings, `model.safetensors` body and projection (`linear.weight`). PyLate: the modules of
//! `modules.json` are a Transformer and Dense layers, `config_sentence_transformers.json` has the
//! settings.
//!
//! 1. read the settings as the published code does, its defaults where a file leaves one out
//! 2. where the body is of a family that graphs are built for, the graph is built of the weights;
//!    otherwise a graph that gives rows of the right width has to be there

use serde_json::Value;

use super::checkpoint::{self, CheckpointFile};
use super::files::{inputs, meant, token_text};
use super::folder::{Folder, number};
use super::graph::GraphFile;
use super::sentence_transformers::modules;
use crate::graphs::{Between, Precision, TOKENS_OUTPUT};
use crate::vocabulary::encode;
use crate::{
    BuiltGraph, BuiltHead, EncoderError, Family, MANIFEST_FORMAT, Markers, ModelManifest,
    OnnxTokens, ProjectionLayer, QueryFill, ResidualLayer, TokenParameters, Vocabulary, files,
};

/// Python's `string.punctuation`.
const PUNCTUATION: &str = r##"!"#$%&'()*+,-./:;<=>?@[\]^_`{|}~"##;

/// Names of graphs, and of their outputs.
const GRAPHS: [&str; 3] = ["model.onnx", "onnx/model.onnx", "vespa_colbert.onnx"];
const OUTPUTS: [&str; 4] = ["output", "contextual", "token_embeddings", "last_hidden_state"];

/// Settings of PyLate that a `SentenceTransformer` has not.
const SETTINGS: [&str; 4] = ["query_prefix", "document_prefix", "query_length", "document_length"];

/// The manifest of a model of token embeddings; `None` where the folder is none.
pub(super) fn recognise(root: &Folder, name: &str) -> Result<Option<ModelManifest>, EncoderError> {
    if let Some(json) = root.json("modules.json")? {
        let chain = modules(root, &json)?;
        let settings = root.json("config_sentence_transformers.json")?.unwrap_or(Value::Null);
        let dense = chain.iter().any(|(class, _)| class == "Dense");
        let says = SETTINGS.iter().any(|name| !settings[*name].is_null());
        if dense && (says || json.to_string().contains("\"pylate.")) {
            return pylate(root, name).map(Some);
        }
        if chain.len() > 1 {
            return Ok(None);
        }
    }
    let config = root.json("config.json")?.unwrap_or(Value::Null);
    if root.has("artifact.metadata") {
        return stanford(root, name).map(Some);
    }
    if config["architectures"][0] == "HF_ColBERT" {
        return Err(root.refuse(
            "this is a ColBERT model without its settings, artifact.metadata: fetch it again \
             (quarry model pull), or take ColBERT's defaults with --family colbert",
        ));
    }
    Ok(None)
}

/// What a format says, before the files of the network are looked at.
struct Rows {
    family: Family,
    /// Where the body's files are.
    body: Folder,
    /// Projections, but for one in the body's own file.
    layers: Vec<ProjectionLayer>,
    /// The projection in the body's own file.
    linear: Option<&'static str>,
    dims: u32,
}

/// A file of settings: what it leaves out is the format's default, what it has must be of its kind.
struct Settings<'a> {
    root: &'a Folder,
    json: Value,
}

impl<'a> Settings<'a> {
    fn read(root: &'a Folder, file: &str) -> Result<Self, EncoderError> {
        Ok(Self { root, json: root.json(file)?.unwrap_or(Value::Null) })
    }

    fn text(&self, name: &str, default: &str) -> Result<String, EncoderError> {
        self.one(name, default.to_owned(), |value| value.as_str().map(str::to_owned))
    }

    fn whole(&self, name: &str, default: u32) -> Result<u32, EncoderError> {
        self.one(name, default, |_| number(&self.json, name))
    }

    fn yes(&self, name: &str, default: bool) -> Result<bool, EncoderError> {
        self.one(name, default, Value::as_bool)
    }

    fn one<T>(
        &self,
        name: &str,
        default: T,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<T, EncoderError> {
        match &self.json[name] {
            Value::Null => Ok(default),
            value => read(value).ok_or_else(|| odd(self.root, name, value)),
        }
    }
}

/// A model in Stanford's format.
pub(super) fn stanford(root: &Folder, name: &str) -> Result<ModelManifest, EncoderError> {
    let settings = Settings::read(root, "artifact.metadata")?;
    for (name, known) in [("similarity", "cosine"), ("interaction", "colbert")] {
        let found = settings.text(name, known)?;
        if found != known {
            return Err(root.refuse(format!(
                "artifact.metadata: {name} is {found:?}, and only {known:?} is known"
            )));
        }
    }
    let rows = Rows {
        family: Family::Colbert,
        body: root.clone(),
        layers: Vec::new(),
        linear: Some("linear.weight"),
        dims: settings.whole("dim", 128)?,
    };
    let words = Words::read(root, root)?;
    let mut skip_tokens = Vec::new();
    if settings.yes("mask_punctuation", true)? {
        // The first token of each symbol, and padding, also where a text spells it.
        for symbol in PUNCTUATION.chars() {
            skip_tokens.extend(words.first_token(&symbol.to_string())?);
        }
    }
    skip_tokens.extend(words.role("pad_token"));
    let parameters = TokenParameters {
        dims: rows.dims,
        max_tokens: settings.whole("doc_maxlen", 220)?,
        query_max_tokens: settings.whole("query_maxlen", 32)?,
        separator: " ".to_owned(),
        prompt: String::new(),
        query_prompt: String::new(),
        markers: Some(Markers {
            document: words.known(settings.text("doc_token_id", "[unused1]")?)?,
            query: words.known(settings.text("query_token_id", "[unused0]")?)?,
        }),
        query_fill: Some(QueryFill {
            token: words.role("mask_token").ok_or_else(|| {
                root.refuse(
                    "the tokenizer's configuration names no mask_token, which fills questions up",
                )
            })?,
            attended: settings.yes("attend_to_mask_tokens", false)?,
        }),
        skip_tokens: distinct(skip_tokens),
        strip: false,
        lowercase: false,
        whole: None,
    };
    manifest(root, name, &rows, parameters)
}

/// A model in PyLate's format.
pub(super) fn pylate(root: &Folder, name: &str) -> Result<ModelManifest, EncoderError> {
    let json = root.json("modules.json")?.unwrap_or(Value::Null);
    let chain = modules(root, &json)?;
    let settings = Settings::read(root, "config_sentence_transformers.json")?;
    let Some(((_, body), rest)) =
        chain.split_first().filter(|((class, _), _)| class == "Transformer")
    else {
        return Err(root.refuse("modules.json does not begin with a Transformer"));
    };
    let mut layers = Vec::new();
    let mut dims = None;
    for (class, folder) in rest {
        match class.as_str() {
            "Dense" => {
                let (layer, width) = dense(folder)?;
                dims = Some(width);
                layers.push(layer);
            }
            // PyLate leaves these out.
            "Pooling" | "Normalize" => {}
            other => {
                return Err(root.refuse(format!(
                    "modules.json has a module {other}; known of token embeddings are Transformer \
                     and Dense"
                )));
            }
        }
    }
    let Some(dims) = dims else {
        return Err(root.refuse("modules.json names no Dense module: there is no projection"));
    };
    let prompts = &settings.json["prompts"];
    let prompt = settings.json["default_prompt_name"].as_str().map(|name| &prompts[name]);
    if prompt.and_then(Value::as_str).is_some_and(|prompt| !prompt.is_empty()) {
        return Err(
            root.refuse("default_prompt_name sets a prompt: not known for token embeddings")
        );
    }
    let words = Words::read(root, body)?;
    let punctuation = || PUNCTUATION.chars().map(|symbol| symbol.to_string()).collect();
    let list = |value: &Value| -> Option<Vec<String>> {
        value.as_array()?.iter().map(|word| word.as_str().map(str::to_owned)).collect()
    };
    let skip_tokens = settings.one("skiplist_words", None, |value| list(value).map(Some))?;
    let skip_tokens: Vec<String> = skip_tokens.unwrap_or_else(punctuation);
    // A word that is not a token stands for the unknown one.
    let token = |word: String| words.known(word).ok().or_else(|| words.role("unk_token"));
    let fill = ["mask_token", "eos_token", "pad_token"].iter().find_map(|role| words.role(role));
    let query_fill = match (settings.yes("do_query_expansion", true)?, fill) {
        (false, _) => None,
        (true, Some(token)) => {
            Some(QueryFill { token, attended: settings.yes("attend_to_expansion_tokens", false)? })
        }
        (true, None) => {
            return Err(root.refuse(
                "questions are filled up, and the tokenizer's configuration names no mask_token, \
                 eos_token or pad_token",
            ));
        }
    };
    let marker = |name: &str, default: &str| match settings.text(name, default)? {
        none if none.is_empty() => Ok(none),
        token => words.known(token),
    };
    let (query, document) = (marker("query_prefix", "[Q] ")?, marker("document_prefix", "[D] ")?);
    let both_empty = query.is_empty() && document.is_empty();
    let transformer = body.json("sentence_bert_config.json")?.unwrap_or(Value::Null);
    let parameters = TokenParameters {
        dims,
        max_tokens: settings.whole("document_length", 180)?,
        query_max_tokens: settings.whole("query_length", 32)?,
        separator: " ".to_owned(),
        prompt: String::new(),
        query_prompt: String::new(),
        markers: (!both_empty).then_some(Markers { document, query }),
        query_fill,
        skip_tokens: distinct(skip_tokens.into_iter().filter_map(token).collect()),
        strip: true,
        lowercase: transformer["do_lower_case"].as_bool().unwrap_or(false),
        whole: None,
    };
    let rows = Rows { family: Family::Pylate, body: body.clone(), layers, linear: None, dims };
    manifest(root, name, &rows, parameters)
}

/// A Dense module, and the width of what it gives.
pub(super) fn dense(folder: &Folder) -> Result<(ProjectionLayer, u32), EncoderError> {
    let Some(config) = folder.json("config.json")? else {
        return Err(folder.refuse("a Dense module without its config.json"));
    };
    if !folder.has("model.safetensors") {
        // A graph may hold it all; then the weights are not needed.
        let width = number(&config, "out_features");
        let width = width.ok_or_else(|| odd(folder, "out_features", &config["out_features"]))?;
        return Ok((missing(folder), width));
    }
    let path = folder.path("model.safetensors");
    let shapes = checkpoint::shapes(folder, &path)?;
    let Some(&[outputs, inputs]) = shapes.get("linear.weight").map(Vec::as_slice) else {
        return Err(folder.refuse("model.safetensors has no matrix linear.weight"));
    };
    let named = |name: &str| config[name].as_u64().and_then(|n| usize::try_from(n).ok());
    if named("in_features") != Some(inputs) || named("out_features") != Some(outputs) {
        return Err(folder.refuse(format!(
            "config.json says in_features {} and out_features {}, linear.weight has the shape \
             [{outputs}, {inputs}]",
            config["in_features"], config["out_features"]
        )));
    }
    let function = &config["activation_function"];
    let function = function.as_str().ok_or_else(|| odd(folder, "activation_function", function))?;
    let activation = match function.rsplit('.').next().unwrap_or_default() {
        "Identity" => Between::Identity,
        "Tanh" => Between::Tanh,
        "GELU" => Between::Gelu,
        "ReLU" => Between::Relu,
        _ => {
            return Err(folder.refuse(format!(
                "activation_function is {function:?}; known are Identity, Tanh, GELU and ReLU"
            )));
        }
    };
    let residual = match (config["use_residual"].as_bool(), inputs == outputs) {
        (Some(true), true) => Some(ResidualLayer::Input),
        (Some(true), false) => Some(ResidualLayer::Tensor("residual.weight".to_owned())),
        _ => None,
    };
    let layer = ProjectionLayer {
        file: folder.name("model.safetensors"),
        sha256: files::sha256_of(&path)?,
        tensor: "linear.weight".to_owned(),
        bias: shapes.contains_key("linear.bias").then(|| "linear.bias".to_owned()),
        activation,
        residual,
    };
    if config["bias"].as_bool().unwrap_or(true) != layer.bias.is_some() {
        return Err(folder.refuse("config.json says of bias what model.safetensors does not have"));
    }
    let width =
        u32::try_from(outputs).map_err(|_| odd(folder, "out_features", &config["out_features"]))?;
    Ok((layer, width))
}

/// A projection whose weights are not there: only for a graph that has them.
fn missing(folder: &Folder) -> ProjectionLayer {
    ProjectionLayer {
        file: folder.name("model.safetensors"),
        sha256: String::new(),
        tensor: "linear.weight".to_owned(),
        bias: None,
        activation: Between::Identity,
        residual: None,
    }
}

fn odd(folder: &Folder, name: &str, value: &Value) -> EncoderError {
    folder.refuse(format!("{name} is {value}, which is not a value that it can have"))
}

/// Each once, in their order.
fn distinct(tokens: Vec<String>) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    tokens.into_iter().filter(|token| seen.insert(token.clone())).collect()
}

/// The tokenizer, and what its configuration calls tokens.
struct Words<'a> {
    root: &'a Folder,
    vocabulary: Vocabulary,
    maps: [Value; 2],
}

impl<'a> Words<'a> {
    fn read(root: &'a Folder, body: &Folder) -> Result<Self, EncoderError> {
        let config = body.json("config.json")?.unwrap_or(Value::Null);
        let maps = ["special_tokens_map.json", "tokenizer_config.json"];
        let [special, tokenizer] = maps.map(|file| body.json(file));
        let maps = [special?.unwrap_or(Value::Null), tokenizer?.unwrap_or(Value::Null)];
        let (file, _, dimension) =
            body.tokenizer(&config, &maps[1], &maps[0], number(&config, "vocab_size"))?;
        let mut json = files::read(&root.path(&file.file))?;
        if let Some(lowercase) = file.lowercase {
            json = crate::vocabulary::wordpiece_json(&json, lowercase)?;
        }
        let vocabulary = Vocabulary::with_rows(&json, dimension)?;
        Ok(Self { root, vocabulary, maps })
    }

    /// The token of a role, such as `mask_token`.
    fn role(&self, role: &str) -> Option<String> {
        let named = self.maps.iter().find_map(|map| token_text(&map[role]));
        // A bare vocab.txt is BERT's.
        let usual = || match role {
            "mask_token" => Some("[MASK]".to_owned()),
            "pad_token" => Some("[PAD]".to_owned()),
            "unk_token" => Some("[UNK]".to_owned()),
            _ => None,
        };
        named.or_else(usual).filter(|token| self.vocabulary.id(token).is_some())
    }

    /// The token, which has to be one.
    fn known(&self, token: String) -> Result<String, EncoderError> {
        match self.vocabulary.id(&token) {
            Some(_) => Ok(token),
            None => Err(self.root.refuse(format!(
                "the settings name the token {token:?}, which the tokenizer does not have"
            ))),
        }
    }

    /// The first token of a text by itself.
    fn first_token(&self, text: &str) -> Result<Option<String>, EncoderError> {
        let encoding = encode(self.vocabulary.tokenizer(), text, false, false)?;
        let first = encoding.get_ids().first().and_then(|id| usize::try_from(*id).ok());
        Ok(first.and_then(|id| self.vocabulary.tokens().get(id).cloned()))
    }
}

/// The manifest, when all settings are known.
fn manifest(
    root: &Folder,
    name: &str,
    rows: &Rows,
    mut parameters: TokenParameters,
) -> Result<ModelManifest, EncoderError> {
    let body = &rows.body;
    let config = body.json("config.json")?.unwrap_or(Value::Null);
    let tokenizer_config = body.json("tokenizer_config.json")?.unwrap_or(Value::Null);
    let special_map = body.json("special_tokens_map.json")?.unwrap_or(Value::Null);
    let (tokenizer, _, dimension) =
        body.tokenizer(&config, &tokenizer_config, &special_map, number(&config, "vocab_size"))?;
    let max_positions = Folder::positions(&config);
    parameters.max_tokens = parameters.max_tokens.min(max_positions);
    let graph = body.first(&GRAPHS);
    let weights = body.checkpoint().map(|folder| checkpoint::read(&folder));
    let side = match (weights, graph) {
        (Some(Ok(weights)), _) => built(root, rows, weights, parameters)?,
        (_, Some(file)) => exported(root, rows, file, max_positions, parameters)?,
        (Some(Err(error)), None) => return Err(error),
        (None, None) => return Err(body.no_graph()),
    };
    Ok(ModelManifest {
        format: MANIFEST_FORMAT,
        name: name.to_owned(),
        family: Some(rows.family),
        dimension,
        tokenizer,
        document: None,
        query: None,
        tokens: Some(side),
        dense: None,
    })
}

/// A graph that is built of the weights.
fn built(
    root: &Folder,
    rows: &Rows,
    weights: CheckpointFile,
    parameters: TokenParameters,
) -> Result<OnnxTokens, EncoderError> {
    let CheckpointFile { file, sha256, config, body, shapes } = weights;
    let mut projections = rows.layers.clone();
    if let Some(lost) = projections.iter().find(|layer| layer.sha256.is_empty()) {
        return Err(root.refuse(format!("{} is missing: the projection's weights", lost.file)));
    }
    if let Some(tensor) = rows.linear {
        let want = [rows.dims as usize, body.width];
        match shapes.get(tensor) {
            Some(shape) if *shape == want => {}
            found => {
                return Err(root.refuse(format!(
                    "artifact.metadata and config.json want a projection {tensor} of the shape \
                     {want:?}, model.safetensors has {}",
                    found.map_or("none".to_owned(), |shape| format!("{shape:?}"))
                )));
            }
        }
        projections.push(ProjectionLayer {
            file: file.clone(),
            sha256: sha256.clone(),
            tensor: tensor.to_owned(),
            bias: None,
            activation: Between::Identity,
            residual: None,
        });
    }
    let head = BuiltHead::Tokens { projections };
    Ok(OnnxTokens {
        file,
        sha256,
        external: Vec::new(),
        built: Some(BuiltGraph { config, precision: Precision::Float32, head }),
        inputs: checkpoint::inputs(),
        output: TOKENS_OUTPUT.to_owned(),
        width: rows.dims,
        max_positions: body.max_positions,
        parameters,
        made_from: None,
    })
}

/// A graph as somebody exported it: body and projections.
fn exported(
    root: &Folder,
    rows: &Rows,
    file: String,
    max_positions: u32,
    parameters: TokenParameters,
) -> Result<OnnxTokens, EncoderError> {
    let graph = GraphFile::read(&root.path(&file))?;
    let refuse = |reason: String| root.refuse(format!("{file}: {reason}"));
    let inputs = inputs(&graph.inputs).map_err(refuse)?;
    let output = meant(&graph, &OUTPUTS).map_err(refuse)?;
    let wrong_width = output.last.is_some_and(|last| last != rows.dims);
    if output.axes != Some(3) || wrong_width {
        return Err(refuse(format!(
            "its output {} has {} axes and a width of {}, expected one row of {} for each token: an \
             export without the projection?",
            output.name,
            output.axes.map_or("unknown".to_owned(), |n| n.to_string()),
            output.last.map_or("unknown".to_owned(), |n| n.to_string()),
            rows.dims
        )));
    }
    Ok(OnnxTokens {
        sha256: graph.sha256.clone(),
        external: root.external(&file, &graph)?,
        built: None,
        inputs,
        output: output.name.clone(),
        width: rows.dims,
        max_positions,
        parameters,
        made_from: None,
        file,
    })
}

/// Whether the names of a hub's files are those of such a model.
#[cfg(feature = "download")]
pub(crate) fn is_multivector(names: &[String]) -> bool {
    names.iter().any(|name| name == "artifact.metadata" || name.contains("_Dense/"))
}
