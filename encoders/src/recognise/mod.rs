//! A published model's folder becomes a manifest: which family it is, and what follows from that.
//!
//! 1. models of token embeddings are recognised by their settings (`multivector`)  2. the modules that
//!    `modules.json` (sentence-transformers) lists are followed  3. otherwise the graph (or the checkpoint that one
//!    is built from), its configuration and a query table decide, and, where these do not tell families apart,
//!    the model's name  4. if that is inconclusive too, fail and ask the caller to name the family
//!
//! The checksums are those of the files as found. What each family does is in [`Family`].

mod checkpoint;
mod dense;
mod files;
mod folder;
pub(crate) mod graph;
pub(crate) mod multivector;
mod sentence_transformers;

use std::path::Path;

use self::files::Found;
use self::folder::Folder;
use crate::graphs::{Precision, Saturation, SpladePooling};
use crate::{
    Activation, BinaryQuery, BuiltGraph, BuiltHead, DocumentParameters, DocumentSide, Echo,
    EncoderError, Family, MANIFEST_FORMAT, ModelManifest, OnnxDocuments, OnnxQueries, Pooling,
    QueryParameters, QuerySide, TermFrequency, TokenTable,
};

/// Longest text of the published models, in tokens.
fn max_tokens(family: Family, found: &Found) -> u32 {
    let usual = match family {
        Family::OpensearchV2 | Family::OpensearchV3 | Family::Echo => 512,
        _ => 256,
    };
    usual.min(found.max_length.unwrap_or(usual)).min(found.max_positions)
}

/// Names of query tables in model folders.
const TABLES: [&str; 4] =
    ["idf.json", "query_table.json", "query_token_weights.txt", "query_table.safetensors"];

/// Whether a folder without a manifest could be a published model.
pub(crate) fn is_candidate(folder: &Path) -> bool {
    let there = |file: &&str| std::fs::symlink_metadata(folder.join(file)).is_ok();
    ["config.json", "modules.json"].iter().any(there)
}

/// Folders below a model's that hold files of it.
const DEPTH: usize = 2;

/// Refuses files that are there and cannot be read: links into a cache that was cleared, or what is no
/// file. Taken for absent, they would make another model of it.
fn refuse_unreadable(folder: &Path, depth: usize) -> Result<(), EncoderError> {
    let failed = |path: &Path, source| EncoderError::Read { path: path.to_owned(), source };
    for entry in std::fs::read_dir(folder).map_err(|e| failed(folder, e))? {
        let path = entry.map_err(|e| failed(folder, e))?.path();
        let known = path.extension().is_some_and(|end| {
            ["json", "onnx", "safetensors", "txt"].iter().any(|known| end == *known)
        });
        if known {
            crate::files::open(&path).map_err(|e| failed(&path, e))?;
        } else if depth < DEPTH && path.is_dir() && !path.is_symlink() {
            refuse_unreadable(&path, depth + 1)?;
        }
    }
    Ok(())
}

/// The manifest of the model in `folder`; `family` takes the place of what would be recognised.
pub(crate) fn recognise(
    folder: &Path,
    family: Option<Family>,
) -> Result<ModelManifest, EncoderError> {
    refuse_unreadable(folder, 0)?;
    let root = Folder::new(folder, "");
    let name = name_of(folder);
    match family {
        Some(Family::Colbert) => return multivector::stanford(&root, &name),
        Some(Family::Pylate) => return multivector::pylate(&root, &name),
        Some(_) => {}
        None => {
            if let Some(manifest) = multivector::recognise(&root, &name)? {
                return Ok(manifest);
            }
        }
    }
    if family.is_none()
        && let Some(modules) = root.json("modules.json")?
    {
        let chain = sentence_transformers::modules(&root, &modules)?;
        if dense::is_dense(&chain) {
            return dense::recognise(&root, name, &chain);
        }
        return sentence_transformers::recognise(&root, name, &chain);
    }
    let found = root.find()?;
    let table = TABLES.into_iter().find(|file| root.has(file));
    let hint = root
        .json("config.json")?
        .and_then(|c| c["_name_or_path"].as_str().map(str::to_owned))
        .unwrap_or_default();
    let family = match family {
        Some(family) => family,
        None => family_of(&root, &found, table, &format!("{name} {hint}").to_lowercase())?,
    };
    manifest(&root, name, family, &found, table)
}

/// The model's name: `org/name` in a Hugging Face cache, else the folder's.
fn name_of(folder: &Path) -> String {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let cached = whole
        .ancestors()
        .filter_map(|a| a.file_name()?.to_str())
        .find_map(|name| Some(name.strip_prefix("models--")?.replace("--", "/")));
    let plain = || whole.file_name().and_then(|n| n.to_str()).unwrap_or("model").to_owned();
    cached.unwrap_or_else(plain)
}

