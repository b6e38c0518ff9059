//! sentence-transformers' `SparseEncoder`: the modules that `modules.json` lists, in order, and the
//! routes of a `Router`.
//!
//! Known chains: Transformer (or MLMTransformer) and SpladePooling, a network; SparseStaticEmbedding
//! alone, a table; the network and a SparseStaticEmbedding of ones behind it, the network's weights
//! of a question's own tokens. Only the last part of a module's type is looked at: the paths before
//! it differ between versions.

use serde_json::Value;

use super::files::Found;
use super::folder::Folder;
use crate::{
    Activation, DocumentParameters, DocumentSide, EncoderError, Family, MANIFEST_FORMAT,
    ModelManifest, OnnxDocuments, OnnxQueries, Pooling, QueryParameters, QuerySide, TermFrequency,
    TokenTable, TokenizerFile, query_tables,
};

/// A module: its class, and its folder.
pub(super) type Module = (String, Folder);

/// The modules of `modules.json`, in order.
pub(super) fn modules(root: &Folder, modules: &Value) -> Result<Vec<Module>, EncoderError> {
    let all = modules.as_array().into_iter().flatten();
    let module =
        |m: &Value| Ok((class(&m["type"]), root.inner(m["path"].as_str().unwrap_or_default())?));
    all.map(module).collect()
}

/// The manifest of a `SparseEncoder`.
pub(super) fn recognise(
    root: &Folder,
    name: String,
    chain: &[Module],
) -> Result<ModelManifest, EncoderError> {
    let prompts = Prompts::read(root)?;
    let (documents, queries) = match chain {
        [(class, folder)] if class == "Router" => routes(folder)?,
        _ => (chain.to_vec(), chain.to_vec()),
    };
    let network = Network::of(root, &documents)?;
    if network.own_terms {
        return Err(root.refuse("documents go through a SparseStaticEmbedding: not known"));
    }
    let found = &network.found;
    // OpenSearch's own code zeroes special tokens; sentence-transformers does not.
    let opensearch = root.has("idf.json") && queries.len() == 1;
    let dropped = if opensearch { found.special_tokens.clone() } else { Vec::new() };
    let document = network.side(&prompts.document, dropped.clone());
    let query = match queries.as_slice() {
        [(class, folder)] if class == "SparseStaticEmbedding" => {
            same_tokenizer(root, folder, &found.tokenizer)?;
            let file = table(root, folder)?;
            let sha256 = crate::files::sha256_of(&root.path(&file))?;
            let parameters = QueryParameters {
                tf: TermFrequency::Presence,
                drop_tokens: dropped,
                prompt: prompts.query,
            };
            QuerySide::TokenTable(TokenTable { file, sha256, parameters })
        }
        _ => {
            let network = Network::of(root, &queries)?;
            let graph: OnnxDocuments = network.side(&prompts.query, Vec::new());
            let own = network.found.tokenizer;
            let tokenizer = (own != found.tokenizer).then_some(own);
            QuerySide::Onnx(Box::new(OnnxQueries {
                graph,
                tokenizer,
                own_terms: network.own_terms,
            }))
        }
    };
    Ok(ModelManifest {
        tokens: None,
        dense: None,
        format: MANIFEST_FORMAT,
        name,
        family: Some(match (opensearch, network.activation) {
            (true, Activation::Log1pLog1pRelu) => Family::OpensearchV3,
            (true, _) => Family::OpensearchV2,
            _ => Family::SparseEncoder,
        }),
        dimension: found.dimension,
        tokenizer: found.tokenizer.clone(),
        document: Some(DocumentSide::Onnx(document)),
        query: Some(query),
    })
}

/// The last part of a module's type.
fn class(value: &Value) -> String {
    value.as_str().unwrap_or_default().rsplit('.').next().unwrap_or_default().to_owned()
}

/// The chains of documents and of questions through a router.
fn routes(router: &Folder) -> Result<(Vec<Module>, Vec<Module>), EncoderError> {
    let Some(config) = router.json("router_config.json")? else {
        return Err(router.refuse("modules.json names a Router, and router_config.json is missing"));
    };
    let chain = |names: &[&str]| -> Result<Vec<Module>, EncoderError> {
        let structure = &config["structure"];
        let default = config["parameters"]["default_route"].as_str();
        let route = names.iter().copied().chain(default).find(|route| structure[*route].is_array());
        let Some(route) = route else {
            return Err(router.refuse(format!("router_config.json has no route {}", names[0])));
        };
        let folders = structure[route].as_array().into_iter().flatten();
        let module = |folder: &Value| {
            let folder = folder.as_str().unwrap_or_default();
            Ok((class(&config["types"][folder]), router.inner(folder)?))
        };
        folders.map(module).collect()
    };
    Ok((chain(&["document", "passage", "corpus"])?, chain(&["query"])?))
}

/// A chain that is a network.
struct Network {
    found: Found,
    pooling: Pooling,
    activation: Activation,
    max_tokens: u32,
    strip: bool,
    lowercase: bool,
    own_terms: bool,
}

