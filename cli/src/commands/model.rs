//! `quarry model`: what a model folder is recognised as, and models by name.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::Context;
use clap::ValueEnum;
use quarry_datasets::OutputFile;
use quarry_encoders::graphs::Precision;
use quarry_encoders::{
    Activation, BuiltGraph, BuiltHead, DensePooling, DocumentOptions, DocumentSide, Family,
    MANIFEST_FILE, Model, ModelManifest, OnnxDense, OnnxDocuments, OnnxTokens, Pooling, QuerySide,
    find_runtime,
};
use quarry_vectors::Passage;

use crate::output::{counted, line, note};
use crate::{model, models};

/// Show how a model would be used, or fetch one by name
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show how a model would encode: its family, files and parameters
    ///
    /// Without a quarry-model.json in its folder, a model is recognised by its files, and tried on a text. What
    /// --json prints can be corrected and saved in the folder as quarry-model.json; it overrides detection from
    /// then on.
    Show {
        /// Model: a folder, or a name such as org/name
        model: String,
        /// Family of the model [default: detected]
        #[arg(long, value_parser = family)]
        family: Option<Family>,
        /// Precision of a graph that is built from safetensors [default: float32]
        #[arg(long, value_enum)]
        precision: Option<PrecisionArg>,
        /// Print the manifest as JSON
        #[arg(long)]
        json: bool,
        /// Save the manifest in the folder; it overrides detection from then on
        #[arg(long)]
        write: bool,
        /// Replace an existing manifest
        #[arg(long, requires = "write")]
        overwrite: bool,
    },
    /// Fetch a model into the Hugging Face cache
    ///
    /// Every file is compared with its checksum. The environment names hub, cache and token: HF_ENDPOINT,
    /// HF_HOME, HF_HUB_CACHE, HF_TOKEN; HF_HUB_OFFLINE=1 forbids fetching.
    Pull {
        /// Name of the model, such as org/name
        name: String,
    },
    /// Make the graph of a model's token embeddings from a published checkpoint
    ///
    /// The model's manifest names the checkpoint. Every file is compared with its checksum, that of the result
    /// too; an existing result is checked and kept. `make build` does this for the bundled model.
    Make {
        /// Folder of the model [default: the bundled model]
        folder: Option<PathBuf>,
        /// Folder of the checkpoint: config.json and model.safetensors
        #[arg(long, value_name = "CHECKPOINT")]
        from: Option<PathBuf>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PrecisionArg {
    /// As published.
    Float32,
    /// 8 bits: a quarter of the memory and faster; vectors change a little.
    Int8,
}

impl From<PrecisionArg> for Precision {
    fn from(arg: PrecisionArg) -> Self {
        match arg {
            PrecisionArg::Float32 => Self::Float32,
            PrecisionArg::Int8 => Self::Int8,
        }
    }
}

fn family(text: &str) -> Result<Family, String> {
    let known = || Family::NAMED.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let found = Family::NAMED.iter().find(|(name, _)| *name == text);
    found.map(|(_, family)| *family).ok_or_else(|| format!("known families: {}", known()))
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.action {
        Action::Show { model, family, precision, json, write, overwrite } => {
            show(model, (*family, *precision), *json, write.then_some(*overwrite))
        }
        Action::Pull { name } => {
            let folder = models::pull(name)?;
            Ok(line(folder.display().to_string())?)
        }
        Action::Make { folder, from } => {
            let folder = folder.clone().map_or_else(model::bundled, Ok)?;
            let made = quarry_encoders::make_token_graph(&folder, from.as_deref())?;
            Ok(line(format!("{}: there and checked", made.display()))?)
        }
    }
}

fn show(
    given: &str,
    (family, precision): (Option<Family>, Option<PrecisionArg>),
    json: bool,
    write: Option<bool>,
) -> anyhow::Result<()> {
    let folder = models::folder(given)?;
    let mut manifest = Model::manifest_of(&folder, family)
        .with_context(|| format!("model {}", folder.display()))?;
    if let Some(precision) = precision {
        manifest.set_precision(precision.into())?;
    }
    // Tokenizer and table belong together, or this fails.
    let model = Model::with_manifest(&folder, manifest)?;
    if matches!(model.manifest().query, Some(QuerySide::TokenTable(_) | QuerySide::Binary(_))) {
        model.query_encoder()?;
    }
    try_out(&model).with_context(|| format!("model {}: tried on a text", folder.display()))?;
    let manifest = model.manifest();
    if let Some(overwrite) = write {
        let text = serde_json::to_string_pretty(manifest)? + "\n";
        OutputFile::write_whole(&folder.join(MANIFEST_FILE), overwrite, text.as_bytes())?;
    }
    if json {
        return crate::output::json(manifest);
    }
    print(manifest)
}

/// Runs the model's networks of sparse vectors on a text: files do not tell all that can be wrong.
fn try_out(model: &Model) -> anyhow::Result<()> {
    let queries = matches!(model.manifest().query, Some(QuerySide::Onnx(_)));
    if model.manifest().document.is_none() && !queries {
        return Ok(());
    }
    if let Err(error) = find_runtime() {
        note(format!("note: the model was not tried on a text: {error}"));
        return Ok(());
    }
    let text = "A short text.";
    let options =
        DocumentOptions { sessions: Some(NonZeroUsize::MIN), ..DocumentOptions::default() };
    if model.manifest().document.is_some() {
        let encoder = model.document_encoder(&options)?;
        encoder.encode_documents(&[Passage { title: "", text }])?;
    }
    if queries {
        model.question_encoder(&options)?.encode_query(text)?;
    }
    Ok(())
}

fn print(manifest: &ModelManifest) -> anyhow::Result<()> {
    line(format!("name        {}", manifest.name))?;
    if let Some(family) = manifest.family {
        line(format!("family      {}", serde_json::to_value(family)?.as_str().unwrap_or("?")))?;
    }
    line(format!("dimensions  {}", manifest.dimension))?;
    line(format!("tokenizer   {}", manifest.tokenizer.file))?;
    let documents = match &manifest.document {
        Some(DocumentSide::Onnx(document)) => side(document),
        None => "no sparse vectors".to_owned(),
    };
    line(format!("documents   {documents}"))?;
    let queries = match &manifest.query {
        None => "no sparse vectors".to_owned(),
        Some(QuerySide::TokenTable(table)) => {
            format!("table {}, {:?}", table.file, table.parameters.tf)
        }
        Some(QuerySide::Binary(_)) => "each token weighs 1".to_owned(),
        Some(QuerySide::Onnx(query)) if query.own_terms => {
            format!("{}; own tokens only", side(&query.graph))
        }
        Some(QuerySide::Onnx(query)) => side(&query.graph),
    };
    line(format!("queries     {queries}"))?;
    if let Some(tokens) = &manifest.token_side() {
        let pooled = if manifest.tokens.is_none() { ", those that are pooled" } else { "" };
        line(format!("tokens      {}{pooled}", rows(tokens)))?;
    }
    match &manifest.dense {
        Some(dense) => Ok(line(format!("dense       {}", vectors(dense)))?),
        None => Ok(()),
    }
}

/// How a graph comes about, where it is no file.
fn built(built: Option<&BuiltGraph>) -> String {
    let Some(BuiltGraph { precision, head, .. }) = built else { return String::new() };
    let head = match head {
        BuiltHead::Splade { .. } => "vocabulary head".to_owned(),
        BuiltHead::Hidden => "hidden states".to_owned(),
        BuiltHead::Tokens { projections } if projections.len() == 1 => "1 projection".to_owned(),
        BuiltHead::Tokens { projections } => format!("{} projections", projections.len()),
    };
    let precision = match precision {
        Precision::Float32 => "float32",
        Precision::Int8 => "int8",
    };
    format!(" (graph built in {precision}, {head})")
}

/// Token embeddings in one line.
fn rows(tokens: &OnnxTokens) -> String {
    let parameters = &tokens.parameters;
    let mut text = format!(
        "{}{}, {} dimensions, documents of at most {} tokens, queries of {}",
        tokens.file,
        built(tokens.built.as_ref()),
        parameters.dims,
        parameters.max_tokens,
        parameters.query_max_tokens
    );
    if let Some(fill) = &parameters.query_fill {
        let seen = if fill.attended { "attended" } else { "not attended" };
        text.push_str(&format!(", filled up with {} ({seen})", fill.token));
    }
    if let Some(markers) = &parameters.markers {
        text.push_str(&format!(", markers {:?} and {:?}", markers.document, markers.query));
    }
    if !parameters.skip_tokens.is_empty() {
        text.push_str(&format!(", documents without {}", parameters.skip_tokens.join(" ")));
    }
    text
}

/// Dense vectors in one line.
fn vectors(dense: &OnnxDense) -> String {
    let parameters = &dense.parameters;
    let pooling = match parameters.pooling {
        DensePooling::Mean => "mean of the tokens",
        DensePooling::Cls => "first token",
        DensePooling::Max => "largest of the tokens",
        DensePooling::LastToken => "last token",
        DensePooling::InGraph => "pooled inside",
    };
    let mut text = format!(
        "{}{}, {} dimensions, {pooling}, texts of at most {} tokens",
        dense.file,
        built(dense.built.as_ref()),
        parameters.dims,
        parameters.max_tokens
    );
    if !dense.layers.is_empty() {
        text.push_str(&format!(", {} behind it", counted(dense.layers.len() as u64, "layer")));
    }
    if parameters.normalize {
        text.push_str(", length one");
    }
    for (of, prompt) in [("documents", &parameters.prompt), ("queries", &parameters.query_prompt)] {
        if !prompt.is_empty() {
            text.push_str(&format!(", prompt of {of} {prompt:?}"));
        }
    }
    text
}

/// A network in one line.
fn side(side: &OnnxDocuments) -> String {
    let parameters = &side.parameters;
    let graph = built(side.built.as_ref());
    let mut text = format!("{}{graph}, at most {} tokens", side.file, parameters.max_tokens);
    let pooling = match side.pooling {
        Pooling::InGraph => "pooled inside, output",
        Pooling::Max => "largest of",
        Pooling::Sum => "sum of",
    };
    let activation = match side.activation {
        Activation::None => "",
        Activation::Relu => ", max(x, 0)",
        Activation::Log1pRelu => ", ln(1 + max(x, 0))",
        Activation::Log1pLog1pRelu => ", ln(1 + ln(1 + max(x, 0)))",
    };
    text.push_str(&format!(", {pooling} {}{activation}", side.output));
    if parameters.echo.is_some() {
        text.push_str(", text twice, second copy pooled");
    }
    if !parameters.prompt.is_empty() {
        text.push_str(&format!(", prompt {:?}", parameters.prompt));
    }
    if !parameters.drop_tokens.is_empty() {
        text.push_str(&format!(", without {}", parameters.drop_tokens.join(" ")));
    }
    text
}