fn family_of(
    root: &Folder,
    found: &Found,
    table: Option<&str>,
    names: &str,
) -> Result<Family, EncoderError> {
    let says = |words: &[&str]| words.iter().any(|word| names.contains(word));
    let known: Vec<&str> = Family::NAMED.iter().map(|(name, _)| *name).collect();
    let ambiguous = |what: &str| {
        root.refuse(format!(
            "{what}, and neither files nor name ({names:?}) tell the family: name it with \
             `quarry model show FOLDER --family FAMILY --write` ({})",
            known.join(", ")
        ))
    };
    if table.is_some() {
        return match () {
            () if says(&["li-lsr", "lilsr", "li_lsr"]) => Ok(Family::LiLsr),
            () if says(&["doc-v3"]) => Ok(Family::OpensearchV3),
            () if says(&["doc-v1", "doc-v2"]) => Ok(Family::OpensearchV2),
            () => Err(ambiguous("there is a query table")),
        };
    }
    if found.architecture.ends_with("ForCausalLM") {
        return match () {
            () if found.inputs.pool_mask.is_some() || says(&["echo"]) => Ok(Family::Echo),
            () if says(&["splade", "sparse"]) => Ok(Family::Decoder),
            () => Err(ambiguous("this is a causal language model")),
        };
    }
    match () {
        () if says(&["splade-v3-doc"]) => Ok(Family::SpladeDoc),
        () if says(&["splade-v3-lexical"]) => Ok(Family::SpladeLexical),
        () => Ok(Family::Splade),
    }
}

/// The manifest of a family.
fn manifest(
    root: &Folder,
    name: String,
    family: Family,
    found: &Found,
    table: Option<&str>,
) -> Result<ModelManifest, EncoderError> {
    let dropped = if family.is_opensearch() { found.special_tokens.clone() } else { Vec::new() };
    let activation = match family {
        Family::OpensearchV3 => Activation::Log1pLog1pRelu,
        _ => Activation::Log1pRelu,
    };
    let parameters = DocumentParameters {
        max_tokens: max_tokens(family, found),
        separator: " ".to_owned(),
        drop_tokens: dropped,
        echo: (family == Family::Echo).then(Echo::default),
        ..DocumentParameters::default()
    };
    let document = found.side(Pooling::Max, activation, parameters);
    let without_specials = QueryParameters {
        tf: TermFrequency::Presence,
        drop_tokens: found.special_tokens.clone(),
        prompt: String::new(),
    };
    let query = match family {
        Family::SpladeDoc => {
            // Only what the tokenizer adds is left out: an unknown word counts as one.
            let mut parameters = without_specials;
            parameters.drop_tokens.retain(|token| token != "[UNK]" && token != "[MASK]");
            QuerySide::Binary(BinaryQuery { parameters })
        }
        Family::OpensearchV2 | Family::OpensearchV3 | Family::LiLsr => {
            let Some(file) = table else {
                return Err(root.refuse(format!(
                    "this family needs a query table, and none is there: {}",
                    TABLES.join(", ")
                )));
            };
            let sha256 = crate::files::sha256_of(&root.path(file))?;
            let parameters = without_specials;
            QuerySide::TokenTable(TokenTable { file: file.to_owned(), sha256, parameters })
        }
        Family::Splade
        | Family::SpladeLexical
        | Family::Decoder
        | Family::Echo
        | Family::SparseEncoder
        | Family::Colbert
        | Family::Pylate
        | Family::SentenceTransformer => QuerySide::Onnx(Box::new(OnnxQueries {
            graph: document.clone(),
            tokenizer: None,
            own_terms: family == Family::SpladeLexical,
        })),
    };
    Ok(ModelManifest {
        tokens: None,
        dense: None,
        format: MANIFEST_FORMAT,
        name,
        family: Some(family),
        dimension: found.dimension,
        tokenizer: found.tokenizer.clone(),
        document: Some(DocumentSide::Onnx(document)),
        query: Some(query),
    })
}

impl Found {
    /// The side of a manifest: pooling and activation where the graph gives token outputs; one that
    /// pools has done both.
    fn side(
        &self,
        pooling: Pooling,
        activation: Activation,
        parameters: DocumentParameters,
    ) -> OnnxDocuments {
        let built = self.checkpoint.as_ref().map(|config| BuiltGraph {
            config: config.clone(),
            precision: Precision::Float32,
            head: BuiltHead::Splade {
                pooling: match pooling {
                    Pooling::Sum => SpladePooling::Sum,
                    Pooling::Max | Pooling::InGraph => SpladePooling::Max,
                },
                saturation: match activation {
                    Activation::Log1pLog1pRelu => Saturation::DoubleLog1p,
                    // The only other one that families have.
                    Activation::None | Activation::Relu | Activation::Log1pRelu => {
                        Saturation::Log1p
                    }
                },
            },
        });
        let (pooling, activation) =
            if self.pooled { (Pooling::InGraph, Activation::None) } else { (pooling, activation) };
        OnnxDocuments {
            built,
            file: self.file.clone(),
            sha256: self.sha256.clone(),
            external: self.external.clone(),
            inputs: self.inputs.clone(),
            output: self.output.clone(),
            pooling,
            activation,
            max_positions: self.max_positions,
            parameters,
        }
    }
}