impl Network {
    fn of(root: &Folder, chain: &[Module]) -> Result<Self, EncoderError> {
        let classes: Vec<&str> = chain.iter().map(|m| m.0.as_str()).collect();
        let own_terms = match classes.as_slice() {
            ["Transformer" | "MLMTransformer", "SpladePooling"] => false,
            ["Transformer" | "MLMTransformer", "SpladePooling", "SparseStaticEmbedding"] => true,
            _ => {
                return Err(root.refuse(format!(
                    "modules.json has the modules {}; known are Transformer or MLMTransformer with \
                     SpladePooling, and SparseStaticEmbedding for questions, by themselves or in a \
                     Router; Transformer and Dense with PyLate's settings",
                    classes.join(", ")
                )));
            }
        };
        let (transformer, pooling) = (&chain[0].1, &chain[1].1);
        let found = transformer.find()?;
        if let (true, Some((_, folder))) = (own_terms, chain.get(2)) {
            all_ones(root, folder, &found)?;
        }
        let config = pooling.json("config.json")?.unwrap_or(Value::Null);
        let strategy = match config["pooling_strategy"].as_str() {
            Some("max") | None => Pooling::Max,
            Some("sum") => Pooling::Sum,
            Some(other) => {
                return Err(pooling.refuse(format!("pooling_strategy {other:?} is not known")));
            }
        };
        let activation = match config["activation_function"].as_str() {
            Some("relu") | None => Activation::Log1pRelu,
            Some("log1p_relu") => Activation::Log1pLog1pRelu,
            Some(other) => {
                return Err(pooling.refuse(format!("activation_function {other:?} is not known")));
            }
        };
        let settings = transformer.json("sentence_bert_config.json")?.unwrap_or(Value::Null);
        let longest = settings["max_seq_length"].as_u64().and_then(|n| u32::try_from(n).ok());
        let longest = longest.or(found.max_length).unwrap_or(found.max_positions);
        Ok(Self {
            max_tokens: longest.min(found.max_positions),
            // Versions before 5.4 strip the text; white space around it makes no token for the
            // tokenizers of BERT, so that it matters for others only.
            strip: chain[0].0 == "MLMTransformer",
            lowercase: settings["do_lower_case"].as_bool().unwrap_or(false),
            found,
            pooling: strategy,
            activation,
            own_terms,
        })
    }

    fn side(&self, prompt: &str, drop_tokens: Vec<String>) -> OnnxDocuments {
        let parameters = DocumentParameters {
            max_tokens: self.max_tokens,
            separator: " ".to_owned(),
            drop_tokens,
            prompt: prompt.to_owned(),
            strip: self.strip,
            lowercase: self.lowercase,
            ..DocumentParameters::default()
        };
        self.found.side(self.pooling, self.activation, parameters)
    }
}

/// Prompts of the two sides, as `encode_document` and `encode_query` choose them.
pub(super) struct Prompts {
    pub(super) document: String,
    pub(super) query: String,
}

impl Prompts {
    pub(super) fn read(root: &Folder) -> Result<Self, EncoderError> {
        let config = root.json("config_sentence_transformers.json")?.unwrap_or(Value::Null);
        let prompts = &config["prompts"];
        let default = config["default_prompt_name"].as_str();
        let choose = |names: &[&str]| {
            let all = names.iter().copied().chain(default);
            all.into_iter().find_map(|name| prompts[name].as_str()).unwrap_or_default().to_owned()
        };
        Ok(Self { document: choose(&["document", "passage", "corpus"]), query: choose(&["query"]) })
    }
}

/// The file of a SparseStaticEmbedding's weights.
fn table(root: &Folder, folder: &Folder) -> Result<String, EncoderError> {
    if folder.has("model.safetensors") {
        return Ok(folder.name("model.safetensors"));
    }
    let config = folder.json("config.json")?.unwrap_or(Value::Null);
    let named = config["path"].as_str().and_then(|path| path.rsplit('/').next());
    for file in named.into_iter().chain(["idf.json"]) {
        for folder in [folder, root] {
            if folder.has(file) {
                return Ok(folder.name(file));
            }
        }
    }
    Err(folder
        .refuse("SparseStaticEmbedding has no weights: neither model.safetensors nor idf.json"))
}

/// A table behind a network multiplies its weights: only ones are known, which leave them.
fn all_ones(root: &Folder, folder: &Folder, found: &Found) -> Result<(), EncoderError> {
    let json = crate::files::read(&root.path(&found.tokenizer.file))?;
    let vocabulary = crate::Vocabulary::with_rows(&json, found.dimension)?;
    let bytes = crate::files::read(&root.path(&table(root, folder)?))?;
    let weights = query_tables::weights_by_id(&vocabulary, &bytes)?;
    if weights.iter().all(|w| (w - 1.0).abs() < 1e-6) {
        return Ok(());
    }
    Err(folder.refuse("weights of a table are multiplied with those of a network: not known"))
}

/// Refuses a query module whose tokenizer is not the documents', what it cuts and fills up left
/// aside.
fn same_tokenizer(
    root: &Folder,
    folder: &Folder,
    documents: &TokenizerFile,
) -> Result<(), EncoderError> {
    if !folder.has("tokenizer.json") || documents.lowercase.is_some() {
        return Ok(());
    }
    let without = |path: &std::path::Path| -> Result<Value, EncoderError> {
        let mut json: Value = serde_json::from_slice(&crate::files::read(path)?)
            .map_err(|source| EncoderError::Manifest { path: path.to_owned(), source })?;
        if let Some(parts) = json.as_object_mut() {
            parts.retain(|part, _| part != "truncation" && part != "padding");
        }
        Ok(json)
    };
    let (query, document) = (folder.path("tokenizer.json"), root.path(&documents.file));
    if without(&query)? == without(&document)? {
        return Ok(());
    }
    Err(EncoderError::TwoTokenizers { query, document })
}
